/* compose_grid.c - grid_sample and grid_sample_backward: places and weights of every position by pointwise ops, then gathers,
 * or scatter_adds, of each of the places around it.
 *
 * Positions are computed in float64, as the CPU does, so that both round to the same places. Where a weight is 0 the element
 * counts for nothing, NaN included; weights of places outside of x are made 0. */
#include "core/ops/functions.h"
#include "core/ops/taps.h"

typedef enum grid_padding { ZEROS, BORDER, REFLECTION } grid_padding;

enum { COORDINATES = 3, HIGHEST = 3 /* derivatives of a higher order are 0 in every mode */ };

typedef struct grid_job {
    char mode; /* n, l, c */
    grid_padding padding;
    int align_corners;
    int32_t coordinates;
    int64_t order[COORDINATES], size[COORDINATES], stride[COORDINATES]; /* by coordinate: x, y, z */
    int64_t samples, channels, places, positions;                       /* places of x, positions of the grid: in a sample */
    dl_dtype type, wide;
} grid_job;

/* u, and the derivative of it by the grid's coordinate: a tensor, or a number while it is the same for all. */
typedef struct position {
    dl_value u, slope;
    double step; /* if slope is DL_NO_VALUE */
} position;

static grid_job job_of(const dl_frame *f, const dl_tensor *x, const dl_attr *attr) {
    const dl_tensor *grid = f->in[1];
    const char padding = attr[1].v.s[0];
    grid_job j = {.mode = attr[0].v.s[0], .align_corners = attr[2].v.i != 0, .coordinates = x->ndim - 2};
    j.padding = padding == 'z' ? ZEROS : padding == 'b' ? BORDER : REFLECTION;
    int64_t stride = 1;
    for (int32_t c = 0; c < j.coordinates; c++) {
        j.order[c] = c < attr[3].n ? attr[3].v.iv[c] : 0;
        j.size[c] = x->shape[x->ndim - 1 - c];
        j.stride[c] = stride;
        stride *= j.size[c];
    }
    j.samples = x->shape[0];
    j.channels = x->shape[1];
    j.places = stride;
    j.positions = count_of(grid->ndim - 2, grid->shape + 1);
    j.type = x->type;
    j.wide = wide_type(x->type);
    return j;
}

/* ---- one coordinate ------------------------------------------------------------------------------------------------- */

static dl_value scalar_op(dl_graph *g, const char *op, dl_value x, double by) { return emit1(g, op, x, ATTRS(DL_FLOAT(by))); }

static dl_value slope_of(dl_graph *g, const position *p) {
    return p->slope == DL_NO_VALUE ? e_filled(g, DL_F64, 0, NULL, p->step) : p->slope;
}

static void clip(dl_graph *g, position *p, int64_t n, int with_slope) {
    const double last = (double)(n - 1);
    if (with_slope) {
        dl_value inside = e_mul(g, scalar_op(g, "gt_scalar", p->u, 0), scalar_op(g, "lt_scalar", p->u, last));
        p->slope = e_where(g, inside, slope_of(g, p), e_filled(g, DL_F64, 0, NULL, 0));
    }
    p->u = emit1(g, "clamp", p->u, ATTRS(DL_FLOAT(0), DL_FLOAT(last)));
}

/* Mirrored at the first and last place, or half a place outside of them where corners are not aligned. */
static void reflect(dl_graph *g, const grid_job *j, position *p, int64_t n, int with_slope) {
    const double low = j->align_corners ? 0 : -0.5, span = (double)(j->align_corners ? n - 1 : n);
    if (span == 0) {
        p->u = scalar_op(g, "mul_scalar", p->u, 0);
        p->slope = DL_NO_VALUE;
        p->step = 0;
        return;
    }
    dl_value at = scalar_op(g, "sub_scalar", p->u, low), rest, turns, back;
    dl_value below = scalar_op(g, "lt_scalar", at, 0);
    at = emit1(g, "abs", at, NO_ATTRS);
    rest = scalar_op(g, "fmod_scalar", at, span);
    turns = emit1(g, "floor", scalar_op(g, "div_scalar", at, span), NO_ATTRS);
    back = scalar_op(g, "ne_scalar", scalar_op(g, "fmod_scalar", turns, 2), 0);
    p->u = e_where(g, back, scalar_op(g, "rsub_scalar", rest, span), rest);
    p->u = scalar_op(g, "add_scalar", p->u, low);
    if (!with_slope) return;
    dl_value slope = slope_of(g, p), turned = emit2(g, "logical_xor", below, back, NO_ATTRS);
    p->slope = e_where(g, turned, emit1(g, "neg", slope, NO_ATTRS), slope);
}

