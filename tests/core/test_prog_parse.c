/* The grammar: values of expressions, types, refusals with their column, folding, sharing, hashes; text that is no expression.
 */
#include "core/mem.h"
#include "prog_support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static double value(const char *text, dl_dtype type) {
    dl_prog *p = prog_parse(text, type);
    const double in[3] = {7, 3, -2}, attr[2] = {2, 5};
    double y = prog_value_attr(p, in, 3, attr, 2);
    dl_prog_free(p);
    return y;
}

static void values(void **state) {
    (void)state;
    static const struct {
        const char *text;
        dl_dtype type;
        double expected;
    } cases[] = {
        {"a + b*c", DL_F64, 1},
        {"(a + b)*c", DL_F64, -20},
        {"a - b - c", DL_F64, 6},
        {"a / b / p", DL_F64, 7.0 / 3 / 2},
        {"-a*-b", DL_F64, 21},
        {"- - a", DL_F64, 7},
        {"!a", DL_F64, 0},
        {"!(a < b) && c", DL_F64, 1},
        {"a < b || c > 0", DL_F64, 0},
        {"a < b == b < a", DL_F64, 0},
        {"a != a", DL_F64, 0},
        {"a >= 7", DL_F64, 1},
        {"a > 7", DL_F64, 0},
        {"a > b ? b > c ? 1 : 2 : 3", DL_F64, 1},
        {"c > b ? 1 : a > b ? 2 : 3", DL_F64, 2},
        {"1/2", DL_F64, 0.5},
        {"1/2 + a", DL_F64, 7.5},
        {"2*3 - 4", DL_I32, 2},
        {"0x1F", DL_I32, 31},
        {"1.5e2", DL_F64, 150},
        {".5", DL_F64, 0.5},
        {"1e-3", DL_F64, 1e-3},
        {"0.7978845608028654", DL_F64, 0.7978845608028654},
        {"1.7976931348623157e308", DL_F64, 1.7976931348623157e308},
        {"pi", DL_F64, 3.14159265358979323846},
        {"log(e)", DL_F64, 1},
        {"-inf", DL_F64, -INFINITY},
        {"max(a, b) - min(a, c)", DL_F64, 9},
        {"fma(a, b, c)", DL_F64, 19},
        {"sel(a < b, a, b)", DL_F64, 3},
        {"square(a)", DL_F64, 49},
        {"round(a/2)", DL_F64, 4},
        {"idiv(a, c)", DL_I32, -3},
        {"imod(-a, b)", DL_I32, -1},
        {"imod(-a, b)", DL_F64, -1},
        {"a & b | 8", DL_I32, 11},
        {"~a", DL_I32, -8},
        {"xor(a, b)", DL_I16, 4},
        {"a << b", DL_I8, 56},
        {"c >> 1", DL_I64, -1},
        {"a << 33", DL_I32, 14},
        {"a + 250", DL_U8, 1},
        {"-a", DL_U8, 249},
        {"pow(a, b)", DL_I16, 343},
        {"pow(c, c)", DL_I32, 0},
        {"mulhi(a << 29, a << 29)", DL_I32, 67108864}, /* 7 << 29 wraps to -2^29 */
        {"float64(a) / 2", DL_F64, 3.5},
        {"int64(a / 2)", DL_F64, 3},
        {"int8(300.0*a)", DL_F64, 127},
        {"uint8(c)", DL_F64, 0},
        {"int32(nan)", DL_F64, 0},
        {"as_float64(as_int64(a))", DL_F64, 7},
        {"as_u32(float32(1))", DL_F64, 0x3f800000},
        {"u32(c)", DL_I32, -2}, /* 2^32 - 2 in the program, wrapped by the result's cast */
        {"u32(c) > u32(a)", DL_I32, 1},
        {"(a > b) + (b > c)", DL_F64, 2},
        {"(a > b) * 5", DL_F64, 5},
        {"true && a > b", DL_F64, 1},
        {"erfc(0) + lgamma(1) + trigamma(1)", DL_F64, 1 + 1.6449340668482264},
        {"digamma(1)", DL_F64, -0.57721566490153286},
        {"idiv(1.0, 0.1)", DL_F64, 9}, /* 0.1 is above 1/10; 1.0 / 0.1 rounds to 10 */
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double y = value(cases[k].text, cases[k].type), expected = cases[k].expected;
        if (y != expected && !(fabs(y - expected) <= 1e-14 * fabs(expected)))
            fail_msg("%s: expected %.17g, got %.17g", cases[k].text, expected, y);
    }
}

