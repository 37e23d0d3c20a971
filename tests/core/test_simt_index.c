/* test_simt_index.c - moving elements by index and mask, cat, tril, triu on a Tier A device: the same values as on the CPU. */
#include "tests/core/mirror.h"

static uint64_t rng = 13;
/* Dtypes of each size and arithmetic; the index's dtype changes only beside the first, to compile less. */
static const dl_dtype types[] = {DL_F32, DL_F64, DL_BF16, DL_U8, DL_I16, DL_I64, DL_BOOL};
enum { TYPES = sizeof types / sizeof *types };

static void indices(dl_tensor *t, dl_dtype beside, int32_t ndim, const int64_t *shape, int64_t limit) {
    cells_make(t, beside == DL_F32 && cells_below(&rng, 2) ? DL_U8 : DL_I64, ndim, shape, &rng);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) cells_set(t, i, (double)cells_below(&rng, limit));
}

/* gather, scatter, scatter_add: an index of x's rank, smaller than x in the other dimensions. */
static void elements(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t shape[] = {4, 5, 6}, smaller[] = {3, 4, 6};
    for (int t = 0; t < TYPES; t++)
        for (int dim = 0; dim < 3; dim++) {
            int64_t by[3];
            dl_tensor x, index, src, one, out, like;
            memcpy(by, smaller, sizeof by);
            by[dim] = 9;
            indices(&index, types[t], 3, by, shape[dim]);
            cells_random(&x, types[t], 3, shape, &rng);
            cells_random(&src, types[t], 3, by, &rng);
            cells_random(&one, types[t], 0, NULL, NULL);
            cells_make(&out, types[t], 3, by, &rng);
            cells_make(&like, types[t], 3, shape, dim ? &rng : NULL);
            const dl_attr attr[] = {A_INT(dim - 3)};
            mirror_call("gather", (const dl_tensor *[]){&x, &index}, 2, &out, 1, attr, 1, 0);
            mirror_call("scatter", (const dl_tensor *[]){&x, &index, &src}, 3, &like, 1, attr, 1, 0);
            mirror_call("scatter", (const dl_tensor *[]){&x, &index, &one}, 3, &like, 1, attr, 1, 0);
            mirror_call("scatter_add", (const dl_tensor *[]){&x, &index, &src}, 3, &like, 1, attr, 1, 0);
            dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&src), dl_tensor_clear(&one), dl_tensor_clear(&out);
            dl_tensor_clear(&like);
        }
}

static void slice_case(dl_dtype type, const int64_t *shape, int dim, int64_t n) {
    int64_t taken[3];
    dl_tensor x, index, src, out, like;
    memcpy(taken, shape, sizeof taken);
    taken[dim] = n;
    indices(&index, type, 1, &n, shape[dim] > 0 ? shape[dim] : 1);
    cells_random(&x, type, 3, shape, &rng);
    cells_random(&src, type, 3, taken, &rng);
    cells_make(&out, type, 3, taken, n % 2 ? &rng : NULL);
    cells_make(&like, type, 3, shape, n % 2 ? &rng : NULL);
    const dl_attr attr[] = {A_INT(dim), A_FLOAT(3.5)}, size[] = {A_INT(dim), A_INT(shape[dim])};
    mirror_call("index_select", (const dl_tensor *[]){&x, &index}, 2, &out, 1, attr, 1, 0);
    mirror_call("index_select_backward", (const dl_tensor *[]){&src, &index}, 2, &like, 1, size, 2, 0);
    mirror_call("index_add", (const dl_tensor *[]){&x, &index, &src}, 3, &like, 1, attr, 1, 0);
    mirror_call("index_copy", (const dl_tensor *[]){&x, &index, &src}, 3, &like, 1, attr, 1, 0);
    mirror_call("index_fill", (const dl_tensor *[]){&x, &index}, 2, &like, 1, attr, 2, 0);
    dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&src), dl_tensor_clear(&out), dl_tensor_clear(&like);
}

static void slices(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t shape[] = {6, 3, 4}, long_one[] = {5000, 1, 3}, narrow[] = {2, 3, 0};
    for (int t = 0; t < TYPES; t++)
        for (int dim = 0; dim < 3; dim++) slice_case(types[t], shape, dim, 7 + dim);
    slice_case(DL_F32, shape, 1, 0);
    slice_case(DL_F32, long_one, 0, 400);
    slice_case(DL_F32, narrow, 1, 4);
}

static void hot(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int t = 0; t < TYPES; t++) {
        dl_tensor index, out;
        indices(&index, types[t], 2, (int64_t[]){3, 5}, 7);
        cells_make(&out, types[t], 3, (int64_t[]){3, 5, 7}, &rng);
        mirror_call("one_hot", (const dl_tensor *[]){&index}, 1, &out, 1, (const dl_attr[]){A_INT(7), A_INT(types[t])}, 2, 0);
        dl_tensor_clear(&index), dl_tensor_clear(&out);
    }
}

