/* test_compose_values.c - compositions from primitive ops against the CPU's kernels where rows of random numbers do not go:
 * NaN, infinities and ties; refusals; optimizer steps from the first on; capture. */
#include "core/graph_run.h"
#include "core/op.h"
#include "engine_support.h"

static const dl_dtype floating[] = {DL_F64, DL_F32, DL_F16};

/* ---- one call both ways ------------------------------------------------------------------------------------------------- */

typedef struct call {
    const char *op;
    const dl_tensor *in[4];
    int32_t n_in, n_out;
    const dl_attr *attr;
    int32_t n_attr;
} call;

static dl_status run(const call *c, int composed, dl_tensor *results) {
    dl_tensor *out[DL_MAX_OUTS];
    for (int32_t k = 0; k < c->n_out; k++) out[k] = &results[k];
    dl_seed(3);
    dl_set_primitives_only(composed);
    dl_status status = dl_call(dl_op_find(c->op), c->in, c->n_in, out, c->n_out, c->attr, c->n_attr);
    dl_set_primitives_only(0);
    return status;
}

static void expect_same(const char *op, const dl_tensor *a, const dl_tensor *b, double tolerance) {
    int64_t n = dl_tensor_count(a);
    double *x = malloc((size_t)(n + 1) * sizeof *x), *y = malloc((size_t)(n + 1) * sizeof *y);
    assert_int_equal(n, dl_tensor_count(b));
    assert_int_equal(a->type, b->type);
    et_values(a, x);
    et_values(b, y);
    for (int64_t k = 0; k < n; k++)
        if (!(x[k] == y[k] || (isnan(x[k]) && isnan(y[k])) || fabs(x[k] - y[k]) <= tolerance * fabs(y[k])))
            fail_msg("%s of %s: element %d: composed %g, by kernel %g", op, dl_dtype_name(a->type), (int)k, x[k], y[k]);
    free(x);
    free(y);
}

static void check(const call *c, double tolerance) {
    dl_tensor kernel[DL_MAX_OUTS] = {0}, composed[DL_MAX_OUTS] = {0};
    if (run(c, 0, kernel) != DL_OK || run(c, 1, composed) != DL_OK) fail_msg("%s: %s", c->op, dl_last_error());
    for (int32_t k = 0; k < c->n_out; k++) {
        expect_same(c->op, &composed[k], &kernel[k], tolerance);
        assert_int_equal(dl_storage_references(composed[k].storage), 1); /* nothing of the composition lives on */
        et_clear(&kernel[k], &composed[k]);
    }
}

static void refused(const call *c, const char *words) {
    dl_tensor results[DL_MAX_OUTS] = {0};
    char named[64];
    snprintf(named, sizeof named, "%s: ", c->op);
    assert_fails(run(c, 1, results), DL_INVALID, words);
    assert_non_null(strstr(dl_last_error(), named));
    for (int32_t k = 0; k < c->n_out; k++) assert_null(results[k].storage);
}

/* ---- NaN, infinities, ties ---------------------------------------------------------------------------------------------- */

/* Three rows of seven: ties at the extremes, a NaN twice, infinities of both signs. */
#define X 3, 1, 3, -2, -2, 0, -0.0, 1, NAN, 5, NAN, 7, -7, 2, INFINITY, 2, -INFINITY, 0, INFINITY, -INFINITY, 1

