/* pool.c - pooling over the last 1 to 3 dimensions: maxima with their places, means, and what gradients are made of.
 *
 * Places are int64 numbers of elements in the flattened last dimensions. Gradients of maxima add at those places
 * (max_pool_backward), whose own gradient gathers from them (max_unpool_backward); means are linear, so their second
 * derivative is the forward op. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

/* ---- attributes ------------------------------------------------------------------------------------------------------- */

/* How many spatial dimensions the int[] in place `attr`, called `name`, stands for: one for each value. */
static dl_status read_spatial(const dl_frame *f, uint32_t attr, const char *name, int32_t *spatial) {
    const int64_t *values;
    const dl_tensor *x = f->in[0];
    *spatial = attr_ints(f, attr, &values);
    if (*spatial < 1 || *spatial > DL_MAX_SPATIAL)
        return dl_failf(DL_INVALID, "expected 1 to %d values of %s, one for each spatial dimension, got %s", DL_MAX_SPATIAL,
                        name, sizes_text(*spatial, values).s);
    if (x->ndim >= *spatial) return DL_OK;
    return dl_failf(DL_INVALID, "expected at least the %d dimensions that %s stands for, got shape %s", *spatial, name,
                    shape_text(x).s);
}

/* Windows that slide: kernel, stride, padding, dilation; whether a last one may reach over the end. */
typedef struct sliding {
    int32_t spatial;
    int64_t kernel[DL_MAX_SPATIAL], stride[DL_MAX_SPATIAL], padding[DL_MAX_SPATIAL], dilation[DL_MAX_SPATIAL];
    int ceil_mode;
} sliding;

