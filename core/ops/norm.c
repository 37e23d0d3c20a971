/* norm.c - layer, group and batch normalisation: all are `standardize` over other dimensions of a view of x. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <string.h>

/* Statistics of halves are kept in float. */
static dl_dtype statistics_type(const dl_tensor *x) { return x->type == DL_F64 ? DL_F64 : DL_F32; }

static dl_shape statistics_shape(const dl_tensor *x, uint32_t mask) {
    dl_shape s = shape_of(x);
    for (int32_t d = 0; d < s.ndim; d++)
        if (mask >> d & 1) s.size[d] = 1;
    return s;
}

static dl_status check_eps(double eps) {
    return eps >= 0 ? DL_OK : dl_failf(DL_INVALID, "expected eps of 0 or more, got %g", eps);
}

/* ---- standardize --------------------------------------------------------------------------------------------------- */

static dl_status check_affine(const dl_tensor *x, const dl_tensor *a, const char *name) {
    if (!a) return DL_OK;
    DL_TRY(rule_same_type(x, "x", a, name));
    if (broadcasts_to(a->ndim, a->shape, x->ndim, x->shape)) return DL_OK;
    return dl_failf(DL_INVALID, "expected %s that broadcasts to %s, got %s", name, shape_text(x).s, shape_text(a).s);
}

dl_status infer_standardize(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    uint32_t mask;
    DL_TRY(rule_floating(x));
    DL_TRY(check_affine(x, f->in[1], "weight"));
    DL_TRY(check_affine(x, f->in[2], "bias"));
    DL_TRY(rule_dims(f, 0, x->ndim, &mask));
    DL_TRY(check_eps(attr_float(f, 1)));
    const dl_shape s = statistics_shape(x, mask);
    DL_TRY(out_like(f, 0, x));
    DL_TRY(out_shape(f, 1, statistics_type(x), &s));
    return out_shape(f, 2, statistics_type(x), &s);
}

static dl_value plus(dl_graph *g, dl_value a, dl_value b) { return a == DL_NO_VALUE ? b : e_add(g, a, b); }

/* y = (x - mean) r weight + bias with r = (var + eps)^-1/2; over n elements dmean/dx = 1/n, dvar/dx = 2 (x - mean) / n. */
dl_status grad_standardize(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, x->ndim, &mask));
    const double n = (double)reduced_count(x, mask);
    dl_value gy = dl_graph_grad(g, 0), gmean = dl_graph_grad(g, 1), gvar = dl_graph_grad(g, 2);
    dl_value mean = dl_graph_out(g, 1);
    dl_value r = emit1(g, "rsqrt", emit1(g, "add_scalar", dl_graph_out(g, 2), ATTRS(DL_FLOAT(attr_float(f, 1)))), NO_ATTRS);
    if (dl_graph_needs(g, 0)) {
        dl_value gx = DL_NO_VALUE;
        if (gy != DL_NO_VALUE) {
            dl_value w = in_if(g, f, 1);
            dl_value in[] = {w == DL_NO_VALUE ? gy : e_mul(g, gy, w), dl_graph_in(g, 0), mean, r};
            gx = dl_emit(g, "standardize_backward", in, 4, f->attr, 1);
        }
        if (gmean != DL_NO_VALUE) gx = plus(g, gx, e_expand(g, e_scale(g, gmean, 1 / n), x->ndim, x->shape));
        if (gvar != DL_NO_VALUE) gx = plus(g, gx, e_mul(g, e_sub(g, dl_graph_in(g, 0), mean), e_scale(g, gvar, 2 / n)));
        if (gx != DL_NO_VALUE) dl_graph_returns(g, 0, e_cast(g, gx, x->type));
    }
    if (gy == DL_NO_VALUE) return dl_graph_status(g);
    if (f->in[1] && dl_graph_needs(g, 1)) {
        dl_value product = e_mul(g, gy, e_mul(g, e_sub(g, dl_graph_in(g, 0), mean), r));
        dl_graph_returns(g, 1, e_cast(g, e_sum_like(g, product, f->in[1]), x->type));
    }
    if (f->in[2] && dl_graph_needs(g, 2)) dl_graph_returns(g, 2, e_sum_like(g, gy, f->in[2]));
    return dl_graph_status(g);
}

