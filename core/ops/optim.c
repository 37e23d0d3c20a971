/* optim.c - checks and compositions of the fused multi-tensor optimizer steps. They have no outputs: parameters and state are
 * written in place. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <math.h>

/* Tensor k of list l stands at l * n + k; the step counter is last. Lists from `optional` on may have absent tensors where the
 * option that uses them is off. */
static dl_status check_lists(const dl_frame *f, uint32_t lists, uint32_t optional, const char *const *names) {
    uint32_t n = (f->n_in - 1) / lists;
    const dl_tensor *step = f->in[f->n_in - 1];
    if (f->n_in != n * lists + 1)
        return dl_failf(DL_INVALID, "expected %u lists of one length and a step counter, got %u tensors", lists, f->n_in);
    if (!step || !is_floating(step->type) || count_of(step->ndim, step->shape) != 1)
        return dl_failf(DL_INVALID, "expected a step counter of one floating element");
    for (uint32_t k = 0; k < n; k++) {
        const dl_tensor *p = f->in[k];
        if (!p) return dl_failf(DL_INVALID, "parameter %u is missing", k);
        if (!is_floating(p->type))
            return dl_failf(DL_INVALID, "parameter %u is %s: only floating parameters can be optimized", k,
                            dl_dtype_name(p->type));
        for (uint32_t l = 1; l < lists; l++) {
            const dl_tensor *t = f->in[l * n + k];
            if (!t && l >= optional) continue;
            if (!t) return dl_failf(DL_INVALID, "%s %u is missing", names[l], k);
            if (t->type != p->type || !same_shape(p, t))
                return dl_failf(DL_INVALID, "%s %u is %s %s, expected the parameter's %s %s", names[l], k,
                                dl_dtype_name(t->type), shape_text(t).s, dl_dtype_name(p->type), shape_text(p).s);
        }
    }
    return DL_OK;
}

static dl_status in_range(const dl_frame *f, uint32_t k, const char *name, double below) {
    double x = attr_float(f, k);
    if (x >= 0 && x < below) return DL_OK;
    return dl_failf(DL_INVALID, "expected %s of 0 or more%s, got %g", name, below == 1 ? " and below 1" : "", x);
}

#define ANY (__builtin_inf())

dl_status infer_sgd(dl_frame *f) {
    static const char *const names[] = {"parameter", "gradient", "momentum buffer"};
    double mu = attr_float(f, 1);
    DL_TRY(in_range(f, 1, "a momentum", ANY));
    DL_TRY(in_range(f, 3, "a weight decay", ANY));
    if (attr_int(f, 4) && (mu <= 0 || attr_float(f, 2) != 0))
        return dl_failf(DL_INVALID, "Nesterov's momentum needs a momentum above 0 and no dampening, got %g and %g", mu,
                        attr_float(f, 2));
    return check_lists(f, 3, mu == 0 ? 2 : 3, names);
}

dl_status infer_adam(dl_frame *f) {
    static const char *const names[] = {"parameter", "gradient", "first moment", "second moment"};
    DL_TRY(in_range(f, 1, "beta1", 1));
    DL_TRY(in_range(f, 2, "beta2", 1));
    DL_TRY(in_range(f, 3, "eps", ANY));
    DL_TRY(in_range(f, 4, "a weight decay", ANY));
    return check_lists(f, 4, 4, names);
}

dl_status infer_rmsprop(dl_frame *f) {
    static const char *const names[] = {"parameter", "gradient", "square average", "momentum buffer"};
    DL_TRY(in_range(f, 1, "alpha", ANY));
    DL_TRY(in_range(f, 2, "eps", ANY));
    DL_TRY(in_range(f, 3, "a weight decay", ANY));
    DL_TRY(in_range(f, 4, "a momentum", ANY));
    return check_lists(f, 4, attr_float(f, 4) == 0 ? 3 : 4, names);
}

/* ---- compositions: one parameter after another, in the formulas' order of operations ------------------------------------ */

/* Input `at` in the dtype that is computed in, float32 for halves; DL_NO_VALUE where it is absent. */
static dl_value wide(dl_graph *g, const dl_frame *f, uint32_t at) {
    return f->in[at] ? e_cast(g, dl_graph_in(g, at), wide_type(f->in[at]->type)) : DL_NO_VALUE;
}

/* Writes an op's result into input `at` and gives it as computed: of a half, before it is rounded. */
static dl_value update(dl_graph *g, const dl_frame *f, uint32_t at, const char *op, const dl_value *in, uint32_t n_in,
                       const dl_attr *attr, uint32_t n) {
    if (wide_type(f->in[at]->type) == f->in[at]->type) return dl_emit_into(g, dl_graph_in(g, at), op, in, n_in, attr, n);
    dl_value y = dl_emit(g, op, in, n_in, attr, n);
    into1(g, dl_graph_in(g, at), "copy", y, NO_ATTRS);
    return y;
}

static dl_value update2(dl_graph *g, const dl_frame *f, uint32_t at, const char *op, dl_value a, dl_value b,
                        const dl_attr *attr, uint32_t n) {
    return update(g, f, at, op, (dl_value[]){a, b}, 2, attr, n);
}

/* The number of this step, 0-dim. The counter itself is written last, so that it tells whether a step was completed. */
static dl_value step_number(dl_graph *g, const dl_frame *f) {
    return e_reshape(g, emit1(g, "add_scalar", dl_graph_in(g, f->n_in - 1), ATTRS(DL_INT(1))), 0, NULL);
}

