/* strided.c - views by explicit strides, and the op that every view's gradient is made of. */
#include "core/ops/functions.h"
#include "core/ops/geometry.h"

static int64_t extent(const geometry *v) { /* elements from the first to behind the last; 0 if there are none */
    int64_t last = 0;
    for (int32_t d = 0; d < v->ndim; d++) {
        if (v->shape[d] == 0) return 0;
        last += (v->shape[d] - 1) * v->strides[d];
    }
    return last + 1;
}

static dl_status strided_geometry(const dl_frame *f, geometry *v) {
    const int64_t *sizes, *strides;
    int32_t n = attr_ints(f, 0, &sizes), m = attr_ints(f, 1, &strides);
    if (n != m)
        return dl_failf(DL_INVALID, "expected as many strides as sizes, got %s for %s", sizes_text(m, strides).s,
                        sizes_text(n, sizes).s);
    DL_TRY(rule_rank(n));
    *v = (geometry){.offset = attr_int(f, 2)};
    for (int32_t d = 0; d < n; d++) {
        if (sizes[d] < 0 || strides[d] < 0)
            return dl_failf(DL_INVALID, "sizes and strides cannot be negative: %s, %s", sizes_text(n, sizes).s,
                            sizes_text(n, strides).s);
        add_dim(v, sizes[d], strides[d]);
    }
    return DL_OK;
}

/* Does a view that starts `first` elements behind the start of `capacity` elements stay inside them? No sizes may overflow. */
static int stays_inside(const geometry *v, int64_t first, int64_t capacity) {
    int64_t last = first, reach;
    if (first < 0 || first > capacity) return 0;
    for (int32_t d = 0; d < v->ndim; d++)
        if (v->shape[d] == 0) return 1;
    for (int32_t d = 0; d < v->ndim; d++)
        if (__builtin_mul_overflow(v->shape[d] - 1, v->strides[d], &reach) || __builtin_add_overflow(last, reach, &last))
            return 0;
    return last < capacity;
}

dl_status infer_as_strided(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    geometry v;
    DL_TRY(strided_geometry(f, &v));
    int64_t bytes = dl_dtype_bytes(x->type), start = (int64_t)x->byte_offset / bytes;
    int64_t capacity = (int64_t)dl_storage_bytes(x->storage) / bytes;
    if (v.offset < -start || v.offset > capacity || !stays_inside(&v, start + v.offset, capacity))
        return dl_failf(DL_INVALID, "a view of shape %s with strides %s from element %lld leaves the storage of %lld elements",
                        sizes_text(v.ndim, v.shape).s, sizes_text(v.ndim, v.strides).s, (long long)(start + v.offset),
                        (long long)capacity);
    return set_view(f, &v);
}

static int overlaps_itself(const dl_tensor *t) { /* errs on the side of yes */
    int64_t shape[DL_MAX_DIMS], strides[DL_MAX_DIMS], reach = 1;
    int32_t n = 0;
    for (int32_t d = 0; d < t->ndim; d++) {
        if (t->shape[d] == 1) continue;
        int32_t at = n++;
        for (; at > 0 && strides[at - 1] > t->strides[d]; at--) shape[at] = shape[at - 1], strides[at] = strides[at - 1];
        shape[at] = t->shape[d], strides[at] = t->strides[d];
    }
    for (int32_t d = 0; d < n; d++) {
        if (strides[d] < reach) return 1;
        reach += (shape[d] - 1) * strides[d];
    }
    return 0;
}

/* The gradient goes into a flat buffer that stands for the part of the storage that x and the view reach; x's gradient is x's
 * own view of that buffer. Where x shows one place several times, each of them takes its share. */
dl_status grad_as_strided(dl_graph *g, const dl_frame *f) {
    const dl_tensor *t = f->in[0];
    geometry view, x = geometry_of(t);
    DL_TRY(strided_geometry(f, &view));
    int64_t before = view.offset < 0 ? -view.offset : 0;
    x.offset = before;
    view.offset += before;
    int64_t x_end = x.offset + extent(&x), view_end = view.offset + extent(&view), n = x_end > view_end ? x_end : view_end;
    dl_attr back[] = {DL_INTS(x.shape, x.ndim), DL_INTS(x.strides, x.ndim), DL_INT(x.offset)};
    dl_value grad = emit1(g, "as_strided", view_backward(g, dl_graph_grad(g, 0), 1, &n, &view), back, 3);
    if (overlaps_itself(t)) {
        dl_value ones = emit0(g, "full", ATTRS(DL_INTS(x.shape, x.ndim), DL_INT(1), DL_INT(t->type)));
        grad = e_div(g, grad, emit1(g, "as_strided", view_backward(g, ones, 1, &n, &x), back, 3));
    }
    dl_graph_returns(g, 0, grad);
    return dl_graph_status(g);
}

dl_status infer_view_backward(dl_frame *f) {
    const dl_tensor *grad = f->in[0];
    const int64_t *sizes, *strides;
    int32_t n = attr_ints(f, 0, &sizes), m = attr_ints(f, 1, &strides);
    int64_t negative = 0, capacity = count_of(n, sizes);
    DL_TRY(rule_rank(n));
    for (int32_t d = 0; d < n; d++) negative |= sizes[d] < 0;
    geometry v = {.offset = attr_int(f, 2)};
    for (int32_t d = 0; d < m && m == grad->ndim; d++) {
        negative |= strides[d] < 0;
        add_dim(&v, grad->shape[d], strides[d]);
    }
    if (m != grad->ndim || negative || !stays_inside(&v, v.offset, capacity))
        return dl_failf(DL_INVALID, "a view of shape %s with strides %s from element %lld leaves a contiguous %s",
                        shape_text(grad).s, sizes_text(m, strides).s, (long long)v.offset, sizes_text(n, sizes).s);
    return dl_set_out(f, 0, grad->type, n, sizes);
}

dl_status grad_view_backward(dl_graph *g, const dl_frame *f) {
    const int64_t *strides;
    const dl_tensor *grad = f->in[0];
    int32_t m = attr_ints(f, 1, &strides);
    dl_value contiguous = emit1(g, "copy", dl_graph_grad(g, 0), NO_ATTRS);
    dl_graph_returns(
        g, 0, emit1(g, "as_strided", contiguous, ATTRS(DL_INTS(grad->shape, grad->ndim), DL_INTS(strides, m), f->attr[2])));
    return dl_graph_status(g);
}
