/* parse.c - the grammar of expressions (docs/pointwise.md): precedence climbing straight into typed instructions. */
#include "core/pointwise/internal.h"
#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 200 }; /* of nesting: the parser recurses */

typedef struct parser {
    const pw_source *s;
    pw_token token; /* the one ahead */
    pw_builder b;
    int32_t depth;
} parser;

static void advance(parser *p) { p->token = pw_lex(p->token.text + p->token.length, p->s->end); }

static bool is_operator(const parser *p, const char *text) {
    return p->token.kind == PW_OPERATOR && (size_t)p->token.length == strlen(text) &&
           memcmp(p->token.text, text, (size_t)p->token.length) == 0;
}

static bool accept(parser *p, const char *text) {
    if (!is_operator(p, text)) return false;
    advance(p);
    return true;
}

static dl_status fail_at(const parser *p, const pw_token *t, const char *expected) {
    int column = (int)(t->text - p->s->origin) + 1, length = (int)(p->s->end - p->s->begin);
    if (t->kind == PW_END)
        return dl_failf(DL_INVALID, "%s: column %d: expected %s, but the expression ends: \"%.*s\"", p->s->name, column,
                        expected, length, p->s->begin);
    return dl_failf(DL_INVALID, "%s: column %d: expected %s at '%.*s' in \"%.*s\"", p->s->name, column, expected,
                    (int)t->length, t->text, length, p->s->begin);
}

static dl_status expect(parser *p, const char *text, const char *what) {
    return accept(p, text) ? DL_OK : fail_at(p, &p->token, what);
}

static bool named(const pw_token *t, const char *name) {
    return (size_t)t->length == strlen(name) && memcmp(t->text, name, (size_t)t->length) == 0;
}

static dl_status apply(parser *p, const pw_token *where, int32_t op, pw_operand *v, pw_operand *out) {
    const char *expected = pw_typed(&p->b, p->s->compute, op, v, out);
    return expected ? fail_at(p, where, expected) : DL_OK;
}

/* ---- names ------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    double value;
} constants[] = {{"inf", INFINITY}, {"nan", NAN}, {"pi", 3.14159265358979323846}, {"e", 2.71828182845904523536}};

/* Inputs and attributes hide constants. */
static bool variable(parser *p, const pw_token *t, pw_operand *out) {
    const pw_source *s = p->s;
    for (int32_t k = 0; k < s->n_in; k++)
        if (named(t, s->in_name[k])) return *out = (pw_operand){.ins = pw_leaf(&p->b, DL_OP_IN, s->in_type[k], k)}, true;
    for (int32_t k = 0; k < s->n_attr; k++)
        if (named(t, s->attr_name[k])) return *out = (pw_operand){.ins = pw_leaf(&p->b, DL_OP_ATTR, s->compute, k)}, true;
    if (named(t, "index")) return *out = (pw_operand){.ins = pw_leaf(&p->b, DL_OP_INDEX, DL_I64, 0)}, true;
    bool is_true = named(t, "true");
    if (is_true || named(t, "false")) return *out = (pw_operand){.ins = pw_number(&p->b, DL_BOOL, is_true)}, true;
    for (size_t k = 0; k < sizeof constants / sizeof *constants; k++)
        if (named(t, constants[k].name)) return *out = (pw_operand){.ins = -1, .f = constants[k].value}, true;
    return false;
}

/* A type that programs compute in; -1: the name is none. */
static int32_t type_named(const parser *p, const char *text, int32_t length) {
    pw_token t = {.text = text, .length = length};
    if (named(&t, "T")) return p->s->compute;
    if (named(&t, "u32")) return DL_U32;
    for (int32_t k = 0; k < DL_DTYPE_COUNT; k++)
        if (k != DL_F16 && k != DL_BF16 && named(&t, pw_type_name(k))) return k;
    return -1;
}

static int32_t opcode_named(const pw_token *t) {
    if (named(t, "round")) return DL_OP_RINT;
    for (int32_t op = DL_OP_RECIP; op < DL_OPCODE_COUNT; op++) /* those before are leaves, casts and operators */
        if (named(t, pw_spelling(op))) return op;
    return -1;
}

/* ---- grammar ----------------------------------------------------------------------------------------------------------- */

static dl_status ternary(parser *p, pw_operand *out);

static dl_status arguments(parser *p, int32_t n, pw_operand *v) {
    DL_TRY(expect(p, "(", "'(' and arguments"));
    for (int32_t k = 0; k < n; k++) {
        DL_TRY(ternary(p, &v[k]));
        DL_TRY(expect(p, k + 1 < n ? "," : ")", k + 1 < n ? "',' and another argument" : "')'"));
    }
    return DL_OK;
}

