/* test_segment.c - core/segment.c: one module's forward, its gradients towards inputs and parameters in any order. */
#include "engine_support.h"

/* y = tanh(x w^T + b): the module of these tests. */
typedef struct module {
    dl_tensor x, w, b, proxy, y;
    dl_segment *segment;
} module;

static void forward(module *m) {
    dl_tensor h = {0};
    dl_tensor *params[] = {&m->w, &m->b}, *proxies[] = {&m->proxy}, *out[] = {&m->y};
    assert_ok(dl_segment_begin((const dl_tensor *[]){&m->x}, proxies, 1, params, 2, &m->segment));
    et_call("linear", &h, IN(&m->proxy, &m->w, &m->b), NONE);
    et_call("tanh", &m->y, IN(&h), NONE);
    assert_ok(dl_segment_end(m->segment, out, 1));
    et_clear(&h, &m->proxy);
}

static void setup(module *m) {
    memset(m, 0, sizeof *m);
    et_make(&m->x, DL_F64, "1,2", (const double[]){0.5, -0.25});
    et_make(&m->w, DL_F64, "2,2", (const double[]){1, 2, 3, 4});
    et_make(&m->b, DL_F64, "2", (const double[]){0.1, -0.2});
    forward(m);
}

static void teardown(module *m) {
    dl_segment_free(m->segment);
    et_clear(&m->x, &m->w, &m->b, &m->y);
}

/* out: x, w, b as wanted. */
static dl_status run(module *m, const dl_tensor *x, const dl_tensor *w, const dl_tensor *grad, int32_t want,
                     dl_tensor *const *out) {
    dl_backward_run *run;
    const dl_tensor *params[] = {w, NULL};
    dl_status status = dl_segment_backward_begin(m->segment, &x, params, &grad, want, &run);
    if (status != DL_OK) return status;
    status = dl_backward_step(run);
    dl_status end = dl_backward_end(run, out);
    return status != DL_OK ? status : end;
}

/* The formulas, for input x, weight w and g = 1. */
typedef struct expected {
    double x[2], w[4], b[2];
} expected;

static expected gradients(const double *x, const double *w, const double *y) {
    double d[2];
    for (int k = 0; k < 2; k++) d[k] = 1 - y[k] * y[k];
    return (expected){{d[0] * w[0] + d[1] * w[2], d[0] * w[1] + d[1] * w[3]},
                      {d[0] * x[0], d[0] * x[1], d[1] * x[0], d[1] * x[1]},
                      {d[0], d[1]}};
}

static void test_any_order_and_number(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    module m;
    setup(&m);
    assert_int_equal(dl_is_recorded(&m.y), 0);
    assert_int_equal(dl_is_recorded(&m.w), 0); /* given a variable for the time of recording only */
    dl_tensor ones;
    et_make(&ones, DL_F64, "1,2", (const double[]){1, 1});
    double y[2];
    et_values(&m.y, y);
    expected e = gradients((const double[]){0.5, -0.25}, (const double[]){1, 2, 3, 4}, y);
    static const int32_t wants[] = {DL_WANT_PARAMS, DL_WANT_INPUTS, DL_WANT_INPUTS, DL_WANT_INPUTS | DL_WANT_PARAMS,
                                    DL_WANT_PARAMS};
    for (int k = 0; k < 5; k++) {
        dl_tensor g[3] = {{0}};
        dl_tensor *both[] = {&g[0], &g[1], &g[2]};
        assert_ok(run(&m, NULL, NULL, &ones, wants[k], wants[k] & DL_WANT_INPUTS ? both : both + 1));
        if (wants[k] & DL_WANT_INPUTS) et_expect(&g[0], 2, e.x);
        if (wants[k] & DL_WANT_PARAMS) {
            et_expect(&g[1], 4, e.w);
            et_expect(&g[2], 2, e.b);
        }
        et_clear(&g[0], &g[1], &g[2]);
    }
    teardown(&m);
    dl_tensor_clear(&ones);
    assert_int_equal(et_live_bytes(), live);
}

