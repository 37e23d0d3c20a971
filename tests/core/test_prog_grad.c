/* Gradients: of every row, and of their gradients, against central differences in f64; what happens at kinks; chains of
 * programs. */
#include "prog_support.h"
#include <math.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>

/* ---- every row against differences ---------------------------------------------------------------------------------- */

/* Attributes without a default, by name; kinks lie at none of the grid's points. */
static double attribute(const char *name) {
    static const struct {
        const char *name;
        double value;
    } values[] = {{"alpha", 1.25},    {"value", 0.65}, {"weight", 0.3}, {"min", -1.3},  {"max", 1.9},
                  {"exponent", 2.5},  {"base", 1.7},   {"slope", 0.2},  {"beta", 1.4},  {"lambda", 0.5},
                  {"threshold", 0.7}, {"a", 1.5},      {"b", -0.5},     {"delta", 1.2}, {"log_target", 0}};
    for (size_t k = 0; k < sizeof values / sizeof *values; k++)
        if (strcmp(values[k].name, name) == 0) return values[k].value;
    fail_msg("no value for the attribute %s: add one above", name);
    return 0;
}

enum { GRID = 9 };
static const double grid[GRID] = {-2.31, -1.07, -0.43, 0.27, 0.55, 0.82, 1.61, 2.23, 3.37};

typedef struct point {
    double in[DL_PROG_MAX_ARGS], attr[DL_PROG_MAX_ATTR];
    int32_t n_in, n_attr;
} point;

static double at(const dl_prog *p, point *x) { return prog_value_attr(p, x->in, x->n_in, x->attr, x->n_attr); }

/* The central difference by input k; false where there is no telling: outside the domain, or a kink between the points. */
static bool difference(const dl_prog *p, point x, int32_t k, double *out) {
    double centre = x.in[k], h = 1e-5 * (1 + fabs(centre)), here = at(p, &x);
    x.in[k] = centre + h;
    double above = at(p, &x);
    x.in[k] = centre - h;
    double below = at(p, &x);
    *out = (above - below) / (2 * h);
    double forward = (above - here) / h, backward = (here - below) / h;
    return isfinite(*out) && fabs(forward - backward) < 1e-2 * (1 + fabs(*out));
}

static bool close_to(double got, double expected) { return fabs(got - expected) <= 2e-6 * (1 + fabs(expected)); }

/* All points of the grid; different inputs are shifted so that they never tie. */
static void point_number(int32_t number, const dl_expr *e, point *x) {
    x->n_in = e->n_in;
    x->n_attr = e->n_attr;
    for (int32_t k = 0; k < e->n_in; k++, number /= GRID) {
        x->in[k] = grid[number % GRID] + 0.013 * k;
        if (e->in_type[k] == DL_BOOL) x->in[k] = number % 2;
    }
    for (int32_t k = 0; k < e->n_attr; k++) x->attr[k] = attribute(e->attr_name[k]);
}

static int32_t points_of(const dl_expr *e) {
    int32_t n = 1;
    for (int32_t k = 0; k < e->n_in; k++) n *= GRID;
    return n;
}

/* The gradient program's point for a forward point: (g, in..., out). */
static point gradient_point(const dl_prog *p, point *x, double g) {
    point y = *x;
    y.in[0] = g;
    memcpy(&y.in[1], x->in, (size_t)x->n_in * sizeof *x->in);
    y.in[x->n_in + 1] = at(p, x);
    y.n_in = x->n_in + 2;
    return y;
}

/* The second derivatives of the gradient program `first`, by each of its own inputs, at one point. Returns how many were
 * compared. */
static int check_second(const dl_expr *e, const dl_prog *first, dl_prog *const *second, point y) {
    int compared = 0;
    for (int32_t j = 0; j < y.n_in; j++) {
        double expected;
        if (!second[j] || !difference(first, y, j, &expected)) continue;
        point z = gradient_point(first, &y, 1);
        double got = at(second[j], &z);
        if (!close_to(got, expected))
            fail_msg("%s: second derivative by %d at (%g, %g, %g): expected %g, got %g", e->name, j, y.in[1], y.in[2], y.in[3],
                     expected, got);
        compared++;
    }
    return compared;
}

