/* compose_index.c - compositions of the ops that move elements by index or mask, from gather, scatter_add and pointwise ops.
 *
 * Index values are checked by the gather or scatter_add that reads them. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

static dl_status returned(dl_graph *g, dl_value y) {
    dl_graph_returns(g, 0, y);
    return dl_graph_status(g);
}

static dl_value zeros_of(dl_graph *g, dl_dtype type, int32_t ndim, const int64_t *shape) {
    return emit1(g, "fill", dl_graph_empty(g, type, ndim, shape), ATTRS(DL_INT(0)));
}

static dl_value scattered(dl_graph *g, dl_value to, int32_t dim, dl_value index, dl_value src) {
    return emit3(g, "scatter_add", to, index, src, ATTRS(DL_INT(dim)));
}

/* Refuses a vector of indices beyond `size`, naming the place in it: a gather of nothing, since those of whole slices count the
 * places of all their elements. */
static void check_vector(dl_graph *g, dl_value vector, int64_t size) {
    const int64_t one = 1;
    dl_value nothing = e_expand(g, zeros_of(g, DL_U8, 1, &one), 1, &size);
    (void)emit2(g, "gather", nothing, vector, ATTRS(DL_INT(0)));
}

/* The dim attribute in place 0, and a vector of indices along it expanded to `shape`, as gather and scatter_add want it
 * for an `indexed` tensor. */
static dl_value slice_index(dl_graph *g, const dl_frame *f, const dl_tensor *indexed, int32_t *dim, int32_t ndim,
                            const int64_t *shape) {
    *dim = 0;
    dl_graph_fail(g, rule_dim(attr_int(f, 0), f->in[0]->ndim, dim));
    dl_value vector = e_flat(g, dl_graph_in(g, 1));
    check_vector(g, vector, indexed->ndim ? indexed->shape[*dim] : 1);
    return e_expand(g, e_along(g, vector, ndim ? *dim : -1, ndim), ndim, shape);
}

/* ---- index_select and what adds ----------------------------------------------------------------------------------------- */

dl_status compose_index_select(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    dl_value index = slice_index(g, f, f->in[0], &dim, f->out[0]->ndim, f->out[0]->shape);
    return returned(g, emit2(g, "gather", dl_graph_in(g, 0), index, ATTRS(DL_INT(dim))));
}

dl_status compose_index_select_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *grad = f->in[0], *out = f->out[0];
    int32_t dim;
    dl_value index = slice_index(g, f, out, &dim, grad->ndim, grad->shape);
    return returned(g, scattered(g, zeros_of(g, out->type, out->ndim, out->shape), dim, index, dl_graph_in(g, 0)));
}

dl_status compose_index_add(dl_graph *g, const dl_frame *f) {
    const dl_tensor *src = f->in[2];
    int32_t dim;
    dl_value index = slice_index(g, f, f->in[0], &dim, src->ndim, src->shape);
    return returned(g, scattered(g, dl_graph_in(g, 0), dim, index, dl_graph_in(g, 2)));
}

/* ---- what replaces: of equal indices the last counts -------------------------------------------------------------------- */

/* Where in a tensor of `shape` the index points: bool. */
static dl_value places_hit(dl_graph *g, dl_value index, int32_t dim, int32_t ndim, const int64_t *shape) {
    const dl_tensor *t = dl_graph_tensor(g, index);
    if (!t) return DL_NO_VALUE;
    dl_value ones = emit1(g, "fill", dl_graph_empty(g, DL_I32, t->ndim, t->shape), ATTRS(DL_INT(1)));
    return e_cast(g, scattered(g, zeros_of(g, DL_I32, ndim, shape), dim, index, ones), DL_BOOL);
}

/* Which elements of an index are the last along dim that point to their place of a tensor of `shape`: bool, one for each place.
 * Their positions' bits are found from the highest down: of the candidates for a place those with the bit stay if there are
 * any. */
