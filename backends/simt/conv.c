/* conv.c - convolution and its gradients in 1 to 3 dimensions: products of tiles, or, for few rows of them, an item for each
 * result (conv_forward.cl, conv_data.cl, conv_weight.cl; conv_direct.cl). Nothing is unrolled in memory; gradients are
 * gathered, so that results do not depend on the order in which work groups run. */
#include "backends/simt/conv.h"
#include "backends/simt/tile.h"
#include "backends/simt/texts.h"

enum { SPATIAL = 3 };

typedef struct conv_state {
    conv_shape shape;
    void *function, *sum;
    int64_t groups; /* work groups of a tiled kernel; 0: a direct one */
} conv_state;

/* ---- shapes ---------------------------------------------------------------------------------------------------------------
 */

static int64_t value(const dl_attr *a, int32_t d, int64_t otherwise) {
    return a->kind == DL_ATTR_INTS && a->n > 0 ? a->v.iv[a->n == 1 ? 0 : d] : otherwise;
}

/* The spatial dimensions of t in the last places of three. */
static void spatial(const dl_tensor *t, int64_t *size, int64_t *stride) {
    const int32_t missing = SPATIAL - (t->ndim - 2);
    for (int32_t d = 0; d < SPATIAL; d++) {
        size[d] = d < missing ? 1 : t->shape[2 + d - missing];
        stride[d] = d < missing ? 0 : t->strides[2 + d - missing];
    }
}

/* attr: stride, padding, dilation, groups. y stands for the result or its gradient, x for the input or its gradient. */
static void set_shape(conv_shape *s, const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y, const dl_attr *attr) {
    const int32_t missing = SPATIAL - (x->ndim - 2);
    *s = (conv_shape){.samples = x->shape[0], .groups = attr[3].v.i, .channels = weight->shape[1], .splits = 1};
    s->filters = weight->shape[0] / s->groups;
    spatial(x, s->in, s->x_s);
    spatial(y, s->out, s->y_s);
    spatial(weight, s->window, s->w_s);
    s->x_n = x->strides[0], s->x_c = x->strides[1];
    s->y_n = y->strides[0], s->y_c = y->strides[1];
    s->w_o = weight->strides[0], s->w_c = weight->strides[1];
    for (int32_t d = 0; d < SPATIAL; d++) {
        s->stride[d] = d < missing ? 1 : value(&attr[0], d - missing, 1);
        s->padding[d] = d < missing ? 0 : value(&attr[1], d - missing, 0);
        s->dilation[d] = d < missing ? 1 : value(&attr[2], d - missing, 1);
    }
}

static int64_t volume(const int64_t *size) { return size[0] * size[1] * size[2]; }

/* Kernels count places in a sample, and a padded dimension's, with 32 bits. */
static int fits(const conv_shape *s) {
    int64_t in = 1, out = 1;
    for (int32_t d = 0; d < SPATIAL; d++) {
        if (s->in[d] + 2 * s->padding[d] > INT32_MAX || s->stride[d] > INT32_MAX) return 0;
        if (__builtin_mul_overflow(in, s->in[d], &in) || in > INT32_MAX) return 0;
        if (__builtin_mul_overflow(out, s->out[d], &out) || out > INT32_MAX) return 0;
    }
    const int64_t most = s->channels > s->filters ? s->channels : s->filters;
    return most == 0 || volume(s->window) <= INT32_MAX / most;
}

/* ---- plans ----------------------------------------------------------------------------------------------------------------
 */

static void destroy(void *state) { simt_of.host->mem(state, 0); }

/* The two kernels of an op: a text's tiled one, and that of conv_direct.cl. */
typedef struct kernel_of {
    const char *text, *tiled, *direct;
} kernel_of;

/* With fewer rows than this a tile is mostly empty. */
enum { LEAST_ROWS = 8 };

/* Takes the tiled kernel for `rows` times `columns` results of each group, or the direct one. */
static dl_status make_plan(const dl_frame *f, const conv_shape *s, int64_t rows, int64_t columns, const kernel_of *kernel,
                           dl_plan *plan, conv_state **state) {
    const dl_dtype type = f->out[0]->type;
    const int64_t groups = tile_count(rows, columns) * s->groups * s->splits;
    if (!simt_floating(type) || !fits(s) || !tile_groups_fit(groups)) return DL_UNSUPPORTED;
    conv_state *c = simt_of.host->mem(NULL, sizeof *c);
    if (!c) return simt_of.host->fail(DL_NOMEM, "out of memory for a plan");
    *c = (conv_state){.shape = *s, .groups = rows >= LEAST_ROWS ? groups : 0};
    const dl_dtype types[2] = {type, s->splits > 1 ? tile_sum_type(type) : type};
    const dl_status status = c->groups ? simt_function(f, kernel->text, kernel->tiled, types, 2, &c->function)
                                       : simt_function(f, text_conv_direct_cl, kernel->direct, types, 2, &c->function);
    if (status != DL_OK) {
        destroy(c);
        return status;
    }
    plan->state = *state = c;
    plan->destroy = destroy;
    return DL_OK;
}