static void check_input(const dl_expr *e, const char *grads, const dl_prog *forward, int32_t k) {
    dl_prog *gradient, *second[DL_PROG_MAX_ARGS] = {NULL};
    assert_ok(dl_expr_grad(e, grads, k, &gradient));
    for (int32_t j = 0; j < e->n_in + 2; j++)
        if (gradient->in_type[j] == DL_F64 && strcmp(e->name, "digamma") != 0) assert_ok(dl_prog_grad(gradient, j, &second[j]));
    int first_order = 0, second_order = 0;
    for (int32_t n = 0; n < points_of(e); n++) {
        point x;
        double expected;
        point_number(n, e, &x);
        if (!difference(forward, x, k, &expected)) continue;
        point y = gradient_point(forward, &x, 1.5);
        double got = at(gradient, &y);
        if (!close_to(got, 1.5 * expected))
            fail_msg("%s by %s at (%g, %g, %g): expected %.9g, got %.9g", e->name, e->in_name[k], x.in[0], x.in[1], x.in[2],
                     1.5 * expected, got);
        first_order++;
        second_order += check_second(e, gradient, second, y);
    }
    if (first_order < 3) fail_msg("%s by %s: compared at %d points only", e->name, e->in_name[k], first_order);
    if (second_order < 3 && strcmp(e->name, "digamma") != 0)
        fail_msg("%s by %s: %d second derivatives only", e->name, e->in_name[k], second_order);
    dl_prog_free(gradient);
    for (int32_t j = 0; j < e->n_in + 2; j++) dl_prog_free(second[j]);
}

static bool differentiable(const dl_pointwise_row *row) {
    return !(row->grads && !*row->grads) && strcmp(row->rule, "compare") != 0 && strcmp(row->rule, "logic") != 0 &&
           strcmp(row->rule, "int") != 0;
}

static void rows_agree_with_differences(void **state) {
    (void)state;
    for (int32_t r = 0; r < dl_pointwise_row_count; r++) {
        const dl_pointwise_row *row = &dl_pointwise_rows[r];
        if (!differentiable(row)) continue;
        char names[DL_EXPR_NAMES];
        dl_expr e;
        dl_prog *forward;
        assert_ok(dl_expr_of(row->sig, row->rule, row->expr, DL_F64, names, &e));
        assert_ok(dl_prog_parse(&e, &forward));
        for (int32_t k = 0; k < e.n_in; k++)
            if (e.in_type[k] == DL_F64) check_input(&e, row->grads, forward, k);
        dl_prog_free(forward);
    }
}

/* The f32 programs, which run, are the f64 ones, which the test above checks, in another type: as many instructions, same
 * values. */
static void both_floating_types_agree(void **state) {
    (void)state;
    for (int32_t r = 0; r < dl_pointwise_row_count; r++) {
        const dl_pointwise_row *row = &dl_pointwise_rows[r];
        if (!differentiable(row)) continue;
        char names[2][DL_EXPR_NAMES];
        dl_expr e[2];
        assert_ok(dl_expr_of(row->sig, row->rule, row->expr, DL_F64, names[0], &e[0]));
        assert_ok(dl_expr_of(row->sig, row->rule, row->expr, DL_F32, names[1], &e[1]));
        for (int32_t k = 0; k < e[0].n_in; k++) {
            dl_prog *wide, *narrow;
            if (e[0].in_type[k] == DL_BOOL) continue;
            assert_ok(dl_expr_grad(&e[0], row->grads, k, &wide));
            assert_ok(dl_expr_grad(&e[1], row->grads, k, &narrow));
            assert_int_equal(wide->n_ins, narrow->n_ins);
            for (int32_t n = 0; n < points_of(&e[0]); n += 3) {
                point x;
                point_number(n, &e[0], &x);
                memmove(&x.in[1], &x.in[0], sizeof x.in - sizeof *x.in);
                x.in[0] = 1;
                x.in[e[0].n_in + 1] = 0.4;
                x.n_in += 2;
                double a = at(wide, &x), b = at(narrow, &x);
                if (a == a && !(fabs(a - b) <= 1e-5 * (1 + fabs(a)))) fail_msg("%s: %g in f64, %g in f32", e[0].name, a, b);
            }
            dl_prog_free(wide);
            dl_prog_free(narrow);
        }
    }
}

