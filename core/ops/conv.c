/* conv.c - convolutions of 1 to 3 spatial dimensions, and their gradients, which are each other's. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

/* What the three ops share: y = convolution(x, weight), wherever y stands for a gradient too. */
typedef struct geometry {
    int32_t spatial; /* dimensions: 1 to 3 */
    int64_t stride[DL_MAX_SPATIAL], padding[DL_MAX_SPATIAL], dilation[DL_MAX_SPATIAL], groups;
} geometry;

/* ---- attributes ------------------------------------------------------------------------------------------------------- */

static const int64_t zeros[DL_MAX_SPATIAL] = {0}, ones[DL_MAX_SPATIAL] = {1, 1, 1};

/* As rule_spatial, but every value must be there. */
static dl_status read_sizes(const dl_frame *f, uint32_t attr, const char *name, int32_t spatial, int64_t least, int64_t *out) {
    const int64_t *values;
    const int32_t n = attr_ints(f, attr, &values);
    if (n != spatial)
        return dl_failf(DL_INVALID, "expected %d values of %s, one for each spatial dimension, got %s", spatial, name,
                        sizes_text(n, values).s);
    return rule_spatial(f, attr, name, spatial, NULL, least, out);
}

/* stride, padding and dilation are attributes number first, first + 1, first + 2; groups is number `groups`. */
static dl_status read_geometry(const dl_frame *f, int32_t ndim, uint32_t first, uint32_t dilation, geometry *g) {
    g->spatial = ndim - 2;
    DL_TRY(rule_spatial(f, first, "stride", g->spatial, ones, 1, g->stride));
    DL_TRY(rule_spatial(f, first + 1, "padding", g->spatial, zeros, 0, g->padding));
    DL_TRY(rule_spatial(f, dilation, "dilation", g->spatial, ones, 1, g->dilation));
    g->groups = attr_int(f, dilation + 1);
    return g->groups > 0 ? DL_OK : dl_failf(DL_INVALID, "expected groups of 1 or more, got %lld", (long long)g->groups);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------- */

static dl_status check_pair(const dl_tensor *a, const char *a_name, const dl_tensor *b, const char *b_name) {
    DL_TRY(rule_floating(a));
    DL_TRY(rule_same_type(a, a_name, b, b_name));
    if (b->ndim < 3 || b->ndim > 2 + DL_MAX_SPATIAL)
        return dl_failf(DL_INVALID, "expected %s of 3 to 5 dimensions, got %s", b_name, shape_text(b).s);
    if (a->ndim == b->ndim) return DL_OK;
    return dl_failf(DL_INVALID, "expected %s of %d dimensions, as %s has of shape %s, got %s%s", a_name, b->ndim, b_name,
                    shape_text(b).s, shape_text(a).s, a->ndim == b->ndim - 1 ? ": add a batch dimension by unsqueeze" : "");
}

/* A weight (out, in/groups, kernel) must divide by groups, and have a kernel. */
static dl_status check_weight(const dl_tensor *weight, const geometry *g) {
    if (weight->shape[0] % g->groups != 0)
        return dl_failf(DL_INVALID, "expected a weight whose first size is a multiple of groups %lld, got %s",
                        (long long)g->groups, shape_text(weight).s);
    for (int32_t d = 2; d < weight->ndim; d++)
        if (weight->shape[d] < 1)
            return dl_failf(DL_INVALID, "expected a kernel of at least 1 element, got a weight of shape %s",
                            shape_text(weight).s);
    return DL_OK;
}

static dl_status check_channels(const dl_tensor *x, const char *name, int64_t channels, const dl_tensor *weight,
                                const geometry *g) {
    if (x->shape[1] == channels) return DL_OK;
    return dl_failf(DL_INVALID, "expected %s of %lld channels (the weight is %s, groups %lld), got shape %s", name,
                    (long long)channels, shape_text(weight).s, (long long)g->groups, shape_text(x).s);
}

static dl_status check_bias(const dl_tensor *x, const dl_tensor *bias, int64_t channels) {
    if (!bias) return DL_OK;
    DL_TRY(rule_same_type(x, "the input", bias, "the bias"));
    if (bias->ndim == 1 && bias->shape[0] == channels) return DL_OK;
    return dl_failf(DL_INVALID, "expected a bias of shape (%lld), got %s", (long long)channels, shape_text(bias).s);
}

/* Elements that a kernel covers along dimension d; DL_INVALID if no int64 holds that. */
static dl_status kernel_extent(const geometry *g, int32_t d, int64_t kernel, int64_t *extent) {
    if (!__builtin_mul_overflow(g->dilation[d], kernel - 1, extent) && *extent <= INT64_MAX / 4) {
        *extent += 1;
        return DL_OK;
    }
    return dl_failf(DL_INVALID, "a kernel of %lld with dilation %lld is too large", (long long)kernel,
                    (long long)g->dilation[d]);
}

/* Sizes of the output: (in + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down. */
static dl_status output_sizes(const geometry *g, const int64_t *in, const int64_t *kernel, int64_t *out) {
    for (int32_t d = 0; d < g->spatial; d++) {
        int64_t extent;
        DL_TRY(kernel_extent(g, d, kernel[d], &extent));
        if (in[d] > INT64_MAX / 4) return dl_failf(DL_INVALID, "an input of %lld is too large", (long long)in[d]);
        if (extent > in[d] + 2 * g->padding[d])
            return dl_failf(DL_INVALID,
                            "the kernel does not fit: sizes %s with dilation %s, input sizes %s with padding %s on each side: "
                            "use a larger input, more padding or a smaller kernel",
                            sizes_text(g->spatial, kernel).s, sizes_text(g->spatial, g->dilation).s,
                            sizes_text(g->spatial, in).s, sizes_text(g->spatial, g->padding).s);
        out[d] = (in[d] + 2 * g->padding[d] - extent) / g->stride[d] + 1;
    }
    return DL_OK;
}

static dl_status set_sizes(dl_frame *f, dl_dtype type, int64_t first, int64_t second, const geometry *g, const int64_t *sizes) {
    dl_shape s = {.ndim = g->spatial + 2, .size = {first, second}};
    for (int32_t d = 0; d < g->spatial; d++) s.size[2 + d] = sizes[d];
    return out_shape(f, 0, type, &s);
}

/* Is grad of the shape that the convolution's output has? */
static dl_status check_grad(const dl_tensor *grad, int64_t samples, int64_t channels, const geometry *g, const int64_t *in,
                            const int64_t *kernel) {
    int64_t expected[2 + DL_MAX_SPATIAL] = {samples, channels};
    DL_TRY(output_sizes(g, in, kernel, expected + 2));
    for (int32_t d = 0; d < grad->ndim; d++)
        if (grad->shape[d] != expected[d])
            return dl_failf(DL_INVALID, "expected a gradient of shape %s, got %s", sizes_text(grad->ndim, expected).s,
                            shape_text(grad).s);
    return DL_OK;
}

/* ---- convolution ------------------------------------------------------------------------------------------------------ */

dl_status infer_convolution(dl_frame *f) {
    const dl_tensor *x = f->in[0], *weight = f->in[1];
    geometry g;
    int64_t out[DL_MAX_SPATIAL];
    DL_TRY(check_pair(x, "an input", weight, "a weight"));
    DL_TRY(read_geometry(f, weight->ndim, 0, 2, &g));
    DL_TRY(check_weight(weight, &g));
    DL_TRY(check_channels(x, "an input", weight->shape[1] * g.groups, weight, &g));
    DL_TRY(check_bias(x, f->in[2], weight->shape[0]));
    DL_TRY(output_sizes(&g, x->shape + 2, weight->shape + 2, out));
    return set_sizes(f, x->type, x->shape[0], weight->shape[0], &g, out);
}

/* Emits one of the gradient ops: sizes first, then the four attributes that describe the convolution. */
static dl_value emit_backward(dl_graph *g, const char *op, dl_value a, dl_value b, const dl_tensor *sized,
                              const dl_attr *geometry) {
    return emit2(g, op, a, b,
                 ATTRS(DL_INTS(sized->shape + 2, sized->ndim - 2), geometry[0], geometry[1], geometry[2], geometry[3]));
}
static dl_value emit_convolution(dl_graph *g, dl_value x, dl_value weight, const dl_attr *geometry) {
    return dl_emit(g, "convolution", (dl_value[]){x, weight, DL_NO_VALUE}, 3, geometry, 4);
}

dl_status grad_convolution(dl_graph *g, const dl_frame *f) {
    dl_value grad = dl_graph_grad(g, 0);
    if (dl_graph_needs(g, 0))
        dl_graph_returns(g, 0, emit_backward(g, "convolution_backward_data", grad, dl_graph_in(g, 1), f->in[0], f->attr));
    if (dl_graph_needs(g, 1))
        dl_graph_returns(g, 1, emit_backward(g, "convolution_backward_weight", grad, dl_graph_in(g, 0), f->in[1], f->attr));
    if (f->in[2] && dl_graph_needs(g, 2)) {
        static const int64_t others[] = {0, 2, 3, 4};
        dl_graph_returns(g, 2, emit1(g, "sum", grad, ATTRS(DL_INTS(others, f->in[0]->ndim - 1))));
    }
    return dl_graph_status(g);
}

/* ---- gradient towards the input --------------------------------------------------------------------------------------- */

dl_status infer_convolution_backward_data(dl_frame *f) {
    const dl_tensor *grad = f->in[0], *weight = f->in[1];
    geometry g;
    int64_t size[DL_MAX_SPATIAL];
    DL_TRY(check_pair(grad, "a gradient", weight, "a weight"));
    DL_TRY(read_geometry(f, weight->ndim, 1, 3, &g));
    DL_TRY(check_weight(weight, &g));
    DL_TRY(read_sizes(f, 0, "size", g.spatial, 0, size));
    DL_TRY(check_channels(grad, "a gradient", weight->shape[0], weight, &g));
    DL_TRY(check_grad(grad, grad->shape[0], weight->shape[0], &g, size, weight->shape + 2));
    return set_sizes(f, grad->type, grad->shape[0], weight->shape[1] * g.groups, &g, size);
}

dl_status grad_convolution_backward_data(dl_graph *g, const dl_frame *f) {
    dl_value h = dl_graph_grad(g, 0);
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, emit_convolution(g, h, dl_graph_in(g, 1), f->attr + 1));
    if (dl_graph_needs(g, 1))
        dl_graph_returns(g, 1, emit_backward(g, "convolution_backward_weight", dl_graph_in(g, 0), h, f->in[1], f->attr + 1));
    return dl_graph_status(g);
}

