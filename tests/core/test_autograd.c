/* test_autograd.c - core/autograd.c, backward.c, node_gradient.c: what is recorded, what backward gives, what it refuses. */
#include "engine_support.h"

static const dl_attr all_dims = {.kind = DL_ATTR_INTS};

static void sum(dl_tensor *out, const dl_tensor *x) { et_call("sum", out, IN(x), &all_dims, 1); }

static dl_status backward(const dl_tensor *root, int32_t flags) { return dl_backward(&root, NULL, 1, NULL, NULL, 0, flags); }

/* d root / d target, alone. */
static dl_status gradient(const dl_tensor *root, const dl_tensor *target, dl_tensor *out, int32_t flags) {
    return dl_backward(&root, NULL, 1, &target, &out, 1, flags);
}

static void test_what_is_recorded(void **state) {
    (void)state;
    dl_tensor w, x, i, y = {0}, z = {0};
    et_leaf(&w, "2", (const double[]){1, 2});
    et_make(&x, DL_F32, "2", (const double[]){3, 4});
    et_make(&i, DL_I64, "2", NULL);
    assert_int_equal(dl_is_recorded(&w), 1);
    assert_int_equal(dl_is_recorded(&x), 0);
    assert_fails(dl_requires_grad(&i, 1), DL_INVALID, "only floating tensors can require gradients, this one is int64");
    et_call("mul", &y, IN(&w, &x), NONE);
    assert_int_equal(dl_is_recorded(&y), 2);
    assert_string_equal(dl_recorded_by(&y), "mul");
    assert_null(dl_recorded_by(&w));
    assert_int_equal(dl_is_saved(&x), 1); /* the gradient towards w reads it */
    assert_int_equal(dl_is_saved(&w), 0);
    assert_fails(dl_requires_grad(&y, 0), DL_INVALID, "the result of mul is on the tape");
    dl_tensor_clear(&y);
    assert_int_equal(dl_is_saved(&x), 0);
    assert_int_equal(dl_set_grad_enabled(0), 1);
    et_call("mul", &y, IN(&w, &x), NONE);
    assert_int_equal(dl_is_recorded(&y), 0);
    assert_int_equal(dl_set_grad_enabled(1), 0);
    et_call("lt", &z, IN(&w, &x), NONE); /* no gradient flows through a comparison */
    assert_int_equal(dl_is_recorded(&z), 0);
    assert_ok(dl_requires_grad(&w, 0));
    assert_int_equal(dl_is_recorded(&w), 0);
    et_clear(&w, &x, &i, &y, &z);
}

static void test_accumulates_into_bound_buffer(void **state) {
    (void)state;
    dl_tensor w, buffer, s = {0}, y = {0};
    et_leaf(&w, "2", (const double[]){3, 5});
    et_expect_grad(&w, 0, NULL);
    et_make(&buffer, DL_F32, "2", (const double[]){100, 200});
    assert_ok(dl_set_grad(&w, &buffer));
    for (int k = 1; k <= 2; k++) {
        et_call("mul", &y, IN(&w, &w), NONE); /* a leaf used twice in one call */
        sum(&s, &y);
        et_backward(&s);
        EXPECT(&buffer, 100 + 6 * k, 200 + 10 * k);
        et_clear(&y, &s);
    }
    EXPECT_GRAD(&w, 112, 220);
    assert_ok(dl_set_grad(&w, NULL));
    et_expect_grad(&w, 0, NULL);
    dl_tensor wrong;
    et_make(&wrong, DL_F64, "2", NULL);
    assert_fails(dl_set_grad(&w, &wrong), DL_INVALID,
                 "a gradient must look like its tensor: expected float32 (2), got float64 (2)");
    assert_fails(dl_set_grad(&buffer, &wrong), DL_INVALID, "does not require a gradient");
    et_clear(&w, &buffer, &wrong);
}

/* Torch7's accUpdateGradParameters: the gradient buffer is the weight itself. */
static void test_gradient_into_the_weight_itself(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    dl_tensor w, s = {0}, y = {0};
    et_leaf(&w, "2", (const double[]){3, 5});
    assert_ok(dl_set_grad(&w, &w));
    et_call("mul_scalar", &y, IN(&w), ATTR(REAL(-0.5)));
    sum(&s, &y);
    et_backward(&s);
    EXPECT(&w, 2.5, 4.5);
    et_clear(&w, &y, &s);
    assert_int_equal(et_live_bytes(), live);
}

