/* test_generate_index.c - the generated kernels of gather, scatter_add and gemm against the CPU's, and what the core says of
 * the ops it has kernels for. */
#include "tests/core/bare_backend.h"
#include "tests/core/mirror.h"

static uint64_t rng = 9;

static void clear(dl_tensor *t, int32_t n) {
    for (int32_t k = 0; k < n; k++) dl_tensor_clear(&t[k]);
}

/* ---- gather, scatter_add ---- */

static void index_tensor(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, int64_t limit) {
    cells_make(t, type, ndim, shape, &rng);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) cells_set(t, i, (double)cells_below(&rng, limit));
}

static void gather_case(dl_dtype type, dl_dtype index_type, int32_t dim) {
    const int64_t shape[] = {5, 6, 4}, fewer[] = {dim == 0 ? 9 : 4, dim == 1 ? 9 : 5, dim == 2 ? 9 : 4};
    const dl_attr attr = A_INT(dim);
    dl_tensor t[4];
    cells_random(&t[0], type, 3, shape, &rng);
    index_tensor(&t[1], index_type, 3, fewer, shape[dim]);
    cells_random(&t[2], type, 3, fewer, &rng);
    cells_make(&t[3], type, 3, fewer, &rng);
    mirror_call("gather", (const dl_tensor *[]){&t[0], &t[1]}, 2, &t[3], 1, &attr, 1, 0);
    dl_tensor_clear(&t[3]);
    cells_make(&t[3], type, 3, shape, &rng);
    mirror_call("scatter_add", (const dl_tensor *[]){&t[0], &t[1], &t[2]}, 3, &t[3], 1, &attr, 1, 0);
    clear(t, 4);
}

static void gather_scatter(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++) gather_case(type, DL_I64, type % 3);
    for (dl_dtype index = DL_U8; index <= DL_I64; index++) gather_case(DL_F32, index, 1);
}

static void gather_edges(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const dl_attr attr = A_INT(0);
    dl_tensor t[5];
    cells_random(&t[0], DL_F32, 0, NULL, &rng); /* 0-dim */
    index_tensor(&t[1], DL_I32, 0, NULL, 1);
    cells_random(&t[2], DL_F32, 0, NULL, &rng);
    for (int k = 3; k < 5; k++) cells_make(&t[k], DL_F32, 0, NULL, NULL);
    mirror_call("gather", (const dl_tensor *[]){&t[0], &t[1]}, 2, &t[3], 1, &attr, 1, 0);
    mirror_call("scatter_add", (const dl_tensor *[]){&t[0], &t[1], &t[2]}, 3, &t[4], 1, &attr, 1, 0);
    clear(t, 5);
    cells_random(&t[0], DL_F32, 2, (int64_t[]){4, 3}, &rng); /* no indices; one value for all */
    index_tensor(&t[1], DL_I64, 2, (int64_t[]){0, 3}, 1);
    cells_random(&t[2], DL_F32, 0, NULL, &rng);
    cells_make(&t[3], DL_F32, 2, (int64_t[]){0, 3}, NULL);
    cells_make(&t[4], DL_F32, 2, (int64_t[]){4, 3}, NULL);
    mirror_call("gather", (const dl_tensor *[]){&t[0], &t[1]}, 2, &t[3], 1, &attr, 1, 0);
    mirror_call("scatter_add", (const dl_tensor *[]){&t[0], &t[1], &t[2]}, 3, &t[4], 1, &attr, 1, 0);
    dl_tensor_clear(&t[1]);
    index_tensor(&t[1], DL_I64, 2, (int64_t[]){7, 2}, 4);
    mirror_call("scatter_add", (const dl_tensor *[]){&t[0], &t[1], &t[2]}, 3, &t[4], 1, &attr, 1, 0);
    clear(t, 5);
}

/* Bad indices are reported when the result is read; the memory beside is not touched. */
static void bad_index(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const dl_attr attr = A_INT(0);
    const int64_t n = 3;
    dl_tensor x = {0}, index = {0}, y = {0};
    float got[3];
    assert_int_equal(dl_tensor_new(&x, DL_F32, 1, &n, mirror_device()), DL_OK);
    assert_int_equal(dl_tensor_new(&index, DL_I64, 1, &n, mirror_device()), DL_OK);
    assert_int_equal(dl_tensor_write(&x, (const float[]){1, 2, 3}, 12), DL_OK);
    assert_int_equal(dl_tensor_write(&index, (const int64_t[]){2, -1, 3}, 24), DL_OK);
    cells_call("gather", (const dl_tensor *[]){&x, &index}, 2, &y, 1, &attr, 1);
    assert_int_equal(dl_tensor_read(&y, got, sizeof got), DL_INVALID);
    assert_non_null(strstr(dl_last_error(), "index"));
    assert_int_equal(dl_tensor_read(&y, got, sizeof got), DL_OK);
    assert_true(got[0] == 3 && got[1] == 0 && got[2] == 0);
    clear(&x, 1), clear(&index, 1), clear(&y, 1);
}

/* ---- gemm ---- */

static void gemm(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t sizes[][4] = {{1, 1, 1, 1}, {2, 65, 17, 130}, {3, 5, 40, 7}, {1, 3, 0, 4}, {0, 2, 3, 4}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (dl_dtype type = 0; type < DL_BOOL; type++) {
            const int64_t batch = sizes[k][0], n = sizes[k][1], depth = sizes[k][2], m = sizes[k][3];
            dl_tensor t[3];
            cells_random(&t[0], type, 3, (int64_t[]){batch, n, depth}, &rng);
            cells_random(&t[1], type, 3, (int64_t[]){batch, depth, m}, &rng);
            cells_make(&t[2], type, 3, (int64_t[]){batch, n, m}, &rng);
            mirror_call("gemm", (const dl_tensor *[]){&t[0], &t[1]}, 2, &t[2], 1, NULL, 0, 2);
            clear(t, 3);
        }
}

/* They are what the core says they are. */
static void coverage(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const char *const ops[] = {"add", "copy", "cat", "reduce", "gather", "scatter_add", "gemm"};
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) assert_int_equal(dl_op_coverage(dl_op_find(ops[k]), "bare"), 2);
    assert_int_equal(dl_op_coverage(dl_op_find("sort"), "bare"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gather_scatter), cmocka_unit_test(gather_edges),
                                       cmocka_unit_test(bad_index), cmocka_unit_test(gemm), cmocka_unit_test(coverage)};
    return cmocka_run_group_tests(tests, bare_start, NULL);
}
