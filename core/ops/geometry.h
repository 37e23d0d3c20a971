/* geometry.h - a view's shape, strides and offset by value: shared by view.c and strided.c. */
#ifndef DL_OPS_GEOMETRY_H
#define DL_OPS_GEOMETRY_H
#include "core/ops/emit.h"

typedef struct geometry {
    int32_t ndim;
    int64_t shape[DL_MAX_DIMS], strides[DL_MAX_DIMS];
    int64_t offset; /* elements from the input's first */
} geometry;

static inline geometry geometry_of(const dl_tensor *t) {
    geometry v = {.ndim = t->ndim};
    for (int32_t d = 0; d < t->ndim; d++) v.shape[d] = t->shape[d], v.strides[d] = t->strides[d];
    return v;
}

static inline void add_dim(geometry *v, int64_t size, int64_t stride) {
    v->shape[v->ndim] = size;
    v->strides[v->ndim++] = stride;
}

static inline dl_status set_view(dl_frame *f, const geometry *v) {
    const dl_tensor *x = f->in[0];
    int64_t bytes = v->offset * dl_dtype_bytes(x->type);
    return dl_set_view(f, 0, v->ndim, v->shape, v->strides, x->byte_offset + (uint64_t)bytes);
}

/* grad added through a view of a contiguous tensor of the given shape into zeros. */
static inline dl_value view_backward(dl_graph *g, dl_value grad, int32_t ndim, const int64_t *shape, const geometry *view) {
    return emit1(g, "view_backward", grad,
                 ATTRS(DL_INTS(shape, ndim), DL_INTS(view->strides, view->ndim), DL_INT(view->offset)));
}
#endif
