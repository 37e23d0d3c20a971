/* print_c.c - a program's body as C, one constant a line. What C has no operator for becomes a call named as prog.h says. */
#include "core/pointwise/internal.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct text {
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

static const char *c_type(int32_t type) {
    static const char *const names[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) #ctype,
#include "dlrun/dtype.def"
#undef DL_DTYPE
    };
    return type == DL_U32 ? "uint32_t" : type == DL_BOOL ? "_Bool" : names[type];
}

/* "f32", "u8": the end of helper names. */
static void put_suffix(text *t, int32_t type) {
    put(t, "%c%d", pw_is_float(type) ? 'f' : pw_is_unsigned(type) ? 'u' : 'i', (int)pw_bits(type));
}

/* As a whole number times a power of two: exact, and free of the locale's decimal point. */
static void put_float(text *t, int32_t type, double value) {
    if (value != value)
        put(t, "(%s)NAN", c_type(type));
    else if (isinf(value))
        put(t, "(%s)%sINFINITY", c_type(type), value < 0 ? "-" : "");
    else {
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
    else if (v.i == INT64_MIN)
        put(t, "INT64_MIN");
    else if (i->type == DL_I64)
        put(t, "INT64_C(%lld)", (long long)v.i);
    else if (i->type == DL_BOOL)
        put(t, "(_Bool)%d", v.i != 0);
    else
        put(t, "(%s)%lld%s", c_type(i->type), (long long)v.i, i->type == DL_U32 ? "u" : v.i == INT32_MIN ? "ll" : "");
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
    const char *wide = pw_bits(i->type) == 64 ? "(uint64_t)" : pw_bits(i->type) == 32 ? "(uint32_t)" : "";
    put(t, "(%s)(%s", c_type(i->type), wide);
    put_operand(t, p, i->a);
    put(t, " %s %s", symbol, wide);
    put_operand(t, p, i->b);
    put(t, ")");
}

static void put_negation(text *t, const dl_prog *p, const dl_ins *i) {
    const char *wide = pw_bits(i->type) == 64 ? "(uint64_t)" : "(uint32_t)";
    if (pw_is_float(i->type))
        put(t, "-");
    else
        put(t, "(%s)(0 - %s", c_type(i->type), wide);
    put_operand(t, p, i->a);
    if (!pw_is_float(i->type)) put(t, ")");
}

static void put_bits(text *t, const dl_prog *p, const dl_ins *i, const char *symbol) {
    put(t, "(%s)(", c_type(i->type));
    put_infix(t, p, i, symbol);
    put(t, ")");
}

static void put_not(text *t, const dl_prog *p, const dl_ins *i) {
    put(t, i->type == DL_BOOL ? "!" : "(%s)~", c_type(i->type));
    put_operand(t, p, i->a);
}

static void put_cast(text *t, const dl_prog *p, const dl_ins *i) {
    int32_t from = p->ins[i->a].type;
    if (i->type == DL_BOOL) {
        put_operand(t, p, i->a);
        put(t, " != 0");
    } else if (i->op == DL_OP_CAST && !(pw_is_float(from) && !pw_is_float(i->type))) {
        put(t, "(%s)", c_type(i->type));
        put_operand(t, p, i->a);
    } else if (i->op == DL_OP_BITCAST && pw_bits(from) < 32) {
        put(t, "(%s)", c_type(i->type));
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
    put(t, may_fail ? ", fault)" : ")");
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

int32_t dl_prog_print_c(const dl_prog *p, char *to, size_t capacity) {
    text t = {to, capacity, 0};
    if (capacity) *to = 0;
    for (uint32_t k = 0; k < p->n_ins; k++) {
        const dl_ins *i = &p->ins[k];
        if (pw_operands(i->op) == 0) continue;
        put(&t, "const %s v%u = ", c_type(i->type), (unsigned)k);
        put_expression(&t, p, i);
        put(&t, ";\n");
    }
    put(&t, "const %s y0 = ", c_type(p->ins[p->out[0]].type));
    put_operand(&t, p, p->out[0]);
    put(&t, ";\n");
    return (int32_t)t.length;
}
