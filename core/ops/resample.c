/* resample.c - upsample, grid_sample, affine_grid: shape rules, gradients.
 *
 * upsample is linear in x, and so its own gradient's gradient. grid_sample takes which derivative towards the grid is meant:
 * with that, it and its transposition towards x are closed under differentiation. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <string.h>

/* ---- upsample ------------------------------------------------------------------------------------------------------ */

enum { NEAREST, NEAREST_EXACT, LINEAR, CUBIC, UPSAMPLE_MODES };
static const char *const upsample_modes[UPSAMPLE_MODES] = {"nearest", "nearest-exact", "linear", "cubic"};

enum { MOST_SIZE = INT32_MAX };

/* The attributes that upsample and its backward op share: sizes, mode, align_corners, scales. `from` has the result's other
 * sizes; *s becomes the result's shape. */
static dl_status resampled(const dl_frame *f, const dl_tensor *from, const char *name, dl_shape *s) {
    const int64_t *size;
    const int32_t n = attr_ints(f, 0, &size);
    int32_t mode;
    DL_TRY(rule_choice(f, 1, "mode", upsample_modes, UPSAMPLE_MODES, &mode));
    if (!(mode <= NEAREST_EXACT && from->type == DL_U8)) DL_TRY(rule_floating(from));
    if (n < 1 || n > 3 || from->ndim != n + 2)
        return dl_failf(DL_INVALID, "expected 1 to 3 sizes and %s (N, C, ...) with as many behind the channels, got %s and %s",
                        name, sizes_text(n, size).s, shape_text(from).s);
    if (mode <= NEAREST_EXACT && attr_int(f, 2))
        return dl_failf(DL_INVALID, "align_corners has no meaning in mode '%s': leave it out", upsample_modes[mode]);
    *s = shape_of(from);
    for (int32_t k = 0; k < n; k++) {
        if (size[k] < 1 || from->shape[2 + k] < 1 || size[k] > MOST_SIZE || from->shape[2 + k] > MOST_SIZE)
            return dl_failf(DL_INVALID, "sizes before and after must be from 1 to %d, got %s and %s", MOST_SIZE,
                            shape_text(from).s, sizes_text(n, size).s);
        if (!(attr_float(f, 3 + (uint32_t)k) >= 0))
            return dl_failf(DL_INVALID, "expected a scale above 0, or 0 for that of the sizes, got %g",
                            attr_float(f, 3 + (uint32_t)k));
        s->size[2 + k] = size[k];
    }
    return DL_OK;
}

dl_status infer_upsample(dl_frame *f) {
    dl_shape s;
    DL_TRY(resampled(f, f->in[0], "x", &s));
    return out_shape(f, 0, f->in[0]->type, &s);
}

dl_status infer_upsample_backward(dl_frame *f) {
    dl_shape s;
    DL_TRY(rule_floating(f->in[0]));
    DL_TRY(resampled(f, f->in[0], "a gradient", &s));
    return out_shape(f, 0, f->in[0]->type, &s);
}

/* The other op of the two, back to the sizes of this one's input. */
static dl_status returns_resampled(dl_graph *g, const dl_frame *f, const char *op) {
    const dl_tensor *in = f->in[0];
    dl_value grad = dl_graph_grad(g, 0);
    dl_graph_returns(
        g, 0,
        emit1(g, op, grad,
              ATTRS(DL_INTS(in->shape + 2, in->ndim - 2), f->attr[1], f->attr[2], f->attr[3], f->attr[4], f->attr[5])));
    return dl_graph_status(g);
}

dl_status grad_upsample(dl_graph *g, const dl_frame *f) { return returns_resampled(g, f, "upsample_backward"); }
dl_status grad_upsample_backward(dl_graph *g, const dl_frame *f) { return returns_resampled(g, f, "upsample"); }

/* ---- grid_sample --------------------------------------------------------------------------------------------------- */

static const char *const grid_modes[] = {"nearest", "linear", "cubic"};
static const char *const grid_paddings[] = {"zeros", "border", "reflection"};
enum { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC, GRID_MODES, GRID_PADDINGS = 3 };

