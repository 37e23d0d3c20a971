/* test_simt_resample.c - pad, upsample and their gradients on a Tier A device against the CPU's: modes, layouts, dtypes,
 * cropping, scales, NaN beside weights of 0. */
#include "tests/core/mirror.h"

static uint64_t rng = 14;
static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { TYPES = sizeof types / sizeof *types };

#define A_TEXT(text)                                                                                                           \
    {                                                                                                                          \
        DL_ATTR_STRING, 0, { .s = (text) }                                                                                     \
    }

static void pads(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const char *const modes[] = {"constant", "reflect", "replicate", "circular"};
    for (int k = 0; k < 48; k++) {
        const int32_t ndim = 1 + (int32_t)cells_below(&rng, 4), n = 1 + (int32_t)cells_below(&rng, ndim);
        int64_t shape[4], padded[4], pad[8];
        for (int32_t d = 0; d < ndim; d++) padded[d] = shape[d] = 1 + cells_below(&rng, 6);
        for (int32_t i = 0; i < n; i++) {
            const int32_t d = ndim - 1 - i;
            for (int side = 0; side < 2; side++)
                pad[2 * i + side] = shape[d] < 4 ? cells_below(&rng, shape[d]) : cells_below(&rng, shape[d] - 1) - 1;
            padded[d] += pad[2 * i] + pad[2 * i + 1];
        }
        const dl_attr list = A_INTS(pad, n * 2), mode = A_TEXT(modes[k % 4]);
        dl_tensor x, y, gx;
        cells_random(&x, types[k / 4 % TYPES], ndim, shape, &rng);
        cells_make(&y, x.type, ndim, padded, &rng);
        cells_make(&gx, x.type, ndim, shape, &rng);
        mirror_call("pad", (const dl_tensor *[]){&x}, 1, &y, 1, (const dl_attr[]){list, mode, A_FLOAT(1.5)}, 3, 0);
        mirror_call("pad_backward", (const dl_tensor *[]){&y}, 1, &gx, 1, (const dl_attr[]){A_INTS(shape, ndim), list, mode}, 3,
                    64);
        dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&gx);
    }
}

/* A constant is converted to the dtype, saturating. */
static void pads_of_integers(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const dl_dtype integers[] = {DL_U8, DL_I8, DL_I16, DL_I32, DL_I64, DL_BOOL};
    static const double values[] = {0, 3, -2, 300};
    for (size_t t = 0; t < sizeof integers / sizeof *integers; t++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            const int64_t pad[] = {1, 2};
            dl_tensor x, y;
            cells_random(&x, integers[t], 2, (int64_t[]){3, 4}, &rng);
            cells_make(&y, integers[t], 2, (int64_t[]){3, 7}, &rng);
            mirror_call("pad", (const dl_tensor *[]){&x}, 1, &y, 1,
                        (const dl_attr[]){A_INTS(pad, 2), A_TEXT("constant"), A_FLOAT(values[v])}, 3, 0);
            dl_tensor_clear(&x), dl_tensor_clear(&y);
        }
}

static void upsamples(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const char *const modes[] = {"nearest", "nearest-exact", "linear", "cubic"};
    for (int k = 0; k < 64; k++) {
        const int32_t n = 1 + k % 3;
        int64_t from[5] = {2, 3}, to[5] = {2, 3};
        for (int32_t d = 2; d < 2 + n; d++) from[d] = 1 + cells_below(&rng, 7), to[d] = 1 + cells_below(&rng, 12);
        const int align = k / 4 % 3 == 0 && k % 4 >= 2, scaled = !align && k / 4 % 3 == 1;
        dl_attr attr[6] = {A_INTS(to + 2, n), A_TEXT(modes[k % 4]), A_INT(align), A_FLOAT(0), A_FLOAT(0), A_FLOAT(0)};
        for (int32_t d = 0; scaled && d < n; d++) attr[3 + d].v.f = (double)to[2 + d] / (double)from[2 + d] + 0.1;
        dl_tensor x, y, grad, gx;
        cells_random(&x, types[k / 4 % TYPES], n + 2, from, &rng);
        cells_random(&grad, x.type, n + 2, to, &rng);
        cells_make(&y, x.type, n + 2, to, &rng);
        cells_make(&gx, x.type, n + 2, from, &rng);
        if (k % 5 == 0) cells_set(&grad, 1, NAN), cells_set(&x, 1, NAN);
        mirror_call("upsample", (const dl_tensor *[]){&x}, 1, &y, 1, attr, 6, 64);
        attr[0] = (dl_attr)A_INTS(from + 2, n);
        mirror_call("upsample_backward", (const dl_tensor *[]){&grad}, 1, &gx, 1, attr, 6, 256);
        dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&grad), dl_tensor_clear(&gx);
    }
}

static void nearest_bytes(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const int64_t size[] = {7, 5};
    dl_tensor x, y;
    cells_random(&x, DL_U8, 4, (int64_t[]){2, 3, 4, 6}, &rng);
    cells_make(&y, DL_U8, 4, (int64_t[]){2, 3, 7, 5}, &rng);
    mirror_call("upsample", (const dl_tensor *[]){&x}, 1, &y, 1, (const dl_attr[]){A_INTS(size, 2), A_TEXT("nearest")}, 2, 0);
    dl_tensor_clear(&x), dl_tensor_clear(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pads), cmocka_unit_test(pads_of_integers), cmocka_unit_test(upsamples),
                                       cmocka_unit_test(nearest_bytes)};
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