static dl_value last_ones(dl_graph *g, dl_value index, int32_t dim, int32_t ndim, const int64_t *shape) {
    const dl_tensor *t = dl_graph_tensor(g, index);
    if (!t) return DL_NO_VALUE;
    const int64_t n = t->ndim ? t->shape[dim] : count_of(t->ndim, t->shape);
    dl_value stay = emit1(g, "fill", dl_graph_empty(g, DL_BOOL, t->ndim, t->shape), ATTRS(DL_INT(1)));
    dl_value position = e_ramp(g, 0, 1, n, t->ndim ? dim : -1, t->ndim);
    for (int64_t bit = n > 1 ? (int64_t)1 << (63 - __builtin_clzll((uint64_t)(n - 1))) : 0; bit > 0; bit /= 2) {
        dl_value has_bit = e_cast(g, emit1(g, "bit_and_scalar", position, ATTRS(DL_INT(bit))), DL_BOOL);
        dl_value votes = e_cast(g, emit2(g, "logical_and", stay, has_bit, NO_ATTRS), DL_I32);
        dl_value count = scattered(g, zeros_of(g, DL_I32, ndim, shape), dim, index, votes);
        dl_value wanted = e_cast(g, emit2(g, "gather", count, index, ATTRS(DL_INT(dim))), DL_BOOL);
        stay = emit2(g, "logical_and", stay, e_eq(g, wanted, has_bit), NO_ATTRS);
    }
    return stay;
}

/* Input 0 with src at the index's places. stay and hit broadcast against the index and input 0. */
static dl_value replaced(dl_graph *g, dl_value index, int32_t dim, dl_value src, dl_value stay, dl_value hit) {
    const dl_tensor *x = dl_graph_tensor(g, dl_graph_in(g, 0)), *s = dl_graph_tensor(g, src);
    if (!x || !s) return DL_NO_VALUE;
    dl_value kept = emit2(g, "masked_fill", src, emit1(g, "logical_not", stay, NO_ATTRS), ATTRS(DL_INT(0)));
    dl_value there = scattered(g, zeros_of(g, x->type, x->ndim, x->shape), dim, index, kept);
    return e_where(g, hit, there, dl_graph_in(g, 0));
}

dl_status compose_scatter(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0], *src = f->in[2];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    dl_value index = dl_graph_in(g, 1), hit = places_hit(g, index, dim, x->ndim, x->shape);
    if (src->ndim == 0) return returned(g, e_where(g, hit, dl_graph_in(g, 2), dl_graph_in(g, 0)));
    dl_value stay = last_ones(g, index, dim, x->ndim, x->shape);
    return returned(g, replaced(g, index, dim, dl_graph_in(g, 2), stay, hit));
}

/* For slices the vector of indices alone decides. */
dl_status compose_index_copy(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0], *src = f->in[2];
    int32_t dim;
    dl_value index = slice_index(g, f, f->in[0], &dim, src->ndim, src->shape), vector = e_flat(g, dl_graph_in(g, 1));
    const int64_t places = x->ndim ? x->shape[dim] : 1;
    const int32_t along = x->ndim ? dim : -1;
    dl_value stay = e_along(g, last_ones(g, vector, 0, 1, &places), along, x->ndim);
    dl_value hit = e_along(g, places_hit(g, vector, 0, 1, &places), along, x->ndim);
    return returned(g, replaced(g, index, dim, dl_graph_in(g, 2), stay, hit));
}

dl_status compose_index_fill(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    int32_t dim;
    DL_TRY(rule_dim(attr_int(f, 0), x->ndim, &dim));
    const int64_t places = x->ndim ? x->shape[dim] : 1;
    dl_value hit = e_along(g, places_hit(g, e_flat(g, dl_graph_in(g, 1)), 0, 1, &places), x->ndim ? dim : -1, x->ndim);
    return returned(g, emit2(g, "masked_fill", dl_graph_in(g, 0), hit, ATTRS(scalar_for(x->type, f->attr[1]))));
}

dl_status compose_one_hot(dl_graph *g, const dl_frame *f) {
    const dl_tensor *index = f->in[0], *out = f->out[0];
    const int64_t classes = attr_int(f, 0);
    dl_value all = e_ramp(g, 0, 1, classes, 0, 1);
    /* The index itself, once gather has seen that every one is a class. */
    dl_value hot = emit2(g, "gather", all, e_flat(g, dl_graph_in(g, 0)), ATTRS(DL_INT(0)));
    hot = emit1(g, "unsqueeze", e_reshape(g, hot, index->ndim, index->shape), ATTRS(DL_INT(-1)));
    return returned(g, e_cast(g, e_eq(g, hot, all), out->type));
}