static void test_replaced_input_and_parameters(void **state) {
    (void)state;
    module m;
    setup(&m);
    dl_tensor ones, x, w, g[3] = {{0}};
    dl_tensor *out[] = {&g[0], &g[1], &g[2]};
    et_make(&ones, DL_F64, "1,2", (const double[]){1, 1});
    et_make(&x, DL_F64, "1,2", (const double[]){7, 8});
    et_make(&w, DL_F64, "2,2", (const double[]){-1, 5, 2, -3});
    double y[2];
    et_values(&m.y, y);
    assert_ok(run(&m, &x, &w, &ones, DL_WANT_INPUTS | DL_WANT_PARAMS, out));
    expected e = gradients((const double[]){7, 8}, (const double[]){-1, 5, 2, -3}, y);
    et_expect(&g[0], 2, e.x);
    et_expect(&g[1], 4, e.w);
    et_clear(&g[0], &g[1], &g[2]);
    /* a parameter that was written since is read as it is now, unlike on the tape */
    et_call("mul_scalar", &w, IN(&w), ATTR(REAL(2)));
    assert_ok(run(&m, NULL, NULL, &ones, DL_WANT_INPUTS, out));
    e = gradients((const double[]){7, 8}, (const double[]){-2, 10, 4, -6}, y);
    et_expect(&g[0], 2, e.x);
    et_clear(&g[0]);
    dl_tensor wrong;
    et_make(&wrong, DL_F64, "2", NULL);
    assert_fails(run(&m, &wrong, NULL, &ones, DL_WANT_INPUTS, out), DL_INVALID,
                 "input 0 of the last forward was float64 (1, 2), now it is float64 (2); call forward again first");
    assert_fails(run(&m, NULL, &wrong, &ones, DL_WANT_INPUTS, out), DL_INVALID, "parameter 0 of the last forward was");
    assert_fails(run(&m, NULL, NULL, &wrong, DL_WANT_INPUTS, out), DL_INVALID, "expected a gradient of shape float64 (1, 2)");
    assert_ok(run(&m, NULL, NULL, NULL, DL_WANT_INPUTS, out)); /* no gradient comes in: none goes out */
    assert_null(g[0].storage);
    teardown(&m);
    et_clear(&ones, &x, &w, &wrong);
}

/* But what a module saved of its own results is checked. */
static void test_spoilt_output(void **state) {
    (void)state;
    module m;
    setup(&m);
    dl_tensor ones, g = {0};
    dl_tensor *out[] = {&g};
    et_make(&ones, DL_F64, "1,2", (const double[]){1, 1});
    et_call("add", &m.y, IN(&m.y, &ones), NONE);
    assert_fails(run(&m, NULL, NULL, &ones, DL_WANT_INPUTS, out), DL_INVALID,
                 "tanh saved its output for backward, and it was changed in place");
    teardown(&m);
    dl_tensor_clear(&ones);
}

/* Parameters that are leaves already stay leaves, and what a module gets from them is live too when it is a view. */
static void test_leaf_parameter_and_views(void **state) {
    (void)state;
    dl_tensor x, w, proxy = {0}, t = {0}, y = {0}, g, gx = {0}, gw = {0}, flat = {0};
    dl_segment *segment;
    dl_backward_run *run;
    et_make(&x, DL_F32, "2", (const double[]){1, 2});
    et_leaf(&w, "2,2", (const double[]){1, 2, 3, 4});
    et_make(&g, DL_F32, "2", (const double[]){1, 10});
    dl_tensor *params[] = {&w}, *proxies[] = {&proxy}, *outs[] = {&y}, *grads[] = {&gx, &gw};
    assert_ok(dl_segment_begin((const dl_tensor *[]){&x}, proxies, 1, params, 1, &segment));
    et_call("transpose", &t, IN(&w), ATTR(INT(0), INT(1)));
    et_call("view", &flat, IN(&proxy), ATTR(INTS(2)));
    et_call("matmul", &y, IN(&flat, &t), NONE);
    assert_ok(dl_segment_end(segment, outs, 1));
    EXPECT(&y, 5, 11);
    assert_int_equal(dl_is_recorded(&w), 1);
    dl_set_grad_enabled(0);
    et_call("mul_scalar", &w, IN(&w), ATTR(REAL(10))); /* an optimizer's step between forward and backward */
    dl_set_grad_enabled(1);
    dl_tensor other;
    et_make(&other, DL_F32, "2", (const double[]){5, 6});
    const dl_tensor *in = &other, *seed = &g;
    assert_ok(dl_segment_backward_begin(segment, &in, NULL, &seed, DL_WANT_INPUTS | DL_WANT_PARAMS, &run));
    assert_ok(dl_backward_step(run));
    assert_ok(dl_backward_end(run, grads));
    EXPECT(&gx, 310, 420);
    EXPECT(&gw, 5, 6, 50, 60);
    et_expect_grad(&w, 0, NULL); /* nothing is accumulated behind the caller's back */
    dl_segment_free(segment);
    et_clear(&x, &w, &proxy, &t, &y, &g, &gx, &gw, &flat, &other);
}

