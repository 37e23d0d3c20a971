/* Autocast: which inputs the door converts, and that the table names ops. */
#include "core/autocast.h"
#include "engine_support.h"

static void every_row_names_an_op(void **state) {
    (void)state;
#define DL_AUTOCAST(policy, op)                                                                                                \
    if (dl_op_find(#op) < 0) fail_msg("autocast.def: there is no op '" #op "'");
#include "core/autocast.def"
#undef DL_AUTOCAST
}

static dl_dtype type_of(const char *op, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr) {
    dl_tensor y = {0};
    et_call(op, &y, in, n_in, attr, n_attr);
    const dl_dtype type = y.type;
    et_clear(&y);
    return type;
}

static void types(void **state) {
    (void)state;
    dl_tensor a = {0}, b = {0}, half = {0}, wide = {0}, whole = {0};
    et_make(&a, DL_F32, "2,3", NULL);
    et_make(&b, DL_F32, "3,2", NULL);
    et_make(&half, DL_BF16, "2,3", NULL);
    et_make(&wide, DL_F64, "2,2", NULL);
    et_make(&whole, DL_I64, "2,2", NULL);
    assert_ok(dl_set_autocast(DL_BF16));
    assert_int_equal(type_of("matmul", IN(&a, &b), NONE), DL_BF16);
    assert_int_equal(type_of("matmul", IN(&half, &b), NONE), DL_BF16);
    assert_int_equal(type_of("matmul", IN(&wide, &wide), NONE), DL_F64);
    assert_int_equal(type_of("matmul", IN(&whole, &whole), NONE), DL_I64);
    assert_int_equal(type_of("softmax", IN(&half), ATTR(INT(1))), DL_F32);
    assert_int_equal(type_of("exp", IN(&half), NONE), DL_F32);
    assert_int_equal(type_of("add", IN(&half, &half), NONE), DL_BF16);
    assert_int_equal(type_of("add", IN(&half, &a), NONE), DL_F32);
    assert_ok(dl_set_autocast(-1));
    assert_int_equal(type_of("matmul", IN(&a, &b), NONE), DL_F32);
    assert_int_equal(type_of("softmax", IN(&half), ATTR(INT(1))), DL_BF16);
    et_clear(&a, &b, &half, &wide, &whole);
}

/* A fused call has another result type than its chain was made for: it is made call by call. */
static void fused_calls(void **state) {
    (void)state;
    dl_tensor x = {0}, w = {0}, y = {0}, *out = &y;
    et_make(&x, DL_F32, "2,3", (const double[]){1, 2, 3, -1, -2, -3});
    et_make(&w, DL_F32, "1,3", (const double[]){1, 1, 1});
    const dl_epilogue relu = {.op = dl_op_find("relu")};
    assert_ok(dl_set_autocast(DL_BF16));
    assert_ok(dl_call_fused(dl_op_find("linear"), (const dl_tensor *[]){&x, &w, NULL}, 3, &out, 1, NULL, 0, &relu, 1));
    assert_ok(dl_set_autocast(-1));
    assert_int_equal(y.type, DL_BF16);
    EXPECT(&y, 6, 0);
    et_clear(&x, &w, &y);
}

static void other_types_are_refused(void **state) {
    (void)state;
    assert_fails(dl_set_autocast(DL_F32), DL_INVALID, "bfloat16 or float16; float32");
    assert_fails(dl_set_autocast(77), DL_INVALID, "? was asked for");
    assert_int_equal(dl_autocast(), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_names_an_op),
        cmocka_unit_test(types),
        cmocka_unit_test(fused_calls),
        cmocka_unit_test(other_types_are_refused),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
