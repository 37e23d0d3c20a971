/* norm.c - layer, group and batch normalisation, and the ops that compute their gradients. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <string.h>

/* Inputs of a forward op, and of a backward op. */
enum { X, WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR };
enum { OF_GRAD, OF_X, OF_WEIGHT, OF_MEAN, OF_VAR, BACKWARD_INPUTS };
/* Attributes: the first two of all; then affine of the backward ops. */
enum { KIND, EPS, AFFINE };

/* x as a shape against which statistics and parameters broadcast once they have theirs. */
typedef struct norm_view {
    dl_shape x, statistics, affine;
    uint32_t mask; /* dimensions of x that one mean belongs to */
    int fixed;     /* mean and var do not depend on x */
    int rms;       /* the mean counts as 0 */
} norm_view;

/* Statistics of halves are kept in float. */
static dl_dtype statistics_type(const dl_tensor *x) { return x->type == DL_F64 ? DL_F64 : DL_F32; }

/* ---- views ----------------------------------------------------------------------------------------------------------- */

static dl_shape ones_where(const dl_shape *x, uint32_t mask) {
    dl_shape s = *x;
    for (int32_t d = 0; d < s.ndim; d++)
        if (mask >> d & 1) s.size[d] = 1;
    return s;
}

static norm_view view_of_rows(const dl_tensor *x, int64_t dims, int rms) {
    const int32_t kept = x->ndim - (int32_t)dims;
    norm_view v = {.x = shape_of(x), .rms = rms, .mask = ((1u << x->ndim) - 1) & ~((1u << kept) - 1)};
    v.statistics = ones_where(&v.x, v.mask);
    v.affine = ones_where(&v.x, (1u << kept) - 1);
    return v;
}

static norm_view view_of_groups(const dl_tensor *x, int64_t groups) {
    const int64_t places = count_of(x->ndim - 2, x->shape + 2);
    norm_view v = {.x = {4, {x->shape[0], groups, x->shape[1] / groups, places}}, .mask = 4 | 8};
    v.statistics = ones_where(&v.x, v.mask);
    v.affine = ones_where(&v.x, 1 | 8);
    return v;
}

static norm_view view_of_batch(const dl_tensor *x, int fixed) {
    norm_view v = {.x = shape_of(x), .fixed = fixed, .mask = ((1u << x->ndim) - 1) & ~2u};
    v.statistics = v.affine = ones_where(&v.x, v.mask);
    return v;
}

/* ---- checks ---------------------------------------------------------------------------------------------------------- */

static dl_status check_eps(double eps) {
    return eps >= 0 ? DL_OK : dl_failf(DL_INVALID, "expected eps of 0 or more, got %g", eps);
}

static dl_status check_rows(const dl_tensor *x, int64_t dims) {
    DL_TRY(rule_floating(x));
    if (dims >= 1 && dims <= x->ndim) return DL_OK;
    return dl_failf(DL_INVALID, "expected to normalise 1..%d last dimensions of x %s, got %lld", (int)x->ndim, shape_text(x).s,
                    (long long)dims);
}

/* A parameter of the shape of x's last dimensions. */
static dl_status check_row_parameter(const dl_tensor *x, int64_t dims, const dl_tensor *a, const char *name) {
    const int64_t *shape = x->shape + x->ndim - dims;
    if (!a) return DL_OK;
    DL_TRY(rule_same_type(x, "x", a, name));
    if (a->ndim == dims && memcmp(a->shape, shape, (size_t)dims * sizeof *shape) == 0) return DL_OK;
    return dl_failf(DL_INVALID, "expected %s of shape %s, x's last dimensions, got %s", name,
                    sizes_text((int32_t)dims, shape).s, shape_text(a).s);
}

static dl_status check_channels(const dl_tensor *x) {
    DL_TRY(rule_floating(x));
    if (x->ndim >= 2) return DL_OK;
    return dl_failf(DL_INVALID, "expected x of shape (N, C, ...), got %s: put a dimension for samples in front",
                    shape_text(x).s);
}

