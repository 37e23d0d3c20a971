/* eval.c - one element in double and int64: the reference that constant folding and the tests use. */
#include "core/mem.h"
#include "core/pointwise/internal.h"
#include <math.h>

static double float_unary(int32_t op, double x) {
    switch (op) {
    case DL_OP_RECIP: return 1 / x;
    case DL_OP_NEG: return -x;
    case DL_OP_ABS: return fabs(x);
    case DL_OP_SQRT: return sqrt(x);
    case DL_OP_EXP: return exp(x);
    case DL_OP_EXP2: return exp2(x);
    case DL_OP_EXPM1: return expm1(x);
    case DL_OP_LOG: return log(x);
    case DL_OP_LOG2: return log2(x);
    case DL_OP_LOG1P: return log1p(x);
    case DL_OP_SIN: return sin(x);
    case DL_OP_COS: return cos(x);
    case DL_OP_TAN: return tan(x);
    case DL_OP_ASIN: return asin(x);
    case DL_OP_ACOS: return acos(x);
    case DL_OP_ATAN: return atan(x);
    case DL_OP_SINH: return sinh(x);
    case DL_OP_COSH: return cosh(x);
    case DL_OP_TANH: return tanh(x);
    case DL_OP_ERF: return erf(x);
    case DL_OP_ERFC: return erfc(x);
    case DL_OP_LGAMMA: {
        int sign; /* lgamma writes the global signgam: not thread-safe */
        return lgamma_r(x, &sign);
    }
    case DL_OP_DIGAMMA: return pw_digamma(x);
    case DL_OP_TRIGAMMA: return pw_trigamma(x);
    case DL_OP_FLOOR: return floor(x);
    case DL_OP_CEIL: return ceil(x);
    case DL_OP_TRUNC: return trunc(x);
    default: return rint(x);
    }
}

/* The exact quotient rounded towards zero: a / b itself may have been rounded up to a whole number that a does not reach. */
static double float_idiv(double a, double b) {
    double q = trunc(a / b), rest = fma(-q, b, a);
    bool beyond = (rest < 0 && a > 0) || (rest > 0 && a < 0); /* not where rest is NaN: b is infinite, or a */
    return beyond ? q - copysign(1, q) : q;
}

static double float_op(int32_t op, double a, double b, double c) {
    switch (op) {
    case DL_OP_ADD: return a + b;
    case DL_OP_SUB: return a - b;
    case DL_OP_MUL: return a * b;
    case DL_OP_DIV: return a / b;
    case DL_OP_FMA: return fma(a, b, c);
    case DL_OP_MAX: return a != a || a > b ? a : b;
    case DL_OP_MIN: return a != a || a < b ? a : b;
    case DL_OP_ATAN2: return atan2(a, b);
    case DL_OP_POW: return pow(a, b);
    case DL_OP_IDIV: return float_idiv(a, b);
    case DL_OP_IMOD: return fmod(a, b);
    default: return float_unary(op, a);
    }
}

static uint64_t int_pow(int64_t base, int64_t exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? (uint64_t)-1 : 1) : 0;
    uint64_t result = 1;
    for (uint64_t square = (uint64_t)base; exponent; exponent >>= 1, square *= square)
        if (exponent & 1) result *= square;
    return result;
}

__extension__ typedef __int128 wide_int;

static int64_t high_half(int32_t type, int64_t a, int64_t b) {
    if (type == DL_I64) return (int64_t)(((wide_int)a * b) >> 64);
    return (a * b) >> pw_bits(type); /* 32 bits and less: the product fits, also of two u32 read as unsigned below */
}

/* On bool, + and * are "or" and "and"; the result is wrapped by the caller. */
static bool int_op(int32_t op, int32_t type, int64_t a, int64_t b, int64_t *out) {
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    int32_t count = (int32_t)(y & (uint64_t)(pw_bits(type) - 1));
    switch (op) {
    case DL_OP_ADD: *out = (int64_t)(x + y); break;
    case DL_OP_SUB: *out = (int64_t)(x - y); break;
    case DL_OP_MUL: *out = (int64_t)(x * y); break;
    case DL_OP_NEG: *out = (int64_t)(0 - x); break;
    case DL_OP_ABS: *out = a < 0 ? (int64_t)(0 - x) : a; break;
    case DL_OP_MAX: *out = a > b ? a : b; break;
    case DL_OP_MIN: *out = a < b ? a : b; break;
    case DL_OP_AND: *out = a & b; break;
    case DL_OP_OR: *out = a | b; break;
    case DL_OP_XOR: *out = a ^ b; break;
    case DL_OP_NOT: *out = type == DL_BOOL ? !a : ~a; break;
    case DL_OP_SHL: *out = (int64_t)(x << count); break;
    case DL_OP_SHR: *out = a >> count; break;
    case DL_OP_POW: *out = (int64_t)int_pow(a, b); break;
    case DL_OP_MULHI: *out = type == DL_U32 ? (int64_t)(x * y >> 32) : high_half(type, a, b); break;
    case DL_OP_IDIV:
        if (b == 0) return false;
        *out = b == -1 ? (int64_t)(0 - x) : a / b;
        break;
    case DL_OP_IMOD:
        if (b == 0) return false;
        *out = b == -1 ? 0 : a % b;
        break;
    default: *out = a; break; /* floor ceil trunc rint */
    }
    return true;
}

