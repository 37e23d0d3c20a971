/* The rows of pointwise.def: they parse at every type their rule allows, their values at awkward places; type rules,
 * signatures, the printed C. */
#include "prog_support.h"
#include <math.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>

static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16, DL_U8, DL_I8, DL_I16, DL_I32, DL_I64};

static void rows_parse_at_every_type(void **state) {
    (void)state;
    for (int32_t r = 0; r < dl_pointwise_row_count; r++) {
        const dl_pointwise_row *row = &dl_pointwise_rows[r];
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            char names[DL_EXPR_NAMES];
            dl_expr e;
            dl_prog *p;
            dl_dtype compute, out;
            if (dl_rule_types(row->rule, types[t], &compute, &out) != DL_OK) {
                assert_true(strcmp(row->rule, "int") == 0 || strcmp(row->rule, "random") == 0);
                continue;
            }
            assert_ok(dl_expr_of(row->sig, row->rule, row->expr, types[t], names, &e));
            assert_ok(dl_prog_parse(&e, &p));
            assert_int_equal(p->ins[p->out[0]].type, out == DL_F16 || out == DL_BF16 ? DL_F32 : out);
            assert_int_equal(p->n_in, e.n_in);
            /* an argument that no result depends on is a mistake, but for tests of integers and what fills new tensors */
            const int fills =
                strcmp(row->rule, "random") == 0 || strncmp(row->sig, "fill(", 5) == 0 || strncmp(row->sig, "ramp(", 5) == 0;
            for (int32_t k = 0; k < e.n_in; k++)
                if (strcmp(row->rule, "compare") != 0 && !fills && !dl_prog_reads(p, k))
                    fail_msg("%s does not read %s", e.name, e.in_name[k]);
            dl_prog_free(p);
        }
    }
}

/* Bool has no differences, quotients or negatives; everything else works. */
static void rows_at_bool(void **state) {
    (void)state;
    static const char *const refused[] = {"sub",
                                          "rsub",
                                          "idiv",
                                          "floor_divide",
                                          "fmod",
                                          "remainder",
                                          "pow",
                                          "sub_scalar",
                                          "rsub_scalar",
                                          "idiv_scalar",
                                          "fmod_scalar",
                                          "neg",
                                          "floor_divide_scalar",
                                          "round_away",
                                          "frac",
                                          "shift_left",
                                          "shift_right",
                                          "pow_scalar",
                                          "rpow_scalar",
                                          "remainder_scalar",
                                          "shift_left_scalar",
                                          "shift_right_scalar",
                                          "squared_error",
                                          "absolute_error"};
    for (int32_t r = 0; r < dl_pointwise_row_count; r++) {
        const dl_pointwise_row *row = &dl_pointwise_rows[r];
        char names[DL_EXPR_NAMES];
        dl_expr e;
        dl_prog *p;
        if (strcmp(row->rule, "random") == 0) continue;
        assert_ok(dl_expr_of(row->sig, row->rule, row->expr, DL_BOOL, names, &e));
        bool expected = true;
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) expected &= strcmp(refused[k], e.name) != 0;
        bool parsed = dl_prog_parse(&e, &p) == DL_OK;
        if (parsed != expected) fail_msg("%s at bool: %s", e.name, parsed ? "not refused" : dl_last_error());
        dl_prog_free(p);
    }
}

/* A row's value for one or more inputs, then attributes, at a common type. */
static double value(const char *name, dl_dtype type, const double *in, const double *attr) {
    const dl_pointwise_row *row = prog_row(name);
    char names[DL_EXPR_NAMES];
    dl_expr e;
    dl_prog *p;
    assert_ok(dl_expr_of(row->sig, row->rule, row->expr, type, names, &e));
    assert_ok(dl_prog_parse(&e, &p));
    double y = prog_value_attr(p, in, e.n_in, attr, e.n_attr);
    dl_prog_free(p);
    return y;
}