static dl_status check_groups(const dl_tensor *x, int64_t groups) {
    DL_TRY(check_channels(x));
    if (groups >= 1 && x->shape[1] % groups == 0) return DL_OK;
    return dl_failf(DL_INVALID, "expected a number of groups that divides the %lld channels of x %s, got %lld",
                    (long long)x->shape[1], shape_text(x).s, (long long)groups);
}

/* One value for each channel. */
static dl_status check_channel_parameter(const dl_tensor *x, const dl_tensor *a, const char *name, int same_type) {
    if (!a) return DL_OK;
    if (same_type) DL_TRY(rule_same_type(x, "x", a, name));
    DL_TRY(rule_floating(a));
    if (a->ndim == 1 && a->shape[0] == x->shape[1]) return DL_OK;
    return dl_failf(DL_INVALID, "expected %s of shape (%lld), one for each channel of x %s, got %s", name,
                    (long long)x->shape[1], shape_text(x).s, shape_text(a).s);
}

/* Of a backward op: grad like x; mean and var as the forward op gave them. */
static dl_status check_backward(const dl_frame *f, int32_t ndim, const int64_t *statistics) {
    const dl_tensor *grad = f->in[OF_GRAD], *x = f->in[OF_X];
    DL_TRY(rule_same_type(grad, "grad", x, "x"));
    if (!same_shape(grad, x))
        return dl_failf(DL_INVALID, "expected a gradient of shape %s, got %s", shape_text(x).s, shape_text(grad).s);
    for (int k = OF_MEAN; k <= OF_VAR; k++) {
        const dl_tensor *a = f->in[k];
        if (a->type != statistics_type(x) || a->ndim != ndim ||
            (ndim > 0 && memcmp(a->shape, statistics, (size_t)ndim * sizeof *statistics) != 0))
            return dl_failf(DL_INVALID, "expected %s of shape %s and of the dtype that the forward op gives, got shape %s",
                            k == OF_MEAN ? "mean" : "var", sizes_text(ndim, statistics).s, shape_text(a).s);
    }
    return check_eps(attr_float(f, EPS));
}

/* ---- shapes of results ------------------------------------------------------------------------------------------------- */

static dl_status set_forward(dl_frame *f, int32_t ndim, const int64_t *statistics) {
    const dl_tensor *x = f->in[X];
    DL_TRY(out_like(f, 0, x));
    DL_TRY(dl_set_out(f, 1, statistics_type(x), ndim, statistics));
    return dl_set_out(f, 2, statistics_type(x), ndim, statistics);
}

static dl_status set_backward(dl_frame *f, int32_t ndim, const int64_t *affine) {
    static const int64_t none = 0;
    const dl_tensor *x = f->in[OF_X];
    const int wanted = attr_int(f, AFFINE) != 0;
    DL_TRY(out_like(f, 0, x));
    DL_TRY(dl_set_out(f, 1, x->type, wanted ? ndim : 1, wanted ? affine : &none));
    return dl_set_out(f, 2, x->type, wanted ? ndim : 1, wanted ? affine : &none);
}

dl_status infer_layer_norm(dl_frame *f) {
    const dl_tensor *x = f->in[X];
    const int64_t dims = attr_int(f, KIND);
    DL_TRY(check_rows(x, dims));
    DL_TRY(check_row_parameter(x, dims, f->in[WEIGHT], "weight"));
    DL_TRY(check_row_parameter(x, dims, f->in[BIAS], "bias"));
    DL_TRY(check_eps(attr_float(f, EPS)));
    const norm_view v = view_of_rows(x, dims, 0);
    return set_forward(f, v.statistics.ndim, v.statistics.size);
}

