/* loss.c - negative log likelihood and cross entropy. Classes are the last dimension: (N, C), or (C) for one sample. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

enum { NONE, MEAN, SUM }; /* the reduction attribute */

/* ---- shapes -------------------------------------------------------------------------------------------------------- */

static dl_status class_scores(const dl_tensor *x) {
    DL_TRY(rule_floating(x));
    if (x->ndim != 1 && x->ndim != 2)
        return dl_failf(DL_INVALID,
                        "expected scores of shape (N, C) or (C), got %s: move the classes last and reshape to (-1, C)",
                        shape_text(x).s);
    if (x->shape[x->ndim - 1] == 0)
        return dl_failf(DL_INVALID, "expected at least one class, got scores of shape %s", shape_text(x).s);
    return DL_OK;
}

static dl_status class_weight(const dl_tensor *scores, const dl_tensor *weight) {
    int64_t classes = scores->shape[scores->ndim - 1];
    if (!weight) return DL_OK;
    DL_TRY(rule_same_type(scores, "the scores", weight, "the class weights"));
    if (weight->ndim == 1 && weight->shape[0] == classes) return DL_OK;
    return dl_failf(DL_INVALID, "expected class weights of shape (%lld), got %s", (long long)classes, shape_text(weight).s);
}

/* Classes are whole numbers of any dtype but bool; the kernel checks their values. */
static int is_class_target(const dl_tensor *scores, const dl_tensor *target) { return target->ndim < scores->ndim; }

static dl_status class_target(const dl_tensor *scores, const dl_tensor *target) {
    if (target->type == DL_BOOL)
        return dl_failf(DL_INVALID, "expected class numbers as the target, got bool: convert to int64");
    if (target->ndim == scores->ndim - 1 && (target->ndim == 0 || target->shape[0] == scores->shape[0])) return DL_OK;
    return dl_failf(DL_INVALID, "expected one class for each sample: a target of shape %s for scores of shape %s, got %s",
                    sizes_text(scores->ndim - 1, scores->shape).s, shape_text(scores).s, shape_text(target).s);
}

static dl_status any_target(const dl_tensor *scores, const dl_tensor *target) {
    if (is_class_target(scores, target)) return class_target(scores, target);
    DL_TRY(rule_same_type(scores, "the scores", target, "the target of probabilities"));
    if (same_shape(scores, target)) return DL_OK;
    return dl_failf(DL_INVALID, "expected classes in a target of shape %s or probabilities in one of shape %s, got %s",
                    sizes_text(scores->ndim - 1, scores->shape).s, shape_text(scores).s, shape_text(target).s);
}

static dl_status reduction_attr(const dl_frame *f, uint32_t k, int64_t *reduction) {
    *reduction = attr_int(f, k);
    if (*reduction >= NONE && *reduction <= SUM) return DL_OK;
    return dl_failf(DL_INVALID, "expected a reduction of 0 (none), 1 (mean) or 2 (sum), got %lld", (long long)*reduction);
}

/* The loss: one for each sample, or one. */
static dl_status loss_out(dl_frame *f, const dl_tensor *scores, int64_t reduction) {
    return dl_set_out(f, 0, scores->type, reduction == NONE ? scores->ndim - 1 : 0, scores->shape);
}

static dl_status loss_gradient(const dl_frame *f, const dl_tensor *scores, int64_t reduction) {
    const dl_tensor *grad = f->in[0];
    int32_t ndim = reduction == NONE ? scores->ndim - 1 : 0;
    DL_TRY(rule_same_type(grad, "the loss's gradient", scores, "the log probabilities"));
    if (grad->ndim == ndim && (ndim == 0 || grad->shape[0] == scores->shape[0])) return DL_OK;
    return dl_failf(DL_INVALID, "expected the loss's gradient in shape %s, got %s", sizes_text(ndim, scores->shape).s,
                    shape_text(grad).s);
}

dl_status infer_nll_loss(dl_frame *f) {
    const dl_tensor *logp = f->in[0];
    int64_t reduction;
    DL_TRY(class_scores(logp));
    DL_TRY(class_target(logp, f->in[1]));
    DL_TRY(class_weight(logp, f->in[2]));
    DL_TRY(reduction_attr(f, 0, &reduction));
    DL_TRY(loss_out(f, logp, reduction));
    return dl_set_out(f, 1, logp->type, 0, NULL);
}