/* kernel, stride and padding stand in places first to first + 2; ceil_mode behind dilation, where that is there. */
static dl_status read_sliding(const dl_frame *f, uint32_t first, int dilated, sliding *s) {
    static const int64_t zeros[DL_MAX_SPATIAL] = {0}, ones[DL_MAX_SPATIAL] = {1, 1, 1};
    const int64_t *kernel;
    DL_TRY(read_spatial(f, first, "kernel", &s->spatial));
    attr_ints(f, first, &kernel);
    DL_TRY(rule_spatial(f, first, "kernel", s->spatial, kernel, 1, s->kernel));
    DL_TRY(rule_spatial(f, first + 1, "stride", s->spatial, s->kernel, 1, s->stride));
    DL_TRY(rule_spatial(f, first + 2, "padding", s->spatial, zeros, 0, s->padding));
    for (int32_t d = 0; d < s->spatial; d++) s->dilation[d] = 1;
    if (dilated) DL_TRY(rule_spatial(f, first + 3, "dilation", s->spatial, ones, 1, s->dilation));
    s->ceil_mode = attr_int(f, first + 3 + (uint32_t)dilated) != 0;
    for (int32_t d = 0; d < s->spatial; d++)
        if (s->padding[d] > s->kernel[d] / 2)
            return dl_failf(DL_INVALID, "expected a padding of at most half the kernel, got kernel %s, padding %s",
                            sizes_text(s->spatial, s->kernel).s, sizes_text(s->spatial, s->padding).s);
    return DL_OK;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------------ */

static dl_status check_plane(const dl_tensor *x, int32_t spatial) {
    const int64_t *size = x->shape + x->ndim - spatial;
    int64_t count = 1;
    DL_TRY(rule_floating(x));
    for (int32_t d = 0; d < spatial; d++) {
        if (size[d] < 1)
            return dl_failf(DL_INVALID, "expected at least one element along each of the last %d dimensions, got shape %s",
                            spatial, shape_text(x).s);
        if (__builtin_mul_overflow(count, size[d], &count) || count > INT32_MAX)
            return dl_failf(DL_INVALID, "expected at most %d elements in the last %d dimensions, got shape %s", INT32_MAX,
                            spatial, shape_text(x).s);
    }
    return DL_OK;
}

/* With dilation, a window between two elements may miss both. */
static int misses(const sliding *s, int32_t d, int64_t in, int64_t out) {
    for (int64_t o = 0; s->dilation[d] > 1 && o < out; o++) {
        int64_t at = o * s->stride[d] - s->padding[d];
        if (at < 0) at += (s->dilation[d] - 1 - at) / s->dilation[d] * s->dilation[d];
        if (at >= in) return 1;
    }
    return 0;
}

/* (in + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down or up; rounded up, the last window starts inside the
 * input or the padding in front of it. */
static dl_status sliding_sizes(const sliding *s, const int64_t *in, int64_t *out) {
    for (int32_t d = 0; d < s->spatial; d++) {
        const int64_t room = in[d] + 2 * s->padding[d] - s->dilation[d] * (s->kernel[d] - 1) - 1;
        const int64_t spare = s->ceil_mode ? s->stride[d] - 1 : 0;
        out[d] = room + spare < 0 ? 0 : (room + spare) / s->stride[d] + 1;
        if (s->ceil_mode && out[d] > 0 && (out[d] - 1) * s->stride[d] >= in[d] + s->padding[d]) out[d]--;
        if (out[d] < 1 || misses(s, d, in[d], out[d]))
            return dl_failf(DL_INVALID,
                            "the window does not fit: kernel %s with dilation %s, input sizes %s with padding %s on each side: "
                            "use a larger input or a smaller kernel",
                            sizes_text(s->spatial, s->kernel).s, sizes_text(s->spatial, s->dilation).s,
                            sizes_text(s->spatial, in).s, sizes_text(s->spatial, s->padding).s);
    }
    return DL_OK;
}

/* x's shape with other spatial sizes. */
static dl_shape resized(const dl_tensor *x, int32_t spatial, const int64_t *size) {
    dl_shape s = shape_of(x);
    for (int32_t d = 0; d < spatial; d++) s.size[x->ndim - spatial + d] = size[d];
    return s;
}

static dl_status set_pooled(dl_frame *f, int32_t spatial, const int64_t *size) {
    const dl_tensor *x = f->in[0];
    const dl_shape s = resized(x, spatial, size);
    DL_TRY(out_shape(f, 0, x->type, &s));
    return f->n_out > 1 ? out_shape(f, 1, DL_I64, &s) : DL_OK;
}

/* Sizes given by the caller, in place `attr`. */
static dl_status read_sizes(const dl_frame *f, uint32_t attr, int64_t least, int32_t *spatial, int64_t *size) {
    const int64_t *values;
    DL_TRY(read_spatial(f, attr, "size", spatial));
    attr_ints(f, attr, &values);
    return rule_spatial(f, attr, "size", *spatial, values, least, size);
}

/* ---- windows that slide ----------------------------------------------------------------------------------------------- */

static dl_status infer_sliding(dl_frame *f, int dilated) {
    sliding s;
    int64_t out[DL_MAX_SPATIAL];
    const dl_tensor *x = f->in[0];
    DL_TRY(read_sliding(f, 0, dilated, &s));
    DL_TRY(check_plane(x, s.spatial));
    DL_TRY(sliding_sizes(&s, x->shape + x->ndim - s.spatial, out));
    return set_pooled(f, s.spatial, out);
}

dl_status infer_max_pool(dl_frame *f) { return infer_sliding(f, 1); }

static dl_status check_divisor(int64_t divisor) {
    return divisor >= 0 ? DL_OK
                        : dl_failf(DL_INVALID, "expected a divisor of 1 or more, or 0 for none, got %lld", (long long)divisor);
}

dl_status infer_avg_pool(dl_frame *f) {
    DL_TRY(check_divisor(attr_int(f, 5)));
    return infer_sliding(f, 0);
}

/* The gradient's spatial sizes are what pooling `size` gives. */
static dl_status check_pooled(const dl_tensor *grad, int32_t spatial, const int64_t *expected) {
    const int32_t first = grad->ndim - spatial;
    int fits = 1;
    for (int32_t d = 0; d < spatial; d++) fits = fits && grad->shape[first + d] == expected[d];
    if (fits) return DL_OK;
    return dl_failf(DL_INVALID, "expected a gradient whose last sizes are %s, got shape %s", sizes_text(spatial, expected).s,
                    shape_text(grad).s);
}

static dl_status set_unpooled(dl_frame *f, int32_t spatial, const int64_t *size) {
    const dl_shape s = resized(f->in[0], spatial, size);
    int64_t count = 1;
    for (int32_t d = 0; d < spatial; d++)
        if (__builtin_mul_overflow(count, size[d], &count) || count > INT32_MAX)
            return dl_failf(DL_INVALID, "expected sizes of at most %d elements, got %s", INT32_MAX,
                            sizes_text(spatial, size).s);
    return out_shape(f, 0, f->in[0]->type, &s);
}

dl_status infer_avg_pool_backward(dl_frame *f) {
    sliding s;
    int32_t spatial;
    int64_t size[DL_MAX_SPATIAL], out[DL_MAX_SPATIAL];
    DL_TRY(rule_floating(f->in[0]));
    DL_TRY(read_sizes(f, 0, 1, &spatial, size));
    DL_TRY(read_sliding(f, 1, 0, &s));
    if (s.spatial != spatial)
        return dl_failf(DL_INVALID, "expected as many sizes as the kernel's %d, got %d", s.spatial, spatial);
    DL_TRY(check_divisor(attr_int(f, 6)));
    DL_TRY(sliding_sizes(&s, size, out));
    DL_TRY(check_pooled(f->in[0], spatial, out));
    return set_unpooled(f, spatial, size);
}

/* ---- windows from sizes ----------------------------------------------------------------------------------------------- */

static dl_status infer_adaptive(dl_frame *f) {
    int32_t spatial;
    int64_t size[DL_MAX_SPATIAL];
    DL_TRY(read_sizes(f, 0, 0, &spatial, size));
    DL_TRY(check_plane(f->in[0], spatial));
    return set_pooled(f, spatial, size);
}

dl_status infer_adaptive_max_pool(dl_frame *f) { return infer_adaptive(f); }
dl_status infer_adaptive_avg_pool(dl_frame *f) { return infer_adaptive(f); }

dl_status infer_adaptive_avg_pool_backward(dl_frame *f) {
    int32_t spatial;
    int64_t size[DL_MAX_SPATIAL];
    DL_TRY(rule_floating(f->in[0]));
    DL_TRY(read_sizes(f, 0, 1, &spatial, size));
    return set_unpooled(f, spatial, size);
}

/* draws: one number for each plane and spatial dimension, (..., spatial). */
static dl_status check_draws(const dl_tensor *x, const dl_tensor *draws, int32_t spatial) {
    dl_shape s = shape_of(x);
    s.ndim = x->ndim - spatial + 1;
    s.size[s.ndim - 1] = spatial;
    DL_TRY(rule_floating(draws));
    int fits = draws->ndim == s.ndim;
    for (int32_t d = 0; fits && d < s.ndim; d++) fits = draws->shape[d] == s.size[d];
    if (fits) return DL_OK;
    return dl_failf(DL_INVALID, "expected draws of shape %s, one for each plane and spatial dimension, got %s",
                    sizes_text(s.ndim, s.size).s, shape_text(draws).s);
}

dl_status infer_fractional_max_pool(dl_frame *f) {
    int32_t spatial;
    int64_t size[DL_MAX_SPATIAL], kernel[DL_MAX_SPATIAL];
    const dl_tensor *x = f->in[0];
    const int64_t *values;
    DL_TRY(read_spatial(f, 0, "kernel", &spatial));
    attr_ints(f, 0, &values);
    DL_TRY(rule_spatial(f, 0, "kernel", spatial, values, 1, kernel));
    DL_TRY(rule_spatial(f, 1, "size", spatial, kernel, 1, size));
    DL_TRY(check_plane(x, spatial));
    DL_TRY(check_draws(x, f->in[1], spatial));
    for (int32_t d = 0; d < spatial; d++)
        if (size[d] + kernel[d] - 1 > x->shape[x->ndim - spatial + d])
            return dl_failf(DL_INVALID, "%s windows of %s do not fit into x %s: expected size + kernel - 1 of at most x's",
                            sizes_text(spatial, size).s, sizes_text(spatial, kernel).s, shape_text(x).s);
    return set_pooled(f, spatial, size);
}

/* ---- places ----------------------------------------------------------------------------------------------------------- */

static dl_status check_index(const dl_tensor *index) {
    if (index->type == DL_I64) return DL_OK;
    return dl_failf(DL_INVALID, "expected int64 indices, as max_pool gives, got %s", dl_dtype_name(index->type));
}

static dl_status infer_scatter_places(dl_frame *f) {
    const dl_tensor *x = f->in[0], *index = f->in[1];
    int32_t spatial;
    int64_t size[DL_MAX_SPATIAL];
    DL_TRY(rule_floating(x));
    DL_TRY(check_index(index));
    if (!same_shape(x, index))
        return dl_failf(DL_INVALID, "expected an index for each element of %s, got shape %s", shape_text(x).s,
                        shape_text(index).s);
    DL_TRY(read_sizes(f, 0, 1, &spatial, size));
    return set_unpooled(f, spatial, size);
}

dl_status infer_max_pool_backward(dl_frame *f) { return infer_scatter_places(f); }
dl_status infer_max_unpool(dl_frame *f) { return infer_scatter_places(f); }

dl_status infer_max_unpool_backward(dl_frame *f) {
    const dl_tensor *x = f->in[0], *index = f->in[1];
    const int64_t spatial = attr_int(f, 0);
    DL_TRY(check_index(index));
    if (spatial < 1 || spatial > DL_MAX_SPATIAL || spatial > x->ndim)
        return dl_failf(DL_INVALID, "expected 1 to %d last dimensions of x %s, got %lld", DL_MAX_SPATIAL, shape_text(x).s,
                        (long long)spatial);
    DL_TRY(check_plane(x, (int32_t)spatial));
    int fits = index->ndim == x->ndim;
    for (int32_t d = 0; fits && d < x->ndim - spatial; d++) fits = index->shape[d] == x->shape[d];
    if (!fits)
        return dl_failf(DL_INVALID, "expected an index whose dimensions but the last %lld are those of x %s, got %s",
                        (long long)spatial, shape_text(x).s, shape_text(index).s);
    return dl_set_out(f, 0, x->type, index->ndim, index->shape);
}

/* ---- gradients -------------------------------------------------------------------------------------------------------- */

/* Towards in[0] whose result's places are `index`: what comes in, added there. */
static dl_status add_at_places(dl_graph *g, const dl_frame *f, dl_value index, int32_t spatial) {
    const dl_tensor *x = f->in[0];
    if (dl_graph_grad(g, 0) == DL_NO_VALUE) return DL_OK;
    dl_graph_returns(
        g, 0, emit2(g, "max_pool_backward", dl_graph_grad(g, 0), index, ATTRS(DL_INTS(x->shape + x->ndim - spatial, spatial))));
    return dl_graph_status(g);
}

/* The number of values in the first attribute is that of spatial dimensions. */
dl_status grad_max_pool(dl_graph *g, const dl_frame *f) {
    const int64_t *values;
    return add_at_places(g, f, dl_graph_out(g, 1), attr_ints(f, 0, &values));
}

dl_status grad_max_unpool_backward(dl_graph *g, const dl_frame *f) {
    return add_at_places(g, f, dl_graph_in(g, 1), (int32_t)attr_int(f, 0));
}

/* Of max_pool_backward and max_unpool. */
dl_status grad_max_unpool(dl_graph *g, const dl_frame *f) {
    const int64_t *values;
    const int32_t spatial = attr_ints(f, 0, &values);
    dl_graph_returns(g, 0, emit2(g, "max_unpool_backward", dl_graph_grad(g, 0), dl_graph_in(g, 1), ATTRS(DL_INT(spatial))));
    return dl_graph_status(g);
}

dl_status grad_avg_pool(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int64_t *values;
    const int32_t spatial = attr_ints(f, 0, &values);
    const dl_attr attr[] = {
        DL_INTS(x->shape + x->ndim - spatial, spatial), f->attr[0], f->attr[1], f->attr[2], f->attr[3], f->attr[4], f->attr[5]};
    dl_graph_returns(g, 0, emit1(g, "avg_pool_backward", dl_graph_grad(g, 0), attr, sizeof attr / sizeof *attr));
    return dl_graph_status(g);
}

dl_status grad_avg_pool_backward(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, emit1(g, "avg_pool", dl_graph_grad(g, 0), f->attr + 1, f->n_attr - 1));
    return dl_graph_status(g);
}

static dl_status grad_adaptive(dl_graph *g, const dl_frame *f, const char *op) {
    const dl_tensor *x = f->in[0];
    const int64_t *values;
    const int32_t spatial = attr_ints(f, 0, &values);
    dl_graph_returns(g, 0, emit1(g, op, dl_graph_grad(g, 0), ATTRS(DL_INTS(x->shape + x->ndim - spatial, spatial))));
    return dl_graph_status(g);
}

dl_status grad_adaptive_avg_pool(dl_graph *g, const dl_frame *f) { return grad_adaptive(g, f, "adaptive_avg_pool_backward"); }
dl_status grad_adaptive_avg_pool_backward(dl_graph *g, const dl_frame *f) { return grad_adaptive(g, f, "adaptive_avg_pool"); }
