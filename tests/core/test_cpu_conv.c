/* test_cpu_conv.c - convolutions on the CPU: known answers, and sizes that take every path through the kernels, against plain
 * sums. Values of PyTorch, strides and layouts: tests/lua/torch/conv_spec.lua. */
#include "engine_support.h"

/* Small sums that can be followed by hand. */
static void known_answers(void **state) {
    (void)state;
    dl_tensor x = {0}, w = {0}, b = {0}, y = {0}, g = {0}, dx = {0}, dw = {0};
    et_make(&x, DL_F32, "1,1,4", (const double[]){1, 2, 3, 4});
    et_make(&w, DL_F32, "2,1,2", (const double[]){1, 10, 1, -1});
    et_make(&b, DL_F32, "2", (const double[]){0.5, 0});
    et_call("convolution", &y, IN(&x, &w, &b), ATTR(INTS(2), INTS(1)));
    EXPECT(&y, 10.5, 32.5, 4.5, -1, -1, 4);
    et_make(&g, DL_F32, "1,2,3", (const double[]){1, 2, 3, 0, 100, 0});
    et_call("convolution_backward_data", &dx, IN(&g, &w), ATTR(INTS(4), INTS(2), INTS(1)));
    EXPECT(&dx, 10, 102, -80, 3);
    et_call("convolution_backward_weight", &dw, IN(&g, &x), ATTR(INTS(2), INTS(2), INTS(1)));
    EXPECT(&dw, 16, 7, 200, 300);
    et_clear(&x, &w, &b, &y, &g, &dx, &dw);
}

/* ---- against plain sums --------------------------------------------------------------------------------------------- */

typedef struct layer { /* two dimensions */
    int64_t samples, channels, height, width, results, kernel[2], stride[2], padding[2], dilation[2], groups;
} layer;

static const layer layers[] = {
    {2, 3, 9, 11, 5, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1},    /* few channels */
    {3, 16, 7, 7, 30, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1},   /* blocks across samples */
    {2, 16, 30, 31, 50, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1}, /* several blocks and panels */
    {1, 200, 5, 4, 17, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1},  /* kernel rows cut in parts */
    {1, 40, 4, 4, 210, {2, 3}, {1, 1}, {0, 1}, {1, 1}, 1},  /* a weight cut in parts both ways */
    {1, 12, 1, 700, 9, {1, 9}, {1, 1}, {0, 4}, {1, 1}, 1},  /* lines cut in pieces */
    {1, 2, 1, 700, 9, {1, 5}, {1, 2}, {0, 0}, {1, 1}, 1},   /* and unrolled */
    {2, 32, 9, 8, 20, {3, 3}, {2, 2}, {1, 1}, {1, 1}, 1},   /* phases */
    {2, 32, 9, 8, 20, {1, 1}, {1, 1}, {0, 0}, {1, 1}, 1},   /* taken as it lies */
    {2, 32, 9, 8, 20, {1, 1}, {2, 3}, {0, 0}, {1, 1}, 1},   /* the same with gaps */
    {1, 32, 6, 6, 20, {1, 1}, {1, 1}, {2, 1}, {1, 1}, 1},   /* a padded point */
    {1, 24, 12, 13, 10, {3, 3}, {1, 1}, {2, 2}, {2, 2}, 1}, /* dilation */
    {1, 24, 14, 13, 10, {3, 2}, {2, 3}, {3, 1}, {3, 2}, 1}, /* with strides that share a divisor and that do not */
    {1, 40, 9, 8, 30, {3, 3}, {2, 1}, {1, 1}, {2, 1}, 1},   /* phases of rows that no kernel row reaches */
    {1, 400, 9, 9, 10, {3, 3}, {1, 1}, {2, 2}, {2, 2}, 1},  /* a long sum, unrolled */
    {2, 48, 8, 8, 64, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 4},   /* groups */
    {2, 12, 8, 9, 18, {3, 3}, {2, 1}, {1, 1}, {1, 1}, 6},   /* small ones */
    {2, 70, 8, 9, 70, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 70},  /* depthwise */
    {2, 35, 9, 10, 35, {5, 3}, {2, 2}, {2, 1}, {1, 2}, 35}, /* with strides and dilation */
    {1, 8, 5, 5, 8, {3, 3}, {4, 5}, {1, 0}, {1, 1}, 1},     /* strides that leave places out */
    {1, 2, 40, 900, 5, {5, 3}, {2, 1}, {2, 1}, {1, 2}, 1},  /* wide rows of few channels */
    {0, 4, 5, 5, 8, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1},     /* no samples */
};

