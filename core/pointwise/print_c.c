/* print_c.c - a program's body as C or in the kernel dialect of dlrun/simt.h, one constant a line. What these have no operator
 * for becomes a call named as prog.h says. */
#include "core/pointwise/internal.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the two languages spell differently. */
typedef struct language {
    const char *const *types;
    const char *u32, *u64;
    const char *fault; /* the last argument of integer divisions */
    bool simt;
} language;

static const char *const c_types[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) DL_##NAME == DL_BOOL ? "_Bool" : #ctype,
#include "dlrun/dtype.def"
#undef DL_DTYPE
};
static const char *const simt_types[DL_DTYPE_COUNT] = {
    [DL_F32] = "f32", [DL_F64] = "f64", [DL_U8] = "u8",   [DL_I8] = "i8",
    [DL_I16] = "i16", [DL_I32] = "i32", [DL_I64] = "i64", [DL_BOOL] = "bool"};

static const language language_c = {c_types, "uint32_t", "uint64_t", ", fault", false};
static const language language_simt = {simt_types, "u32", "u64", "", true};

typedef struct text {
    const language *language;
    char *to;
    size_t capacity, length;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = t->length < t->capacity ? t->capacity - t->length : 0;
    int n = vsnprintf(room ? t->to + t->length : NULL, room, format, arguments);
    va_end(arguments);
    t->length += n > 0 ? (size_t)n : 0;
}

static const char *type_name(const text *t, int32_t type) {
    return type == DL_U32 ? t->language->u32 : t->language->types[type];
}

/* "f32", "u8": the end of helper names. */
static void put_suffix(text *t, int32_t type) {
    put(t, "%c%d", pw_is_float(type) ? 'f' : pw_is_unsigned(type) ? 'u' : 'i', (int)pw_bits(type));
}

/* As a whole number times a power of two: exact, and free of the locale's decimal point. */
static void put_float(text *t, int32_t type, double value) {
    if (value != value || isinf(value)) {
        const char *what = value != value ? "NAN" : "INF", *sign = value < 0 ? "-" : "";
        if (t->language->simt)
            put(t, "%s%s_F%d", sign, what, (int)pw_bits(type));
        else
            put(t, "(%s)%s%s", type_name(t, type), sign, value != value ? "NAN" : "INFINITY");
    } else {
        int exponent;
        int64_t mantissa = (int64_t)ldexp(frexp(fabs(value), &exponent), 53);
        for (exponent -= 53; mantissa && !(mantissa & 1); mantissa >>= 1) exponent++;
        put(t, "%s0x%llxp%d%s", signbit(value) ? "-" : "", (unsigned long long)mantissa, mantissa ? exponent : 0,
            type == DL_F32 ? "f" : "");
    }
}

static void put_constant(text *t, const dl_ins *i) {
    dl_scalar v = pw_unpack(i->type, i->imm);
    if (pw_is_float(i->type))
        put_float(t, i->type, v.f);
    else if (i->type == DL_BOOL || i->type == DL_U32)
        put(t, "(%s)%lldu", type_name(t, i->type), (long long)v.i);
    else if (v.i == INT64_MIN || v.i == INT32_MIN) /* a literal has no sign, and without one this has no type */
        put(t, "((%s)-%lld - 1)", type_name(t, i->type), -(long long)(v.i + 1));
    else
        put(t, "(%s)%lld", type_name(t, i->type), (long long)v.i);
}

static void put_operand(text *t, const dl_prog *p, int32_t k) {
    const dl_ins *i = &p->ins[k];
    switch (i->op) {
    case DL_OP_CONST: put_constant(t, i); break;
    case DL_OP_IN: put(t, "x%d", (int)i->a); break;
    case DL_OP_ATTR: put(t, "a%d", (int)i->a); break;
    case DL_OP_INDEX: put(t, "idx"); break;
    default: put(t, "v%d", (int)k); break;
    }
}

static void put_infix(text *t, const dl_prog *p, const dl_ins *i, const char *symbol) {
    put_operand(t, p, i->a);
    put(t, " %s ", symbol);
    put_operand(t, p, i->b);
}

/* Integer arithmetic wraps: in unsigned, where int cannot hold every result. */
static void put_arithmetic(text *t, const dl_prog *p, const dl_ins *i, const char *symbol) {
    if (pw_is_float(i->type)) {
        put_infix(t, p, i, symbol);
        return;
    }
    const char *wide = pw_bits(i->type) == 64 ? t->language->u64 : pw_bits(i->type) == 32 ? t->language->u32 : "int";
    put(t, "(%s)((%s)", type_name(t, i->type), wide);
    put_operand(t, p, i->a);
    put(t, " %s (%s)", symbol, wide);
    put_operand(t, p, i->b);
    put(t, ")");
}