static dl_status bitcast(parser *p, const pw_token *where, int32_t type, pw_operand *out) {
    pw_operand v;
    DL_TRY(arguments(p, 1, &v));
    int32_t a = v.ins < 0 ? pw_strong(&p->b, &v, p->s->compute) : v.ins;
    int32_t from = p->b.ins[a].type;
    if (from == DL_BOOL || type == DL_BOOL || pw_bits(from) != pw_bits(type)) return fail_at(p, where, "types of equal width");
    *out = (pw_operand){.ins = pw_emit(&p->b, DL_OP_BITCAST, type, a, 0, 0)};
    return DL_OK;
}

static dl_status philox(parser *p, pw_operand *out) {
    pw_operand v[2];
    DL_TRY(arguments(p, 2, v));
    const int32_t key = pw_strong(&p->b, &v[0], DL_I64), number = pw_strong(&p->b, &v[1], DL_I64);
    *out = (pw_operand){.ins = pw_philox(&p->b, key, number)};
    return DL_OK;
}

static dl_status call(parser *p, pw_operand *out) {
    pw_token name = p->token;
    pw_operand v[3];
    int32_t type = type_named(p, name.text, name.length), op = opcode_named(&name);
    advance(p);
    if (type >= 0) {
        DL_TRY(arguments(p, 1, v));
        *out = (pw_operand){.ins = pw_strong(&p->b, v, type)};
        return DL_OK;
    }
    if (name.length > 3 && memcmp(name.text, "as_", 3) == 0 && (type = type_named(p, name.text + 3, name.length - 3)) >= 0)
        return bitcast(p, &name, type, out);
    if (named(&name, "philox")) return philox(p, out);
    if (named(&name, "square")) {
        DL_TRY(arguments(p, 1, v));
        v[1] = v[0];
        return apply(p, &name, DL_OP_MUL, v, out);
    }
    if (op < 0) return fail_at(p, &name, "a function, a type or an argument's name");
    DL_TRY(arguments(p, pw_operands(op), v));
    return apply(p, &name, op, v, out);
}

static dl_status primary(parser *p, pw_operand *out) {
    pw_token t = p->token;
    if (t.kind == PW_NUMBER) {
        *out = (pw_operand){.ins = -1, .integral = t.integral, .i = t.i, .f = t.f};
        advance(p);
        return DL_OK;
    }
    if (t.kind == PW_NAME) {
        pw_token next = pw_lex(t.text + t.length, p->s->end);
        if (next.kind == PW_OPERATOR && *next.text == '(') return call(p, out);
        if (!variable(p, &t, out)) return fail_at(p, &t, "the name of an argument or constant");
        advance(p);
        return DL_OK;
    }
    if (!accept(p, "(")) return fail_at(p, &t, "a name, a number or '('");
    DL_TRY(ternary(p, out));
    return expect(p, ")", "')'");
}

static dl_status prefix(parser *p, pw_operand *out) {
    pw_token t = p->token;
    bool minus = accept(p, "-"), not = !minus && accept(p, "!"), flip = !minus && !not &&accept(p, "~");
    if (!minus && !not &&!flip) return primary(p, out);
    if (p->depth++ > MAX_DEPTH) return fail_at(p, &t, "less nesting");
    pw_operand v;
    DL_TRY(prefix(p, &v));
    p->depth--;
    if (minus && v.ins < 0) {
        *out = (pw_operand){.ins = -1, .integral = v.integral && v.i != INT64_MIN, .i = v.i == INT64_MIN ? 0 : -v.i, .f = -v.f};
        if (v.integral && v.i == 0) out->f = 0; /* -0 is an integer's 0; -0.0 is not */
        return DL_OK;
    }
    if (not ) v = (pw_operand){.ins = pw_strong(&p->b, &v, DL_BOOL)};
    return apply(p, &t, minus ? DL_OP_NEG : DL_OP_NOT, &v, out);
}

/* Binary operators by level; `swap` exchanges the operands and `negate` inverts the result of the opcode. */
static const struct {
    const char *text;
    int8_t level, op;
    bool swap, negate, logical;
} operators[] = {
    {"||", 1, DL_OP_OR, false, false, true},   {"&&", 2, DL_OP_AND, false, false, true},
    {"|", 3, DL_OP_OR, false, false, false},   {"&", 4, DL_OP_AND, false, false, false},
    {"==", 5, DL_OP_EQ, false, false, false},  {"!=", 5, DL_OP_EQ, false, true, false},
    {"<", 6, DL_OP_LT, false, false, false},   {"<=", 6, DL_OP_LE, false, false, false},
    {">", 6, DL_OP_LT, true, false, false},    {">=", 6, DL_OP_LE, true, false, false},
    {"<<", 7, DL_OP_SHL, false, false, false}, {">>", 7, DL_OP_SHR, false, false, false},
    {"+", 8, DL_OP_ADD, false, false, false},  {"-", 8, DL_OP_SUB, false, false, false},
    {"*", 9, DL_OP_MUL, false, false, false},  {"/", 9, DL_OP_DIV, false, false, false},
};
enum { OPERATORS = sizeof operators / sizeof *operators };

