/* view.c - views: shapes, strides and offsets over the input's storage, and their gradients.
 *
 * Views that pick some of the elements (select, slice, unfold, diagonal) have one rule each from the input's geometry to the
 * view's. The shape rule applies it to the real strides; the gradient applies it to the contiguous strides of the input's shape
 * and emits view_backward, which adds the incoming gradient through that view into zeros. */
#include "core/layout.h"
#include "core/ops/functions.h"
#include "core/ops/geometry.h"

typedef dl_status (*view_rule)(const dl_frame *, const geometry *x, geometry *out);

static dl_status infer_by(dl_frame *f, view_rule rule) {
    geometry x = geometry_of(f->in[0]), out = {0};
    DL_TRY(rule(f, &x, &out));
    return set_view(f, &out);
}

static dl_status grad_by(dl_graph *g, const dl_frame *f, view_rule rule) {
    geometry x = geometry_of(f->in[0]), out = {0};
    contiguous_strides(x.ndim, x.shape, x.strides);
    DL_TRY(rule(f, &x, &out));
    dl_graph_returns(g, 0, view_backward(g, dl_graph_grad(g, 0), x.ndim, x.shape, &out));
    return dl_graph_status(g);
}

/* ---- select, slice, unfold, diagonal ------------------------------------------------------------------------------- */

static dl_status select_rule(const dl_frame *f, const geometry *x, geometry *out) {
    int32_t dim;
    int64_t index = attr_int(f, 1);
    if (x->ndim == 0) return dl_failf(DL_INVALID, "a 0-dim tensor has no slices to select");
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    int64_t n = x->shape[dim];
    if (index < -n || index >= n)
        return dl_failf(DL_INVALID, "index %lld is out of range: dimension %d of %s has size %lld", (long long)index, dim,
                        sizes_text(x->ndim, x->shape).s, (long long)n);
    out->offset = (index < 0 ? index + n : index) * x->strides[dim];
    for (int32_t d = 0; d < x->ndim; d++)
        if (d != dim) add_dim(out, x->shape[d], x->strides[d]);
    return DL_OK;
}

static dl_status slice_rule(const dl_frame *f, const geometry *x, geometry *out) {
    int32_t dim;
    int64_t start = attr_int(f, 1), length = attr_int(f, 2), step = attr_int(f, 3);
    if (x->ndim == 0) return dl_failf(DL_INVALID, "a 0-dim tensor has nothing to slice");
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    int64_t n = x->shape[dim];
    if (step < 1) return dl_failf(DL_INVALID, "expected a step of 1 or more, got %lld", (long long)step);
    if (start < 0) start += n;
    if (start < 0 || start > n || length < 0 || (length > 0 && (start == n || length - 1 > (n - 1 - start) / step)))
        return dl_failf(DL_INVALID, "%lld slices from %lld in steps of %lld leave dimension %d of %s (size %lld)",
                        (long long)length, (long long)attr_int(f, 1), (long long)step, dim, sizes_text(x->ndim, x->shape).s,
                        (long long)n);
    *out = *x;
    out->shape[dim] = length;
    out->strides[dim] = x->strides[dim] * step;
    out->offset = length ? start * x->strides[dim] : 0;
    return DL_OK;
}

static dl_status unfold_rule(const dl_frame *f, const geometry *x, geometry *out) {
    int32_t dim;
    int64_t size = attr_int(f, 1), step = attr_int(f, 2);
    if (x->ndim == 0) return dl_failf(DL_INVALID, "a 0-dim tensor has no dimension to unfold");
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    DL_TRY(rule_rank(x->ndim + 1));
    if (size < 0 || size > x->shape[dim])
        return dl_failf(DL_INVALID, "a window of %lld does not fit dimension %d of %s", (long long)size, dim,
                        sizes_text(x->ndim, x->shape).s);
    if (step < 1) return dl_failf(DL_INVALID, "expected a step of 1 or more, got %lld", (long long)step);
    *out = *x;
    out->shape[dim] = (x->shape[dim] - size) / step + 1;
    out->strides[dim] = x->strides[dim] * step;
    add_dim(out, size, x->strides[dim]);
    return DL_OK;
}

static dl_status diagonal_rule(const dl_frame *f, const geometry *x, geometry *out) {
    int32_t a, b;
    int64_t offset = attr_int(f, 0);
    if (x->ndim < 2)
        return dl_failf(DL_INVALID, "expected 2 dimensions or more, got the shape %s", sizes_text(x->ndim, x->shape).s);
    DL_TRY(rule_dim(attr_int(f, 1), x->ndim, &a));
    DL_TRY(rule_dim(attr_int(f, 2), x->ndim, &b));
    if (a == b) return dl_failf(DL_INVALID, "expected two different dimensions, got %d twice", a);
    int64_t rows = x->shape[a] - (offset < 0 ? -offset : 0), columns = x->shape[b] - (offset > 0 ? offset : 0);
    int64_t length = rows < columns ? rows : columns;
    if (length < 0) length = 0;
    if (length) out->offset = offset < 0 ? -offset * x->strides[a] : offset * x->strides[b];
    for (int32_t d = 0; d < x->ndim; d++)
        if (d != a && d != b) add_dim(out, x->shape[d], x->strides[d]);
    add_dim(out, length, x->strides[a] + x->strides[b]);
    return DL_OK;
}