/* ---- gradient towards the weight -------------------------------------------------------------------------------------- */

dl_status infer_convolution_backward_weight(dl_frame *f) {
    const dl_tensor *grad = f->in[0], *x = f->in[1];
    geometry g;
    int64_t kernel[DL_MAX_SPATIAL];
    DL_TRY(check_pair(grad, "a gradient", x, "an input"));
    DL_TRY(read_geometry(f, x->ndim, 1, 3, &g));
    DL_TRY(read_sizes(f, 0, "kernel", g.spatial, 1, kernel));
    if (x->shape[1] % g.groups != 0 || grad->shape[1] % g.groups != 0)
        return dl_failf(DL_INVALID, "expected channels that are multiples of groups %lld, got a gradient %s and an input %s",
                        (long long)g.groups, shape_text(grad).s, shape_text(x).s);
    DL_TRY(check_grad(grad, x->shape[0], grad->shape[1], &g, x->shape + 2, kernel));
    return set_sizes(f, x->type, grad->shape[1], x->shape[1] / g.groups, &g, kernel);
}

dl_status grad_convolution_backward_weight(dl_graph *g, const dl_frame *f) {
    dl_value h = dl_graph_grad(g, 0);
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, emit_convolution(g, dl_graph_in(g, 1), h, f->attr + 1));
    if (dl_graph_needs(g, 1))
        dl_graph_returns(g, 1, emit_backward(g, "convolution_backward_data", dl_graph_in(g, 0), h, f->in[1], f->attr + 1));
    return dl_graph_status(g);
}

