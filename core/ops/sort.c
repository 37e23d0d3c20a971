/* sort.c - sorting and choosing by order along a dimension: shape rules and gradients. Values first, places (int64) second. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

/* ---- shapes -------------------------------------------------------------------------------------------------------- */

/* Values and places of x's shape with `size` elements along dim, or without dim. */
static dl_status chosen(dl_frame *f, int32_t dim, int64_t size, int drop) {
    const dl_tensor *x = f->in[0];
    dl_shape s = {0};
    for (int32_t d = 0; d < x->ndim; d++)
        if (d != dim || !drop) s.size[s.ndim++] = d == dim ? size : x->shape[d];
    DL_TRY(out_shape(f, 0, x->type, &s));
    return out_shape(f, 1, DL_I64, &s);
}

/* The dimension attribute in place k, and the number of elements along it. */
static dl_status along(const dl_frame *f, uint32_t k, int32_t *dim, int64_t *n) {
    const dl_tensor *x = f->in[0];
    DL_TRY(rule_dim(attr_int(f, k), x->ndim, dim));
    *n = x->ndim ? x->shape[*dim] : 1;
    return DL_OK;
}

static dl_status rule_k(const dl_frame *f, int32_t dim, int64_t least, int64_t n) {
    const int64_t k = attr_int(f, 0);
    if (k >= least && k <= n) return DL_OK;
    if (n < least)
        return dl_failf(DL_INVALID, "nothing to choose from: dimension %d of %s has size 0", dim, shape_text(f->in[0]).s);
    return dl_failf(DL_INVALID, "expected a k of %lld to %lld, the size of dimension %d of %s, got %lld", (long long)least,
                    (long long)n, dim, shape_text(f->in[0]).s, (long long)k);
}

dl_status infer_sort(dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 0, &dim, &n));
    return chosen(f, dim, n, 0);
}

dl_status infer_topk(dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 1, &dim, &n));
    DL_TRY(rule_k(f, dim, f->in[0]->ndim ? 0 : 1, n)); /* a 0-dim result has one element */
    return chosen(f, dim, attr_int(f, 0), 0);
}

dl_status infer_kthvalue(dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 1, &dim, &n));
    DL_TRY(rule_k(f, dim, 1, n));
    return chosen(f, dim, 1, !attr_int(f, 2));
}

dl_status infer_median(dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 0, &dim, &n));
    if (n == 0)
        return dl_failf(DL_INVALID, "nothing to choose from: dimension %d of %s has size 0", dim, shape_text(f->in[0]).s);
    return chosen(f, dim, 1, !attr_int(f, 1));
}

/* ---- gradients ----------------------------------------------------------------------------------------------------- */

/* The values' gradient goes where they came from; no element is chosen twice. */
static dl_status to_places(dl_graph *g, const dl_frame *f, int32_t dim, int64_t size) {
    const dl_tensor *x = f->in[0];
    int64_t shape[DL_MAX_DIMS];
    if (dl_graph_grad(g, 0) == DL_NO_VALUE) return DL_OK;
    for (int32_t d = 0; d < x->ndim; d++) shape[d] = d == dim ? size : x->shape[d];
    dl_value grad = e_reshape(g, dl_graph_grad(g, 0), x->ndim, shape), at = e_reshape(g, dl_graph_out(g, 1), x->ndim, shape);
    dl_graph_returns(g, 0, emit3(g, "scatter", e_zeros_like(g, x), at, grad, ATTRS(DL_INT(dim))));
    return dl_graph_status(g);
}

dl_status grad_sort(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 0, &dim, &n));
    return to_places(g, f, dim, n);
}

dl_status grad_topk(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 1, &dim, &n));
    return to_places(g, f, dim, attr_int(f, 0));
}

dl_status grad_kthvalue(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 1, &dim, &n));
    return to_places(g, f, dim, 1);
}

dl_status grad_median(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    int64_t n;
    DL_TRY(along(f, 0, &dim, &n));
    return to_places(g, f, dim, 1);
}
