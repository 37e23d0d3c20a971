/* optim.c - checks of the fused multi-tensor optimizer steps. They have no outputs: parameters and state are written in place.
 */
#include "core/ops/functions.h"
#include "core/ops/rules.h"

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