static dl_status launch(const dl_frame *f, const conv_state *c, int64_t results, const simt_args *a) {
    if (results == 0) return DL_OK;
    if (!c->groups) return simt_launch_items(f, c->function, results, a);
    return tile_launch(f, c->function, c->groups, a);
}

/* ---- ops ------------------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_forward(const dl_frame *f, dl_plan *plan) {
    conv_shape s;
    conv_state *c;
    set_shape(&s, f->in[0], f->in[1], f->out[0], f->attr);
    return make_plan(f, &s, s.filters, s.samples * volume(s.out),
                     &(kernel_of){text_conv_forward_cl, "conv_forward", "direct_forward"}, plan, &c);
}

static dl_status run_forward(const dl_frame *f, const dl_plan *plan) {
    const conv_state *c = plan->state;
    simt_args a = {0};
    simt_buffer(&a, f->in[0]);
    simt_buffer(&a, f->in[1]);
    simt_buffer(&a, f->in[2]);
    simt_i64(&a, f->in[2] ? f->in[2]->strides[0] : -1);
    simt_buffer(&a, f->out[0]);
    simt_struct(&a, &c->shape, sizeof c->shape);
    return launch(f, c, simt_count(f->out[0]), &a);
}

static dl_status prepare_data(const dl_frame *f, dl_plan *plan) {
    conv_shape s;
    conv_state *c;
    set_shape(&s, f->out[0], f->in[1], f->in[0], f->attr + 1);
    return make_plan(f, &s, s.channels, s.samples * volume(s.in),
                     &(kernel_of){text_conv_data_cl, "conv_backward_data", "direct_backward_data"}, plan, &c);
}

static dl_status run_data(const dl_frame *f, const dl_plan *plan) {
    const conv_state *c = plan->state;
    simt_args a = {0};
    simt_buffer(&a, f->in[0]);
    simt_buffer(&a, f->in[1]);
    simt_buffer(&a, f->out[0]);
    simt_struct(&a, &c->shape, sizeof c->shape);
    return launch(f, c, simt_count(f->out[0]), &a);
}

static dl_status prepare_weight(const dl_frame *f, dl_plan *plan) {
    const dl_dtype type = f->out[0]->type, sum_type = tile_sum_type(type);
    conv_shape s;
    conv_state *c = NULL;
    set_shape(&s, f->in[1], f->out[0], f->in[0], f->attr + 1);
    if (!fits(&s)) return DL_UNSUPPORTED;
    const int64_t columns = s.channels * volume(s.window), inner = s.samples * volume(s.out);
    const int tiled = s.filters >= LEAST_ROWS;
    s.splits = tiled ? tile_splits(tile_count(s.filters, columns) * s.groups, inner) : 1;
    s.split = (inner + s.splits - 1) / s.splits;
    s.part = s.groups * s.filters * columns;
    if (!tile_groups_fit(s.part)) return DL_UNSUPPORTED; /* the direct kernel has one for each element */
    dl_status status = make_plan(f, &s, s.filters, columns,
                                 &(kernel_of){text_conv_weight_cl, "conv_backward_weight", "direct_backward_weight"}, plan, &c);
    if (status != DL_OK || s.splits == 1) return status;
    plan->scratch_bytes = (uint64_t)(s.splits * s.part * simt_type_bytes(sum_type));
    status = simt_function(f, text_conv_weight_cl, "conv_sum", (dl_dtype[]){sum_type, type}, 2, &c->sum);
    if (status != DL_OK) {
        destroy(c);
        plan->state = NULL;
    }
    return status;
}

static dl_status run_weight(const dl_frame *f, const dl_plan *plan) {
    const conv_state *c = plan->state;
    const conv_shape *s = &c->shape;
    const int64_t results = simt_count(f->out[0]);
    simt_args a = {0};
    simt_buffer(&a, f->in[0]);
    simt_buffer(&a, f->in[1]);
    if (s->splits > 1)
        simt_data(&a, f->scratch);
    else
        simt_buffer(&a, f->out[0]);
    simt_struct(&a, s, sizeof *s);
    /* the direct kernel has a work group for each result */
    if (!c->groups)
        return simt_launch(f, c->function, (const uint32_t[3]){(uint32_t)results, 1, 1}, (const uint32_t[3]){SIMT_GROUP, 1, 1},
                           &a);
    const dl_status status = launch(f, c, results, &a);
    if (status != DL_OK || s->splits == 1) return status;
    simt_args sum = {0};
    simt_data(&sum, f->scratch);
    simt_buffer(&sum, f->out[0]);
    simt_struct(&sum, s, sizeof *s);
    return simt_launch_items(f, c->sum, s->part, &sum);
}

dl_status simt_register_conv(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("convolution", prepare_forward, run_forward),
        SIMT_KERNEL("convolution_backward_data", prepare_data, run_data),
        SIMT_KERNEL("convolution_backward_weight", prepare_weight, run_weight),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
