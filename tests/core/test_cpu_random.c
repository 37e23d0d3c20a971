/* test_cpu_random.c - the random ops: bits against scalar Philox, moments and frequencies for a fixed seed, independence from
 * threads and strides. */
#include "dlrun/dlrun.h"
#include "dlrun/philox.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 1234, N = 100003 }; /* an odd size: the last block and the last counter are partial */

static void make(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape) {
    *t = (dl_tensor){0};
    assert_int_equal(dl_tensor_new(t, type, ndim, shape, dl_default_device()), DL_OK);
    if (t->data) memset(t->data, 0x55, (size_t)(dl_tensor_count(t) * dl_dtype_bytes(type)));
}

static dl_attr real(double x) { return (dl_attr){DL_ATTR_FLOAT, 0, {.f = x}}; }
static dl_attr whole(int64_t x) { return (dl_attr){DL_ATTR_INT, 0, {.i = x}}; }
static dl_attr shape_of(const dl_tensor *t) { return (dl_attr){DL_ATTR_INTS, t->ndim, {.iv = t->shape}}; }

/* One call as number 0 of the seed. */
static void create(const char *op, dl_tensor *out, dl_attr a, dl_attr b) {
    const int two = strcmp(op, "bernoulli") != 0;
    const dl_attr attr[] = {shape_of(out), a, two ? b : whole(out->type), whole(out->type)};
    dl_seed(SEED);
    if (dl_call(dl_op_find(op), NULL, 0, &out, 1, attr, two ? 4 : 3) != DL_OK) fail_msg("%s: %s", op, dl_last_error());
}

static uint32_t word(int64_t i) {
    uint32_t block[4];
    dl_philox_block(SEED, 0, (uint64_t)i / 4, block);
    return block[i % 4];
}
static uint64_t wide_word(int64_t i) {
    uint32_t low[4];
    dl_philox_block(SEED, dl_philox_low_call(0), (uint64_t)i / 4, low);
    return (uint64_t)word(i) << 32 | low[i % 4];
}

static void moments(const float *x, int64_t n, double *mean, double *variance) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - *mean) * ((double)x[i] - *mean);
    *variance = squares / (double)(n - 1);
}

/* Pearson's statistic of counts that should be equal; for 63 degrees of freedom it is below 103 in 99.9 % of cases. */
static double chi_squared(const int *count, int bins, double total) {
    double sum = 0;
    const double expected = total / bins;
    for (int k = 0; k < bins; k++) sum += (count[k] - expected) * (count[k] - expected) / expected;
    return sum;
}

static void test_uniform(void **state) {
    (void)state;
    const int64_t n = N;
    dl_tensor t, d;
    make(&t, DL_F32, 1, &n), make(&d, DL_F64, 1, &n);
    create("uniform", &t, real(0), real(1));
    create("uniform", &d, real(0), real(1));
    const float *x = (const float *)t.data;
    const double *y = (const double *)d.data;
    int count[64] = {0};
    for (int64_t i = 0; i < n; i++) {
        assert_true(x[i] == (float)(word(i) >> 8) * 0x1p-24f);
        assert_true(y[i] == (double)(wide_word(i) >> 11) * 0x1p-53);
        count[(int)(x[i] * 64)]++;
    }
    assert_true(chi_squared(count, 64, (double)n) < 103);
    double mean, variance;
    moments(x, n, &mean, &variance);
    assert_true(fabs(mean - 0.5) < 0.004 && fabs(variance - 1 / 12.0) < 0.002);
    create("uniform", &t, real(-3), real(5));
    for (int64_t i = 0; i < n; i++) assert_true(x[i] >= -3 && x[i] < 5);
    moments(x, n, &mean, &variance);
    assert_true(fabs(mean - 1) < 0.03 && fabs(variance - 64 / 12.0) < 0.1);
    create("uniform", &t, real(2), real(2));
    for (int64_t i = 0; i < n; i++) assert_true(x[i] == 2);
    dl_tensor_clear(&t), dl_tensor_clear(&d);
}

/* Rounding must not reach hi, which float16 and bfloat16 would do once in some thousand draws. */
static void test_uniform_below_hi(void **state) {
    (void)state;
    const int64_t n = N;
    static const double ends[][2] = {{0, 1}, {100, 101}, {-1, 0}, {-101, -100}};
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
        for (dl_dtype type = DL_F32; type <= DL_BF16; type++) {
            dl_tensor t, f;
            make(&t, type, 1, &n);
            f = (dl_tensor){0};
            create("uniform", &t, real(ends[k][0]), real(ends[k][1]));
            for (int64_t i = 0; i < n; i++) {
                const uint16_t h = type == DL_F16 || type == DL_BF16 ? ((const uint16_t *)t.data)[i] : 0;
                double x;
                if (type == DL_BF16) {
                    const uint32_t bits = (uint32_t)h << 16;
                    float y;
                    memcpy(&y, &bits, sizeof y);
                    x = (double)y;
                } else if (type == DL_F16) {
                    const int exponent = h >> 10 & 31;
                    x = ldexp((h & 1023) + (exponent ? 1024 : 0), (exponent ? exponent : 1) - 25) * (h & 0x8000 ? -1 : 1);
                } else {
                    x = type == DL_F64 ? ((const double *)t.data)[i] : (double)((const float *)t.data)[i];
                }
                assert_true(x >= ends[k][0] && x < ends[k][1]);
            }
            dl_tensor_clear(&t), dl_tensor_clear(&f);
        }
}

