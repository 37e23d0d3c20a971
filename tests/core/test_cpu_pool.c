/* test_cpu_pool.c - pooling kernels against loops in double: random windows, layouts and dtypes; results that do not depend on
 * the number of threads; NaN; no elements; refusals. */
#include "tests/core/cells.h"

static uint64_t rng = 9;

typedef struct windows {
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    int ceil_mode;
} windows;

static int64_t extent(const windows *w, int d) { return w->dilation[d] * (w->kernel[d] - 1) + 1; }

/* Random windows that fit and hold an element each. */
static void choose(windows *w, int dilated) {
    w->ceil_mode = (int)cells_below(&rng, 2);
    for (int d = 0; d < 3; d++) {
        do {
            w->in[d] = 1 + cells_below(&rng, d == 2 ? 40 : 6);
            w->kernel[d] = 1 + cells_below(&rng, 3);
            w->stride[d] = 1 + cells_below(&rng, 3);
            w->padding[d] = cells_below(&rng, w->kernel[d] / 2 + 1);
            w->dilation[d] = dilated && w->padding[d] == 0 && !w->ceil_mode ? 1 + cells_below(&rng, 2) : 1;
        } while (extent(w, d) > w->in[d] + 2 * w->padding[d]);
        const int64_t room = w->in[d] + 2 * w->padding[d] - extent(w, d);
        w->out[d] = (room + (w->ceil_mode ? w->stride[d] - 1 : 0)) / w->stride[d] + 1;
        if ((w->out[d] - 1) * w->stride[d] >= w->in[d] + w->padding[d]) w->out[d]--;
    }
}

/* Number in its plane of element k of output o's window, or -1 outside of the input. */
static int64_t place_of(const windows *w, const int64_t *o, const int64_t *k) {
    int64_t place = 0;
    for (int d = 0; d < 3; d++) {
        const int64_t at = o[d] * w->stride[d] - w->padding[d] + k[d] * w->dilation[d];
        if (at < 0 || at >= w->in[d]) return -1;
        place = place * w->in[d] + at;
    }
    return place;
}

static double tolerance(dl_dtype type, double size) { return 32 * cells_epsilon(type) * (1 + size); }

static void check_max(const dl_tensor *x, const windows *w) {
    const int64_t plane = w->in[0] * w->in[1] * w->in[2];
    const dl_attr attr[] = {A_INTS(w->kernel, 3), A_INTS(w->stride, 3), A_INTS(w->padding, 3), A_INTS(w->dilation, 3),
                            A_INT(w->ceil_mode)},
                  size = A_INTS(w->in, 3);
    const int64_t shape[] = {x->shape[0], x->shape[1], w->out[0], w->out[1], w->out[2]};
    dl_tensor out[2], grad, gx;
    cells_make(&out[0], x->type, 5, shape, &rng);
    cells_make(&out[1], DL_I64, 5, shape, &rng);
    cells_random(&grad, x->type, 5, shape, &rng);
    cells_make(&gx, x->type, 5, x->shape, &rng);
    cells_call("max_pool", &x, 1, out, 2, attr, 5);
    double *added = calloc((size_t)dl_tensor_count(x) + 1, sizeof *added);
    int64_t o[5] = {0}, number = 0;
    do {
        const int64_t first = (o[0] * shape[1] + o[1]) * plane;
        int64_t k[3] = {0}, best = -1;
        do {
            const int64_t place = place_of(w, o + 2, k);
            if (place >= 0 && (best < 0 || cells_get(x, first + place) > cells_get(x, first + best))) best = place;
        } while (cells_next(3, w->kernel, k));
        cells_near(cells_get(&out[0], number), cells_get(x, first + best), 0, "max_pool");
        cells_near(cells_get(&out[1], number), (double)best, 0, "its place");
        added[first + best] += cells_get(&grad, number++);
    } while (cells_next(5, shape, o));
    const dl_tensor *backward[] = {&grad, &out[1]};
    cells_call("max_pool_backward", backward, 2, &gx, 1, &size, 1);
    for (int64_t i = 0; i < dl_tensor_count(x); i++)
        cells_near(cells_get(&gx, i), added[i], tolerance(x->type, fabs(added[i])), "max_pool_backward");
    for (int i = 0; i < 2; i++) cells_check_gaps(&out[i]);
    cells_check_gaps(&gx);
    free(added);
    dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]), dl_tensor_clear(&grad), dl_tensor_clear(&gx);
}

