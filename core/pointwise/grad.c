/* grad.c - forward-mode symbolic differentiation. The tangent of the chosen input is g itself, so every tangent is already the
 * product with g: a selection d sel(c, a, b) = sel(c, da, db) then needs no multiplication around it, and the branch not taken
 * contributes an exact 0 even where the other branch's derivative is infinite. */
#include "core/pointwise/internal.h"
#include "core/mem.h"

enum { ZERO = -1 }; /* the tangent of what does not depend on the input */

typedef struct deriver {
    pw_builder b;
    const dl_prog *p;
    int32_t *value;   /* of the forward program's instructions, as instructions here */
    int32_t *tangent; /* likewise, or ZERO */
} deriver;

static int32_t number(deriver *d, int32_t like, double value) { return pw_number(&d->b, d->b.ins[like].type, value); }
static int32_t mul(deriver *d, int32_t a, int32_t b) { return pw_emit2(&d->b, DL_OP_MUL, a, b); }
static int32_t sub(deriver *d, int32_t a, int32_t b) { return pw_emit2(&d->b, DL_OP_SUB, a, b); }
static int32_t unary(deriver *d, int32_t op, int32_t a) { return pw_emit1(&d->b, op, a); }
static int32_t scaled(deriver *d, int32_t a, double factor) { return mul(d, a, number(d, a, factor)); }
static int32_t plus(deriver *d, int32_t a, double constant) { return pw_emit2(&d->b, DL_OP_ADD, a, number(d, a, constant)); }

static bool is_zero(const deriver *d, int32_t k) { return pw_is_number(&d->b, k, 0); }

/* Is t a selection one of whose cases, at any depth of selections, is the constant 0? */
static bool selects_zero(const deriver *d, int32_t t) {
    const dl_ins *i = &d->b.ins[t];
    if (i->op != DL_OP_SEL) return false;
    return is_zero(d, i->b) || is_zero(d, i->c) || selects_zero(d, i->b) || selects_zero(d, i->c);
}

/* op(t, other), with the operation moved into t's cases where one of them is 0: 0 stays 0 beside an infinite factor. */
static int32_t through(deriver *d, int32_t op, int32_t t, int32_t other) {
    if (is_zero(d, t)) return t;
    if (!selects_zero(d, t)) return op == DL_OP_NEG ? unary(d, op, t) : pw_emit2(&d->b, op, t, other);
    dl_ins i = d->b.ins[t];
    int32_t yes = through(d, op, i.b, other);
    return pw_select(&d->b, i.a, yes, through(d, op, i.c, other));
}

static int32_t times(deriver *d, int32_t t, int32_t factor) { return t == ZERO ? ZERO : through(d, DL_OP_MUL, t, factor); }
static int32_t over(deriver *d, int32_t t, int32_t divisor) { return t == ZERO ? ZERO : through(d, DL_OP_DIV, t, divisor); }
static int32_t minus(deriver *d, int32_t t) { return t == ZERO ? ZERO : through(d, DL_OP_NEG, t, 0); }

static int32_t sum(deriver *d, int32_t s, int32_t t) {
    if (s == ZERO || t == ZERO) return s == ZERO ? t : s;
    return pw_emit2(&d->b, DL_OP_ADD, s, t);
}

static int32_t choose(deriver *d, int32_t condition, int32_t yes, int32_t no) {
    if (yes == ZERO && no == ZERO) return ZERO;
    int32_t like = yes == ZERO ? no : yes;
    return pw_select(&d->b, condition, yes == ZERO ? number(d, like, 0) : yes, no == ZERO ? number(d, like, 0) : no);
}

/* max and min: all to the winner, half to each at a tie; NaN (no comparison holds) to both, as PyTorch. */
static int32_t extremum(deriver *d, const dl_ins *i, int32_t da, int32_t db) {
    int32_t a = d->value[i->a], b = d->value[i->b];
    bool is_max = i->op == DL_OP_MAX;
    int32_t tie = pw_compare(&d->b, DL_OP_EQ, a, b);
    int32_t a_lost = pw_compare(&d->b, DL_OP_LT, is_max ? a : b, is_max ? b : a);
    int32_t b_lost = pw_compare(&d->b, DL_OP_LT, is_max ? b : a, is_max ? a : b);
    int32_t to_a = da == ZERO ? ZERO : choose(d, tie, scaled(d, da, 0.5), choose(d, a_lost, ZERO, da));
    int32_t to_b = db == ZERO ? ZERO : choose(d, tie, scaled(d, db, 0.5), choose(d, b_lost, ZERO, db));
    return sum(d, to_a, to_b);
}

