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

/* Tensor k of list l, in the dtype that is computed in; DL_NO_VALUE where it is absent. */
typedef struct parameter {
    dl_value p, grad, state[2];
} parameter;

static dl_value wide(dl_graph *g, const dl_frame *f, uint32_t at) {
    return f->in[at] ? e_cast(g, dl_graph_in(g, at), wide_type(f->in[at]->type)) : DL_NO_VALUE;
}

static parameter parameter_of(dl_graph *g, const dl_frame *f, uint32_t n, uint32_t lists, uint32_t k) {
    parameter a = {wide(g, f, k), wide(g, f, n + k), {wide(g, f, 2 * n + k), lists == 4 ? wide(g, f, 3 * n + k) : DL_NO_VALUE}};
    return a;
}

/* Writes input `at`, through a conversion where it is a half. */
static dl_value write_back(dl_graph *g, uint32_t at, dl_value y) { return into1(g, dl_graph_in(g, at), "copy", y, NO_ATTRS); }

/* Counts the step up and gives it, 0-dim. */
static dl_value counted(dl_graph *g, const dl_frame *f) {
    dl_value step = dl_graph_in(g, f->n_in - 1);
    into1(g, step, "add_scalar", step, ATTRS(DL_INT(1)));
    return e_reshape(g, step, 0, NULL);
}

static dl_value plus_scaled(dl_graph *g, dl_value a, dl_value b, double by) {
    return by == 0 ? a : emit2(g, "add", a, b, ATTRS(DL_FLOAT(by)));
}

dl_status compose_sgd(dl_graph *g, const dl_frame *f) {
    const uint32_t n = (f->n_in - 1) / 3;
    const double rate = attr_float(f, 0), mu = attr_float(f, 1), fresh = 1 - attr_float(f, 2), decay = attr_float(f, 3);
    dl_value first = emit1(g, "eq_scalar", counted(g, f), ATTRS(DL_INT(1)));
    for (uint32_t k = 0; k < n; k++) {
        parameter a = parameter_of(g, f, n, 3, k);
        dl_value d = plus_scaled(g, a.grad, a.p, decay), towards = d;
        if (mu != 0) {
            dl_value moved = plus_scaled(g, e_scale(g, a.state[0], mu), d, fresh), buffer = e_where(g, first, d, moved);
            write_back(g, 2 * n + k, buffer);
            towards = attr_int(f, 4) ? plus_scaled(g, d, buffer, mu) : buffer;
        }
        write_back(g, k, plus_scaled(g, a.p, towards, -rate));
    }
    return dl_graph_status(g);
}

/* 1 - beta^step, without cancellation where beta is near 1. */
static dl_value bias(dl_graph *g, dl_value step, double beta, dl_dtype type) {
    dl_value power = emit1(g, "expm1", e_scale(g, e_cast(g, step, type), log(beta)), NO_ATTRS);
    return emit1(g, "neg", power, NO_ATTRS);
}

/* keep * v + (1 - keep) * d^2 */
static dl_value mean_square(dl_graph *g, dl_value v, dl_value d, double keep) {
    return emit3(g, "addcmul", e_scale(g, v, keep), d, d, ATTRS(DL_FLOAT(1 - keep)));
}

dl_status compose_adam(dl_graph *g, const dl_frame *f) {
    const uint32_t n = (f->n_in - 1) / 4;
    const double rate = attr_float(f, 0), beta1 = attr_float(f, 1), beta2 = attr_float(f, 2), decay = attr_float(f, 4);
    const int decoupled = attr_int(f, 5) != 0;
    dl_value step = counted(g, f);
    for (uint32_t k = 0; k < n; k++) {
        const dl_dtype type = wide_type(f->in[k]->type);
        parameter a = parameter_of(g, f, n, 4, k);
        dl_value by = emit1(g, "rdiv_scalar", bias(g, step, beta1, type), ATTRS(DL_FLOAT(rate)));
        dl_value scale = emit1(g, "sqrt", bias(g, step, beta2, type), NO_ATTRS);
        dl_value q = decoupled ? e_scale(g, a.p, 1 - rate * decay) : a.p,
                 d = decoupled ? a.grad : plus_scaled(g, a.grad, q, decay);
        dl_value m = emit2(g, "lerp", a.state[0], d, ATTRS(DL_FLOAT(1 - beta1))), v = mean_square(g, a.state[1], d, beta2);
        write_back(g, 2 * n + k, m);
        write_back(g, 3 * n + k, v);
        dl_value root = e_div(g, emit1(g, "sqrt", v, NO_ATTRS), scale);
        dl_value below = emit1(g, "add_scalar", root, ATTRS(DL_FLOAT(attr_float(f, 3))));
        write_back(g, k, e_sub(g, q, e_div(g, e_mul(g, m, by), below)));
    }
    return dl_graph_status(g);
}

dl_status compose_rmsprop(dl_graph *g, const dl_frame *f) {
    const uint32_t n = (f->n_in - 1) / 4;
    const double rate = attr_float(f, 0), alpha = attr_float(f, 1), decay = attr_float(f, 3), mu = attr_float(f, 4);
    counted(g, f);
    for (uint32_t k = 0; k < n; k++) {
        parameter a = parameter_of(g, f, n, 4, k);
        dl_value d = plus_scaled(g, a.grad, a.p, decay), v = mean_square(g, a.state[0], d, alpha);
        write_back(g, 2 * n + k, v);
        dl_value root = emit1(g, "sqrt", v, NO_ATTRS);
        dl_value towards = e_div(g, d, emit1(g, "add_scalar", root, ATTRS(DL_FLOAT(attr_float(f, 2)))));
        if (mu != 0) {
            towards = plus_scaled(g, towards, a.state[1], mu);
            write_back(g, 3 * n + k, towards);
        }
        write_back(g, k, plus_scaled(g, a.p, towards, -rate));
    }
    return dl_graph_status(g);
}
