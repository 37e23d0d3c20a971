/* test_plain_backend.c - the example backends of plugins/: plain, whose handles are no addresses and which has six kernels, and
 * null, which has one for everything. Values over all dtypes and layouts: tests/lua/plugins/backends_spec.lua. */
#include "engine_support.h"
#include "tensor.h"
#include <errno.h>
#include <unistd.h>

static dl_device *cpu, *plain, *null;

static dl_device *load(const char *name) {
    char path[4096];
    dl_device *device = NULL;
    snprintf(path, sizeof path, "%s/plugins/%s.so", getenv("DLRUN_BUILD"), name);
    assert_ok(dl_plugin_load(path));
    assert_ok(dl_device_open(name, &device));
    return device;
}

static int start(void **state) {
    if (et_start(state) != 0) return -1;
    cpu = dl_default_device();
    plain = load("plain");
    null = load("null");
    return 0;
}

/* et_make and et_expect use the default device. */
static int on_plain(void **state) {
    (void)state;
    return dl_set_default_device(plain);
}
static int on_null(void **state) {
    (void)state;
    return dl_set_default_device(null);
}
static int on_cpu(void **state) {
    (void)state;
    dl_set_fallback(0);
    return dl_set_default_device(cpu);
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

static int readable(const void *address) { /* asks the system, which does not crash */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const ssize_t n = write(ends[1], address, 1);
    const int refused = errno == EFAULT;
    close(ends[0]);
    close(ends[1]);
    return !(n < 0 && refused);
}

static void handles_are_no_addresses(void **state) {
    (void)state;
    dl_tensor x = {0};
    et_make(&x, DL_F32, "4", (const double[]){1, 2, 3, 4});
    assert_false(readable(x.data));
    assert_false(readable((char *)x.data + 8));
    assert_true(readable(state));
    EXPECT(&x, 1, 2, 3, 4);
    et_clear(&x);
}

static void contents_move(void **state) {
    (void)state;
    dl_tensor x = {0}, middle = {0}, near = {0};
    dl_memory_stats before, after;
    assert_ok(dl_memory(plain, &before));
    et_make(&x, DL_I16, "6", (const double[]){1, 2, 3, 4, 5, 6});
    assert_ok(dl_view(dl_op_find("slice"), &x, &middle, (const dl_attr[]){INT(0), INT(2), INT(3)}, 3));
    assert_int_equal(middle.byte_offset, 4);
    EXPECT(&middle, 3, 4, 5);
    assert_ok(dl_tensor_write(&middle, (const int16_t[]){-3, -4, -5}, 6));
    EXPECT(&x, 1, 2, -3, -4, -5, 6);
    assert_ok(dl_tensor_to(&near, &middle, cpu, DL_I16));
    assert_int_equal(((int16_t *)near.data)[1], -4);
    assert_ok(dl_storage_resize(x.storage, 4096)); /* device to device */
    EXPECT(&x, 1, 2, -3, -4, -5, 6);
    et_clear(&middle, &x, &near);
    assert_ok(dl_memory(plain, &after));
    assert_int_equal(before.live_bytes, after.live_bytes);
}

static void too_much_memory(void **state) {
    (void)state;
    dl_tensor x = {0};
    assert_fails(dl_tensor_new(&x, DL_F64, 1, (int64_t[]){INT64_MAX / 64}, plain), DL_NOMEM, "out of memory on plain");
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

static void known_products(void **state) {
    (void)state;
    dl_tensor a = {0}, b = {0}, t = {0}, y = {0}, wide = {0}, whole = {0};
    et_make(&a, DL_F32, "1,2,3", (const double[]){1, 2, 3, 4, 5, 6});
    assert_ok(dl_view(dl_op_find("transpose"), &a, &t, (const dl_attr[]){INT(1), INT(2)}, 2));
    et_call("gemm", &y, IN(&a, &t), NONE);
    EXPECT(&y, 14, 32, 32, 77);
    et_make(&b, DL_F32, "1,3,1", (const double[]){1, 10, 100});
    assert_ok(dl_view(dl_op_find("expand"), &b, &wide, (const dl_attr[]){INTS(1, 3, 9)}, 1)); /* more than a panel of columns */
    dl_tensor_clear(&y);
    et_call("gemm", &y, IN(&a, &wide), NONE);
    EXPECT(&y, 321, 321, 321, 321, 321, 321, 321, 321, 321, 654, 654, 654, 654, 654, 654, 654, 654, 654);
    et_clear(&t, &wide, &a, &b, &y);
    et_make(&whole, DL_U8, "1,1,1", (const double[]){200});
    et_call("gemm", &y, IN(&whole, &whole), NONE);
    EXPECT(&y, 40000 % 256);
    et_clear(&whole, &y);
    et_make(&a, DL_F16, "2,1,0", NULL);
    et_make(&b, DL_F16, "2,0,2", NULL);
    et_call("gemm", &y, IN(&a, &b), NONE);
    EXPECT(&y, 0, 0, 0, 0);
    et_clear(&a, &b, &y);
}

static void known_reductions(void **state) {
    (void)state;
    dl_tensor x = {0}, y = {0};
    et_make(&x, DL_F32, "2,3", (const double[]){1, NAN, 3, -4, -5, -6});
    et_call("reduce", &y, IN(&x), ATTR(INT(1), INT(DL_OP_MAX)));
    double got[2];
    et_values(&y, got);
    assert_true(got[0] != got[0] && got[1] == -4);
    et_clear(&x, &y);
    et_make(&x, DL_I8, "1,3", (const double[]){100, 100, 2});
    et_call("reduce", &y, IN(&x), ATTR(INT(1), INT(DL_OP_ADD)));
    EXPECT(&y, 202 - 256);
    et_clear(&x, &y);
    et_make(&x, DL_F32, "2,0", NULL);
    et_call("reduce", &y, IN(&x), ATTR(INT(1), INT(DL_OP_MUL)));
    EXPECT(&y, 1, 1);
    et_clear(&x, &y);
    enum { LONG = 100003 }; /* halves are not summed in halves, nor one after the other in float32 */
    double *ones = malloc(LONG * sizeof *ones);
    for (int k = 0; k < LONG; k++) ones[k] = 0.1;
    char shape[16];
    snprintf(shape, sizeof shape, "%d", LONG);
    et_make(&x, DL_F32, shape, ones);
    et_call("reduce", &y, IN(&x), ATTR(INT(1), INT(DL_OP_ADD)));
    EXPECT(&y, 10000.3);
    et_clear(&x, &y);
    free(ones);
}

static void known_indices(void **state) {
    (void)state;
    dl_tensor x = {0}, index = {0}, src = {0}, y = {0};
    et_make(&x, DL_F32, "3,2", (const double[]){1, 2, 3, 4, 5, 6});
    et_make(&index, DL_I32, "2,2", (const double[]){2, 0, 0, 0});
    et_call("gather", &y, IN(&x, &index), ATTR(INT(0)));
    EXPECT(&y, 5, 2, 1, 2);
    et_clear(&y);
    et_make(&src, DL_F32, "2,2", (const double[]){10, 20, 30, 40});
    et_call("scatter_add", &y, IN(&x, &index, &src), ATTR(INT(-2)));
    EXPECT(&y, 31, 62, 3, 4, 15, 6);
    et_clear(&index, &y);
    et_make(&index, DL_I32, "2,2", (const double[]){0, 1, 3, -1});
    assert_fails(et_try("gather", &y, IN(&x, &index), ATTR(INT(0))), DL_INVALID,
                 "gather: index 3 at position 2: expected 0..2");
    assert_fails(et_try("scatter_add", &y, IN(&x, &index, &src), ATTR(INT(0))), DL_INVALID, "index 3 at position 2");
    assert_null(y.storage);
    et_clear(&x, &index, &src);
}

/* Every half is read and written as the CPU backend does. */
static void halves_convert(void **state) {
    (void)state;
    enum { ALL = 65536 };
    static uint16_t bits[ALL], back[ALL];
    static float here[ALL], there[ALL];
    for (int k = 0; k < ALL; k++) bits[k] = (uint16_t)k;
    for (dl_dtype type = DL_F16; type <= DL_BF16; type++) {
        dl_tensor half[2] = {{0}}, wide[2] = {{0}}, again[2] = {{0}};
        for (int d = 0; d < 2; d++) {
            assert_ok(dl_tensor_new(&half[d], type, 1, (int64_t[]){ALL}, d ? plain : cpu));
            assert_ok(dl_tensor_write(&half[d], bits, sizeof bits));
            assert_ok(dl_tensor_to(&wide[d], &half[d], d ? plain : cpu, DL_F32));
            assert_ok(dl_tensor_read(&wide[d], d ? there : here, sizeof here));
            assert_ok(dl_tensor_to(&again[d], &wide[d], d ? plain : cpu, type));
        }
        for (int k = 0; k < ALL; k++)
            if (here[k] == here[k] ? here[k] != there[k] : there[k] == there[k])
                fail_msg("dtype %d, bits %04x: %g, expected %g", type, (unsigned)k, (double)there[k], (double)here[k]);
        assert_ok(dl_tensor_read(&again[1], back, sizeof back));
        for (int k = 0; k < ALL; k++)
            if (here[k] == here[k]) assert_int_equal(back[k], k);
        et_clear(&half[0], &half[1], &wide[0], &wide[1], &again[0], &again[1]);
    }
}

/* Rounding between halves, and what is too large for them. */
static void halves_round(void **state) {
    (void)state;
    const double values[] = {1 + 0x1p-11, 1 + 0x3p-11, 65519, 65520, 0x1p-25, 0x1.8p-24, -0x1.ffep-15, 1e-8};
    dl_tensor x = {0}, y = {0};
    et_make(&x, DL_F32, "8", values);
    assert_ok(dl_tensor_to(&y, &x, plain, DL_F16));
    double got[8];
    et_values(&y, got);
    const double expected[] = {1, 1 + 0x1p-9, 65504, INFINITY, 0, 0x1p-23, -0x1p-14, 0};
    for (int k = 0; k < 8; k++)
        if (got[k] != expected[k]) fail_msg("%g became %g, expected %g", values[k], got[k], expected[k]);
    et_clear(&x, &y);
}

/* ---- what is not there --------------------------------------------------------------------------------------------------- */

static void missing_ops_say_so(void **state) {
    (void)state;
    dl_tensor x = {0}, y = {0}, index = {0}, *out[] = {&y, &index};
    const dl_tensor *in = &x;
    et_make(&x, DL_F32, "2,2", (const double[]){2, 1, 3, 4});
    const char *const names[] = {"sort", "kthvalue", "median", "mode"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const dl_attr attr[] = {INT(1), INT(1)};
        char sentence[128];
        snprintf(sentence, sizeof sentence, "backend plain has no kernel for %s on float32", names[k]);
        const dl_status status = dl_call(dl_op_find(names[k]), &in, 1, out, 2, attr, strcmp(names[k], "kthvalue") == 0 ? 2 : 1);
        assert_fails(status, DL_UNSUPPORTED, sentence);
        assert_non_null(strstr(dl_last_error(), "--fallback=cpu would run it on the CPU"));
        assert_int_equal(dl_op_coverage(dl_op_find(names[k]), "plain"), 0);
    }
    et_clear(&x);
}

static void the_cpu_stands_in(void **state) {
    (void)state;
    dl_tensor x = {0}, middle = {0}, y = {0}, index = {0}, *out[] = {&y, &index};
    et_make(&x, DL_F32, "3,3", (const double[]){9, 9, 9, 2, 3, 1, 9, 9, 9});
    assert_ok(dl_view(dl_op_find("select"), &x, &middle, (const dl_attr[]){INT(0), INT(1)}, 2));
    const dl_tensor *in = &middle;
    dl_set_fallback(1);
    assert_ok(dl_call(dl_op_find("sort"), &in, 1, out, 2, (const dl_attr[]){INT(0)}, 1));
    assert_ptr_equal(dl_device_of(&y), plain);
    EXPECT(&y, 1, 2, 3);
    EXPECT(&index, 2, 0, 1);
    dl_call_stats stats;
    dl_calls(&stats);
    assert_int_equal(stats.fallback_calls, 1);
    et_clear(&middle, &x, &y, &index);
}

/* ---- null ---------------------------------------------------------------------------------------------------------------- */

static void every_op_has_a_kernel(void **state) {
    (void)state;
    for (int32_t id = 0; id < dl_op_count(); id++) {
        dl_op_info op;
        assert_ok(dl_op_get(id, &op));
        const int32_t coverage = dl_op_coverage(id, "null");
        if (coverage != (op.flags & DL_OP_COMPOSITE ? 1 : 3)) fail_msg("%s: %d", op.name, coverage);
    }
    int32_t id; /* one that comes later has it too */
    assert_ok(dl_op_define("test_null_late(Tensor x)", "x + 1", "arith", &id));
    assert_int_equal(dl_op_coverage(id, "null"), 3);
    assert_int_equal(dl_op_coverage(id, "plain"), 2);
}

static void nothing_is_computed(void **state) {
    (void)state;
    dl_tensor x = {0}, y = {0}, rows = {0}, values = {0}, mask = {0}, loss = {0}, grad = {0};
    dl_memory_stats before, after;
    assert_ok(dl_memory(null, &before));
    et_leaf(&x, "2,2", (const double[]){1, 2, 3, 4});
    et_call("matmul", &y, IN(&x, &x), NONE);
    EXPECT(&y, 0, 0, 0, 0);
    et_call("nonzero", &rows, IN(&x), NONE);
    assert_int_equal(rows.ndim, 2);
    assert_int_equal(rows.shape[0], 0);
    assert_int_equal(rows.shape[1], 2);
    et_make(&mask, DL_BOOL, "2,2", (const double[]){1, 1, 1, 1});
    et_call("masked_select", &values, IN(&x, &mask), NONE);
    assert_int_equal(dl_tensor_count(&values), 0);
    et_call("sum", &loss, IN(&y), ATTR({.kind = DL_ATTR_INTS}));
    et_backward(&loss);
    assert_ok(dl_grad(&x, &grad));
    EXPECT(&grad, 0, 0, 0, 0);
    et_clear(&x, &y, &rows, &values, &mask, &loss, &grad);
    assert_ok(dl_memory(null, &after));
    assert_int_equal(before.live_bytes, after.live_bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(handles_are_no_addresses, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(contents_move, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(too_much_memory, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(known_products, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(known_reductions, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(known_indices, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(halves_convert, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(halves_round, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(missing_ops_say_so, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(the_cpu_stands_in, on_plain, on_cpu),
        cmocka_unit_test_setup_teardown(every_op_has_a_kernel, on_null, on_cpu),
        cmocka_unit_test_setup_teardown(nothing_is_computed, on_null, on_cpu),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