/* The attributes from number k on, against a grid and x's shape. */
static dl_status check_grid(const dl_frame *f, uint32_t k, const dl_tensor *grid, const dl_shape *x, int32_t *mode) {
    const int64_t *order;
    int32_t padding;
    const int32_t n = attr_ints(f, k + 3, &order), coordinates = x->ndim - 2;
    DL_TRY(rule_choice(f, k, "mode", grid_modes, GRID_MODES, mode));
    DL_TRY(rule_choice(f, k + 1, "padding", grid_paddings, GRID_PADDINGS, &padding));
    if (coordinates < 2 || coordinates > 3 || grid->ndim != x->ndim || grid->shape[0] != x->size[0] ||
        grid->shape[grid->ndim - 1] != coordinates)
        return dl_failf(DL_INVALID,
                        "expected x (N, C, H, W) and a grid (N, h, w, 2), or x (N, C, D, H, W) and a grid "
                        "(N, d, h, w, 3), got %s and %s",
                        sizes_text(x->ndim, x->size).s, shape_text(grid).s);
    if (*mode == GRID_CUBIC && coordinates != 2)
        return dl_failf(DL_INVALID, "mode 'cubic' needs x (N, C, H, W), got %s: use 'linear'", sizes_text(x->ndim, x->size).s);
    for (int32_t d = 2; d < x->ndim; d++)
        if (x->size[d] < 1 || x->size[d] > MOST_SIZE)
            return dl_failf(DL_INVALID, "there is nothing to sample in x %s", sizes_text(x->ndim, x->size).s);
    if (n != 0 && n != coordinates)
        return dl_failf(DL_INVALID, "expected an order for each of %d coordinates, got %s", (int)coordinates,
                        sizes_text(n, order).s);
    for (int32_t i = 0; i < n; i++)
        if (order[i] < 0) return dl_failf(DL_INVALID, "expected orders of 0 or more, got %s", sizes_text(n, order).s);
    return DL_OK;
}

dl_status infer_grid_sample(dl_frame *f) {
    const dl_tensor *x = f->in[0], *grid = f->in[1];
    dl_shape s = shape_of(x);
    int32_t mode;
    DL_TRY(rule_floating(x));
    DL_TRY(rule_same_type(x, "x", grid, "grid"));
    DL_TRY(check_grid(f, 0, grid, &s, &mode));
    for (int32_t d = 2; d < s.ndim; d++) s.size[d] = grid->shape[d - 1];
    return out_shape(f, 0, x->type, &s);
}

dl_status infer_grid_sample_backward(dl_frame *f) {
    const dl_tensor *grad = f->in[0], *grid = f->in[1];
    dl_shape s;
    int32_t mode;
    DL_TRY(rule_floating(grad));
    DL_TRY(rule_same_type(grad, "grad", grid, "grid"));
    DL_TRY(rule_shape(f, 0, &s));
    DL_TRY(check_grid(f, 1, grid, &s, &mode));
    int fits = grad->ndim == s.ndim && grad->shape[0] == s.size[0] && grad->shape[1] == s.size[1];
    for (int32_t d = 2; fits && d < s.ndim; d++) fits = grad->shape[d] == grid->shape[d - 1];
    if (!fits)
        return dl_failf(DL_INVALID, "a gradient %s does not fit x %s sampled at %s", shape_text(grad).s,
                        sizes_text(s.ndim, s.size).s, shape_text(grid).s);
    return out_shape(f, 0, grad->type, &s);
}

/* Towards the grid, of the sum over channels of `weight` times x sampled with the given orders: coordinate by coordinate the
 * same with the next derivative. attr: mode, padding, align_corners, orders. */
static dl_value towards_grid(dl_graph *g, dl_value weight, dl_value x, dl_value grid, const dl_tensor *grid_t,
                             const dl_attr *attr) {
    const int32_t n = (int32_t)grid_t->shape[grid_t->ndim - 1];
    const int64_t channels = 1;
    dl_value parts[3];
    if (strcmp(attr[0].v.s, grid_modes[GRID_NEAREST]) == 0) return e_zeros_like(g, grid_t);
    for (int32_t k = 0; k < n; k++) {
        int64_t order[3] = {0};
        for (int32_t i = 0; i < attr[3].n; i++) order[i] = attr[3].v.iv[i];
        order[k]++;
        dl_value slope = emit2(g, "grid_sample", x, grid, ATTRS(attr[0], attr[1], attr[2], DL_INTS(order, n)));
        parts[k] = emit1(g, "sum", e_mul(g, weight, slope), ATTRS(DL_INTS(&channels, 1)));
    }
    return dl_emit(g, "stack", parts, (uint32_t)n, ATTRS(DL_INT(-1)));
}

