/* compose_conv.c - convolution and its gradients as products of matrices (im2col: Chellapilla et al. 2006).
 *
 * The columns of a sample, one for each place of the result, are a view of the padded input, copied. A few samples are taken at
 * a time, so that columns stay in a cache and never need more memory than COLUMNS. The gradient towards the input adds the
 * columns' gradients back through the same view (view_backward); that towards the weight sums over places and samples within
 * one product. Halves are computed in float32. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

enum { COLUMNS = 1 << 20 }; /* elements, unless one sample has more */

typedef struct conv {
    int32_t spatial;
    int64_t stride[DL_MAX_SPATIAL], padding[DL_MAX_SPATIAL], dilation[DL_MAX_SPATIAL], groups;
    int64_t samples, in_channels, out_channels;
    int64_t in[DL_MAX_SPATIAL], kernel[DL_MAX_SPATIAL], out[DL_MAX_SPATIAL];
    int64_t padded[DL_MAX_SPATIAL];
    int64_t window, places; /* elements of the kernel, of a result's plane */
    dl_dtype type, wide;
} conv;

/* x, weight and y may be any tensors of these shapes; stride is attribute number `first`. */
static dl_status conv_of(const dl_frame *f, const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y, uint32_t first,
                         conv *c) {
    static const int64_t zeros[DL_MAX_SPATIAL] = {0}, ones[DL_MAX_SPATIAL] = {1, 1, 1};
    *c = (conv){.spatial = x->ndim - 2,
                .groups = attr_int(f, first + 3),
                .samples = x->shape[0],
                .in_channels = x->shape[1],
                .out_channels = y->shape[1],
                .window = 1,
                .places = 1,
                .type = x->type,
                .wide = wide_type(x->type)};
    DL_TRY(rule_spatial(f, first, "stride", c->spatial, ones, 1, c->stride));
    DL_TRY(rule_spatial(f, first + 1, "padding", c->spatial, zeros, 0, c->padding));
    DL_TRY(rule_spatial(f, first + 2, "dilation", c->spatial, ones, 1, c->dilation));
    for (int32_t d = 0; d < c->spatial; d++) {
        c->in[d] = x->shape[2 + d];
        c->kernel[d] = weight->shape[2 + d];
        c->out[d] = y->shape[2 + d];
        c->padded[d] = c->in[d] + 2 * c->padding[d];
        c->window *= c->kernel[d];
        c->places *= c->out[d];
    }
    return DL_OK;
}

static int64_t group_rows(const conv *c) { return c->in_channels / c->groups * c->window; } /* of a group's columns */
static int64_t group_out(const conv *c) { return c->out_channels / c->groups; }

/* How many samples are taken at a time. */
static int64_t samples_together(const conv *c) {
    const int64_t each = c->in_channels * c->window * c->places, n = each ? COLUMNS / each : c->samples;
    return n < 1 ? 1 : n < c->samples ? n : c->samples;
}

/* ---- columns -------------------------------------------------------------------------------------------------------- */

static dl_value padded_input(dl_graph *g, const conv *c, dl_value x) {
    int64_t pads[2 * DL_MAX_SPATIAL];
    int any = 0;
    for (int32_t d = 0; d < c->spatial; d++) {
        pads[2 * d] = pads[2 * d + 1] = c->padding[c->spatial - 1 - d];
        any |= c->padding[d] > 0;
    }
    const dl_attr constant = {.kind = DL_ATTR_STRING, .v.s = "constant"};
    return any ? emit1(g, "pad", x, ATTRS(DL_INTS(pads, 2 * c->spatial), constant)) : x;
}

/* The view (samples, channels, kernel..., places...) of a padded input with these strides, or, by_channel, (channels,
 * kernel..., samples, places...). */