/* ---- single programs ------------------------------------------------------------------------------------------------ */

/* The gradient by input k of an expression in a, b, c, at (a, b), with g = 1 and p = 1, q = 2. */
static double gradient_at(const char *text, int32_t k, double a, double b) {
    dl_prog *p = prog_parse(text, DL_F64), *g;
    const double attr[2] = {1, 2}, in[3] = {a, b, 0};
    assert_ok(dl_prog_grad(p, k, &g));
    const double full[5] = {1, a, b, 0, prog_value_attr(p, in, 3, attr, 2)};
    double y = prog_value_attr(g, full, 5, attr, 2);
    dl_prog_free(p);
    dl_prog_free(g);
    return y;
}

static void kinks_of_expressions(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int32_t k;
        double a, b, expected;
    } cases[] = {
        {"max(a, b)", 0, 2, 2, 0.5},
        {"max(a, b)", 1, 2, 2, 0.5},
        {"min(a, b)", 0, 2, 2, 0.5},
        {"max(a, b)", 0, NAN, 2, 1},
        {"max(a, b)", 0, 1, 2, 0},
        {"max(a, a)", 0, 1, 2, 1},
        {"abs(a)", 0, 0, 0, 0},
        {"abs(a)", 0, -3, 0, -1},
        {"a > 0 ? log(a) : 0", 0, 0, 0, 0}, /* 0 * inf would be NaN */
        {"sqrt(a > 0 ? a : 0)", 0, 0, 0, 0},
        {"sqrt(a > 0 ? a : 0)", 0, 4, 0, 0.25},
        {"a > 0 ? 1/a : a < -1 ? -1/a : 0", 0, 0, 0, 0},
        {"pow(a, b)", 0, 0, 0, 0},
        {"pow(a, b)", 1, 0, 2, 0},
        {"pow(a, b)", 1, 0, 0, 0},
        {"pow(a, b)", 0, 0, 1, 1},
        {"floor(a) + trunc(a) + round(a) + ceil(a)", 0, 1.3, 0, 0},
        {"a < b", 0, 1, 1, 0},
        {"idiv(a, b)", 0, 7, 2, 0},
        {"imod(a, b)", 1, 7, 2, -3},
        {"float64(float32(a)*2)", 0, 3, 0, 2},
        {"float64(int32(a))", 0, 3, 0, 0},
        {"fma(a, b, a)", 0, 3, 5, 6},
        {"b", 0, 3, 5, 0},
        {"recip(a)", 0, 4, 0, -0.0625},
        {"erfc(a)", 0, 0, 0, -1.1283791670955126},
        {"p*a*a*q", 0, 3, 0, 12},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double got = gradient_at(cases[k].text, cases[k].k, cases[k].a, cases[k].b);
        if (!(fabs(got - cases[k].expected) <= 1e-12))
            fail_msg("%s: expected %g, got %g", cases[k].text, cases[k].expected, got);
    }
}