dl_status grad_grid_sample(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    dl_value grad = dl_graph_grad(g, 0), grid = dl_graph_in(g, 1);
    if (dl_graph_needs(g, 0))
        dl_graph_returns(g, 0,
                         emit2(g, "grid_sample_backward", grad, grid,
                               ATTRS(DL_INTS(x->shape, x->ndim), f->attr[0], f->attr[1], f->attr[2], f->attr[3])));
    if (dl_graph_needs(g, 1)) dl_graph_returns(g, 1, towards_grid(g, grad, dl_graph_in(g, 0), grid, f->in[1], f->attr));
    return dl_graph_status(g);
}

dl_status grad_grid_sample_backward(dl_graph *g, const dl_frame *f) {
    dl_value h = dl_graph_grad(g, 0), grid = dl_graph_in(g, 1);
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, dl_emit(g, "grid_sample", (dl_value[]){h, grid}, 2, f->attr + 1, 4));
    if (dl_graph_needs(g, 1)) dl_graph_returns(g, 1, towards_grid(g, dl_graph_in(g, 0), h, grid, f->in[1], f->attr + 1));
    return dl_graph_status(g);
}

/* ---- affine_grid --------------------------------------------------------------------------------------------------- */

static dl_status check_affine_grid(const dl_frame *f, const int64_t **size, int32_t *coordinates) {
    const dl_tensor *theta = f->in[0];
    const int32_t n = attr_ints(f, 0, size);
    *coordinates = n - 2;
    DL_TRY(rule_floating(theta));
    if (n != 4 && n != 5)
        return dl_failf(DL_INVALID, "expected a size (N, C, H, W) or (N, C, D, H, W), got %s", sizes_text(n, *size).s);
    for (int32_t k = 0; k < n; k++)
        if ((*size)[k] < (k != 0))
            return dl_failf(DL_INVALID, "expected a size that is not empty, got %s", sizes_text(n, *size).s);
    if (theta->ndim != 3 || theta->shape[0] != (*size)[0] || theta->shape[1] != n - 2 || theta->shape[2] != n - 1)
        return dl_failf(DL_INVALID, "expected theta (%lld, %d, %d), got %s", (long long)(*size)[0], (int)n - 2, (int)n - 1,
                        shape_text(theta).s);
    return DL_OK;
}

dl_status infer_affine_grid(dl_frame *f) {
    const int64_t *size;
    int32_t n;
    DL_TRY(check_affine_grid(f, &size, &n));
    dl_shape s = {.ndim = n + 2};
    s.size[0] = size[0];
    for (int32_t d = 0; d < n; d++) s.size[1 + d] = size[2 + d];
    s.size[n + 1] = n;
    return out_shape(f, 0, f->in[0]->type, &s);
}

/* The coordinates along dimension `dim` of the n + 2 that a grid has, shaped to broadcast against it. */
static dl_value coordinates_along(dl_graph *g, dl_dtype type, int64_t places, int align, int32_t n, int32_t dim) {
    int64_t shape[5] = {1, 1, 1, 1, 1};
    const double step = align ? (places > 1 ? 2.0 / (double)(places - 1) : 0) : 2.0 / (double)places;
    const double start = align ? (places > 1 ? -1 : 0) : step / 2 - 1;
    shape[dim] = places;
    dl_value x = emit0(g, "arange", ATTRS(DL_FLOAT(start), DL_FLOAT(step), DL_INT(places), DL_INT(type)));
    return e_reshape(g, x, n + 2, shape);
}

/* theta's last column plus the others, each times its coordinate. Not a product of matrices, which autocast would round. */
dl_status compose_affine_grid(dl_graph *g, const dl_frame *f) {
    const dl_tensor *theta = f->in[0];
    const int64_t *size;
    int32_t n;
    DL_TRY(check_affine_grid(f, &size, &n));
    int64_t column[5] = {size[0], 1, 1, 1, 1};
    column[n + 1] = n;
    dl_value grid = DL_NO_VALUE;
    for (int32_t k = n; k >= 0; k--) {
        dl_value part = emit1(g, "select", dl_graph_in(g, 0), ATTRS(DL_INT(-1), DL_INT(k)));
        part = e_reshape(g, part, n + 2, column);
        if (k < n) /* coordinate k runs along the k-th dimension from the end */
            part = e_mul(g, part, coordinates_along(g, theta->type, size[n + 1 - k], attr_int(f, 1) != 0, n, n - k));
        grid = grid == DL_NO_VALUE ? part : e_add(g, grid, part);
    }
    dl_graph_returns(g, 0, grid);
    return dl_graph_status(g);
}
