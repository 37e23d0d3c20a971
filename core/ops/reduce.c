/* reduce.c - reductions over dimensions: shape rules and compositions. Their gradients are in reduce_grad.c, running sums and
 * products in scan.c. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <math.h>

/* ---- shapes -------------------------------------------------------------------------------------------------------- */

/* Output k: x's shape without the dimensions in mask, or with size 1 there. */
static dl_status reduced(dl_frame *f, uint32_t k, dl_dtype type, uint32_t mask, int keepdim) {
    const dl_tensor *x = f->in[0];
    dl_shape s = {0};
    for (int32_t d = 0; d < x->ndim; d++) {
        if (!(mask >> d & 1))
            s.size[s.ndim++] = x->shape[d];
        else if (keepdim)
            s.size[s.ndim++] = 1;
    }
    return out_shape(f, k, type, &s);
}

/* Attributes `dims` and `keepdim` in places k and keep. */
static dl_status reduced_by(dl_frame *f, dl_dtype type, uint32_t k, uint32_t keep) {
    uint32_t mask;
    DL_TRY(rule_dims(f, k, f->in[0]->ndim, &mask));
    return reduced(f, 0, type, mask, attr_int(f, keep) != 0);
}

/* An extremum needs an element along every reduced dimension. */
static dl_status not_empty(const dl_tensor *x, uint32_t mask) {
    for (int32_t d = 0; d < x->ndim; d++)
        if ((mask >> d & 1) && x->shape[d] == 0)
            return dl_failf(DL_INVALID, "nothing to choose from: dimension %d of %s has size 0", d, shape_text(x).s);
    return DL_OK;
}

dl_status infer_sum(dl_frame *f) {
    dl_dtype type;
    DL_TRY(rule_dtype(f, 2, accumulated(f->in[0]->type), &type));
    return reduced_by(f, type, 0, 1);
}

dl_status infer_prod(dl_frame *f) { return reduced_by(f, accumulated(f->in[0]->type), 0, 1); }

dl_status infer_any(dl_frame *f) { return reduced_by(f, DL_BOOL, 0, 1); }

dl_status infer_mean(dl_frame *f) {
    DL_TRY(rule_floating(f->in[0]));
    return reduced_by(f, f->in[0]->type, 0, 1);
}

dl_status infer_var(dl_frame *f) {
    DL_TRY(rule_floating(f->in[0]));
    if (attr_int(f, 1) < 0)
        return dl_failf(DL_INVALID, "expected a correction of 0 or more, got %lld", (long long)attr_int(f, 1));
    return reduced_by(f, f->in[0]->type, 0, 2);
}

dl_status infer_norm(dl_frame *f) {
    DL_TRY(rule_floating(f->in[0]));
    if (!(attr_float(f, 0) >= 0)) return dl_failf(DL_INVALID, "expected a norm of 0 or more, got p = %g", attr_float(f, 0));
    return reduced_by(f, f->in[0]->type, 1, 2);
}

dl_status infer_amax(dl_frame *f) {
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    DL_TRY(not_empty(f->in[0], mask));
    return reduced(f, 0, f->in[0]->type, mask, attr_int(f, 1) != 0);
}

dl_status infer_max_dim(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    DL_TRY(not_empty(x, 1u << dim));
    DL_TRY(reduced(f, 0, x->type, 1u << dim, attr_int(f, 1) != 0));
    return reduced(f, 1, DL_I64, 1u << dim, attr_int(f, 1) != 0);
}

dl_status infer_argmax(dl_frame *f) {
    const int64_t *dims;
    int32_t n = attr_ints(f, 0, &dims);
    uint32_t mask;
    if (n > 1)
        return dl_failf(DL_INVALID, "expected one dimension, or none for the whole tensor, got %s", sizes_text(n, dims).s);
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    DL_TRY(not_empty(f->in[0], mask));
    return reduced(f, 0, DL_I64, mask, attr_int(f, 1) != 0);
}

/* ---- sum_to -------------------------------------------------------------------------------------------------------- */

static dl_status sum_target(const dl_frame *f, int32_t *n, const int64_t **to) {
    const dl_tensor *x = f->in[0];
    *n = attr_ints(f, 0, to);
    if (broadcasts_to(*n, *to, x->ndim, x->shape)) return DL_OK;
    return dl_failf(DL_INVALID, "%s does not come from broadcasting %s", shape_text(x).s, sizes_text(*n, *to).s);
}

dl_status infer_sum_to(dl_frame *f) {
    const int64_t *to;
    int32_t n;
    DL_TRY(sum_target(f, &n, &to));
    return dl_set_out(f, 0, accumulated(f->in[0]->type), n, to);
}