static void pad(dl_graph *g, const grid_job *j, position *p, int64_t n, int with_slope) {
    if (j->padding == REFLECTION) reflect(g, j, p, n, with_slope);
    if (j->padding != ZEROS) clip(g, p, n, with_slope);
}

/* The position in x of every element of the grid, (samples, 1, positions). NaN, and what is far outside, become far numbers. */
static position position_of(dl_graph *g, const grid_job *j, dl_value grid, int32_t c) {
    const double step = (double)(j->align_corners ? j->size[c] - 1 : j->size[c]) / 2;
    dl_value u = e_cast(g, e_select(g, grid, -1, c), DL_F64);
    u = e_reshape(g, u, 3, (int64_t[]){j->samples, 1, j->positions});
    u = scalar_op(g, "mul_scalar", scalar_op(g, "add_scalar", u, 1), step);
    if (!j->align_corners) u = scalar_op(g, "sub_scalar", u, 0.5);
    u = emit2(g, "fmin", u, e_filled(g, DL_F64, 0, NULL, 0x1p33), NO_ATTRS);
    u = emit2(g, "fmax", u, e_filled(g, DL_F64, 0, NULL, -0x1p33), NO_ATTRS);
    return (position){u, DL_NO_VALUE, step};
}

/* Weights of the linear mode, or their derivatives. */
static void linear_weights(dl_graph *g, dl_value rest, int64_t order, dl_value weight[2]) {
    static const double derivative[HIGHEST + 1] = {0, 1, 0, 0};
    weight[1] = order == 0 ? rest : emit1(g, "affine_scalar", rest, ATTRS(DL_FLOAT(0), DL_FLOAT(derivative[order])));
    weight[0] = order == 0 ? scalar_op(g, "rsub_scalar", rest, 1) : emit1(g, "neg", weight[1], NO_ATTRS);
}