static dl_status smoothing_attr(const dl_frame *f, uint32_t k) {
    double s = attr_float(f, k);
    if (s >= 0 && s <= 1) return DL_OK;
    return dl_failf(DL_INVALID, "expected a smoothing from 0 to 1, got %g", s);
}

dl_status infer_cross_entropy(dl_frame *f) {
    const dl_tensor *logits = f->in[0];
    int64_t reduction;
    DL_TRY(class_scores(logits));
    DL_TRY(any_target(logits, f->in[1]));
    DL_TRY(class_weight(logits, f->in[2]));
    DL_TRY(reduction_attr(f, 0, &reduction));
    DL_TRY(smoothing_attr(f, 2));
    DL_TRY(loss_out(f, logits, reduction));
    DL_TRY(out_like(f, 1, logits));
    return dl_set_out(f, 2, logits->type, 0, NULL);
}

static dl_status infer_backward(dl_frame *f, dl_status (*target_rule)(const dl_tensor *, const dl_tensor *)) {
    const dl_tensor *logp = f->in[1], *total = f->in[4];
    int64_t reduction;
    DL_TRY(class_scores(logp));
    DL_TRY(target_rule(logp, f->in[2]));
    DL_TRY(class_weight(logp, f->in[3]));
    DL_TRY(reduction_attr(f, 0, &reduction));
    DL_TRY(loss_gradient(f, logp, reduction));
    DL_TRY(rule_same_type(total, "the total weight", logp, "the log probabilities"));
    if (total->ndim) return dl_failf(DL_INVALID, "expected a 0-dim total weight, got %s", shape_text(total).s);
    return out_like(f, 0, logp);
}

dl_status infer_nll_loss_backward(dl_frame *f) { return infer_backward(f, class_target); }

dl_status infer_cross_entropy_backward(dl_frame *f) {
    DL_TRY(smoothing_attr(f, 2));
    return infer_backward(f, any_target);
}

/* ---- nll_loss ------------------------------------------------------------------------------------------------------ */

/* Class weights are constants of the loss: a gradient asked of them must not be zero in silence. */
static void refuse(dl_graph *g, const dl_frame *f, uint32_t k, const char *what) {
    if (k < f->n_in && f->in[k] && dl_graph_needs(g, k))
        dl_graph_fail(g, dl_failf(DL_UNSUPPORTED, "there is no gradient towards %s: detach them", what));
}

/* Of every sample: its class, 0 where it is ignored; where that is; and its weight times -1, 0 there. */
typedef struct labels {
    dl_value label, ignored, factor;
    dl_dtype type; /* of the factor: float32 for halves */
    int64_t samples, classes;
} labels;

/* Classes of a floating dtype that are no whole numbers become the number of classes, which gather refuses. */
static dl_value whole_classes(dl_graph *g, dl_value target, const dl_tensor *t, int64_t classes) {
    dl_value label = e_flat(g, e_cast(g, target, DL_I64));
    if (!is_floating(t->type)) return label;
    target = e_flat(g, target);
    dl_value fraction = emit2(g, "ne", target, emit1(g, "trunc", target, NO_ATTRS), NO_ATTRS);
    return emit2(g, "masked_fill", label, fraction, ATTRS(DL_INT(classes)));
}

static labels labels_of(dl_graph *g, const dl_frame *f, uint32_t first) {
    const dl_tensor *logp = f->in[first], *target = f->in[first + 1];
    labels l = {.type = wide_type(logp->type), .classes = logp->shape[logp->ndim - 1]};
    l.samples = logp->ndim == 2 ? logp->shape[0] : 1;
    dl_value all = whole_classes(g, dl_graph_in(g, first + 1), target, l.classes), weight = in_if(g, f, first + 2);
    l.ignored = emit1(g, "eq_scalar", all, ATTRS(DL_INT(attr_int(f, 1))));
    l.label = emit2(g, "masked_fill", all, l.ignored, ATTRS(DL_INT(0)));
    if (weight == DL_NO_VALUE)
        l.factor = emit1(g, "fill", dl_graph_empty(g, l.type, 1, &l.samples), ATTRS(DL_INT(-1)));
    else
        l.factor = e_scale(g, e_cast(g, emit2(g, "gather", weight, l.label, ATTRS(DL_INT(0))), l.type), -1);
    l.factor = e_fill(g, l.factor, l.ignored, 0);
    return l;
}