static void test_normal(void **state) {
    (void)state;
    const int64_t n = N;
    dl_tensor t, d;
    make(&t, DL_F32, 1, &n), make(&d, DL_F64, 1, &n);
    create("normal", &t, real(0), real(1));
    create("normal", &d, real(0), real(1));
    const float *x = (const float *)t.data;
    const double *y = (const double *)d.data;
    int count[64] = {0};
    for (int64_t i = 0; i < n; i++) {
        const int64_t first = i - i % 2; /* Box-Muller on the pair's two draws */
        if (first + 1 < n) {
            const double radius = sqrt(-2 * log(((double)(wide_word(first) >> 11) + 1) * 0x1p-53));
            const double angle = 6.283185307179586477 * ((double)(wide_word(first + 1) >> 11) * 0x1p-53);
            assert_true(fabs(y[i] - radius * (i % 2 ? sin(angle) : cos(angle))) < 1e-13);
            assert_true(fabs((double)x[i] - y[i]) < 1e-4);
        }
        count[(int)(0.5 * erfc(-(double)x[i] * 0.70710678118654752) * 63.999999)]++;
    }
    assert_true(chi_squared(count, 64, (double)n) < 103);
    double mean, variance;
    create("normal", &t, real(-2), real(3));
    moments(x, n, &mean, &variance);
    assert_true(fabs(mean + 2) < 0.04 && fabs(variance - 9) < 0.2);
    dl_tensor_clear(&t), dl_tensor_clear(&d);
}

static void test_bernoulli(void **state) {
    (void)state;
    const int64_t n = N;
    static const double ps[] = {0, 1, 0.5, 0.1, 0.999, 1e-9};
    dl_tensor f, b, i64;
    make(&f, DL_F32, 1, &n), make(&b, DL_BOOL, 1, &n), make(&i64, DL_I64, 1, &n);
    for (size_t k = 0; k < sizeof ps / sizeof *ps; k++) {
        create("bernoulli", &f, real(ps[k]), real(0));
        create("bernoulli", &b, real(ps[k]), real(0));
        create("bernoulli", &i64, real(ps[k]), real(0));
        for (int64_t i = 0; i < n; i++) {
            const int expected = (double)word(i) < ps[k] * 4294967296.0;
            assert_true(((const float *)f.data)[i] == (float)expected);
            assert_int_equal(((const uint8_t *)b.data)[i], expected);
            assert_int_equal(((const int64_t *)i64.data)[i], expected);
        }
    }
    dl_tensor_clear(&f), dl_tensor_clear(&b), dl_tensor_clear(&i64);
}

static void test_random_int(void **state) {
    (void)state;
    const int64_t n = N;
    dl_tensor t, u, f;
    make(&t, DL_I64, 1, &n), make(&u, DL_U8, 1, &n), make(&f, DL_F32, 1, &n);
    const int64_t *x = (const int64_t *)t.data;
    int count[64] = {0};
    create("random_int", &t, whole(-32), whole(31));
    create("random_int", &f, whole(-32), whole(31));
    for (int64_t i = 0; i < n; i++) {
        assert_in_range(x[i] + 32, 0, 63);
        assert_true(((const float *)f.data)[i] == (float)x[i]);
        count[x[i] + 32]++;
    }
    assert_true(chi_squared(count, 64, (double)n) < 103);
    create("random_int", &u, whole(3), whole(3));
    for (int64_t i = 0; i < n; i++) assert_int_equal(((const uint8_t *)u.data)[i], 3);
    /* More values than 32 bits can address, and all that there are. */
    memset(count, 0, sizeof count);
    create("random_int", &t, whole(0), whole(((int64_t)3 << 40) - 1));
    for (int64_t i = 0; i < n; i++) count[x[i] / ((int64_t)3 << 34)]++;
    assert_true(chi_squared(count, 64, (double)n) < 103);
    create("random_int", &t, whole(INT64_MIN), whole(INT64_MAX));
    for (int64_t i = 0; i < n; i++) assert_true(x[i] == (int64_t)((uint64_t)INT64_MIN + wide_word(i)));
    dl_tensor_clear(&t), dl_tensor_clear(&u), dl_tensor_clear(&f);
}