static void test_diamond(void **state) {
    (void)state;
    dl_tensor x, a = {0}, b = {0}, c = {0}, d = {0}, s = {0};
    et_leaf(&x, "2", (const double[]){2, 3});
    et_call("mul", &a, IN(&x, &x), NONE);
    et_call("mul_scalar", &b, IN(&a), ATTR(REAL(3)));
    et_call("mul", &c, IN(&a, &b), NONE); /* 3 x^4 */
    et_call("add", &d, IN(&c, &a), NONE); /* + x^2 */
    sum(&s, &d);
    et_backward(&s);
    EXPECT_GRAD(&x, 12 * 8 + 4, 12 * 27 + 6);
    et_clear(&x, &a, &b, &c, &d, &s);
}

static void test_broadcast_and_types_fit(void **state) {
    (void)state;
    dl_tensor row, column, wide, y = {0}, z = {0}, s = {0}, g = {0};
    et_leaf(&row, "3", (const double[]){1, 2, 3});
    et_leaf(&column, "2,1", (const double[]){10, 20});
    et_make(&wide, DL_F64, "2,3", (const double[]){1, 2, 3, 4, 5, 6});
    assert_ok(dl_requires_grad(&wide, 1));
    et_call("mul", &y, IN(&row, &column), NONE);
    et_call("mul", &z, IN(&y, &wide), NONE);
    assert_int_equal(z.type, DL_F64);
    sum(&s, &z);
    et_backward(&s);
    EXPECT_GRAD(&row, 10 * 1 + 20 * 4, 10 * 2 + 20 * 5, 10 * 3 + 20 * 6);
    EXPECT_GRAD(&column, 1 + 4 + 9, 4 + 10 + 18);
    EXPECT_GRAD(&wide, 10, 20, 30, 20, 40, 60);
    assert_ok(dl_grad(&row, &g));
    assert_int_equal(g.type, DL_F32);
    assert_int_equal(g.ndim, 1);
    et_clear(&row, &column, &wide, &y, &z, &s, &g);
}

static void test_given_gradients(void **state) {
    (void)state;
    dl_tensor x, y = {0}, g, bad;
    et_leaf(&x, "3", (const double[]){1, 2, 3});
    et_call("mul", &y, IN(&x, &x), NONE);
    assert_fails(backward(&y, 0), DL_INVALID, "a result of 3 elements needs a gradient to start from");
    et_make(&bad, DL_F32, "2", NULL);
    const dl_tensor *root = &y, *seed = &bad;
    assert_fails(dl_backward(&root, &seed, 1, NULL, NULL, 0, 0), DL_INVALID,
                 "expected a gradient of shape float32 (3), got float32 (2)");
    et_make(&g, DL_F64, "3", (const double[]){1, 10, 100}); /* converted */
    seed = &g;
    assert_ok(dl_backward(&root, &seed, 1, NULL, NULL, 0, 0));
    EXPECT_GRAD(&x, 2, 40, 600);
    EXPECT(&g, 1, 10, 100);
    et_clear(&x, &y, &g, &bad);
}

static void test_two_roots(void **state) {
    (void)state;
    dl_tensor x, y = {0}, a = {0}, b = {0};
    et_leaf(&x, "2", (const double[]){1, 2});
    et_call("mul", &y, IN(&x, &x), NONE);
    sum(&a, &y);
    sum(&b, &x);
    const dl_tensor *roots[] = {&a, &b, &a};
    assert_ok(dl_backward(roots, NULL, 3, NULL, NULL, 0, 0));
    EXPECT_GRAD(&x, 5, 9);
    et_clear(&x, &y, &a, &b);
}

static void test_second_backward(void **state) {
    (void)state;
    dl_tensor x, y = {0}, s = {0}, d = {0}, t = {0};
    et_leaf(&x, "2", (const double[]){1, 2});
    et_call("mul", &y, IN(&x, &x), NONE);
    sum(&s, &y);
    assert_ok(backward(&s, DL_RETAIN));
    assert_ok(backward(&s, 0));
    EXPECT_GRAD(&x, 4, 8);
    assert_fails(backward(&s, 0), DL_INVALID, "backward through mul a second time: its saved tensors were freed by the first");
    EXPECT_GRAD(&x, 4, 8);
    et_call("add", &d, IN(&x, &x), NONE); /* nothing is saved, so nothing is missed */
    sum(&t, &d);
    assert_ok(backward(&t, 0));
    assert_ok(backward(&t, 0));
    EXPECT_GRAD(&x, 8, 12);
    et_clear(&x, &y, &s, &d, &t);
}