static dl_value as_column(dl_graph *g, dl_value per_sample, int64_t samples) {
    return e_reshape(g, per_sample, 2, (int64_t[]){samples, 1});
}

static dl_value total_of(dl_graph *g, dl_value x) { return e_combine(g, x, 1, DL_OP_ADD); }

dl_status compose_nll_loss(dl_graph *g, const dl_frame *f) {
    const dl_tensor *loss = f->out[0];
    const int64_t reduction = attr_int(f, 0);
    labels l = labels_of(g, f, 0);
    dl_value logp = e_reshape(g, dl_graph_in(g, 0), 2, (int64_t[]){l.samples, l.classes});
    dl_value taken = e_flat(g, emit2(g, "gather", logp, as_column(g, l.label, l.samples), ATTRS(DL_INT(1))));
    /* An ignored sample's log probability may be infinite. */
    dl_value y = e_fill(g, e_mul(g, e_cast(g, taken, l.type), l.factor), l.ignored, 0);
    dl_value total = e_scale(g, total_of(g, l.factor), -1);
    if (reduction != NONE) y = total_of(g, y);
    if (reduction == MEAN) y = e_div(g, y, total);
    dl_graph_returns(g, 0, e_cast(g, e_reshape(g, y, loss->ndim, loss->shape), loss->type));
    dl_graph_returns(g, 1, e_cast(g, total, loss->type));
    return dl_graph_status(g);
}

dl_status compose_nll_loss_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    labels l = labels_of(g, f, 1);
    dl_value grad = e_flat(g, e_cast(g, dl_graph_in(g, 0), l.type));
    if (attr_int(f, 0) == MEAN) grad = e_div(g, grad, e_cast(g, dl_graph_in(g, 4), l.type));
    dl_value at_label = e_fill(g, e_mul(g, l.factor, grad), l.ignored, 0); /* 0 also where the gradient is infinite */
    dl_value zeros = e_zeros(g, out->type, 2, (int64_t[]){l.samples, l.classes});
    dl_value in[] = {zeros, as_column(g, l.label, l.samples), as_column(g, e_cast(g, at_label, out->type), l.samples)};
    dl_value y = dl_emit(g, "scatter_add", in, 3, ATTRS(DL_INT(1)));
    dl_graph_returns(g, 0, e_reshape(g, y, out->ndim, out->shape));
    return dl_graph_status(g);
}

dl_status grad_nll_loss(dl_graph *g, const dl_frame *f) {
    refuse(g, f, 2, "the class weights");
    dl_value grad = dl_graph_grad(g, 0);
    if (grad == DL_NO_VALUE || !dl_graph_needs(g, 0)) return dl_graph_status(g);
    dl_value in[] = {grad, dl_graph_in(g, 0), dl_graph_in(g, 1), in_if(g, f, 2), dl_graph_out(g, 1)};
    dl_graph_returns(g, 0, dl_emit(g, "nll_loss_backward", in, 5, f->attr, 2));
    return dl_graph_status(g);
}

/* nll_loss is linear in the log probabilities, so towards grad it is nll_loss itself, of the incoming gradient. */
dl_status grad_nll_loss_backward(dl_graph *g, const dl_frame *f) {
    int64_t reduction = attr_int(f, 0);
    refuse(g, f, 3, "the class weights");
    if (!dl_graph_needs(g, 0)) return dl_graph_status(g);
    dl_value y = emit3(g, "nll_loss", dl_graph_grad(g, 0), dl_graph_in(g, 2), in_if(g, f, 3),
                       ATTRS(DL_INT(reduction == MEAN ? SUM : reduction), f->attr[1]));
    dl_graph_returns(g, 0, reduction == MEAN ? e_div(g, y, dl_graph_in(g, 4)) : y);
    return dl_graph_status(g);
}

