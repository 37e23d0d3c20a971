/* scan.c - running sums, products, extremes and sums of exponentials. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <math.h>

dl_status infer_cumsum(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    return dl_set_out(f, 0, accumulated(x->type), x->ndim, x->shape);
}

/* Running sum from the end. */
static dl_value cumsum_back(dl_graph *g, dl_value x, int32_t dim) {
    return e_flip(g, emit1(g, "cumsum", e_flip(g, x, dim), ATTRS(DL_INT(dim))), dim);
}

dl_status grad_cumsum(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), f->in[0]->ndim, &dim));
    dl_graph_returns(g, 0, cumsum_back(g, dl_graph_grad(g, 0), dim));
    return dl_graph_status(g);
}

/* Towards x_j: the sum over i >= j of g_i out_i / x_j. That holds before the first zero of a line, where all later out_i are 0.
 * At the first zero the products leave it out; behind it every product contains it. */
dl_status grad_cumprod(dl_graph *g, const dl_frame *f) {
    const dl_tensor *t = f->in[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), t->ndim, &dim));
    dl_value x = dl_graph_in(g, 0), grad = dl_graph_grad(g, 0), is_zero = e_equals(g, x, 0);
    dl_value zeros_so_far = e_cast(g, emit1(g, "cumsum", is_zero, ATTRS(DL_INT(dim))), t->type);
    dl_value before = e_equals(g, zeros_so_far, 0);
    dl_value first_zero = emit2(g, "logical_and", is_zero, e_equals(g, zeros_so_far, 1), NO_ATTRS);
    dl_value products = emit1(g, "cumprod", e_fill(g, x, first_zero, 1), ATTRS(DL_INT(dim)));
    dl_value at_zero = cumsum_back(g, e_mul(g, grad, products), dim);
    dl_value elsewhere = e_div(g, cumsum_back(g, e_mul(g, grad, dl_graph_out(g, 0)), dim), e_fill(g, x, is_zero, 1));
    dl_value behind = e_fill(g, at_zero, emit1(g, "logical_not", first_zero, NO_ATTRS), 0);
    dl_graph_returns(g, 0, e_where(g, before, elsewhere, behind));
    return dl_graph_status(g);
}

dl_status infer_cummax(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    DL_TRY(out_like(f, 0, x));
    return dl_set_out(f, 1, DL_I64, x->ndim, x->shape);
}

dl_status grad_cummax(dl_graph *g, const dl_frame *f) {
    if (dl_graph_grad(g, 0) == DL_NO_VALUE) return DL_OK;
    dl_value in[] = {e_zeros_like(g, f->in[0]), dl_graph_out(g, 1), dl_graph_grad(g, 0)};
    dl_graph_returns(g, 0, dl_emit(g, "scatter_add", in, 3, f->attr, 1));
    return dl_graph_status(g);
}

dl_status infer_logcumsumexp(dl_frame *f) {
    DL_TRY(rule_floating(f->in[0]));
    return infer_cumsum(f);
}

/* exp(x_j) times the sum over i >= j of exp(log(weight_i) - out_i), for weights that are not negative. */
static dl_value exponentials_back(dl_graph *g, dl_value x, dl_value weight, dl_value out, int32_t dim) {
    dl_value none = emit1(g, "le_scalar", weight, ATTRS(DL_FLOAT(0)));
    dl_value logs = e_sub(g, e_log(g, e_fill(g, weight, none, 1)), out);
    logs = e_fill(g, logs, none, -INFINITY);
    return e_exp(g, e_add(g, x, e_flip(g, emit1(g, "logcumsumexp", e_flip(g, logs, dim), ATTRS(DL_INT(dim))), dim)));
}

/* Towards x_j: the sum over i >= j of g_i exp(x_j - out_i), in logarithms, so that no term overflows by itself; positive and
 * negative g_i apart. Where out is -inf so is every x_j that counts there, and the term is 0. */
dl_status grad_logcumsumexp(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), f->in[0]->ndim, &dim));
    dl_value x = dl_graph_in(g, 0), out = dl_graph_out(g, 0), grad = dl_graph_grad(g, 0);
    out = e_fill(g, out, e_equals(g, out, -INFINITY), 0);
    dl_value plus = exponentials_back(g, x, grad, out, dim), minus = exponentials_back(g, x, e_scale(g, grad, -1), out, dim);
    dl_graph_returns(g, 0, e_sub(g, plus, minus));
    return dl_graph_status(g);
}
