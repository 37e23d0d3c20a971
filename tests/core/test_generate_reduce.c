/* test_generate_reduce.c - the generated kernels of reduce against the CPU's: dtypes, shapes that take one launch or two, by
 * item and by group, layouts, special values. */
#include "dlrun/plugin.h"
#include "tests/core/bare_backend.h"
#include "tests/core/mirror.h"

static uint64_t rng = 9;

static void clear(dl_tensor *t, int32_t n) {
    for (int32_t k = 0; k < n; k++) dl_tensor_clear(&t[k]);
}

/* Sums of quarters up to 4 are exact in float32 up to 2^20 elements; products of many are not, so factors are near 1. */
static void reduce_case(dl_dtype type, int32_t combine, int32_t ndim, const int64_t *shape, int32_t count, int contiguous) {
    const dl_attr attr[] = {A_INT(count), A_INT(combine)};
    dl_tensor t[2];
    if (contiguous) {
        cells_make(&t[0], type, ndim, shape, NULL);
        for (int64_t i = 0; i < dl_tensor_count(&t[0]); i++) cells_set(&t[0], i, (double)cells_below(&rng, 5));
    } else
        cells_random(&t[0], type, ndim, shape, &rng);
    for (int64_t i = 0; combine == DL_OP_MUL && i < dl_tensor_count(&t[0]); i++)
        cells_set(&t[0], i, i % 7 ? 1 : type == DL_U8 || type == DL_BOOL ? 1 : -1);
    cells_make(&t[1], type, ndim - count, shape, contiguous ? NULL : &rng);
    mirror_call("reduce", (const dl_tensor *[]){&t[0]}, 1, &t[1], 1, attr, 2, 1);
    clear(t, 2);
}

static const int32_t combines[] = {DL_OP_ADD, DL_OP_MUL, DL_OP_MAX, DL_OP_MIN};

static void reduce_dtypes(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const char all_combines[DL_DTYPE_COUNT] = {[DL_F32] = 1, [DL_F16] = 1, [DL_U8] = 1, [DL_I32] = 1, [DL_BOOL] = 1};
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++)
        for (int c = 0; c < (all_combines[type] ? 4 : 1); c++) {
            reduce_case(type, combines[c], 2, (int64_t[]){5, 50}, 1, 1); /* a group takes a row */
            reduce_case(type, combines[c], 2, (int64_t[]){5, 7}, 1, 1);  /* an item does */
        }
}

static void reduce_shapes(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const struct {
        int32_t ndim;
        int64_t shape[5];
        int32_t count;
    } cases[] = {
        {0, {0}, 0},
        {1, {1}, 1},
        {1, {100}, 0},
        {1, {100000}, 1},
        {2, {3, 20000}, 1},
        {2, {600, 40}, 1},
        {2, {3, 0}, 1},
        {2, {0, 5}, 1},
        {3, {4, 5, 6}, 3},
        {3, {4, 5, 6}, 2},
        {3, {40, 3, 50}, 2},
        {4, {3, 4, 5, 6}, 2},
        {5, {3, 2, 4, 3, 50}, 3},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int contiguous = 0; contiguous < 2; contiguous++)
            reduce_case(DL_F32, DL_OP_ADD, cases[k].ndim, cases[k].shape, cases[k].count, contiguous);
}

/* Sums over the first dimension: neighbouring outputs lie together, rows are cut into segments. */
static void reduce_columns(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const dl_attr attr[] = {A_INT(1), A_INT(DL_OP_ADD)}, order[] = {A_INT(0), A_INT(1)};
    static const int64_t sizes[][2] = {{20, 100}, {700, 100}, {100000, 40}, {5000, 3}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        dl_tensor x, turned = {0}, y;
        cells_make(&x, DL_F16, 2, sizes[k], NULL);
        for (int64_t i = 0; i < dl_tensor_count(&x); i++) cells_set(&x, i, (double)cells_below(&rng, 5) - 2);
        cells_call("transpose", (const dl_tensor *[]){&x}, 1, &turned, 1, order, 2);
        cells_make(&y, DL_F16, 1, &sizes[k][1], NULL);
        mirror_call("reduce", (const dl_tensor *[]){&turned}, 1, &y, 1, attr, 2, 1);
        clear(&x, 1), clear(&turned, 1), clear(&y, 1);
    }
}

static void reduce_special(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int c = 0; c < 4; c++)
        for (int64_t length = 3; length < 100; length += 90) {
            const dl_attr attr[] = {A_INT(1), A_INT(combines[c])};
            const int64_t shape[] = {4, length};
            dl_tensor t[2];
            cells_random(&t[0], DL_F32, 2, shape, &rng);
            cells_set(&t[0], 1, NAN), cells_set(&t[0], length + 2, INFINITY), cells_set(&t[0], 2 * length, -INFINITY);
            cells_make(&t[1], DL_F32, 1, shape, NULL);
            for (int64_t i = 3 * length; combines[c] == DL_OP_MUL && i < 4 * length; i++) cells_set(&t[0], i, 1);
            mirror_call("reduce", (const dl_tensor *[]){&t[0]}, 1, &t[1], 1, attr, 2, 1);
            clear(t, 2);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reduce_dtypes), cmocka_unit_test(reduce_shapes),
                                       cmocka_unit_test(reduce_columns), cmocka_unit_test(reduce_special)};
    return cmocka_run_group_tests(tests, bare_start, NULL);
}
