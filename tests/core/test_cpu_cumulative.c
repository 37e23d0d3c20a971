/* test_cpu_cumulative.c - cummax, cummin and logcumsumexp of the CPU backend against loops in double. */
#include "tests/core/cells.h"

static uint64_t rng = 12;

static void check(int32_t ndim, const int64_t *shape, int32_t dim, dl_dtype type, int largest) {
    const dl_attr attr[] = {A_INT(cells_below(&rng, 2) ? dim : dim - (ndim ? ndim : 1))};
    dl_tensor x, y[2];
    const dl_tensor *in[] = {&x};
    int64_t place[DL_MAX_DIMS] = {0}, n = 0;
    cells_random(&x, type, ndim, shape, &rng);
    cells_make(&y[0], type, ndim, shape, &rng);
    cells_make(&y[1], DL_I64, ndim, shape, &rng);
    cells_call(largest ? "cummax" : "cummin", in, 1, y, 2, attr, 1);
    cells_check_gaps(&y[0]), cells_check_gaps(&y[1]);
    if (dl_tensor_count(&x)) do {
            int64_t at[DL_MAX_DIMS], best = 0;
            double value = 0;
            memcpy(at, place, sizeof at);
            for (int64_t k = 0; k <= (ndim ? place[dim] : 0); k++) {
                at[dim] = k;
                const double v = cells_get(&x, cells_number(ndim, shape, at));
                if (k == 0 || (largest ? v >= value : v <= value)) value = v, best = k;
            }
            assert_true(cells_get(&y[0], n) == value && cells_get(&y[1], n) == (double)best);
            n++;
        } while (cells_next(ndim, shape, place));
    dl_tensor_clear(&x), dl_tensor_clear(&y[0]), dl_tensor_clear(&y[1]);
}

static void test_extremes(void **state) {
    (void)state;
    const int64_t row[] = {2, 1300};
    for (int round = 0; round < 800; round++) {
        int64_t shape[4];
        const int32_t ndim = (int32_t)cells_below(&rng, 5);
        for (int32_t d = 0; d < ndim; d++) shape[d] = cells_below(&rng, 20) ? 1 + cells_below(&rng, 6) : 0;
        check(ndim, shape, ndim ? (int32_t)cells_below(&rng, ndim) : 0, (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT), round % 2);
    }
    check(2, row, 1, DL_F32, 1);
    check(2, row, 1, DL_I32, 0);
}

static void expect(const char *op, const double *values, int64_t n, const double *expected, const double *places) {
    const dl_attr attr[] = {A_INT(0)};
    dl_tensor x, y[2] = {{0}};
    const dl_tensor *in[] = {&x};
    cells_of(&x, DL_F64, 1, &n, values);
    cells_call(op, in, 1, y, places ? 2 : 1, attr, 1);
    for (int64_t i = 0; i < n; i++) {
        cells_near(cells_get(&y[0], i), expected[i], 4e-16 * fabs(expected[i]), op);
        if (places) assert_true(cells_get(&y[1], i) == places[i]);
    }
    dl_tensor_clear(&x), dl_tensor_clear(&y[0]), dl_tensor_clear(&y[1]);
}

/* NaN stays, a later NaN takes its place; infinities and their absence in sums of exponentials. */
static void test_special_values(void **state) {
    (void)state;
    const double nan_at[] = {1, NAN, 3, NAN, 2};
    expect("cummax", nan_at, 5, (const double[]){1, NAN, NAN, NAN, NAN}, (const double[]){0, 1, 1, 3, 3});
    expect("cummin", nan_at, 5, (const double[]){1, NAN, NAN, NAN, NAN}, (const double[]){0, 1, 1, 3, 3});
    expect("cummax", (const double[]){-INFINITY, -INFINITY, 0}, 3, (const double[]){-INFINITY, -INFINITY, 0},
           (const double[]){0, 1, 2});
    const double two = log(2), three = log(3);
    expect("logcumsumexp", (const double[]){-INFINITY, -INFINITY, 5, 5, -INFINITY, 5}, 6,
           (const double[]){-INFINITY, -INFINITY, 5, 5 + two, 5 + two, 5 + three}, NULL);
    expect("logcumsumexp", (const double[]){1, INFINITY, 2, INFINITY}, 4, (const double[]){1, INFINITY, INFINITY, INFINITY},
           NULL);
    expect("logcumsumexp", (const double[]){1, NAN, 2, INFINITY}, 4, (const double[]){1, NAN, NAN, NAN}, NULL);
    expect("logcumsumexp", (const double[]){-1000, 0, 1000, 1000}, 4, (const double[]){-1000, 0, 1000, 1000 + two}, NULL);
}

static void test_sums(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const int64_t shape[] = {1 + cells_below(&rng, 4), 1 + cells_below(&rng, round % 50 ? 6 : 1200)};
        const dl_dtype type = (dl_dtype)cells_below(&rng, 4);
        const dl_attr attr[] = {A_INT(-1)};
        dl_tensor x, y;
        const dl_tensor *in[] = {&x};
        cells_random(&x, type, 2, shape, &rng);
        cells_make(&y, type, 2, shape, &rng);
        cells_call("logcumsumexp", in, 1, &y, 1, attr, 1);
        cells_check_gaps(&y);
        for (int64_t r = 0; r < shape[0]; r++) {
            double sum = 0;
            for (int64_t i = 0; i < shape[1]; i++) {
                sum += exp(cells_get(&x, r * shape[1] + i));
                cells_near(cells_get(&y, r * shape[1] + i), log(sum), 2 * cells_epsilon(type) * (1 + fabs(log(sum))) + 1e-12,
                           "logcumsumexp");
            }
        }
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_extremes), cmocka_unit_test(test_special_values),
                                       cmocka_unit_test(test_sums)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