dl_status compose_sum_to(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int64_t *to;
    int32_t n;
    DL_TRY(sum_target(f, &n, &to));
    int32_t lead = x->ndim - n;
    uint32_t mask = 0;
    for (int32_t d = 0; d < x->ndim; d++)
        if (d < lead || (to[d - lead] == 1 && x->shape[d] != 1)) mask |= 1u << d;
    if (lead > 0 && mask == (1u << lead) - 1) { /* the usual case, a bias: the sum has the shape already */
        int64_t dims[DL_MAX_DIMS];
        for (int32_t d = 0; d < lead; d++) dims[d] = d;
        dl_graph_returns(g, 0, emit1(g, "sum", dl_graph_in(g, 0), ATTRS(DL_INTS(dims, lead), DL_INT(0))));
        return dl_graph_status(g);
    }
    dl_value y = e_cast(g, e_reduce(g, "sum", dl_graph_in(g, 0), mask), accumulated(x->type));
    /* A result of its own even where nothing is summed: an op's output never is its input. */
    dl_graph_returns(g, 0, mask ? e_reshape(g, y, n, to) : emit1(g, "copy", y, NO_ATTRS));
    return dl_graph_status(g);
}

/* ---- compositions -------------------------------------------------------------------------------------------------- */

/* A reduction that kept its dimensions, in the shape of output 0. */
static void returns_reduced(dl_graph *g, const dl_frame *f, dl_value y) {
    dl_graph_returns(g, 0, e_reshape(g, y, f->out[0]->ndim, f->out[0]->shape));
}

/* The same in output 0's dtype. */
static dl_status returns_as_out(dl_graph *g, const dl_frame *f, dl_value y) {
    returns_reduced(g, f, e_cast(g, y, f->out[0]->type));
    return dl_graph_status(g);
}

/* Integers and integer results are added and multiplied in int64, floats in the wider of x's and the result's dtype. */
static dl_status combined(dl_graph *g, const dl_frame *f, int32_t opcode) {
    const dl_dtype x = f->in[0]->type, out = f->out[0]->type;
    const int floating = is_floating(x) && is_floating(out);
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    dl_value wide = e_cast(g, dl_graph_in(g, 0), floating ? dl_dtype_promote(x, out) : DL_I64);
    return returns_as_out(g, f, e_combine(g, wide, mask, opcode));
}

dl_status compose_sum(dl_graph *g, const dl_frame *f) { return combined(g, f, DL_OP_ADD); }
dl_status compose_prod(dl_graph *g, const dl_frame *f) { return combined(g, f, DL_OP_MUL); }

static dl_status extreme(dl_graph *g, const dl_frame *f, int32_t opcode) {
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    return returns_as_out(g, f, e_combine(g, dl_graph_in(g, 0), mask, opcode));
}

dl_status compose_amax(dl_graph *g, const dl_frame *f) { return extreme(g, f, DL_OP_MAX); }
dl_status compose_amin(dl_graph *g, const dl_frame *f) { return extreme(g, f, DL_OP_MIN); }

static dl_status truth(dl_graph *g, const dl_frame *f, int32_t opcode) {
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    return returns_as_out(g, f, e_combine(g, e_cast(g, dl_graph_in(g, 0), DL_BOOL), mask, opcode));
}

dl_status compose_any(dl_graph *g, const dl_frame *f) { return truth(g, f, DL_OP_ADD); }
dl_status compose_all(dl_graph *g, const dl_frame *f) { return truth(g, f, DL_OP_MUL); }

/* The extremes of x along dim, which disappears, and their first places: the least of the places of what equals the extreme, or
 * is NaN. */
static dl_value extreme_places(dl_graph *g, dl_value x, int32_t dim, int32_t opcode, dl_value *places) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    if (!t) return DL_NO_VALUE;
    const int64_t n = t->ndim ? t->shape[dim] : 1;
    const uint32_t mask = t->ndim ? 1u << dim : 0;
    dl_value most = e_combine(g, x, mask, opcode), kept = t->ndim ? emit1(g, "unsqueeze", most, ATTRS(DL_INT(dim))) : most;
    dl_value here = e_eq(g, x, kept);
    if (is_floating(t->type)) here = emit2(g, "logical_or", here, emit1(g, "isnan", x, NO_ATTRS), NO_ATTRS);
    dl_value elsewhere = emit1(g, "logical_not", here, NO_ATTRS);
    dl_value place = e_expand(g, e_ramp(g, 0, 1, n, t->ndim ? dim : -1, t->ndim), t->ndim, t->shape);
    *places = e_combine(g, emit2(g, "masked_fill", place, elsewhere, ATTRS(DL_INT(n))), mask, DL_OP_MIN);
    return most;
}