static void special_values(void **state) {
    (void)state;
    const struct {
        const char *op;
        int32_t n_out, n_attr;
        dl_attr attr[3];
    } rows[] = {
        {"amax", 1, 1, {INTS(1)}},
        {"amin", 1, 1, {INTS(0)}},
        {"max_dim", 2, 1, {INT(1)}},
        {"max_dim", 2, 1, {INT(0)}},
        {"min_dim", 2, 2, {INT(-1), INT(1)}},
        {"argmax", 1, 1, {INTS(1)}},
        {"argmax", 1, 1, {{.kind = DL_ATTR_INTS}}},
        {"argmin", 1, 1, {INTS(0)}},
        {"argmin", 1, 1, {{.kind = DL_ATTR_INTS}}},
        {"sum", 1, 1, {INTS(1)}},
        {"prod", 1, 1, {INTS(0)}},
        {"any", 1, 1, {INTS(1)}},
        {"all", 1, 1, {INTS(1)}},
        {"norm", 1, 2, {REAL(INFINITY), INTS(1)}},
        {"norm", 1, 2, {REAL(0), INTS(1)}},
        {"norm", 1, 2, {REAL(3), INTS(1)}},
        {"cumsum", 1, 1, {INT(1)}},
        {"cummax", 2, 1, {INT(1)}},
        {"cummax", 2, 1, {INT(0)}},
        {"cummin", 2, 1, {INT(1)}},
        {"logcumsumexp", 1, 1, {INT(1)}},
        {"logsumexp", 1, 1, {INTS(1)}},
        {"nonzero", 1, 0, {INT(0)}},
        {"tril", 1, 1, {INT(1)}},
        {"triu", 1, 1, {INT(-1)}},
    };
    for (size_t t = 0; t < 3; t++) {
        dl_tensor x = {0};
        et_make(&x, floating[t], "3,7", (const double[]){X});
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            check(&(call){rows[k].op, {&x}, 1, rows[k].n_out, rows[k].attr, rows[k].n_attr}, t == 0   ? 1e-12
                                                                                             : t == 1 ? 1e-6
                                                                                                      : 2e-3);
        et_clear(&x);
    }
}

/* What is written over, left out or ignored may be NaN without spoiling the rest. */
static void replaced_and_masked(void **state) {
    (void)state;
    for (size_t t = 0; t < 3; t++) {
        dl_tensor x = {0}, src = {0}, index = {0}, mask = {0}, label = {0}, rows = {0}, nothing = {0};
        const dl_attr dim[] = {INT(0)}, ignore[] = {INT(0), INT(1)};
        et_make(&x, floating[t], "5", (const double[]){NAN, 1, INFINITY, -0.0, 2});
        et_make(&src, floating[t], "6", (const double[]){7, NAN, -INFINITY, 3, NAN, 4});
        et_make(&index, DL_I64, "6", (const double[]){0, 3, 0, 3, 2, 2});
        et_make(&mask, DL_BOOL, "5", (const double[]){1, 0, 1, 1, 0});
        et_make(&rows, floating[t], "3,2", (const double[]){-INFINITY, -1, -2, -INFINITY, NAN, -3});
        et_make(&label, DL_I32, "3", (const double[]){1, 1, 0});
        et_make(&nothing, floating[t], "0", (const double[]){0});
        check(&(call){"scatter", {&x, &index, &src}, 3, 1, dim, 1}, 0);
        check(&(call){"index_copy", {&x, &index, &src}, 3, 1, dim, 1}, 0);
        check(&(call){"masked_select", {&x, &mask}, 2, 1, NULL, 0}, 0);
        check(&(call){"masked_scatter", {&x, &mask, &src}, 3, 1, NULL, 0}, 0);
        check(&(call){"nll_loss", {&rows, &label, NULL}, 3, 2, ignore, 2}, 0);
        refused(&(call){"masked_scatter", {&x, &mask, &nothing}, 3, 1, NULL, 0}, "index 1");
        et_clear(&x, &src, &index, &mask, &label, &rows, &nothing);
    }
}