static dl_shape columns_view(const conv *c, const int64_t *strides, int64_t samples, int by_channel, int64_t *out) {
    dl_shape s = {.ndim = 2 + 2 * c->spatial};
    const int32_t kernel = by_channel ? 1 : 2, places = 2 + c->spatial, sample = by_channel ? 1 + c->spatial : 0;
    s.size[sample] = samples;
    out[sample] = strides[0];
    s.size[kernel - 1] = c->in_channels;
    out[kernel - 1] = strides[1];
    for (int32_t d = 0; d < c->spatial; d++) {
        s.size[kernel + d] = c->kernel[d];
        out[kernel + d] = strides[2 + d] * c->dilation[d];
        s.size[places + d] = c->out[d];
        out[places + d] = strides[2 + d] * c->stride[d];
    }
    return s;
}

/* Columns of n samples of x, padded: (n groups, rows, places), or, by_channel, (groups, rows, n places). */
static dl_value columns(dl_graph *g, const conv *c, dl_value x, int64_t first, int64_t n, int by_channel) {
    const dl_tensor *t = e_plain(g, x);
    int64_t strides[DL_MAX_DIMS];
    if (!t) return DL_NO_VALUE;
    const dl_shape s = columns_view(c, t->strides, n, by_channel, strides);
    x = e_cast(g, e_strided(g, x, s.ndim, s.size, strides, first * t->strides[0]), c->wide);
    return e_reshape(
        g, x, 3, (int64_t[]){by_channel ? c->groups : n * c->groups, group_rows(c), by_channel ? n * c->places : c->places});
}

/* The weight for n samples: (n groups, out, rows). One group's is repeated without a copy. */
static dl_value weights(dl_graph *g, const conv *c, dl_value weight, int64_t n) {
    const int64_t rows = group_rows(c), out = group_out(c);
    weight = e_reshape(g, e_cast(g, weight, c->wide), 4, (int64_t[]){1, c->groups, out, rows});
    if (c->groups > 1) weight = e_expand(g, weight, 4, (int64_t[]){n, c->groups, out, rows});
    weight = e_reshape(g, weight, 3, (int64_t[]){c->groups > 1 ? n * c->groups : 1, out, rows});
    return e_expand(g, weight, 3, (int64_t[]){n * c->groups, out, rows});
}

static void conv_shape(int64_t first, int64_t second, const conv *c, const int64_t *sizes, int64_t *shape) {
    shape[0] = first;
    shape[1] = second;
    for (int32_t d = 0; d < c->spatial; d++) shape[2 + d] = sizes[d];
}

/* ---- the three ops -------------------------------------------------------------------------------------------------- */

dl_status compose_convolution(dl_graph *g, const dl_frame *f) {
    conv c;
    int64_t shape[2 + DL_MAX_SPATIAL];
    DL_TRY(conv_of(f, f->in[0], f->in[1], f->out[0], 0, &c));
    const int64_t together = samples_together(&c), planes[] = {c.samples, c.out_channels, c.places};
    dl_value x = padded_input(g, &c, dl_graph_in(g, 0)), weight = weights(g, &c, dl_graph_in(g, 1), together);
    dl_value y = dl_graph_empty(g, c.wide, 3, (int64_t[]){c.samples * c.groups, group_out(&c), c.places});
    for (int64_t k = 0, n; k < c.samples; k += n) {
        n = c.samples - k < together ? c.samples - k : together;
        dl_value w = e_slice(g, weight, 0, 0, n * c.groups), part = e_slice(g, y, 0, k * c.groups, n * c.groups);
        dl_emit_into(g, part, "gemm", (dl_value[]){w, columns(g, &c, x, k, n, 0)}, 2, NO_ATTRS);
    }
    y = e_reshape(g, y, 3, planes);
    if (f->in[2]) e_add_into(g, y, e_reshape(g, dl_graph_in(g, 2), 2, (int64_t[]){c.out_channels, 1}));
    conv_shape(c.samples, c.out_channels, &c, c.out, shape);
    dl_graph_returns(g, 0, e_cast(g, e_reshape(g, y, 2 + c.spatial, shape), c.type));
    return dl_graph_status(g);
}

