/* Channels-last activations: who lays results so, who keeps the layout, who undoes it, and that nobody can tell. */
#include "core/call.h"
#include "core/layout.h"
#include "engine_support.h"

static const int64_t nhwc[] = {12, 1, 6, 3}, nchw[] = {12, 4, 2, 1}; /* strides of (2, 3, 2, 2) */

/* An activation (2, 3, 2, 2) with the values of `of`. */
static void lay(dl_tensor *t, const dl_tensor *of) {
    assert_ok(dl_tensor_new(t, of->type, of->ndim, of->shape, NULL));
    dl_layout_channels_last(t);
    assert_ok(dl_copy_into(t, of));
}

static void has_strides(const dl_tensor *t, const int64_t *strides) {
    assert_memory_equal(t->strides, strides, 4 * sizeof *strides);
}

static void make_pair(dl_tensor *plain, dl_tensor *laid) {
    et_make(plain, DL_F32, "2,3,2,2", NULL);
    lay(laid, plain);
    has_strides(plain, nchw);
    has_strides(laid, nhwc);
}

static void the_same_values_in_another_order(void **state) {
    (void)state;
    dl_tensor plain = {0}, laid = {0};
    float memory[24];
    make_pair(&plain, &laid);
    et_same_bits(&plain, &laid);
    const float *raw = (const float *)laid.data;
    memcpy(memory, plain.data, sizeof memory);
    assert_true(raw[1] == memory[4] && raw[3] == memory[1]);
    et_clear(&plain, &laid);
}

static void pointwise_ops_and_copies_keep_it(void **state) {
    (void)state;
    dl_tensor plain = {0}, laid = {0}, bias = {0}, y = {0}, z = {0}, c = {0}, want = {0};
    make_pair(&plain, &laid);
    et_make(&bias, DL_F32, "3,1,1", NULL);
    et_call("add", &y, IN(&bias, &laid), NONE);
    has_strides(&y, nhwc);
    et_call("add", &want, IN(&bias, &plain), NONE);
    et_same_bits(&want, &y);
    et_call("mul", &z, IN(&plain, &y), NONE); /* any activation among the inputs decides */
    has_strides(&z, nhwc);
    et_call("copy", &c, IN(&laid), NONE);
    has_strides(&c, nhwc);
    et_clear(&plain, &laid, &bias, &y, &z, &c, &want);
}

static void other_ops_give_plain_results(void **state) {
    (void)state;
    dl_tensor plain = {0}, laid = {0}, y = {0}, want = {0};
    make_pair(&plain, &laid);
    et_call("cumsum", &y, IN(&laid), ATTR(INT(1)));
    et_call("cumsum", &want, IN(&plain), ATTR(INT(1)));
    has_strides(&y, nchw);
    et_same_bits(&want, &y);
    et_clear(&plain, &laid, &y, &want);
}

/* A view shares memory, so the storage is laid plain first, for every tensor on it. */
static void views_undo_it_for_all_aliases(void **state) {
    (void)state;
    dl_tensor plain = {0}, laid = {0}, alias = {0}, view = {0}, again = {0};
    make_pair(&plain, &laid);
    assert_ok(dl_tensor_alias(&alias, &laid));
    const int64_t version = dl_storage_version(laid.storage);
    et_call("view", &view, IN(&laid), ATTR(INTS(24)));
    has_strides(&laid, nchw);
    assert_int_equal(dl_storage_version(laid.storage), version); /* what was saved of it stays valid */
    assert_ptr_equal(view.storage, alias.storage);
    dl_tensor *out = &alias;
    assert_ok(dl_call(dl_op_find("add_scalar"), (const dl_tensor *[]){&alias}, 1, &out, 1, ATTR(REAL(1))));
    has_strides(&alias, nchw);
    et_call("add_scalar", &again, IN(&plain), ATTR(REAL(1)));
    et_same_bits(&again, &laid);
    double values[24], expected[24];
    et_values(&view, values);
    et_values(&again, expected);
    assert_memory_equal(values, expected, sizeof values);
    et_clear(&plain, &laid, &alias, &view, &again);
}