/* Running values over lines of every length around powers of two, and the places of ties in them. */
static void scans_of_any_length(void **state) {
    (void)state;
    const dl_attr dim[] = {INT(0)};
    for (int64_t n = 1; n < 2200; n = n < 20 || n % 32 > 29 || n % 32 < 3 ? n + 1 : n * 5 / 4) {
        dl_tensor x = {0};
        double values[2750];
        char shape[8];
        for (int64_t k = 0; k < n; k++) values[k] = (double)(k * 7 % 5) - 1.5;
        snprintf(shape, sizeof shape, "%d", (int)n);
        et_make(&x, DL_F64, shape, values);
        check(&(call){"cumsum", {&x}, 1, 1, dim, 1}, 1e-12);
        check(&(call){"cumprod", {&x}, 1, 1, dim, 1}, 1e-12);
        check(&(call){"cummax", {&x}, 1, 2, dim, 1}, 0);
        check(&(call){"cummin", {&x}, 1, 2, dim, 1}, 0);
        et_clear(&x);
    }
}

/* ---- refusals ----------------------------------------------------------------------------------------------------------- */

static void bad_indices(void **state) {
    (void)state;
    dl_tensor x = {0}, index = {0}, label = {0}, fraction = {0}, scores = {0}, mask = {0}, two = {0}, rows = {0};
    const dl_attr dim[] = {INT(0)}, classes[] = {INT(3)};
    et_random(&x, DL_F32, "4", 1);
    et_random(&two, DL_F32, "2", 1);
    et_make(&index, DL_I64, "2", (const double[]){1, 4});
    et_make(&label, DL_I64, "2", (const double[]){0, 3});
    et_make(&fraction, DL_F32, "2", (const double[]){0, 1.5});
    et_random(&scores, DL_F32, "2,3", 1);
    et_make(&mask, DL_BOOL, "4", (const double[]){1, 1, 0, 1});
    refused(&(call){"index_select", {&x, &index}, 2, 1, dim, 1}, "index 4");
    refused(&(call){"index_add", {&x, &index, &two}, 3, 1, dim, 1}, "index 4");
    refused(&(call){"index_copy", {&x, &index, &two}, 3, 1, dim, 1}, "index 4");
    refused(&(call){"scatter", {&x, &index, &two}, 3, 1, dim, 1}, "index 4");
    refused(&(call){"one_hot", {&label}, 1, 1, classes, 1}, "index 3");
    refused(&(call){"nll_loss", {&scores, &label, NULL}, 3, 2, NULL, 0}, "index 3");
    refused(&(call){"nll_loss", {&scores, &fraction, NULL}, 3, 2, NULL, 0}, "index 3"); /* as many as there are classes */
    refused(&(call){"masked_scatter", {&x, &mask, &two}, 3, 1, NULL, 0}, "index 2");
    et_random(&rows, DL_F32, "4,3", 1);
    refused(&(call){"index_select", {&rows, &index}, 2, 1, dim, 1},
            "index 4 at position 1"); /* of the index, not of all elements */
    et_clear(&x, &index, &label, &fraction, &scores, &mask, &two, &rows);
}

static void sizes_that_depend_on_data(void **state) {
    (void)state;
    dl_tensor x = {0}, given = {0}, out = {0}, *outs[] = {&given};
    const dl_tensor *in[] = {&x};
    dl_capture *step = NULL;
    et_make(&x, DL_F32, "3", (const double[]){0, 1, 2});
    et_make(&given, DL_I64, "2,1", (const double[]){0, 0});
    dl_set_primitives_only(1);
    assert_fails(dl_call(dl_op_find("nonzero"), in, 1, outs, 1, NULL, 0), DL_INVALID, "depends on the data");
    assert_ok(dl_capture_begin());
    et_call("nonzero", &out, IN(&x), NONE);
    assert_fails(dl_capture_end(&step), DL_UNSUPPORTED, "depends on data");
    dl_set_primitives_only(0);
    EXPECT(&out, 1, 2);
    et_clear(&x, &given, &out);
}

/* ---- optimizers --------------------------------------------------------------------------------------------------------- */

enum { STATES = 2, PARAMETERS = 2, TENSORS = (2 + STATES) * PARAMETERS + 1 };