/* PyTorch's conventions, at the kinks of rows. */
static void kinks_of_rows(void **state) {
    (void)state;
    static const struct {
        const char *row;
        double x, y, attr[2], expected;
    } cases[] = {
        {"relu", 0, 0, {0}, 0},
        {"relu", NAN, 0, {0}, 1},
        {"relu6", 6, 0, {0}, 0},
        {"clamp", -1, 0, {-1, 1}, 1},
        {"clamp", 1, 0, {-1, 1}, 1},
        {"clamp", 1.5, 0, {-1, 1}, 0},
        {"hardtanh", 1, 0, {-1, 1}, 0},
        {"clamp_min", 0, 0, {0}, 1},
        {"maximum_scalar", 2, 0, {2}, 0.5},
        {"maximum", 2, 2, {0}, 0.5},
        {"fmax", NAN, 2, {0}, 0},
        {"leaky_relu", 0, 0, {0.1}, 0.1},
        {"threshold", 1, 0, {1, 0}, 0},
        {"hardshrink", 0.5, 0, {0.5}, 0},
        {"softshrink", 0.5, 0, {0.5}, 0},
        {"hypot", 0, 0, {0}, 0},
        {"xlogy", 0, 0, {0}, 0},
        {"sqrt", 0, 0, {0}, INFINITY},
        {"bce", 0, 0, {0}, 0},
        {"bce", 0, 1, {0}, -1e12},
        {"log_sigmoid", 800, 0, {0}, 0},
        {"log_sigmoid", -800, 0, {0}, 1},
        {"softplus", -800, 0, {1, 20}, 0},
        {"mish", 800, 0, {0}, 1},
        {"silu", -800, 0, {0}, 0},
        {"logaddexp", -INFINITY, -INFINITY, {0}, 0.5},
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        const dl_pointwise_row *row = prog_row(cases[n].row);
        char names[DL_EXPR_NAMES];
        dl_expr e;
        dl_prog *forward, *gradient;
        assert_ok(dl_expr_of(row->sig, row->rule, row->expr, DL_F64, names, &e));
        assert_ok(dl_prog_parse(&e, &forward));
        assert_ok(dl_expr_grad(&e, row->grads, 0, &gradient));
        point x = {
            .in = {cases[n].x, cases[n].y}, .attr = {cases[n].attr[0], cases[n].attr[1]}, .n_in = e.n_in, .n_attr = e.n_attr};
        point y = gradient_point(forward, &x, 1);
        double got = at(gradient, &y), expected = cases[n].expected;
        if (got != expected && !(fabs(got - expected) <= 1e-12 * fabs(expected)))
            fail_msg("%s at %g: expected %g, got %g", cases[n].row, cases[n].x, expected, got);
        dl_prog_free(forward);
        dl_prog_free(gradient);
    }
}

/* Rows that modules run in place must not read what they overwrite. */
static void in_place_rows_read_only_the_result(void **state) {
    (void)state;
    static const char *const rows[] = {
        "relu", "relu6",    "leaky_relu_inplace", "elu_inplace", "selu", "celu",       "sigmoid", "tanh",
        "exp",  "hardtanh", "hardsigmoid",        "threshold",   "sqrt", "reciprocal", "rsqrt",   "expm1",
        "exp2", "tan",      "add_scalar",         "mul_scalar",  "neg"};
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        const dl_pointwise_row *row = prog_row(rows[n]);
        char names[DL_EXPR_NAMES];
        dl_expr e;
        dl_prog *gradient;
        assert_ok(dl_expr_of(row->sig, row->rule, row->expr, DL_F32, names, &e));
        assert_ok(dl_expr_grad(&e, row->grads, 0, &gradient));
        if (dl_prog_reads(gradient, 1)) fail_msg("the gradient of %s reads its input", rows[n]);
        dl_prog_free(gradient);
    }
}

static void refusals(void **state) {
    (void)state;
    dl_prog *p = prog_parse("a*b", DL_I32), *g = p;
    assert_int_equal(dl_prog_grad(p, 0, &g), DL_UNSUPPORTED);
    assert_non_null(strstr(dl_last_error(), "int32"));
    assert_null(g);
    assert_int_equal(dl_prog_grad(p, 3, &g), DL_INVALID);
    dl_prog_free(p);
    p = prog_parse("trigamma(a)", DL_F64);
    assert_int_equal(dl_prog_grad(p, 0, &g), DL_UNSUPPORTED);
    assert_ok(dl_prog_grad(p, 1, &g)); /* does not depend on b: zero */
    dl_prog_free(g);
    dl_prog_free(p);
    dl_expr e = prog_expr("a*b", DL_F32);
    assert_int_equal(dl_expr_grad(&e, "", 0, &g), DL_UNSUPPORTED);
    assert_int_equal(dl_expr_grad(&e, "a: g*b; d: g", 0, &g), DL_INVALID);
    assert_non_null(strstr(dl_last_error(), "column 9"));
    assert_int_equal(dl_expr_grad(&e, "a: g*b; b: g*", 1, &g), DL_INVALID);
    assert_non_null(strstr(dl_last_error(), "column 14"));
    assert_int_equal(dl_expr_grad(&e, "a g*b", 0, &g), DL_INVALID);
    assert_ok(dl_expr_grad(&e, "a: g*b*3", 1, &g)); /* b is derived */
    const double in[5] = {1, 7, 2, 0, 14};
    assert_float_equal(prog_value(g, in, 5), 7, 0);
    dl_prog_free(g);
}

