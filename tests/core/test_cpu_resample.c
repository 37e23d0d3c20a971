/* test_cpu_resample.c - upsample and its backward op of the CPU backend against sums over all places, one weight for each pair
 * of places; grid_sample's and its backward op's results for any number of threads and values outside. */
#include "tests/core/cells.h"

static uint64_t rng = 9;

static const char *const modes[] = {"nearest", "nearest-exact", "linear", "cubic"};

static double cubic(double d) {
    d = fabs(d);
    if (d <= 1) return 1.25 * d * d * d - 2.25 * d * d + 1;
    return d < 2 ? -0.75 * (d * d * d - 5 * d * d + 8 * d - 4) : 0;
}

/* The weight of place `from` of n in result `to`. */
static double weight(int mode, int align, double step, int64_t n, int64_t from, int64_t to) {
    const double at = align ? step * (double)to : step * ((double)to + 0.5) - 0.5;
    double sum = 0;
    switch (mode) {
    case 0: return (double)from == fmin(floor(step * (double)to), (double)(n - 1));
    case 1: return (double)from == fmin(floor(step * ((double)to + 0.5)), (double)(n - 1));
    case 2: return fmax(0, 1 - fabs(fmin(fmax(at, 0), (double)(n - 1)) - (double)from));
    default: /* places outside are the border's */
        for (double k = floor(at) - 1; k < floor(at) + 3; k++)
            if (fmin(fmax(k, 0), (double)(n - 1)) == (double)from) sum += cubic(at - k);
        return sum;
    }
}

typedef struct problem {
    int mode, align;
    int32_t n; /* resampled dimensions */
    int64_t shape[5], size[5];
    double scale[3], step[3];
} problem;

static problem random_problem(int64_t most) {
    problem p = {.mode = (int)cells_below(&rng, 4), .n = 1 + (int32_t)cells_below(&rng, 3)};
    p.align = p.mode > 1 && cells_below(&rng, 2);
    for (int32_t d = 0; d < 2; d++) p.shape[d] = p.size[d] = 1 + cells_below(&rng, 3);
    for (int32_t k = 0; k < p.n; k++) {
        const int64_t from = p.shape[2 + k] = 1 + cells_below(&rng, most), to = p.size[2 + k] = 1 + cells_below(&rng, most);
        p.scale[k] = cells_below(&rng, 2) ? (double)to / (double)from + 0.125 : 0;
        p.step[k] = p.align          ? to > 1 ? (double)(from - 1) / (double)(to - 1) : 0
                    : p.scale[k] > 0 ? 1 / p.scale[k]
                                     : (double)from / (double)to;
    }
    return p;
}

static double pair(const problem *p, const int64_t *from, const int64_t *to) {
    double product = from[0] == to[0] && from[1] == to[1];
    for (int32_t k = 0; k < p->n && product != 0; k++)
        product *= weight(p->mode, p->align, p->step[k], p->shape[2 + k], from[2 + k], to[2 + k]);
    return product;
}

/* Positions are rounded in float where the dtype is no float64: those that decide are far enough from whole ones in nearly all
 * problems; the others are left out. */
static int near_whole(const problem *p) {
    for (int32_t k = 0; k < p->n; k++)
        for (int64_t to = 0; to < p->size[2 + k]; to++)
            for (double shift = 0; shift < 1; shift += 0.5) {
                const double at = p->step[k] * ((double)to + shift), away = fabs(at - rint(at));
                if (away < 1e-5 && away != 0) return 1;
            }
    return 0;
}