static void make_step(dl_tensor *t, int32_t lists, dl_dtype type, dl_dtype counter, int absent) {
    static const char *const shapes[PARAMETERS] = {"5", "2,3"};
    for (int32_t l = 0; l < lists; l++)
        for (int32_t k = 0; k < PARAMETERS; k++) {
            dl_tensor *a = &t[l * PARAMETERS + k];
            if (l == lists - 1 && absent) continue;
            et_random(a, type, shapes[k], (uint64_t)(l * PARAMETERS + k + 1));
            if (l > 1)
                assert_ok(dl_call(dl_op_find("square"), (const dl_tensor *[]){a}, 1, &a, 1, NULL, 0)); /* a mean of squares */
        }
    et_make(&t[lists * PARAMETERS], counter, "1", (const double[]){0});
}

static void check_steps(const char *op, int32_t lists, const dl_attr *attr, int32_t n, dl_dtype type, dl_dtype counter,
                        int absent) {
    dl_tensor kernel[TENSORS] = {0}, composed[TENSORS] = {0};
    const int32_t count = lists * PARAMETERS + 1;
    const double tolerance = type == DL_F16 ? 4e-3 : type == DL_F32 || counter == DL_F32 ? 1e-5 : 1e-12;
    make_step(kernel, lists, type, counter, absent);
    make_step(composed, lists, type, counter, absent);
    for (int round = 0; round < 3; round++) {
        const dl_tensor *a[TENSORS], *b[TENSORS];
        for (int32_t k = 0; k < count; k++) {
            a[k] = kernel[k].storage ? &kernel[k] : NULL;
            b[k] = composed[k].storage ? &composed[k] : NULL;
        }
        assert_ok(dl_call(dl_op_find(op), a, count, NULL, 0, attr, n));
        const int64_t version = dl_storage_version(composed[0].storage);
        dl_set_primitives_only(1);
        assert_ok(dl_call(dl_op_find(op), b, count, NULL, 0, attr, n));
        dl_set_primitives_only(0);
        assert_true(dl_storage_version(composed[0].storage) > version);
        for (int32_t k = 0; k < count; k++)
            if (a[k]) expect_same(op, b[k], a[k], tolerance);
    }
    for (int32_t k = 0; k < count; k++) et_clear(&kernel[k], &composed[k]);
}

static void optimizer_steps(void **state) {
    (void)state;
    const dl_dtype counters[] = {DL_F64, DL_F32, DL_F32};
    for (size_t t = 0; t < 3; t++) {
        const dl_dtype type = floating[t], counter = counters[t];
        const dl_attr plain[] = {REAL(0.1)}, momentum[] = {REAL(0.1), REAL(0.9), REAL(0.1), REAL(0.01)},
                      nesterov[] = {REAL(0.1), REAL(0.9), REAL(0), REAL(0.01), INT(1)},
                      adam[] = {REAL(0.01), REAL(0.9), REAL(0.999), REAL(1e-8), REAL(0.1)},
                      adamw[] = {REAL(0.01), REAL(0), REAL(0.999), REAL(1e-8), REAL(0.1), INT(1)},
                      rms[] = {REAL(0.01), REAL(0.99), REAL(1e-8), REAL(0.1), REAL(0.5)};
        check_steps("sgd", 3, plain, 1, type, counter, 1);
        check_steps("sgd", 3, momentum, 4, type, counter, 0);
        check_steps("sgd", 3, nesterov, 5, type, counter, 0);
        check_steps("adam", 4, adam, 5, type, counter, 0);
        check_steps("adam", 4, adamw, 6, type, counter, 0);
        check_steps("rmsprop", 4, rms, 5, type, counter, 0);
        check_steps("rmsprop", 4, plain, 1, type, counter, 1);
    }
}