/* Derivatives of derivatives until the inputs are too many; each is checked where it exists: d^n sin at 0.5. */
static void high_derivatives(void **state) {
    (void)state;
    dl_prog *p = prog_parse("sin(a)", DL_F64), *g;
    point x = {.in = {0.5}, .n_in = 3};
    int32_t by = 0, order = 0;
    while (dl_prog_grad(p, by, &g) == DL_OK) {
        x = gradient_point(p, &x, 1);
        order++;
        by++;
        assert_float_equal(at(g, &x), sin(0.5 + order * 1.57079632679489661923), 1e-12);
        dl_prog_free(p);
        p = g;
    }
    assert_non_null(strstr(dl_last_error(), "a further derivative"));
    assert_true(order == (DL_PROG_MAX_ARGS - 3) / 2);
    dl_prog_free(p);
}

/* ---- chains --------------------------------------------------------------------------------------------------------- */

static void chained_programs(void **state) {
    (void)state;
    dl_prog *first = prog_parse("a*p + b", DL_F64), *second = prog_parse("exp(b*q) - a*p + c", DL_F64), *both;
    assert_ok(dl_prog_chain(first, second, 1, &both));
    assert_int_equal(both->n_in, 5);
    assert_int_equal(both->n_attr, 4);
    const double in[5] = {0.5, 0.25, 9, 3, 4}, attr[4] = {2, 9, 7, 0.5};
    double middle = 0.5 * 2 + 0.25;
    assert_float_equal(prog_value_attr(both, in, 5, attr, 4), exp(middle * 0.5) - 3 * 7 + 4, 1e-12);
    dl_prog *g;
    assert_ok(dl_prog_grad(both, 0, &g)); /* exp(u q) q du/da */
    const double full[7] = {1, 0.5, 0.25, 9, 3, 4, 0};
    assert_float_equal(prog_value_attr(g, full, 7, attr, 4), exp(middle * 0.5) * 0.5 * 2, 1e-12);
    dl_prog_free(g);
    dl_prog_free(both);
    assert_int_equal(dl_prog_chain(first, second, 3, &both), DL_INVALID);
    assert_null(both);
    dl_prog_free(first);
    dl_prog_free(second);
}

static void chains_convert_between_types(void **state) {
    (void)state;
    dl_prog *first = prog_parse("a*2.5", DL_F32), *second = prog_parse("a + 1", DL_I32), *both;
    assert_ok(dl_prog_chain(first, second, 0, &both));
    const double in[5] = {3};
    assert_float_equal(prog_value(both, in, 5), 8, 0);
    dl_prog_free(both);
    dl_prog_free(first);
    dl_prog_free(second);
}

static void endless_chains_are_refused(void **state) {
    (void)state;
    dl_prog *p = prog_parse("a + b + c", DL_F32), *link = prog_parse("a + b + c", DL_F32), *longer;
    while (dl_prog_chain(p, link, 0, &longer) == DL_OK) {
        dl_prog_free(p);
        p = longer;
    }
    assert_non_null(strstr(dl_last_error(), "more than"));
    assert_true(p->n_in <= DL_PROG_MAX_ARGS && p->n_in + 2 > DL_PROG_MAX_ARGS);
    dl_prog_free(p);
    dl_prog_free(link);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_agree_with_differences),
        cmocka_unit_test(both_floating_types_agree),
        cmocka_unit_test(kinks_of_expressions),
        cmocka_unit_test(kinks_of_rows),
        cmocka_unit_test(in_place_rows_read_only_the_result),
        cmocka_unit_test(refusals),
        cmocka_unit_test(high_derivatives),
        cmocka_unit_test(chained_programs),
        cmocka_unit_test(chains_convert_between_types),
        cmocka_unit_test(endless_chains_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
