/* engine_support.c - see engine_support.h. */
#include "engine_support.h"

int et_start(void **state) {
    (void)state;
    if (dl_init() != DL_OK || !dl_default_device()) {
        print_error("%s\n", dl_last_error());
        return -1;
    }
    return 0;
}

static int32_t parse_shape(const char *text, int64_t *shape) {
    int32_t n = 0;
    while (*text) {
        char *end;
        shape[n++] = strtoll(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    return n;
}

static void make(dl_tensor *t, dl_dtype type, const char *text, const double *values, uint64_t seed) {
    int64_t shape[DL_MAX_DIMS];
    int32_t ndim = parse_shape(text, shape);
    dl_tensor wide = {0};
    assert_ok(dl_tensor_new(&wide, DL_F64, ndim, shape, NULL));
    int64_t n = dl_tensor_count(&wide);
    double *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t k = 0; k < n; k++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[k] = values ? values[k] : (double)(int32_t)(seed >> 32) * 0x1p-30;
    }
    assert_ok(dl_tensor_write(&wide, x, (uint64_t)n * sizeof *x));
    memset(t, 0, sizeof *t);
    assert_ok(dl_tensor_to(t, &wide, dl_default_device(), type));
    dl_tensor_clear(&wide);
    free(x);
}

void et_make(dl_tensor *t, dl_dtype type, const char *shape, const double *values) { make(t, type, shape, values, 1); }

void et_random(dl_tensor *t, dl_dtype type, const char *shape, uint64_t seed) { make(t, type, shape, NULL, seed); }

void et_leaf(dl_tensor *t, const char *shape, const double *values) {
    et_make(t, DL_F32, shape, values);
    assert_ok(dl_requires_grad(t, 1));
}

dl_status et_try(const char *op, dl_tensor *out, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr,
                 int32_t n_attr) {
    int32_t id = dl_op_find(op);
    if (id < 0) fail_msg("there is no op '%s'", op);
    return dl_call(id, in, n_in, &out, 1, attr, n_attr);
}

void et_call(const char *op, dl_tensor *out, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr) {
    if (et_try(op, out, in, n_in, attr, n_attr) != DL_OK) fail_msg("%s: %s", op, dl_last_error());
}

void et_values(const dl_tensor *t, double *values) {
    dl_tensor wide = {0}, bare = {0};
    assert_ok(dl_tensor_detach(&bare, t));
    assert_ok(dl_tensor_to(&wide, &bare, dl_default_device(), DL_F64));
    assert_ok(dl_tensor_read(&wide, values, (uint64_t)dl_tensor_count(&wide) * sizeof *values));
    et_clear(&wide, &bare);
}

double et_value(const dl_tensor *t) {
    double x;
    assert_int_equal(dl_tensor_count(t), 1);
    et_values(t, &x);
    return x;
}

void et_expect(const dl_tensor *t, int32_t n, const double *values) {
    assert_int_equal(dl_tensor_count(t), n);
    double *got = malloc((size_t)(n + 1) * sizeof *got);
    et_values(t, got);
    for (int32_t k = 0; k < n; k++)
        if (!(fabs(got[k] - values[k]) <= 1e-6 * (1 + fabs(values[k]))))
            fail_msg("element %d: %.9g, expected %.9g", k, got[k], values[k]);
    free(got);
}

void et_same_bits(const dl_tensor *a, const dl_tensor *b) {
    assert_int_equal(a->type, b->type);
    assert_int_equal(dl_tensor_count(a), dl_tensor_count(b));
    size_t bytes = (size_t)dl_tensor_count(a) * (size_t)dl_dtype_bytes(a->type);
    char *x = malloc(bytes + 1), *y = malloc(bytes + 1);
    assert_ok(dl_tensor_read(a, x, bytes));
    assert_ok(dl_tensor_read(b, y, bytes));
    assert_memory_equal(x, y, bytes);
    free(x);
    free(y);
}

void et_backward(const dl_tensor *root) { assert_ok(dl_backward(&root, NULL, 1, NULL, NULL, 0, 0)); }

void et_expect_grad(const dl_tensor *leaf, int32_t n, const double *values) {
    dl_tensor g = {0};
    assert_ok(dl_grad(leaf, &g));
    if (n)
        et_expect(&g, n, values);
    else
        assert_null(g.storage);
    dl_tensor_clear(&g);
}

uint64_t et_live_bytes(void) {
    dl_memory_stats stats;
    assert_ok(dl_memory(NULL, &stats));
    return stats.live_bytes;
}

void et_clear_all(dl_tensor *const *t, int32_t n) {
    for (int32_t k = 0; k < n; k++) dl_tensor_clear(t[k]);
}
