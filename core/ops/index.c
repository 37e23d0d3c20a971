/* index.c - gathering and scattering by index or mask. Index values are checked by the kernels, shapes here. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

static dl_status index_type(const dl_tensor *index) {
    if (is_integer(index->type)) return DL_OK;
    return dl_failf(DL_INVALID, "expected an integer index, got %s: convert to int64", dl_dtype_name(index->type));
}

static dl_status mask_type(const dl_tensor *mask) {
    if (mask->type == DL_BOOL || mask->type == DL_U8) return DL_OK;
    return dl_failf(DL_INVALID, "expected a mask of bool or uint8, got %s: compare first (x > 0)", dl_dtype_name(mask->type));
}

/* The dim attribute, valid for x of any rank. */
static int32_t dim_of(const dl_frame *f) {
    int64_t d = attr_int(f, 0);
    int32_t n = f->in[0]->ndim ? f->in[0]->ndim : 1;
    return (int32_t)(d < 0 ? d + n : d);
}

static dl_value with_dim(dl_graph *g, const dl_frame *f, const char *op, const dl_value *in, uint32_t n) {
    return dl_emit(g, op, in, n, f->attr, 1);
}

/* ---- gather, scatter: an index for every element of the result ------------------------------------------------------ */

/* The index may be smaller than x in the other dimensions. */
static dl_status element_index(const dl_frame *f, uint32_t k) {
    const dl_tensor *x = f->in[0], *index = f->in[k];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    DL_TRY(index_type(index));
    int fits = index->ndim == x->ndim;
    for (int32_t d = 0; fits && d < x->ndim; d++) fits = d == dim || index->shape[d] <= x->shape[d];
    if (fits) return DL_OK;
    return dl_failf(DL_INVALID,
                    "an index of shape %s does not fit %s: expected as many dimensions, none larger except dimension %d",
                    shape_text(index).s, shape_text(x).s, dim);
}

dl_status infer_gather(dl_frame *f) {
    DL_TRY(element_index(f, 1));
    return dl_set_out(f, 0, f->in[0]->type, f->in[1]->ndim, f->in[1]->shape);
}

dl_status infer_scatter(dl_frame *f) {
    const dl_tensor *x = f->in[0], *index = f->in[1], *src = f->in[2];
    DL_TRY(element_index(f, 1));
    DL_TRY(rule_same_type(x, "x", src, "src"));
    if (src->ndim != 0 && !same_shape(src, index))
        return dl_failf(DL_INVALID, "expected src of the index's shape %s or 0-dim, got %s", shape_text(index).s,
                        shape_text(src).s);
    return out_like(f, 0, x);
}

/* What a gradient that adds up any number of elements at one place is taken in: halves would stop growing at 2^8 or 2^11 times
 * what is added. */
static dl_dtype sum_type(dl_dtype type) { return type == DL_F16 || type == DL_BF16 ? DL_F32 : type; }

dl_status grad_gather(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const dl_dtype type = sum_type(x->type);
    dl_value in[] = {e_zeros(g, type, x->ndim, x->shape), dl_graph_in(g, 1), e_cast(g, dl_graph_grad(g, 0), type)};
    dl_graph_returns(g, 0, e_cast(g, with_dim(g, f, "scatter_add", in, 3), x->type));
    return dl_graph_status(g);
}

/* Towards src: what the result's gradient is where src went. */
static void returns_gathered(dl_graph *g, const dl_frame *f) {
    if (!dl_graph_needs(g, 2)) return;
    dl_value in[] = {dl_graph_grad(g, 0), dl_graph_in(g, 1)};
    dl_graph_returns(g, 2, e_sum_like(g, with_dim(g, f, "gather", in, 2), f->in[2]));
}

dl_status grad_scatter(dl_graph *g, const dl_frame *f) {
    if (dl_graph_needs(g, 0)) {
        dl_value grad = dl_graph_grad(g, 0), in[] = {grad, dl_graph_in(g, 1), e_constant(g, grad, 0)};
        dl_graph_returns(g, 0, with_dim(g, f, "scatter", in, 3));
    }
    returns_gathered(g, f);
    return dl_graph_status(g);
}