static void values(void **state) {
    (void)state;
    static const struct {
        const char *row;
        dl_dtype type;
        double in[3], attr[2], expected;
    } cases[] = {
        {"add", DL_U8, {200, 100}, {1}, 44},
        {"add", DL_BOOL, {1, 1}, {1}, 1},
        {"mul", DL_BOOL, {1, 0}, {0}, 0},
        {"sub", DL_I8, {-100, 100}, {1}, 56},
        {"div", DL_I32, {7, 2}, {0}, 3.5},
        {"idiv", DL_I32, {-7, 2}, {0}, -3},
        {"idiv", DL_I32, {INT32_MIN, -1}, {0}, INT32_MIN},
        {"idiv", DL_F64, {-7, 2}, {0}, -3},
        {"idiv", DL_F64, {1, 0}, {0}, INFINITY},
        {"floor_divide", DL_I32, {-7, 2}, {0}, -4},
        {"floor_divide", DL_I32, {-8, 2}, {0}, -4},
        {"floor_divide", DL_F64, {-7, 2}, {0}, -4},
        {"floor_divide", DL_F64, {1, 0.1}, {0}, 9},
        {"fmod", DL_F64, {-7, 3}, {0}, -1},
        {"fmod", DL_F64, {1e20, 3}, {0}, 1},
        {"remainder", DL_F64, {-7, 3}, {0}, 2},
        {"remainder", DL_F64, {7, -3}, {0}, -2},
        {"remainder", DL_I64, {-7, 3}, {0}, 2},
        {"remainder_scalar", DL_I64, {-6}, {3}, 0},
        {"pow", DL_I32, {2, 10}, {0}, 1024},
        {"pow", DL_I32, {2, -1}, {0}, 0},
        {"pow", DL_I32, {-1, -3}, {0}, -1},
        {"pow", DL_F64, {-8, 1.0 / 3}, {0}, NAN},
        {"pow_scalar", DL_F64, {NAN}, {0}, 1},
        {"maximum", DL_F64, {NAN, 1}, {0}, NAN},
        {"maximum", DL_F64, {1, NAN}, {0}, NAN},
        {"fmax", DL_F64, {NAN, 1}, {0}, 1},
        {"fmin", DL_F64, {1, NAN}, {0}, 1},
        {"fmin", DL_F64, {NAN, NAN}, {0}, NAN},
        {"hypot", DL_F64, {3e200, 4e200}, {0}, 5e200},
        {"hypot", DL_F64, {-INFINITY, 1}, {0}, INFINITY},
        {"hypot", DL_F64, {0, 0}, {0}, 0},
        {"lerp", DL_F64, {1, 1e16}, {1}, 1e16},
        {"addcmul", DL_F64, {1, 2, 3}, {10}, 61},
        {"addcdiv", DL_F64, {1, 6, 3}, {10}, 21},
        {"xlogy", DL_F64, {0, 0}, {0}, 0},
        {"xlogy", DL_F64, {0, NAN}, {0}, NAN},
        {"logaddexp", DL_F64, {1000, 1000}, {0}, 1000.6931471805599453},
        {"logaddexp", DL_F64, {-INFINITY, -INFINITY}, {0}, -INFINITY},
        {"logaddexp", DL_F64, {-INFINITY, 3}, {0}, 3},
        {"clamp", DL_F64, {5}, {3, 1}, 1},
        {"clamp", DL_I32, {5}, {-1, 3}, 3},
        {"clamp", DL_F64, {NAN}, {-1, 3}, NAN},
        {"sign", DL_I8, {-5}, {0}, -1},
        {"sign", DL_U8, {5}, {0}, 1},
        {"sign", DL_F64, {-0.0}, {0}, 0},
        {"round", DL_F64, {2.5}, {0}, 2},
        {"round", DL_I32, {3}, {0}, 3},
        {"frac", DL_F64, {-1.25}, {0}, -0.25},
        {"exp", DL_I32, {0}, {0}, 1},
        {"log10", DL_F64, {100}, {0}, 2},
        {"asinh", DL_F64, {1e-9}, {0}, 1e-9},
        {"asinh", DL_F64, {-1e200}, {0}, -461.21016577936911},
        {"acosh", DL_F64, {1e200}, {0}, 461.21016577936911},
        {"acosh", DL_F64, {0.5}, {0}, NAN},
        {"atanh", DL_F64, {-1}, {0}, -INFINITY},
        {"atanh", DL_F64, {1e-12}, {0}, 1e-12},
        {"erfc", DL_F64, {10}, {0}, 2.0884875837625447570e-45},
        {"digamma", DL_F64, {0.5}, {0}, -1.9635100260214234794},
        {"digamma", DL_F64, {-1.5}, {0}, 0.70315664064524318723},
        {"digamma", DL_F64, {-2}, {0}, NAN},
        {"isnan", DL_F64, {NAN}, {0}, 1},
        {"isnan", DL_I32, {3}, {0}, 0},
        {"isinf", DL_F64, {-INFINITY}, {0}, 1},
        {"isinf", DL_F64, {NAN}, {0}, 0},
        {"isinf", DL_BOOL, {1}, {0}, 0},
        {"isfinite", DL_F64, {1e308}, {0}, 1},
        {"isfinite", DL_F64, {INFINITY}, {0}, 0},
        {"isfinite", DL_I64, {5}, {0}, 1},
        {"ne", DL_F64, {NAN, NAN}, {0}, 1},
        {"eq_scalar", DL_BOOL, {1}, {1}, 1},
        {"ge_scalar", DL_U8, {0}, {0}, 1},
        {"logical_xor", DL_F64, {1, 1}, {0}, 0},
        {"logical_not", DL_I32, {0}, {0}, 1},
        {"bit_not", DL_BOOL, {1}, {0}, 0},
        {"bit_xor", DL_I16, {5, 3}, {0}, 6},
        {"shift_left", DL_I32, {1, 33}, {0}, 2},
        {"shift_right", DL_I8, {-128, 7}, {0}, -1},
        {"where", DL_I32, {1, 7, 8}, {0}, 7},
        {"where", DL_BOOL, {0, 1, 0}, {0}, 0},
        {"masked_fill", DL_U8, {3, 1}, {300}, 44},
        {"relu", DL_F64, {NAN}, {0}, NAN},
        {"relu", DL_I8, {-3}, {0}, 0},
        {"leaky_relu", DL_F64, {-2}, {0.5}, -1},
        {"gelu", DL_F64, {1}, {0}, 0.84134474606854294859},
        {"gelu_tanh", DL_F64, {1}, {0}, 0.84119199060827676},
        {"sigmoid", DL_F64, {-1000}, {0}, 0},
        {"log_sigmoid", DL_F64, {-1000}, {0}, -1000},
        {"softplus", DL_F64, {30}, {1, 20}, 30},
        {"mish", DL_F64, {1000}, {0}, 1000},
        {"softshrink", DL_F64, {NAN}, {0.5}, NAN},
        {"hardsigmoid", DL_F64, {0}, {0}, 0.5},
        {"hardswish", DL_F64, {1}, {0}, 2.0 / 3},
        {"threshold", DL_F64, {1}, {1, -5}, -5},
        {"huber", DL_F64, {3, 0}, {2}, 4},
        {"smooth_l1", DL_F64, {3, 0}, {2}, 2},
        {"smooth_l1", DL_F64, {3, 0}, {0}, 3},
        {"bce", DL_F64, {0, 1}, {0}, 100},
        {"bce", DL_F64, {1, 1}, {0}, 0},
        {"bce_with_logits", DL_F64, {-1000, 1}, {0}, 1000},
        {"bce_with_logits", DL_F64, {1000, 1}, {0}, 0},
        {"kl_div", DL_F64, {-3, 0}, {0}, 0},
        {"kl_div", DL_F64, {-1, -2}, {1}, -0.13533528323661270},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double y = value(cases[k].row, cases[k].type, cases[k].in, cases[k].attr), expected = cases[k].expected;
        bool same = y == expected || (y != y && expected != expected) || fabs(y - expected) <= 2e-15 * fabs(expected);
        if (!same) fail_msg("%s(%g, %g): expected %.17g, got %.17g", cases[k].row, cases[k].in[0], cases[k].in[1], expected, y);
    }
}

