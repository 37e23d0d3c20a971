/* emit.c - see emit.h. */
#include "core/ops/emit.h"
#include "core/layout.h"

dl_value e_zeros(dl_graph *g, dl_dtype type, int32_t ndim, const int64_t *shape) {
    return emit0(g, "full", ATTRS(DL_INTS(shape, ndim), DL_INT(0), DL_INT(type)));
}

dl_value e_constant(dl_graph *g, dl_value like, double x) {
    const dl_tensor *t = dl_graph_tensor(g, like);
    return t ? emit0(g, "full", ATTRS(DL_INTS(NULL, 0), DL_FLOAT(x), DL_INT(t->type))) : DL_NO_VALUE;
}

dl_value e_cast(dl_graph *g, dl_value x, dl_dtype type) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    return !t || t->type == type ? x : emit1(g, "copy", x, ATTRS(DL_INT(type)));
}

static int has_shape(dl_graph *g, dl_value x, int32_t ndim, const int64_t *shape) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    if (!t || t->ndim != ndim) return !t;
    for (int32_t d = 0; d < ndim; d++)
        if (t->shape[d] != shape[d]) return 0;
    return 1;
}

dl_value e_reshape(dl_graph *g, dl_value x, int32_t ndim, const int64_t *shape) {
    return has_shape(g, x, ndim, shape) ? x : emit1(g, "reshape", x, ATTRS(DL_INTS(shape, ndim)));
}

dl_value e_expand(dl_graph *g, dl_value x, int32_t ndim, const int64_t *shape) {
    return has_shape(g, x, ndim, shape) ? x : emit1(g, "expand", x, ATTRS(DL_INTS(shape, ndim)));
}

dl_value e_sum_to(dl_graph *g, dl_value x, int32_t ndim, const int64_t *shape) {
    return has_shape(g, x, ndim, shape) ? x : emit1(g, "sum_to", x, ATTRS(DL_INTS(shape, ndim)));
}

dl_value e_along(dl_graph *g, dl_value v, int32_t dim, int32_t ndim) {
    const dl_tensor *t = dl_graph_tensor(g, v);
    int64_t shape[DL_MAX_DIMS];
    for (int32_t d = 0; d < ndim; d++) shape[d] = d == dim && t ? t->shape[0] : 1;
    return e_reshape(g, v, ndim, shape);
}

dl_value e_ramp(dl_graph *g, int64_t start, int64_t step, int64_t n, int32_t dim, int32_t ndim) {
    return e_along(g, emit1(g, "ramp", dl_graph_empty(g, DL_I64, 1, &n), ATTRS(DL_INT(start), DL_INT(step))), dim, ndim);
}

dl_value e_flat(dl_graph *g, dl_value x) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    int64_t n = t ? count_of(t->ndim, t->shape) : 0;
    return e_reshape(g, x, 1, &n);
}

dl_attr scalar_for(dl_dtype type, dl_attr a) { return type == DL_BOOL && a.kind == DL_ATTR_FLOAT ? DL_INT(a.v.f != 0) : a; }

dl_value e_combine(dl_graph *g, dl_value x, uint32_t mask, int32_t opcode) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    int64_t order[DL_MAX_DIMS];
    int32_t n = 0, count = 0, moved = 0;
    if (!t) return DL_NO_VALUE;
    for (int32_t d = 0; d < t->ndim; d++)
        if (!(mask >> d & 1)) order[n++] = d;
    for (int32_t d = 0; d < t->ndim; d++)
        if (mask >> d & 1) order[n++] = d, count++;
    for (int32_t d = 0; d < t->ndim; d++) moved |= order[d] != d;
    if (moved) x = emit1(g, "permute", x, ATTRS(DL_INTS(order, n)));
    return emit1(g, "reduce", x, ATTRS(DL_INT(count), DL_INT(opcode)));
}

dl_value e_filled(dl_graph *g, dl_dtype type, int32_t ndim, const int64_t *shape, double x) {
    dl_value v = dl_graph_empty(g, type, ndim, shape);
    dl_emit_into(g, v, "fill", &v, 1, ATTRS(DL_FLOAT(x)));
    return v;
}

dl_value e_numbers(dl_graph *g, dl_dtype type, int64_t n, double start, double step) {
    dl_value v = dl_graph_empty(g, type, 1, &n);
    dl_emit_into(g, v, "ramp", &v, 1, ATTRS(DL_FLOAT(start), DL_FLOAT(step)));
    return v;
}

dl_value e_permute(dl_graph *g, dl_value x, int32_t ndim, const int64_t *dims) {
    return emit1(g, "permute", x, ATTRS(DL_INTS(dims, ndim)));
}

dl_value e_slice(dl_graph *g, dl_value x, int32_t dim, int64_t start, int64_t length) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    if (!t || t->shape[dim] == length) return x;
    return emit1(g, "slice", x, ATTRS(DL_INT(dim), DL_INT(start), DL_INT(length)));
}

dl_value e_strided(dl_graph *g, dl_value x, int32_t ndim, const int64_t *shape, const int64_t *strides, int64_t offset) {
    return emit1(g, "as_strided", x, ATTRS(DL_INTS(shape, ndim), DL_INTS(strides, ndim), DL_INT(offset)));
}

const dl_tensor *e_plain(dl_graph *g, dl_value x) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    dl_status status = t ? dl_layout_plain(t) : DL_OK;
    if (status == DL_OK) return t;
    dl_graph_fail(g, status);
    return NULL;
}

dl_value e_take(dl_graph *g, dl_value x, int32_t dim, dl_value index) {
    const dl_tensor *t = dl_graph_tensor(g, x), *places = dl_graph_tensor(g, index);
    if (!t || !places) return DL_NO_VALUE;
    dl_shape s = shape_of(t);
    s.size[dim] = places->shape[0];
    index = e_expand(g, e_along(g, index, dim, t->ndim), s.ndim, s.size);
    return emit2(g, "gather", x, index, ATTRS(DL_INT(dim)));
}

dl_value e_transpose(dl_graph *g, dl_value x) { return emit1(g, "transpose", x, ATTRS(DL_INT(-1), DL_INT(-2))); }

dl_value e_flip(dl_graph *g, dl_value x, int32_t dim) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    if (!t || t->ndim == 0) return x;
    int64_t n = t->shape[dim];
    dl_value backwards = emit0(g, "arange", ATTRS(DL_INT(n - 1), DL_INT(-1), DL_INT(n), DL_INT(DL_I64)));
    return emit2(g, "index_select", x, backwards, ATTRS(DL_INT(dim)));
}

dl_value e_sum(dl_graph *g, dl_value x, int32_t dim, int keepdim) {
    int64_t d = dim;
    return emit1(g, "sum", x, ATTRS(DL_INTS(&d, 1), DL_INT(keepdim)));
}

dl_value e_reduce(dl_graph *g, const char *op, dl_value x, uint32_t mask) {
    int64_t dims[DL_MAX_DIMS];
    int32_t n = 0;
    for (int32_t d = 0; d < DL_MAX_DIMS; d++)
        if (mask >> d & 1) dims[n++] = d;
    /* An empty list would mean all dimensions, and a 0-dim tensor has nothing to reduce. */
    return n ? emit1(g, op, x, ATTRS(DL_INTS(dims, n), DL_INT(1))) : x;
}