/* An index out of range is reported at the next look at the device; nothing is touched outside. */
static void bad_indices(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const char *const ops[] = {"index_select", "index_add"};
    for (int k = 0; k < 2; k++) {
        dl_tensor x = {0}, index = {0}, out = {0};
        const int64_t n = 3, at[] = {0, -5, 2};
        float values[3];
        assert_int_equal(dl_tensor_new(&x, DL_F32, 1, &n, mirror_device()), DL_OK);
        assert_int_equal(dl_tensor_new(&index, DL_I64, 1, &n, mirror_device()), DL_OK);
        assert_int_equal(dl_tensor_write(&x, (const float[]){1, 2, 3}, 12), DL_OK);
        assert_int_equal(dl_tensor_write(&index, at, 24), DL_OK);
        const dl_tensor *in[] = {&x, &index, &x};
        dl_tensor *const outs[] = {&out};
        const dl_attr dim = A_INT(0);
        dl_status status = dl_call(dl_op_find(ops[k]), in, 2 + k, outs, 1, &dim, 1);
        if (status == DL_OK) status = dl_tensor_read(&out, values, sizeof values);
        assert_int_equal(status, DL_INVALID);
        assert_non_null(strstr(dl_last_error(), "index -5"));
        assert_int_equal(dl_tensor_read(&out, values, sizeof values), DL_OK);
        dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&out);
    }
}

/* ---- masks ----------------------------------------------------------------------------------------------------------------
 */

/* An op whose result has the size that the data asks for: with outputs of its own on both sides. */
static void sized_call(const char *op, const dl_tensor *const *in, int32_t n_in) {
    dl_tensor expected = {0}, on[2] = {{0}}, got = {0}, back = {0};
    dl_tensor *const out[] = {&expected}, *const out_on[] = {&got};
    const dl_tensor *in_on[2] = {&on[0], &on[1]};
    for (int k = 0; k < n_in; k++) assert_int_equal(dl_tensor_to(&on[k], in[k], mirror_device(), in[k]->type), DL_OK);
    assert_int_equal(dl_call(dl_op_find(op), in, n_in, out, 1, NULL, 0), DL_OK);
    if (dl_call(dl_op_find(op), in_on, n_in, out_on, 1, NULL, 0) != DL_OK) fail_msg("%s: %s", op, dl_last_error());
    assert_int_equal(dl_tensor_to(&back, &got, dl_default_device(), got.type), DL_OK);
    assert_int_equal(back.ndim, expected.ndim);
    for (int d = 0; d < back.ndim; d++) assert_int_equal(back.shape[d], expected.shape[d]);
    cells_same_bits(&back, &expected);
    for (int k = 0; k < n_in; k++) dl_tensor_clear(&on[k]);
    dl_tensor_clear(&expected), dl_tensor_clear(&got), dl_tensor_clear(&back);
}

static void masked(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t shapes[][2] = {{1, 1}, {5, 9}, {3, 0}, {70, 300}};
    for (int t = 0; t < TYPES; t++)
        for (int s = 0; s < 4; s++) {
            dl_tensor x, mask, src, out;
            const int64_t all = shapes[s][0] * shapes[s][1];
            cells_random(&x, types[t], 2, shapes[s], &rng);
            cells_random(&mask, s % 2 ? DL_BOOL : DL_U8, 2, shapes[s], &rng);
            cells_random(&src, types[t], 1, &all, &rng);
            cells_make(&out, types[t], 2, shapes[s], &rng);
            sized_call("masked_select", (const dl_tensor *[]){&x, &mask}, 2);
            sized_call("nonzero", (const dl_tensor *[]){&x}, 1);
            mirror_call("masked_scatter", (const dl_tensor *[]){&x, &mask, &src}, 3, &out, 1, NULL, 0, 0);
            dl_tensor_clear(&x), dl_tensor_clear(&mask), dl_tensor_clear(&src), dl_tensor_clear(&out);
        }
}

/* ---- cat, tril, triu --------------------------------------------------------------------------------------------------------
 */

static void joined(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const dl_dtype pairs[][3] = {{DL_F32, DL_F32, DL_F32},
                                        {DL_F16, DL_I32, DL_F16},
                                        {DL_BOOL, DL_U8, DL_U8},
                                        {DL_I64, DL_F32, DL_F32},
                                        {DL_F32, DL_F64, DL_F64}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        for (int dim = 0; dim < 3; dim++) {
            int64_t a[] = {2, 3, 4}, b[] = {2, 3, 4}, c[] = {2, 3, 4};
            dl_tensor x, y, out;
            b[dim] = 5, c[dim] += 5;
            cells_random(&x, pairs[k][0], 3, a, &rng);
            cells_random(&y, pairs[k][1], 3, b, &rng);
            cells_make(&out, pairs[k][2], 3, c, &rng);
            mirror_call("cat", (const dl_tensor *[]){&x, &y}, 2, &out, 1, (const dl_attr[]){A_INT(dim - 3)}, 1, 0);
            dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&out);
        }
}

static void triangles(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int t = 0; t < TYPES; t++)
        for (int diagonal = -4; diagonal < 7; diagonal += 2) {
            dl_tensor x, out;
            cells_random(&x, types[t], 3, (int64_t[]){2, 4, 6}, &rng);
            cells_make(&out, types[t], 3, (int64_t[]){2, 4, 6}, &rng);
            mirror_call("tril", (const dl_tensor *[]){&x}, 1, &out, 1, (const dl_attr[]){A_INT(diagonal)}, 1, 0);
            mirror_call("triu", (const dl_tensor *[]){&x}, 1, &out, 1, (const dl_attr[]){A_INT(diagonal)}, 1, 0);
            dl_tensor_clear(&x), dl_tensor_clear(&out);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements), cmocka_unit_test(slices), cmocka_unit_test(hot),       cmocka_unit_test(bad_indices),
        cmocka_unit_test(masked),   cmocka_unit_test(joined), cmocka_unit_test(triangles),
    };
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
