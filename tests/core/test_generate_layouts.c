/* test_generate_layouts.c - generated kernels on tensors of every layout and dtype against the CPU's: pointwise programs,
 * copies, cat. */
#include "tests/core/bare_backend.h"
#include "tests/core/mirror.h"

static uint64_t rng = 5;

/* Shapes that are flat, of each rank, with sizes of 1 and 0, and more dimensions than one launch takes. */
static const struct {
    int32_t ndim;
    int64_t shape[8];
} shapes[] = {{0, {0}},
              {1, {1}},
              {1, {300}},
              {2, {0, 3}},
              {2, {5, 7}},
              {2, {1, 130}},
              {3, {4, 3, 5}},
              {4, {2, 3, 4, 3}},
              {5, {2, 3, 2, 3, 2}},
              {6, {2, 2, 3, 2, 2, 2}},
              {8, {2, 1, 2, 3, 2, 2, 2, 2}}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void clear(dl_tensor *t, int32_t n) {
    for (int32_t k = 0; k < n; k++) dl_tensor_clear(&t[k]);
}

static void add(dl_dtype type, int s, int contiguous) {
    dl_tensor t[3];
    const dl_attr alpha = A_INT(2);
    uint64_t *random = contiguous ? NULL : &rng;
    for (int k = 0; k < 2; k++) {
        cells_make(&t[k], type, shapes[s].ndim, shapes[s].shape, random);
        for (int64_t i = 0; i < dl_tensor_count(&t[k]); i++) cells_set(&t[k], i, (double)cells_below(&rng, 7));
    }
    cells_make(&t[2], type, shapes[s].ndim, shapes[s].shape, random);
    mirror_call("add", (const dl_tensor *[]){&t[0], &t[1]}, 2, &t[2], 1, &alpha, type != DL_BOOL, 0);
    clear(t, 3);
}

static void pointwise(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int s = 0; s < SHAPES; s++)
        for (int contiguous = 0; contiguous < 2; contiguous++) add(DL_F32, s, contiguous);
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++) add(type, 4, 0);
}

static void broadcast(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    dl_tensor t[4];
    cells_random(&t[0], DL_BOOL, 2, (int64_t[]){7, 1}, &rng);
    cells_random(&t[1], DL_F32, 3, (int64_t[]){3, 1, 5}, &rng);
    cells_random(&t[2], DL_F32, 0, NULL, &rng);
    cells_make(&t[3], DL_F32, 3, (int64_t[]){3, 7, 5}, &rng);
    mirror_call("where", (const dl_tensor *[]){&t[0], &t[1], &t[2]}, 3, &t[3], 1, NULL, 0, 0);
    clear(t, 4);
}

/* Element numbers are those of the row-major order, wherever elements lie. */
static void numbers(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int s = 0; s < SHAPES; s++)
        for (int contiguous = 0; contiguous < 2; contiguous++) {
            const dl_attr attr[] = {A_INT(3), A_INT(2)};
            dl_tensor t[2];
            for (int k = 0; k < 2; k++) cells_make(&t[k], DL_I32, shapes[s].ndim, shapes[s].shape, contiguous ? NULL : &rng);
            mirror_call("ramp", (const dl_tensor *[]){&t[0]}, 1, &t[1], 1, attr, 2, 0);
            clear(t, 2);
        }
}

/* Every pair of dtypes; the numbers are whole and fit, but for what saturates. */
static void conversions(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (dl_dtype from = 0; from < DL_DTYPE_COUNT; from++)
        for (dl_dtype to = 0; to < DL_DTYPE_COUNT; to++) {
            const dl_attr type = A_INT(to);
            dl_tensor t[2];
            cells_random(&t[0], from, 2, (int64_t[]){9, 13}, &rng);
            if (from <= DL_BF16) {
                cells_set(&t[0], 0, NAN), cells_set(&t[0], 1, INFINITY), cells_set(&t[0], 2, -1e30), cells_set(&t[0], 3, 3000);
            }
            cells_make(&t[1], to, 2, (int64_t[]){9, 13}, &rng);
            mirror_call("copy", (const dl_tensor *[]){&t[0]}, 1, &t[1], 1, &type, 1, 0);
            clear(t, 2);
        }
}

static void expanded_copy(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    dl_tensor t[2];
    cells_random(&t[0], DL_F16, 2, (int64_t[]){4, 1}, &rng);
    cells_make(&t[1], DL_F64, 3, (int64_t[]){3, 4, 6}, &rng);
    mirror_call("copy", (const dl_tensor *[]){&t[0]}, 1, &t[1], 1, NULL, 0, 0);
    clear(t, 2);
}

static void cat(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int64_t dim = -1; dim < 2; dim++) {
        const dl_attr attr = A_INT(dim);
        dl_tensor t[4];
        for (int k = 0; k < 3; k++)
            cells_random(&t[k], k == 1 ? DL_I32 : DL_F32, 2, dim ? (int64_t[]){4, k + 2} : (int64_t[]){k, 5}, &rng);
        cells_make(&t[3], DL_F32, 2, dim ? (int64_t[]){4, 9} : (int64_t[]){3, 5}, &rng);
        mirror_call("cat", (const dl_tensor *[]){&t[0], &t[1], &t[2]}, 3, &t[3], 1, &attr, 1, 0);
        clear(t, 4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pointwise),     cmocka_unit_test(broadcast),
                                       cmocka_unit_test(numbers),       cmocka_unit_test(conversions),
                                       cmocka_unit_test(expanded_copy), cmocka_unit_test(cat)};
    return cmocka_run_group_tests(tests, bare_start, NULL);
}