dl_status infer_layer_norm_backward(dl_frame *f) {
    const dl_tensor *x = f->in[OF_X];
    const int64_t dims = attr_int(f, KIND);
    DL_TRY(check_rows(x, dims));
    DL_TRY(check_row_parameter(x, dims, f->in[OF_WEIGHT], "weight"));
    const norm_view v = view_of_rows(x, dims, 0);
    DL_TRY(check_backward(f, v.statistics.ndim, v.statistics.size));
    return set_backward(f, (int32_t)dims, x->shape + x->ndim - dims);
}

dl_status infer_group_norm(dl_frame *f) {
    const dl_tensor *x = f->in[X];
    DL_TRY(check_groups(x, attr_int(f, KIND)));
    DL_TRY(check_channel_parameter(x, f->in[WEIGHT], "weight", 1));
    DL_TRY(check_channel_parameter(x, f->in[BIAS], "bias", 1));
    DL_TRY(check_eps(attr_float(f, EPS)));
    return set_forward(f, 2, (const int64_t[]){x->shape[0], attr_int(f, KIND)});
}

dl_status infer_group_norm_backward(dl_frame *f) {
    const dl_tensor *x = f->in[OF_X];
    DL_TRY(check_groups(x, attr_int(f, KIND)));
    DL_TRY(check_channel_parameter(x, f->in[OF_WEIGHT], "weight", 1));
    DL_TRY(check_backward(f, 2, (const int64_t[]){x->shape[0], attr_int(f, KIND)}));
    return set_backward(f, 1, x->shape + 1);
}

dl_status infer_batch_norm(dl_frame *f) {
    static const char *const names[] = {"", "weight", "bias", "running_mean", "running_var"};
    const dl_tensor *x = f->in[X];
    const int64_t training = attr_int(f, KIND);
    const double momentum = attr_float(f, 2);
    DL_TRY(check_channels(x));
    for (int k = WEIGHT; k <= RUNNING_VAR; k++) DL_TRY(check_channel_parameter(x, f->in[k], names[k], k < RUNNING_MEAN));
    if (!training && !(f->in[RUNNING_MEAN] && f->in[RUNNING_VAR]))
        return dl_failf(DL_INVALID, "evaluation needs running_mean and running_var");
    const int64_t each = x->shape[0] * count_of(x->ndim - 2, x->shape + 2);
    if (training && each < 2)
        return dl_failf(DL_INVALID,
                        "training needs at least two values for each channel, x %s has %lld: use larger batches or "
                        "evaluate",
                        shape_text(x).s, (long long)each);
    if (!(momentum >= 0 && momentum <= 1)) return dl_failf(DL_INVALID, "expected a momentum of 0 to 1, got %g", momentum);
    DL_TRY(check_eps(attr_float(f, EPS)));
    return set_forward(f, 1, x->shape + 1);
}

dl_status infer_batch_norm_backward(dl_frame *f) {
    const dl_tensor *x = f->in[OF_X];
    DL_TRY(check_channels(x));
    DL_TRY(check_channel_parameter(x, f->in[OF_WEIGHT], "weight", 1));
    DL_TRY(check_backward(f, 1, x->shape + 1));
    return set_backward(f, 1, x->shape + 1);
}

/* ---- formulas in lower ops, over a view --------------------------------------------------------------------------------- */

/* A value as the view has it, in the statistics' type; DL_NO_VALUE stays. */
static dl_value see(dl_graph *g, dl_value a, const dl_shape *shape, dl_dtype type) {
    return a == DL_NO_VALUE ? a : e_reshape(g, e_cast(g, a, type), shape->ndim, shape->size);
}
/* And back: as t is. */
static dl_value as(dl_graph *g, dl_value a, const dl_tensor *t) {
    return e_cast(g, e_reshape(g, a, t->ndim, t->shape), t->type);
}

