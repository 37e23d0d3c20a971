/* compose_view.c - view_backward in pointwise ops and copies.
 *
 * A view whose elements have places of their own is one copy into zeros. Of dimensions that make elements meet, one is walked,
 * slice by slice, and each slice added in place: for the windows of a convolution as many additions as the kernel has elements,
 * or the result, whichever is less. */
#include "core/ops/functions.h"
#include "core/ops/geometry.h"

enum { MOST_SLICES = 4096 }; /* beyond that a table of places costs less than the calls */

/* The dimensions of a view by what is done with them; strides are those of the result. */
typedef struct spread {
    geometry apart;                                            /* elements of these never meet */
    geometry walked;                                           /* these are taken slice by slice */
    int64_t from_apart[DL_MAX_DIMS], from_walked[DL_MAX_DIMS]; /* the source's strides */
    int64_t slices;
} spread;

typedef struct view_dim {
    int64_t size, stride, from;
} view_dim;

/* The view's dimensions of more than one element by rising stride. */
static int32_t sort_dims(const dl_tensor *x, const int64_t *strides, view_dim *sorted) {
    int32_t n = 0;
    for (int32_t d = 0; d < x->ndim; d++) {
        if (x->shape[d] == 1) continue;
        int32_t at = n++;
        for (; at > 0 && sorted[at - 1].stride > strides[d]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = (view_dim){x->shape[d], strides[d], x->strides[d]};
    }
    return n;
}

static void put_dim(geometry *v, int64_t *from, view_dim dim) {
    from[v->ndim] = dim.from;
    add_dim(v, dim.size, dim.stride);
}

/* Where a dimension's stride does not reach over those before it, it or the last of these is walked, the shorter one. */
static void divide_dims(const dl_tensor *x, const int64_t *strides, int64_t offset, spread *s) {
    view_dim sorted[DL_MAX_DIMS], apart[DL_MAX_DIMS];
    const int32_t n = sort_dims(x, strides, sorted);
    int32_t kept = 0;
    int64_t reach[DL_MAX_DIMS + 1] = {1};
    *s = (spread){.slices = 1, .apart.offset = offset};
    for (int32_t k = 0; k < n; k++) {
        view_dim dim = sorted[k];
        if (dim.stride < reach[kept]) {
            const int swap = kept > 0 && apart[kept - 1].size < dim.size && dim.stride >= reach[kept - 1];
            const view_dim walked = swap ? apart[--kept] : dim;
            put_dim(&s->walked, s->from_walked, walked);
            s->slices = s->slices > MOST_SLICES ? s->slices : s->slices * walked.size;
            if (!swap) continue;
        }
        apart[kept] = dim;
        reach[kept + 1] = reach[kept] + (dim.size - 1) * dim.stride;
        kept++;
    }
    for (int32_t k = kept - 1; k >= 0; k--) put_dim(&s->apart, s->from_apart, apart[k]);
}

/* Slice by slice: of the source what lies at `index` of the walked dimensions, added to the places it has in `to`. */
static void add_slices(dl_graph *g, dl_value to, dl_value x, const spread *s) {
    int64_t index[DL_MAX_DIMS] = {0};
    const geometry *a = &s->apart, *w = &s->walked;
    for (int64_t k = 0; k < s->slices && dl_graph_status(g) == DL_OK; k++) {
        int64_t from = 0, place = a->offset;
        for (int32_t d = 0; d < w->ndim; d++) {
            from += index[d] * s->from_walked[d];
            place += index[d] * w->strides[d];
        }
        dl_value part = e_strided(g, x, a->ndim, a->shape, s->from_apart, from);
        e_add_into(g, e_strided(g, to, a->ndim, a->shape, a->strides, place), part);
        for (int32_t d = 0; d < w->ndim && ++index[d] == w->shape[d]; d++) index[d] = 0;
    }
}

/* By the number of each element's place. */
static dl_value add_by_places(dl_graph *g, const dl_tensor *t, dl_value x, const int64_t *strides, int64_t offset, int64_t n) {
    const int64_t count = count_of(t->ndim, t->shape);
    dl_value places = e_filled(g, DL_I64, t->ndim, t->shape, (double)offset);
    for (int32_t d = 0; d < t->ndim; d++) {
        const int64_t tail[DL_MAX_DIMS] = {t->shape[d], 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        dl_value along = e_numbers(g, DL_I64, t->shape[d], 0, (double)strides[d]);
        e_add_into(g, places, e_reshape(g, along, t->ndim - d, tail));
    }
    dl_value zeros = e_filled(g, wide_type(t->type), 1, &n, 0);
    return emit3(g, "scatter_add", zeros, e_reshape(g, places, 1, &count), e_reshape(g, x, 1, &count), ATTRS(DL_INT(0)));
}

/* Sums over the dimensions whose elements all have one place; strides become those of what is left. */
static dl_value sum_repeated(dl_graph *g, dl_value x, const dl_tensor *t, int64_t *strides) {
    uint32_t repeated = 0;
    int32_t n = 0;
    for (int32_t d = 0; d < t->ndim; d++)
        if (strides[d] == 0 && t->shape[d] > 1)
            repeated |= 1u << d;
        else
            strides[n++] = strides[d];
    return repeated ? e_combine(g, e_cast(g, x, wide_type(t->type)), repeated, DL_OP_ADD) : x;
}

dl_status compose_view_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *grad = f->in[0], *out = f->out[0];
    const int64_t *given, count = count_of(out->ndim, out->shape);
    int64_t strides[DL_MAX_DIMS];
    spread s;
    const int32_t m = attr_ints(f, 1, &given);
    for (int32_t d = 0; d < m; d++) strides[d] = given[d];
    if (count_of(grad->ndim, grad->shape) == 0) {
        dl_graph_returns(g, 0, e_filled(g, out->type, out->ndim, out->shape, 0));
        return dl_graph_status(g);
    }
    dl_value x = sum_repeated(g, dl_graph_in(g, 0), grad, strides), y;
    const dl_tensor *t = e_plain(g, x);
    if (!t) return dl_graph_status(g);
    divide_dims(t, strides, attr_int(f, 2), &s);
    if (s.slices == 1) { /* zeros only where some places are left out */
        y = count_of(t->ndim, t->shape) == count ? dl_graph_empty(g, out->type, out->ndim, out->shape)
                                                 : e_filled(g, out->type, out->ndim, out->shape, 0);
        dl_value part = e_strided(g, x, s.apart.ndim, s.apart.shape, s.from_apart, 0);
        e_copy_into(g, e_strided(g, y, s.apart.ndim, s.apart.shape, s.apart.strides, s.apart.offset), part);
    } else if (s.slices <= MOST_SLICES) {
        y = e_filled(g, wide_type(out->type), out->ndim, out->shape, 0);
        add_slices(g, y, x, &s);
    } else {
        y = add_by_places(g, t, e_cast(g, x, wide_type(t->type)), strides, attr_int(f, 2), count);
        y = e_reshape(g, y, out->ndim, out->shape);
    }
    dl_graph_returns(g, 0, e_cast(g, y, out->type));
    return dl_graph_status(g);
}