/* ---- cross_entropy ------------------------------------------------------------------------------------------------- */

/* What of the cross entropy does not depend on the scores. */
typedef struct entropy {
    const dl_tensor *logp;   /* shape and type of the scores */
    dl_value target, weight; /* weight may be DL_NO_VALUE */
    int of_classes;          /* else of probabilities */
    int64_t reduction, ignore;
    double smoothing;
} entropy;

static entropy entropy_of(dl_graph *g, const dl_frame *f, uint32_t first) {
    return (entropy){.logp = f->in[first],
                     .target = dl_graph_in(g, first + 1),
                     .weight = in_if(g, f, first + 2),
                     .of_classes = is_class_target(f->in[first], f->in[first + 1]),
                     .reduction = attr_int(f, 0),
                     .ignore = attr_int(f, 1),
                     .smoothing = attr_float(f, 2)};
}

static double classes_of(const entropy *e) { return (double)e->logp->shape[e->logp->ndim - 1]; }
static double samples_of(const entropy *e) { return e->logp->ndim == 2 ? (double)e->logp->shape[0] : 1; }

/* A value per sample beside the classes: (N) -> (N, 1). */
static dl_value beside_classes(dl_graph *g, dl_value per_sample) {
    return emit1(g, "unsqueeze", per_sample, ATTRS(DL_INT(-1)));
}

/* k with shape of logp such that the loss of a sample is the sum over classes of k * logp. logp stands in for shape and type.
 */
static dl_value coefficients(dl_graph *g, const entropy *e, dl_value logp) {
    double smooth = e->smoothing / classes_of(e);
    if (!e->of_classes) {
        dl_value p = e->smoothing == 0
                         ? e->target
                         : emit1(g, "affine_scalar", e->target, ATTRS(DL_FLOAT(1 - e->smoothing), DL_FLOAT(smooth)));
        return e_scale(g, e->weight == DL_NO_VALUE ? p : e_mul(g, p, e->weight), -1);
    }
    dl_value ones = emit0(g, "full", ATTRS(DL_INTS(e->logp->shape, e->logp->ndim - 1), DL_INT(1), DL_INT(e->logp->type)));
    dl_value one = e_constant(g, logp, 1), in[] = {ones, logp, e->target, e->weight, one};
    dl_value k = e_scale(g, dl_emit(g, "nll_loss_backward", in, 5, ATTRS(DL_INT(NONE), DL_INT(e->ignore))), 1 - e->smoothing);
    if (e->smoothing == 0) return k;
    dl_value ignored = beside_classes(g, emit1(g, "eq_scalar", e->target, ATTRS(DL_INT(e->ignore))));
    dl_value share = e_scale(g, e->weight == DL_NO_VALUE ? one : e->weight, -smooth);
    return e_add(g, k, e_fill(g, share, ignored, 0));
}

/* A gradient towards the coefficients, taken on to the target's probabilities. */
static dl_value towards_target(dl_graph *g, const entropy *e, dl_value grad) {
    return e_scale(g, e->weight == DL_NO_VALUE ? grad : e_mul(g, grad, e->weight), e->smoothing - 1);
}

/* Divides by what the mean is over: the samples' total weight, or their number for probabilities (then total holds that). */
static dl_value averaged(dl_graph *g, const entropy *e, dl_value x, dl_value total) {
    return e->reduction == MEAN ? e_div(g, x, total) : x;
}

static dl_value losses(dl_graph *g, const entropy *e, dl_value weighted, dl_value total) {
    dl_value per_sample = e_sum(g, weighted, -1, 0);
    if (e->reduction == NONE) return per_sample;
    return averaged(g, e, emit1(g, "sum", per_sample, ATTRS(DL_INTS(NULL, 0))), total);
}

