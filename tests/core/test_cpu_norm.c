/* test_cpu_norm.c - standardize and its backward op of the CPU backend against loops in double. */
#include "tests/core/cells.h"

static uint64_t rng = 6;

enum { EPS_COUNT = 2 };
static const double eps_values[EPS_COUNT] = {1e-5, 0.5};

/* The number, within the statistics' shape, of the group that element `place` belongs to. */
static int64_t group_of(int32_t ndim, const int64_t *shape, uint32_t mask, const int64_t *place) {
    int64_t number = 0;
    for (int32_t d = 0; d < ndim; d++)
        if (!(mask >> d & 1)) number = number * shape[d] + place[d];
    return number;
}

typedef struct reference {
    long double *mean, *var, *g, *gu; /* by group */
    int64_t groups;
    double length;
} reference;

static reference reference_of(int32_t ndim, const int64_t *shape, uint32_t mask) {
    reference r = {.groups = 1, .length = 1};
    for (int32_t d = 0; d < ndim; d++) {
        if (mask >> d & 1)
            r.length *= (double)shape[d];
        else
            r.groups *= shape[d];
    }
    r.mean = calloc((size_t)r.groups * 4 + 1, sizeof *r.mean);
    r.var = r.mean + r.groups;
    r.g = r.var + r.groups;
    r.gu = r.g + r.groups;
    return r;
}

static double tolerance(dl_dtype type, double value, double size) {
    return 4 * cells_epsilon(type) * fabs(value) + 16 * cells_epsilon(type == DL_F64 ? type : DL_F32) * size;
}

static void check(int32_t ndim, const int64_t *shape, uint32_t mask, dl_dtype type, double eps) {
    int64_t dims[4], kept[4], affine[4], place[4] = {0};
    int32_t n = 0;
    for (int32_t d = 0; d < ndim; d++) {
        if (mask >> d & 1) dims[n++] = cells_below(&rng, 2) ? d : d - ndim;
        kept[d] = mask >> d & 1 ? 1 : shape[d];
        affine[d] = cells_below(&rng, 2) ? shape[d] : 1;
    }
    const int weighted = (int)cells_below(&rng, 2), shifted = (int)cells_below(&rng, 2);
    const int32_t drop = (int32_t)cells_below(&rng, ndim + 1); /* weight and bias may have fewer dimensions */
    const dl_attr attr[] = {A_INTS(dims, n), A_FLOAT(eps)};
    const dl_dtype statistics = type == DL_F64 ? DL_F64 : DL_F32;
    dl_tensor x, w, b, grad, y, both[3] = {{0}}, mean, rstd;
    cells_random(&x, type, ndim, shape, &rng);
    cells_random(&grad, type, ndim, shape, &rng);
    cells_random(&w, type, ndim - drop, affine + drop, &rng);
    cells_random(&b, type, ndim - drop, affine + drop, &rng);
    cells_make(&y, type, ndim, shape, &rng);
    const dl_tensor *in[] = {&x, weighted ? &w : NULL, shifted ? &b : NULL};
    cells_call("standardize", in, 3, both, 3, attr, 2);

    reference r = reference_of(ndim, shape, mask);
    int64_t k = 0;
    do {
        r.mean[group_of(ndim, shape, mask, place)] += (long double)cells_get(&x, k++) / r.length;
    } while (cells_next(ndim, shape, place));
    k = 0;
    do {
        const int64_t group = group_of(ndim, shape, mask, place);
        r.var[group] += powl(cells_get(&x, k++) - r.mean[group], 2) / r.length;
    } while (cells_next(ndim, shape, place));
    cells_make(&mean, statistics, ndim, kept, &rng);
    cells_make(&rstd, statistics, ndim, kept, &rng);
    for (int64_t group = 0; group < r.groups; group++) {
        cells_near(cells_get(&both[1], group), (double)r.mean[group], tolerance(statistics, (double)r.mean[group], 4), "mean");
        cells_near(cells_get(&both[2], group), (double)r.var[group], tolerance(statistics, (double)r.var[group], 16), "var");
        cells_set(&mean, group, (double)r.mean[group]);
        cells_set(&rstd, group, 1 / sqrt((double)r.var[group] + eps));
    }
    k = 0;
    do {
        const int64_t group = group_of(ndim, shape, mask, place);
        int64_t at[4];
        for (int32_t d = 0; d < ndim; d++) at[d] = affine[d] == 1 ? 0 : place[d];
        const int64_t own = cells_number(ndim - drop, affine + drop, at + drop);
        const double rs = 1 / sqrt((double)r.var[group] + eps), u = (cells_get(&x, k) - (double)r.mean[group]) * rs;
        const double expected = u * (weighted ? cells_get(&w, own) : 1) + (shifted ? cells_get(&b, own) : 0);
        cells_near(cells_get(&both[0], k), expected, tolerance(type, expected, 16 * (1 + rs)), "standardize");
        r.g[group] += (long double)cells_get(&grad, k) / r.length;
        r.gu[group] += (long double)cells_get(&grad, k) * u / r.length;
        k++;
    } while (cells_next(ndim, shape, place));

    const dl_tensor *backward[] = {&grad, &x, &mean, &rstd};
    cells_call("standardize_backward", backward, 4, &y, 1, attr, 1);
    cells_check_gaps(&y);
    k = 0;
    do {
        const int64_t group = group_of(ndim, shape, mask, place);
        const double rs = 1 / sqrt((double)r.var[group] + eps), u = (cells_get(&x, k) - (double)r.mean[group]) * rs;
        const double expected = rs * (cells_get(&grad, k) - (double)r.g[group] - u * (double)r.gu[group]);
        cells_near(cells_get(&y, k), expected, tolerance(type, expected, 16 * rs * (1 + rs) * (1 + rs)),
                   "standardize_backward");
        k++;
    } while (cells_next(ndim, shape, place));
    free(r.mean);
    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&b), dl_tensor_clear(&grad), dl_tensor_clear(&y);
    dl_tensor_clear(&mean), dl_tensor_clear(&rstd);
    for (int i = 0; i < 3; i++) dl_tensor_clear(&both[i]);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 800; round++) {
        int64_t shape[4];
        const int32_t ndim = 1 + (int32_t)cells_below(&rng, 4);
        for (int32_t d = 0; d < ndim; d++) shape[d] = 1 + cells_below(&rng, 6);
        const uint32_t mask = 1 + (uint32_t)cells_below(&rng, (1 << ndim) - 1);
        check(ndim, shape, mask, (dl_dtype)cells_below(&rng, 4), eps_values[round % EPS_COUNT]);
    }
}