static void check_average(const dl_tensor *x, const windows *w, int include_pad, int64_t divisor) {
    const int64_t plane = w->in[0] * w->in[1] * w->in[2];
    const dl_attr attr[] = {A_INTS(w->in, 3),    A_INTS(w->kernel, 3), A_INTS(w->stride, 3), A_INTS(w->padding, 3),
                            A_INT(w->ceil_mode), A_INT(include_pad),   A_INT(divisor)};
    const int64_t shape[] = {x->shape[0], x->shape[1], w->out[0], w->out[1], w->out[2]};
    dl_tensor y, grad, gx;
    cells_make(&y, x->type, 5, shape, &rng);
    cells_random(&grad, x->type, 5, shape, &rng);
    cells_make(&gx, x->type, 5, x->shape, &rng);
    cells_call("avg_pool", &x, 1, &y, 1, attr + 1, 6);
    double *added = calloc((size_t)dl_tensor_count(x) + 1, sizeof *added);
    int64_t o[5] = {0}, number = 0;
    do {
        const int64_t first = (o[0] * shape[1] + o[1]) * plane;
        int64_t k[3] = {0}, inside = 0;
        double sum = 0, padded = 1;
        do {
            const int64_t place = place_of(w, o + 2, k);
            if (place < 0) continue;
            sum += cells_get(x, first + place);
            inside++;
        } while (cells_next(3, w->kernel, k));
        for (int d = 0; d < 3; d++) {
            const int64_t room = w->in[d] + 2 * w->padding[d] - o[2 + d] * w->stride[d];
            padded *= (double)(w->kernel[d] < room ? w->kernel[d] : room);
        }
        const double count = divisor ? (double)divisor : include_pad ? padded : (double)inside;
        cells_near(cells_get(&y, number), sum / count, tolerance(x->type, fabs(sum)), "avg_pool");
        const double share = cells_get(&grad, number++) / count;
        do {
            const int64_t place = place_of(w, o + 2, k);
            if (place >= 0) added[first + place] += share;
        } while (cells_next(3, w->kernel, k));
    } while (cells_next(5, shape, o));
    const dl_tensor *backward = &grad;
    cells_call("avg_pool_backward", &backward, 1, &gx, 1, attr, 7);
    for (int64_t i = 0; i < dl_tensor_count(x); i++)
        cells_near(cells_get(&gx, i), added[i], tolerance(x->type, 8), "avg_pool_backward");
    cells_check_gaps(&y);
    cells_check_gaps(&gx);
    free(added);
    dl_tensor_clear(&y), dl_tensor_clear(&grad), dl_tensor_clear(&gx);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        windows w;
        dl_tensor x;
        choose(&w, round % 2);
        const int64_t shape[] = {1 + cells_below(&rng, 2), 1 + cells_below(&rng, 12), w.in[0], w.in[1], w.in[2]};
        cells_random(&x, (dl_dtype)cells_below(&rng, 4), 5, shape, &rng);
        check_max(&x, &w);
        if (round % 2 == 0) check_average(&x, &w, (int)cells_below(&rng, 2), round % 6 == 0 ? 3 : 0);
        dl_tensor_clear(&x);
    }
}

/* Rows and channels longer than a row buffer; the same bits with one thread and with three. */
static void test_long(void **state) {
    (void)state;
    const int64_t shapes[][4] = {{2, 3, 5, 1201}, {1, 1100, 5, 4}, {40, 33, 9, 9}}, kernel[] = {3, 3}, two = 2, one = 1,
                  back[] = {0, 3, 1, 2};
    const dl_attr attr[] = {A_INTS(kernel, 2), A_INTS(&two, 1), A_INTS(&one, 1)}, order = A_INTS(back, 4);
    const int32_t before = dl_threads(0);
    for (int k = 0; k < 3; k++)
        for (int last = 0; last < 2; last++) {
            dl_tensor made, x = {0}, few[3] = {{0}}, many[3] = {{0}};
            const int64_t *s = shapes[k], turned[] = {s[0], s[2], s[3], s[1]};
            cells_make(&made, DL_F32, 4, last ? turned : s, NULL);
            for (int64_t i = 0; i < dl_tensor_count(&made); i++) cells_set(&made, i, (double)cells_below(&rng, 99) / 7);
            if (last) {
                const dl_tensor *in = &made;
                cells_call("permute", &in, 1, &x, 1, &order, 1);
            }
            const dl_tensor *in = last ? &x : &made;
            for (int threads = 1; threads <= 3; threads += 2) {
                dl_tensor *out = threads == 1 ? few : many;
                dl_threads(threads);
                cells_call("max_pool", &in, 1, out, 2, attr, 3);
                cells_call("avg_pool", &in, 1, out + 2, 1, attr, 3);
            }
            for (int i = 0; i < 3; i++) {
                cells_same_bits(&few[i], &many[i]);
                dl_tensor_clear(&few[i]), dl_tensor_clear(&many[i]);
            }
            dl_tensor_clear(&x), dl_tensor_clear(&made);
        }
    dl_threads(before);
}

