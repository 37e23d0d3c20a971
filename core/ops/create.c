/* create.c - ops without inputs: shape from the attribute, or shape and dtype from an `out` that the caller gave. Compositions
 * of the random ones are in random.c. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <math.h>

/* Output 0 with the dtype attribute k: given, else that of `out`, else float32. */
static dl_status created(dl_frame *f, uint32_t k, int32_t n, const int64_t *sizes) {
    dl_dtype type;
    const dl_tensor *given = f->out[0];
    DL_TRY(rule_dtype(f, k, given && given->storage ? given->type : DL_F32, &type));
    return dl_set_out(f, 0, type, n, sizes);
}

static dl_status created_by_shape(dl_frame *f, uint32_t k) {
    dl_shape s;
    DL_TRY(rule_shape(f, 0, &s));
    return created(f, k, s.ndim, s.size);
}

static dl_status created_floating(dl_frame *f, uint32_t k) {
    dl_dtype type;
    const dl_tensor *given = f->out[0];
    DL_TRY(rule_dtype(f, k, given && given->storage ? given->type : DL_F32, &type));
    if (!is_floating(type))
        return dl_failf(DL_INVALID, "expected a floating dtype, got %s: draw float32 and convert, or use random_int",
                        dl_dtype_name(type));
    return created_by_shape(f, k);
}

dl_status infer_full(dl_frame *f) { return created_by_shape(f, 2); }

dl_status infer_arange(dl_frame *f) {
    int64_t n = attr_int(f, 2);
    if (n < 0) return dl_failf(DL_INVALID, "expected a length of 0 or more, got %lld", (long long)n);
    return created(f, 3, 1, &n);
}

dl_status infer_eye(dl_frame *f) {
    int64_t sizes[] = {attr_int(f, 0), attr_int(f, 1)};
    if (sizes[0] < 0 || sizes[1] < 0) return dl_failf(DL_INVALID, "a size cannot be negative: %s", sizes_text(2, sizes).s);
    return created(f, 2, 2, sizes);
}

dl_status infer_uniform(dl_frame *f) {
    double lo = attr_float(f, 1), hi = attr_float(f, 2);
    if (!(lo <= hi)) return dl_failf(DL_INVALID, "expected lo <= hi, got %g and %g", lo, hi);
    return created_floating(f, 3);
}

dl_status infer_normal(dl_frame *f) {
    if (!(attr_float(f, 2) >= 0))
        return dl_failf(DL_INVALID, "expected a standard deviation of 0 or more, got %g", attr_float(f, 2));
    return created_floating(f, 3);
}

dl_status infer_bernoulli(dl_frame *f) {
    double p = attr_float(f, 1);
    if (!(p >= 0 && p <= 1)) return dl_failf(DL_INVALID, "expected a probability from 0 to 1, got %g", p);
    return created_by_shape(f, 2);
}

dl_status infer_random_int(dl_frame *f) {
    int64_t lo = attr_int(f, 1), hi = attr_int(f, 2);
    if (lo > hi) return dl_failf(DL_INVALID, "expected lo <= hi, got %lld and %lld", (long long)lo, (long long)hi);
    return created_by_shape(f, 3);
}

dl_status infer_randperm(dl_frame *f) {
    int64_t n = attr_int(f, 0);
    if (n < 0) return dl_failf(DL_INVALID, "expected a length of 0 or more, got %lld", (long long)n);
    return created(f, 1, 1, &n);
}

/* ---- compositions -------------------------------------------------------------------------------------------------- */

static dl_status returned(dl_graph *g, const dl_frame *f, dl_value y) {
    dl_graph_returns(g, 0, e_cast(g, y, f->out[0]->type));
    return dl_graph_status(g);
}

dl_status compose_full(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    dl_value empty = dl_graph_empty(g, out->type, out->ndim, out->shape);
    return returned(g, f, emit1(g, "fill", empty, ATTRS(scalar_for(out->type, f->attr[1]))));
}

/* Is every number of the sequence whole, and rounded at most once if computed in int64? For integer results it may also wrap.
 */
static int counts_whole(const dl_frame *f) {
    const dl_attr *start = &f->attr[0], *step = &f->attr[1];
    const double largest = 9007199254740992.0, n = (double)attr_int(f, 2);
    if (start->kind != DL_ATTR_INT || step->kind != DL_ATTR_INT) return 0;
    if (!is_floating(f->out[0]->type)) return 1;
    return fabs((double)start->v.i) + fabs((double)step->v.i) * n < largest;
}

dl_status compose_arange(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    dl_value empty = dl_graph_empty(g, counts_whole(f) ? DL_I64 : DL_F64, 1, out->shape);
    return returned(g, f, emit1(g, "ramp", empty, f->attr, 2));
}

dl_status compose_eye(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    return returned(g, f, e_eq(g, e_ramp(g, 0, 1, out->shape[0], 0, 2), e_ramp(g, 0, 1, out->shape[1], 1, 2)));
}
