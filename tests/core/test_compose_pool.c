/* test_compose_pool.c - pooling composed from primitive ops, against the CPU's kernels: values, places, ties, NaN, halves. */
#include "tests/core/composed.h"
#include <stdio.h>

static uint64_t rng = 45;

typedef struct problem {
    int32_t spatial, leading; /* dimensions */
    int64_t kernel[3], stride[3], padding[3], dilation[3];
    int ceil_mode;
    int64_t x[5], y[5];
    char text[128];
} problem;

static void describe(problem *p) {
    const int32_t d = p->leading;
    snprintf(p->text, sizeof p->text, "%d leading, in %d.. out %d.. kernel %d stride %d padding %d dilation %d ceil %d", (int)d,
             (int)p->x[d], (int)p->y[d], (int)p->kernel[0], (int)p->stride[0], (int)p->padding[0], (int)p->dilation[0],
             p->ceil_mode);
}

/* Windows that fit and hold an element each, over planes of which there may be none. */
static problem random_problem(int dilated) {
    problem p = {.spatial = 1 + (int32_t)cells_below(&rng, 3), .leading = (int32_t)cells_below(&rng, 3)};
    p.ceil_mode = (int)cells_below(&rng, 2);
    for (int32_t d = 0; d < p.leading; d++) p.x[d] = p.y[d] = cells_below(&rng, 20) ? 1 + cells_below(&rng, 4) : 0;
    for (int32_t d = 0; d < p.spatial; d++) {
        int64_t *x = &p.x[p.leading + d], *y = &p.y[p.leading + d], extent;
        do {
            *x = 1 + cells_below(&rng, 9);
            p.kernel[d] = 1 + cells_below(&rng, 4);
            p.stride[d] = 1 + cells_below(&rng, 3);
            p.padding[d] = cells_below(&rng, p.kernel[d] / 2 + 1);
            p.dilation[d] = dilated && *x > 4 ? 1 + cells_below(&rng, 2) : 1;
            extent = p.dilation[d] * (p.kernel[d] - 1) + 1;
        } while (extent > *x + 2 * p.padding[d]);
        const int64_t room = *x + 2 * p.padding[d] - extent;
        *y = (room + (p.ceil_mode ? p.stride[d] - 1 : 0)) / p.stride[d] + 1;
        if ((*y - 1) * p.stride[d] >= *x + p.padding[d]) (*y)--;
    }
    describe(&p);
    return p;
}

static double tolerance(dl_dtype type) { return type == DL_F16 || type == DL_BF16 ? 2 : 64; }

/* Few different values, so that windows have ties; now and then NaN and infinities. */
static void random_input(dl_tensor *x, int32_t ndim, const int64_t *shape, dl_dtype type) {
    cells_random(x, type, ndim, shape, &rng);
    for (int64_t k = 0; cells_below(&rng, 2) && k < dl_tensor_count(x); k++) cells_set(x, k, (double)cells_below(&rng, 3) - 1);
    if (cells_below(&rng, 3) == 0) composed_spoil(x, &rng);
    for (int64_t k = 0; cells_below(&rng, 10) == 0 && k < dl_tensor_count(x); k++) cells_set(x, k, -INFINITY);
}

static void test_max(void **state) {
    (void)state;
    for (int round = 0; round < 800; round++) {
        const problem p = random_problem(1);
        const int32_t n = p.spatial;
        const dl_attr attr[] = {A_INTS(p.kernel, n), A_INTS(p.stride, n), A_INTS(p.padding, n), A_INTS(p.dilation, n),
                                A_INT(p.ceil_mode)};
        dl_tensor x;
        random_input(&x, p.leading + n, p.x, composed_type(&rng));
        composed_check("max_pool", (const dl_tensor *[]){&x}, 1, attr, 5, 0, p.text);
        dl_tensor_clear(&x);
    }
}

static void test_average(void **state) {
    (void)state;
    for (int round = 0; round < 800; round++) {
        const problem p = random_problem(0);
        const int32_t n = p.spatial, ndim = p.leading + n;
        const int64_t divisor = cells_below(&rng, 3) ? 0 : 1 + cells_below(&rng, 5);
        const dl_attr attr[] = {
            A_INTS(p.x + p.leading, n), A_INTS(p.kernel, n),         A_INTS(p.stride, n), A_INTS(p.padding, n),
            A_INT(p.ceil_mode),         A_INT(cells_below(&rng, 2)), A_INT(divisor)};
        const dl_dtype type = composed_type(&rng);
        dl_tensor x, grad;
        cells_random(&x, type, ndim, p.x, &rng);
        cells_random(&grad, type, ndim, p.y, &rng);
        if (cells_below(&rng, 4) == 0) composed_spoil(&x, &rng);
        composed_check("avg_pool", (const dl_tensor *[]){&x}, 1, attr + 1, 6, tolerance(type), p.text);
        composed_check("avg_pool_backward", (const dl_tensor *[]){&grad}, 1, attr, 7, tolerance(type), p.text);
        dl_tensor_clear(&x), dl_tensor_clear(&grad);
    }
}

