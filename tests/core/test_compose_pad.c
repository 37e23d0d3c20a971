/* test_compose_pad.c - pad, pad_backward and view_backward composed from primitive ops, against the CPU's kernels. */
#include "tests/core/composed.h"
#include <stdio.h>

static uint64_t rng = 21;

static const char *const modes[] = {"constant", "reflect", "replicate", "circular"};

typedef struct problem {
    int mode;
    int32_t ndim;
    int64_t shape[4], padded[4], pads[8];
    char text[128];
} problem;

/* Pads that the mode may have; some of them cut. Constants: also of nothing, and cutting more than there is. */
static problem random_problem(void) {
    problem p = {.mode = (int)cells_below(&rng, 4), .ndim = 1 + (int32_t)cells_below(&rng, 4)};
    int at = snprintf(p.text, sizeof p.text, "%s", modes[p.mode]);
    for (int32_t d = 0; d < p.ndim; d++) {
        const int64_t n = p.shape[d] = (p.mode != 0) + cells_below(&rng, 5), most = p.mode == 1 ? n - 1 : p.mode == 3 ? n : 4;
        int64_t *pad = p.pads + 2 * (p.ndim - 1 - d);
        if (cells_below(&rng, 3)) {
            pad[0] = cells_below(&rng, most + 1);
            pad[1] = cells_below(&rng, most + 1);
            if (cells_below(&rng, 4) == 0) pad[cells_below(&rng, 2)] = -cells_below(&rng, n + 1);
            if (p.mode == 0 && cells_below(&rng, 8) == 0) pad[0] = -n - 2, pad[1] = 3 + cells_below(&rng, 2);
            if (p.mode == 3 && pad[0] > n + (pad[1] < 0 ? pad[1] : 0)) pad[0] = 0;
            if (p.mode == 3 && pad[1] > n + (pad[0] < 0 ? pad[0] : 0)) pad[1] = 0;
        }
        p.padded[d] = n + pad[0] + pad[1];
        at += snprintf(p.text + at, sizeof p.text - (size_t)at, " %d%+d%+d", (int)n, (int)pad[0], (int)pad[1]);
    }
    return p;
}

static void test_pad(void **state) {
    (void)state;
    for (int round = 0; round < 2000; round++) {
        const problem p = random_problem();
        const dl_attr attr[] = {
            A_INTS(p.pads, 2 * p.ndim), {DL_ATTR_STRING, 0, {.s = modes[p.mode]}}, A_FLOAT(0.25 * (double)(round % 9 - 4))};
        dl_tensor x;
        const dl_tensor *in[] = {&x};
        cells_random(&x, (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT), p.ndim, p.shape, &rng);
        composed_check("pad", in, 1, attr, 3, 0, p.text);
        dl_tensor_clear(&x);
    }
}

static void test_pad_backward(void **state) {
    (void)state;
    for (int round = 0; round < 2000; round++) {
        const problem p = random_problem();
        const dl_attr attr[] = {A_INTS(p.shape, p.ndim), A_INTS(p.pads, 2 * p.ndim), {DL_ATTR_STRING, 0, {.s = modes[p.mode]}}};
        dl_tensor grad;
        const dl_tensor *in[] = {&grad};
        cells_random(&grad, composed_type(&rng), p.ndim, p.padded, &rng);
        composed_check("pad_backward", in, 1, attr, 3, 0, p.text);
        dl_tensor_clear(&grad);
    }
}

/* Views of any strides: apart, meeting, repeated; with gaps and an offset. */
static void test_view_backward(void **state) {
    (void)state;
    for (int round = 0; round < 3000; round++) {
        const int32_t n = 1 + (int32_t)cells_below(&rng, 3), m = (int32_t)cells_below(&rng, 5);
        int64_t out[3], shape[5], strides[5], capacity = 1;
        char text[64];
        for (int32_t d = 0; d < n; d++) capacity *= out[d] = 1 + cells_below(&rng, 9);
        int64_t room = capacity - 1;
        for (int32_t d = 0; d < m; d++) {
            shape[d] = cells_below(&rng, 30) ? 1 + cells_below(&rng, 6) : 0;
            strides[d] = cells_below(&rng, 4) ? cells_below(&rng, capacity / 2 + 1) : 0;
            if (shape[d] > 1 && strides[d] * (shape[d] - 1) > room) strides[d] = room / (shape[d] - 1);
            if (shape[d] > 1) room -= strides[d] * (shape[d] - 1);
        }
        const dl_attr attr[] = {A_INTS(out, n), A_INTS(strides, m), A_INT(cells_below(&rng, room + 1))};
        dl_tensor grad;
        const dl_tensor *in[] = {&grad};
        /* sums of quarters are exact in float32, but the CPU rounds halves after every addition */
        const dl_dtype type = (dl_dtype)cells_below(&rng, 9);
        snprintf(text, sizeof text, "round %d", round);
        cells_random(&grad, type, m, shape, &rng);
        composed_check("view_backward", in, 1, attr, 3, type == DL_F16 || type == DL_BF16 ? 64 : 0, text);
        dl_tensor_clear(&grad);
    }
}

/* So many slices that places are tabulated. */
static void test_many_places(void **state) {
    (void)state;
    const int64_t out[] = {600}, shape[] = {100, 90, 80}, strides[] = {1, 1, 1}, halves[] = {2, 300};
    const dl_attr attr[] = {A_INTS(out, 1), A_INTS(strides, 3), A_INT(5)}, two[] = {A_INTS(halves, 2), A_INTS(strides, 3)};
    for (int type = 0; type < 2; type++) {
        dl_tensor grad;
        const dl_tensor *in[] = {&grad};
        cells_random(&grad, (dl_dtype)type, 3, shape, &rng);
        composed_check("view_backward", in, 1, attr, 3, 0, "places");
        composed_check("view_backward", in, 1, two, 2, 0, "places of a matrix");
        dl_tensor_clear(&grad);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pad), cmocka_unit_test(test_pad_backward),
                                       cmocka_unit_test(test_view_backward), cmocka_unit_test(test_many_places)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