static void test_randperm(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 2, 511, 512, 513, 5000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int half = 0; half < 2; half++) {
            dl_tensor t, *out = &t;
            make(&t, half ? DL_I32 : DL_I64, 1, &sizes[k]);
            const dl_attr attr[] = {whole(sizes[k]), whole(t.type)};
            dl_seed(SEED);
            assert_int_equal(dl_call(dl_op_find("randperm"), NULL, 0, &out, 1, attr, 2), DL_OK);
            char *seen = (char *)calloc((size_t)sizes[k] + 1, 1);
            assert_non_null(seen);
            int64_t fixed = 0;
            for (int64_t i = 0; i < sizes[k]; i++) {
                const int64_t v = half ? ((const int32_t *)t.data)[i] : ((const int64_t *)t.data)[i];
                assert_true(v >= 0 && v < sizes[k] && !seen[v]);
                seen[v] = 1;
                fixed += v == i;
            }
            if (sizes[k] > 500) assert_true(fixed < 10); /* one is expected, whatever the size */
            free(seen);
            dl_tensor_clear(&t);
        }
}

static void test_dropout(void **state) {
    (void)state;
    const int64_t shape[] = {33, 77};
    static const double ps[] = {0, 0.2, 0.5, 1};
    for (size_t k = 0; k < sizeof ps / sizeof *ps; k++)
        for (int transposed = 0; transposed < 2; transposed++) {
            dl_tensor x, y, mask, xt = {0};
            make(&x, DL_F32, 2, transposed ? (int64_t[]){77, 33} : shape);
            make(&y, DL_F32, 2, shape), make(&mask, DL_U8, 2, shape);
            float *px = (float *)x.data;
            for (int i = 0; i < 33 * 77; i++) px[i] = (float)(i + 1);
            assert_int_equal(dl_tensor_on(&xt, x.storage, DL_F32, 0, 2, shape, transposed ? (int64_t[]){1, 33} : NULL), DL_OK);
            const dl_tensor *in[] = {&xt};
            dl_tensor *const out[] = {&y, &mask};
            const dl_attr p = real(ps[k]);
            dl_seed(SEED);
            if (dl_call(dl_op_find("dropout"), in, 1, out, 2, &p, 1) != DL_OK) fail_msg("%s", dl_last_error());
            for (int64_t i = 0; i < 33 * 77; i++) {
                const int keep = word(i) >= dl_random_threshold(ps[k]);
                const float value = px[transposed ? i % 77 * 33 + i / 77 : i];
                assert_int_equal(((const uint8_t *)mask.data)[i], keep);
                assert_true(((const float *)y.data)[i] == (keep ? value * (float)(1 / (1 - ps[k])) : 0));
            }
            dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&mask), dl_tensor_clear(&xt);
        }
}

/* The same bits from any number of threads and in any memory order; other bits from the next call. */
static void test_independence(void **state) {
    (void)state;
    static const char *const ops[] = {"uniform", "normal"};
    const int64_t shape[] = {301, 333}, n = 301 * 333;
    const int32_t threads = dl_threads(0);
    for (int k = 0; k < 2; k++) {
        dl_tensor one, many, base, turned = {0};
        make(&one, DL_F32, 2, shape), make(&many, DL_F32, 2, shape), make(&base, DL_F32, 1, &n);
        assert_int_equal(dl_tensor_on(&turned, base.storage, DL_F32, 0, 2, shape, (int64_t[]){1, 301}), DL_OK);
        dl_threads(1);
        create(ops[k], &one, real(0), real(1));
        dl_threads(3);
        create(ops[k], &many, real(0), real(1));
        assert_memory_equal(one.data, many.data, (size_t)n * sizeof(float));
        create(ops[k], &turned, real(0), real(1));
        const float *x = (const float *)one.data, *y = (const float *)base.data;
        for (int64_t i = 0; i < 301; i++)
            for (int64_t j = 0; j < 333; j++) assert_true(x[i * 333 + j] == y[i + j * 301]);
        const dl_attr attr[] = {shape_of(&many), real(0), real(1), whole(DL_F32)};
        dl_tensor *out = &many;
        assert_int_equal(dl_call(dl_op_find(ops[k]), NULL, 0, &out, 1, attr, 4), DL_OK); /* call number 1 */
        assert_memory_not_equal(one.data, many.data, 64);
        dl_tensor_clear(&one), dl_tensor_clear(&many), dl_tensor_clear(&base), dl_tensor_clear(&turned);
    }
    dl_threads(threads);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uniform),   cmocka_unit_test(test_uniform_below_hi), cmocka_unit_test(test_normal),
        cmocka_unit_test(test_bernoulli), cmocka_unit_test(test_random_int),       cmocka_unit_test(test_randperm),
        cmocka_unit_test(test_dropout),   cmocka_unit_test(test_independence),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