dl_status infer_select(dl_frame *f) { return infer_by(f, select_rule); }
dl_status infer_slice(dl_frame *f) { return infer_by(f, slice_rule); }
dl_status infer_unfold(dl_frame *f) { return infer_by(f, unfold_rule); }
dl_status infer_diagonal(dl_frame *f) { return infer_by(f, diagonal_rule); }

dl_status grad_select(dl_graph *g, const dl_frame *f) { return grad_by(g, f, select_rule); }
dl_status grad_slice(dl_graph *g, const dl_frame *f) { return grad_by(g, f, slice_rule); }
dl_status grad_unfold(dl_graph *g, const dl_frame *f) { return grad_by(g, f, unfold_rule); }
dl_status grad_diagonal(dl_graph *g, const dl_frame *f) { return grad_by(g, f, diagonal_rule); }

/* ---- transpose, permute -------------------------------------------------------------------------------------------- */

dl_status infer_transpose(dl_frame *f) {
    geometry v = geometry_of(f->in[0]);
    int32_t a, b;
    DL_TRY(rule_dim(attr_int(f, 0), v.ndim, &a));
    DL_TRY(rule_dim(attr_int(f, 1), v.ndim, &b));
    int64_t size = v.shape[a], stride = v.strides[a];
    v.shape[a] = v.shape[b], v.strides[a] = v.strides[b];
    v.shape[b] = size, v.strides[b] = stride;
    return set_view(f, &v);
}

dl_status grad_transpose(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, emit1(g, "transpose", dl_graph_grad(g, 0), f->attr, 2));
    return dl_graph_status(g);
}

/* order[k]: which dimension of x becomes dimension k. */
static dl_status permutation(const dl_frame *f, int32_t ndim, int32_t *order) {
    const int64_t *dims;
    int32_t n = attr_ints(f, 0, &dims);
    uint32_t seen = 0;
    if (n != ndim)
        return dl_failf(DL_INVALID, "expected %d dimensions in a permutation of %s, got %d", ndim, shape_text(f->in[0]).s, n);
    for (int32_t k = 0; k < n; k++) {
        DL_TRY(rule_dim(dims[k], ndim, &order[k]));
        if (seen >> order[k] & 1)
            return dl_failf(DL_INVALID, "%s is no permutation: dimension %lld comes twice", sizes_text(n, dims).s,
                            (long long)dims[k]);
        seen |= 1u << order[k];
    }
    return DL_OK;
}

dl_status infer_permute(dl_frame *f) {
    geometry x = geometry_of(f->in[0]), v = {0};
    int32_t order[DL_MAX_DIMS];
    DL_TRY(permutation(f, x.ndim, order));
    for (int32_t k = 0; k < x.ndim; k++) add_dim(&v, x.shape[order[k]], x.strides[order[k]]);
    return set_view(f, &v);
}

dl_status grad_permute(dl_graph *g, const dl_frame *f) {
    int32_t n = f->in[0]->ndim, order[DL_MAX_DIMS];
    int64_t inverse[DL_MAX_DIMS];
    DL_TRY(permutation(f, n, order));
    for (int32_t k = 0; k < n; k++) inverse[order[k]] = k;
    dl_graph_returns(g, 0, emit1(g, "permute", dl_graph_grad(g, 0), ATTRS(DL_INTS(inverse, n))));
    return dl_graph_status(g);
}

/* ---- expand, squeeze, unsqueeze ------------------------------------------------------------------------------------ */

dl_status infer_expand(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int64_t *sizes;
    int32_t n = attr_ints(f, 0, &sizes), lead = n - x->ndim;
    geometry v = {0};
    DL_TRY(rule_rank(n));
    if (lead < 0)
        return dl_failf(DL_INVALID, "%s has more dimensions than the shape %s to expand to", shape_text(x).s,
                        sizes_text(n, sizes).s);
    for (int32_t d = 0; d < n; d++) {
        int64_t have = d < lead ? 1 : x->shape[d - lead], want = sizes[d] == -1 && d >= lead ? have : sizes[d];
        if (want < 0 || (have != 1 && have != want))
            return dl_failf(DL_INVALID, "%s does not expand to %s: dimension %d has size %lld, only size 1 expands",
                            shape_text(x).s, sizes_text(n, sizes).s, d, (long long)have);
        add_dim(&v, want, d < lead || have != want ? 0 : x->strides[d - lead]);
    }
    return set_view(f, &v);
}