static dl_value plus(dl_graph *g, dl_value a, dl_value b) {
    return a == DL_NO_VALUE ? b : b == DL_NO_VALUE ? a : e_add(g, a, b);
}
static dl_value times(dl_graph *g, dl_value a, dl_value b) { return b == DL_NO_VALUE ? a : e_mul(g, a, b); } /* b may be none */
static dl_value mean_of(dl_graph *g, dl_value a, const norm_view *v) { return e_reduce(g, "mean", a, v->mask); }
static dl_value sum_to(dl_graph *g, dl_value a, const dl_shape *s) { return e_sum_to(g, a, s->ndim, s->size); }

static dl_value inverse_deviation(dl_graph *g, dl_value var, double eps) {
    return emit1(g, "rsqrt", emit1(g, "add_scalar", var, ATTRS(DL_FLOAT(eps))), NO_ATTRS);
}

/* p - mean(p) - u mean(p u): what is left of p orthogonal to what normalisation takes away. */
static dl_value centred(dl_graph *g, dl_value p, dl_value u, const norm_view *v) {
    if (v->fixed) return p;
    dl_value c = v->rms ? p : e_sub(g, p, mean_of(g, p, v));
    return e_sub(g, c, e_mul(g, u, mean_of(g, e_mul(g, p, u), v)));
}

/* Moves a running statistic, if there is one, towards the batch's times factor. */
static void follow(dl_graph *g, const dl_frame *f, uint32_t k, dl_value batch, double momentum, double factor) {
    const dl_tensor *running = f->in[k];
    if (!running) return;
    const dl_dtype type = wide_type(running->type);
    dl_value old = e_cast(g, dl_graph_in(g, k), type);
    batch = e_reshape(g, e_cast(g, batch, type), running->ndim, running->shape);
    dl_value moved = emit2(g, "add", e_scale(g, old, 1 - momentum), batch, ATTRS(DL_FLOAT(momentum * factor)));
    into1(g, dl_graph_in(g, k), "copy", moved, NO_ATTRS);
}

static dl_status compose_forward(dl_graph *g, const dl_frame *f, const norm_view *v, double momentum) {
    const dl_dtype type = statistics_type(f->in[X]);
    dl_value x = see(g, dl_graph_in(g, X), &v->x, type), mean, var, centre;
    if (v->fixed)
        mean = see(g, dl_graph_in(g, RUNNING_MEAN), &v->statistics, type);
    else
        mean = v->rms ? e_zeros(g, type, v->statistics.ndim, v->statistics.size) : mean_of(g, x, v);
    centre = e_sub(g, x, mean);
    var = v->fixed ? see(g, dl_graph_in(g, RUNNING_VAR), &v->statistics, type) : mean_of(g, e_mul(g, centre, centre), v);
    dl_value y = e_mul(g, centre, inverse_deviation(g, var, attr_float(f, EPS)));
    y = plus(g, times(g, y, see(g, in_if(g, f, WEIGHT), &v->affine, type)), see(g, in_if(g, f, BIAS), &v->affine, type));
    dl_graph_returns(g, 0, as(g, y, f->out[0]));
    dl_graph_returns(g, 1, as(g, mean, f->out[1]));
    dl_graph_returns(g, 2, as(g, var, f->out[2]));
    if (v->fixed || momentum == 0) return dl_graph_status(g);
    const double n = (double)count_of(v->x.ndim, v->x.size) / (double)v->x.size[1];
    follow(g, f, RUNNING_MEAN, mean, momentum, 1);
    follow(g, f, RUNNING_VAR, var, momentum, n / (n - 1)); /* unbiased: as of a sample, not of all there is */
    return dl_graph_status(g);
}