static int32_t find_operator(const parser *p) {
    for (int32_t k = 0; p->token.kind == PW_OPERATOR && k < OPERATORS; k++)
        if (named(&p->token, operators[k].text)) return k;
    return -1;
}

/* Arithmetic on two untyped numbers stays an untyped number, in double; "/" is never an integer division. */
static bool weak_arithmetic(int32_t op, const pw_operand *v, pw_operand *out) {
    if (v[0].ins >= 0 || v[1].ins >= 0 || op < DL_OP_ADD || op > DL_OP_DIV) return false;
    double x = v[0].f, y = v[1].f;
    *out = (pw_operand){.ins = -1, .integral = v[0].integral && v[1].integral && op != DL_OP_DIV};
    bool overflow = false;
    switch (op) {
    case DL_OP_ADD: out->f = x + y, overflow = __builtin_add_overflow(v[0].i, v[1].i, &out->i); break;
    case DL_OP_SUB: out->f = x - y, overflow = __builtin_sub_overflow(v[0].i, v[1].i, &out->i); break;
    case DL_OP_MUL: out->f = x * y, overflow = __builtin_mul_overflow(v[0].i, v[1].i, &out->i); break;
    default: out->f = x / y; break;
    }
    if (overflow) out->integral = false;
    return true;
}

static dl_status combine(parser *p, const pw_token *where, int32_t k, pw_operand left, pw_operand right, pw_operand *out) {
    pw_operand v[2] = {left, right};
    if (operators[k].logical)
        for (int32_t j = 0; j < 2; j++) v[j] = (pw_operand){.ins = pw_strong(&p->b, &v[j], DL_BOOL)};
    if (operators[k].swap) v[0] = right, v[1] = left;
    if (weak_arithmetic(operators[k].op, v, out)) return DL_OK;
    DL_TRY(apply(p, where, operators[k].op, v, out));
    if (operators[k].negate) out->ins = pw_emit(&p->b, DL_OP_NOT, DL_BOOL, out->ins, 0, 0);
    return DL_OK;
}

static dl_status binary(parser *p, int32_t level, pw_operand *out) {
    DL_TRY(prefix(p, out));
    for (int32_t k; (k = find_operator(p)) >= 0 && operators[k].level >= level;) {
        pw_token where = p->token;
        pw_operand right;
        advance(p);
        DL_TRY(binary(p, operators[k].level + 1, &right));
        DL_TRY(combine(p, &where, k, *out, right, out));
    }
    return DL_OK;
}

static dl_status ternary(parser *p, pw_operand *out) {
    if (p->depth++ > MAX_DEPTH) return fail_at(p, &p->token, "less nesting");
    DL_TRY(binary(p, 1, out));
    pw_token where = p->token;
    if (accept(p, "?")) {
        pw_operand v[3] = {*out};
        DL_TRY(ternary(p, &v[1]));
        DL_TRY(expect(p, ":", "':' and the other case"));
        DL_TRY(ternary(p, &v[2]));
        DL_TRY(apply(p, &where, DL_OP_SEL, v, out));
    }
    p->depth--;
    return DL_OK;
}

static dl_status whole(parser *p, pw_operand *out) {
    DL_TRY(ternary(p, out));
    return p->token.kind == PW_END ? DL_OK : fail_at(p, &p->token, "an operator or the end");
}

dl_status pw_parse(const pw_source *s, dl_prog **out) {
    parser p = {.s = s, .token = pw_lex(s->begin, s->end)};
    pw_begin(&p.b);
    /* leaves in the order of the signature, so that a*b and b*a are one program */
    for (int32_t k = 0; k < s->n_in; k++) pw_leaf(&p.b, DL_OP_IN, s->in_type[k], k);
    for (int32_t k = 0; k < s->n_attr; k++) pw_leaf(&p.b, DL_OP_ATTR, s->compute, k);
    pw_operand result;
    dl_status status = whole(&p, &result);
    if (status != DL_OK) {
        pw_discard(&p.b);
        return status;
    }
    int32_t root = pw_strong(&p.b, &result, s->out_type);
    return pw_finish(&p.b, root, s->n_in, s->in_type, s->n_attr, s->name, out);
}
