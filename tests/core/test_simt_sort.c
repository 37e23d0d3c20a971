/* test_simt_sort.c - sort, topk, kthvalue, median, mode on a Tier A device: the same values and places as on the CPU, for lines
 * within and beyond what a work group sorts at once. */
#include "tests/core/mirror.h"

static uint64_t rng = 19;

/* Few different values, so that equal ones occur, and NaN where there are. */
static void fill(dl_tensor *x) {
    for (int64_t i = 0; i < dl_tensor_count(x); i++) {
        const int64_t r = cells_below(&rng, 40);
        cells_set(x, i, x->type <= DL_BF16 && r == 0 ? (double)NAN : x->type <= DL_BF16 && r == 1 ? -0.0 : (double)(r % 13));
    }
}

static void over(dl_dtype type, const int64_t *shape, int dim, int64_t k) {
    int64_t some[3], left[2] = {0};
    int n = 0;
    for (int d = 0; d < 3; d++)
        if (d != dim) left[n++] = shape[d];
    memcpy(some, shape, sizeof some);
    some[dim] = k;
    dl_tensor x, all[2], top[2], one[2];
    cells_random(&x, type, 3, shape, dim ? &rng : NULL);
    fill(&x);
    for (int out = 0; out < 2; out++) {
        const dl_dtype of = out ? DL_I64 : type;
        cells_make(&all[out], of, 3, shape, &rng);
        cells_make(&top[out], of, 3, some, &rng);
        cells_make(&one[out], of, 2, left, &rng);
    }
    const dl_tensor *in[] = {&x};
    for (int descending = 0; descending < 2; descending++) {
        mirror_call("sort", in, 1, all, 2, (const dl_attr[]){A_INT(dim), A_INT(descending)}, 2, 0);
        mirror_call("topk", in, 1, top, 2, (const dl_attr[]){A_INT(k), A_INT(dim), A_INT(descending)}, 3, 0);
    }
    if (shape[dim]) {
        mirror_call("kthvalue", in, 1, one, 2, (const dl_attr[]){A_INT(k), A_INT(dim)}, 2, 0);
        mirror_call("median", in, 1, one, 2, (const dl_attr[]){A_INT(dim)}, 1, 0);
        mirror_call("mode", in, 1, one, 2, (const dl_attr[]){A_INT(dim)}, 1, 0);
    }
    dl_tensor_clear(&x);
    for (int out = 0; out < 2; out++) dl_tensor_clear(&all[out]), dl_tensor_clear(&top[out]), dl_tensor_clear(&one[out]);
}

static void lines(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 10, 5}, {2, 3, 257}, {3, 0, 2}, {1, 64, 3}};
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int dim = 0; dim < 3; dim++) over(type, shapes[s], dim, (shapes[s][dim] + 1) / 2);
}

static void long_lines(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t shape[] = {2, 3001, 1};
    static const dl_dtype types[] = {DL_F32, DL_F64, DL_I64};
    for (int t = 0; t < 3; t++) over(types[t], shape, 1, 700);
}

/* Integers over their whole range, negative ones among them. */
static void ranges(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const double values[] = {-128, 127, 0, -1, 1, -128, 100, -100};
    static const dl_dtype types[] = {DL_I8, DL_I16, DL_I32, DL_I64, DL_F32, DL_F64, DL_F16, DL_BF16};
    for (int t = 0; t < 8; t++) {
        dl_tensor x, out[2];
        cells_of(&x, types[t], 1, (int64_t[]){8}, values);
        cells_make(&out[0], types[t], 1, (int64_t[]){8}, NULL);
        cells_make(&out[1], DL_I64, 1, (int64_t[]){8}, NULL);
        for (int descending = 0; descending < 2; descending++)
            mirror_call("sort", (const dl_tensor *[]){&x}, 1, out, 2, (const dl_attr[]){A_INT(0), A_INT(descending)}, 2, 0);
        dl_tensor_clear(&x), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]);
    }
}

/* More dimensions than one loop goes over, in memory order and in orders that no two of them can be joined in. */
static void many_dimensions(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t shape[] = {2, 2, 3, 2, 2, 2, 2, 2, 2};
    for (int ndim = 7; ndim <= 9; ndim++)
        for (int dim = 0; dim < ndim; dim += 2)
            for (int spread = 0; spread < 2; spread++) {
                int64_t left[9];
                dl_tensor x, all[2], one[2];
                int n = 0;
                for (int d = 0; d < ndim; d++)
                    if (d != dim) left[n++] = shape[d];
                cells_random(&x, DL_F32, ndim, shape, spread ? &rng : NULL);
                for (int out = 0; out < 2; out++) {
                    cells_make(&all[out], out ? DL_I64 : DL_F32, ndim, shape, spread ? &rng : NULL);
                    cells_make(&one[out], out ? DL_I64 : DL_F32, n, left, spread ? &rng : NULL);
                }
                const dl_tensor *in[] = {&x};
                mirror_call("sort", in, 1, all, 2, (const dl_attr[]){A_INT(dim), A_INT(1)}, 2, 0);
                mirror_call("topk", in, 1, all, 2, (const dl_attr[]){A_INT(shape[dim]), A_INT(dim), A_INT(0)}, 3, 0);
                mirror_call("kthvalue", in, 1, one, 2, (const dl_attr[]){A_INT(2), A_INT(dim)}, 2, 0);
                mirror_call("median", in, 1, one, 2, (const dl_attr[]){A_INT(dim)}, 1, 0);
                mirror_call("mode", in, 1, one, 2, (const dl_attr[]){A_INT(dim - ndim)}, 1, 0);
                dl_tensor_clear(&x);
                for (int out = 0; out < 2; out++) dl_tensor_clear(&all[out]), dl_tensor_clear(&one[out]);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(long_lines), cmocka_unit_test(ranges),
                                       cmocka_unit_test(many_dimensions)};
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
