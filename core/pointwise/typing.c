/* typing.c - the type an opcode computes in, from the types of what it is given; docs/pointwise.md says the rules. */
#include "core/pointwise/internal.h"

/* What an opcode accepts. */
typedef enum kind {
    FLOATING, /* f32, f64; integers and bool are first cast to T if that is one */
    NUMERIC,  /* every type but bool */
    LATTICE,  /* every type; on bool, + and max are "or", * and min are "and", the roundings nothing */
    INTEGER,  /* integers */
    BITWISE,  /* integers and bool */
    COMPARE   /* every type, to bool */
} kind;

static kind kind_of(int32_t op) {
    switch (op) {
    case DL_OP_SUB:
    case DL_OP_NEG:
    case DL_OP_POW:
    case DL_OP_IDIV:
    case DL_OP_IMOD: return NUMERIC;
    case DL_OP_ADD:
    case DL_OP_MUL:
    case DL_OP_MAX:
    case DL_OP_MIN:
    case DL_OP_ABS:
    case DL_OP_FLOOR:
    case DL_OP_CEIL:
    case DL_OP_TRUNC:
    case DL_OP_RINT: return LATTICE;
    case DL_OP_SHL:
    case DL_OP_SHR:
    case DL_OP_MULHI: return INTEGER;
    case DL_OP_AND:
    case DL_OP_OR:
    case DL_OP_XOR:
    case DL_OP_NOT: return BITWISE;
    case DL_OP_LT:
    case DL_OP_LE:
    case DL_OP_EQ: return COMPARE;
    default: return FLOATING;
    }
}

int32_t pw_strong(pw_builder *p, const pw_operand *v, int32_t type) {
    if (v->ins >= 0) return pw_cast(p, v->ins, type);
    dl_scalar value = {.f = v->f};
    if (type == DL_BOOL)
        value.i = v->f != 0;
    else if (!pw_is_float(type))
        value.i = pw_wrap(type, v->i);
    return pw_const(p, type, value);
}

/* The common type of n operands, -1 if all are untyped, -2 if two do not mix. */
static int32_t common_type(const pw_builder *p, const pw_operand *v, int32_t n) {
    int32_t type = -1;
    for (int32_t k = 0; k < n; k++) {
        if (v[k].ins < 0) continue;
        int32_t t = p->ins[v[k].ins].type;
        if (type < 0 || type == DL_BOOL || (!pw_is_float(type) && pw_is_float(t)))
            type = t;
        else if (t != type && t != DL_BOOL && (pw_is_float(type) == pw_is_float(t)))
            return -2;
    }
    return type;
}

static bool has_weak(const pw_operand *v, int32_t n) {
    for (int32_t k = 0; k < n; k++)
        if (v[k].ins < 0) return true;
    return false;
}

static bool has_fraction(const pw_operand *v, int32_t n) {
    for (int32_t k = 0; k < n; k++)
        if (v[k].ins < 0 && !v[k].integral) return true;
    return false;
}

const char *pw_typed(pw_builder *p, dl_dtype compute, int32_t op, pw_operand *v, pw_operand *out) {
    kind k = kind_of(op);
    pw_operand *first = op == DL_OP_SEL ? v + 1 : v; /* the condition has a type of its own */
    int32_t n = pw_operands(op) - (op == DL_OP_SEL);
    if (op == DL_OP_SEL) k = COMPARE;
    int32_t type = common_type(p, first, n);
    if (type == -2) return "operands of one type; cast one of them";
    bool is_plain_bool = type == DL_BOOL && !has_weak(first, n) && k != NUMERIC && k != LATTICE && k != FLOATING;
    if (type < 0 || (type == DL_BOOL && !is_plain_bool)) type = compute;
    if (!pw_is_float(type) && (k == FLOATING || has_fraction(first, n))) {
        if (!pw_is_float(compute))
            return k == FLOATING ? "floating-point operands; cast with float32(...)" : "a whole number beside an integer";
        type = compute;
    }
    if (k == NUMERIC && type == DL_BOOL) return "operands other than bool";
    if (k == INTEGER && (pw_is_float(type) || type == DL_BOOL)) return "integer operands";
    if (k == BITWISE && pw_is_float(type)) return "integer or bool operands";
    int32_t arg[3] = {0, 0, 0};
    for (int32_t j = 0; j < n; j++) arg[j] = pw_strong(p, &first[j], type);
    if (op == DL_OP_SEL)
        *out = (pw_operand){.ins = pw_select(p, pw_strong(p, &v[0], DL_BOOL), arg[0], arg[1])};
    else
        *out = (pw_operand){.ins = pw_emit(p, op, k == COMPARE ? DL_BOOL : type, arg[0], arg[1], arg[2])};
    return NULL;
}
