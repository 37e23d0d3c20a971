/* compose_avg_pool.c - means over windows and their gradients as sums of views, divided by counts.
 *
 * No products with matrices: there, NaN times a weight of 0 would reach windows that have none. */
#include "core/ops/functions.h"
#include "core/ops/windows.h"

/* ---- windows that slide --------------------------------------------------------------------------------------------- */

/* How many elements each window has along one dimension, a vector of floats: those of x, or those of the padding too. What
 * ceil_mode adds behind that never counts. */
static dl_value counts_along(dl_graph *g, const sliding_axis *a, dl_dtype type, int with_padding) {
    const int64_t end = a->in + (with_padding ? a->padding : 0);
    const double before = (double)(with_padding ? -a->padding : 0);
    dl_value first = e_numbers(g, type, a->out, (double)-a->padding, (double)a->stride);
    dl_value last = emit1(g, "add_scalar", first, ATTRS(DL_FLOAT((double)a->kernel)));
    last = emit1(g, "minimum_scalar", last, ATTRS(DL_FLOAT((double)end)));
    return e_sub(g, last, emit1(g, "maximum_scalar", first, ATTRS(DL_FLOAT(before))));
}

/* x divided by the number of elements of each window, or by the divisor, if that is not 0. */
static dl_value divided(dl_graph *g, const sliding_windows *w, dl_value x, dl_dtype type, int with_padding, int64_t divisor) {
    dl_value counts = DL_NO_VALUE;
    int even = 1; /* windows of one size */
    for (int32_t d = 0; d < w->spatial; d++) {
        const sliding_axis *a = &w->axis[d];
        even = even && a->padded <= a->in + (with_padding ? 2 * a->padding : 0);
    }
    if (divisor == 0 && even) divisor = windows_elements(w);
    if (divisor != 0) return emit1(g, "div_scalar", x, ATTRS(DL_FLOAT((double)divisor)));
    for (int32_t d = 0; d < w->spatial; d++) {
        const sliding_axis *a = &w->axis[d];
        dl_value n = e_along(g, counts_along(g, a, type, with_padding), d, w->spatial);
        counts = counts == DL_NO_VALUE ? n : e_mul(g, counts, n);
    }
    return e_div(g, x, counts);
}

dl_status compose_avg_pool(dl_graph *g, const dl_frame *f) {
    const dl_tensor *in = f->in[0];
    const dl_dtype wide = wide_type(in->type);
    sliding_windows w;
    int64_t strides[DL_MAX_DIMS];
    DL_TRY(sliding_windows_of(f, in, f->out[0], 0, 0, &w));
    dl_value x = windows_padded(g, &w, e_cast(g, dl_graph_in(g, 0), wide), 0);
    const dl_tensor *t = e_plain(g, x);
    if (!t) return dl_graph_status(g);
    const dl_shape s = windows_view(&w, t, t->strides, strides);
    const uint32_t kernel = ((1u << w.spatial) - 1) << in->ndim;
    dl_value sums = e_combine(g, e_strided(g, x, s.ndim, s.size, strides, 0), kernel, DL_OP_ADD);
    sums = divided(g, &w, sums, wide, attr_int(f, 4) != 0, attr_int(f, 5));
    dl_graph_returns(g, 0, e_cast(g, sums, in->type));
    return dl_graph_status(g);
}

/* Each window's share, added to all its elements. */
dl_status compose_avg_pool_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *grad = f->in[0], *out = f->out[0];
    const dl_dtype wide = wide_type(grad->type);
    dl_tensor padded = *out;
    sliding_windows w;
    int64_t shape[DL_MAX_DIMS], own[DL_MAX_DIMS], strides[DL_MAX_DIMS], ones[DL_MAX_DIMS];
    DL_TRY(sliding_windows_of(f, out, grad, 1, 0, &w));
    const int32_t leading = out->ndim - w.spatial;
    for (int32_t d = 0; d < out->ndim; d++) shape[d] = d < leading ? out->shape[d] : w.axis[d - leading].padded;
    padded.shape = shape;
    contiguous_strides(out->ndim, shape, own);
    const dl_shape s = windows_view(&w, &padded, own, strides);
    for (int32_t d = 0; d < s.ndim; d++) ones[d] = d < out->ndim ? s.size[d] : 1;
    dl_value share = divided(g, &w, e_cast(g, dl_graph_in(g, 0), wide), wide, attr_int(f, 5) != 0, attr_int(f, 6));
    share = e_expand(g, e_reshape(g, share, s.ndim, ones), s.ndim, s.size);
    dl_value x = emit1(g, "view_backward", share, ATTRS(DL_INTS(shape, out->ndim), DL_INTS(strides, s.ndim)));
    for (int32_t d = leading; d < out->ndim; d++) {
        const sliding_axis *a = &w.axis[d - leading];
        x = e_slice(g, x, d, a->padding, a->in);
    }
    dl_graph_returns(g, 0, e_cast(g, x, out->type));
    return dl_graph_status(g);
}