/* NaN wins, the last one, as in PyTorch; of equal maxima the first. */
static void test_order(void **state) {
    (void)state;
    const int64_t shape[] = {1, 4}, four = 4, one = 1;
    const double values[][4] = {{1, NAN, 3, NAN}, {NAN, 1, 2, 3}, {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, {0, 7, 7, 1}};
    const double place[] = {3, 0, 0, 1};
    const dl_attr sliding = A_INTS(&four, 1), whole = A_INTS(&one, 1);
    for (int k = 0; k < 4; k++)
        for (int adaptive = 0; adaptive < 2; adaptive++) {
            dl_tensor x, y[2] = {{0}};
            const dl_tensor *in = &x;
            cells_of(&x, DL_F32, 2, shape, values[k]);
            cells_call(adaptive ? "adaptive_max_pool" : "max_pool", &in, 1, y, 2, adaptive ? &whole : &sliding, 1);
            cells_near(cells_get(&y[0], 0), values[k][(int)place[k]], 0, "maximum");
            cells_near(cells_get(&y[1], 0), place[k], 0, "place");
            dl_tensor_clear(&y[0]), dl_tensor_clear(&y[1]), dl_tensor_clear(&x);
        }
}

static void test_empty(void **state) {
    (void)state;
    const int64_t none[] = {0, 3, 4, 4}, two[] = {2, 2}, zero[] = {0, 1};
    const dl_attr attr = A_INTS(two, 2), nothing = A_INTS(zero, 2);
    dl_tensor x, y[2] = {{0}}, few = {0};
    const dl_tensor *in = &x;
    cells_make(&x, DL_F32, 4, none, NULL);
    cells_call("max_pool", &in, 1, y, 2, &attr, 1);
    assert_int_equal(dl_tensor_count(&y[0]), 0);
    assert_int_equal(y[0].shape[3], 2);
    const int64_t some[] = {1, 3, 4, 4};
    dl_tensor_clear(&x);
    cells_make(&x, DL_F32, 4, some, NULL);
    cells_call("adaptive_avg_pool", &in, 1, &few, 1, &nothing, 1);
    assert_int_equal(dl_tensor_count(&few), 0);
    dl_tensor_clear(&y[0]), dl_tensor_clear(&y[1]), dl_tensor_clear(&few), dl_tensor_clear(&x);
}

static void test_refusals(void **state) {
    (void)state;
    const int64_t shape[] = {2, 3, 4}, kernel[] = {3, 3}, many[] = {1, 1, 1, 1}, five = 5, two = 2, zero = 0;
    const dl_attr padded[] = {A_INTS(kernel, 2), A_INTS(NULL, 0), A_INTS(&two, 1)}, large = A_INTS(&five, 1),
                  four = A_INTS(many, 4), nothing = A_INTS(&zero, 1);
    dl_tensor x, y[2] = {{0}};
    const dl_tensor *in = &x;
    cells_make(&x, DL_F32, 3, shape, NULL);
    cells_refuse("expected a padding of at most half the kernel, got kernel (3, 3), padding (2, 2)", "max_pool", &in, 1, y, 2,
                 padded, 3);
    cells_refuse("the window does not fit: kernel (5) with dilation (1), input sizes (4) with padding (0) on each side: use a "
                 "larger input or a smaller kernel",
                 "max_pool", &in, 1, y, 2, &large, 1);
    cells_refuse("expected 1 to 3 values of kernel, one for each spatial dimension, got (1, 1, 1, 1)", "max_pool", &in, 1, y, 2,
                 &four, 1);
    cells_refuse("expected a kernel of 1 to 2147483647, got 0", "avg_pool", &in, 1, y, 1, &nothing, 1);
    dl_tensor_clear(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_long), cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_empty), cmocka_unit_test(test_refusals)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