/* ---- transposed convolution -------------------------------------------------------------------------------------------- */

typedef struct transposed {
    geometry g;
    int64_t output_padding[DL_MAX_SPATIAL], out[DL_MAX_SPATIAL]; /* sizes of the output */
} transposed;

/* out = (in - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1. */
static dl_status transposed_sizes(const dl_frame *f, transposed *t) {
    const dl_tensor *x = f->in[0], *weight = f->in[1];
    const geometry *g = &t->g;
    DL_TRY(rule_spatial(f, 2, "output_padding", g->spatial, zeros, 0, t->output_padding));
    for (int32_t d = 0; d < g->spatial; d++) {
        const int64_t in = x->shape[2 + d], extra = t->output_padding[d];
        int64_t extent, size;
        if (extra >= g->stride[d] && extra >= g->dilation[d])
            return dl_failf(DL_INVALID, "expected an output_padding below stride %lld or dilation %lld, got %lld",
                            (long long)g->stride[d], (long long)g->dilation[d], (long long)extra);
        DL_TRY(kernel_extent(g, d, weight->shape[2 + d], &extent));
        if (in < 1 || __builtin_mul_overflow(in - 1, g->stride[d], &size) || size > INT64_MAX / 4)
            return dl_failf(DL_INVALID, "expected input sizes of at least 1 and a result that memory can hold, got %s",
                            shape_text(x).s);
        t->out[d] = size + extent - 2 * g->padding[d] + extra;
        if (t->out[d] < 1)
            return dl_failf(DL_INVALID, "the result would have size %lld: input %s, kernel %s, padding %s: use less padding",
                            (long long)t->out[d], shape_text(x).s, sizes_text(g->spatial, weight->shape + 2).s,
                            sizes_text(g->spatial, g->padding).s);
    }
    return DL_OK;
}