static dl_status count_step(dl_graph *g, const dl_frame *f) {
    dl_value counter = dl_graph_in(g, f->n_in - 1);
    into1(g, counter, "add_scalar", counter, ATTRS(DL_INT(1)));
    return dl_graph_status(g);
}

static dl_value plus_scaled(dl_graph *g, dl_value a, dl_value b, double by) {
    return by == 0 ? a : emit2(g, "add", a, b, ATTRS(DL_FLOAT(by)));
}

dl_status compose_sgd(dl_graph *g, const dl_frame *f) {
    const uint32_t n = (f->n_in - 1) / 3;
    const double rate = attr_float(f, 0), mu = attr_float(f, 1), fresh = 1 - attr_float(f, 2), decay = attr_float(f, 3);
    dl_value first = emit1(g, "eq_scalar", step_number(g, f), ATTRS(DL_INT(1)));
    for (uint32_t k = 0; k < n; k++) {
        dl_value p = wide(g, f, k), d = plus_scaled(g, wide(g, f, n + k), p, decay), towards = d;
        if (mu != 0) {
            dl_value moved = plus_scaled(g, e_scale(g, wide(g, f, 2 * n + k), mu), d, fresh);
            dl_value buffer = update(g, f, 2 * n + k, "where", (dl_value[]){first, d, moved}, 3, NO_ATTRS);
            towards = attr_int(f, 4) ? plus_scaled(g, d, buffer, mu) : buffer;
        }
        update2(g, f, k, "add", p, towards, ATTRS(DL_FLOAT(-rate)));
    }
    return count_step(g, f);
}

/* State `at` moved to keep * v + (1 - keep) * d^2. */
static dl_value mean_square(dl_graph *g, const dl_frame *f, uint32_t at, dl_value d, double keep) {
    dl_value in[] = {e_scale(g, wide(g, f, at), keep), d, d};
    return update(g, f, at, "addcmul", in, 3, ATTRS(DL_FLOAT(1 - keep)));
}

/* 1 - beta^step, without cancellation where beta is near 1. */
static dl_value bias(dl_graph *g, dl_value step, double beta, dl_dtype type) {
    dl_value power = emit1(g, "expm1", e_scale(g, e_cast(g, step, type), log(beta)), NO_ATTRS);
    return emit1(g, "neg", power, NO_ATTRS);
}

/* What Adam's step number decides, for parameters of one dtype: 0-dim. */
typedef struct adam_step {
    dl_dtype type;
    dl_value rate, scale; /* rate over the first moment's bias; root of the second one's */
} adam_step;

static adam_step adam_step_of(dl_graph *g, const dl_frame *f, dl_value step, dl_dtype type) {
    dl_value rate = emit1(g, "rdiv_scalar", bias(g, step, attr_float(f, 1), type), ATTRS(DL_FLOAT(attr_float(f, 0))));
    return (adam_step){type, rate, emit1(g, "sqrt", bias(g, step, attr_float(f, 2), type), NO_ATTRS)};
}

dl_status compose_adam(dl_graph *g, const dl_frame *f) {
    const uint32_t n = (f->n_in - 1) / 4;
    const double beta1 = attr_float(f, 1), decay = attr_float(f, 4);
    const int decoupled = attr_int(f, 5) != 0;
    dl_value step = step_number(g, f);
    adam_step s = {.type = -1};
    for (uint32_t k = 0; k < n; k++) {
        const dl_dtype type = wide_type(f->in[k]->type);
        if (s.type != type) s = adam_step_of(g, f, step, type);
        dl_value p = wide(g, f, k), d = wide(g, f, n + k);
        if (decoupled)
            p = e_scale(g, p, 1 - attr_float(f, 0) * decay);
        else
            d = plus_scaled(g, d, p, decay);
        dl_value m = update2(g, f, 2 * n + k, "lerp", wide(g, f, 2 * n + k), d, ATTRS(DL_FLOAT(1 - beta1)));
        dl_value root = emit1(g, "sqrt", mean_square(g, f, 3 * n + k, d, attr_float(f, 2)), NO_ATTRS);
        dl_value below = emit1(g, "add_scalar", e_div(g, root, s.scale), ATTRS(DL_FLOAT(attr_float(f, 3))));
        update2(g, f, k, "sub", p, e_div(g, e_mul(g, m, s.rate), below), NO_ATTRS);
    }
    return count_step(g, f);
}

dl_status compose_rmsprop(dl_graph *g, const dl_frame *f) {
    const uint32_t n = (f->n_in - 1) / 4;
    const double rate = attr_float(f, 0), decay = attr_float(f, 3), mu = attr_float(f, 4);
    for (uint32_t k = 0; k < n; k++) {
        dl_value p = wide(g, f, k), d = plus_scaled(g, wide(g, f, n + k), p, decay);
        dl_value root = emit1(g, "sqrt", mean_square(g, f, 2 * n + k, d, attr_float(f, 1)), NO_ATTRS);
        dl_value towards = e_div(g, d, emit1(g, "add_scalar", root, ATTRS(DL_FLOAT(attr_float(f, 2)))));
        if (mu != 0) towards = update2(g, f, 3 * n + k, "add", towards, wide(g, f, 3 * n + k), ATTRS(DL_FLOAT(mu)));
        update2(g, f, k, "add", p, towards, ATTRS(DL_FLOAT(-rate)));
    }
    return count_step(g, f);
}
