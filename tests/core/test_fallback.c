/* test_fallback.c - core/fallback.c, and what a backend that lacks kernels says. "far" has copies alone. */
#include "null_backend.h"

static void far_tensor(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, const void *values) {
    memset(t, 0, sizeof *t);
    assert_ok(dl_tensor_new(t, type, ndim, shape, null_device("far")));
    assert_ok(dl_tensor_write(t, values, (uint64_t)dl_tensor_count(t) * (uint64_t)dl_dtype_bytes(type)));
}

static void expect(const dl_tensor *t, int32_t n, const float *values) {
    float got[16];
    assert_int_equal(t->type, DL_F32);
    assert_int_equal(dl_tensor_count(t), n);
    assert_ok(dl_tensor_read(t, got, (uint64_t)n * sizeof *got));
    for (int32_t k = 0; k < n; k++)
        if (got[k] != values[k]) fail_msg("element %d: %g, expected %g", k, (double)got[k], (double)values[k]);
}

static dl_status call(const char *op, dl_tensor *out, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr,
                      int32_t n_attr) {
    return dl_call(dl_op_find(op), in, n_in, &out, 1, attr, n_attr);
}

static const int64_t two_by_two[] = {2, 2}, two[] = {2};

static void test_refused_unless_allowed(void **state) {
    (void)state;
    dl_tensor a, out = {0};
    far_tensor(&a, DL_F32, 2, two_by_two, (const float[]){1, 2, 3, 4});
    assert_fails(call("matmul", &out, (const dl_tensor *[]){&a, &a}, 2, NULL, 0), DL_UNSUPPORTED,
                 "matmul: backend far has no kernel for gemm on float32, and no composition covers it; --fallback=cpu would "
                 "run it on the CPU");
    assert_null(out.storage);
    dl_call_stats stats;
    dl_calls(&stats);
    assert_int_equal(stats.fallback_calls, 0);
    dl_tensor_clear(&a);
}

static void test_counts(void **state) {
    (void)state;
    dl_tensor a, b, out = {0};
    dl_call_stats stats;
    far_tensor(&a, DL_F32, 2, two_by_two, (const float[]){1, 2, 3, 4});
    far_tensor(&b, DL_F32, 1, two, (const float[]){10, 100});
    dl_set_fallback(1);
    assert_ok(call("matmul", &out, (const dl_tensor *[]){&a, &a}, 2, NULL, 0));
    assert_ptr_equal(dl_device_of(&out), null_device("far"));
    expect(&out, 4, (const float[]){7, 10, 15, 22});
    dl_calls(&stats);
    assert_int_equal(stats.fallback_calls, 1);
    assert_int_equal(stats.fallback_bytes, 3 * 4 * sizeof(float));
    assert_ok(call("add", &a, (const dl_tensor *[]){&a, &b}, 2, NULL, 0)); /* broadcast, in place */
    expect(&a, 4, (const float[]){11, 102, 13, 104});
    dl_set_fallback(0);
    dl_tensor_clear(&a);
    dl_tensor_clear(&b);
    dl_tensor_clear(&out);
}

static void test_creation_and_unknown_sizes(void **state) {
    (void)state;
    dl_tensor ones, positions = {0}, noise, again;
    int64_t rows[4];
    far_tensor(&ones, DL_F32, 1, two, (const float[]){0, 5});
    far_tensor(&noise, DL_F32, 1, two, (const float[]){0, 0});
    far_tensor(&again, DL_F32, 1, two, (const float[]){0, 0});
    dl_set_fallback(1);
    assert_ok(call("nonzero", &positions, (const dl_tensor *[]){&ones}, 1, NULL, 0));
    assert_int_equal(positions.shape[0], 1);
    assert_ptr_equal(dl_device_of(&positions), null_device("far"));
    assert_ok(dl_tensor_read(&positions, rows, sizeof *rows));
    assert_int_equal(rows[0], 1);
    dl_attr full[] = {{.kind = DL_ATTR_INTS, .n = 1, .v.iv = two}, {.kind = DL_ATTR_FLOAT, .v.f = 3}};
    assert_ok(call("full", &ones, NULL, 0, full, 2));
    expect(&ones, 2, (const float[]){3, 3});
    dl_seed(3);
    assert_ok(call("uniform", &noise, NULL, 0, full, 1));
    assert_int_equal(dl_random_call(), 1); /* one call number, as on the CPU */
    dl_seed(3);
    dl_tensor host = {0};
    assert_ok(call("uniform", &host, NULL, 0, full, 1));
    float x[2];
    assert_ok(dl_tensor_read(&host, x, sizeof x));
    expect(&noise, 2, x);
    dl_set_fallback(0);
    dl_tensor_clear(&ones);
    dl_tensor_clear(&positions);
    dl_tensor_clear(&noise);
    dl_tensor_clear(&again);
    dl_tensor_clear(&host);
}