static void type_rules(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        dl_dtype common, compute, out;
    } cases[] = {
        {"arith", DL_I16, DL_I16, DL_I16},    {"arith", DL_F16, DL_F32, DL_F16},  {"float", DL_I64, DL_F32, DL_F32},
        {"float", DL_BOOL, DL_F32, DL_F32},   {"float", DL_F64, DL_F64, DL_F64},  {"float", DL_BF16, DL_F32, DL_BF16},
        {"compare", DL_F16, DL_F32, DL_BOOL}, {"logic", DL_I8, DL_BOOL, DL_BOOL}, {"int", DL_BOOL, DL_BOOL, DL_BOOL},
        {"same", DL_U8, DL_U8, DL_U8},
    };
    dl_dtype compute, out;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_ok(dl_rule_types(cases[k].rule, cases[k].common, &compute, &out));
        assert_int_equal(compute, cases[k].compute);
        assert_int_equal(out, cases[k].out);
    }
    assert_int_equal(dl_rule_types("int", DL_F16, &compute, &out), DL_INVALID);
    assert_non_null(strstr(dl_last_error(), "float16"));
    assert_int_equal(dl_rule_types("arithmetic", DL_F32, &compute, &out), DL_INVALID);
    assert_int_equal(dl_rule_types("arith", DL_DTYPE_COUNT, &compute, &out), DL_INVALID);
}

