/* test_simt_pool.c - pooling on a Tier A device against the CPU's: random windows in 1 to 3 dimensions, layouts, dtypes; NaN
 * and ties; no planes; indices out of range. */
#include "tests/core/mirror.h"

static uint64_t rng = 13;
static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { TYPES = sizeof types / sizeof *types, SUMS = 64 /* units in the last place for sums of windows */ };

typedef struct windows {
    int32_t spatial, lead;
    int64_t in[3], kernel[3], stride[3], padding[3], dilation[3], out[3];
    int ceil_mode;
} windows;

static void choose(windows *w, int32_t spatial, int dilated) {
    *w = (windows){.spatial = spatial, .lead = (int32_t)cells_below(&rng, 4), .ceil_mode = (int)cells_below(&rng, 2)};
    for (int32_t d = 0; d < spatial; d++) {
        int64_t room;
        do {
            w->in[d] = 1 + cells_below(&rng, 9);
            w->kernel[d] = 1 + cells_below(&rng, 3);
            w->stride[d] = 1 + cells_below(&rng, 3);
            w->padding[d] = cells_below(&rng, w->kernel[d] / 2 + 1);
            w->dilation[d] = dilated && w->padding[d] == 0 && !w->ceil_mode ? 1 + cells_below(&rng, 2) : 1;
            room = w->in[d] + 2 * w->padding[d] - w->dilation[d] * (w->kernel[d] - 1) - 1;
        } while (room < 0);
        w->out[d] = (room + (w->ceil_mode ? w->stride[d] - 1 : 0)) / w->stride[d] + 1;
        if ((w->out[d] - 1) * w->stride[d] >= w->in[d] + w->padding[d]) w->out[d]--;
    }
}

static int32_t shape_of(const windows *w, const int64_t *spatial, int64_t *shape) {
    for (int32_t d = 0; d < w->lead; d++) shape[d] = 2 + d;
    for (int32_t d = 0; d < w->spatial; d++) shape[w->lead + d] = spatial[d];
    return w->lead + w->spatial;
}

/* Values of few kinds, so that maxima tie; some NaN. */
static void fill(dl_tensor *x, int with_nan) {
    for (int64_t i = 0; i < dl_tensor_count(x); i++)
        cells_set(x, i, with_nan && cells_below(&rng, 7) == 0 ? NAN : (double)cells_below(&rng, 5) - 2);
}

/* index: what max_pool gave for x. */
static void check_places(const windows *w, const dl_tensor *y, const dl_tensor *index, const int64_t *x_shape) {
    const dl_attr size = A_INTS(w->in, w->spatial), spatial = A_INT(w->spatial);
    dl_tensor grad, x, taken;
    cells_random(&grad, y->type, y->ndim, y->shape, &rng);
    cells_make(&x, y->type, y->ndim, x_shape, &rng);
    cells_make(&taken, y->type, y->ndim, y->shape, &rng);
    const dl_tensor *in[] = {&grad, index};
    mirror_call("max_pool_backward", in, 2, &x, 1, &size, 1, SUMS);
    mirror_call("max_unpool_backward", (const dl_tensor *[]){&x, index}, 2, &taken, 1, &spatial, 1, 0);
    mirror_call("max_unpool", in, 2, &x, 1, &size, 1, 0);
    dl_tensor_clear(&grad), dl_tensor_clear(&x), dl_tensor_clear(&taken);
}

static void maximum(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int k = 0; k < 48; k++) {
        windows w;
        int64_t shape[6], out_shape[6];
        dl_tensor x, out[2];
        choose(&w, 1 + k % 3, 1);
        const int32_t ndim = shape_of(&w, w.in, shape), n = w.spatial;
        shape_of(&w, w.out, out_shape);
        cells_random(&x, types[k % TYPES], ndim, shape, &rng);
        fill(&x, k % 2);
        cells_make(&out[0], x.type, ndim, out_shape, &rng);
        cells_make(&out[1], DL_I64, ndim, out_shape, &rng);
        mirror_call("max_pool", (const dl_tensor *[]){&x}, 1, out, 2,
                    (const dl_attr[]){A_INTS(w.kernel, n), A_INTS(w.stride, n), A_INTS(w.padding, n), A_INTS(w.dilation, n),
                                      A_INT(w.ceil_mode)},
                    5, 0);
        check_places(&w, &out[0], &out[1], shape);
        dl_tensor_clear(&x), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]);
    }
}

static void average(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int k = 0; k < 48; k++) {
        windows w;
        int64_t shape[6], out_shape[6];
        dl_tensor x, y, grad, gx;
        choose(&w, 1 + k % 3, 0);
        const int32_t ndim = shape_of(&w, w.in, shape), n = w.spatial;
        shape_of(&w, w.out, out_shape);
        const dl_attr attr[] = {A_INTS(w.in, n),    A_INTS(w.kernel, n), A_INTS(w.stride, n),      A_INTS(w.padding, n),
                                A_INT(w.ceil_mode), A_INT(k % 5 != 0),   A_INT(k % 7 == 0 ? 3 : 0)};
        cells_random(&x, types[k % TYPES], ndim, shape, &rng);
        cells_random(&grad, x.type, ndim, out_shape, &rng);
        cells_make(&y, x.type, ndim, out_shape, &rng);
        cells_make(&gx, x.type, ndim, shape, &rng);
        mirror_call("avg_pool", (const dl_tensor *[]){&x}, 1, &y, 1, attr + 1, 6, SUMS);
        mirror_call("avg_pool_backward", (const dl_tensor *[]){&grad}, 1, &gx, 1, attr, 7, SUMS);
        dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&grad), dl_tensor_clear(&gx);
    }
}