static taps taps_of(dl_graph *g, const grid_job *j, dl_value grid, int32_t c) {
    const int64_t n = j->size[c], order = j->order[c] < HIGHEST ? j->order[c] : HIGHEST;
    position p = position_of(g, j, grid, c);
    taps t = {.n = j->mode == 'n' ? 1 : j->mode == 'l' ? 2 : 4};
    if (j->mode != 'c') pad(g, j, &p, n, order > 0);
    dl_value whole = emit1(g, j->mode == 'n' ? "round" : "floor", p.u, NO_ATTRS), rest = e_sub(g, p.u, whole);
    if (j->mode == 'n') t.weight[0] = emit1(g, "affine_scalar", rest, ATTRS(DL_FLOAT(0), DL_FLOAT(order == 0)));
    if (j->mode == 'l') linear_weights(g, rest, order, t.weight);
    if (j->mode == 'c') cubic_weights(g, rest, order, t.weight);
    dl_value scale = DL_NO_VALUE;
    for (int64_t k = 0; k < order; k++) scale = k == 0 ? slope_of(g, &p) : e_mul(g, scale, slope_of(g, &p));
    for (int32_t k = 0; k < t.n; k++) {
        position at = {scalar_op(g, "add_scalar", whole, k - (j->mode == 'c')), DL_NO_VALUE, 0};
        if (j->mode == 'c') pad(g, j, &at, n, 0);
        dl_value outside = e_add(g, scalar_op(g, "lt_scalar", at.u, 0), scalar_op(g, "ge_scalar", at.u, (double)n));
        if (order > 0) t.weight[k] = e_mul(g, t.weight[k], scale);
        if (j->order[c] > HIGHEST) t.weight[k] = scalar_op(g, "mul_scalar", t.weight[k], 0);
        t.weight[k] = e_fill(g, t.weight[k], outside, 0);
        t.place[k] = e_fill(g, e_cast(g, emit1(g, "trunc", at.u, NO_ATTRS), DL_I64), outside, 0);
    }
    return t;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------- */

typedef struct tap {
    dl_value place;  /* in x's flattened places: int64, (samples, channels, positions), channels repeated */
    dl_value weight; /* (samples, 1, positions), of the wide type */
    dl_value none;   /* bool: is the weight 0? */
} tap;

static int64_t number_of_taps(const grid_job *j, const taps *t) {
    int64_t n = 1;
    for (int32_t c = 0; c < j->coordinates; c++) n *= t[c].n;
    return n;
}

/* Number k of all combinations of the coordinates' taps, x turning fastest. */
static tap combined(dl_graph *g, const grid_job *j, const taps *t, int64_t k) {
    tap r = {DL_NO_VALUE, DL_NO_VALUE, DL_NO_VALUE};
    for (int32_t c = 0; c < j->coordinates; c++) {
        const int64_t i = k % t[c].n;
        k /= t[c].n;
        dl_value place = emit1(g, "mul_scalar", t[c].place[i], ATTRS(DL_INT(j->stride[c])));
        r.place = c == 0 ? place : e_add(g, r.place, place);
        r.weight = c == 0 ? t[c].weight[i] : e_mul(g, r.weight, t[c].weight[i]);
    }
    r.place = e_expand(g, r.place, 3, (int64_t[]){j->samples, j->channels, j->positions});
    r.weight = e_cast(g, r.weight, j->wide);
    r.none = e_equals(g, r.weight, 0);
    return r;
}

static dl_value flat(dl_graph *g, const grid_job *j, dl_value x, int64_t n) {
    return e_reshape(g, e_cast(g, x, j->wide), 3, (int64_t[]){j->samples, j->channels, n});
}

static int is_empty(const dl_frame *f) {
    return count_of(f->out[0]->ndim, f->out[0]->shape) == 0 || count_of(f->in[0]->ndim, f->in[0]->shape) == 0;
}

dl_status compose_grid_sample(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    const grid_job j = job_of(f, f->in[0], f->attr);
    taps t[COORDINATES];
    dl_value sum = e_filled(g, j.wide, 3, (int64_t[]){j.samples, j.channels, j.positions}, 0);
    if (!is_empty(f)) {
        dl_value x = flat(g, &j, dl_graph_in(g, 0), j.places);
        for (int32_t c = 0; c < j.coordinates; c++) t[c] = taps_of(g, &j, dl_graph_in(g, 1), c);
        for (int64_t k = 0; k < number_of_taps(&j, t); k++) {
            const tap one = combined(g, &j, t, k);
            dl_value part = e_mul(g, emit2(g, "gather", x, one.place, ATTRS(DL_INT(2))), one.weight);
            e_add_into(g, sum, e_fill(g, part, one.none, 0));
        }
    }
    dl_graph_returns(g, 0, e_cast(g, e_reshape(g, sum, out->ndim, out->shape), out->type));
    return dl_graph_status(g);
}

dl_status compose_grid_sample_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    const grid_job j = job_of(f, out, f->attr + 1);
    taps t[COORDINATES];
    dl_value sum = e_filled(g, j.wide, 3, (int64_t[]){j.samples, j.channels, j.places}, 0);
    if (!is_empty(f)) {
        dl_value grad = flat(g, &j, dl_graph_in(g, 0), j.positions);
        for (int32_t c = 0; c < j.coordinates; c++) t[c] = taps_of(g, &j, dl_graph_in(g, 1), c);
        for (int64_t k = 0; k < number_of_taps(&j, t); k++) {
            const tap one = combined(g, &j, t, k);
            dl_value part = e_fill(g, e_mul(g, grad, one.weight), one.none, 0);
            sum = emit3(g, "scatter_add", sum, one.place, part, ATTRS(DL_INT(2)));
        }
    }
    dl_graph_returns(g, 0, e_cast(g, e_reshape(g, sum, out->ndim, out->shape), out->type));
    return dl_graph_status(g);
}