/* Identity and integer inputs; one output twice; an input that is changed in place. */
static void test_outputs_and_inputs_of_all_kinds(void **state) {
    (void)state;
    dl_tensor x, index, proxy = {0}, index_proxy = {0}, y = {0}, gx = {0}, gi = {0}, one, ten, hundred;
    dl_segment *segment;
    dl_backward_run *run;
    et_make(&x, DL_F32, "3", (const double[]){-1, 2, 3});
    et_make(&index, DL_I64, "2", (const double[]){2, 0});
    et_make(&one, DL_F32, "3", (const double[]){1, 2, 3});
    et_make(&ten, DL_F32, "2", (const double[]){10, 20});
    et_make(&hundred, DL_F32, "2", (const double[]){100, 200});
    dl_tensor *proxies[] = {&proxy, &index_proxy};
    assert_ok(dl_segment_begin((const dl_tensor *[]){&x, &index}, proxies, 2, NULL, 0, &segment));
    assert_int_equal(dl_is_recorded(&proxy), 1);
    assert_int_equal(dl_is_recorded(&index_proxy), 0);
    et_call("index_select", &y, IN(&proxy, &index_proxy), ATTR(INT(0)));
    dl_tensor *outs[] = {&proxy, &y, &y};
    assert_ok(dl_segment_end(segment, outs, 3));
    assert_int_equal(dl_is_recorded(&proxy), 0);
    const dl_tensor *seeds[] = {&one, &ten, &hundred};
    dl_tensor *grads[] = {&gx, &gi};
    assert_ok(dl_segment_backward_begin(segment, NULL, NULL, seeds, DL_WANT_INPUTS, &run));
    assert_ok(dl_backward_step(run));
    assert_ok(dl_backward_end(run, grads));
    EXPECT(&gx, 1 + 220, 2, 3 + 110);
    assert_null(gi.storage);
    dl_segment_free(segment);
    et_clear(&proxy, &index_proxy, &y, &gx);

    dl_tensor *single[] = {&proxy}, *out[] = {&proxy}, *grad[] = {&gx};
    assert_ok(dl_segment_begin((const dl_tensor *[]){&x}, single, 1, NULL, 0, &segment));
    et_call("relu", &proxy, IN(&proxy), NONE); /* ReLU(true): Torch7's modules may change their input */
    assert_ok(dl_segment_end(segment, out, 1));
    EXPECT(&x, 0, 2, 3);
    const dl_tensor *seed = &one;
    assert_ok(dl_segment_backward_begin(segment, NULL, NULL, &seed, DL_WANT_INPUTS, &run));
    assert_ok(dl_backward_step(run));
    assert_ok(dl_backward_end(run, grad));
    EXPECT(&gx, 0, 2, 3);
    dl_segment_free(segment);
    et_clear(&x, &index, &proxy, &gx, &one, &ten, &hundred);
}

