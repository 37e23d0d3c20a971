/* test_cpu_pad.c - pad and pad_backward of the CPU backend against loops over the definition. */
#include "tests/core/cells.h"

static uint64_t rng = 8;

static const char *const modes[] = {"constant", "reflect", "replicate", "circular"};

/* The place of the input that place `at` of a dimension of n elements, padded by before and after, shows; -1: none. */
static int64_t shown(int mode, int64_t at, int64_t before, int64_t after, int64_t n) {
    const int64_t first = before < 0 ? -before : 0, last = n - 1 - (after < 0 ? -after : 0);
    at -= before;
    if (at >= 0 && at < n) return at;
    switch (mode) {
    case 1: return at < 0 ? -at : 2 * (n - 1) - at;
    case 2: return at < 0 ? 0 : n - 1;
    case 3:
        while (at < first) at += last - first + 1;
        while (at > last) at -= last - first + 1;
        return at;
    default: return -1;
    }
}

typedef struct problem {
    int mode;
    int32_t ndim;
    int64_t shape[4], padded[4], pads[8];
} problem;

static problem random_problem(void) {
    problem p = {.mode = (int)cells_below(&rng, 4), .ndim = 1 + (int32_t)cells_below(&rng, 4)};
    for (int32_t d = 0; d < p.ndim; d++) {
        const int64_t n = p.shape[d] = 1 + cells_below(&rng, 5), most = p.mode == 1 ? n - 1 : p.mode == 3 ? n : 4;
        int64_t *pad = p.pads + 2 * (p.ndim - 1 - d);
        if (cells_below(&rng, 3)) {
            pad[0] = cells_below(&rng, most + 1);
            pad[1] = cells_below(&rng, most + 1);
            if (cells_below(&rng, 4) == 0) pad[cells_below(&rng, 2)] = -cells_below(&rng, n);
            if (p.mode == 3 && pad[0] > n + (pad[1] < 0 ? pad[1] : 0)) pad[0] = 0;
            if (p.mode == 3 && pad[1] > n + (pad[0] < 0 ? pad[0] : 0)) pad[1] = 0;
        }
        p.padded[d] = n + pad[0] + pad[1];
    }
    return p;
}

/* The input's element that element number `place` of the result shows; -1: none. */
static int64_t origin(const problem *p, const int64_t *place) {
    int64_t at[4];
    for (int32_t d = 0; d < p->ndim; d++) {
        const int64_t *pad = p->pads + 2 * (p->ndim - 1 - d);
        at[d] = shown(p->mode, place[d], pad[0], pad[1], p->shape[d]);
        if (at[d] < 0) return -1;
    }
    return cells_number(p->ndim, p->shape, at);
}

static void test_pad(void **state) {
    (void)state;
    for (int round = 0; round < 2000; round++) {
        const problem p = random_problem();
        const dl_attr attr[] = {A_INTS(p.pads, 2 * p.ndim), {DL_ATTR_STRING, 0, {.s = modes[p.mode]}}, A_FLOAT(1)};
        int64_t place[4] = {0}, k = 0;
        dl_tensor x, y;
        const dl_tensor *in[] = {&x};
        const dl_dtype type = (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT);
        cells_random(&x, type, p.ndim, p.shape, &rng);
        cells_make(&y, type, p.ndim, p.padded, &rng);
        cells_call("pad", in, 1, &y, 1, attr, 3);
        cells_check_gaps(&y);
        if (dl_tensor_count(&y)) do {
                const int64_t from = origin(&p, place);
                assert_true(cells_get(&y, k++) == (from < 0 ? 1 : cells_get(&x, from)));
            } while (cells_next(p.ndim, p.padded, place));
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

static void check_backward(const problem *p, dl_dtype type) {
    const dl_attr attr[] = {
        A_INTS(p->shape, p->ndim), A_INTS(p->pads, 2 * p->ndim), {DL_ATTR_STRING, 0, {.s = modes[p->mode]}}};
    int64_t place[4] = {0}, k = 0;
    dl_tensor grad, y, expected;
    const dl_tensor *in[] = {&grad};
    cells_random(&grad, type, p->ndim, p->padded, &rng);
    cells_make(&y, type, p->ndim, p->shape, &rng);
    cells_make(&expected, DL_F64, p->ndim, p->shape, NULL);
    cells_call("pad_backward", in, 1, &y, 1, attr, 3);
    cells_check_gaps(&y);
    if (dl_tensor_count(&grad)) do {
            const int64_t from = origin(p, place);
            if (from >= 0) cells_set(&expected, from, cells_get(&expected, from) + cells_get(&grad, k));
            k++;
        } while (cells_next(p->ndim, p->padded, place));
    /* sums of few multiples of 1/4 are exact, but for the last rounding */
    for (int64_t i = 0; i < dl_tensor_count(&y); i++)
        assert_true(cells_get(&y, i) == cells_rounded(type, cells_get(&expected, i)));
    dl_tensor_clear(&grad), dl_tensor_clear(&y), dl_tensor_clear(&expected);
}

static void test_backward(void **state) {
    (void)state;
    for (int round = 0; round < 2000; round++) {
        const problem p = random_problem();
        check_backward(&p, (dl_dtype)cells_below(&rng, 4));
    }
}

/* Rows longer than a buffer, and work for several threads. */
static void test_long(void **state) {
    (void)state;
    const int32_t threads = dl_threads(3);
    for (int mode = 1; mode < 4; mode++) {
        const problem p = {mode, 3, {3, 40, 700}, {3, 45, 1307}, {600, 7, 2, 3}};
        const dl_attr attr[] = {A_INTS(p.pads, 4), {DL_ATTR_STRING, 0, {.s = modes[mode]}}};
        int64_t place[4] = {0}, k = 0;
        dl_tensor x, y = {0};
        const dl_tensor *in[] = {&x};
        cells_random(&x, DL_F32, 3, p.shape, &rng);
        cells_call("pad", in, 1, &y, 1, attr, 2);
        do assert_true(cells_get(&y, k++) == cells_get(&x, origin(&p, place)));
        while (cells_next(3, p.padded, place));
        dl_tensor_clear(&x), dl_tensor_clear(&y);
        problem two = p;
        two.pads[4] = two.pads[5] = 0;
        check_backward(&two, DL_F32);
    }
    dl_threads(threads);
}

/* A constant keeps every bit of large integers' neighbours and is rounded as the dtype rounds. */
static void test_constants(void **state) {
    (void)state;
    const int64_t n = 1, pads[] = {1, 0};
    const struct {
        dl_dtype type;
        double value, expected;
    } rows[] = {{DL_U8, 300, 255}, {DL_I8, -1.5, -1}, {DL_BOOL, 0.5, 1}, {DL_F16, 1 + 0x1p-12, 1}, {DL_I64, 0x1p53, 0x1p53}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        const dl_attr attr[] = {A_INTS(pads, 2), {DL_ATTR_STRING, 0, {.s = "constant"}}, A_FLOAT(rows[k].value)};
        dl_tensor x, y = {0};
        const dl_tensor *in[] = {&x};
        cells_make(&x, rows[k].type, 1, &n, NULL);
        cells_call("pad", in, 1, &y, 1, attr, 3);
        assert_true(cells_get(&y, 0) == rows[k].expected && cells_get(&y, 1) == 0);
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pad), cmocka_unit_test(test_backward), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_constants)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