dl_status infer_squeeze(dl_frame *f) {
    geometry x = geometry_of(f->in[0]), v = {0};
    uint32_t mask;
    DL_TRY(rule_dims(f, 0, x.ndim, &mask));
    for (int32_t d = 0; d < x.ndim; d++)
        if (x.shape[d] != 1 || !(mask >> d & 1)) add_dim(&v, x.shape[d], x.strides[d]);
    return set_view(f, &v);
}

dl_status infer_unsqueeze(dl_frame *f) {
    geometry x = geometry_of(f->in[0]), v = {0};
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x.ndim + 1, &dim));
    DL_TRY(rule_rank(x.ndim + 1));
    for (int32_t d = 0; d <= x.ndim; d++) {
        if (d == dim) add_dim(&v, 1, d < x.ndim ? x.shape[d] * x.strides[d] : 1);
        if (d < x.ndim) add_dim(&v, x.shape[d], x.strides[d]);
    }
    return set_view(f, &v);
}

dl_status grad_expand(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, e_sum_like(g, dl_graph_grad(g, 0), f->in[0]));
    return dl_graph_status(g);
}

/* Views that keep all elements in their order. */
static dl_status grad_by_reshape(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, e_reshape(g, dl_graph_grad(g, 0), f->in[0]->ndim, f->in[0]->shape));
    return dl_graph_status(g);
}

dl_status grad_squeeze(dl_graph *g, const dl_frame *f) { return grad_by_reshape(g, f); }
dl_status grad_unsqueeze(dl_graph *g, const dl_frame *f) { return grad_by_reshape(g, f); }
dl_status grad_view(dl_graph *g, const dl_frame *f) { return grad_by_reshape(g, f); }

/* ---- view, reshape ------------------------------------------------------------------------------------------------- */

/* Strides that show t's elements, in order, under another shape; 0 where there are none. t's dimensions are merged into runs in
 * which each stride is the next one's times its size; every run must be cut exactly by the new sizes. */
static int view_strides(const dl_tensor *t, const dl_shape *to, int64_t *strides) {
    int64_t run = 1;      /* elements of the present run, from its last dimension on */
    int64_t cut = 1;      /* elements of the new dimensions laid into it so far */
    int32_t k = to->ndim; /* the new dimensions from here on have their strides */
    if (count_of(t->ndim, t->shape) == 0 || t->ndim == 0) {
        contiguous_strides(to->ndim, to->size, strides);
        return 1;
    }
    int64_t base = t->strides[t->ndim - 1];
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        run *= t->shape[d];
        if (d > 0 && (t->shape[d - 1] == 1 || t->strides[d - 1] == run * base)) continue;
        while (k > 0 && (cut < run || to->size[k - 1] == 1)) {
            strides[--k] = cut * base;
            cut *= to->size[k];
        }
        if (cut != run) return 0;
        if (d > 0) base = t->strides[d - 1], run = cut = 1;
    }
    return k == 0;
}

static dl_status wanted_shape(const dl_frame *f, dl_shape *out) {
    const int64_t *sizes;
    int32_t n = attr_ints(f, 0, &sizes);
    return rule_reshape(count_of(f->in[0]->ndim, f->in[0]->shape), n, sizes, out);
}

dl_status infer_view(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    dl_shape to;
    int64_t strides[DL_MAX_DIMS];
    DL_TRY(wanted_shape(f, &to));
    if (!view_strides(x, &to, strides))
        return dl_failf(DL_INVALID, "a tensor of shape %s with strides %s cannot be seen as %s without a copy: use reshape",
                        shape_text(x).s, sizes_text(x->ndim, x->strides).s, sizes_text(to.ndim, to.size).s);
    return dl_set_view(f, 0, to.ndim, to.size, strides, x->byte_offset);
}

dl_status infer_reshape(dl_frame *f) {
    dl_shape to;
    DL_TRY(wanted_shape(f, &to));
    return out_shape(f, 0, f->in[0]->type, &to);
}

dl_status compose_reshape(dl_graph *g, const dl_frame *f) {
    dl_shape to;
    int64_t strides[DL_MAX_DIMS];
    DL_TRY(wanted_shape(f, &to));
    DL_TRY(dl_layout_plain(f->in[0]));
    dl_value x = dl_graph_in(g, 0);
    if (!view_strides(f->in[0], &to, strides)) x = emit1(g, "copy", x, NO_ATTRS);
    dl_graph_returns(g, 0, emit1(g, "view", x, ATTRS(DL_INTS(to.size, to.ndim))));
    return dl_graph_status(g);
}
