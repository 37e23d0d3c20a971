/* test_simt_scan.c - running sums, products and extremes, and where extremes are, on a Tier A device against the CPU's. */
#include "tests/core/mirror.h"

static uint64_t rng = 17;
static const int64_t shapes[][3] = {{1, 1, 1}, {3, 10, 5}, {2, 1, 700}, {2, 0, 3}, {2, 3, 300}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static double loose(dl_dtype type) { return type == DL_F32 || type == DL_F64 ? 2000 : type <= DL_BF16 ? 4 : 0; }
static dl_dtype summed(dl_dtype type) { return type <= DL_BF16 ? type : DL_I64; }

static void spoil(dl_tensor *x) { /* NaN here and there */
    for (int64_t i = 0; x->type <= DL_BF16 && i < dl_tensor_count(x); i++)
        if (cells_below(&rng, 9) == 0) cells_set(x, i, (double)NAN);
}

static void over(dl_dtype type, const int64_t *shape, int dim) {
    dl_tensor x, sums, out[2];
    cells_random(&x, type, 3, shape, dim ? &rng : NULL);
    cells_make(&sums, summed(type), 3, shape, &rng);
    cells_make(&out[0], type, 3, shape, dim ? &rng : NULL);
    cells_make(&out[1], DL_I64, 3, shape, &rng);
    const dl_tensor *in[] = {&x};
    const dl_attr attr[] = {A_INT(dim)};
    mirror_call("cumsum", in, 1, &sums, 1, attr, 1, loose(type));
    mirror_call("cummax", in, 1, out, 2, attr, 1, 0);
    mirror_call("cummin", in, 1, out, 2, attr, 1, 0);
    if (type <= DL_BF16) mirror_call("logcumsumexp", in, 1, out, 1, attr, 1, 60);
    for (int64_t i = 0; i < dl_tensor_count(&x); i++)
        if (type <= DL_BF16) cells_set(&x, i, cells_get(&x, i) < 0 ? -1 : cells_get(&x, i) > 2 ? 0.5 : 1);
    mirror_call("cumprod", in, 1, &sums, 1, attr, 1, loose(type));
    spoil(&x);
    mirror_call("cummax", in, 1, out, 2, attr, 1, 0);
    mirror_call("cummin", in, 1, out, 2, attr, 1, 0);
    dl_tensor_clear(&x), dl_tensor_clear(&sums), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]);
}

static void scans(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++)
        for (size_t s = 0; s < SHAPES; s++)
            for (int dim = 0; dim < 3; dim++) over(type, shapes[s], dim);
}

static void infinite(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const double values[] = {-INFINITY, -INFINITY, 1, -INFINITY, INFINITY, 2, 1, -INFINITY, NAN, 3, INFINITY, -INFINITY};
    dl_tensor x, out;
    cells_of(&x, DL_F32, 2, (int64_t[]){2, 6}, values);
    cells_make(&out, DL_F32, 2, (int64_t[]){2, 6}, NULL);
    for (int dim = 0; dim < 2; dim++)
        mirror_call("logcumsumexp", (const dl_tensor *[]){&x}, 1, &out, 1, (const dl_attr[]){A_INT(dim)}, 1, 8);
    dl_tensor_clear(&x), dl_tensor_clear(&out);
}

static void extreme_case(dl_dtype type, const int64_t *shape, int dim, int keepdim, int spoilt) {
    static const char *const pairs[] = {"max_dim", "min_dim"}, *const places[] = {"argmax", "argmin"};
    int64_t left[3], d[] = {dim};
    int n = 0;
    for (int k = 0; k < 3; k++)
        if (k != dim || keepdim) left[n++] = k == dim ? 1 : shape[k];
    dl_tensor x, out[2], all;
    cells_random(&x, type, 3, shape, &rng);
    if (spoilt) spoil(&x);
    cells_make(&out[0], type, n, left, keepdim ? &rng : NULL);
    cells_make(&out[1], DL_I64, n, left, &rng);
    cells_make(&all, DL_I64, 0, NULL, NULL);
    const dl_attr one[] = {A_INT(dim), A_INT(keepdim)}, list[] = {A_INTS(d, 1), A_INT(keepdim)}, none[] = {A_INTS(d, 0)};
    for (int k = 0; k < 2; k++) {
        mirror_call(pairs[k], (const dl_tensor *[]){&x}, 1, out, 2, one, 2, 0);
        mirror_call(places[k], (const dl_tensor *[]){&x}, 1, &out[1], 1, list, 2, 0);
        if (dl_tensor_count(&x)) mirror_call(places[k], (const dl_tensor *[]){&x}, 1, &all, 1, none, 1, 0);
    }
    dl_tensor_clear(&x), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]), dl_tensor_clear(&all);
}

static void extremes(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++)
        for (size_t s = 0; s < SHAPES; s++)
            for (int dim = 0; dim < 3; dim++)
                if (shapes[s][dim]) extreme_case(type, shapes[s], dim, dim == 1, s > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(scans), cmocka_unit_test(infinite), cmocka_unit_test(extremes)};
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