dl_status infer_standardize_backward(dl_frame *f) {
    const dl_tensor *grad = f->in[0], *x = f->in[1];
    uint32_t mask;
    DL_TRY(rule_floating(x));
    DL_TRY(rule_same_type(grad, "grad", x, "x"));
    if (!same_shape(grad, x))
        return dl_failf(DL_INVALID, "expected a gradient of shape %s, got %s", shape_text(x).s, shape_text(grad).s);
    DL_TRY(rule_dims(f, 0, x->ndim, &mask));
    const dl_shape s = statistics_shape(x, mask);
    for (uint32_t k = 2; k < 4; k++) {
        const dl_tensor *a = f->in[k];
        if (a->type != statistics_type(x) || a->ndim != s.ndim ||
            memcmp(a->shape, s.size, (size_t)s.ndim * sizeof *s.size) != 0)
            return dl_failf(DL_INVALID, "expected %s of shape %s and of the dtype that standardize gives, got shape %s",
                            k == 2 ? "mean" : "rstd", sizes_text(s.ndim, s.size).s, shape_text(a).s);
    }
    return out_like(f, 0, x);
}

/* z = r c with c = g - mean(g) - u mean(g u), u = (x - m) r; h the incoming gradient. Towards g the map is symmetric; towards
 * u: q = -r (h mean(g u) + g mean(h u)); and u leads to x, m and r. */
dl_status grad_standardize_backward(dl_graph *g, const dl_frame *f) {
    const dl_dtype type = f->in[1]->type;
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, f->in[1]->ndim, &mask));
    dl_value h = dl_graph_grad(g, 0), grad = dl_graph_in(g, 0), x = dl_graph_in(g, 1), m = dl_graph_in(g, 2);
    dl_value r = dl_graph_in(g, 3);
    if (dl_graph_needs(g, 0))
        dl_graph_returns(g, 0, dl_emit(g, "standardize_backward", (dl_value[]){h, x, m, r}, 4, f->attr, 1));
    if (!dl_graph_needs(g, 1) && !dl_graph_needs(g, 2) && !dl_graph_needs(g, 3)) return dl_graph_status(g);
    dl_value u = e_mul(g, e_sub(g, x, m), r), of_g = e_reduce(g, "mean", e_mul(g, grad, u), mask);
    dl_value minus_q = e_mul(g, r, e_add(g, e_mul(g, h, of_g), e_mul(g, grad, e_reduce(g, "mean", e_mul(g, h, u), mask))));
    dl_value to_x = e_scale(g, e_mul(g, minus_q, r), -1);
    if (dl_graph_needs(g, 1)) dl_graph_returns(g, 1, e_cast(g, to_x, type));
    if (dl_graph_needs(g, 2)) dl_graph_returns(g, 2, e_scale(g, e_sum_like(g, to_x, f->in[2]), -1));
    if (dl_graph_needs(g, 3)) {
        dl_value c = e_sub(g, e_sub(g, grad, e_reduce(g, "mean", grad, mask)), e_mul(g, u, of_g));
        dl_value to_r = e_sub(g, e_mul(g, h, c), e_mul(g, minus_q, e_sub(g, x, m)));
        dl_graph_returns(g, 3, e_sum_like(g, to_r, f->in[3]));
    }
    return dl_graph_status(g);
}

static dl_value standardize(dl_graph *g, dl_value x, dl_value weight, dl_value bias, const int64_t *dims, int32_t n,
                            double eps) {
    return dl_emit(g, "standardize", (dl_value[]){x, weight, bias}, 3, ATTRS(DL_INTS(dims, n), DL_FLOAT(eps)));
}

static dl_value reshaped_if(dl_graph *g, dl_value x, int32_t n, const int64_t *shape) {
    return x == DL_NO_VALUE ? x : e_reshape(g, x, n, shape);
}

/* ---- layer_norm ---------------------------------------------------------------------------------------------------- */