static void test_targets(void **state) {
    (void)state;
    dl_tensor x, other, y = {0}, z = {0}, s = {0}, g[4] = {{0}};
    et_leaf(&x, "2", (const double[]){2, 3});
    et_leaf(&other, "2", NULL);
    et_call("mul", &y, IN(&x, &x), NONE);
    et_call("mul", &z, IN(&y, &y), NONE);
    sum(&s, &z);
    const dl_tensor *root = &s, *targets[] = {&x, &y, &other, &x};
    dl_tensor *out[] = {&g[0], &g[1], &g[2], &g[3]};
    assert_ok(dl_backward(&root, NULL, 1, targets, out, 4, DL_RETAIN));
    EXPECT(&g[0], 32, 108);
    EXPECT(&g[1], 8, 18);
    assert_null(g[2].storage);
    EXPECT(&g[3], 32, 108);
    et_expect_grad(&x, 0, NULL); /* nothing is accumulated */
    for (int k = 0; k < 4; k++) dl_tensor_clear(&g[k]);
    assert_ok(gradient(&s, &s, &g[0], DL_RETAIN)); /* the root itself */
    EXPECT(&g[0], 1);
    assert_fails(gradient(&x, &x, &g[1], 0), DL_INVALID, "2 elements needs a gradient");
    dl_tensor plain;
    et_make(&plain, DL_F32, "", NULL);
    assert_fails(gradient(&s, &plain, &g[1], 0), DL_INVALID, "target 0 is not on the tape");
    assert_fails(gradient(&plain, &x, &g[1], 0), DL_INVALID, "root 0 is not on the tape");
    et_clear(&x, &other, &y, &z, &s, &g[0], &plain);
}

/* Towards an intermediate result nothing below it runs. */
static void test_target_stops_the_run(void **state) {
    (void)state;
    dl_tensor x, y = {0}, s = {0}, g = {0};
    et_leaf(&x, "2", (const double[]){2, 3});
    et_call("mul", &y, IN(&x, &x), NONE);
    sum(&s, &y);
    assert_ok(gradient(&s, &y, &g, 0));
    EXPECT(&g, 1, 1);
    et_backward(&s); /* mul was not consumed */
    EXPECT_GRAD(&x, 4, 6);
    et_clear(&x, &y, &s, &g);
}

static void test_second_order(void **state) {
    (void)state;
    dl_tensor x, y = {0}, z = {0}, e = {0}, s = {0}, g = {0}, h = {0}, t = {0}, third = {0};
    et_leaf(&x, "2", (const double[]){2, 3});
    et_call("mul", &y, IN(&x, &x), NONE);
    et_call("mul", &z, IN(&y, &x), NONE); /* x^3 */
    et_call("exp", &e, IN(&x), NONE);     /* its gradient reads its output */
    et_call("add", &z, IN(&z, &e), NONE);
    sum(&s, &z);
    assert_ok(gradient(&s, &x, &g, DL_CREATE_GRAPH));
    EXPECT(&g, 12 + exp(2), 27 + exp(3));
    sum(&t, &g);
    assert_ok(gradient(&t, &x, &h, DL_CREATE_GRAPH));
    EXPECT(&h, 12 + exp(2), 18 + exp(3));
    dl_tensor_clear(&t);
    sum(&t, &h);
    assert_ok(gradient(&t, &x, &third, 0));
    EXPECT(&third, 6 + exp(2), 6 + exp(3));
    et_clear(&x, &y, &z, &e, &s, &g, &h, &t, &third);
}

/* ---- writes in place ------------------------------------------------------------------------------------------------ */

static void test_leaf_in_place(void **state) {
    (void)state;
    dl_tensor w, x;
    et_leaf(&w, "2", (const double[]){1, 2});
    et_make(&x, DL_F32, "2", (const double[]){1, 1});
    assert_fails(et_try("add", &w, IN(&w, &x), NONE), DL_INVALID,
                 "add: a leaf that requires a gradient cannot be changed in place");
    EXPECT(&w, 1, 2);
    dl_set_grad_enabled(0);
    et_call("add", &w, IN(&w, &x), NONE);
    dl_set_grad_enabled(1);
    EXPECT(&w, 2, 3);
    assert_int_equal(dl_is_recorded(&w), 1);
    et_clear(&w, &x);
}