/* With r = (var + eps)^-1/2, u = (x - mean) r, p = grad weight: r centred(p), sum(grad u), sum(grad). */
static dl_status compose_backward(dl_graph *g, const dl_frame *f, const norm_view *v) {
    const dl_dtype type = statistics_type(f->in[OF_X]);
    dl_value grad = see(g, dl_graph_in(g, OF_GRAD), &v->x, type), x = see(g, dl_graph_in(g, OF_X), &v->x, type);
    dl_value mean = see(g, dl_graph_in(g, OF_MEAN), &v->statistics, type);
    dl_value r = inverse_deviation(g, see(g, dl_graph_in(g, OF_VAR), &v->statistics, type), attr_float(f, EPS));
    dl_value u = e_mul(g, e_sub(g, x, mean), r), weight = see(g, in_if(g, f, OF_WEIGHT), &v->affine, type);
    dl_graph_returns(g, 0, as(g, e_mul(g, r, centred(g, times(g, grad, weight), u, v)), f->out[0]));
    for (uint32_t k = 1; k < 3; k++) {
        const dl_tensor *out = f->out[k];
        dl_value sums = attr_int(f, AFFINE) ? sum_to(g, k == 1 ? e_mul(g, grad, u) : grad, &v->affine) : DL_NO_VALUE;
        dl_graph_returns(g, k, sums == DL_NO_VALUE ? e_zeros_like(g, out) : as(g, sums, out));
    }
    return dl_graph_status(g);
}

/* ---- gradients ----------------------------------------------------------------------------------------------------------- */

/* What the statistics' own gradients add towards x: over n elements dmean/dx = 1 / n, dvar/dx = 2 (x - mean) / n. */
static dl_value through_statistics(dl_graph *g, const dl_frame *f, const norm_view *v) {
    const dl_tensor *x = f->in[X];
    const dl_dtype type = statistics_type(x);
    const double n = (double)count_of(v->x.ndim, v->x.size) / (double)count_of(v->statistics.ndim, v->statistics.size);
    dl_value to_mean = dl_graph_grad(g, 1), to_var = dl_graph_grad(g, 2), sum = DL_NO_VALUE;
    if (v->fixed) return DL_NO_VALUE;
    if (to_mean != DL_NO_VALUE && !v->rms)
        sum = e_expand(g, e_scale(g, see(g, to_mean, &v->statistics, type), 1 / n), v->x.ndim, v->x.size);
    if (to_var != DL_NO_VALUE) {
        dl_value centre = e_sub(g, see(g, dl_graph_in(g, X), &v->x, type), see(g, dl_graph_out(g, 1), &v->statistics, type));
        sum = plus(g, sum, e_mul(g, centre, e_scale(g, see(g, to_var, &v->statistics, type), 2 / n)));
    }
    return sum == DL_NO_VALUE ? sum : as(g, sum, x);
}

/* attr: the backward op's, all but affine set. */
static dl_status grad_forward(dl_graph *g, const dl_frame *f, const norm_view *v, const char *backward, dl_attr *attr,
                              uint32_t n) {
    const int to_weight = f->in[WEIGHT] && dl_graph_needs(g, WEIGHT), to_bias = f->in[BIAS] && dl_graph_needs(g, BIAS);
    dl_value grad = dl_graph_grad(g, 0), to_x = DL_NO_VALUE;
    if (grad != DL_NO_VALUE) {
        attr[AFFINE] = DL_INT(to_weight || to_bias);
        dl_value in[BACKWARD_INPUTS] = {grad, dl_graph_in(g, X), in_if(g, f, WEIGHT), dl_graph_out(g, 1), dl_graph_out(g, 2)};
        to_x = dl_emit(g, backward, in, BACKWARD_INPUTS, attr, n);
        if (to_weight) dl_graph_returns(g, WEIGHT, dl_emit_out(g, to_x, 1));
        if (to_bias) dl_graph_returns(g, BIAS, dl_emit_out(g, to_x, 2));
    }
    if (!dl_graph_needs(g, X)) return dl_graph_status(g);
    to_x = plus(g, to_x, through_statistics(g, f, v));
    if (to_x != DL_NO_VALUE) dl_graph_returns(g, X, to_x);
    return dl_graph_status(g);
}