static void addresses_and_single_elements(void **state) {
    (void)state;
    dl_tensor plain = {0}, laid = {0}, alias = {0};
    double value;
    make_pair(&plain, &laid);
    assert_ok(dl_tensor_alias(&alias, &laid));
    assert_ok(dl_element_get(&laid, (const int64_t[]){0, 1, 0, 1}, &value));
    has_strides(&laid, nhwc); /* reading does not touch it */
    assert_true(value == (double)((const float *)plain.data)[5]);
    assert_memory_equal(dl_tensor_data(&laid), plain.data, 24 * sizeof(float));
    has_strides(&laid, nchw);
    assert_ok(dl_element_get(&alias, (const int64_t[]){0, 1, 0, 1}, &value));
    assert_true(value == (double)((const float *)plain.data)[5]);
    et_clear(&plain, &laid, &alias);
}

static void shapes_where_the_layouts_are_one_stay_plain(void **state) {
    (void)state;
    static const char *const shapes[] = {"2,1,3,3", "2,3,1,1", "0,3,2,2", "2,3", "2,3,2,2,2,2"};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        dl_tensor t = {0};
        et_make(&t, DL_F32, shapes[k], NULL);
        dl_layout_channels_last(&t);
        assert_int_equal(t.flags, 0);
        assert_true(dl_tensor_contiguous(&t));
        et_clear(&t);
    }
}

/* Gradients through views of an activation, and an in-place sum of its gradients. */
static void gradients_flow_through_it(void **state) {
    (void)state;
    dl_tensor x = {0}, laid = {0}, view = {0}, a = {0}, b = {0}, sum = {0}, grad = {0};
    et_make(&x, DL_F32, "2,3,2,2", NULL);
    lay(&laid, &x);
    assert_ok(dl_requires_grad(&laid, 1));
    et_call("mul", &a, IN(&laid, &laid), NONE);
    has_strides(&a, nhwc);
    et_call("reshape", &view, IN(&laid), ATTR(INTS(6, 4)));
    et_call("reshape", &b, IN(&a), ATTR(INTS(6, 4)));
    et_call("add", &grad, IN(&view, &b), NONE);
    et_call("sum", &sum, IN(&grad), ATTR({.kind = DL_ATTR_INTS}));
    et_backward(&sum);
    double values[24], got[24];
    et_values(&x, values);
    for (int k = 0; k < 24; k++) got[k] = 1 + 2 * values[k];
    et_expect_grad(&laid, 24, got);
    et_clear(&x, &laid, &view, &a, &b, &sum, &grad);
}

static void captured_steps_are_plain(void **state) {
    (void)state;
    dl_tensor plain = {0}, laid = {0}, y = {0}, want = {0};
    dl_capture *capture;
    make_pair(&plain, &laid);
    assert_ok(dl_capture_begin());
    et_call("add_scalar", &y, IN(&laid), ATTR(REAL(1)));
    assert_ok(dl_capture_end(&capture));
    has_strides(&laid, nchw);
    has_strides(&y, nchw);
    assert_ok(dl_capture_replay(capture));
    et_call("add_scalar", &want, IN(&plain), ATTR(REAL(1)));
    et_same_bits(&want, &y);
    dl_capture_free(capture);
    et_clear(&plain, &laid, &y, &want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_values_in_another_order), cmocka_unit_test(pointwise_ops_and_copies_keep_it),
        cmocka_unit_test(other_ops_give_plain_results),     cmocka_unit_test(views_undo_it_for_all_aliases),
        cmocka_unit_test(addresses_and_single_elements),    cmocka_unit_test(shapes_where_the_layouts_are_one_stay_plain),
        cmocka_unit_test(gradients_flow_through_it),        cmocka_unit_test(captured_steps_are_plain),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