/* What an optimizer writes comes back to the device. */
static void test_written_inputs(void **state) {
    (void)state;
    dl_tensor p, g, step;
    far_tensor(&p, DL_F32, 1, two, (const float[]){1, 2});
    far_tensor(&g, DL_F32, 1, two, (const float[]){10, 20});
    far_tensor(&step, DL_F32, 1, (const int64_t[]){1}, (const float[]){0});
    dl_set_fallback(1);
    dl_attr lr = {.kind = DL_ATTR_FLOAT, .v.f = 0.5};
    int64_t version = dl_storage_version(p.storage);
    assert_ok(dl_call(dl_op_find("sgd"), (const dl_tensor *[]){&p, &g, NULL, &step}, 4, NULL, 0, &lr, 1));
    expect(&p, 2, (const float[]){-4, -8});
    expect(&g, 2, (const float[]){10, 20});
    assert_true(dl_storage_version(p.storage) > version);
    dl_set_fallback(0);
    dl_tensor_clear(&p);
    dl_tensor_clear(&g);
    dl_tensor_clear(&step);
}

static void test_backward_stays_on_the_device(void **state) {
    (void)state;
    dl_tensor w, y = {0}, s = {0}, grad = {0};
    far_tensor(&w, DL_F32, 1, two, (const float[]){3, 4});
    assert_ok(dl_requires_grad(&w, 1));
    dl_set_fallback(1);
    dl_attr all = {.kind = DL_ATTR_INTS};
    assert_ok(call("mul", &y, (const dl_tensor *[]){&w, &w}, 2, NULL, 0));
    assert_ok(call("sum", &s, (const dl_tensor *[]){&y}, 1, &all, 1));
    const dl_tensor *root = &s;
    assert_ok(dl_backward(&root, NULL, 1, NULL, NULL, 0, 0));
    assert_ok(dl_grad(&w, &grad));
    assert_ptr_equal(dl_device_of(&grad), null_device("far"));
    expect(&grad, 2, (const float[]){6, 8});
    dl_set_fallback(0);
    dl_tensor_clear(&w);
    dl_tensor_clear(&y);
    dl_tensor_clear(&s);
    dl_tensor_clear(&grad);
}

static void test_devices_do_not_mix(void **state) {
    (void)state;
    dl_tensor near = {0}, a, out = {0};
    far_tensor(&a, DL_F32, 1, two, (const float[]){1, 2});
    assert_ok(dl_tensor_new(&near, DL_F32, 1, two, null_device("cpu")));
    assert_fails(call("add", &out, (const dl_tensor *[]){&a, &near}, 2, NULL, 0), DL_INVALID,
                 "add: tensors on different devices: far and cpu; move one with :to()");
    assert_fails(call("add", &near, (const dl_tensor *[]){&a, &a}, 2, NULL, 0), DL_INVALID, "different devices");
    assert_null(out.storage);
    dl_tensor_clear(&a);
    dl_tensor_clear(&near);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_unless_allowed),       cmocka_unit_test(test_counts),
        cmocka_unit_test(test_creation_and_unknown_sizes),   cmocka_unit_test(test_written_inputs),
        cmocka_unit_test(test_backward_stays_on_the_device), cmocka_unit_test(test_devices_do_not_mix),
    };
    return cmocka_run_group_tests(tests, null_install_far, NULL);
}
