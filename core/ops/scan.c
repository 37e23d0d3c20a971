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

/* x's lines along dim with all before each element joined to it by a pointwise op that is associative, by the steps of Hillis
 * and Steele ("Data parallel algorithms", CACM 1986): after step k each has joined 2^k. */
static dl_value running_by_steps(dl_graph *g, dl_value x, const dl_tensor *t, int32_t dim, const char *op) {
    const int64_t n = t->shape[dim];
    dl_value spare[2] = {DL_NO_VALUE, DL_NO_VALUE}; /* two that take turns; x itself is only read */
    for (int64_t reach = 1, turn = 0; reach < n; reach *= 2, turn = !turn) {
        if (spare[turn] == DL_NO_VALUE) spare[turn] = dl_graph_empty(g, t->type, t->ndim, t->shape);
        dl_value y = spare[turn];
        into1(g, e_slice(g, y, dim, 0, reach), "copy", e_slice(g, x, dim, 0, reach), NO_ATTRS);
        into2(g, e_slice(g, y, dim, reach, n - reach), op, e_slice(g, x, dim, reach, n - reach),
              e_slice(g, x, dim, 0, n - reach), NO_ATTRS);
        x = y;
    }
    return x;
}

enum { PIECE = 32 };

/* The same; long lines in pieces: each by itself, then their last elements, which the pieces behind join. */
static dl_value running(dl_graph *g, dl_value x, int32_t dim, const char *op) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    if (!t || t->ndim == 0 || count_of(t->ndim, t->shape) == 0) return x;
    const int64_t n = t->shape[dim], pieces = (n + PIECE - 1) / PIECE;
    if (n <= 2 * PIECE || t->ndim == DL_MAX_DIMS) return running_by_steps(g, x, t, dim, op);
    dl_shape padded = shape_of(t), cut = {.ndim = t->ndim + 1};
    padded.size[dim] = pieces * PIECE; /* what lies behind the end joins nothing before it: any values */
    for (int32_t d = 0; d < cut.ndim; d++) cut.size[d] = d == dim ? pieces : d == dim + 1 ? PIECE : t->shape[d - (d > dim)];
    dl_value whole = dl_graph_empty(g, t->type, padded.ndim, padded.size);
    into1(g, e_slice(g, whole, dim, 0, n), "copy", x, NO_ATTRS);
    whole = e_reshape(g, whole, cut.ndim, cut.size);
    t = dl_graph_tensor(g, whole);
    if (!t) return DL_NO_VALUE;
    dl_value y = running_by_steps(g, whole, t, dim + 1, op);
    dl_value before = running(g, e_select(g, y, dim + 1, PIECE - 1), dim, op);
    before = emit1(g, "unsqueeze", e_slice(g, before, dim, 0, pieces - 1), ATTRS(DL_INT(dim + 1)));
    dl_value behind = e_slice(g, y, dim, 1, pieces - 1);
    into2(g, behind, op, behind, before, NO_ATTRS);
    return e_slice(g, e_reshape(g, y, padded.ndim, padded.size), dim, 0, n);
}

static dl_status returns_running(dl_graph *g, const dl_frame *f, const char *op) {
    const dl_tensor *out = f->out[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), f->in[0]->ndim, &dim));
    dl_value y = running(g, e_cast(g, dl_graph_in(g, 0), wide_type(out->type)), dim, op);
    dl_graph_returns(g, 0, e_cast(g, y, out->type));
    return dl_graph_status(g);
}

dl_status compose_cumsum(dl_graph *g, const dl_frame *f) { return returns_running(g, f, "add"); }
dl_status compose_cumprod(dl_graph *g, const dl_frame *f) { return returns_running(g, f, "mul"); }

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

/* Of the places so far that equal the extreme so far, or are NaN where it is, the last: a running maximum of places. */
static dl_status running_extreme(dl_graph *g, const dl_frame *f, const char *op) {
    const dl_tensor *t = f->in[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), t->ndim, &dim));
    dl_value x = dl_graph_in(g, 0), most = running(g, x, dim, op), here = e_eq(g, x, most);
    if (is_floating(t->type)) here = emit2(g, "logical_or", here, emit1(g, "isnan", x, NO_ATTRS), NO_ATTRS);
    dl_value place = e_expand(g, e_ramp(g, 0, 1, t->ndim ? t->shape[dim] : 1, t->ndim ? dim : -1, t->ndim), t->ndim, t->shape);
    place = emit2(g, "masked_fill", place, emit1(g, "logical_not", here, NO_ATTRS), ATTRS(DL_INT(0)));
    dl_graph_returns(g, 0, most);
    dl_graph_returns(g, 1, running(g, place, dim, "maximum"));
    return dl_graph_status(g);
}

dl_status compose_cummax(dl_graph *g, const dl_frame *f) { return running_extreme(g, f, "maximum"); }
dl_status compose_cummin(dl_graph *g, const dl_frame *f) { return running_extreme(g, f, "minimum"); }

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

dl_status compose_logcumsumexp(dl_graph *g, const dl_frame *f) { return returns_running(g, f, "logaddexp"); }

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
