/* test_simt_conv.c - convolutions and their gradients on a Tier A device against the CPU's: random geometries in 1 to 3
 * dimensions, groups, layouts, dtypes; no samples; weights' gradients that are summed in parts. */
#include "tests/core/mirror.h"

static uint64_t rng = 12;
static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { TYPES = sizeof types / sizeof *types };

typedef struct geometry {
    int32_t spatial;
    int64_t samples, channels, filters, groups; /* of all groups */
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
} geometry;

static int64_t product(const int64_t *v, int32_t n) {
    int64_t p = 1;
    for (int32_t d = 0; d < n; d++) p *= v[d];
    return p;
}

static double units(dl_dtype type, double products) { return type == DL_F32 || type == DL_F64 ? 16 + 8 * products : 4; }

static void check(dl_dtype type, const geometry *g) {
    const int32_t n = g->spatial, ndim = n + 2;
    int64_t x_shape[5] = {g->samples, g->channels}, w_shape[5] = {g->filters, g->channels / g->groups},
            y_shape[5] = {g->samples, g->filters};
    for (int32_t d = 0; d < n; d++) x_shape[2 + d] = g->in[d], w_shape[2 + d] = g->kernel[d], y_shape[2 + d] = g->out[d];
    const dl_attr stride = A_INTS(g->stride, n), padding = A_INTS(g->padding, n), dilation = A_INTS(g->dilation, n),
                  groups = A_INT(g->groups);
    dl_tensor x, w, bias, y, grad, gx, gw;
    const double volume = (double)product(g->kernel, n);
    cells_random(&x, type, ndim, x_shape, &rng);
    cells_random(&w, type, ndim, w_shape, &rng);
    cells_random(&bias, type, 1, &g->filters, &rng);
    cells_random(&grad, type, ndim, y_shape, &rng);
    cells_make(&y, type, ndim, y_shape, &rng);
    cells_make(&gx, type, ndim, x_shape, &rng);
    cells_make(&gw, type, ndim, w_shape, &rng);
    const dl_tensor *const no_bias = cells_below(&rng, 2) ? &bias : NULL;
    mirror_call("convolution", (const dl_tensor *[]){&x, &w, no_bias}, 3, &y, 1,
                (const dl_attr[]){stride, padding, dilation, groups}, 4, units(type, volume * (double)w_shape[1]));
    mirror_call("convolution_backward_data", (const dl_tensor *[]){&grad, &w}, 2, &gx, 1,
                (const dl_attr[]){A_INTS(g->in, n), stride, padding, dilation, groups}, 5,
                units(type, volume * (double)g->filters));
    mirror_call("convolution_backward_weight", (const dl_tensor *[]){&grad, &x}, 2, &gw, 1,
                (const dl_attr[]){A_INTS(g->kernel, n), stride, padding, dilation, groups}, 5,
                units(type, (double)(g->samples * product(g->out, n))));
    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&bias), dl_tensor_clear(&y);
    dl_tensor_clear(&grad), dl_tensor_clear(&gx), dl_tensor_clear(&gw);
}

static void set_out(geometry *g) {
    for (int32_t d = 0; d < g->spatial; d++)
        g->out[d] = (g->in[d] + 2 * g->padding[d] - g->dilation[d] * (g->kernel[d] - 1) - 1) / g->stride[d] + 1;
}

/* Few and many filters and channels, so that direct and tiled kernels both run. */
static void random_geometries(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int k = 0; k < 40; k++) {
        geometry g = {.spatial = 1 + k % 3, .samples = 1 + cells_below(&rng, 3), .groups = 1 + cells_below(&rng, 3)};
        g.channels = g.groups * (1 + cells_below(&rng, k % 2 ? 3 : 12));
        g.filters = g.groups * (1 + cells_below(&rng, k % 4 < 2 ? 4 : 20));
        for (int32_t d = 0; d < g.spatial; d++) {
            g.kernel[d] = 1 + cells_below(&rng, 3), g.stride[d] = 1 + cells_below(&rng, 3);
            g.padding[d] = cells_below(&rng, 3), g.dilation[d] = 1 + cells_below(&rng, 2);
            g.in[d] = g.dilation[d] * (g.kernel[d] - 1) + 1 + cells_below(&rng, 7);
        }
        set_out(&g);
        check(types[k % TYPES], &g);
    }
}

static void many_results(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    geometry g = {2, 5, 9, 17, 1, {21, 19}, {0}, {3, 3}, {1, 1}, {1, 1}, {1, 1}};
    set_out(&g);
    for (int t = 0; t < TYPES; t++) check(types[t], &g);
}

static void no_samples(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    geometry g = {2, 0, 3, 16, 1, {5, 6}, {0}, {3, 2}, {1, 2}, {1, 0}, {1, 1}};
    set_out(&g);
    check(DL_F32, &g);
    g.filters = 2;
    check(DL_F32, &g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_geometries), cmocka_unit_test(many_results),
                                       cmocka_unit_test(no_samples)};
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
