/* test_simt_gemm.c - products on a Tier A device against the CPU's: shapes around the tiles' edges, layouts, dtypes, no
 * elements, inner dimensions long enough to be split. */
#include "tests/core/mirror.h"

static uint64_t rng = 11;
static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { TYPES = sizeof types / sizeof *types };

/* A sum of `inner` products of values up to 4; halves are rounded once. */
static double units(dl_dtype type, int64_t inner) { return type == DL_F32 || type == DL_F64 ? 8 + 8 * (double)inner : 4; }

static void gemm_case(dl_dtype type, int64_t batch, int64_t n, int64_t k, int64_t m) {
    dl_tensor a, b, y;
    cells_random(&a, type, 3, (int64_t[]){batch, n, k}, &rng);
    cells_random(&b, type, 3, (int64_t[]){batch, k, m}, &rng);
    cells_make(&y, type, 3, (int64_t[]){batch, n, m}, &rng);
    mirror_call("matmul", (const dl_tensor *[]){&a, &b}, 2, &y, 1, NULL, 0, units(type, k));
    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&y);
}

static void products(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t sizes[][4] = {{1, 1, 1, 1},     {2, 3, 5, 7},    {1, 64, 16, 64},  {1, 65, 17, 66},
                                       {3, 70, 40, 130}, {1, 5, 2000, 9}, {2, 33, 700, 65}, {0, 3, 4, 5},
                                       {2, 0, 4, 5},     {2, 3, 0, 5},    {1, 128, 31, 1},  {5, 1, 33, 100}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < TYPES; t++) gemm_case(types[t], sizes[s][0], sizes[s][1], sizes[s][2], sizes[s][3]);
}

/* A factor that is expanded along the batch. */
static void expanded(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    dl_tensor a, b, y;
    cells_random(&a, DL_F32, 3, (int64_t[]){4, 10, 20}, &rng);
    cells_random(&b, DL_F32, 2, (int64_t[]){20, 30}, &rng);
    cells_make(&y, DL_F32, 3, (int64_t[]){4, 10, 30}, &rng);
    mirror_call("matmul", (const dl_tensor *[]){&a, &b}, 2, &y, 1, NULL, 0, units(DL_F32, 20));
    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&y);
}

static void linear(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t inner[] = {1, 40, 900};
    for (int with_bias = 0; with_bias < 2; with_bias++)
        for (int t = 0; t < TYPES; t++)
            for (size_t k = 0; k < sizeof inner / sizeof *inner; k++) {
                dl_tensor x, weight, bias, y;
                cells_make(&x, types[t], 3, (int64_t[]){3, 7, inner[k]}, NULL); /* rows that can be joined */
                for (int64_t i = 0; i < dl_tensor_count(&x); i++) cells_set(&x, i, (double)cells_below(&rng, 33) / 4 - 4);
                cells_random(&weight, types[t], 2, (int64_t[]){20, inner[k]}, &rng);
                cells_random(&bias, types[t], 1, (int64_t[]){20}, &rng);
                cells_make(&y, types[t], 3, (int64_t[]){3, 7, 20}, NULL);
                mirror_call("linear", (const dl_tensor *[]){&x, &weight, with_bias ? &bias : NULL}, 3, &y, 1, NULL, 0,
                            units(types[t], inner[k]));
                dl_tensor_clear(&x), dl_tensor_clear(&weight), dl_tensor_clear(&bias), dl_tensor_clear(&y);
            }
}

/* beta 0 must not read c, which holds NaN. */
static void addmm(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int beta = 0; beta < 3; beta++)
        for (int split = 0; split < 2; split++) {
            const dl_attr attr[] = {A_FLOAT(beta * 0.5), A_FLOAT(1.5)};
            const int64_t k = split ? 1100 : 30;
            dl_tensor c, a, b, y;
            cells_random(&c, DL_F32, 1, (int64_t[]){9}, &rng);
            if (beta == 0) cells_set(&c, 2, NAN);
            cells_random(&a, DL_F32, 2, (int64_t[]){20, k}, &rng);
            cells_random(&b, DL_F32, 2, (int64_t[]){k, 9}, &rng);
            cells_make(&y, DL_F32, 2, (int64_t[]){20, 9}, &rng);
            mirror_call("addmm", (const dl_tensor *[]){&c, &a, &b}, 3, &y, 1, attr, 2, units(DL_F32, k));
            dl_tensor_clear(&c), dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&y);
        }
}

/* Integers: exact, and they wrap. */
static void whole_addmm(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const double factors[][2] = {{2, 1}, {2, 3}, {-1, 7}, {0, 65537}};
    for (dl_dtype type = DL_U8; type <= DL_I64; type++)
        for (size_t k = 0; k < sizeof factors / sizeof *factors; k++) {
            const dl_attr attr[] = {A_FLOAT(factors[k][0]), A_FLOAT(factors[k][1])};
            dl_tensor c, a, b, y;
            cells_make(&c, type, 1, (int64_t[]){3}, &rng);
            cells_make(&a, type, 2, (int64_t[]){2, 4}, &rng);
            cells_make(&b, type, 2, (int64_t[]){4, 3}, &rng);
            for (int64_t i = 0; i < 3; i++) cells_set(&c, i, cells_rounded(type, (double)(100 + 13 * i)));
            for (int64_t i = 0; i < 8; i++) cells_set(&a, i, type == DL_I32 || type == DL_I64 ? 4097 + i : 100 + i);
            for (int64_t i = 0; i < 12; i++) cells_set(&b, i, type == DL_I64 ? 0x1p30 + (double)i : 90 + i);
            cells_make(&y, type, 2, (int64_t[]){2, 3}, &rng);
            mirror_call("addmm", (const dl_tensor *[]){&c, &a, &b}, 3, &y, 1, attr, 2, 0);
            dl_tensor_clear(&c), dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&y);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(expanded), cmocka_unit_test(linear),
                                       cmocka_unit_test(addmm), cmocka_unit_test(whole_addmm)};
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
