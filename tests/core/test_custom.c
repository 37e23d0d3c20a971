/* test_custom.c - core/custom.c and the pending nodes of core/backward.c. */
#include "engine_support.h"
#include "mem.h"

/* y = k x, computed by hand. */
typedef struct scale {
    double k;
    int calls, releases;
    dl_status answer;
} scale;

static dl_status scale_backward(void *user, const dl_tensor *const *grads_out, int32_t n_out, dl_tensor *const *grads_in,
                                int32_t n_in) {
    scale *s = user;
    s->calls++;
    if (s->answer != DL_OK) return dl_fail(s->answer, "no gradient today");
    assert_int_equal(n_out, 1);
    assert_int_equal(n_in, 2);
    return et_try("mul_scalar", grads_in[0], IN(grads_out[0]), ATTR(REAL(s->k)));
}

static void scale_release(void *user) { ((scale *)user)->releases++; }

static void apply(scale *s, const dl_tensor *x, const dl_tensor *unused, dl_tensor *y) {
    int32_t on = dl_set_grad_enabled(0);
    et_call("mul_scalar", y, IN(x), ATTR(REAL(s->k)));
    dl_set_grad_enabled(on);
    dl_tensor *out[] = {y};
    assert_ok(dl_custom_record_c("scale", scale_backward, scale_release, s, (const dl_tensor *[]){x, unused}, 2, out, 1));
}

static void sum(dl_tensor *out, const dl_tensor *x) { et_call("sum", out, IN(x), ATTR({.kind = DL_ATTR_INTS})); }

static void test_from_c(void **state) {
    (void)state;
    scale three = {.k = 3};
    dl_tensor x, y = {0}, z = {0}, s = {0};
    et_leaf(&x, "2", (const double[]){1, 2});
    apply(&three, &x, NULL, &y);
    assert_string_equal(dl_recorded_by(&y), "scale");
    et_call("mul", &z, IN(&y, &y), NONE);
    sum(&s, &z);
    et_backward(&s);
    EXPECT_GRAD(&x, 18, 36);
    const dl_tensor *root = &s;
    assert_fails(dl_backward(&root, NULL, 1, NULL, NULL, 0, 0), DL_INVALID, "a second time");
    assert_int_equal(three.calls, 1);
    assert_int_equal(three.releases, 0);
    et_clear(&y, &z, &s);
    assert_int_equal(three.releases, 1);
    three.answer = DL_INVALID;
    apply(&three, &x, NULL, &y);
    sum(&s, &y);
    root = &s;
    assert_fails(dl_backward(&root, NULL, 1, NULL, NULL, 0, 0), DL_INVALID, "backward of scale: no gradient today");
    EXPECT_GRAD(&x, 18, 36);
    et_clear(&y, &s, &x);
    assert_int_equal(three.releases, 2);
}

static void test_unrecorded_is_released_at_once(void **state) {
    (void)state;
    scale two = {.k = 2};
    dl_tensor x, y = {0};
    et_make(&x, DL_F32, "2", NULL);
    apply(&two, &x, NULL, &y);
    assert_int_equal(two.releases, 1);
    assert_int_equal(dl_is_recorded(&y), 0);
    et_clear(&x, &y);
}

static void test_failure_records_nothing(void **state) {
    (void)state;
    scale two = {.k = 2};
    dl_tensor x, y, empty = {0};
    dl_tensor *out[] = {&y}, *none[] = {&empty};
    et_leaf(&x, "2", NULL);
    et_make(&y, DL_F32, "2", NULL);
    const dl_tensor *in = &x;
    assert_fails(dl_custom_record_c("scale", scale_backward, scale_release, &two, &in, 1, none, 1), DL_INVALID,
                 "output 0 is empty");
    for (long n = 1; n <= 2; n++) {
        dl_mem_fail_after(n, 0);
        assert_int_equal(dl_custom_record_c("scale", scale_backward, scale_release, &two, &in, 1, out, 1), DL_NOMEM);
        assert_int_equal(dl_is_recorded(&y), 0);
    }
    dl_mem_fail_after(0, 0);
    assert_int_equal(two.releases, 0);
    et_clear(&x, &y);
}

static int32_t released(int64_t id) {
    int64_t ids[16];
    int32_t n = dl_custom_released(ids, 16), found = 0;
    for (int32_t k = 0; k < n; k++) found += ids[k] == id;
    return found;
}