static void adaptive(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int k = 0; k < 48; k++) {
        windows w = {.spatial = 1 + k % 3, .lead = 2};
        int64_t shape[6], out_shape[6];
        dl_tensor x, out[2], grad, gx;
        for (int32_t d = 0; d < w.spatial; d++) w.in[d] = 1 + cells_below(&rng, 11), w.out[d] = 1 + cells_below(&rng, 13);
        const int32_t ndim = shape_of(&w, w.in, shape), n = w.spatial;
        shape_of(&w, w.out, out_shape);
        const dl_attr size = A_INTS(w.out, n), in_size = A_INTS(w.in, n);
        cells_random(&x, types[k % TYPES], ndim, shape, &rng);
        cells_random(&grad, x.type, ndim, out_shape, &rng);
        cells_make(&out[0], x.type, ndim, out_shape, &rng);
        cells_make(&out[1], DL_I64, ndim, out_shape, &rng);
        cells_make(&gx, x.type, ndim, shape, &rng);
        mirror_call("adaptive_avg_pool", (const dl_tensor *[]){&x}, 1, out, 1, &size, 1, SUMS);
        mirror_call("adaptive_avg_pool_backward", (const dl_tensor *[]){&grad}, 1, &gx, 1, &in_size, 1, SUMS);
        fill(&x, k % 2);
        mirror_call("adaptive_max_pool", (const dl_tensor *[]){&x}, 1, out, 2, &size, 1, 0);
        dl_tensor_clear(&x), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]), dl_tensor_clear(&grad), dl_tensor_clear(&gx);
    }
}

static void fractional(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int k = 0; k < 24; k++) {
        windows w = {.spatial = 1 + k % 3, .lead = 2};
        int64_t shape[6], out_shape[6];
        dl_tensor x, draws, out[2];
        for (int32_t d = 0; d < w.spatial; d++) {
            w.kernel[d] = 1 + cells_below(&rng, 3), w.out[d] = 1 + cells_below(&rng, 5);
            w.in[d] = w.kernel[d] + w.out[d] - 1 + cells_below(&rng, 6);
        }
        const int32_t ndim = shape_of(&w, w.in, shape), n = w.spatial;
        shape_of(&w, w.out, out_shape);
        cells_random(&x, types[k % TYPES], ndim, shape, &rng);
        cells_make(&draws, types[k / 2 % TYPES], 3, (int64_t[]){2, 3, n}, &rng);
        for (int64_t i = 0; i < dl_tensor_count(&draws); i++) cells_set(&draws, i, (double)cells_below(&rng, 1000) / 1000);
        cells_make(&out[0], x.type, ndim, out_shape, &rng);
        cells_make(&out[1], DL_I64, ndim, out_shape, &rng);
        mirror_call("fractional_max_pool", (const dl_tensor *[]){&x, &draws}, 2, out, 2,
                    (const dl_attr[]){A_INTS(w.kernel, n), A_INTS(w.out, n)}, 2, 0);
        dl_tensor_clear(&x), dl_tensor_clear(&draws), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]);
    }
}

static void no_planes(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const int64_t two[] = {2, 2}, four[] = {4, 4};
    dl_tensor x, out[2], gx;
    cells_random(&x, DL_F32, 3, (int64_t[]){0, 4, 4}, &rng);
    cells_make(&out[0], DL_F32, 3, (int64_t[]){0, 2, 2}, &rng);
    cells_make(&out[1], DL_I64, 3, (int64_t[]){0, 2, 2}, &rng);
    cells_make(&gx, DL_F32, 3, (int64_t[]){0, 4, 4}, &rng);
    const dl_attr kernel = A_INTS(two, 2), size = A_INTS(four, 2);
    mirror_call("max_pool", (const dl_tensor *[]){&x}, 1, out, 2, &kernel, 1, 0);
    mirror_call("max_pool_backward", (const dl_tensor *[]){&out[0], &out[1]}, 2, &gx, 1, &size, 1, 0);
    dl_tensor_clear(&x), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]), dl_tensor_clear(&gx);
}

/* The device says so when the result is read; nothing is written beside it. */
static void bad_index(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const int64_t n = 2, two[] = {2};
    const double values[] = {1, 2};
    const int64_t places[] = {0, 9};
    const dl_attr size = A_INTS(two, 1);
    dl_tensor x = {0}, index = {0}, y = {0}, *out = &y;
    double host[2];
    assert_int_equal(dl_tensor_new(&x, DL_F32, 1, &n, mirror_device()), DL_OK);
    assert_int_equal(dl_tensor_new(&index, DL_I64, 1, &n, mirror_device()), DL_OK);
    assert_int_equal(dl_tensor_write(&x, values, 8), DL_OK);
    assert_int_equal(dl_tensor_write(&index, places, 16), DL_OK);
    assert_int_equal(dl_call(dl_op_find("max_unpool"), (const dl_tensor *[]){&x, &index}, 2, &out, 1, &size, 1), DL_OK);
    assert_int_equal(dl_tensor_read(&y, host, 8), DL_INVALID);
    assert_non_null(strstr(dl_last_error(), "9"));
    assert_int_equal(dl_tensor_read(&y, host, 8), DL_OK);
    dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(maximum),    cmocka_unit_test(average),   cmocka_unit_test(adaptive),
                                       cmocka_unit_test(fractional), cmocka_unit_test(no_planes), cmocka_unit_test(bad_index)};
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