static int64_t saturate(int32_t type, double x) {
    if (x != x) return 0;
    bool is_signed = pw_is_signed(type);
    int32_t bits = pw_bits(type) - is_signed;
    double limit = ldexp(1, bits);
    int64_t low = is_signed ? (bits == 63 ? INT64_MIN : -((int64_t)1 << bits)) : 0;
    int64_t high = bits == 63 ? INT64_MAX : ((int64_t)1 << bits) - 1;
    if (x >= limit) return high;
    return x <= (double)low ? low : (int64_t)x;
}

static dl_scalar cast(int32_t type, int32_t from, dl_scalar v) {
    bool was_float = pw_is_float(from);
    if (pw_is_float(type)) {
        double f = was_float ? v.f : (double)v.i;
        return (dl_scalar){.f = type == DL_F32 ? (float)f : f};
    }
    if (type == DL_BOOL) return (dl_scalar){.i = was_float ? v.f != 0 : v.i != 0};
    return (dl_scalar){.i = was_float ? saturate(type, v.f) : pw_wrap(type, v.i)};
}

static dl_scalar bitcast(int32_t type, int32_t from, dl_scalar v) {
    uint64_t bits = pw_pack(from, v);
    if (!pw_is_float(type)) return (dl_scalar){.i = pw_wrap(type, (int64_t)bits)};
    return pw_unpack(type, bits);
}

static bool compare(int32_t op, int32_t from, dl_scalar a, dl_scalar b) {
    if (pw_is_float(from)) return op == DL_OP_LT ? a.f < b.f : op == DL_OP_LE ? a.f <= b.f : a.f == b.f;
    return op == DL_OP_LT ? a.i < b.i : op == DL_OP_LE ? a.i <= b.i : a.i == b.i;
}

bool pw_apply(int32_t op, int32_t type, int32_t from, const dl_scalar v[3], dl_scalar *out) {
    switch (op) {
    case DL_OP_CAST: *out = cast(type, from, v[0]); return true;
    case DL_OP_BITCAST: *out = bitcast(type, from, v[0]); return true;
    case DL_OP_SEL: *out = v[0].i ? v[1] : v[2]; return true;
    case DL_OP_LT:
    case DL_OP_LE:
    case DL_OP_EQ: *out = (dl_scalar){.i = compare(op, from, v[0], v[1])}; return true;
    default: break;
    }
    if (pw_is_float(type)) {
        *out = (dl_scalar){.f = float_op(op, v[0].f, v[1].f, v[2].f)};
        return true;
    }
    int64_t result = 0;
    bool defined = int_op(op, type, v[0].i, v[1].i, &result);
    *out = (dl_scalar){.i = pw_wrap(type, result)};
    return defined;
}

/* An attribute arrives as the type of its instruction promises; integers wrap into it. */
static dl_scalar leaf(const dl_ins *i, const dl_scalar *in, const dl_scalar *attr, int64_t index) {
    switch (i->op) {
    case DL_OP_CONST: return pw_unpack(i->type, i->imm);
    case DL_OP_IN: return in[i->a];
    case DL_OP_ATTR: return pw_is_float(i->type) ? attr[i->a] : (dl_scalar){.i = pw_wrap(i->type, attr[i->a].i)};
    default: return (dl_scalar){.i = index};
    }
}

dl_status dl_prog_eval(const dl_prog *p, const dl_scalar *in, const dl_scalar *attr, int64_t index, dl_scalar *out) {
    dl_scalar small[128], *value = small;
    if (p->n_ins > 128 && !(value = dl_mem(NULL, p->n_ins * sizeof *value)))
        return dl_failf(DL_NOMEM, "out of memory evaluating '%s'", p->name);
    dl_status status = DL_OK;
    for (uint32_t k = 0; k < p->n_ins && status == DL_OK; k++) {
        const dl_ins *i = &p->ins[k];
        int32_t n = pw_operands(i->op);
        if (n == 0) {
            value[k] = leaf(i, in, attr, index);
            continue;
        }
        const dl_scalar v[3] = {value[i->a], n > 1 ? value[i->b] : (dl_scalar){.i = 0},
                                n > 2 ? value[i->c] : (dl_scalar){.i = 0}};
        int32_t from = p->ins[i->op == DL_OP_SEL ? i->b : i->a].type;
        if (!pw_apply(i->op, i->type, from, v, &value[k]))
            status = dl_failf(DL_INVALID, "%s: integer division by zero", p->name);
    }
    for (uint32_t k = 0; k < p->n_out && status == DL_OK; k++) out[k] = value[p->out[k]];
    if (value != small) dl_mem(value, 0);
    return status;
}
