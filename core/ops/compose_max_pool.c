/* compose_max_pool.c - maxima over windows with their places, and what is done at places.
 *
 * The kernel's elements are taken one by one, each for all windows at once through a view, in the order of the CPU's kernel: of
 * equal elements the first stays, of NaN the last. Padding is -inf, which nothing but itself does not exceed, and so never
 * comes in behind the first element that lies inside. */
#include "core/ops/functions.h"
#include "core/ops/windows.h"
#include <math.h>

/* ---- places --------------------------------------------------------------------------------------------------------- */

/* Numbers in the flattened plane of sizes `in` from a coordinate for each dimension; these broadcast against each other. */
static dl_value flattened(dl_graph *g, int32_t spatial, const dl_value *coordinates, const sliding_axis *axis) {
    dl_value place = coordinates[0];
    for (int32_t d = 1; d < spatial; d++) {
        place = emit1(g, "mul_scalar", place, ATTRS(DL_INT(axis[d].in)));
        place = e_add(g, place, coordinates[d]);
    }
    return place;
}

/* A vector of places along dimension d of `spatial`. */
static dl_value along(dl_graph *g, dl_value x, int32_t d, int32_t spatial) {
    return e_along(g, e_cast(g, x, DL_I32), d, spatial);
}

/* Places of the padded plane's elements; those of the padding mean nothing. */
static dl_value padded_places(dl_graph *g, const sliding_windows *w) {
    dl_value coordinates[DL_MAX_SPATIAL] = {0};
    for (int32_t d = 0; d < w->spatial; d++) {
        const sliding_axis *a = &w->axis[d];
        coordinates[d] = along(g, e_numbers(g, DL_I32, a->padded, (double)-a->padding, 1), d, w->spatial);
    }
    return flattened(g, w->spatial, coordinates, w->axis);
}

/* Of each window's elements inside the plane the first one's place: window o starts at s = o stride - padding, and where that
 * is negative (dilation - 1 - s) / dilation elements lie before the plane. */
static dl_value first_places(dl_graph *g, const sliding_windows *w) {
    dl_value coordinates[DL_MAX_SPATIAL] = {0};
    for (int32_t d = 0; d < w->spatial; d++) {
        const sliding_axis *a = &w->axis[d];
        dl_value start = e_numbers(g, DL_I32, a->out, (double)-a->padding, (double)a->stride);
        dl_value missed = emit1(g, "rsub_scalar", start, ATTRS(DL_INT(a->dilation - 1)));
        missed = emit1(g, "idiv_scalar", missed, ATTRS(DL_INT(a->dilation)));
        missed = emit1(g, "maximum_scalar", missed, ATTRS(DL_INT(0)));
        missed = emit1(g, "mul_scalar", missed, ATTRS(DL_INT(a->dilation)));
        coordinates[d] = along(g, e_add(g, start, missed), d, w->spatial);
    }
    return flattened(g, w->spatial, coordinates, w->axis);
}

/* ---- maxima --------------------------------------------------------------------------------------------------------- */

typedef struct maximum {
    dl_value value, place; /* of what has been seen of each window; place: int32 */
    dl_value exceeds;      /* was the last element a new maximum? */
    int own;               /* are they this composition's own tensors? */
} maximum;

/* Another element of every window. */
static void see(dl_graph *g, maximum *m, dl_value x, dl_value place) {
    const dl_value pair[] = {x, m->value};
    if (!m->own) {
        m->exceeds = dl_emit(g, "exceeds", pair, 2, NO_ATTRS);
        m->value = dl_emit(g, "maximum", pair, 2, NO_ATTRS);
        m->place = e_where(g, m->exceeds, place, m->place);
        m->own = 1;
        return;
    }
    dl_emit_into(g, m->exceeds, "exceeds", pair, 2, NO_ATTRS);
    dl_emit_into(g, m->value, "maximum", pair, 2, NO_ATTRS);
    dl_emit_into(g, m->place, "where", (dl_value[]){m->exceeds, place, m->place}, 3, NO_ATTRS);
}

static dl_status return_empty(dl_graph *g, const dl_frame *f) {
    for (uint32_t k = 0; k < 2; k++)
        dl_graph_returns(g, k, dl_graph_empty(g, f->out[k]->type, f->out[k]->ndim, f->out[k]->shape));
    return dl_graph_status(g);
}

/* Windows along dimension d of w's alone, those behind it being done: seen by tensors that end in dimensions d to the last. */
static sliding_windows along_one(const sliding_windows *w, int32_t d) {
    sliding_windows one = {.spatial = w->spatial - d};
    one.axis[0] = w->axis[d];
    for (int32_t k = 1; k < one.spatial; k++) {
        const int64_t n = w->axis[d + k].out;
        one.axis[k] = (sliding_axis){n, n, 1, 1, 0, 1, n};
    }
    return one;
}

