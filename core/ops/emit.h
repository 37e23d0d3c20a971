/* emit.h - short names for what compositions and gradients emit, so that a formula reads like one. */
#ifndef DL_OPS_EMIT_H
#define DL_OPS_EMIT_H
#include "core/ops/rules.h"

/* ---- attributes ---------------------------------------------------------------------------------------------------- */

#define DL_INT(x) ((dl_attr){.kind = DL_ATTR_INT, .v.i = (x)})
#define DL_FLOAT(x) ((dl_attr){.kind = DL_ATTR_FLOAT, .v.f = (x)})
#define DL_INTS(p, count) ((dl_attr){.kind = DL_ATTR_INTS, .n = (int32_t)(count), .v.iv = (p)})
/* The last two arguments of the functions below: ATTRS(DL_INT(1), ...) or NO_ATTRS. */
#define ATTRS(...) (const dl_attr[]){__VA_ARGS__}, sizeof((const dl_attr[]){__VA_ARGS__}) / sizeof(dl_attr)
#define NO_ATTRS NULL, 0

static inline dl_value emit0(dl_graph *g, const char *op, const dl_attr *attr, uint32_t n) {
    return dl_emit(g, op, NULL, 0, attr, n);
}
static inline dl_value emit1(dl_graph *g, const char *op, dl_value x, const dl_attr *attr, uint32_t n) {
    return dl_emit(g, op, &x, 1, attr, n);
}
static inline dl_value emit2(dl_graph *g, const char *op, dl_value a, dl_value b, const dl_attr *attr, uint32_t n) {
    return dl_emit(g, op, (dl_value[]){a, b}, 2, attr, n);
}
static inline dl_value emit3(dl_graph *g, const char *op, dl_value a, dl_value b, dl_value c, const dl_attr *attr, uint32_t n) {
    return dl_emit(g, op, (dl_value[]){a, b, c}, 3, attr, n);
}

/* The same, written into a value that is there already (dl_emit_into). */
static inline dl_value into1(dl_graph *g, dl_value to, const char *op, dl_value x, const dl_attr *attr, uint32_t n) {
    return dl_emit_into(g, to, op, &x, 1, attr, n);
}
static inline dl_value into2(dl_graph *g, dl_value to, const char *op, dl_value a, dl_value b, const dl_attr *attr,
                             uint32_t n) {
    return dl_emit_into(g, to, op, (dl_value[]){a, b}, 2, attr, n);
}
static inline dl_value into3(dl_graph *g, dl_value to, const char *op, dl_value a, dl_value b, dl_value c, const dl_attr *attr,
                             uint32_t n) {
    return dl_emit_into(g, to, op, (dl_value[]){a, b, c}, 3, attr, n);
}

/* ---- pointwise ----------------------------------------------------------------------------------------------------- */

static inline dl_value e_add(dl_graph *g, dl_value a, dl_value b) { return emit2(g, "add", a, b, NO_ATTRS); }
static inline dl_value e_sub(dl_graph *g, dl_value a, dl_value b) { return emit2(g, "sub", a, b, NO_ATTRS); }
static inline dl_value e_mul(dl_graph *g, dl_value a, dl_value b) { return emit2(g, "mul", a, b, NO_ATTRS); }
static inline dl_value e_div(dl_graph *g, dl_value a, dl_value b) { return emit2(g, "div", a, b, NO_ATTRS); }
static inline dl_value e_exp(dl_graph *g, dl_value x) { return emit1(g, "exp", x, NO_ATTRS); }
static inline dl_value e_log(dl_graph *g, dl_value x) { return emit1(g, "log", x, NO_ATTRS); }
static inline dl_value e_eq(dl_graph *g, dl_value a, dl_value b) { return emit2(g, "eq", a, b, NO_ATTRS); }
/* condition ? a : b */
static inline dl_value e_where(dl_graph *g, dl_value condition, dl_value a, dl_value b) {
    return emit3(g, "where", condition, a, b, NO_ATTRS);
}

static inline dl_value e_scale(dl_graph *g, dl_value x, double by) { /* x itself for 1 */
    return by == 1 ? x : emit1(g, "mul_scalar", x, ATTRS(DL_FLOAT(by)));
}
static inline dl_value e_equals(dl_graph *g, dl_value x, double y) { return emit1(g, "eq_scalar", x, ATTRS(DL_FLOAT(y))); }
/* condition ? y : x */
static inline dl_value e_fill(dl_graph *g, dl_value x, dl_value condition, double y) {
    return emit2(g, "masked_fill", x, condition, ATTRS(DL_FLOAT(y)));
}