static void test_changed_after_saving(void **state) {
    (void)state;
    dl_tensor w, x, y = {0}, s = {0};
    et_leaf(&w, "2", (const double[]){1, 2});
    et_make(&x, DL_F32, "2", (const double[]){3, 4});
    et_call("mul", &y, IN(&w, &x), NONE);
    sum(&s, &y);
    et_call("add", &x, IN(&x, &x), NONE);
    assert_fails(backward(&s, 0), DL_INVALID, "mul saved its input 1 for backward, and it was changed in place since");
    et_expect_grad(&w, 0, NULL);
    et_clear(&y, &s);
    et_call("exp", &y, IN(&w), NONE);
    sum(&s, &y);
    dl_set_grad_enabled(0);
    et_call("add", &y, IN(&y, &x), NONE);
    dl_set_grad_enabled(1);
    assert_fails(backward(&s, 0), DL_INVALID, "exp saved its output for backward, and it was changed in place since");
    et_clear(&w, &x, &y, &s);
}

/* ReLU(true) after Linear: relu's gradient reads its output, linear's does not. */
static void test_relu_in_place(void **state) {
    (void)state;
    dl_tensor x, w, bias, y = {0}, s = {0};
    et_make(&x, DL_F32, "1,2", (const double[]){1, 2});
    et_leaf(&w, "2,2", (const double[]){1, 1, -1, -1});
    et_leaf(&bias, "2", (const double[]){0.5, 0.5});
    et_call("linear", &y, IN(&x, &w, &bias), NONE);
    et_call("relu", &y, IN(&y), NONE);
    assert_string_equal(dl_recorded_by(&y), "relu");
    EXPECT(&y, 3.5, 0);
    sum(&s, &y);
    et_backward(&s);
    EXPECT_GRAD(&w, 1, 2, 0, 0);
    EXPECT_GRAD(&bias, 1, 0);
    et_clear(&x, &w, &bias, &y, &s);
}

/* Recorded input into a tensor that was not on the tape. */
static void test_joins_the_tape(void **state) {
    (void)state;
    dl_tensor w, y, s = {0}, zero;
    et_leaf(&w, "2", (const double[]){1, 2});
    et_make(&y, DL_F32, "2", (const double[]){5, 6});
    et_make(&zero, DL_F32, "2", (const double[]){0, 0});
    et_call("mul", &y, IN(&y, &w), NONE);
    assert_int_equal(dl_is_recorded(&y), 2);
    EXPECT(&y, 5, 12);
    et_call("copy", &y, IN(&zero), NONE); /* what is overwritten with something unrecorded leaves it */
    assert_int_equal(dl_is_recorded(&y), 0);
    et_call("copy", &y, IN(&w), NONE);
    sum(&s, &y);
    et_backward(&s);
    EXPECT_GRAD(&w, 1, 1);
    et_clear(&w, &y, &s, &zero);
}

static void test_gradients_through_views(void **state) {
    (void)state;
    dl_tensor x, y = {0}, row = {0}, t = {0}, m = {0}, s = {0};
    et_leaf(&x, "2,3", (const double[]){1, 2, 3, 4, 5, 6});
    et_call("mul", &y, IN(&x, &x), NONE);
    et_call("select", &row, IN(&y), ATTR(INT(0), INT(1)));
    et_call("transpose", &t, IN(&y), ATTR(INT(0), INT(1)));
    et_call("matmul", &m, IN(&row, &t), NONE); /* y[1] . y^T */
    assert_int_equal(m.ndim, 1);
    sum(&s, &m);
    et_backward(&s);
    /* s = sum_j y1j (y0j + y1j); ds/dy0j = y1j, ds/dy1j = y0j + 2 y1j; times 2x */
    EXPECT_GRAD(&x, 2 * 16, 4 * 25, 6 * 36, 8 * (1 + 32), 10 * (4 + 50), 12 * (9 + 72));
    et_clear(&x, &y, &row, &t, &m, &s);
}

