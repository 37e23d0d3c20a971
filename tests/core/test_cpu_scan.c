/* test_cpu_scan.c - cumsum and cumprod of the CPU backend against loops in double. */
#include "tests/core/cells.h"

static uint64_t rng = 3;

static void check(int32_t ndim, const int64_t *shape, int32_t dim, dl_dtype type, int product) {
    const dl_attr attr[] = {A_INT(cells_below(&rng, 2) ? dim : dim - (ndim ? ndim : 1))};
    dl_tensor x, y = {0}, given;
    const dl_tensor *in[] = {&x};
    int64_t place[DL_MAX_DIMS] = {0};
    cells_random(&x, type, ndim, shape, &rng);
    if (product && type <= DL_BF16)
        for (int64_t i = 0; i < dl_tensor_count(&x); i++) cells_set(&x, i, cells_below(&rng, 2) ? -1 : 1.125);
    cells_call(product ? "cumprod" : "cumsum", in, 1, &y, 1, attr, 1);
    assert_int_equal(y.type, type <= DL_BF16 ? type : DL_I64);
    if (dl_tensor_count(&x)) do {
            int64_t at[DL_MAX_DIMS];
            memcpy(at, place, sizeof at);
            double expected = product, size = 1;
            for (int64_t k = 0; k <= (ndim ? place[dim] : 0); k++) {
                at[dim] = k;
                const double v = cells_get(&x, cells_number(ndim, shape, at));
                expected = product ? expected * v : expected + v;
                size += fabs(expected) + fabs(v);
            }
            if (product && type > DL_BF16) expected = (double)(int64_t)expected;
            cells_near(cells_get(&y, cells_number(ndim, shape, place)), expected, cells_epsilon(type) * size, "scan");
        } while (cells_next(ndim, shape, place));
    cells_make(&given, y.type, ndim, shape, &rng);
    cells_call(product ? "cumprod" : "cumsum", in, 1, &given, 1, attr, 1);
    cells_check_gaps(&given);
    cells_same_bits(&given, &y);
    dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&given);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 800; round++) {
        int64_t shape[4];
        const int32_t ndim = (int32_t)cells_below(&rng, 5);
        for (int32_t d = 0; d < ndim; d++) shape[d] = cells_below(&rng, 20) ? 1 + cells_below(&rng, 6) : 0;
        check(ndim, shape, ndim ? (int32_t)cells_below(&rng, ndim) : 0, (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT), round % 2);
    }
}

static void test_long(void **state) {
    (void)state;
    const int64_t row[] = {2, 1300}, column[] = {30, 300};
    for (int product = 0; product < 2; product++) {
        check(2, row, 1, DL_F32, product);
        check(2, row, 1, DL_F64, product);
        check(2, column, 0, DL_F32, product);
        check(2, column, 0, DL_BF16, product);
    }
    check(2, row, 1, DL_I16, 0);
    check(2, column, 0, DL_U8, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_long)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