static int64_t result_size(const layer *l, int d) {
    const int64_t in = d ? l->width : l->height;
    return (in + 2 * l->padding[d] - l->dilation[d] * (l->kernel[d] - 1) - 1) / l->stride[d] + 1;
}

/* Adds to y, dx and dw (NULL: not wanted) what they sum. All tensors contiguous. */
static void plain_sums(const layer *l, const double *x, const double *w, const double *g, double *y, double *dx, double *dw) {
    const int64_t height = result_size(l, 0), width = result_size(l, 1), c = l->channels / l->groups,
                  o = l->results / l->groups;
    for (int64_t n = 0; n < l->samples; n++)
        for (int64_t k = 0; k < l->results; k++)
            for (int64_t i = 0; i < height * width; i++)
                for (int64_t t = 0; t < c * l->kernel[0] * l->kernel[1]; t++) {
                    const int64_t channel = t / (l->kernel[0] * l->kernel[1]), ky = t / l->kernel[1] % l->kernel[0];
                    const int64_t row = i / width * l->stride[0] - l->padding[0] + ky * l->dilation[0];
                    const int64_t column = i % width * l->stride[1] - l->padding[1] + t % l->kernel[1] * l->dilation[1];
                    if (row < 0 || row >= l->height || column < 0 || column >= l->width) continue;
                    const int64_t at = ((n * l->channels + k / o * c + channel) * l->height + row) * l->width + column;
                    const int64_t of_w = k * c * l->kernel[0] * l->kernel[1] + t;
                    const int64_t of_y = (n * l->results + k) * height * width + i;
                    y[of_y] += x[at] * w[of_w];
                    dx[at] += g[of_y] * w[of_w];
                    dw[of_w] += g[of_y] * x[at];
                }
}

typedef struct tensors {
    dl_tensor x, w, g, y, dx, dw;
} tensors;

static void random_tensor(dl_tensor *t, dl_dtype type, const int64_t shape[4], uint64_t seed) {
    char text[96];
    snprintf(text, sizeof text, "%lld,%lld,%lld,%lld", (long long)shape[0], (long long)shape[1], (long long)shape[2],
             (long long)shape[3]);
    et_random(t, type, text, seed);
}

static void make(tensors *t, const layer *l, dl_dtype type) {
    memset(t, 0, sizeof *t);
    random_tensor(&t->x, type, (int64_t[]){l->samples, l->channels, l->height, l->width}, 1);
    random_tensor(&t->w, type, (int64_t[]){l->results, l->channels / l->groups, l->kernel[0], l->kernel[1]}, 2);
    random_tensor(&t->g, type, (int64_t[]){l->samples, l->results, result_size(l, 0), result_size(l, 1)}, 3);
}

#define TWO(values)                                                                                                            \
    { .kind = DL_ATTR_INTS, .n = 2, .v.iv = (values) }

static void call(tensors *t, const layer *l) {
    const int64_t size[] = {l->height, l->width};
    dl_attr attr[] = {TWO(size), TWO(l->stride), TWO(l->padding), TWO(l->dilation), INT(l->groups)};
    et_call("convolution", &t->y, IN(&t->x, &t->w, NULL), attr + 1, 4);
    et_call("convolution_backward_data", &t->dx, IN(&t->g, &t->w), attr, 5);
    attr[0].v.iv = l->kernel;
    et_call("convolution_backward_weight", &t->dw, IN(&t->g, &t->x), attr, 5);
}