/* All elements of w's windows, from number `first` on, the maximum of those before it being known. */
static void see_all(dl_graph *g, maximum *m, const sliding_windows *w, dl_value x, dl_value places, int64_t first) {
    const int64_t n = windows_elements(w);
    for (int64_t k = first; k < n && dl_graph_status(g) == DL_OK; k++)
        see(g, m, windows_element(g, w, x, k), windows_element(g, w, places, k));
}

/* Returns both outputs. x: windows_padded with -inf, or gathered; places: of its elements, in planes or for all dimensions.
 * Without padding it goes dimension by dimension: the first maximum of a window is the first one of the first row that has it.
 */
static dl_status return_maxima(dl_graph *g, const dl_frame *f, const sliding_windows *w, dl_value x, dl_value places) {
    const dl_tensor *out = f->out[0];
    maximum m = {.value = x, .place = places};
    if (w->padding) {
        m.value = e_filled(g, out->type, 0, NULL, -INFINITY);
        m.place = first_places(g, w);
        see_all(g, &m, w, x, places, 0);
    }
    for (int32_t d = w->spatial - 1; d >= 0 && !w->padding; d--) {
        const sliding_windows one = along_one(w, d);
        x = m.value;
        places = m.place;
        m = (maximum){.value = windows_element(g, &one, x, 0), .place = windows_element(g, &one, places, 0)};
        see_all(g, &m, &one, x, places, 1);
    }
    dl_graph_returns(g, 0, m.value);
    dl_graph_returns(g, 1, e_cast(g, e_expand(g, m.place, out->ndim, out->shape), DL_I64));
    return dl_graph_status(g);
}

dl_status compose_max_pool(dl_graph *g, const dl_frame *f) {
    sliding_windows w;
    if (count_of(f->out[0]->ndim, f->out[0]->shape) == 0) return return_empty(g, f);
    DL_TRY(sliding_windows_of(f, f->in[0], f->out[0], 0, 1, &w));
    return return_maxima(g, f, &w, windows_padded(g, &w, dl_graph_in(g, 0), -INFINITY), padded_places(g, &w));
}

/* Windows of a dimension that were gathered side by side. */
static sliding_axis gathered(int64_t in, int64_t out, int64_t kernel) {
    return (sliding_axis){in, out, kernel, kernel, 0, 1, out * kernel};
}

/* Repeating the last element of shorter windows changes no maximum. */
dl_status compose_adaptive_max_pool(dl_graph *g, const dl_frame *f) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const int64_t *size;
    sliding_windows w = {.spatial = attr_ints(f, 0, &size)};
    const int32_t leading = in->ndim - w.spatial;
    dl_value x = dl_graph_in(g, 0), coordinates[DL_MAX_SPATIAL] = {0};
    if (count_of(out->ndim, out->shape) == 0) return return_empty(g, f);
    for (int32_t d = 0; d < w.spatial; d++) {
        const int64_t n = in->shape[leading + d];
        const adaptive_axis a = adaptive_axis_of(n, size[d]);
        dl_value places = n % size[d] ? adaptive_places(g, &a, NULL) : DL_NO_VALUE;
        if (n % size[d]) x = e_take(g, x, leading + d, places);
        if (n % size[d] == 0) places = e_numbers(g, DL_I32, n, 0, 1);
        w.axis[d] = gathered(n, size[d], a.longest);
        coordinates[d] = along(g, places, d, w.spatial);
    }
    return return_maxima(g, f, &w, x, flattened(g, w.spatial, coordinates, w.axis));
}

/* Where each plane's windows start along dimension d, (planes..., out), in float64 as the CPU computes: with a = (in - kernel)
 * / (out - 1), floor((o + u) a) - floor(u a), the last one at in - kernel. */
static dl_value fractional_starts(dl_graph *g, dl_value draws, int32_t d, int64_t in, int64_t out, int64_t kernel) {
    dl_value u = emit1(g, "select", draws, ATTRS(DL_INT(-1), DL_INT(d)));
    u = emit1(g, "unsqueeze", e_cast(g, u, DL_F64), ATTRS(DL_INT(-1)));
    /* Draws outside of 0..1 are brought into it, and NaN to 0, as the kernels do. */
    u = emit2(g, "fmax", u, e_filled(g, DL_F64, 0, NULL, 0), NO_ATTRS);
    u = emit2(g, "fmin", u, e_filled(g, DL_F64, 0, NULL, 1), NO_ATTRS);
    const dl_attr apart = DL_FLOAT(out > 1 ? (double)(in - kernel) / (double)(out - 1) : 0);
    dl_value o = e_numbers(g, DL_F64, out, 0, 1);
    dl_value start = e_cast(g, emit1(g, "mul_scalar", e_add(g, o, u), &apart, 1), DL_I64);
    start = e_sub(g, start, e_cast(g, emit1(g, "mul_scalar", u, &apart, 1), DL_I64));
    return e_fill(g, start, e_equals(g, o, (double)(out - 1)), (double)(in - kernel));
}

