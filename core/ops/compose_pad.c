/* compose_pad.c - pad and pad_backward in copies, gathers and sums of borders.
 *
 * The middle is one copy. Borders that show other elements are then made dimension by dimension, within the result: those of
 * dimensions already done are repeated with it. Backward folds borders back, dimension by dimension, in place. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

typedef enum pad_mode { CONSTANT, REFLECT, REPLICATE, CIRCULAR } pad_mode;

/* What happens along one dimension: `cut` from the input, then borders are added, then `cropped` from the result. Negative
 * pads cut what constants and periods do not come back to; reflection and repetition see the whole input first. */
typedef struct pad_dim {
    int64_t cut, size;     /* the input's places from cut on, size of them */
    int64_t before, after; /* borders */
    int64_t crop, out;     /* of before + size + after the places from crop on, out of them */
} pad_dim;

static pad_mode mode_of(const char *name) {
    return name[0] == 'c' ? name[1] == 'o' ? CONSTANT : CIRCULAR : name[2] == 'f' ? REFLECT : REPLICATE;
}

static int64_t positive(int64_t n) { return n > 0 ? n : 0; }

static pad_dim pad_dim_of(pad_mode mode, int64_t n, int64_t before, int64_t after) {
    const int64_t front = positive(-before), back = positive(-after);
    pad_dim d = {0, n, positive(before), positive(after), front, n + before + after};
    if (mode == REFLECT || mode == REPLICATE) return d;
    d.cut = front < n ? front : n;
    d.size = positive(n - d.cut - back);
    d.crop = 0;
    if (d.size == 0) { /* constants alone, of which negative pads leave these */
        d.cut = 0;
        d.before = d.out;
        d.after = 0;
    }
    return d;
}

/* Dimensions by number; pads: (before, after) from the last one on. */
static void read_pads(const dl_attr *pads, pad_mode mode, const dl_tensor *plain, pad_dim *dims) {
    for (int32_t d = 0; d < plain->ndim; d++) {
        const int32_t pair = 2 * (plain->ndim - 1 - d);
        const int given = pair < pads->n;
        dims[d] = pad_dim_of(mode, plain->shape[d], given ? pads->v.iv[pair] : 0, given ? pads->v.iv[pair + 1] : 0);
    }
}

static int has_border(const pad_dim *d) { return d->before > 0 || d->after > 0; }

/* ---- pad ------------------------------------------------------------------------------------------------------------ */

/* n slices of x along dim from `start`, the last one first. */
static dl_value reversed(dl_graph *g, dl_value x, int32_t dim, int64_t start, int64_t n) {
    return e_take(g, e_slice(g, x, dim, start, n), dim, e_ramp(g, n - 1, -1, n, 0, 1));
}

/* What the n places of x's border from `at` on show; x has its middle already. */
static dl_value border_source(dl_graph *g, pad_mode mode, dl_value x, int32_t dim, const pad_dim *d, int64_t n, int behind) {
    const int64_t end = d->before + d->size;
    if (mode == CIRCULAR) return e_slice(g, x, dim, behind ? d->before : d->size, n);
    if (mode == REPLICATE) return e_slice(g, x, dim, behind ? end - 1 : d->before, 1);
    return reversed(g, x, dim, behind ? end - 1 - n : d->before + 1, n);
}

static void fill_borders(dl_graph *g, pad_mode mode, dl_value x, int32_t dim, const pad_dim *d) {
    if (d->before) e_copy_into(g, e_slice(g, x, dim, 0, d->before), border_source(g, mode, x, dim, d, d->before, 0));
    if (d->after)
        e_copy_into(g, e_slice(g, x, dim, d->before + d->size, d->after), border_source(g, mode, x, dim, d, d->after, 1));
}

static dl_value cropped(dl_graph *g, dl_value x, int32_t n, const pad_dim *dims) {
    for (int32_t d = 0; d < n; d++) x = e_slice(g, x, d, dims[d].crop, dims[d].out);
    return x;
}

/* The middle of x: of all dimensions, or of those below n. */
static dl_value middle(dl_graph *g, dl_value x, int32_t n, const pad_dim *dims) {
    for (int32_t d = 0; d < n; d++) x = e_slice(g, x, d, dims[d].before, dims[d].size);
    return x;
}

/* A constant as an element of the dtype is made of it: bool is "not 0". */
static dl_value constants(dl_graph *g, dl_dtype type, int32_t ndim, const int64_t *shape, double value) {
    return e_filled(g, type, ndim, shape, type == DL_BOOL ? value != 0 : value);
}