static void test_nesting_and_errors(void **state) {
    (void)state;
    dl_tensor x, w, outer_proxy = {0}, inner_proxy = {0}, y = {0}, z = {0}, bad = {0};
    dl_segment *outer, *inner;
    et_make(&x, DL_F32, "2", (const double[]){1, 2});
    et_make(&w, DL_F32, "2", (const double[]){3, 4});
    dl_tensor *outer_proxies[] = {&outer_proxy}, *inner_proxies[] = {&inner_proxy}, *params[] = {&w}, *outs[] = {&y};
    dl_set_grad_enabled(0); /* a segment records whatever the outer state is */
    assert_ok(dl_segment_begin((const dl_tensor *[]){&x}, outer_proxies, 1, NULL, 0, &outer));
    assert_int_equal(dl_grad_enabled(), 1);
    assert_ok(dl_segment_begin((const dl_tensor *[]){&outer_proxy}, inner_proxies, 1, params, 1, &inner));
    et_call("mul", &y, IN(&inner_proxy, &w), NONE);
    assert_ok(dl_segment_end(inner, outs, 1));
    assert_fails(dl_segment_end(inner, outs, 1), DL_INVALID, "ended before");
    assert_int_equal(dl_is_recorded(&y), 0); /* cut from the outer tape */
    assert_int_equal(dl_grad_enabled(), 1);
    assert_int_equal(et_try("add", &bad, IN(&y), NONE), DL_INVALID); /* an error in between */
    assert_ok(dl_segment_end(outer, NULL, 0));
    assert_int_equal(dl_grad_enabled(), 0);
    dl_backward_run *run;
    assert_ok(dl_segment_backward_begin(outer, NULL, NULL, NULL, DL_WANT_INPUTS, &run));
    assert_ok(dl_backward_step(run));
    dl_tensor *grad[] = {&z};
    assert_ok(dl_backward_end(run, grad));
    assert_null(z.storage);
    dl_segment_free(outer);
    dl_segment_free(inner);
    et_clear(&outer_proxy, &inner_proxy);
    /* freed while open: as ended with nothing */
    assert_ok(dl_segment_begin((const dl_tensor *[]){&x}, outer_proxies, 1, params, 1, &outer));
    assert_fails(dl_segment_backward_begin(outer, NULL, NULL, NULL, 0, &run), DL_INVALID, "before its forward was finished");
    dl_segment_free(outer);
    assert_int_equal(dl_grad_enabled(), 0);
    assert_int_equal(dl_is_recorded(&w), 0);
    dl_set_grad_enabled(1);
    et_clear(&x, &w, &y, &outer_proxy);
}

/* One parameter twice in the list, and an integer one (a running count): the first is one leaf, the second none. */
static void test_shared_and_integer_parameters(void **state) {
    (void)state;
    dl_tensor w, count, y = {0}, g[3] = {{0}}, seed;
    dl_segment *segment;
    dl_backward_run *run;
    et_make(&w, DL_F32, "2", (const double[]){3, 4});
    et_make(&count, DL_I64, "1", (const double[]){7});
    et_make(&seed, DL_F32, "2", (const double[]){1, 1});
    dl_tensor *params[] = {&w, &w, &count}, *outs[] = {&y}, *grads[] = {&g[0], &g[1], &g[2]};
    assert_ok(dl_segment_begin(NULL, NULL, 0, params, 3, &segment));
    et_call("mul", &y, IN(&w, &w), NONE);
    assert_ok(dl_segment_end(segment, outs, 1));
    const dl_tensor *seeds = &seed;
    assert_ok(dl_segment_backward_begin(segment, NULL, NULL, &seeds, DL_WANT_PARAMS, &run));
    assert_ok(dl_backward_step(run));
    assert_ok(dl_backward_end(run, grads));
    EXPECT(&g[0], 6, 8);
    EXPECT(&g[1], 6, 8);
    assert_null(g[2].storage);
    dl_segment_free(segment);
    et_clear(&w, &count, &y, &g[0], &g[1], &seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_and_number),
        cmocka_unit_test(test_replaced_input_and_parameters),
        cmocka_unit_test(test_spoilt_output),
        cmocka_unit_test(test_leaf_parameter_and_views),
        cmocka_unit_test(test_outputs_and_inputs_of_all_kinds),
        cmocka_unit_test(test_nesting_and_errors),
        cmocka_unit_test(test_shared_and_integer_parameters),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
