/* test_cpu_copy.c - copy, cat, tril, triu and the creation ops of the CPU backend: every dtype pair, layout and broadcast. */
#include "tests/core/cells.h"

enum { RANDOM_CASES = 400 };

static uint64_t rng = 1;

static int32_t random_shape(int64_t *shape, int32_t most_dims, int64_t most) {
    const int32_t ndim = (int32_t)cells_below(&rng, most_dims + 1);
    for (int32_t d = 0; d < ndim; d++) shape[d] = cells_below(&rng, 12) == 0 ? 0 : 1 + cells_below(&rng, most);
    return ndim;
}

/* What docs/pointwise.md says of conversions: saturation, NaN to 0, to bool != 0. */
static void test_known_conversions(void **state) {
    (void)state;
    const double from[] = {0,   -0.0, 1,     -1,     0.5, -0.5, 1.9,  -1.9,  127.5,    128,       255.9,
                           256, -129, 32768, -40000, 3e9, -3e9, 1e19, -1e19, INFINITY, -INFINITY, NAN};
    enum { N = sizeof from / sizeof *from };
    static const struct {
        dl_dtype type;
        double lowest, highest;
    } limits[] = {{DL_U8, 0, 255},
                  {DL_I8, -128, 127},
                  {DL_I16, -32768, 32767},
                  {DL_I32, -2147483648.0, 2147483647.0},
                  {DL_I64, -0x1p63, 0x1p63}};
    const int64_t n = N;
    for (dl_dtype source = DL_F32; source <= DL_F64; source++) {
        dl_tensor x, y;
        const dl_tensor *in[] = {&x};
        cells_of(&x, source, 1, &n, from);
        for (size_t k = 0; k < sizeof limits / sizeof *limits; k++) {
            const dl_attr type = A_INT(limits[k].type);
            y = (dl_tensor){0};
            cells_call("copy", in, 1, &y, 1, &type, 1);
            for (int i = 0; i < N; i++) {
                const double expected = isnan(from[i]) ? 0 : fmin(fmax(trunc(from[i]), limits[k].lowest), limits[k].highest);
                cells_near(cells_get(&y, i), expected, source == DL_F32 && fabs(expected) > 1e6 ? 256 : 0,
                           dl_dtype_name(limits[k].type));
            }
            dl_tensor_clear(&y);
        }
        const dl_attr type = A_INT(DL_BOOL);
        y = (dl_tensor){0};
        cells_call("copy", in, 1, &y, 1, &type, 1);
        for (int i = 0; i < N; i++) assert_true(cells_get(&y, i) == (from[i] != 0));
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

/* Every half and bfloat16 to float and back; roundings of floats around them. */
static void test_halves(void **state) {
    (void)state;
    const int64_t n = 65536;
    for (dl_dtype type = DL_F16; type <= DL_BF16; type++) {
        dl_tensor h, f = {0}, back = {0}, rounded = {0};
        const dl_tensor *in[] = {&h}, *in_f[] = {&f};
        const dl_attr to_f32 = A_INT(DL_F32), to_half = A_INT(type);
        cells_make(&h, type, 1, &n, NULL);
        for (int64_t i = 0; i < n; i++) ((uint16_t *)h.data)[i] = (uint16_t)i;
        cells_call("copy", in, 1, &f, 1, &to_f32, 1);
        cells_call("copy", in_f, 1, &back, 1, &to_half, 1);
        for (int64_t i = 0; i < n; i++) {
            cells_near(cells_get(&f, i), cells_get(&h, i), 0, "widening");
            cells_near(cells_get(&back, i), cells_get(&h, i), 0, "narrowing");
        }
        for (int64_t i = 0; i < n; i++) /* a random float within each exponent */
            ((uint32_t *)f.data)[i] = (uint32_t)(cells_bits(&rng) & 0xff7fffff) | (uint32_t)(i % 2) << 23;
        cells_call("copy", in_f, 1, &rounded, 1, &to_half, 1);
        for (int64_t i = 0; i < n; i++)
            cells_near(cells_get(&rounded, i), cells_rounded(type, cells_get(&f, i)), 0, "rounding");
        dl_tensor_clear(&h), dl_tensor_clear(&f), dl_tensor_clear(&back), dl_tensor_clear(&rounded);
    }
}

/* Elements that every dtype holds exactly, copied between random layouts, broadcast into the output. */
static void test_layouts(void **state) {
    (void)state;
    for (int round = 0; round < RANDOM_CASES; round++) {
        const dl_dtype from = (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT), to = (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT);
        int64_t shape[DL_MAX_DIMS], x_shape[DL_MAX_DIMS], place[DL_MAX_DIMS] = {0};
        const int32_t ndim = random_shape(shape, 5, 9), lead = ndim ? (int32_t)cells_below(&rng, ndim) : 0;
        for (int32_t d = lead; d < ndim; d++) x_shape[d - lead] = cells_below(&rng, 4) ? shape[d] : 1;
        dl_tensor x, y;
        cells_random(&x, from, ndim - lead, x_shape, &rng);
        cells_make(&y, to, ndim, shape, &rng);
        for (int64_t i = 0; i < dl_tensor_count(&x); i++) cells_set(&x, i, fabs(cells_get(&x, i)));
        const dl_tensor *in[] = {&x};
        cells_call("copy", in, 1, &y, 1, NULL, 0);
        cells_check_gaps(&y);
        if (dl_tensor_count(&y)) do {
                int64_t at[DL_MAX_DIMS] = {0};
                for (int32_t d = lead; d < ndim; d++) at[d - lead] = x_shape[d - lead] == 1 ? 0 : place[d];
                const double value = cells_get(&x, cells_number(ndim - lead, x_shape, at));
                cells_near(cells_get(&y, cells_number(ndim, shape, place)), cells_rounded(to, value), 0, "copy");
            } while (cells_next(ndim, shape, place));
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

/* Sizes beyond a tile, a row buffer and a thread's grain; one and three threads. */
static void test_large(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{1, 300, 257}, {3, 33, 1000}, {2, 1, 70000}};
    const int32_t threads = dl_threads(0);
    for (int round = 0; round < 60; round++) {
        const int64_t *shape = shapes[round % 3];
        const dl_dtype from = (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT), to = round % 2 ? from : DL_F32;
        dl_tensor x, y;
        cells_random(&x, from, 3, shape, &rng);
        cells_make(&y, to, 3, shape, &rng);
        const dl_tensor *in[] = {&x};
        dl_threads(round % 4 < 2 ? 1 : 3);
        cells_call("copy", in, 1, &y, 1, NULL, 0);
        for (int64_t i = 0; i < dl_tensor_count(&x); i++)
            if (cells_get(&x, i) != cells_get(&y, i)) fail_msg("element %lld differs", (long long)i);
        cells_check_gaps(&y);
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
    dl_threads(threads);
}

static void test_twelve_dims(void **state) {
    (void)state;
    const int64_t shape[12] = {2, 1, 2, 3, 1, 2, 2, 1, 3, 2, 1, 2};
    dl_tensor x, y;
    cells_random(&x, DL_I32, 12, shape, &rng);
    cells_make(&y, DL_F64, 12, shape, &rng);
    const dl_tensor *in[] = {&x};
    cells_call("copy", in, 1, &y, 1, NULL, 0);
    for (int64_t i = 0; i < dl_tensor_count(&x); i++) assert_true(cells_get(&x, i) == cells_get(&y, i));
    dl_tensor_clear(&x), dl_tensor_clear(&y);
}

static void test_cat(void **state) {
    (void)state;
    for (int round = 0; round < RANDOM_CASES; round++) {
        int64_t shape[DL_MAX_DIMS], place[DL_MAX_DIMS] = {0}, total = 0;
        int32_t ndim = random_shape(shape, 4, 5);
        if (ndim == 0) shape[ndim++] = 2;
        const int32_t dim = (int32_t)cells_below(&rng, ndim), n = 1 + (int32_t)cells_below(&rng, 4);
        dl_tensor x[4], y = {0};
        const dl_tensor *in[4];
        const dl_dtype type = (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT);
        int64_t start[4];
        for (int32_t k = 0; k < n; k++) {
            shape[dim] = cells_below(&rng, 4);
            cells_random(&x[k], type, ndim, shape, &rng);
            in[k] = &x[k];
            start[k] = total;
            total += shape[dim];
        }
        const dl_attr attr = A_INT(round % 2 ? dim : dim - ndim);
        cells_call("cat", in, n, &y, 1, &attr, 1);
        assert_int_equal(y.shape[dim], total);
        if (dl_tensor_count(&y)) do {
                int32_t k = n - 1;
                int64_t at[DL_MAX_DIMS];
                while (start[k] > place[dim]) k--;
                memcpy(at, place, sizeof at);
                at[dim] -= start[k];
                assert_true(cells_get(&y, cells_number(ndim, y.shape, place)) ==
                            cells_get(&x[k], cells_number(ndim, x[k].shape, at)));
            } while (cells_next(ndim, y.shape, place));
        for (int32_t k = 0; k < n; k++) dl_tensor_clear(&x[k]);
        dl_tensor_clear(&y);
    }
}

static void test_triangles(void **state) {
    (void)state;
    for (int round = 0; round < RANDOM_CASES; round++) {
        int64_t shape[3] = {cells_below(&rng, 3), 1 + cells_below(&rng, 8), 1 + cells_below(&rng, 8)};
        const int64_t diagonal = cells_below(&rng, 22) - 11;
        const dl_attr attr = A_INT(diagonal);
        dl_tensor x, y;
        const dl_dtype type = (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT);
        cells_random(&x, type, 3, shape, &rng);
        cells_make(&y, type, 3, shape, &rng);
        const dl_tensor *in[] = {&x};
        cells_call(round % 2 ? "tril" : "triu", in, 1, &y, 1, &attr, 1);
        for (int64_t i = 0; i < dl_tensor_count(&x); i++) {
            const int64_t column = i % shape[2], row = i / shape[2] % shape[1];
            const int keep = round % 2 ? column - row <= diagonal : column - row >= diagonal;
            assert_true(cells_get(&y, i) == (keep ? cells_get(&x, i) : 0));
        }
        cells_check_gaps(&y);
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

static void test_create(void **state) {
    (void)state;
    for (int round = 0; round < RANDOM_CASES; round++) {
        const dl_dtype type = (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT);
        int64_t shape[DL_MAX_DIMS];
        const int32_t ndim = random_shape(shape, 4, 30);
        dl_tensor y;
        cells_make(&y, type, ndim, shape, &rng);
        const dl_attr full[] = {A_INTS(shape, ndim), A_FLOAT(2.75)};
        cells_call("full", NULL, 0, &y, 1, full, 2);
        for (int64_t i = 0; i < dl_tensor_count(&y); i++) assert_true(cells_get(&y, i) == cells_rounded(type, 2.75));
        cells_check_gaps(&y);
        dl_tensor_clear(&y);

        const int64_t sizes[] = {cells_below(&rng, 40), 1 + cells_below(&rng, 40)};
        cells_make(&y, type, 2, sizes, &rng);
        const dl_attr eye[] = {A_INT(sizes[0]), A_INT(sizes[1]), A_INT(type)};
        cells_call("eye", NULL, 0, &y, 1, eye, 3);
        for (int64_t i = 0; i < dl_tensor_count(&y); i++) assert_true(cells_get(&y, i) == (i / sizes[1] == i % sizes[1]));
        cells_check_gaps(&y);
        dl_tensor_clear(&y);
    }
}

static void test_arange(void **state) {
    (void)state;
    const dl_attr integers[] = {A_INT(-3), A_INT(2), A_INT(40000), A_INT(DL_I32)};
    const dl_attr floats[] = {A_FLOAT(0.1), A_FLOAT(0.1), A_INT(1000), A_INT(DL_F32)};
    const dl_attr truncated[] = {A_FLOAT(0), A_FLOAT(0.5), A_INT(9), A_INT(DL_I64)};
    const dl_attr wide[] = {A_INT(INT64_MAX - 1), A_INT(1), A_INT(2), A_INT(DL_I64)};
    dl_tensor y = {0};
    cells_call("arange", NULL, 0, &y, 1, integers, 4);
    for (int64_t i = 0; i < 40000; i++) assert_int_equal(((int32_t *)y.data)[i], -3 + 2 * i);
    dl_tensor_clear(&y);
    cells_call("arange", NULL, 0, &y, 1, floats, 4);
    for (int64_t i = 0; i < 1000; i++) assert_true(((float *)y.data)[i] == (float)(0.1 + 0.1 * (double)i));
    dl_tensor_clear(&y);
    cells_call("arange", NULL, 0, &y, 1, truncated, 4);
    for (int64_t i = 0; i < 9; i++) assert_int_equal(((int64_t *)y.data)[i], i / 2);
    dl_tensor_clear(&y);
    cells_call("arange", NULL, 0, &y, 1, wide, 4);
    assert_true(((int64_t *)y.data)[1] == INT64_MAX);
    dl_tensor_clear(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_conversions),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_twelve_dims),
        cmocka_unit_test(test_cat),
        cmocka_unit_test(test_triangles),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_arange),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