/* A composite op's own checks: those of what it emits would name other shapes. */
static dl_status check_layer_norm(const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int64_t dims = attr_int(f, 0);
    DL_TRY(rule_floating(x));
    if (dims < 1 || dims > x->ndim)
        return dl_failf(DL_INVALID, "expected to normalise 1..%d last dimensions of x %s, got %lld", (int)x->ndim,
                        shape_text(x).s, (long long)dims);
    const int32_t kept = x->ndim - (int32_t)dims;
    for (int k = 1; k < 3; k++) {
        const dl_tensor *a = f->in[k];
        if (!a) continue;
        DL_TRY(rule_same_type(x, "x", a, k == 1 ? "weight" : "bias"));
        if (a->ndim != dims || memcmp(a->shape, x->shape + kept, (size_t)dims * sizeof *a->shape) != 0)
            return dl_failf(DL_INVALID, "expected %s of shape %s, x's last dimensions, got %s", k == 1 ? "weight" : "bias",
                            sizes_text((int32_t)dims, x->shape + kept).s, shape_text(a).s);
    }
    return check_eps(attr_float(f, 1));
}

dl_status infer_layer_norm(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    DL_TRY(check_layer_norm(f));
    const int32_t kept = x->ndim - (int32_t)attr_int(f, 0);
    const dl_shape s = statistics_shape(x, ((1u << x->ndim) - 1) & ~((1u << kept) - 1));
    DL_TRY(out_like(f, 0, x));
    DL_TRY(out_shape(f, 1, statistics_type(x), &s));
    return out_shape(f, 2, statistics_type(x), &s);
}

dl_status compose_layer_norm(dl_graph *g, const dl_frame *f) {
    int64_t dims[DL_MAX_DIMS];
    DL_TRY(check_layer_norm(f));
    const int32_t n = (int32_t)attr_int(f, 0);
    for (int32_t k = 0; k < n; k++) dims[k] = k - n;
    dl_value y = standardize(g, dl_graph_in(g, 0), in_if(g, f, 1), in_if(g, f, 2), dims, n, attr_float(f, 1));
    dl_graph_returns(g, 0, y);
    for (uint32_t k = 1; k < 3; k++) dl_graph_returns(g, k, dl_emit_out(g, y, k));
    return dl_graph_status(g);
}

/* ---- group_norm and batch_norm ------------------------------------------------------------------------------------- */

static dl_status check_channels(const dl_tensor *x) {
    DL_TRY(rule_floating(x));
    if (x->ndim >= 2) return DL_OK;
    return dl_failf(DL_INVALID, "expected x of shape (N, C, ...), got %s: put a dimension for samples in front",
                    shape_text(x).s);
}

/* One value for each channel. */
static dl_status per_channel(const dl_tensor *x, const dl_tensor *a, const char *name, int same_type) {
    if (!a) return DL_OK;
    if (same_type) DL_TRY(rule_same_type(x, "x", a, name));
    DL_TRY(rule_floating(a));
    if (a->ndim == 1 && a->shape[0] == x->shape[1]) return DL_OK;
    return dl_failf(DL_INVALID, "expected %s of shape (%lld), one for each channel of x %s, got %s", name,
                    (long long)x->shape[1], shape_text(x).s, shape_text(a).s);
}

static dl_status check_group_norm(const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int64_t groups = attr_int(f, 0);
    DL_TRY(check_channels(x));
    DL_TRY(per_channel(x, f->in[1], "weight", 1));
    DL_TRY(per_channel(x, f->in[2], "bias", 1));
    if (groups < 1 || x->shape[1] % groups)
        return dl_failf(DL_INVALID, "expected a number of groups that divides the %lld channels of x %s, got %lld",
                        (long long)x->shape[1], shape_text(x).s, (long long)groups);
    return check_eps(attr_float(f, 1));
}

dl_status infer_group_norm(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    DL_TRY(check_group_norm(f));
    const int64_t s[] = {x->shape[0], attr_int(f, 0)};
    DL_TRY(out_like(f, 0, x));
    DL_TRY(dl_set_out(f, 1, statistics_type(x), 2, s));
    return dl_set_out(f, 2, statistics_type(x), 2, s);
}