dl_status compose_cross_entropy(dl_graph *g, const dl_frame *f) {
    entropy e = entropy_of(g, f, 0);
    dl_value logp = emit1(g, "log_softmax", dl_graph_in(g, 0), ATTRS(DL_INT(-1))), loss = DL_NO_VALUE, total = DL_NO_VALUE;
    if (e.of_classes) {
        loss = emit3(g, "nll_loss", logp, e.target, e.weight, f->attr, 2);
        total = dl_emit_out(g, loss, 1);
    } else {
        total = emit0(g, "full", ATTRS(DL_INTS(NULL, 0), DL_FLOAT(samples_of(&e)), DL_INT(e.logp->type)));
    }
    if (!e.of_classes || e.smoothing != 0) loss = losses(g, &e, e_mul(g, coefficients(g, &e, logp), logp), total);
    dl_graph_returns(g, 0, loss);
    dl_graph_returns(g, 1, logp);
    dl_graph_returns(g, 2, total);
    return dl_graph_status(g);
}

/* The loss's gradient for each sample, broadcast against the classes. */
static dl_value sample_gradient(dl_graph *g, const entropy *e, dl_value grad, dl_value total) {
    return e->reduction == NONE ? beside_classes(g, grad) : averaged(g, e, grad, total);
}

dl_status grad_cross_entropy(dl_graph *g, const dl_frame *f) {
    entropy e = entropy_of(g, f, 0);
    dl_value grad = dl_graph_grad(g, 0), logp_grad = dl_graph_grad(g, 1), logp = dl_graph_out(g, 1), total = dl_graph_out(g, 2);
    dl_value towards_logits = DL_NO_VALUE;
    refuse(g, f, 2, "the class weights");
    if (grad != DL_NO_VALUE && dl_graph_needs(g, 0)) {
        dl_value in[] = {grad, logp, e.target, e.weight, total};
        towards_logits = dl_emit(g, "cross_entropy_backward", in, 5, f->attr, 3);
    }
    if (logp_grad != DL_NO_VALUE && dl_graph_needs(g, 0)) {
        dl_value through_logp = emit2(g, "log_softmax_backward", logp_grad, logp, ATTRS(DL_INT(-1)));
        towards_logits = towards_logits == DL_NO_VALUE ? through_logp : e_add(g, towards_logits, through_logp);
    }
    if (towards_logits != DL_NO_VALUE) dl_graph_returns(g, 0, towards_logits);
    if (grad != DL_NO_VALUE && !e.of_classes && dl_graph_needs(g, 1)) {
        dl_graph_returns(g, 1, e_mul(g, towards_target(g, &e, logp), sample_gradient(g, &e, grad, total)));
    }
    return dl_graph_status(g);
}

dl_status compose_cross_entropy_backward(dl_graph *g, const dl_frame *f) {
    entropy e = entropy_of(g, f, 1);
    dl_value logp = dl_graph_in(g, 1), s = sample_gradient(g, &e, dl_graph_in(g, 0), dl_graph_in(g, 4));
    dl_graph_returns(g, 0, emit2(g, "log_softmax_backward", e_mul(g, coefficients(g, &e, logp), s), logp, ATTRS(DL_INT(-1))));
    return dl_graph_status(g);
}

/* y = v - exp(logp) sum(v) with v = k s. Towards v: h - sum(h exp(logp)); towards logp: -h exp(logp) sum(v). */
dl_status grad_cross_entropy_backward(dl_graph *g, const dl_frame *f) {
    entropy e = entropy_of(g, f, 1);
    refuse(g, f, 3, "the class weights");
    dl_value logp = dl_graph_in(g, 1), total = dl_graph_in(g, 4), k = coefficients(g, &e, logp);
    dl_value s = sample_gradient(g, &e, dl_graph_in(g, 0), total);
    dl_value h = dl_graph_grad(g, 0), weighted = e_mul(g, h, e_exp(g, logp)),
             towards_v = e_sub(g, h, e_sum(g, weighted, -1, 1));
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, losses(g, &e, e_mul(g, towards_v, k), total));
    if (dl_graph_needs(g, 1)) dl_graph_returns(g, 1, e_scale(g, e_mul(g, weighted, e_mul(g, s, e_sum(g, k, -1, 1))), -1));
    if (dl_graph_needs(g, 2) && !e.of_classes) dl_graph_returns(g, 2, e_mul(g, towards_target(g, &e, towards_v), s));
    return dl_graph_status(g);
}