/* Groups longer than a row buffer; more groups than one thread takes. */
static void test_long(void **state) {
    (void)state;
    const int64_t few[] = {3, 1543}, many[] = {900, 40}, middle[] = {20, 6, 130};
    const int32_t threads = dl_threads(3);
    for (dl_dtype type = DL_F32; type <= DL_BF16; type++) {
        check(2, few, 2, type, 1e-5);
        check(2, many, 2, type, 1e-5);
        check(2, many, 1, type, 1e-5);
        check(3, middle, 5, type, 1e-5);
    }
    dl_threads(threads);
}

/* The variance does not come from a difference of squares. */
static void test_far_from_zero(void **state) {
    (void)state;
    const int64_t n = 4, dim = 0;
    const dl_attr attr[] = {A_INTS(&dim, 1), A_FLOAT(0)};
    dl_tensor x, y[3] = {{0}};
    const dl_tensor *in[] = {&x, NULL, NULL};
    cells_of(&x, DL_F32, 1, &n, (const double[]){100001, 99999, 100001, 99999});
    cells_call("standardize", in, 3, y, 3, attr, 2);
    for (int64_t k = 0; k < n; k++) assert_true(cells_get(&y[0], k) == (k % 2 ? -1 : 1));
    assert_true(cells_get(&y[1], 0) == 100000 && cells_get(&y[2], 0) == 1);
    for (int k = 0; k < 3; k++) dl_tensor_clear(&y[k]);
    dl_tensor_clear(&x);
}

/* No groups, and groups of nothing. */
static void test_empty(void **state) {
    (void)state;
    const int64_t none[] = {0, 3}, nothing[] = {2, 0}, dim = 1;
    const dl_attr attr[] = {A_INTS(&dim, 1), A_FLOAT(1e-5)};
    for (int k = 0; k < 2; k++) {
        dl_tensor x, y[3] = {{0}};
        const dl_tensor *in[] = {&x, NULL, NULL};
        cells_make(&x, DL_F32, 2, k ? nothing : none, NULL);
        cells_call("standardize", in, 3, y, 3, attr, 2);
        assert_int_equal(dl_tensor_count(&y[0]), 0);
        assert_int_equal(dl_tensor_count(&y[1]), k ? 2 : 0);
        for (int64_t i = 0; i < dl_tensor_count(&y[1]); i++) assert_true(isnan(cells_get(&y[1], i)));
        for (int i = 0; i < 3; i++) dl_tensor_clear(&y[i]);
        dl_tensor_clear(&x);
    }
}

static void test_refusals(void **state) {
    (void)state;
    const int64_t shape[] = {1, 4}, three = 3, none = 0;
    const dl_attr dims[] = {A_INT(1), A_FLOAT(1e-5)}, groups[] = {A_INT(3), A_FLOAT(1e-5)},
                  too_many[] = {A_INT(3), A_FLOAT(1e-5)}, negative[] = {A_INTS(&none, 1), A_FLOAT(-1)};
    dl_tensor x, w, y[3] = {{0}};
    const dl_tensor *plain[] = {&x, NULL, NULL, NULL, NULL}, *weighted[] = {&x, &w, NULL};
    cells_make(&x, DL_F32, 2, shape, NULL);
    cells_make(&w, DL_F32, 1, &three, NULL);
    cells_refuse("expected weight of shape (4), x's last dimensions, got (3)", "layer_norm", weighted, 3, y, 3, dims, 2);
    cells_refuse("expected to normalise 1..2 last dimensions of x (1, 4), got 3", "layer_norm", plain, 3, y, 3, too_many, 2);
    cells_refuse("expected a number of groups that divides the 4 channels of x (1, 4), got 3", "group_norm", plain, 3, y, 3,
                 groups, 2);
    cells_refuse("training needs at least two values for each channel, x (1, 4) has 1: use larger batches or evaluate",
                 "batch_norm", plain, 5, y, 3, dims, 2);
    cells_refuse("expected eps of 0 or more, got -1", "standardize", plain, 3, y, 3, negative, 2);
    dl_tensor_clear(&x), dl_tensor_clear(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_far_from_zero), cmocka_unit_test(test_empty),
                                       cmocka_unit_test(test_refusals)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