static void check(const problem *p, dl_dtype type) {
    const int32_t ndim = 2 + p->n;
    dl_attr attr[] = {A_INTS(p->size + 2, p->n), {DL_ATTR_STRING, 0, {.s = modes[p->mode]}},
                      A_INT(p->align),           A_FLOAT(p->scale[0]),
                      A_FLOAT(p->scale[1]),      A_FLOAT(p->scale[2])};
    dl_tensor x, y, grad, gx;
    const dl_tensor *in[] = {&x}, *back[] = {&grad};
    cells_random(&x, type, ndim, p->shape, &rng);
    cells_make(&y, type, ndim, p->size, &rng);
    cells_call("upsample", in, 1, &y, 1, attr, 6);
    cells_check_gaps(&y);
    cells_random(&grad, type, ndim, p->size, &rng);
    cells_make(&gx, type, ndim, p->shape, &rng);
    attr[0] = (dl_attr)A_INTS(p->shape + 2, p->n);
    cells_call("upsample_backward", back, 1, &gx, 1, attr, 6);
    cells_check_gaps(&gx);

    const int64_t count = dl_tensor_count(&x);
    double *sums = calloc((size_t)count, sizeof *sums);
    int64_t to[5] = {0}, k = 0;
    const double lane = cells_epsilon(type == DL_F64 ? DL_F64 : DL_F32);
    do {
        int64_t from[5] = {0}, i = 0;
        double expected = 0;
        do {
            const double w = pair(p, from, to);
            expected += w * cells_get(&x, i);
            sums[i++] += w * cells_get(&grad, k);
        } while (cells_next(ndim, p->shape, from));
        cells_near(cells_get(&y, k++), expected, cells_epsilon(type) * fabs(expected) + 400 * lane, "upsample");
    } while (cells_next(ndim, p->size, to));
    for (int64_t i = 0; i < count; i++)
        cells_near(cells_get(&gx, i), sums[i], cells_epsilon(type) * fabs(sums[i]) + 4000 * lane, "upsample_backward");
    free(sums);
    dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&grad), dl_tensor_clear(&gx);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 600; round++) {
        const problem p = random_problem(5);
        const dl_dtype type = (dl_dtype)cells_below(&rng, 4);
        if (type == DL_F64 || !near_whole(&p)) check(&p, type);
    }
}

/* Rows longer than a buffer, up and down. */
static void test_long(void **state) {
    (void)state;
    const int64_t sizes[][2] = {{1300, 700}, {600, 1500}, {1, 1300}};
    const int32_t threads = dl_threads(3);
    for (int mode = 0; mode < 4; mode++)
        for (int k = 0; k < 3; k++) {
            problem p = {.mode = mode, .n = 1, .shape = {1, 2, sizes[k][0]}, .size = {1, 2, sizes[k][1]}};
            p.step[0] = (double)p.shape[2] / (double)p.size[2];
            check(&p, DL_F64);
        }
    dl_threads(threads);
}