/* ---- constants ----------------------------------------------------------------------------------------------------- */

dl_value e_constant(dl_graph *, dl_value like, double x); /* 0-dim, of like's dtype */
dl_value e_zeros(dl_graph *, dl_dtype, int32_t ndim, const int64_t *shape);
static inline dl_value e_zeros_like(dl_graph *g, const dl_tensor *t) { return e_zeros(g, t->type, t->ndim, t->shape); }

/* start + k*step for k in 0..n-1, int64, along dimension dim of `ndim`, all others of size 1: broadcasts against a tensor. */
dl_value e_ramp(dl_graph *, int64_t start, int64_t step, int64_t n, int32_t dim, int32_t ndim);
/* A scalar attribute for elements of a dtype: fractions below 1 are true as a bool. */
dl_attr scalar_for(dl_dtype, dl_attr);
/* ---- tensors that a composition makes and fills -------------------------------------------------------------------- */

dl_value e_filled(dl_graph *, dl_dtype, int32_t ndim, const int64_t *shape, double x);
/* Into `to`: a tensor of this composition's own making, or a view of one. */
static inline void e_copy_into(dl_graph *g, dl_value to, dl_value x) { into1(g, to, "copy", x, NO_ATTRS); }
static inline void e_add_into(dl_graph *g, dl_value to, dl_value x) { into2(g, to, "add", to, x, NO_ATTRS); }
/* start, start + step, ...: n of them */
dl_value e_numbers(dl_graph *, dl_dtype, int64_t n, double start, double step);

/* In which sums of halves are kept. */
static inline dl_dtype wide_type(dl_dtype t) { return t == DL_F16 || t == DL_BF16 ? DL_F32 : t; }

/* ---- shapes and reductions ----------------------------------------------------------------------------------------- */

/* Each gives x itself where there is nothing to do. */
dl_value e_cast(dl_graph *, dl_value x, dl_dtype);
dl_value e_reshape(dl_graph *, dl_value x, int32_t ndim, const int64_t *shape);
dl_value e_expand(dl_graph *, dl_value x, int32_t ndim, const int64_t *shape);
dl_value e_sum_to(dl_graph *, dl_value x, int32_t ndim, const int64_t *shape);
static inline dl_value e_sum_like(dl_graph *g, dl_value x, const dl_tensor *t) { return e_sum_to(g, x, t->ndim, t->shape); }

/* Vector v along dimension dim of `ndim`, all others of size 1. */
dl_value e_along(dl_graph *, dl_value v, int32_t dim, int32_t ndim);
static inline dl_value e_select(dl_graph *g, dl_value x, int32_t dim, int64_t index) {
    return emit1(g, "select", x, ATTRS(DL_INT(dim), DL_INT(index)));
}
/* x's elements as a vector. */
dl_value e_flat(dl_graph *, dl_value x);
dl_value e_permute(dl_graph *, dl_value x, int32_t ndim, const int64_t *dims);
/* `length` slices along dim from `start`; x itself where that is all. */
dl_value e_slice(dl_graph *, dl_value x, int32_t dim, int64_t start, int64_t length);
/* A view with strides of its own. The strides of x that it is made from come from e_plain: views never see another layout. */
dl_value e_strided(dl_graph *, dl_value x, int32_t ndim, const int64_t *shape, const int64_t *strides, int64_t offset);
const dl_tensor *e_plain(dl_graph *, dl_value x);
/* Slices number index[k] of x along dim; index: a vector. */
dl_value e_take(dl_graph *, dl_value x, int32_t dim, dl_value index);
dl_value e_transpose(dl_graph *, dl_value x); /* the last two dimensions */
dl_value e_flip(dl_graph *, dl_value x, int32_t dim);
dl_value e_sum(dl_graph *, dl_value x, int32_t dim, int keepdim);
/* The primitive reduction by a scalar opcode over the dimensions in mask, which disappear. */
dl_value e_combine(dl_graph *, dl_value x, uint32_t mask, int32_t opcode);
/* A reduction of op over the dimensions in mask, kept as size 1. */
dl_value e_reduce(dl_graph *, const char *op, dl_value x, uint32_t mask);

/* An input that is present, else DL_NO_VALUE. */
static inline dl_value in_if(dl_graph *g, const dl_frame *f, uint32_t k) {
    return k < f->n_in && f->in[k] ? dl_graph_in(g, k) : DL_NO_VALUE;
}
#endif