/* ---- masks -------------------------------------------------------------------------------------------------------------- */

/* How many of a mask's elements are set up to each, in row-major order: int64. */
static dl_value set_so_far(dl_graph *g, dl_value mask) {
    dl_value flat = e_cast(g, e_flat(g, e_cast(g, mask, DL_BOOL)), DL_I64);
    return emit1(g, "cumsum", flat, ATTRS(DL_INT(0)));
}

/* The row-major places of a mask's set elements, in order. They number what the host reads; number k stands where the running
 * count first exceeds k, which every k finds by halving steps. */
static dl_value set_places(dl_graph *g, dl_value mask) {
    dl_value so_far = set_so_far(g, mask);
    const dl_tensor *t = dl_graph_tensor(g, so_far);
    const int64_t n = t ? t->shape[0] : 0, none = 0;
    const int64_t count = n > 0 ? dl_graph_read(g, e_slice(g, so_far, 0, n - 1, 1)) : 0;
    if (count == 0) return dl_graph_empty(g, DL_I64, 1, &none);
    dl_value k = e_ramp(g, 0, 1, count, 0, 1), place = zeros_of(g, DL_I64, 1, &count);
    for (int64_t step = (int64_t)1 << (63 - __builtin_clzll((uint64_t)n)); step > 0; step /= 2) {
        /* Are the `step` elements from place on before number k? One beyond the end counts as the last, which is behind all. */
        dl_value last = emit1(g, "add_scalar", place, ATTRS(DL_INT(step - 1)));
        dl_value inside = emit1(g, "clamp_max", last, ATTRS(DL_INT(n - 1)));
        dl_value before = emit2(g, "le", emit2(g, "gather", so_far, inside, ATTRS(DL_INT(0))), k, NO_ATTRS);
        place = emit2(g, "add", place, e_cast(g, before, DL_I64), ATTRS(DL_INT(step)));
    }
    return place;
}

dl_status compose_masked_select(dl_graph *g, const dl_frame *f) {
    (void)f;
    dl_value places = set_places(g, dl_graph_in(g, 1));
    return returned(g, emit2(g, "gather", e_flat(g, dl_graph_in(g, 0)), places, ATTRS(DL_INT(0))));
}

dl_status compose_nonzero(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    dl_value places = set_places(g, dl_graph_in(g, 0));
    const dl_tensor *t = dl_graph_tensor(g, places);
    if (!t) return dl_graph_status(g);
    const int64_t count = t->shape[0], shape[] = {count, x->ndim};
    dl_value y = dl_graph_empty(g, DL_I64, 2, shape);
    for (int32_t d = x->ndim - 1; d >= 0 && count > 0; d--) {
        into1(g, e_select(g, y, 1, d), "fmod_scalar", places, ATTRS(DL_INT(x->shape[d])));
        places = emit1(g, "idiv_scalar", places, ATTRS(DL_INT(x->shape[d])));
    }
    return returned(g, y);
}

/* A masked element takes src's element number so_far - 1; an unmasked one takes number 0 and drops it. One too many is for
 * gather to refuse, also where src is empty: then it reads from a single zero, and the numbers are one greater. */
dl_status compose_masked_scatter(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int empty = count_of(f->in[2]->ndim, f->in[2]->shape) == 0;
    const int64_t one = 1;
    if (count_of(x->ndim, x->shape) == 0) return returned(g, emit1(g, "copy", dl_graph_in(g, 0), NO_ATTRS));
    dl_value mask = e_cast(g, dl_graph_in(g, 1), DL_BOOL), flat = e_flat(g, mask);
    dl_value src = empty ? zeros_of(g, x->type, 1, &one) : e_flat(g, dl_graph_in(g, 2));
    dl_value number = emit1(g, "sub_scalar", set_so_far(g, mask), ATTRS(DL_INT(!empty)));
    number = emit2(g, "masked_fill", number, emit1(g, "logical_not", flat, NO_ATTRS), ATTRS(DL_INT(0)));
    dl_value taken = e_reshape(g, emit2(g, "gather", src, number, ATTRS(DL_INT(0))), x->ndim, x->shape);
    return returned(g, e_where(g, mask, taken, dl_graph_in(g, 0)));
}
