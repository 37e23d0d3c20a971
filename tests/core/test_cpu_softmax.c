/* test_cpu_softmax.c - softmax, log_softmax and their backward ops of the CPU backend against loops in double. */
#include "tests/core/cells.h"

static uint64_t rng = 4;

enum { SOFTMAX, LOG_SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD, OPS };
static const char *const ops[] = {"softmax", "log_softmax", "softmax_backward", "log_softmax_backward"};

/* One line: a is x or the gradient, b the forward's result. */
static void reference(int op, const double *a, const double *b, int64_t n, double *y) {
    double most = -INFINITY, sum = 0, dot = 0, total = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, a[i]);
        dot += a[i] * b[i];
        total += a[i];
    }
    for (int64_t i = 0; i < n; i++) sum += exp(a[i] - most);
    for (int64_t i = 0; i < n; i++)
        y[i] = op == SOFTMAX            ? exp(a[i] - most) / sum
               : op == LOG_SOFTMAX      ? a[i] - most - log(sum)
               : op == SOFTMAX_BACKWARD ? b[i] * (a[i] - dot)
                                        : a[i] - exp(b[i]) * total;
}

static void check(int op, int32_t ndim, const int64_t *shape, int32_t dim, dl_dtype type) {
    const int64_t n = ndim ? shape[dim] : 1;
    const dl_attr attr[] = {A_INT(cells_below(&rng, 2) ? dim : dim - (ndim ? ndim : 1))};
    dl_tensor a, b, y;
    const dl_tensor *in[] = {&a, &b};
    int64_t place[DL_MAX_DIMS] = {0};
    cells_random(&a, type, ndim, shape, &rng);
    cells_random(&b, type, ndim, shape, &rng);
    cells_make(&y, type, ndim, shape, &rng);
    for (int64_t i = 0; i < dl_tensor_count(&b); i++)
        cells_set(&b, i, cells_get(&b, i) / 8 - (op == LOG_SOFTMAX_BACKWARD ? 1 : 0));
    cells_call(ops[op], in, op < SOFTMAX_BACKWARD ? 1 : 2, &y, 1, attr, 1);
    cells_check_gaps(&y);
    double *line = malloc((size_t)(n + 1) * 3 * sizeof *line), *of_b = line + n, *expected = of_b + n;
    if (dl_tensor_count(&a)) do {
            if (ndim && place[dim]) continue;
            double size = 1;
            for (int pass = 0; pass < 2; pass++) {
                int64_t at[DL_MAX_DIMS];
                memcpy(at, place, sizeof at);
                for (int64_t k = 0; k < n; k++) {
                    at[dim] = k;
                    const int64_t number = cells_number(ndim, shape, at);
                    if (pass == 0) {
                        line[k] = cells_get(&a, number);
                        of_b[k] = cells_get(&b, number);
                        size += fabs(line[k] * of_b[k]);
                    } else {
                        const double arithmetic = 4 * fmax(cells_epsilon(type) * fabs(expected[k]),
                                                           cells_epsilon(type == DL_F64 ? type : DL_F32) * size);
                        cells_near(cells_get(&y, number), expected[k], arithmetic, ops[op]);
                    }
                }
                if (pass == 0) reference(op, line, of_b, n, expected);
            }
        } while (cells_next(ndim, shape, place));
    free(line);
    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&y);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 1200; round++) {
        int64_t shape[4];
        const int32_t ndim = (int32_t)cells_below(&rng, 5);
        for (int32_t d = 0; d < ndim; d++) shape[d] = cells_below(&rng, 20) ? 1 + cells_below(&rng, 7) : 0;
        check(round % OPS, ndim, shape, ndim ? (int32_t)cells_below(&rng, ndim) : 0, (dl_dtype)cells_below(&rng, 4));
    }
}

/* Lines longer than a row buffer; more lines than one thread takes. */
static void test_long(void **state) {
    (void)state;
    const int64_t few[] = {3, 1543}, many[] = {700, 11}, middle[] = {2, 600, 5};
    const int32_t threads = dl_threads(3);
    for (int op = 0; op < OPS; op++)
        for (dl_dtype type = DL_F32; type <= DL_BF16; type++) {
            check(op, 2, few, 1, type);
            check(op, 2, many, 1, type);
            check(op, 3, middle, 1, type);
        }
    dl_threads(threads);
}

static void test_extremes(void **state) {
    (void)state;
    const int64_t n = 3;
    const dl_attr dim[] = {A_INT(0)};
    const double large[] = {1000, 1000, -1000}, masked[] = {0, -INFINITY, 0}, empty[] = {-INFINITY, -INFINITY, -INFINITY},
                 broken[] = {0, NAN, 1};
    dl_tensor x, y = {0};
    const dl_tensor *in[] = {&x};
    cells_of(&x, DL_F32, 1, &n, large);
    cells_call("softmax", in, 1, &y, 1, dim, 1);
    assert_true(cells_get(&y, 0) == 0.5 && cells_get(&y, 2) == 0);
    cells_call("log_softmax", in, 1, &y, 1, dim, 1);
    cells_near(cells_get(&y, 2), -2000 - log(2), 1e-3, "log_softmax of large values");
    dl_tensor_clear(&x);
    cells_of(&x, DL_F32, 1, &n, masked);
    cells_call("softmax", in, 1, &y, 1, dim, 1);
    assert_true(cells_get(&y, 0) == 0.5 && cells_get(&y, 1) == 0);
    cells_call("log_softmax", in, 1, &y, 1, dim, 1);
    assert_true(cells_get(&y, 1) == -INFINITY);
    dl_tensor_clear(&x);
    for (int k = 0; k < 2; k++) {
        cells_of(&x, DL_F32, 1, &n, k ? broken : empty);
        cells_call("softmax", in, 1, &y, 1, dim, 1);
        for (int64_t i = 0; i < n; i++) assert_true(isnan(cells_get(&y, i)));
        dl_tensor_clear(&x);
    }
    dl_tensor_clear(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_extremes)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