static dl_status extreme_along(dl_graph *g, const dl_frame *f, int32_t opcode) {
    int32_t dim;
    dl_value place = DL_NO_VALUE;
    DL_TRY(rule_dim(attr_int(f, 0), f->in[0]->ndim, &dim));
    dl_value most = extreme_places(g, dl_graph_in(g, 0), dim, opcode, &place);
    dl_graph_returns(g, 0, e_reshape(g, most, f->out[0]->ndim, f->out[0]->shape));
    dl_graph_returns(g, 1, e_reshape(g, place, f->out[1]->ndim, f->out[1]->shape));
    return dl_graph_status(g);
}

dl_status compose_max_dim(dl_graph *g, const dl_frame *f) { return extreme_along(g, f, DL_OP_MAX); }
dl_status compose_min_dim(dl_graph *g, const dl_frame *f) { return extreme_along(g, f, DL_OP_MIN); }

static dl_status place_of_extreme(dl_graph *g, const dl_frame *f, int32_t opcode) {
    const int64_t *dims;
    int32_t dim = 0;
    dl_value x = dl_graph_in(g, 0), place = DL_NO_VALUE;
    if (attr_ints(f, 0, &dims) == 0)
        x = e_flat(g, x);
    else
        DL_TRY(rule_dim(dims[0], f->in[0]->ndim, &dim));
    extreme_places(g, x, dim, opcode, &place);
    returns_reduced(g, f, place);
    return dl_graph_status(g);
}

dl_status compose_argmax(dl_graph *g, const dl_frame *f) { return place_of_extreme(g, f, DL_OP_MAX); }
dl_status compose_argmin(dl_graph *g, const dl_frame *f) { return place_of_extreme(g, f, DL_OP_MIN); }

dl_status compose_norm(dl_graph *g, const dl_frame *f) {
    const double p = attr_float(f, 0);
    uint32_t mask;
    DL_TRY(rule_dims(f, 1, f->in[0]->ndim, &mask));
    dl_value x = e_cast(g, dl_graph_in(g, 0), wide_type(f->in[0]->type));
    if (p == 0) {
        dl_value counted = e_cast(g, e_cast(g, x, DL_BOOL), wide_type(f->in[0]->type));
        return returns_as_out(g, f, e_combine(g, counted, mask, DL_OP_ADD));
    }
    if (p == 2) return returns_as_out(g, f, emit1(g, "sqrt", e_combine(g, e_mul(g, x, x), mask, DL_OP_ADD), NO_ATTRS));
    x = emit1(g, "abs", x, NO_ATTRS);
    if (p == 1) return returns_as_out(g, f, e_combine(g, x, mask, DL_OP_ADD));
    if (isinf(p) && count_of(f->out[0]->ndim, f->out[0]->shape) == 0) return returns_as_out(g, f, e_zeros_like(g, f->out[0]));
    if (isinf(p)) return returns_as_out(g, f, e_combine(g, x, mask, DL_OP_MAX));
    x = e_combine(g, emit1(g, "pow_scalar", x, ATTRS(DL_FLOAT(p))), mask, DL_OP_ADD);
    return returns_as_out(g, f, emit1(g, "pow_scalar", x, ATTRS(DL_FLOAT(1 / p))));
}

dl_status compose_mean(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    dl_value x = e_cast(g, dl_graph_in(g, 0), wide_type(f->in[0]->type));
    return returns_as_out(g, f, e_scale(g, e_reduce(g, "sum", x, mask), 1.0 / (double)reduced_count(f->in[0], mask)));
}

dl_status compose_var(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    int64_t n = reduced_count(f->in[0], mask), free = n - attr_int(f, 1);
    dl_value x = e_cast(g, dl_graph_in(g, 0), wide_type(f->in[0]->type));
    dl_value d = e_sub(g, x, e_scale(g, e_reduce(g, "sum", x, mask), 1.0 / (double)n));
    return returns_as_out(g, f, e_scale(g, e_reduce(g, "sum", e_mul(g, d, d), mask), 1.0 / (double)(free > 0 ? free : 0)));
}

dl_status compose_logsumexp(dl_graph *g, const dl_frame *f) {
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[0]->ndim, &mask));
    dl_value x = e_cast(g, dl_graph_in(g, 0), wide_type(f->in[0]->type));
    if (reduced_count(f->in[0], mask) == 0) return returns_as_out(g, f, e_log(g, e_reduce(g, "sum", x, mask)));
    dl_value top = e_reduce(g, "amax", x, mask);
    top = e_fill(g, top, emit1(g, "isinf", top, NO_ATTRS), 0); /* infinity must not be subtracted from itself */
    dl_value sum = e_reduce(g, "sum", e_exp(g, e_sub(g, x, top)), mask);
    return returns_as_out(g, f, e_add(g, e_log(g, sum), top));
}