/* The values that the gradient of a backward op is made of, over the view: those of compose_backward, and the incoming
 * gradients h of the one towards x, hw and hb of those towards weight and bias. */
typedef struct second {
    dl_value grad, x, weight, centre, r, u, p, h, hw, hb;
} second;

/* Towards u, of <h, r centred(p)> + <hw, sum(grad u)>. */
static dl_value towards_u(dl_graph *g, const second *s, const norm_view *v) {
    dl_value q = s->hw == DL_NO_VALUE ? DL_NO_VALUE : e_mul(g, s->grad, s->hw);
    if (s->h == DL_NO_VALUE || v->fixed) return q;
    dl_value pu = mean_of(g, e_mul(g, s->p, s->u), v), hu = mean_of(g, e_mul(g, s->h, s->u), v);
    return plus(g, q, e_scale(g, e_mul(g, s->r, e_add(g, e_mul(g, s->h, pu), e_mul(g, s->p, hu))), -1));
}

/* Towards x, mean and var, all of which the loss reaches through u and r. */
static void return_statistics(dl_graph *g, const dl_frame *f, const second *s, const norm_view *v) {
    dl_value q = towards_u(g, s, v), to_x = q == DL_NO_VALUE ? q : e_mul(g, q, s->r);
    if (to_x != DL_NO_VALUE && dl_graph_needs(g, OF_X)) dl_graph_returns(g, OF_X, as(g, to_x, f->in[OF_X]));
    if (to_x != DL_NO_VALUE && dl_graph_needs(g, OF_MEAN))
        dl_graph_returns(g, OF_MEAN, as(g, e_scale(g, sum_to(g, to_x, &v->statistics), -1), f->in[OF_MEAN]));
    if (!dl_graph_needs(g, OF_VAR)) return;
    dl_value to_r = q == DL_NO_VALUE ? q : e_mul(g, q, s->centre);
    if (s->h != DL_NO_VALUE) to_r = plus(g, to_r, e_mul(g, s->h, centred(g, s->p, s->u, v)));
    if (to_r == DL_NO_VALUE) return;
    dl_value cube = e_mul(g, s->r, e_mul(g, s->r, s->r)); /* dr/dvar = -r^3 / 2 */
    dl_value to_var = e_scale(g, e_mul(g, sum_to(g, to_r, &v->statistics), cube), -0.5);
    dl_graph_returns(g, OF_VAR, as(g, to_var, f->in[OF_VAR]));
}

/* Towards p the map r centred(p) is symmetric: it is the backward op again, applied to h. */
static dl_status grad_backward(dl_graph *g, const dl_frame *f, const norm_view *v, const char *backward) {
    const dl_dtype type = statistics_type(f->in[OF_X]);
    dl_value h = dl_graph_grad(g, 0), x = dl_graph_in(g, OF_X), mean = dl_graph_in(g, OF_MEAN), var = dl_graph_in(g, OF_VAR);
    dl_value turned = DL_NO_VALUE;
    if (h != DL_NO_VALUE) {
        dl_attr attr[4];
        memcpy(attr, f->attr, f->n_attr * sizeof *attr);
        attr[AFFINE] = DL_INT(0);
        dl_value in[BACKWARD_INPUTS] = {h, x, DL_NO_VALUE, mean, var};
        turned = see(g, dl_emit(g, backward, in, BACKWARD_INPUTS, attr, f->n_attr), &v->x, type);
    }
    second s = {.grad = see(g, dl_graph_in(g, OF_GRAD), &v->x, type),
                .x = see(g, x, &v->x, type),
                .weight = see(g, in_if(g, f, OF_WEIGHT), &v->affine, type),
                .r = inverse_deviation(g, see(g, var, &v->statistics, type), attr_float(f, EPS)),
                .h = see(g, h, &v->x, type),
                .hw = see(g, attr_int(f, AFFINE) ? dl_graph_grad(g, 1) : DL_NO_VALUE, &v->affine, type),
                .hb = see(g, attr_int(f, AFFINE) ? dl_graph_grad(g, 2) : DL_NO_VALUE, &v->affine, type)};
    s.centre = e_sub(g, s.x, see(g, mean, &v->statistics, type));
    s.u = e_mul(g, s.centre, s.r);
    s.p = times(g, s.grad, s.weight);
    if (dl_graph_needs(g, OF_GRAD)) {
        dl_value to_grad = turned == DL_NO_VALUE ? turned : times(g, turned, s.weight);
        if (s.hw != DL_NO_VALUE) to_grad = plus(g, to_grad, e_mul(g, s.hw, s.u));
        to_grad = plus(g, to_grad, s.hb);
        if (to_grad != DL_NO_VALUE)
            dl_graph_returns(g, OF_GRAD, as(g, e_expand(g, to_grad, v->x.ndim, v->x.size), f->in[OF_GRAD]));
    }
    if (f->in[OF_WEIGHT] && dl_graph_needs(g, OF_WEIGHT) && turned != DL_NO_VALUE)
        dl_graph_returns(g, OF_WEIGHT, as(g, sum_to(g, e_mul(g, s.grad, turned), &v->affine), f->in[OF_WEIGHT]));
    return_statistics(g, f, &s, v);
    return dl_graph_status(g);
}