/* A view recorded before its base was changed does not know of the change. */
static void test_view_before_a_change(void **state) {
    (void)state;
    dl_tensor x, y = {0}, row = {0}, s = {0};
    et_leaf(&x, "2,2", (const double[]){1, 2, 3, 4});
    et_call("mul_scalar", &y, IN(&x), ATTR(REAL(2)));
    et_call("select", &row, IN(&y), ATTR(INT(0), INT(0)));
    et_call("mul_scalar", &y, IN(&y), ATTR(REAL(5)));
    assert_fails(et_try("sum", &s, IN(&row), &all_dims, 1), DL_INVALID,
                 "shares its elements with a tensor that was changed in place");
    const dl_tensor *root = &row, *seed = &row;
    assert_fails(dl_backward(&root, &seed, 1, NULL, NULL, 0, 0), DL_INVALID, "shares its elements");
    dl_tensor_clear(&row);
    et_call("select", &row, IN(&y), ATTR(INT(0), INT(0)));
    sum(&s, &row);
    et_backward(&s);
    EXPECT_GRAD(&x, 10, 10, 0, 0);
    assert_fails(et_try("mul_scalar", &row, IN(&row), ATTR(REAL(5))), DL_INVALID, "cannot be written into a view");
    et_clear(&x, &y, &row, &s);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static void test_long_chain(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    dl_tensor x, y = {0}, next = {0}, g = {0};
    enum { LINKS = 100000 };
    et_leaf(&x, "", (const double[]){1});
    assert_ok(dl_tensor_alias(&y, &x));
    for (int k = 0; k < LINKS; k++) {
        et_call("add", &next, IN(&y, &x), NONE);
        dl_tensor_clear(&y);
        assert_ok(dl_tensor_alias(&y, &next));
        dl_tensor_clear(&next);
    }
    assert_true(et_value(&y) == LINKS + 1);
    et_backward(&y);
    EXPECT_GRAD(&x, LINKS + 1);
    et_clear(&y, &x, &g);
    assert_int_equal(et_live_bytes(), live);
}

static void test_freed_with_its_last_holder(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    dl_tensor x, y = {0}, z = {0}, s = {0};
    et_leaf(&x, "1000", NULL);
    uint64_t with_leaf = et_live_bytes();
    et_call("exp", &y, IN(&x), NONE);
    et_call("mul", &z, IN(&y, &y), NONE);
    sum(&s, &z);
    et_clear(&y, &z); /* results that live only in the tape */
    assert_true(et_live_bytes() > with_leaf);
    et_backward(&s);
    dl_tensor g = {0};
    assert_ok(dl_grad(&x, &g));
    double values[1000], in[1000];
    et_values(&g, values);
    et_values(&x, in);
    for (int k = 0; k < 1000; k++) assert_true(fabs(values[k] - 2 * exp(2 * in[k])) < 1e-5 * (1 + values[k]));
    et_clear(&s, &g);
    dl_set_grad(&x, NULL);
    assert_int_equal(et_live_bytes(), with_leaf);
    et_call("exp", &y, IN(&x), NONE); /* never run backward */
    et_clear(&y, &x);
    assert_int_equal(et_live_bytes(), live);
}

/* In-place accumulation must not reach tensors that others see: the gradient given, and one shared by two inputs. */
static void test_sums_are_private(void **state) {
    (void)state;
    dl_tensor x, y = {0}, z = {0}, g, a = {0}, b = {0};
    et_leaf(&x, "2", (const double[]){1, 2});
    et_call("add", &y, IN(&x, &x), NONE);
    et_call("add", &z, IN(&y, &x), NONE);
    et_make(&g, DL_F32, "2", (const double[]){1, 10});
    const dl_tensor *root = &z, *seed = &g, *targets[] = {&x, &y};
    dl_tensor *out[] = {&a, &b};
    assert_ok(dl_backward(&root, &seed, 1, targets, out, 2, 0));
    EXPECT(&a, 3, 30);
    EXPECT(&b, 1, 10);
    EXPECT(&g, 1, 10);
    et_clear(&x, &y, &z, &g, &a, &b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_recorded),
        cmocka_unit_test(test_accumulates_into_bound_buffer),
        cmocka_unit_test(test_gradient_into_the_weight_itself),
        cmocka_unit_test(test_diamond),
        cmocka_unit_test(test_broadcast_and_types_fit),
        cmocka_unit_test(test_given_gradients),
        cmocka_unit_test(test_two_roots),
        cmocka_unit_test(test_second_backward),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_target_stops_the_run),
        cmocka_unit_test(test_second_order),
        cmocka_unit_test(test_leaf_in_place),
        cmocka_unit_test(test_changed_after_saving),
        cmocka_unit_test(test_relu_in_place),
        cmocka_unit_test(test_joins_the_tape),
        cmocka_unit_test(test_gradients_through_views),
        cmocka_unit_test(test_view_before_a_change),
        cmocka_unit_test(test_long_chain),
        cmocka_unit_test(test_freed_with_its_last_holder),
        cmocka_unit_test(test_sums_are_private),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
