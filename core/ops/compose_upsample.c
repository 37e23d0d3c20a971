/* compose_upsample.c - upsample and its gradient: dimension by dimension, weighted gathers along it, or what transposes them.
 *
 * Positions are computed in the dtype that the CPU's kernel rounds them to, so that both choose the same places. */
#include "core/ops/functions.h"
#include "core/ops/taps.h"

/* One dimension: from `from` places to `to` results. */
typedef struct resampling {
    const char *mode;
    int align_corners;
    double step; /* places between results */
    int64_t from, to;
    dl_dtype lane; /* float32 or float64 */
} resampling;

static double in_lane(dl_dtype lane, double x) { return lane == DL_F32 ? (double)(float)x : x; }

static resampling resampling_of(const dl_frame *f, int32_t d, int64_t from, int64_t to) {
    const double scale = attr_float(f, 1 + (uint32_t)d);
    resampling r = {f->attr[1].v.s, attr_int(f, 2) != 0, 0, from, to, f->out[0]->type == DL_F64 ? DL_F64 : DL_F32};
    const double step = r.align_corners ? (to > 1 ? (double)(from - 1) / (double)(to - 1) : 0)
                        : scale > 0     ? 1 / scale
                                        : (double)from / (double)to;
    r.step = in_lane(r.lane, step);
    return r;
}

/* The place of x, a whole number in a float dtype, moved into the input. */
static dl_value within(dl_graph *g, const resampling *r, dl_value x) {
    return e_cast(g, emit1(g, "clamp", x, ATTRS(DL_FLOAT(0), DL_FLOAT((double)(r->from - 1)))), DL_I64);
}

/* step * (i + shift) for every result i */
static dl_value positions(dl_graph *g, const resampling *r, double shift) {
    return emit1(g, "mul_scalar", e_numbers(g, r->lane, r->to, shift, 1), ATTRS(DL_FLOAT(r->step)));
}

static dl_value at_most(dl_graph *g, dl_value x, double most) { return emit1(g, "minimum_scalar", x, ATTRS(DL_FLOAT(most))); }

static dl_value shifted(dl_graph *g, dl_value x, double by) { return emit1(g, "add_scalar", x, ATTRS(DL_FLOAT(by))); }

static taps taps_of(dl_graph *g, const resampling *r) {
    taps t = {.n = 1, .weight = {DL_NO_VALUE}};
    const int linear = r->mode[0] == 'l';
    if (r->mode[0] == 'n') { /* nearest, nearest-exact */
        dl_value at = at_most(g, positions(g, r, r->mode[7] ? 0.5 : 0), (double)r->from);
        t.place[0] = within(g, r, emit1(g, "floor", at, NO_ATTRS));
        return t;
    }
    dl_value at = r->align_corners ? positions(g, r, 0) : shifted(g, positions(g, r, 0.5), -0.5);
    at = at_most(g, at, (double)r->from); /* a scale that was given may lead anywhere */
    if (linear) at = emit1(g, "maximum_scalar", at, ATTRS(DL_FLOAT(0)));
    dl_value whole = emit1(g, "floor", at, NO_ATTRS);
    t.n = linear ? 2 : 4;
    for (int32_t k = 0; k < t.n; k++) t.place[k] = within(g, r, shifted(g, whole, k - (linear ? 0 : 1)));
    if (!linear) {
        cubic_weights(g, e_cast(g, e_sub(g, at, whole), DL_F64), 0, t.weight); /* rounded once */
        for (int32_t k = 0; k < t.n; k++) t.weight[k] = e_cast(g, t.weight[k], r->lane);
        return t;
    }
    t.weight[1] = at_most(g, e_sub(g, at, e_cast(g, t.place[0], r->lane)), 1);
    t.weight[0] = emit1(g, "rsub_scalar", t.weight[1], ATTRS(DL_FLOAT(1)));
    return t;
}

dl_status compose_upsample(dl_graph *g, const dl_frame *f) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const int weighted = f->attr[1].v.s[0] != 'n';
    dl_value x = dl_graph_in(g, 0);
    if (weighted) x = e_cast(g, x, wide_type(in->type));
    for (int32_t d = 2; d < out->ndim; d++) {
        const resampling r = resampling_of(f, d, in->shape[d], out->shape[d]);
        const taps t = taps_of(g, &r);
        dl_value sum = e_take(g, x, d, t.place[0]);
        if (weighted) sum = e_mul(g, sum, e_along(g, t.weight[0], d, out->ndim));
        for (int32_t k = 1; k < t.n; k++)
            into3(g, sum, "addcmul", sum, e_take(g, x, d, t.place[k]), e_along(g, t.weight[k], d, out->ndim), NO_ATTRS);
        x = sum;
    }
    dl_graph_returns(g, 0, e_cast(g, x, out->type));
    return dl_graph_status(g);
}

dl_status compose_upsample_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const dl_dtype wide = wide_type(in->type);
    dl_shape s = shape_of(in);
    dl_value x = e_cast(g, dl_graph_in(g, 0), wide);
    for (int32_t d = 2; d < out->ndim; d++) {
        const resampling r = resampling_of(f, d, out->shape[d], in->shape[d]);
        const taps t = taps_of(g, &r);
        const dl_shape from = s;
        s.size[d] = out->shape[d];
        dl_value sum = e_filled(g, wide, s.ndim, s.size, 0);
        for (int32_t k = 0; k < t.n; k++) {
            dl_value places = e_expand(g, e_along(g, t.place[k], d, s.ndim), s.ndim, from.size);
            dl_value part = t.weight[k] == DL_NO_VALUE ? x : e_mul(g, x, e_along(g, t.weight[k], d, s.ndim));
            sum = emit3(g, "scatter_add", sum, places, part, ATTRS(DL_INT(d)));
        }
        x = sum;
    }
    dl_graph_returns(g, 0, e_cast(g, x, out->type));
    return dl_graph_status(g);
}