/* A captured composition draws anew and counts steps at every replay, as calls would. */
static void captured_steps(void **state) {
    (void)state;
    dl_tensor p[2] = {0}, x = {0}, step[2] = {0}, y = {0}, mask = {0}, *out[] = {&y, &mask};
    dl_capture *capture = NULL;
    const dl_attr half[] = {REAL(0.5)}, rate[] = {REAL(0.1)};
    et_random(&x, DL_F32, "40", 5);
    for (int k = 0; k < 2; k++) {
        et_random(&p[k], DL_F32, "40", 6);
        et_make(&step[k], DL_F32, "1", (const double[]){0});
    }
    dl_set_primitives_only(1);
    for (int k = 0; k < 2;
         k++) { /* parameters move by what dropout lets through: three calls, then one captured and replayed */
        dl_seed(9);
        for (int round = 0; round < (k ? 1 : 3); round++) {
            if (k) assert_ok(dl_capture_begin());
            assert_ok(dl_call(dl_op_find("dropout"), (const dl_tensor *[]){&x}, 1, out, 2, half, 1));
            assert_ok(dl_call(dl_op_find("sgd"), (const dl_tensor *[]){&p[k], &y, NULL, &step[k]}, 4, NULL, 0, rate, 1));
            if (k) assert_ok(dl_capture_end(&capture));
            et_clear(&y, &mask);
        }
    }
    for (int round = 0; round < 2; round++) assert_ok(dl_capture_replay(capture));
    dl_set_primitives_only(0);
    et_same_bits(&p[1], &p[0]);
    assert_true(et_value(&step[1]) == 3);
    dl_capture_free(capture);
    et_clear(&p[0], &p[1], &step[0], &step[1], &x);
}

/* ---- products of integers ----------------------------------------------------------------------------------------------- */

/* The CPU's gemm takes integers, so gemm's own composition is called by hand. */
static void integer_products(void **state) {
    (void)state;
    const dl_dtype types[] = {DL_I64, DL_I32, DL_I16, DL_I8, DL_U8};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        dl_tensor a = {0}, b = {0}, expected = {0}, got = {0}, *out = &expected;
        dl_graph g;
        double values[30];
        for (int k = 0; k < 30; k++) values[k] = types[t] == DL_U8 ? k * 9 : k * 8 - 120;
        et_make(&a, types[t], "2,3,5", values);
        et_make(&b, types[t], "2,5,3", values);
        et_call("gemm", &expected, IN(&a, &b), NONE);
        dl_frame frame = {.size = sizeof frame, .n_in = 2, .n_out = 1, .in = (const dl_tensor *[]){&a, &b}, .out = &out};
        assert_ok(dl_graph_open(&g, &frame, NULL, NULL));
        g.op = dl_op_named("gemm");
        assert_ok(g.op->def.compose(&g, &frame));
        assert_ok(dl_graph_take(&g, 0, &got));
        dl_graph_close(&g);
        et_same_bits(&got, &expected);
        et_clear(&a, &b, &expected, &got);
    }
}

/* ---- the switch --------------------------------------------------------------------------------------------------------- */

static void switch_of_the_thread(void **state) {
    (void)state;
    dl_tensor x = {0}, out[2] = {0}, *outs[] = {&out[0], &out[1]};
    const dl_attr dim[] = {INT(0)};
    et_random(&x, DL_F32, "5", 1);
    assert_int_equal(dl_set_primitives_only(1), 0);
    assert_int_equal(dl_set_primitives_only(1), 1);
    assert_fails(dl_call(dl_op_find("sort"), (const dl_tensor *[]){&x}, 1, outs, 2, dim, 1), DL_UNSUPPORTED,
                 "no composition covers it");
    assert_int_equal(dl_set_primitives_only(0), 1);
    assert_ok(dl_call(dl_op_find("sort"), (const dl_tensor *[]){&x}, 1, outs, 2, dim, 1));
    et_clear(&x, &out[0], &out[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_values), cmocka_unit_test(replaced_and_masked), cmocka_unit_test(scans_of_any_length),
        cmocka_unit_test(bad_indices),    cmocka_unit_test(optimizer_steps),     cmocka_unit_test(sizes_that_depend_on_data),
        cmocka_unit_test(captured_steps), cmocka_unit_test(integer_products),    cmocka_unit_test(switch_of_the_thread),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