static void signatures(void **state) {
    (void)state;
    char names[DL_EXPR_NAMES];
    dl_expr e;
    assert_ok(dl_expr_of("acme::f(Tensor x, Tensor:int64 i, float k=0.5,int n) -> Tensor", "float", "x", DL_I8, names, &e));
    assert_string_equal(e.name, "acme::f");
    assert_int_equal(e.n_in, 2);
    assert_int_equal(e.n_attr, 2);
    assert_string_equal(e.in_name[1], "i");
    assert_int_equal(e.in_type[0], DL_F32);
    assert_int_equal(e.in_type[1], DL_I64);
    assert_string_equal(e.attr_name[0], "k");
    assert_string_equal(e.attr_name[1], "n");
    static const char *const bad[] = {"f", "f(", "f(Tensor)", "f(Tensor a, )", "f)("};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        if (dl_expr_of(bad[k], "float", "x", DL_F32, names, &e) != DL_INVALID) fail_msg("%s was not refused", bad[k]);
    assert_int_equal(dl_expr_of("f(Tensor a,Tensor b,Tensor c,Tensor d,Tensor e,Tensor f,Tensor g,Tensor h,Tensor i)", "float",
                                "a", DL_F32, names, &e),
                     DL_INVALID);
    char lengthy[2 * DL_EXPR_NAMES];
    memset(lengthy, 'n', sizeof lengthy);
    strcpy(lengthy + DL_EXPR_NAMES, "(Tensor x)");
    assert_int_equal(dl_expr_of(lengthy, "float", "x", DL_F32, names, &e), DL_INVALID);
}

static void no_two_rows_share_a_name(void **state) {
    (void)state;
    for (int32_t r = 0; r < dl_pointwise_row_count; r++) {
        char name[64];
        size_t n = strcspn(dl_pointwise_rows[r].sig, "(");
        assert_true(n < sizeof name);
        memcpy(name, dl_pointwise_rows[r].sig, n);
        name[n] = 0;
        if (prog_row(name) != &dl_pointwise_rows[r]) fail_msg("two rows are called %s", name);
        assert_true(strlen(dl_pointwise_rows[r].doc) >= 3);
    }
}

static void printed_c(void **state) {
    (void)state;
    static const struct {
        const char *text;
        dl_dtype type;
        const char *printed;
    } cases[] = {
        {"a + p*b", DL_F32, "const float v3 = x1 * a0;\nconst float v4 = x0 + v3;\nconst float y0 = v4;\n"},
        {"a*0.75", DL_F32, "const float v2 = x0 * 0x3p-2f;\nconst float y0 = v2;\n"},
        {"a > b ? exp(a) : -inf", DL_F64,
         "const _Bool v2 = x1 < x0;\nconst double v3 = dl_exp_f64(x0);\nconst double v5 = v2 ? v3 : (double)-INFINITY;\nconst "
         "double y0 = v5;\n"},
        {"idiv(a, b) - 1", DL_I32,
         "const int32_t v2 = dl_idiv_i32(x0, x1, fault);\nconst int32_t v4 = (int32_t)((uint32_t)v2 - "
         "(uint32_t)(int32_t)1);\nconst int32_t y0 = v4;\n"},
        {"int8(a)", DL_F32, "const int8_t v1 = dl_cast_i8_f32(x0);\nconst float v2 = (float)v1;\nconst float y0 = v2;\n"},
        {"~a & b", DL_U8, "const uint8_t v2 = (uint8_t)~x0;\nconst uint8_t v3 = (uint8_t)(x1 & v2);\nconst uint8_t y0 = v3;\n"},
        {"index", DL_I64, "const int64_t y0 = idx;\n"},
        {"nan", DL_F32, "const float y0 = (float)NAN;\n"},
        {"as_u32(a) >> 3", DL_F32,
         "const uint32_t v1 = dl_bitcast_u32_f32(x0);\nconst uint32_t v3 = dl_shr_u32(v1, (uint32_t)3u);\nconst float v4 = "
         "(float)v3;\nconst float y0 = v4;\n"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        dl_prog *p = prog_parse(cases[k].text, cases[k].type);
        char text[512], small[8];
        assert_int_equal(dl_prog_print_c(p, text, sizeof text), strlen(cases[k].printed));
        assert_string_equal(text, cases[k].printed);
        assert_int_equal(dl_prog_print_c(p, small, sizeof small), strlen(cases[k].printed));
        assert_int_equal(strlen(small), sizeof small - 1);
        dl_prog_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_parse_at_every_type),
        cmocka_unit_test(rows_at_bool),
        cmocka_unit_test(values),
        cmocka_unit_test(type_rules),
        cmocka_unit_test(signatures),
        cmocka_unit_test(no_two_rows_share_a_name),
        cmocka_unit_test(printed_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
