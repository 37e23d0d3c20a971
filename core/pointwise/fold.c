/* fold.c - constant folding and the identities that hold for every value of their type, NaN, infinities and -0 included. */
#include "core/pointwise/internal.h"
#include <math.h>

static const dl_ins *at(const pw_builder *p, int32_t k) { return &p->ins[k]; }
static bool is_const(const pw_builder *p, int32_t k) { return at(p, k)->op == DL_OP_CONST; }

bool pw_is_number(const pw_builder *p, int32_t k, double value) {
    const dl_ins *i = at(p, k);
    if (i->op != DL_OP_CONST) return false;
    dl_scalar v = pw_unpack(i->type, i->imm);
    if (!pw_is_float(i->type)) return (double)v.i == value;
    return v.f == value && signbit(v.f) == signbit(value);
}

/* All operands are constants: the value, or -1 for a division by zero, which must fail when it runs. */
static int32_t fold_constants(pw_builder *p, const dl_ins *i) {
    const int32_t operand[3] = {i->a, i->b, i->c};
    dl_scalar v[3] = {{.i = 0}, {.i = 0}, {.i = 0}}, result;
    int32_t n = pw_operands(i->op);
    for (int32_t k = 0; k < n; k++) {
        if (!is_const(p, operand[k])) return -1;
        v[k] = pw_unpack(at(p, operand[k])->type, at(p, operand[k])->imm);
    }
    int32_t from = at(p, i->op == DL_OP_SEL ? i->b : i->a)->type;
    return n && pw_apply(i->op, i->type, from, v, &result) ? pw_const(p, i->type, result) : -1;
}

/* 1 / c where that is exact, so that a division by c may be a multiplication; 0 where it is not. */
static double exact_reciprocal(const pw_builder *p, int32_t k) {
    if (!is_const(p, k)) return 0;
    double c = pw_unpack(at(p, k)->type, at(p, k)->imm).f;
    int exponent;
    double mantissa = frexp(c, &exponent);
    return fabs(mantissa) == 0.5 && exponent > -100 && exponent < 100 ? 1 / c : 0;
}

static int32_t simplify_arithmetic(pw_builder *p, const dl_ins *i) {
    bool whole = !pw_is_float(i->type);
    switch (i->op) {
    case DL_OP_ADD:
        if (i->type == DL_BOOL) return pw_emit2(p, DL_OP_OR, i->a, i->b);
        if (pw_is_number(p, i->a, whole ? 0 : -0.0)) return i->b;
        if (pw_is_number(p, i->b, whole ? 0 : -0.0)) return i->a;
        return -1;
    case DL_OP_SUB: return pw_is_number(p, i->b, 0) ? i->a : -1;
    case DL_OP_MUL:
        if (i->type == DL_BOOL) return pw_emit2(p, DL_OP_AND, i->a, i->b);
        if (pw_is_number(p, i->a, 1)) return i->b;
        if (pw_is_number(p, i->b, 1)) return i->a;
        if (pw_is_number(p, i->a, -1)) return pw_emit1(p, DL_OP_NEG, i->b);
        if (pw_is_number(p, i->b, -1)) return pw_emit1(p, DL_OP_NEG, i->a);
        return -1;
    case DL_OP_DIV: {
        double r = exact_reciprocal(p, i->b);
        return r != 0 ? pw_emit2(p, DL_OP_MUL, i->a, pw_number(p, i->type, r)) : -1;
    }
    case DL_OP_POW:
        if (pw_is_number(p, i->b, 0)) return pw_number(p, i->type, 1);
        if (pw_is_number(p, i->b, 1)) return i->a;
        return pw_is_number(p, i->b, 2) ? pw_emit2(p, DL_OP_MUL, i->a, i->a) : -1;
    case DL_OP_MAX: return i->a == i->b ? i->a : i->type == DL_BOOL ? pw_emit2(p, DL_OP_OR, i->a, i->b) : -1;
    case DL_OP_MIN: return i->a == i->b ? i->a : i->type == DL_BOOL ? pw_emit2(p, DL_OP_AND, i->a, i->b) : -1;
    case DL_OP_NEG: return at(p, i->a)->op == DL_OP_NEG ? at(p, i->a)->a : -1;
    case DL_OP_ABS:
        if (pw_is_unsigned(i->type)) return i->a;
        return at(p, i->a)->op == DL_OP_NEG ? pw_emit1(p, DL_OP_ABS, at(p, i->a)->a) : -1;
    default: return whole ? i->a : -1; /* floor ceil trunc rint */
    }
}

