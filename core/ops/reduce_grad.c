/* reduce_grad.c - gradients of reductions. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <math.h>

/* A tensor of the reduction's result, with the reduced dimensions back as size 1, so that it broadcasts against x. */
static dl_value kept(dl_graph *g, const dl_frame *f, dl_value y, uint32_t mask) {
    const dl_tensor *x = f->in[0];
    int64_t shape[DL_MAX_DIMS];
    for (int32_t d = 0; d < x->ndim; d++) shape[d] = mask >> d & 1 ? 1 : x->shape[d];
    return e_reshape(g, y, x->ndim, shape);
}

static dl_value over_x(dl_graph *g, const dl_frame *f, dl_value y) { return e_expand(g, y, f->in[0]->ndim, f->in[0]->shape); }

/* The dims attribute in place k as a mask, and the incoming gradient broadcast against x. */
static dl_status incoming(dl_graph *g, const dl_frame *f, uint32_t k, uint32_t *mask, dl_value *grad) {
    DL_TRY(rule_dims(f, k, f->in[0]->ndim, mask));
    *grad = kept(g, f, dl_graph_grad(g, 0), *mask);
    return dl_graph_status(g);
}

static dl_status returned(dl_graph *g, dl_value grad) {
    dl_graph_returns(g, 0, grad);
    return dl_graph_status(g);
}

dl_status grad_sum(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    dl_value grad;
    DL_TRY(incoming(g, f, 0, &mask, &grad));
    return returned(g, over_x(g, f, e_cast(g, grad, f->in[0]->type)));
}

dl_status grad_mean(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    dl_value grad;
    DL_TRY(incoming(g, f, 0, &mask, &grad));
    return returned(g, over_x(g, f, e_scale(g, grad, 1.0 / (double)reduced_count(f->in[0], mask))));
}

/* 2 (x - mean) / (n - correction) */
dl_status grad_var(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    dl_value grad;
    DL_TRY(incoming(g, f, 0, &mask, &grad));
    int64_t n = reduced_count(f->in[0], mask), free = n - attr_int(f, 1);
    dl_value x = dl_graph_in(g, 0), mean = e_scale(g, e_reduce(g, "sum", x, mask), 1.0 / (double)n);
    return returned(g, e_mul(g, e_sub(g, x, mean), e_scale(g, grad, 2.0 / (double)(free > 0 ? free : 0))));
}

/* The product of the other elements: that of the non-zero ones, divided by x where x is not 0, and 0 where another one is. */
dl_status grad_prod(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    dl_value grad;
    DL_TRY(incoming(g, f, 0, &mask, &grad));
    dl_value x = dl_graph_in(g, 0), is_zero = e_equals(g, x, 0), safe = e_fill(g, x, is_zero, 1);
    dl_value zeros = e_cast(g, is_zero, f->in[0]->type);
    dl_value other_zeros = e_sub(g, e_reduce(g, "sum", zeros, mask), zeros);
    dl_value others = e_div(g, e_reduce(g, "prod", safe, mask), safe);
    dl_value some = emit1(g, "ne_scalar", other_zeros, ATTRS(DL_FLOAT(0)));
    return returned(g, e_mul(g, grad, e_fill(g, others, some, 0)));
}

/* Shares grad evenly between the elements of x that equal `value`. */
static dl_value shared(dl_graph *g, dl_value grad, dl_value x, dl_value value, uint32_t mask) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    dl_value equal = e_cast(g, e_eq(g, x, value), t ? t->type : DL_F32);
    return e_mul(g, equal, e_div(g, grad, e_reduce(g, "sum", equal, mask)));
}

dl_status grad_amax(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    dl_value grad;
    DL_TRY(incoming(g, f, 0, &mask, &grad));
    return returned(g, shared(g, grad, dl_graph_in(g, 0), kept(g, f, dl_graph_out(g, 0), mask), mask));
}

dl_status grad_max_dim(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    if (dl_graph_grad(g, 0) == DL_NO_VALUE) return DL_OK;
    dl_value grad = kept(g, f, dl_graph_grad(g, 0), 1u << dim), index = kept(g, f, dl_graph_out(g, 1), 1u << dim);
    return returned(g, emit3(g, "scatter_add", e_zeros_like(g, x), index, grad, ATTRS(DL_INT(dim))));
}

/* |x|^p summed and rooted: g sign(x) (|x| / norm)^(p-1), and 0 where the norm is 0. */
dl_status grad_norm(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    dl_value grad;
    double p = attr_float(f, 0);
    DL_TRY(incoming(g, f, 1, &mask, &grad));
    dl_value x = dl_graph_in(g, 0), norm = kept(g, f, dl_graph_out(g, 0), mask);
    if (p == 0) return returned(g, e_zeros_like(g, f->in[0]));
    dl_value sign = emit1(g, "sign", x, NO_ATTRS);
    if (p == 1) return returned(g, e_mul(g, grad, sign));
    if (isinf(p)) return returned(g, e_mul(g, sign, shared(g, grad, emit1(g, "abs", x, NO_ATTRS), norm, mask)));
    dl_value safe = e_fill(g, norm, e_equals(g, norm, 0), 1);
    if (p == 2) return returned(g, e_mul(g, grad, e_div(g, x, safe)));
    /* Where x is 0, sign makes the gradient 0; the power is taken of 1 there, or it would be infinite for p < 1. */
    dl_value size = e_fill(g, emit1(g, "abs", x, NO_ATTRS), e_equals(g, x, 0), 1);
    dl_value power = emit1(g, "pow_scalar", e_div(g, size, safe), ATTRS(DL_FLOAT(p - 1)));
    return returned(g, e_mul(g, grad, e_mul(g, sign, power)));
}

/* exp(x - out), that is softmax; 0 where all of x is -inf. */
dl_status grad_logsumexp(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    dl_value grad;
    DL_TRY(incoming(g, f, 0, &mask, &grad));
    dl_value x = dl_graph_in(g, 0), out = kept(g, f, dl_graph_out(g, 0), mask);
    out = e_fill(g, out, e_equals(g, out, -INFINITY), 0);
    return returned(g, e_mul(g, grad, e_exp(g, e_sub(g, x, out))));
}