static void element_number(void **state) {
    (void)state;
    dl_prog *p = prog_parse("index*2 + 1", DL_I64);
    dl_scalar y;
    assert_ok(dl_prog_eval(p, NULL, NULL, 20, &y));
    assert_int_equal(y.i, 41);
    dl_prog_free(p);
}

static void refusals_name_the_column(void **state) {
    (void)state;
    static const struct {
        const char *text;
        dl_dtype type;
        int column;
        const char *words;
    } cases[] = {
        {"", DL_F32, 1, "the expression ends"},
        {"a +", DL_F32, 4, "a name, a number or '('"},
        {"a b", DL_F32, 3, "an operator or the end"},
        {"a + d", DL_F32, 5, "the name of an argument"},
        {"foo(a)", DL_F32, 1, "a function, a type"},
        {"(a + b", DL_F32, 7, "')'"},
        {"max(a)", DL_F32, 6, "','"},
        {"max(a, b, c)", DL_F32, 9, "')'"},
        {"a ? b", DL_F32, 6, "':'"},
        {"a $ b", DL_F32, 3, "an operator or the end"},
        {"1.2.3 + a", DL_F32, 1, "a name, a number"},
        {"1e + a", DL_F32, 1, "a name, a number"},
        {"0x", DL_F32, 1, "a name, a number"},
        {"0x12345678123456789", DL_I64, 1, "a name, a number"},
        {"12abc", DL_F32, 1, "a name, a number"},
        {"a & b", DL_F32, 3, "integer or bool operands"},
        {"a << 1", DL_BOOL, 3, "integer operands"},
        {"a / b", DL_I32, 3, "floating-point operands"},
        {"exp(a)", DL_I32, 1, "floating-point operands"},
        {"a * 0.5", DL_I32, 3, "a whole number"},
        {"a - b", DL_BOOL, 3, "operands other than bool"},
        {"int32(a) + int64(b)", DL_F32, 10, "operands of one type"},
        {"as_int64(a)", DL_F32, 1, "types of equal width"},
        {"float16(a)", DL_F32, 1, "a function, a type"},
        {"const(a)", DL_F32, 1, "a function, a type"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        dl_expr e = prog_expr(cases[k].text, cases[k].type);
        dl_prog *p = (dl_prog *)&e;
        if (dl_prog_parse(&e, &p) != DL_INVALID) fail_msg("\"%s\" was not refused", cases[k].text);
        assert_null(p);
        char column[32];
        snprintf(column, sizeof column, "test: column %d: ", cases[k].column);
        if (strncmp(dl_last_error(), column, strlen(column)) != 0 || !strstr(dl_last_error(), cases[k].words))
            fail_msg("\"%s\": expected \"%s...%s\", got \"%s\"", cases[k].text, column, cases[k].words, dl_last_error());
    }
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    char text[20001];
    static const char opening[] = "(-!";
    for (size_t k = 0; k < sizeof opening - 1; k++) {
        memset(text, opening[k], sizeof text - 1);
        text[sizeof text - 1] = 0;
        dl_expr e = prog_expr(text, DL_F32);
        dl_prog *p;
        assert_int_equal(dl_prog_parse(&e, &p), DL_INVALID);
        assert_non_null(strstr(dl_last_error(), "less nesting"));
    }
}

static void too_many_arguments_are_refused(void **state) {
    (void)state;
    dl_expr e = prog_expr("a", DL_F32);
    dl_prog *p;
    e.n_in = DL_PROG_MAX_IN + 1;
    assert_int_equal(dl_prog_parse(&e, &p), DL_INVALID);
    assert_int_equal(dl_expr_grad(&e, NULL, 0, &p), DL_INVALID);
}

static uint32_t instructions(const char *text, dl_dtype type) {
    dl_prog *p = prog_parse(text, type);
    uint32_t n = p->n_ins;
    dl_prog_free(p);
    return n;
}

/* How many instructions are left of a text. */
static void folding_and_sharing(void **state) {
    (void)state;
    static const struct {
        const char *text;
        dl_dtype type;
        uint32_t n;
    } cases[] = {
        {"2*3 + sqrt(4)", DL_F32, 1},
        {"a*1", DL_F32, 1},
        {"a/1 - 0", DL_F32, 1},
        {"a + 0", DL_I32, 1},
        {"a + 0", DL_F32, 3}, /* -0 + 0 is 0 */
        {"a*0", DL_F32, 3},   /* NaN and infinity stay visible */
        {"- -a", DL_F32, 1},
        {"!!(a < b)", DL_F32, 4}, /* a, b, lt, cast to the result */
        {"a < b ? c : c", DL_F32, 1},
        {"true ? a : b", DL_F32, 1},
        {"float32(a)", DL_F32, 1},
        {"floor(a)", DL_I32, 1},
        {"a < 0", DL_U8, 1},
        {"pow(a, 2)", DL_F32, 2},
        {"a/4", DL_F32, 3},
        {"(a + b)*(a + b)", DL_F32, 4},
        {"(a + b)*(b + a)", DL_F32, 4},
        {"exp(a) + exp(a) + exp(a)", DL_F32, 4},
        {"idiv(1, 0)", DL_I32, 3}, /* left to fail when it runs */
        {"p", DL_F32, 1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint32_t n = instructions(cases[k].text, cases[k].type);
        if (n != cases[k].n) fail_msg("%s: expected %u instructions, got %u", cases[k].text, cases[k].n, n);
    }
}

static void division_by_zero_is_an_error_when_it_runs(void **state) {
    (void)state;
    dl_prog *p = prog_parse("imod(a, b)", DL_I32);
    const dl_scalar in[3] = {{.i = 1}, {.i = 0}, {.i = 0}};
    dl_scalar y;
    assert_int_equal(dl_prog_eval(p, in, NULL, 0, &y), DL_INVALID);
    assert_string_equal(dl_last_error(), "test: integer division by zero");
    dl_prog_free(p);
}

static void wrapping(void **state) {
    (void)state;
    dl_prog *p = prog_parse("idiv(a, b)", DL_I32);
    const dl_scalar in[3] = {{.i = INT32_MIN}, {.i = -1}, {.i = 0}};
    dl_scalar y;
    assert_ok(dl_prog_eval(p, in, NULL, 0, &y));
    assert_int_equal(y.i, INT32_MIN);
    dl_prog_free(p);
    p = prog_parse("a*b + imod(a, b)", DL_I64);
    const dl_scalar wide[3] = {{.i = INT64_MIN}, {.i = -1}, {.i = 0}};
    assert_ok(dl_prog_eval(p, wide, NULL, 0, &y));
    assert_true(y.i == INT64_MIN);
    dl_prog_free(p);
}

static uint64_t hash(const char *text, dl_dtype type) {
    dl_prog *p = prog_parse(text, type);
    uint64_t h = p->hash;
    dl_prog_free(p);
    return h;
}

static void hashes_follow_the_program_only(void **state) {
    (void)state;
    uint64_t h = hash("a + p*b", DL_F32);
    assert_true(h == hash("  a+(p * b) ", DL_F32));
    assert_true(hash("a*b", DL_F32) == hash("b*a", DL_F32));
    assert_true(h != hash("a + p*b", DL_F64));
    assert_true(h != hash("a + q*b", DL_F32));
    assert_true(h != hash("a - p*b", DL_F32));
    assert_true(hash("nan", DL_F32) == hash("inf - inf", DL_F32));
    dl_expr e = prog_expr("a + p*b", DL_F16); /* storage types compute in f32 */
    dl_prog *p;
    assert_ok(dl_prog_parse(&e, &p));
    assert_true(p->hash == h);
    dl_prog_free(p);
}

static void what_is_read(void **state) {
    (void)state;
    dl_prog *p = prog_parse("a + q*0x10", DL_I16);
    assert_true(dl_prog_reads(p, 0));
    assert_false(dl_prog_reads(p, 1));
    assert_int_equal(dl_prog_attr_type(p, 0), -1);
    assert_int_equal(dl_prog_attr_type(p, 1), DL_I16);
    assert_int_equal(p->n_in, 3);
    assert_int_equal(p->n_attr, 2);
    dl_prog_free(p);
}

/* Texts of random tokens: refused or parsed, never a crash; what parses can be evaluated, differentiated, printed. */
static void random_texts(void **state) {
    (void)state;
    static const char *const tokens[] = {"a",  "b",    "p",    "1",    "0.5", "+",      "-",    "*",   "/", "<",
                                         "==", "&&",   "!",    "~",    "&",   "?",      ":",    "(",   ")", ",",
                                         "<<", "exp(", "max(", "sel(", "T(",  "int32(", "pow(", "0x7", "$"};
    uint32_t seed = 12345, parsed = 0;
    for (int round = 0; round < 20000; round++) {
        char text[256] = "";
        for (uint32_t n = (seed >> 16) % 9 + 1; n > 0; n--) {
            seed = seed * 1664525u + 1013904223u;
            strcat(text, tokens[(seed >> 16) % (sizeof tokens / sizeof *tokens)]);
        }
        dl_expr e = prog_expr(text, round % 2 ? DL_F32 : DL_I32);
        dl_prog *p, *g;
        if (dl_prog_parse(&e, &p) != DL_OK) continue;
        parsed++;
        const dl_scalar zero[3] = {{.i = 0}, {.i = 0}, {.i = 0}};
        dl_scalar y;
        char printed[16];
        dl_prog_eval(p, zero, zero, 0, &y);
        assert_true(dl_prog_print_c(p, printed, sizeof printed) > 0);
        if (dl_prog_grad(p, 0, &g) == DL_OK) dl_prog_free(g);
        dl_prog_free(p);
    }
    assert_true(parsed > 100);
}

/* Large enough to outgrow the builder's first, inner memory. */
static const char long_text[] =
    "exp(a)+exp(a*2)+exp(a*3)+exp(a*4)+exp(a*5)+exp(a*6)+exp(a*7)+exp(a*8)+exp(a*9)+exp(a*10)+exp(a*11)+exp(a*12)+exp(a*13)+"
    "exp(a*14)+exp(a*15)+exp(a*16)+exp(a*17)+exp(a*18)+exp(a*19)+exp(a*20)+exp(a*21)+exp(a*22)+exp(a*23)+exp(a*24)+exp(a*25)+"
    "exp(a*26)+exp(a*27)+exp(a*28)+exp(a*29)+exp(a*30)+exp(a*31)+exp(a*32)+exp(a*33)+exp(a*34)+exp(a*35)+exp(a*36)+exp(a*37)";

static void programs_that_grow(void **state) {
    (void)state;
    dl_prog *p = prog_parse(long_text, DL_F64);
    const double in[3] = {-0.25, 0, 0};
    double expected = 0;
    for (int k = 1; k <= 37; k++) expected += exp(-0.25 * k);
    assert_float_equal(prog_value(p, in, 3), expected, 1e-12);
    dl_prog_free(p);
}

static void out_of_memory_is_reported(void **state) {
    (void)state;
    dl_expr e = prog_expr(long_text, DL_F64);
    dl_prog *p, *g;
    int failures = 0;
    for (long n = 1;; n++) {
        dl_mem_fail_after(n, 1);
        dl_status status = dl_expr_grad(&e, NULL, 0, &g);
        dl_mem_fail_after(0, 0);
        if (status == DL_OK) break;
        assert_int_equal(status, DL_NOMEM);
        assert_null(g);
        failures++;
    }
    dl_prog_free(g);
    assert_true(failures >= 6);
    dl_mem_fail_after(1, 1);
    assert_int_equal(dl_prog_parse(&e, &p), DL_NOMEM);
    dl_mem_fail_after(0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(element_number),
        cmocka_unit_test(refusals_name_the_column),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(too_many_arguments_are_refused),
        cmocka_unit_test(folding_and_sharing),
        cmocka_unit_test(division_by_zero_is_an_error_when_it_runs),
        cmocka_unit_test(wrapping),
        cmocka_unit_test(hashes_follow_the_program_only),
        cmocka_unit_test(what_is_read),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(programs_that_grow),
        cmocka_unit_test(out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