/* ---- windows from sizes --------------------------------------------------------------------------------------------- */

/* x's sums over the adaptive windows along dim. */
static dl_value adaptive_sums(dl_graph *g, dl_value x, int32_t dim, int64_t out) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    if (!t) return DL_NO_VALUE;
    const int64_t in = t->shape[dim];
    const adaptive_axis a = adaptive_axis_of(in, out);
    dl_shape s = shape_of(t);
    if (in == out) return x;
    dl_value outside = DL_NO_VALUE;
    if (in % out != 0) x = e_take(g, x, dim, adaptive_places(g, &a, &outside));
    /* (..., out, longest, ...) */
    s.ndim++;
    for (int32_t d = s.ndim - 1; d > dim + 1; d--) s.size[d] = s.size[d - 1];
    s.size[dim] = out;
    s.size[dim + 1] = a.longest;
    x = e_reshape(g, x, s.ndim, s.size);
    if (outside != DL_NO_VALUE) {
        int64_t ones[DL_MAX_DIMS] = {out, a.longest, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        x = e_fill(g, x, e_reshape(g, outside, s.ndim - dim, ones), 0);
    }
    return e_combine(g, x, 1u << (dim + 1), DL_OP_ADD);
}

/* How many elements each window has; shaped as the last dimensions. */
static dl_value adaptive_counts(dl_graph *g, dl_dtype type, int32_t spatial, const int64_t *in, const int64_t *out) {
    dl_value counts = DL_NO_VALUE;
    for (int32_t d = 0; d < spatial; d++) {
        dl_value n = adaptive_sums(g, e_filled(g, type, 1, &in[d], 1), 0, out[d]);
        n = e_along(g, n, d, spatial);
        counts = counts == DL_NO_VALUE ? n : e_mul(g, counts, n);
    }
    return counts;
}

static dl_value sums_along_all(dl_graph *g, dl_value x, int32_t ndim, int32_t spatial, const int64_t *out) {
    for (int32_t d = 0; d < spatial; d++) x = adaptive_sums(g, x, ndim - spatial + d, out[d]);
    return x;
}

dl_status compose_adaptive_avg_pool(dl_graph *g, const dl_frame *f) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const int64_t *size;
    const int32_t spatial = attr_ints(f, 0, &size), leading = in->ndim - spatial;
    const dl_dtype wide = wide_type(in->type);
    if (count_of(out->ndim, out->shape) == 0) {
        dl_graph_returns(g, 0, dl_graph_empty(g, out->type, out->ndim, out->shape));
        return dl_graph_status(g);
    }
    dl_value x = sums_along_all(g, e_cast(g, dl_graph_in(g, 0), wide), in->ndim, spatial, size);
    x = e_div(g, x, adaptive_counts(g, wide, spatial, in->shape + leading, size));
    dl_graph_returns(g, 0, e_cast(g, x, in->type));
    return dl_graph_status(g);
}

/* The windows that place i lies in are those that it would have as a window: from floor(i out / in) to
 * ceil((i + 1) out / in). So sums over the shares are what each place gets. */
dl_status compose_adaptive_avg_pool_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *grad = f->in[0], *out = f->out[0];
    const int64_t *size;
    const int32_t spatial = attr_ints(f, 0, &size), leading = out->ndim - spatial;
    const dl_dtype wide = wide_type(out->type);
    if (count_of(grad->ndim, grad->shape) == 0) {
        dl_graph_returns(g, 0, e_filled(g, out->type, out->ndim, out->shape, 0));
        return dl_graph_status(g);
    }
    dl_value x = e_cast(g, dl_graph_in(g, 0), wide);
    x = e_div(g, x, adaptive_counts(g, wide, spatial, size, grad->shape + leading));
    dl_graph_returns(g, 0, e_cast(g, sums_along_all(g, x, out->ndim, spatial, size), out->type));
    return dl_graph_status(g);
}