static void test_adaptive(void **state) {
    (void)state;
    for (int round = 0; round < 800; round++) {
        problem p = random_problem(0);
        const int32_t n = p.spatial, ndim = p.leading + n;
        for (int32_t d = p.leading; d < ndim; d++) p.y[d] = cells_below(&rng, 30) ? 1 + cells_below(&rng, 12) : 0;
        describe(&p);
        const dl_attr to = A_INTS(p.y + p.leading, n), from = A_INTS(p.x + p.leading, n);
        const dl_dtype type = composed_type(&rng);
        dl_tensor x, grad;
        random_input(&x, ndim, p.x, type);
        cells_random(&grad, type, ndim, p.y, &rng);
        composed_check("adaptive_max_pool", (const dl_tensor *[]){&x}, 1, &to, 1, 0, p.text);
        composed_check("adaptive_avg_pool", (const dl_tensor *[]){&x}, 1, &to, 1, tolerance(type), p.text);
        composed_check("adaptive_avg_pool_backward", (const dl_tensor *[]){&grad}, 1, &from, 1, tolerance(type), p.text);
        dl_tensor_clear(&x), dl_tensor_clear(&grad);
    }
}

static void test_fractional(void **state) {
    (void)state;
    static const double outside[] = {-1, 2, NAN, INFINITY, -INFINITY}; /* of 0..1, where draws should be */
    for (int round = 0; round < 400; round++) {
        problem p = random_problem(0);
        const int32_t n = p.spatial, ndim = p.leading + n;
        int64_t draws_shape[3];
        for (int32_t d = 0; d < p.leading; d++) draws_shape[d] = p.x[d];
        draws_shape[p.leading] = n;
        for (int32_t d = 0; d < n; d++) {
            const int64_t in = p.x[p.leading + d];
            if (p.kernel[d] > in) p.kernel[d] = in;
            p.y[p.leading + d] = 1 + cells_below(&rng, in - p.kernel[d] + 1);
        }
        describe(&p);
        const dl_attr attr[] = {A_INTS(p.kernel, n), A_INTS(p.y + p.leading, n)};
        dl_tensor x, draws;
        random_input(&x, ndim, p.x, composed_type(&rng));
        cells_random(&draws, (dl_dtype)cells_below(&rng, 2), p.leading + 1, draws_shape, &rng);
        for (int64_t k = 0; k < dl_tensor_count(&draws); k++)
            cells_set(&draws, k,
                      cells_below(&rng, 8) ? cells_rounded(DL_F32, (double)cells_below(&rng, 1000) / 1000)
                                           : outside[cells_below(&rng, 5)]);
        composed_check("fractional_max_pool", (const dl_tensor *[]){&x, &draws}, 2, attr, 2, 0, p.text);
        dl_tensor_clear(&x), dl_tensor_clear(&draws);
    }
}

static void test_places(void **state) {
    (void)state;
    for (int round = 0; round < 600; round++) {
        const problem p = random_problem(1);
        const int32_t n = p.spatial, ndim = p.leading + n;
        const int64_t *size = p.x + p.leading;
        int64_t plane = 1;
        for (int32_t d = 0; d < n; d++) plane *= size[d];
        const dl_attr sizes = A_INTS(size, n), spatial = A_INT(n);
        const dl_dtype type = composed_type(&rng);
        dl_tensor x, y, index;
        cells_random(&x, type, ndim, p.x, &rng);
        cells_random(&y, type, ndim, p.y, &rng);
        cells_make(&index, DL_I64, ndim, p.y, &rng);
        for (int64_t k = 0; k < dl_tensor_count(&index); k++) cells_set(&index, k, (double)cells_below(&rng, plane));
        /* the CPU's kernel keeps sums of halves in float32 as well */
        composed_check("max_pool_backward", (const dl_tensor *[]){&y, &index}, 2, &sizes, 1, 0, p.text);
        composed_check("max_unpool", (const dl_tensor *[]){&y, &index}, 2, &sizes, 1, 0, p.text);
        composed_check("max_unpool_backward", (const dl_tensor *[]){&x, &index}, 2, &spatial, 1, 0, p.text);
        if (dl_tensor_count(&index)) {
            cells_set(&index, 0, round % 2 ? -1 : (double)plane);
            composed_check("max_pool_backward", (const dl_tensor *[]){&y, &index}, 2, &sizes, 1, 0, p.text);
        }
        dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&index);
    }
}

/* Results of the CPU's convolutions lie channels-last, and what follows them. */
static void test_channels_last(void **state) {
    (void)state;
    const int64_t shape[] = {2, 3, 9, 8}, weight[] = {4, 3, 2, 2}, kernel[] = {3, 2}, padding[] = {1, 1}, size[] = {3, 5};
    const dl_attr attr[] = {A_INTS(kernel, 2), A_INTS(kernel, 2), A_INTS(padding, 2)}, to = A_INTS(size, 2);
    dl_tensor x, w, y = {0};
    cells_random(&x, DL_F32, 4, shape, &rng);
    cells_random(&w, DL_F32, 4, weight, &rng);
    cells_call("convolution", (const dl_tensor *[]){&x, &w, NULL}, 3, &y, 1, NULL, 0);
    composed_check("max_pool", (const dl_tensor *[]){&y}, 1, attr, 3, 0, "channels-last");
    cells_call("convolution", (const dl_tensor *[]){&x, &w, NULL}, 3, &y, 1, NULL, 0);
    composed_check("avg_pool", (const dl_tensor *[]){&y}, 1, attr, 3, 8, "channels-last");
    cells_call("convolution", (const dl_tensor *[]){&x, &w, NULL}, 3, &y, 1, NULL, 0);
    composed_check("adaptive_avg_pool", (const dl_tensor *[]){&y}, 1, &to, 1, 8, "channels-last");
    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max),        cmocka_unit_test(test_average), cmocka_unit_test(test_adaptive),
        cmocka_unit_test(test_fractional), cmocka_unit_test(test_places),  cmocka_unit_test(test_channels_last),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