static void clear(tensors *t) { et_clear(&t->x, &t->w, &t->g, &t->y, &t->dx, &t->dw); }

static double *values_of(const dl_tensor *t) {
    double *v = calloc((size_t)dl_tensor_count(t) + 1, sizeof *v);
    assert_non_null(v);
    if (t->storage) et_values(t, v);
    return v;
}

/* Within tolerance of the expected values, in units of the largest. */
static void compare(const dl_tensor *t, const double *expected, double tolerance, const layer *l, const char *what) {
    double *got = values_of(t), largest = 1;
    for (int64_t k = 0; k < dl_tensor_count(t); k++) largest = fmax(largest, fabs(expected[k]));
    for (int64_t k = 0; k < dl_tensor_count(t); k++)
        if (!(fabs(got[k] - expected[k]) <= tolerance * largest))
            fail_msg("%s, %s, layer %d: element %lld is %g, expected %g", what, dl_dtype_name(t->type), (int)(l - layers),
                     (long long)k, got[k], expected[k]);
    free(got);
}

static void plain_sums_agree(void **state) {
    (void)state;
    static const struct {
        dl_dtype type;
        double tolerance;
    } types[] = {{DL_F32, 2e-6}, {DL_F64, 1e-14}, {DL_F16, 1e-3}, {DL_BF16, 8e-3}};
    for (size_t k = 0; k < sizeof layers / sizeof *layers; k++)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            const layer *l = &layers[k];
            tensors t;
            make(&t, l, types[i].type);
            call(&t, l);
            double *x = values_of(&t.x), *w = values_of(&t.w), *g = values_of(&t.g);
            double *y = calloc((size_t)dl_tensor_count(&t.y) + 1, 8), *dx = calloc((size_t)dl_tensor_count(&t.dx) + 1, 8);
            double *dw = calloc((size_t)dl_tensor_count(&t.dw) + 1, 8);
            plain_sums(l, x, w, g, y, dx, dw);
            compare(&t.y, y, types[i].tolerance, l, "convolution");
            compare(&t.dx, dx, types[i].tolerance, l, "backward_data");
            compare(&t.dw, dw, types[i].tolerance, l, "backward_weight");
            free(x), free(w), free(g), free(y), free(dx), free(dw);
            clear(&t);
        }
}

/* Plans are cached, so every number of threads is given another way to write the same attributes. */
static void threads_change_nothing(void **state) {
    (void)state;
    static const char *const ops[] = {"convolution", "convolution_backward_data", "convolution_backward_weight"};
    const int64_t one[] = {1, 1};
    const int32_t threads = dl_threads(0);
    tensors t;
    const layer l = {3, 24, 23, 21, 50, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1};
    make(&t, &l, DL_F32);
    for (int op = 0; op < 3; op++) {
        const dl_tensor *in[][3] = {{&t.x, &t.w, NULL}, {&t.g, &t.w}, {&t.g, &t.x}};
        dl_tensor results[3] = {{0}};
        for (int n = 0; n < 3; n++) {
            dl_threads(n + 1);
            const dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = 2, .v.iv = op == 1 ? (int64_t[]){23, 21} : (int64_t[]){3, 3}},
                                    {.kind = DL_ATTR_INTS, .n = n, .v.iv = one},
                                    INTS(1, 1)};
            et_call(ops[op], &results[n], in[op], op == 0 ? 3 : 2, op == 0 ? attr + 1 : attr, op == 0 ? 2 : 3);
            et_same_bits(&results[0], &results[n]);
        }
        et_clear(&results[0], &results[1], &results[2]);
    }
    dl_threads(threads);
    clear(&t);
}