/* What columns' gradients (n groups, rows, places) add up to in n padded inputs, without the padding. */
static dl_value from_columns(dl_graph *g, const conv *c, dl_value x, int64_t n) {
    int64_t shape[2 + DL_MAX_SPATIAL], strides[2 + DL_MAX_SPATIAL], view[DL_MAX_DIMS];
    conv_shape(n, c->in_channels, c, c->padded, shape);
    contiguous_strides(2 + c->spatial, shape, strides);
    const dl_shape s = columns_view(c, strides, n, 0, view);
    x = e_reshape(g, x, s.ndim, s.size);
    x = emit1(g, "view_backward", x, ATTRS(DL_INTS(shape, 2 + c->spatial), DL_INTS(view, s.ndim)));
    for (int32_t d = 0; d < c->spatial; d++) x = e_slice(g, x, 2 + d, c->padding[d], c->in[d]);
    return x;
}

dl_status compose_convolution_backward_data(dl_graph *g, const dl_frame *f) {
    conv c;
    int64_t shape[2 + DL_MAX_SPATIAL];
    DL_TRY(conv_of(f, f->out[0], f->in[1], f->in[0], 1, &c));
    const int64_t together = samples_together(&c);
    dl_value grad = e_reshape(g, dl_graph_in(g, 0), 3, (int64_t[]){c.samples * c.groups, group_out(&c), c.places});
    dl_value weight = weights(g, &c, dl_graph_in(g, 1), together);
    conv_shape(c.samples, c.in_channels, &c, c.in, shape);
    dl_value x = dl_graph_empty(g, c.type, 2 + c.spatial, shape);
    for (int64_t k = 0, n; k < c.samples; k += n) {
        n = c.samples - k < together ? c.samples - k : together;
        dl_value w = e_transpose(g, e_slice(g, weight, 0, 0, n * c.groups));
        dl_value part = e_cast(g, e_slice(g, grad, 0, k * c.groups, n * c.groups), c.wide);
        part = emit2(g, "gemm", w, part, NO_ATTRS);
        e_copy_into(g, e_slice(g, x, 0, k, n), from_columns(g, &c, part, n));
    }
    dl_graph_returns(g, 0, x);
    return dl_graph_status(g);
}

/* Gradients of n samples as rows of a product: (groups, n places, out). */
static dl_value gradient_rows(dl_graph *g, const conv *c, dl_value grad, int64_t first, int64_t n) {
    static const int64_t order[] = {1, 0, 3, 2};
    grad = e_permute(g, e_slice(g, grad, 0, first, n), 4, order);
    return e_reshape(g, e_cast(g, grad, c->wide), 3, (int64_t[]){c->groups, n * c->places, group_out(c)});
}

dl_status compose_convolution_backward_weight(dl_graph *g, const dl_frame *f) {
    conv c;
    DL_TRY(conv_of(f, f->in[1], f->out[0], f->in[0], 1, &c));
    const int64_t together = samples_together(&c);
    dl_value x = padded_input(g, &c, dl_graph_in(g, 1)), sum = DL_NO_VALUE;
    dl_value grad = e_reshape(g, dl_graph_in(g, 0), 4, (int64_t[]){c.samples, c.groups, group_out(&c), c.places});
    for (int64_t k = 0, n; k < c.samples; k += n) {
        n = c.samples - k < together ? c.samples - k : together;
        dl_value part = emit2(g, "gemm", columns(g, &c, x, k, n, 1), gradient_rows(g, &c, grad, k, n), NO_ATTRS);
        if (k == 0)
            sum = part;
        else
            e_add_into(g, sum, part);
    }
    if (c.samples == 0)
        sum = e_filled(g, c.type, f->out[0]->ndim, f->out[0]->shape, 0);
    else /* (groups, rows, out), seen as the weight lies */
        sum = e_reshape(g, e_cast(g, e_transpose(g, sum), c.type), f->out[0]->ndim, f->out[0]->shape);
    dl_graph_returns(g, 0, sum);
    return dl_graph_status(g);
}
