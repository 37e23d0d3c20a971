/* test_compose_conv.c - convolution and its gradients composed from primitive ops, against the CPU's kernels. */
#include "tests/core/composed.h"
#include <stdio.h>

static uint64_t rng = 33;

typedef struct problem {
    int32_t spatial;
    int64_t stride[3], padding[3], dilation[3], groups;
    int64_t x[5], weight[5], y[5];
    char text[160];
} problem;

static void describe(problem *p) {
    snprintf(p->text, sizeof p->text, "%d-d, x %d,%d,%d.. weight %d,%d,%d.. stride %d padding %d dilation %d groups %d",
             (int)p->spatial, (int)p->x[0], (int)p->x[1], (int)p->x[2], (int)p->weight[0], (int)p->weight[1], (int)p->weight[2],
             (int)p->stride[0], (int)p->padding[0], (int)p->dilation[0], (int)p->groups);
}

static problem random_problem(void) {
    problem p = {.spatial = 1 + (int32_t)cells_below(&rng, 3), .groups = 1 + cells_below(&rng, 3)};
    p.x[0] = cells_below(&rng, 12) ? 1 + cells_below(&rng, 4) : 0;
    p.x[1] = p.groups * (1 + cells_below(&rng, 3));
    p.weight[0] = p.groups * (1 + cells_below(&rng, 3));
    p.weight[1] = p.x[1] / p.groups;
    p.y[0] = p.x[0];
    p.y[1] = p.weight[0];
    for (int32_t d = 0; d < p.spatial; d++) {
        p.stride[d] = 1 + cells_below(&rng, 3);
        p.dilation[d] = 1 + cells_below(&rng, 2);
        p.padding[d] = cells_below(&rng, 3);
        p.weight[2 + d] = 1 + cells_below(&rng, 4);
        const int64_t extent = p.dilation[d] * (p.weight[2 + d] - 1) + 1, least = extent - 2 * p.padding[d];
        p.x[2 + d] = (least > 1 ? least : 1) + cells_below(&rng, 6);
        p.y[2 + d] = (p.x[2 + d] + 2 * p.padding[d] - extent) / p.stride[d] + 1;
    }
    describe(&p);
    return p;
}

/* Elements that are multiples of 1/4 are added exactly in float32; halves may differ where the kernel rounds sums of them. */
static void check(const problem *p, dl_dtype type, int spoil) {
    const int32_t n = p->spatial, ndim = n + 2;
    const int64_t *x_size = p->x + 2, *kernel = p->weight + 2;
    const dl_attr plain[] = {A_INTS(p->stride, n), A_INTS(p->padding, n), A_INTS(p->dilation, n), A_INT(p->groups)};
    const dl_attr data[] = {A_INTS(x_size, n), plain[0], plain[1], plain[2], plain[3]};
    const dl_attr weight[] = {A_INTS(kernel, n), plain[0], plain[1], plain[2], plain[3]};
    const int64_t channels[] = {p->weight[0]};
    const double tolerance = type == DL_F16 || type == DL_BF16 ? 4 : 0;
    dl_tensor x, w, bias, grad;
    cells_random(&x, type, ndim, p->x, &rng);
    cells_random(&w, type, ndim, p->weight, &rng);
    cells_random(&bias, type, 1, channels, &rng);
    cells_random(&grad, type, ndim, p->y, &rng);
    if (spoil && dl_tensor_count(&x)) cells_set(&x, cells_below(&rng, dl_tensor_count(&x)), NAN);
    composed_check("convolution", (const dl_tensor *[]){&x, &w, &bias}, 3, plain, 4, tolerance, p->text);
    composed_check("convolution", (const dl_tensor *[]){&x, &w, NULL}, 3, plain, 4, tolerance, p->text);
    composed_check("convolution_backward_data", (const dl_tensor *[]){&grad, &w}, 2, data, 5, tolerance, p->text);
    composed_check("convolution_backward_weight", (const dl_tensor *[]){&grad, &x}, 2, weight, 5, tolerance, p->text);
    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&bias), dl_tensor_clear(&grad);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 600; round++) {
        const problem p = random_problem();
        check(&p, composed_type(&rng), 0);
    }
}

static void test_nan(void **state) {
    (void)state;
    for (int round = 0; round < 60; round++) {
        problem p = random_problem();
        for (int d = 0; d < 3; d++) p.padding[d] = 0;
        for (int32_t d = 0; d < p.spatial; d++) {
            const int64_t extent = p.dilation[d] * (p.weight[2 + d] - 1) + 1;
            p.x[2 + d] = extent + cells_below(&rng, 4);
            p.y[2 + d] = (p.x[2 + d] - extent) / p.stride[d] + 1;
        }
        describe(&p);
        check(&p, (dl_dtype)cells_below(&rng, 2), 1);
    }
}

/* Samples that are taken one by one, few at a time with a rest, and kernels as large as the input. */
static void test_parts(void **state) {
    (void)state;
    problem rows[] = {
        {1, {1}, {0}, {1}, 1, {3, 64, 3000}, {8, 64, 9}, {3, 8, 2992}, ""},
        {2, {1, 1}, {1, 1}, {1, 1}, 1, {7, 16, 50, 50}, {4, 16, 3, 3}, {7, 4, 50, 50}, ""},
        {2, {1, 1}, {0, 0}, {1, 1}, 1, {2, 3, 28, 28}, {2, 3, 28, 28}, {2, 2, 1, 1}, ""},
        {2, {1, 2}, {1, 1}, {1, 1}, 32, {5, 32, 40, 40}, {32, 1, 3, 3}, {5, 32, 40, 20}, ""},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        describe(&rows[k]);
        check(&rows[k], DL_F32, 0);
    }
}

/* Results of the CPU's convolutions lie channels-last: inputs as well. */
static void test_channels_last(void **state) {
    (void)state;
    const problem p = {2, {1, 1}, {1, 0}, {1, 1}, 1, {2, 3, 6, 7}, {4, 3, 3, 2}, {2, 4, 6, 6}, ""};
    const int64_t next[] = {3, 4, 2, 2}, size[] = {6, 6};
    const dl_attr attr[] = {A_INTS(p.stride, 2), A_INTS(p.padding, 2)}, data[] = {A_INTS(size, 2)};
    dl_tensor x, w, w2, y = {0}, z = {0};
    cells_random(&x, DL_F32, 4, p.x, &rng);
    cells_random(&w, DL_F32, 4, p.weight, &rng);
    cells_random(&w2, DL_F32, 4, next, &rng);
    cells_call("convolution", (const dl_tensor *[]){&x, &w, NULL}, 3, &y, 1, attr, 2);
    composed_check("convolution", (const dl_tensor *[]){&y, &w2, NULL}, 3, NULL, 0, 0, "channels-last");
    cells_call("convolution", (const dl_tensor *[]){&y, &w2, NULL}, 3, &z, 1, NULL, 0);
    composed_check("convolution_backward_data", (const dl_tensor *[]){&z, &w2}, 2, data, 1, 0, "channels-last");
    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&w2), dl_tensor_clear(&y), dl_tensor_clear(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_nan), cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_channels_last)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