/* What follows a convolution in a fused call is applied to every element once. */
static void epilogues(void **state) {
    (void)state;
    const dl_epilogue chain[] = {{.op = dl_op_find("relu")}, {.op = dl_op_find("tanh")}};
    for (size_t k = 0; k < sizeof layers / sizeof *layers; k++) {
        const layer *l = &layers[k];
        const dl_attr attr[] = {TWO(l->stride), TWO(l->padding), TWO(l->dilation), INT(l->groups)};
        tensors t;
        dl_tensor bias = {0}, fused = {0}, apart = {0}, *out = &fused;
        char size[32];
        make(&t, l, DL_F32);
        snprintf(size, sizeof size, "%lld", (long long)l->results);
        et_random(&bias, DL_F32, size, 4);
        const dl_tensor *in[] = {&t.x, &t.w, &bias};
        assert_ok(dl_call_fused(dl_op_find("convolution"), in, 3, &out, 1, attr, 4, chain, 2));
        et_call("convolution", &t.y, in, 3, attr, 4);
        et_call("relu", &t.dx, IN(&t.y), NONE);
        et_call("tanh", &apart, IN(&t.dx), NONE);
        double *expected = values_of(&apart);
        compare(&fused, expected, 1e-6, l, "fused");
        free(expected);
        et_clear(&bias, &fused, &apart);
        clear(&t);
    }
}

/* A convolution of no channels is its bias. */
static void no_channels(void **state) {
    (void)state;
    dl_tensor x = {0}, w = {0}, b = {0}, y = {0}, dx = {0}, g = {0};
    et_make(&x, DL_F32, "1,0,3", NULL);
    et_make(&w, DL_F32, "2,0,2", NULL);
    et_make(&b, DL_F32, "2", (const double[]){5, 7});
    et_call("convolution", &y, IN(&x, &w, &b), NONE);
    EXPECT(&y, 5, 5, 7, 7);
    et_clear(&x, &w);
    et_make(&g, DL_F32, "1,0,2", NULL);
    et_make(&w, DL_F32, "0,1,2", NULL);
    et_call("convolution_backward_data", &dx, IN(&g, &w), ATTR(INTS(3)));
    EXPECT(&dx, 0, 0, 0);
    et_clear(&w, &b, &y, &dx, &g);
}

/* Where stride and dilation share a factor, no kernel element may reach a place of x: its gradient is 0. */
static void unreached_places(void **state) {
    (void)state;
    enum { PLANE = 7 * 9 };
    dl_tensor g = {0}, w = {0}, dx = {0};
    et_random(&g, DL_F32, "2,18,3,6,3", 1);
    et_random(&w, DL_F32, "18,3,3,1,3", 2);
    et_call("convolution_backward_data", &dx, IN(&g, &w),
            ATTR(INTS(7, 7, 9), INTS(2, 2, 3), INTS(1, 2, 1), INTS(2, 1, 2), INT(2)));
    double *v = values_of(&dx);
    for (int64_t k = 0; k < dl_tensor_count(&dx); k++)
        if (k / PLANE % 7 % 2 == 0 && v[k] != 0) fail_msg("element %lld is %g, expected 0", (long long)k, v[k]);
    free(v);
    et_clear(&g, &w, &dx);
}

/* NaN reaches what is summed with it and nothing else: not other groups, not places beyond the kernel. */
static void nan_stays_where_it_is(void **state) {
    (void)state;
    static const layer l = {1, 8, 3, 5, 8, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 2};
    tensors t;
    make(&t, &l, DL_F32);
    ((float *)dl_tensor_data(&t.x))[0] = NAN;
    call(&t, &l);
    double *y = values_of(&t.y);
    for (int k = 0; k < 8 * 15; k++) assert_int_equal(isnan(y[k]), k < 4 * 15 && k % 15 / 5 < 2 && k % 5 < 2);
    free(y);
    clear(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(plain_sums_agree),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(epilogues),
        cmocka_unit_test(no_channels),
        cmocka_unit_test(unreached_places),
        cmocka_unit_test(nan_stays_where_it_is),
    };
    setenv("DLRUN_ONEDNN", "0", 1); /* oneDNN's convolutions have tests of their own, in test_cpu_conv_onednn.c */
    return cmocka_run_group_tests(tests, et_start, NULL);
}