dl_status grad_scatter_add(dl_graph *g, const dl_frame *f) {
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, dl_graph_grad(g, 0));
    returns_gathered(g, f);
    return dl_graph_status(g);
}

/* ---- index_*: an index for every slice ----------------------------------------------------------------------------- */

static dl_status slice_index(const dl_frame *f, int32_t *dim) {
    const dl_tensor *index = f->in[1];
    DL_TRY(rule_dim(attr_int(f, 0), f->in[0]->ndim, dim));
    DL_TRY(index_type(index));
    if (index->ndim > 1) return dl_failf(DL_INVALID, "expected a vector of indices, got the shape %s", shape_text(index).s);
    return DL_OK;
}

/* x's shape with as many slices along dim as there are indices. */
static dl_shape indexed(const dl_frame *f, int32_t dim) {
    dl_shape s = shape_of(f->in[0]);
    if (s.ndim) s.size[dim] = count_of(f->in[1]->ndim, f->in[1]->shape);
    return s;
}

dl_status infer_index_select(dl_frame *f) {
    int32_t dim;
    DL_TRY(slice_index(f, &dim));
    dl_shape s = indexed(f, dim);
    if (s.ndim == 0 && count_of(f->in[1]->ndim, f->in[1]->shape) != 1)
        return dl_failf(DL_INVALID, "a 0-dim tensor has one slice: expected one index, got %s", shape_text(f->in[1]).s);
    return out_shape(f, 0, f->in[0]->type, &s);
}

dl_status infer_index_add(dl_frame *f) {
    const dl_tensor *x = f->in[0], *src = f->in[2];
    int32_t dim;
    DL_TRY(slice_index(f, &dim));
    DL_TRY(rule_same_type(x, "x", src, "src"));
    dl_shape s = indexed(f, dim);
    int fits = src->ndim == s.ndim;
    for (int32_t d = 0; fits && d < s.ndim; d++) fits = src->shape[d] == s.size[d];
    if (!fits)
        return dl_failf(DL_INVALID, "expected src of shape %s, one slice for each of %lld indices, got %s",
                        sizes_text(s.ndim, s.size).s, (long long)count_of(f->in[1]->ndim, f->in[1]->shape), shape_text(src).s);
    return out_like(f, 0, x);
}

dl_status infer_index_select_backward(dl_frame *f) {
    const dl_tensor *grad = f->in[0], *index = f->in[1];
    const int64_t size = attr_int(f, 1), n = count_of(index->ndim, index->shape);
    int32_t dim;
    DL_TRY(slice_index(f, &dim));
    if (size < 0) return dl_failf(DL_INVALID, "a size cannot be negative: %lld", (long long)size);
    dl_shape s = shape_of(grad);
    if (n != (s.ndim ? s.size[dim] : 1) || (s.ndim == 0 && size != 1))
        return dl_failf(DL_INVALID, "expected a slice of grad %s for each of %lld indices", shape_text(grad).s, (long long)n);
    if (s.ndim) s.size[dim] = size;
    return out_shape(f, 0, grad->type, &s);
}

dl_status infer_index_fill(dl_frame *f) {
    int32_t dim;
    DL_TRY(slice_index(f, &dim));
    return out_like(f, 0, f->in[0]);
}

dl_status grad_index_select(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int32_t dim = dim_of(f);
    dl_value sum = emit2(g, "index_select_backward", e_cast(g, dl_graph_grad(g, 0), sum_type(x->type)), dl_graph_in(g, 1),
                         ATTRS(DL_INT(dim), DL_INT(x->ndim ? x->shape[dim] : 1)));
    dl_graph_returns(g, 0, e_cast(g, sum, x->type));
    return dl_graph_status(g);
}

dl_status grad_index_select_backward(dl_graph *g, const dl_frame *f) {
    dl_value in[] = {dl_graph_grad(g, 0), dl_graph_in(g, 1)};
    dl_graph_returns(g, 0, with_dim(g, f, "index_select", in, 2));
    return dl_graph_status(g);
}