dl_status compose_group_norm(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    DL_TRY(check_group_norm(f));
    const int64_t groups = attr_int(f, 0), rest = count_of(x->ndim - 2, x->shape + 2);
    const int64_t shape[] = {x->shape[0], groups, x->shape[1] / groups, rest}, dims[] = {2, 3};
    const int64_t affine[] = {groups, x->shape[1] / groups, 1};
    dl_value y = standardize(g, e_reshape(g, dl_graph_in(g, 0), 4, shape), reshaped_if(g, in_if(g, f, 1), 3, affine),
                             reshaped_if(g, in_if(g, f, 2), 3, affine), dims, 2, attr_float(f, 1));
    dl_graph_returns(g, 0, e_reshape(g, y, x->ndim, x->shape));
    for (uint32_t k = 1; k < 3; k++) dl_graph_returns(g, k, e_reshape(g, dl_emit_out(g, y, k), 2, shape));
    return dl_graph_status(g);
}

enum { RUNNING_MEAN = 3, RUNNING_VAR = 4 };

static dl_status check_batch_norm(const dl_frame *f) {
    static const char *const names[] = {"", "weight", "bias", "running_mean", "running_var"};
    const dl_tensor *x = f->in[0];
    const int64_t training = attr_int(f, 0);
    DL_TRY(check_channels(x));
    for (int k = 1; k <= RUNNING_VAR; k++) DL_TRY(per_channel(x, f->in[k], names[k], k < RUNNING_MEAN));
    if (!training && !(f->in[RUNNING_MEAN] && f->in[RUNNING_VAR]))
        return dl_failf(DL_INVALID, "evaluation needs running_mean and running_var");
    const int64_t each = x->shape[0] * count_of(x->ndim - 2, x->shape + 2);
    if (training && each < 2)
        return dl_failf(DL_INVALID,
                        "training needs at least two values for each channel, x %s has %lld: use larger batches or "
                        "evaluate",
                        shape_text(x).s, (long long)each);
    return check_eps(attr_float(f, 1));
}

dl_status infer_batch_norm(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    DL_TRY(check_batch_norm(f));
    DL_TRY(out_like(f, 0, x));
    DL_TRY(dl_set_out(f, 1, statistics_type(x), 1, x->shape + 1));
    return dl_set_out(f, 2, statistics_type(x), 1, x->shape + 1);
}

static dl_status batch_norm_evaluating(dl_graph *g, const dl_frame *f, const int64_t *column) {
    const dl_tensor *x = f->in[0];
    dl_value mean = dl_graph_in(g, RUNNING_MEAN), var = dl_graph_in(g, RUNNING_VAR), weight = in_if(g, f, 1);
    dl_value scale = emit1(g, "rsqrt", emit1(g, "add_scalar", var, ATTRS(DL_FLOAT(attr_float(f, 1)))), NO_ATTRS);
    if (weight != DL_NO_VALUE) scale = e_mul(g, scale, weight);
    dl_value centred = e_sub(g, dl_graph_in(g, 0), e_reshape(g, mean, x->ndim - 1, column));
    dl_value y = e_mul(g, centred, e_reshape(g, scale, x->ndim - 1, column));
    if (f->in[2]) y = e_add(g, y, e_reshape(g, dl_graph_in(g, 2), x->ndim - 1, column));
    dl_graph_returns(g, 0, e_cast(g, y, x->type));
    dl_graph_returns(g, 1, emit1(g, "copy", mean, ATTRS(DL_INT(statistics_type(x)))));
    dl_graph_returns(g, 2, emit1(g, "copy", var, ATTRS(DL_INT(statistics_type(x)))));
    return dl_graph_status(g);
}

dl_status compose_batch_norm(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    DL_TRY(check_batch_norm(f));
    int64_t column[DL_MAX_DIMS], dims[DL_MAX_DIMS] = {0};
    column[0] = x->shape[1];
    for (int32_t d = 2; d < x->ndim; d++) {
        column[d - 1] = 1;
        dims[d - 1] = d;
    }
    if (!attr_int(f, 0)) return batch_norm_evaluating(g, f, column);
    dl_value y = standardize(g, dl_graph_in(g, 0), reshaped_if(g, in_if(g, f, 1), x->ndim - 1, column),
                             reshaped_if(g, in_if(g, f, 2), x->ndim - 1, column), dims, x->ndim - 1, attr_float(f, 1));
    dl_graph_returns(g, 0, y);
    for (uint32_t k = 1; k < 3; k++) dl_graph_returns(g, k, e_reshape(g, dl_emit_out(g, y, k), 1, column));
    return dl_graph_status(g);
}