/* d pow(a, b) = b pow(a, b-1) da + pow(a, b) log(a) db, with 0 where the formula says 0 * inf: b = 0, and a = 0 with b >= 0. */
static int32_t power(deriver *d, int32_t a, int32_t b, int32_t out, int32_t da, int32_t db) {
    if (da != ZERO) {
        int32_t slope = mul(d, b, pw_emit2(&d->b, DL_OP_POW, a, plus(d, b, -1)));
        da = choose(d, pw_compare(&d->b, DL_OP_EQ, b, number(d, b, 0)), ZERO, times(d, da, slope));
    }
    if (db != ZERO) {
        int32_t base_0 = pw_compare(&d->b, DL_OP_EQ, a, number(d, a, 0));
        int32_t flat = pw_emit(&d->b, DL_OP_AND, DL_BOOL, base_0, pw_compare(&d->b, DL_OP_LE, number(d, b, 0), b), 0);
        db = choose(d, flat, ZERO, times(d, db, mul(d, out, unary(d, DL_OP_LOG, a))));
    }
    return sum(d, da, db);
}

/* d atan2(a, b) = (b da - a db) / (a^2 + b^2) */
static int32_t angle(deriver *d, int32_t a, int32_t b, int32_t da, int32_t db) {
    int32_t norm = pw_emit2(&d->b, DL_OP_ADD, mul(d, a, a), mul(d, b, b));
    return over(d, sum(d, times(d, da, b), minus(d, times(d, db, a))), norm);
}

static int32_t binary(deriver *d, const dl_ins *i, int32_t out, int32_t da, int32_t db) {
    int32_t a = d->value[i->a], b = d->value[i->b];
    switch (i->op) {
    case DL_OP_ADD: return sum(d, da, db);
    case DL_OP_SUB: return sum(d, da, minus(d, db));
    case DL_OP_MUL: return sum(d, times(d, da, b), times(d, db, a));
    case DL_OP_DIV: return sum(d, over(d, da, b), minus(d, over(d, times(d, db, out), b)));
    case DL_OP_POW: return power(d, a, b, out, da, db);
    case DL_OP_ATAN2: return angle(d, a, b, da, db);
    case DL_OP_IMOD: return sum(d, da, minus(d, times(d, db, pw_emit2(&d->b, DL_OP_IDIV, a, b))));
    default: return extremum(d, i, da, db);
    }
}

/* 1 - x^2 in a form that keeps its accuracy near 1. */
static int32_t one_minus_square(deriver *d, int32_t x) { return mul(d, sub(d, number(d, x, 1), x), plus(d, x, 1)); }

static int32_t gaussian(deriver *d, int32_t t, int32_t x, double factor) { /* t * factor * exp(-x^2) */
    return times(d, t, scaled(d, unary(d, DL_OP_EXP, unary(d, DL_OP_NEG, mul(d, x, x))), factor));
}

/* t times the derivative of op at x, whose value there is out. ln 2, 1/ln 2, 2/sqrt(pi) below. */
static int32_t chain_rule(deriver *d, int32_t op, int32_t x, int32_t out, int32_t t) {
    switch (op) {
    case DL_OP_NEG: return minus(d, t);
    case DL_OP_RECIP: return minus(d, times(d, t, mul(d, out, out)));
    case DL_OP_SQRT: return over(d, t, scaled(d, out, 2));
    case DL_OP_EXP: return times(d, t, out);
    case DL_OP_EXP2: return times(d, t, scaled(d, out, 0.69314718055994530942));
    case DL_OP_EXPM1: return times(d, t, plus(d, out, 1));
    case DL_OP_LOG: return over(d, t, x);
    case DL_OP_LOG2: return over(d, t, scaled(d, x, 0.69314718055994530942));
    case DL_OP_LOG1P: return over(d, t, plus(d, x, 1));
    case DL_OP_SIN: return times(d, t, unary(d, DL_OP_COS, x));
    case DL_OP_COS: return minus(d, times(d, t, unary(d, DL_OP_SIN, x)));
    case DL_OP_TAN: return times(d, t, plus(d, mul(d, out, out), 1));
    case DL_OP_ASIN: return over(d, t, unary(d, DL_OP_SQRT, one_minus_square(d, x)));
    case DL_OP_ACOS: return minus(d, over(d, t, unary(d, DL_OP_SQRT, one_minus_square(d, x))));
    case DL_OP_ATAN: return over(d, t, plus(d, mul(d, x, x), 1));
    case DL_OP_SINH: return times(d, t, unary(d, DL_OP_COSH, x));
    case DL_OP_COSH: return times(d, t, unary(d, DL_OP_SINH, x));
    case DL_OP_TANH: return times(d, t, one_minus_square(d, out));
    case DL_OP_ERF: return gaussian(d, t, x, 1.12837916709551257390);
    case DL_OP_ERFC: return gaussian(d, t, x, -1.12837916709551257390);
    case DL_OP_LGAMMA: return times(d, t, unary(d, DL_OP_DIGAMMA, x));
    default: return times(d, t, unary(d, DL_OP_TRIGAMMA, x)); /* digamma */
    }
}

static int32_t absolute(deriver *d, int32_t x, int32_t t) {
    int32_t zero = number(d, x, 0), positive = pw_compare(&d->b, DL_OP_LT, zero, x);
    return choose(d, positive, t, choose(d, pw_compare(&d->b, DL_OP_LT, x, zero), minus(d, t), ZERO));
}