/* ---- each op's view --------------------------------------------------------------------------------------------------------
 */

dl_status compose_layer_norm(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_rows(f->in[X], attr_int(f, KIND), attr_int(f, 2) != 0);
    return compose_forward(g, f, &v, 0);
}
dl_status grad_layer_norm(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_rows(f->in[X], attr_int(f, KIND), attr_int(f, 2) != 0);
    dl_attr attr[] = {f->attr[KIND], f->attr[EPS], DL_INT(0), f->attr[2]};
    return grad_forward(g, f, &v, "layer_norm_backward", attr, 4);
}
dl_status compose_layer_norm_backward(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_rows(f->in[OF_X], attr_int(f, KIND), attr_int(f, 3) != 0);
    return compose_backward(g, f, &v);
}
dl_status grad_layer_norm_backward(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_rows(f->in[OF_X], attr_int(f, KIND), attr_int(f, 3) != 0);
    return grad_backward(g, f, &v, "layer_norm_backward");
}

dl_status compose_group_norm(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_groups(f->in[X], attr_int(f, KIND));
    return compose_forward(g, f, &v, 0);
}
dl_status grad_group_norm(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_groups(f->in[X], attr_int(f, KIND));
    dl_attr attr[] = {f->attr[KIND], f->attr[EPS], DL_INT(0)};
    return grad_forward(g, f, &v, "group_norm_backward", attr, 3);
}
dl_status compose_group_norm_backward(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_groups(f->in[OF_X], attr_int(f, KIND));
    return compose_backward(g, f, &v);
}
dl_status grad_group_norm_backward(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_groups(f->in[OF_X], attr_int(f, KIND));
    return grad_backward(g, f, &v, "group_norm_backward");
}

dl_status compose_batch_norm(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_batch(f->in[X], attr_int(f, KIND) == 0);
    return compose_forward(g, f, &v, attr_float(f, 2));
}
dl_status grad_batch_norm(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_batch(f->in[X], attr_int(f, KIND) == 0);
    dl_attr attr[] = {f->attr[KIND], f->attr[EPS], DL_INT(0)};
    return grad_forward(g, f, &v, "batch_norm_backward", attr, 3);
}
dl_status compose_batch_norm_backward(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_batch(f->in[OF_X], attr_int(f, KIND) == 0);
    return compose_backward(g, f, &v);
}
dl_status grad_batch_norm_backward(dl_graph *g, const dl_frame *f) {
    const norm_view v = view_of_batch(f->in[OF_X], attr_int(f, KIND) == 0);
    return grad_backward(g, f, &v, "batch_norm_backward");
}