/* Places of the plane's windows side by side along dimension d, shaped (planes..., 1, out * kernel, 1). */
static dl_value fractional_places(dl_graph *g, const dl_tensor *in, dl_value starts, int32_t spatial, int32_t d, int64_t out,
                                  int64_t kernel) {
    int64_t shape[DL_MAX_DIMS];
    for (int32_t k = 0; k < in->ndim; k++) shape[k] = k < in->ndim - spatial ? in->shape[k] : 1;
    shape[in->ndim - spatial + d] = out * kernel;
    dl_value places = emit1(g, "unsqueeze", starts, ATTRS(DL_INT(-1)));
    return e_reshape(g, e_add(g, places, e_ramp(g, 0, 1, kernel, 0, 1)), in->ndim, shape);
}

dl_status compose_fractional_max_pool(dl_graph *g, const dl_frame *f) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const int64_t *given;
    sliding_windows w = {.spatial = attr_ints(f, 0, &given)};
    const int32_t leading = in->ndim - w.spatial;
    int64_t kernel[DL_MAX_SPATIAL];
    dl_shape s = shape_of(in);
    dl_value x = dl_graph_in(g, 0), coordinates[DL_MAX_SPATIAL] = {0};
    DL_TRY(rule_spatial(f, 0, "kernel", w.spatial, given, 1, kernel));
    if (count_of(out->ndim, out->shape) == 0) return return_empty(g, f);
    for (int32_t d = 0; d < w.spatial; d++) {
        const int64_t n = in->shape[leading + d], results = out->shape[leading + d];
        dl_value starts = fractional_starts(g, dl_graph_in(g, 1), d, n, results, kernel[d]);
        dl_value places = fractional_places(g, in, starts, w.spatial, d, results, kernel[d]);
        w.axis[d] = gathered(n, results, kernel[d]);
        s.size[leading + d] = results * kernel[d];
        x = emit2(g, "gather", x, e_expand(g, places, s.ndim, s.size), ATTRS(DL_INT(leading + d)));
        coordinates[d] = e_cast(g, places, DL_I32);
    }
    return return_maxima(g, f, &w, x, flattened(g, w.spatial, coordinates, w.axis));
}

/* ---- at places ------------------------------------------------------------------------------------------------------ */

/* x as (planes, elements). */
static dl_value as_planes(dl_graph *g, dl_value x, const dl_tensor *t, int32_t spatial) {
    const int32_t leading = t->ndim - spatial;
    return e_reshape(g, x, 2, (int64_t[]){count_of(leading, t->shape), count_of(spatial, t->shape + leading)});
}

/* in[0] put into planes of zeros by `op` at the places that in[1] gives. */
static dl_status return_put(dl_graph *g, const dl_frame *f, const char *op, dl_dtype type) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const int64_t *size;
    const int32_t spatial = attr_ints(f, 0, &size), leading = out->ndim - spatial;
    const int64_t planes[] = {count_of(leading, out->shape), count_of(spatial, size)};
    dl_value zeros = e_filled(g, type, 2, planes, 0), x = as_planes(g, e_cast(g, dl_graph_in(g, 0), type), in, spatial);
    dl_value index = as_planes(g, dl_graph_in(g, 1), f->in[1], spatial);
    x = emit3(g, op, zeros, index, x, ATTRS(DL_INT(1)));
    dl_graph_returns(g, 0, e_cast(g, e_reshape(g, x, out->ndim, out->shape), out->type));
    return dl_graph_status(g);
}

dl_status compose_max_pool_backward(dl_graph *g, const dl_frame *f) {
    return return_put(g, f, "scatter_add", wide_type(f->out[0]->type));
}

dl_status compose_max_unpool(dl_graph *g, const dl_frame *f) { return return_put(g, f, "scatter", f->out[0]->type); }

dl_status compose_max_unpool_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    const int32_t spatial = (int32_t)attr_int(f, 0);
    dl_value x = as_planes(g, dl_graph_in(g, 0), f->in[0], spatial);
    x = emit2(g, "gather", x, as_planes(g, dl_graph_in(g, 1), f->in[1], spatial), ATTRS(DL_INT(1)));
    dl_graph_returns(g, 0, e_reshape(g, x, out->ndim, out->shape));
    return dl_graph_status(g);
}