static void put_negation(text *t, const dl_prog *p, const dl_ins *i) {
    const char *wide = pw_bits(i->type) == 64 ? t->language->u64 : t->language->u32;
    if (pw_is_float(i->type))
        put(t, "-");
    else
        put(t, "(%s)(0 - (%s)", type_name(t, i->type), wide);
    put_operand(t, p, i->a);
    if (!pw_is_float(i->type)) put(t, ")");
}

static void put_bits(text *t, const dl_prog *p, const dl_ins *i, const char *symbol) {
    put(t, "(%s)(", type_name(t, i->type));
    put_infix(t, p, i, symbol);
    put(t, ")");
}

static void put_not(text *t, const dl_prog *p, const dl_ins *i) {
    put(t, i->type == DL_BOOL ? "!" : "(%s)~", type_name(t, i->type));
    put_operand(t, p, i->a);
}

static void put_cast(text *t, const dl_prog *p, const dl_ins *i) {
    int32_t from = p->ins[i->a].type;
    if (i->type == DL_BOOL) {
        put_operand(t, p, i->a);
        put(t, " != 0");
    } else if (i->op == DL_OP_CAST && !(pw_is_float(from) && !pw_is_float(i->type))) {
        put(t, "(%s)", type_name(t, i->type));
        put_operand(t, p, i->a);
    } else if (i->op == DL_OP_BITCAST && pw_bits(from) < 32) {
        put(t, "(%s)", type_name(t, i->type));
        put_operand(t, p, i->a);
    } else {
        put(t, "dl_%s_", pw_spelling(i->op));
        put_suffix(t, i->type);
        put(t, "_");
        put_suffix(t, from);
        put(t, "(");
        put_operand(t, p, i->a);
        put(t, ")");
    }
}

static void put_call(text *t, const dl_prog *p, const dl_ins *i) {
    const int32_t operand[3] = {i->a, i->b, i->c};
    put(t, "dl_%s_", i->op == DL_OP_SHL ? "shl" : i->op == DL_OP_SHR ? "shr" : pw_spelling(i->op));
    put_suffix(t, i->type);
    for (int32_t k = 0; k < pw_operands(i->op); k++) {
        put(t, k ? ", " : "(");
        put_operand(t, p, operand[k]);
    }
    bool may_fail = (i->op == DL_OP_IDIV || i->op == DL_OP_IMOD) && !pw_is_float(i->type);
    put(t, "%s)", may_fail ? t->language->fault : "");
}

static void put_expression(text *t, const dl_prog *p, const dl_ins *i) {
    switch (i->op) {
    case DL_OP_ADD: put_arithmetic(t, p, i, "+"); break;
    case DL_OP_SUB: put_arithmetic(t, p, i, "-"); break;
    case DL_OP_MUL: put_arithmetic(t, p, i, "*"); break;
    case DL_OP_DIV: put_arithmetic(t, p, i, "/"); break;
    case DL_OP_RECIP:
        put(t, "1 / ");
        put_operand(t, p, i->a);
        break;
    case DL_OP_NEG: put_negation(t, p, i); break;
    case DL_OP_LT: put_infix(t, p, i, "<"); break;
    case DL_OP_LE: put_infix(t, p, i, "<="); break;
    case DL_OP_EQ: put_infix(t, p, i, "=="); break;
    case DL_OP_AND: put_bits(t, p, i, "&"); break;
    case DL_OP_OR: put_bits(t, p, i, "|"); break;
    case DL_OP_XOR: put_bits(t, p, i, "^"); break;
    case DL_OP_NOT: put_not(t, p, i); break;
    case DL_OP_CAST:
    case DL_OP_BITCAST: put_cast(t, p, i); break;
    case DL_OP_SEL:
        put_operand(t, p, i->a);
        put(t, " ? ");
        put_operand(t, p, i->b);
        put(t, " : ");
        put_operand(t, p, i->c);
        break;
    default: put_call(t, p, i); break;
    }
}

static int32_t print(const dl_prog *p, const language *l, char *to, size_t capacity) {
    text t = {l, to, capacity, 0};
    if (capacity) *to = 0;
    for (uint32_t k = 0; k < p->n_ins; k++) {
        const dl_ins *i = &p->ins[k];
        if (pw_operands(i->op) == 0) continue;
        put(&t, "const %s v%u = ", type_name(&t, i->type), (unsigned)k);
        put_expression(&t, p, i);
        put(&t, ";\n");
    }
    put(&t, "const %s y0 = ", type_name(&t, p->ins[p->out[0]].type));
    put_operand(&t, p, p->out[0]);
    put(&t, ";\n");
    return (int32_t)t.length;
}

int32_t dl_prog_print_c(const dl_prog *p, char *to, size_t capacity) { return print(p, &language_c, to, capacity); }

int32_t dl_prog_print_simt(const dl_prog *p, char *to, size_t capacity) { return print(p, &language_simt, to, capacity); }