static int32_t simplify_logic(pw_builder *p, const dl_ins *i) {
    switch (i->op) {
    case DL_OP_NOT: return at(p, i->a)->op == DL_OP_NOT ? at(p, i->a)->a : -1;
    case DL_OP_EQ: return i->a == i->b && !pw_is_float(at(p, i->a)->type) ? pw_number(p, DL_BOOL, 1) : -1;
    case DL_OP_LT: return pw_is_unsigned(at(p, i->a)->type) && pw_is_number(p, i->b, 0) ? pw_number(p, DL_BOOL, 0) : -1;
    case DL_OP_LE: return pw_is_unsigned(at(p, i->a)->type) && pw_is_number(p, i->a, 0) ? pw_number(p, DL_BOOL, 1) : -1;
    default: break; /* and, or */
    }
    if (i->a == i->b) return i->a;
    double neutral = i->op == DL_OP_AND;
    if (i->type != DL_BOOL) return -1;
    if (pw_is_number(p, i->a, neutral)) return i->b;
    if (pw_is_number(p, i->b, neutral)) return i->a;
    return is_const(p, i->a) ? i->a : is_const(p, i->b) ? i->b : -1;
}

static int32_t simplify_select(pw_builder *p, const dl_ins *i) {
    if (i->b == i->c) return i->b;
    if (is_const(p, i->a)) return at(p, i->a)->imm ? i->b : i->c;
    if (at(p, i->a)->op == DL_OP_NOT) return pw_emit(p, DL_OP_SEL, i->type, at(p, i->a)->a, i->c, i->b);
    if (i->type == DL_BOOL && pw_is_number(p, i->b, 1) && pw_is_number(p, i->c, 0)) return i->a;
    return -1;
}

static int32_t simplify_cast(pw_builder *p, const dl_ins *i) {
    const dl_ins *from = at(p, i->a);
    if (from->type == i->type) return i->a;
    /* bool to anything and back; an integer's truth survives only casts that lose no bits, so no more than this */
    if (from->op == DL_OP_CAST && i->type == DL_BOOL && at(p, from->a)->type == DL_BOOL) return from->a;
    return -1;
}

int32_t pw_simplify(pw_builder *p, const dl_ins *i) {
    int32_t folded = fold_constants(p, i);
    if (folded >= 0) return folded;
    switch (i->op) {
    case DL_OP_ADD:
    case DL_OP_SUB:
    case DL_OP_MUL:
    case DL_OP_DIV:
    case DL_OP_POW:
    case DL_OP_MAX:
    case DL_OP_MIN:
    case DL_OP_NEG:
    case DL_OP_ABS:
    case DL_OP_FLOOR:
    case DL_OP_CEIL:
    case DL_OP_TRUNC:
    case DL_OP_RINT: return simplify_arithmetic(p, i);
    case DL_OP_NOT:
    case DL_OP_EQ:
    case DL_OP_LT:
    case DL_OP_LE:
    case DL_OP_AND:
    case DL_OP_OR: return simplify_logic(p, i);
    case DL_OP_SEL: return simplify_select(p, i);
    case DL_OP_CAST: return simplify_cast(p, i);
    case DL_OP_BITCAST: return at(p, i->a)->type == i->type ? i->a : -1;
    default: return -1;
    }
}