/* The tangent of forward instruction i, whose value is out. *known: false where the derivative has no expression here. */
static int32_t tangent(deriver *d, const dl_ins *i, int32_t out, bool *known) {
    int32_t n = pw_operands(i->op);
    if (!pw_is_float(i->type) || n == 0) return ZERO;
    int32_t da = d->tangent[i->a], db = n > 1 ? d->tangent[i->b] : ZERO, dc = n > 2 ? d->tangent[i->c] : ZERO;
    if (i->op == DL_OP_SEL) return choose(d, d->value[i->a], db, dc);
    if (da == ZERO && db == ZERO && dc == ZERO) return ZERO;
    switch (i->op) {
    case DL_OP_FLOOR:
    case DL_OP_CEIL:
    case DL_OP_TRUNC:
    case DL_OP_RINT:
    case DL_OP_IDIV: return ZERO;
    case DL_OP_BITCAST:
    case DL_OP_TRIGAMMA: *known = false; return ZERO;
    case DL_OP_CAST: return pw_cast(&d->b, da, i->type);
    case DL_OP_ABS: return absolute(d, d->value[i->a], da);
    case DL_OP_FMA: return sum(d, sum(d, times(d, da, d->value[i->b]), times(d, db, d->value[i->a])), dc);
    default: return n == 2 ? binary(d, i, out, da, db) : chain_rule(d, i->op, d->value[i->a], out, da);
    }
}

/* The forward instruction over here: inputs move up by one, behind g. */
static int32_t copy(deriver *d, const dl_ins *i) {
    dl_ins moved = *i;
    int32_t n = pw_operands(i->op);
    if (i->op == DL_OP_IN) moved.a = i->a + 1;
    if (n == 0) return pw_intern(&d->b, moved);
    return pw_emit(&d->b, i->op, i->type, d->value[i->a], n > 1 ? d->value[i->b] : 0, n > 2 ? d->value[i->c] : 0);
}

/* Derives everything; the result's tangent (may be ZERO). The result's own value is read from the last input where a derivative
 * uses it: exp, sqrt, tanh then need not be computed again, nor their input be kept. */
static int32_t derive(deriver *d, int32_t k, bool *known) {
    const dl_prog *p = d->p;
    int32_t root = p->out[0];
    uint8_t out_type = p->ins[root].type;
    int32_t seed = pw_cast(&d->b, pw_leaf(&d->b, DL_OP_IN, out_type, 0), p->in_type[k]);
    for (int32_t j = 0; j <= root; j++) {
        const dl_ins *i = &p->ins[j];
        d->value[j] = copy(d, i);
        int32_t out = j == root ? pw_leaf(&d->b, DL_OP_IN, out_type, (int32_t)p->n_in + 1) : d->value[j];
        d->tangent[j] = i->op == DL_OP_IN && i->a == k ? seed : tangent(d, i, out, known);
    }
    return d->tangent[root];
}

static dl_status check(const dl_prog *p, int32_t k) {
    if (k < 0 || k >= (int32_t)p->n_in) return dl_failf(DL_INVALID, "%s: there is no input %d to differentiate by", p->name, k);
    if (p->n_in + 2 > DL_PROG_MAX_ARGS)
        return dl_failf(DL_UNSUPPORTED, "%s: a further derivative would have more than %d inputs", p->name, DL_PROG_MAX_ARGS);
    if (!pw_is_float(p->in_type[k]))
        return dl_failf(DL_UNSUPPORTED, "%s: input %d is %s; only floating-point inputs have gradients", p->name, k,
                        pw_type_name(p->in_type[k]));
    if (!pw_is_float(p->ins[p->out[0]].type))
        return dl_failf(DL_UNSUPPORTED, "%s gives %s, which has no gradient", p->name, pw_type_name(p->ins[p->out[0]].type));
    return DL_OK;
}

dl_status dl_prog_grad(const dl_prog *p, int32_t k, dl_prog **out) {
    *out = NULL;
    DL_TRY(check(p, k));
    deriver d = {.p = p, .value = dl_mem(NULL, 2 * p->n_ins * sizeof(int32_t))};
    if (!d.value) return dl_failf(DL_NOMEM, "out of memory differentiating '%s'", p->name);
    d.tangent = d.value + p->n_ins;
    pw_begin(&d.b);
    bool known = true;
    int32_t root = derive(&d, k, &known);
    uint8_t in_type[DL_PROG_MAX_ARGS];
    in_type[0] = in_type[p->n_in + 1] = p->ins[p->out[0]].type;
    for (uint32_t j = 0; j < p->n_in; j++) in_type[j + 1] = p->in_type[j];
    root = root == ZERO ? pw_number(&d.b, p->in_type[k], 0) : pw_cast(&d.b, root, p->in_type[k]);
    dl_mem(d.value, 0);
    if (!known) {
        pw_discard(&d.b);
        return dl_failf(DL_UNSUPPORTED, "%s: its derivative by input %d has no expression", p->name, k);
    }
    return pw_finish(&d.b, root, (int32_t)p->n_in + 2, in_type, (int32_t)p->n_attr, p->name, out);
}