/* uint8 as it is, and a scale that leads far away from the sizes. */
static void test_nearest(void **state) {
    (void)state;
    const int64_t shape[] = {1, 1, 3}, size = 4;
    const double values[] = {7, 255, 9};
    const double scales[] = {0, 1e-300, 1e300}, expected[][4] = {{7, 7, 255, 9}, {7, 9, 9, 9}, {7, 7, 7, 7}};
    for (int k = 0; k < 3; k++) {
        const dl_attr attr[] = {A_INTS(&size, 1), {DL_ATTR_STRING, 0, {.s = "nearest"}}, A_INT(0), A_FLOAT(scales[k])};
        dl_tensor x, y = {0};
        const dl_tensor *in[] = {&x};
        cells_of(&x, DL_U8, 3, shape, values);
        cells_call("upsample", in, 1, &y, 1, attr, 4);
        for (int64_t i = 1; i < 4; i++) assert_true(cells_get(&y, i) == expected[k][i]);
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

/* Random float32 elements in -1.3..1.3, contiguous or laid anyhow. */
static void make(dl_tensor *t, const int64_t *shape, int anyhow) {
    cells_make(t, DL_F32, 4, shape, anyhow ? &rng : NULL);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) cells_set(t, i, (double)(cells_below(&rng, 2001) - 1000) / 769);
}

/* Equal bits for every number of threads, in any layout. */
static void test_threads(void **state) {
    (void)state;
    const int64_t shape[] = {2, 33, 17, 19}, places[] = {2, 31, 29, 2}, result[] = {2, 33, 31, 29}, size[] = {40, 45};
    const int32_t threads = dl_threads(0);
    const dl_attr up[] = {A_INTS(size, 2), {DL_ATTR_STRING, 0, {.s = "cubic"}}},
                  sample[] = {{DL_ATTR_STRING, 0, {.s = "linear"}}, {DL_ATTR_STRING, 0, {.s = "zeros"}}},
                  spread[] = {A_INTS(shape, 4), {DL_ATTR_STRING, 0, {.s = "linear"}}, {DL_ATTR_STRING, 0, {.s = "zeros"}}};
    for (int layout = 0; layout < 4; layout++) {
        dl_tensor x, grid, grad, y[2] = {{0}}, z[2] = {{0}}, gx[2] = {{0}};
        make(&x, shape, layout), make(&grid, places, layout), make(&grad, result, layout);
        const dl_tensor *in[] = {&x, &grid}, *back[] = {&grad, &grid};
        for (int k = 0; k < 2; k++) {
            dl_threads(k ? 3 : 1);
            cells_call("upsample", in, 1, &y[k], 1, up, 2);
            cells_call("grid_sample", in, 2, &z[k], 1, sample, 2);
            cells_call("grid_sample_backward", back, 2, &gx[k], 1, spread, 3);
        }
        dl_threads(threads);
        cells_same_bits(&y[0], &y[1]);
        cells_same_bits(&z[0], &z[1]);
        cells_same_bits(&gx[0], &gx[1]);
        dl_tensor_clear(&x), dl_tensor_clear(&grid), dl_tensor_clear(&grad);
        for (int k = 0; k < 2; k++) dl_tensor_clear(&y[k]), dl_tensor_clear(&z[k]), dl_tensor_clear(&gx[k]);
    }
}

/* Positions that are no numbers, or far away; what lies outside counts for nothing, were it infinite. */
static void test_far_positions(void **state) {
    (void)state;
    static const char *const paddings[] = {"zeros", "border", "reflection"}, *const sample_modes[] = {"linear", "nearest",
                                                                                                      "cubic"};
    const int64_t shape[] = {1, 1, 2, 2}, places[] = {1, 1, 6, 2};
    const double values[] = {1, 2, 3, INFINITY};
    const double at[] = {NAN, 0, INFINITY, 0, -INFINITY, 0, 1e30, -1e30, 3e9, 3e9, -0.5, -0.5};
    for (int p = 0; p < 3; p++)
        for (int m = 0; m < 3; m++) {
            const dl_attr attr[] = {{DL_ATTR_STRING, 0, {.s = sample_modes[m]}}, {DL_ATTR_STRING, 0, {.s = paddings[p]}}};
            dl_tensor x, grid, y = {0};
            const dl_tensor *in[] = {&x, &grid};
            cells_of(&x, DL_F32, 4, shape, values);
            cells_of(&grid, DL_F32, 4, places, at);
            cells_call("grid_sample", in, 2, &y, 1, attr, 2);
            for (int64_t i = 0; p == 0 && i < 5; i++) assert_true(cells_get(&y, i) == 0);
            if (m < 2) assert_true(cells_get(&y, 5) == 1);
            dl_tensor_clear(&x), dl_tensor_clear(&grid), dl_tensor_clear(&y);
        }
}

/* Nothing to sample at, no channels, no batch. */
static void test_empty(void **state) {
    (void)state;
    const int64_t shapes[][4] = {{1, 2, 2, 2}, {1, 0, 2, 2}, {0, 2, 2, 2}},
                  places[][4] = {{1, 0, 3, 2}, {1, 2, 2, 2}, {0, 2, 2, 2}};
    const int64_t size[] = {3, 3};
    for (int k = 0; k < 3; k++) {
        const dl_attr sample[] = {{DL_ATTR_STRING, 0, {.s = "linear"}}, {DL_ATTR_STRING, 0, {.s = "zeros"}}};
        const dl_attr spread[] = {A_INTS(shapes[k], 4), sample[0], sample[1]}, up[] = {A_INTS(size, 2), sample[0]};
        dl_tensor x, grid, y = {0}, gx = {0}, z = {0};
        make(&x, shapes[k], 0);
        cells_make(&grid, DL_F32, 4, places[k], NULL);
        const dl_tensor *in[] = {&x, &grid}, *back[] = {&y, &grid};
        cells_call("grid_sample", in, 2, &y, 1, sample, 2);
        assert_int_equal(dl_tensor_count(&y), 0);
        cells_call("grid_sample_backward", back, 2, &gx, 1, spread, 3);
        for (int64_t i = 0; i < dl_tensor_count(&gx); i++) assert_true(cells_get(&gx, i) == 0);
        cells_call("upsample", in, 1, &z, 1, up, 2);
        assert_int_equal(dl_tensor_count(&z), shapes[k][0] * shapes[k][1] * 9);
        dl_tensor_clear(&x), dl_tensor_clear(&grid), dl_tensor_clear(&y), dl_tensor_clear(&gx), dl_tensor_clear(&z);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),        cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_nearest),       cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_far_positions), cmocka_unit_test(test_empty)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
