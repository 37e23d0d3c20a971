/* nn.c - softmax and dropout. The losses are in loss.c. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

static dl_status dim_attr(const dl_frame *f, int32_t *dim) { return rule_dim(attr_int(f, 0), f->in[0]->ndim, dim); }

static dl_status returned(dl_graph *g, dl_value y) {
    dl_graph_returns(g, 0, y);
    return dl_graph_status(g);
}

/* ---- softmax and log_softmax --------------------------------------------------------------------------------------- */

/* Also of the backward ops, whose second input is the softmax's result. */
dl_status infer_softmax(dl_frame *f) {
    int32_t dim;
    DL_TRY(rule_floating(f->in[0]));
    DL_TRY(dim_attr(f, &dim));
    if (f->n_in > 1) {
        DL_TRY(rule_same_type(f->in[0], "grad", f->in[1], "y"));
        if (!same_shape(f->in[0], f->in[1]))
            return dl_failf(DL_INVALID, "expected a gradient of shape %s, got %s", shape_text(f->in[1]).s,
                            shape_text(f->in[0]).s);
    }
    return out_like(f, 0, f->in[0]);
}

dl_status compose_softmax(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(dim_attr(f, &dim));
    dl_value x = dl_graph_in(g, 0);
    if (count_of(f->in[0]->ndim, f->in[0]->shape) == 0) return returned(g, emit1(g, "copy", x, NO_ATTRS));
    dl_value e = e_exp(g, e_sub(g, x, e_reduce(g, "amax", x, 1u << dim)));
    return returned(g, e_div(g, e, e_sum(g, e, dim, 1)));
}

dl_status compose_log_softmax(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(dim_attr(f, &dim));
    dl_value x = dl_graph_in(g, 0);
    return returned(g, e_sub(g, x, e_reduce(g, "logsumexp", x, 1u << dim)));
}

dl_status compose_softmax_backward(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(dim_attr(f, &dim));
    dl_value grad = dl_graph_in(g, 0), out = dl_graph_in(g, 1);
    return returned(g, e_mul(g, out, e_sub(g, grad, e_sum(g, e_mul(g, grad, out), dim, 1))));
}

dl_status compose_log_softmax_backward(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(dim_attr(f, &dim));
    dl_value grad = dl_graph_in(g, 0), out = dl_graph_in(g, 1);
    return returned(g, e_sub(g, grad, e_mul(g, e_exp(g, out), e_sum(g, grad, dim, 1))));
}

dl_status grad_softmax(dl_graph *g, const dl_frame *f) {
    return returned(g, emit2(g, "softmax_backward", dl_graph_grad(g, 0), dl_graph_out(g, 0), f->attr, 1));
}

dl_status grad_log_softmax(dl_graph *g, const dl_frame *f) {
    return returned(g, emit2(g, "log_softmax_backward", dl_graph_grad(g, 0), dl_graph_out(g, 0), f->attr, 1));
}

/* z = y (g - sum(g y)), with the incoming gradient h: the Jacobian towards g is symmetric; towards y: h (g - sum(g y)) - g
 * sum(h y). */
dl_status grad_softmax_backward(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(dim_attr(f, &dim));
    dl_value h = dl_graph_grad(g, 0), grad = dl_graph_in(g, 0), y = dl_graph_in(g, 1);
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, emit2(g, "softmax_backward", h, y, f->attr, 1));
    if (dl_graph_needs(g, 1)) {
        dl_value direct = e_mul(g, h, e_sub(g, grad, e_sum(g, e_mul(g, grad, y), dim, 1)));
        dl_graph_returns(g, 1, e_sub(g, direct, e_mul(g, grad, e_sum(g, e_mul(g, h, y), dim, 1))));
    }
    return dl_graph_status(g);
}

/* z = g - exp(y) sum(g): towards g: h - sum(h exp(y)); towards y: -h exp(y) sum(g). */
dl_status grad_log_softmax_backward(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    DL_TRY(dim_attr(f, &dim));
    dl_value h = dl_graph_grad(g, 0), weighted = e_mul(g, h, e_exp(g, dl_graph_in(g, 1)));
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, e_sub(g, h, e_sum(g, weighted, dim, 1)));
    if (dl_graph_needs(g, 1)) dl_graph_returns(g, 1, e_scale(g, e_mul(g, weighted, e_sum(g, dl_graph_in(g, 0), dim, 1)), -1));
    return dl_graph_status(g);
}

/* ---- dropout -------------------------------------------------------------------------------------------------------- */

dl_status infer_dropout(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    double p = attr_float(f, 0);
    DL_TRY(rule_floating(x));
    if (!(p >= 0 && p <= 1)) return dl_failf(DL_INVALID, "expected a probability from 0 to 1, got %g", p);
    DL_TRY(out_like(f, 0, x));
    return dl_set_out(f, 1, DL_U8, x->ndim, x->shape);
}

dl_status grad_dropout(dl_graph *g, const dl_frame *f) {
    double p = attr_float(f, 0);
    dl_value grad = dl_graph_grad(g, 0);
    if (grad == DL_NO_VALUE) return DL_OK;
    return returned(g, e_scale(g, e_mul(g, grad, e_cast(g, dl_graph_out(g, 1), f->in[0]->type)), p < 1 ? 1 / (1 - p) : 0));
}