static dl_status read_transposed(const dl_frame *f, transposed *t) {
    const dl_tensor *x = f->in[0], *weight = f->in[1];
    DL_TRY(check_pair(x, "an input", weight, "a weight"));
    DL_TRY(read_geometry(f, weight->ndim, 0, 3, &t->g));
    DL_TRY(check_weight(weight, &t->g));
    DL_TRY(check_channels(x, "an input", weight->shape[0], weight, &t->g));
    DL_TRY(check_bias(x, f->in[2], weight->shape[1] * t->g.groups));
    return transposed_sizes(f, t);
}

dl_status infer_convolution_transposed(dl_frame *f) {
    transposed t;
    DL_TRY(read_transposed(f, &t));
    return set_sizes(f, f->in[0]->type, f->in[0]->shape[0], f->in[1]->shape[1] * t.g.groups, &t.g, t.out);
}

/* Zeros behind the end of each spatial dimension up to size: those that a padding of the output adds beyond what a stride
 * reaches, hence no place where a gradient of a convolution arrives. */
static dl_value grown(dl_graph *g, dl_value y, const int64_t *size) {
    const dl_tensor *t = dl_graph_tensor(g, y);
    if (!t) return y;
    int64_t shape[2 + DL_MAX_SPATIAL] = {t->shape[0], t->shape[1]}, strides[2 + DL_MAX_SPATIAL];
    int larger = 0;
    for (int32_t d = 2; d < t->ndim; d++) {
        shape[d] = size[d - 2];
        larger |= shape[d] != t->shape[d];
    }
    contiguous_strides(t->ndim, shape, strides);
    return larger ? emit1(g, "view_backward", y, ATTRS(DL_INTS(shape, t->ndim), DL_INTS(strides, t->ndim))) : y;
}

dl_status compose_convolution_transposed(dl_graph *g, const dl_frame *f) {
    transposed t;
    int64_t reached[DL_MAX_SPATIAL];
    DL_TRY(read_transposed(f, &t));
    for (int32_t d = 0; d < t.g.spatial; d++) reached[d] = t.out[d] - t.output_padding[d] / t.g.stride[d] * t.g.stride[d];
    dl_value y = emit2(g, "convolution_backward_data", dl_graph_in(g, 0), dl_graph_in(g, 1),
                       ATTRS(DL_INTS(reached, t.g.spatial), f->attr[0], f->attr[1], f->attr[3], f->attr[4]));
    y = grown(g, y, t.out);
    if (f->in[2]) {
        const int64_t shape[2 + DL_MAX_SPATIAL] = {1, f->in[2]->shape[0], 1, 1, 1};
        y = e_add(g, y, e_reshape(g, dl_graph_in(g, 2), t.g.spatial + 2, shape));
    }
    dl_graph_returns(g, 0, y);
    return dl_graph_status(g);
}