dl_status compose_pad(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const pad_mode mode = mode_of(f->attr[1].v.s);
    const int32_t n = x->ndim;
    pad_dim dims[DL_MAX_DIMS];
    int64_t shape[DL_MAX_DIMS];
    int borders = 0;
    read_pads(&f->attr[0], mode, x, dims);
    dl_value from = dl_graph_in(g, 0), y = from;
    for (int32_t d = 0; d < n; d++) {
        from = e_slice(g, from, d, dims[d].cut, dims[d].size);
        shape[d] = dims[d].before + dims[d].size + dims[d].after;
        borders |= has_border(&dims[d]);
    }
    if (!borders) {
        dl_graph_returns(g, 0, cropped(g, from, n, dims));
        return dl_graph_status(g);
    }
    y = mode == CONSTANT ? constants(g, x->type, n, shape, attr_float(f, 2)) : dl_graph_empty(g, x->type, n, shape);
    if (count_of(n, f->out[0]->shape) > 0) {
        e_copy_into(g, middle(g, y, n, dims), from);
        for (int32_t d = n - 1; d >= 0 && mode != CONSTANT; d--)
            if (has_border(&dims[d])) fill_borders(g, mode, middle(g, y, d, dims), d, &dims[d]);
    }
    dl_graph_returns(g, 0, cropped(g, y, n, dims));
    return dl_graph_status(g);
}

/* ---- pad_backward --------------------------------------------------------------------------------------------------- */

/* The sum of the slices along dim, kept as size 1. */
static dl_value sum_along(dl_graph *g, dl_value x, int32_t dim) {
    return emit1(g, "unsqueeze", e_combine(g, x, 1u << dim, DL_OP_ADD), ATTRS(DL_INT(dim)));
}

/* Adds the n slices from `at` on, a border, to what they were made of. */
static void fold_border(dl_graph *g, pad_mode mode, dl_value x, int32_t dim, const pad_dim *d, int64_t n, int behind) {
    const int64_t end = d->before + d->size, at = behind ? end : 0;
    if (n == 0) return;
    if (mode == CIRCULAR)
        e_add_into(g, e_slice(g, x, dim, behind ? d->before : d->size, n), e_slice(g, x, dim, at, n));
    else if (mode == REPLICATE)
        e_add_into(g, e_slice(g, x, dim, behind ? end - 1 : d->before, 1), sum_along(g, e_slice(g, x, dim, at, n), dim));
    else
        e_add_into(g, e_slice(g, x, dim, behind ? end - 1 - n : d->before + 1, n), reversed(g, x, dim, at, n));
}

/* The places of x that dims cut out of a tensor of `shape`, which is 0 elsewhere; `cuts`: the front of each dimension. */
static dl_value embedded(dl_graph *g, dl_value x, dl_dtype type, int32_t n, const int64_t *shape, const int64_t *cuts) {
    const dl_tensor *t = dl_graph_tensor(g, x);
    if (!t) return DL_NO_VALUE;
    dl_value y = e_filled(g, type, n, shape, 0), part = y;
    for (int32_t d = 0; d < n; d++) part = e_slice(g, part, d, cuts[d], t->shape[d]);
    if (count_of(n, t->shape) > 0) e_copy_into(g, part, x);
    return y;
}

dl_status compose_pad_backward(dl_graph *g, const dl_frame *f) {
    const dl_tensor *grad = f->in[0], *out = f->out[0];
    const pad_mode mode = mode_of(f->attr[2].v.s);
    const int32_t n = out->ndim;
    const dl_dtype wide = wide_type(out->type);
    pad_dim dims[DL_MAX_DIMS];
    int64_t shape[DL_MAX_DIMS], crops[DL_MAX_DIMS], cuts[DL_MAX_DIMS];
    read_pads(&f->attr[1], mode, out, dims);
    for (int32_t d = 0; d < n; d++) {
        shape[d] = dims[d].before + dims[d].size + dims[d].after;
        crops[d] = dims[d].crop;
        cuts[d] = dims[d].cut;
    }
    dl_value x = dl_graph_in(g, 0);
    if (mode == REFLECT || mode == REPLICATE)
        x = embedded(g, x, wide, n, shape, crops);
    else if (mode == CIRCULAR)
        x = emit1(g, "copy", x, ATTRS(DL_INT(wide)));
    for (int32_t d = 0; d < n && count_of(n, grad->shape) > 0; d++) {
        if (mode != CONSTANT) {
            fold_border(g, mode, x, d, &dims[d], dims[d].before, 0);
            fold_border(g, mode, x, d, &dims[d], dims[d].after, 1);
        }
        x = e_slice(g, x, d, dims[d].before, dims[d].size);
    }
    if (count_of(n, grad->shape) == 0)
        x = e_filled(g, out->type, n, out->shape, 0);
    else if (mode == CONSTANT || mode == CIRCULAR)
        x = embedded(g, x, out->type, n, out->shape, cuts);
    dl_graph_returns(g, 0, e_cast(g, x, out->type));
    return dl_graph_status(g);
}