static void returns_selected(dl_graph *g, const dl_frame *f) {
    if (!dl_graph_needs(g, 2)) return;
    dl_value in[] = {dl_graph_grad(g, 0), dl_graph_in(g, 1)};
    dl_graph_returns(g, 2, with_dim(g, f, "index_select", in, 2));
}

static void returns_with_hole(dl_graph *g, const dl_frame *f) {
    if (!dl_graph_needs(g, 0)) return;
    dl_graph_returns(g, 0,
                     emit2(g, "index_fill", dl_graph_grad(g, 0), dl_graph_in(g, 1), ATTRS(DL_INT(dim_of(f)), DL_FLOAT(0))));
}

dl_status grad_index_add(dl_graph *g, const dl_frame *f) {
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, dl_graph_grad(g, 0));
    returns_selected(g, f);
    return dl_graph_status(g);
}

dl_status grad_index_copy(dl_graph *g, const dl_frame *f) {
    returns_with_hole(g, f);
    returns_selected(g, f);
    return dl_graph_status(g);
}

dl_status grad_index_fill(dl_graph *g, const dl_frame *f) {
    returns_with_hole(g, f);
    return dl_graph_status(g);
}

/* ---- masks ---------------------------------------------------------------------------------------------------------- */

static dl_status mask_shape(const dl_tensor *x, const dl_tensor *mask) {
    DL_TRY(mask_type(mask));
    if (same_shape(x, mask)) return DL_OK;
    return dl_failf(DL_INVALID, "expected a mask of shape %s, got %s: expand one of them first", shape_text(x).s,
                    shape_text(mask).s);
}

dl_status infer_masked_select(dl_frame *f) { return mask_shape(f->in[0], f->in[1]); }

dl_status infer_masked_scatter(dl_frame *f) {
    DL_TRY(rule_same_type(f->in[0], "x", f->in[2], "src"));
    DL_TRY(mask_shape(f->in[0], f->in[1]));
    return out_like(f, 0, f->in[0]);
}

dl_status grad_masked_select(dl_graph *g, const dl_frame *f) {
    dl_value zeros = e_zeros_like(g, f->in[0]);
    dl_graph_returns(g, 0, emit3(g, "masked_scatter", zeros, dl_graph_in(g, 1), dl_graph_grad(g, 0), NO_ATTRS));
    return dl_graph_status(g);
}

/* src may hold more elements than the mask takes: those get 0. */
dl_status grad_masked_scatter(dl_graph *g, const dl_frame *f) {
    dl_value grad = dl_graph_grad(g, 0), mask = dl_graph_in(g, 1);
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, e_fill(g, grad, e_cast(g, mask, DL_BOOL), 0));
    if (dl_graph_needs(g, 2)) {
        const dl_tensor *src = f->in[2];
        int64_t n = count_of(src->ndim, src->shape), step = 1;
        dl_value taken = emit2(g, "masked_select", grad, mask, NO_ATTRS);
        taken = emit1(g, "view_backward", taken, ATTRS(DL_INTS(&n, 1), DL_INTS(&step, 1)));
        dl_graph_returns(g, 2, e_reshape(g, taken, src->ndim, src->shape));
    }
    return dl_graph_status(g);
}

dl_status infer_nonzero(dl_frame *f) {
    (void)f; /* the number of rows depends on the data: the kernel allocates */
    return DL_OK;
}

dl_status infer_one_hot(dl_frame *f) {
    dl_shape s = shape_of(f->in[0]);
    dl_dtype type;
    int64_t classes = attr_int(f, 0);
    DL_TRY(index_type(f->in[0]));
    DL_TRY(rule_dtype(f, 1, DL_I64, &type));
    DL_TRY(rule_rank(s.ndim + 1));
    if (classes < 1) return dl_failf(DL_INVALID, "expected 1 class or more, got %lld", (long long)classes);
    s.size[s.ndim++] = classes;
    return out_shape(f, 0, type, &s);
}