/* As the Lua driver does: f(a, b) = (a + b, a * b), stepping. */
static void test_by_steps(void **state) {
    (void)state;
    dl_tensor a, b, plus = {0}, times = {0}, s = {0}, unused = {0};
    et_leaf(&a, "2", (const double[]){2, 3});
    et_leaf(&b, "2", (const double[]){5, 7});
    dl_set_grad_enabled(0);
    et_call("add", &plus, IN(&a, &b), NONE);
    et_call("mul", &times, IN(&a, &b), NONE);
    dl_set_grad_enabled(1);
    dl_tensor *out[] = {&plus, &times};
    int32_t recorded = 0;
    assert_ok(dl_custom_record("both", 42, (const dl_tensor *[]){&a, &b}, 2, out, 2, &recorded));
    assert_int_equal(recorded, 1);
    sum(&s, &times); /* plus has no influence: its gradient is empty */
    const dl_tensor *root = &s;
    assert_fails(dl_backward(&root, NULL, 1, NULL, NULL, 0, DL_RETAIN), DL_INVALID,
                 "use dl_backward_begin and dl_backward_step");
    dl_backward_run *run;
    dl_custom_node node;
    assert_ok(dl_backward_begin(&root, NULL, 1, NULL, 0, 0, &run));
    assert_fails(dl_backward_node(run, &node), DL_INVALID, "no custom node is pending");
    assert_int_equal(dl_backward_step(run), DL_PENDING);
    assert_ok(dl_backward_node(run, &node));
    assert_int_equal(node.id, 42);
    assert_int_equal(node.n_in, 2);
    assert_int_equal(node.n_out, 2);
    assert_int_equal(dl_backward_node_needs(run, 0), 1);
    assert_int_equal(dl_backward_node_needs(run, 2), 0);
    assert_fails(dl_backward_node_give(run, 2, &a), DL_INVALID, "both has no input 2");
    dl_tensor g = {0}, ga = {0}, gb = {0};
    assert_ok(dl_backward_node_grad(run, 0, &unused));
    assert_null(unused.storage);
    assert_ok(dl_backward_node_grad(run, 1, &g));
    assert_fails(dl_backward_node_grad(run, 2, &unused), DL_INVALID, "both has no output 2");
    assert_int_equal(dl_grad_enabled(), 1); /* the driver's own state between steps */
    dl_set_grad_enabled(0);
    et_call("mul", &ga, IN(&g, &b), NONE);
    et_call("mul", &gb, IN(&g, &a), NONE);
    dl_set_grad_enabled(1);
    assert_ok(dl_backward_node_give(run, 0, &gb)); /* overwritten by the next */
    assert_ok(dl_backward_node_give(run, 0, &ga));
    assert_ok(dl_backward_node_give(run, 1, &gb));
    assert_ok(dl_backward_step(run));
    assert_ok(dl_backward_end(run, NULL));
    EXPECT_GRAD(&a, 5, 7);
    EXPECT_GRAD(&b, 2, 3);
    assert_int_equal(released(42), 0);
    et_clear(&plus, &times, &s, &g, &ga, &gb, &unused);
    assert_int_equal(released(42), 1);
    assert_int_equal(released(42), 0);
    et_clear(&a, &b);
}

/* A run that is given up while a node is pending. */
static void test_abandoned_run(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    dl_tensor a, y, s = {0};
    et_leaf(&a, "2", NULL);
    et_make(&y, DL_F32, "2", NULL);
    dl_tensor *out[] = {&y};
    int32_t recorded;
    assert_ok(dl_custom_record("f", 7, (const dl_tensor *[]){&a}, 1, out, 1, &recorded));
    sum(&s, &y);
    dl_backward_run *run;
    const dl_tensor *root = &s;
    assert_ok(dl_backward_begin(&root, NULL, 1, NULL, 0, 0, &run));
    assert_int_equal(dl_backward_step(run), DL_PENDING);
    assert_ok(dl_backward_node_give(run, 0, &a));
    assert_ok(dl_backward_end(run, NULL));
    et_expect_grad(&a, 0, NULL);
    et_clear(&a, &y, &s);
    assert_int_equal(released(7), 1);
    assert_int_equal(et_live_bytes(), live);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_from_c), cmocka_unit_test(test_unrecorded_is_released_at_once),
                                       cmocka_unit_test(test_failure_records_nothing), cmocka_unit_test(test_by_steps),
                                       cmocka_unit_test(test_abandoned_run)};
    return cmocka_run_group_tests(tests, et_start, NULL);
}
