/* conv.c - convolution and its gradients in 1 to 3 dimensions: products of tiles, or, for few rows of them, an item for each
 * result (conv_forward.cl, conv_data.cl, conv_weight.cl; conv_direct.cl). Nothing is unrolled in memory; gradients are
 * gathered, so that results do not depend on the order in which work groups run. */
#include "backends/simt/box.h"
#include "backends/simt/conv.h"
#include "backends/simt/tile.h"
#include "backends/simt/texts.h"

typedef struct conv_state {
    conv_shape shape;
    void *function, *sum;
    int64_t groups; /* work groups of a tiled kernel; 0: a direct one */
} conv_state;

/* ---- shapes ---------------------------------------------------------------------------------------------------------------
 */

/* attr: stride, padding, dilation, groups. y stands for the result or its gradient, x for the input or its gradient. */
static void set_shape(conv_shape *s, const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y, const dl_attr *attr) {
    const int32_t missing = SPATIAL - (x->ndim - 2);
    *s = (conv_shape){.samples = x->shape[0], .groups = attr[3].v.i, .channels = weight->shape[1], .splits = 1};
    s->filters = weight->shape[0] / s->groups;
    box_of(x, 2, s->in, s->x_s);
    box_of(y, 2, s->out, s->y_s);
    box_of(weight, 2, s->window, s->w_s);
    s->x_n = x->strides[0], s->x_c = x->strides[1];
    s->y_n = y->strides[0], s->y_c = y->strides[1];
    s->w_o = weight->strides[0], s->w_c = weight->strides[1];
    for (int32_t d = 0; d < SPATIAL; d++) {
        s->stride[d] = d < missing ? 1 : box_value(&attr[0], d - missing, 1);
        s->padding[d] = d < missing ? 0 : box_value(&attr[1], d - missing, 0);
        s->dilation[d] = d < missing ? 1 : box_value(&attr[2], d - missing, 1);
    }
}

/* Kernels count places in a sample, those of a padded dimension, and a weight's, with 32 bits. */
static int fits(const conv_shape *s) {
    if (!box_fits(s->in) || !box_fits(s->out) || !box_fits(s->window)) return 0;
    for (int32_t d = 0; d < SPATIAL; d++)
        if (s->padding[d] > (INT32_MAX - s->in[d]) / 2 || s->stride[d] > INT32_MAX) return 0;
    const int64_t most = s->channels > s->filters ? s->channels : s->filters;
    return most == 0 || box_volume(s->window) <= INT32_MAX / most;
}

/* ---- plans ----------------------------------------------------------------------------------------------------------------
 */

/* The two kernels of an op: a text's tiled one, and that of conv_direct.cl. */
typedef struct kernel_of {
    const char *text, *tiled, *direct;
} kernel_of;

/* With fewer rows than this a tile is mostly empty. */
enum { LEAST_ROWS = 8 };

/* Takes the tiled kernel for `rows` times `columns` results of each group, or the direct one. */
static dl_status choose(const dl_frame *f, const conv_shape *s, int64_t rows, int64_t columns, const kernel_of *kernel,
                        conv_state *c) {
    const dl_dtype type = f->out[0]->type;
    const int64_t groups = tile_count(rows, columns) * s->groups * s->splits;
    if (!simt_floating(type) || !tile_groups_fit(groups)) return DL_UNSUPPORTED;
    *c = (conv_state){.shape = *s, .groups = rows >= LEAST_ROWS ? groups : 0};
    const dl_dtype types[2] = {type, s->splits > 1 ? tile_sum_type(type) : type};
    return c->groups ? simt_function(f, kernel->text, kernel->tiled, types, 2, &c->function)
                     : simt_function(f, text_conv_direct_cl, kernel->direct, types, 2, &c->function);
}

static dl_status launch(const dl_frame *f, const conv_state *c, int64_t results, const simt_args *a) {
    if (results == 0) return DL_OK;
    if (!c->groups) return simt_launch_items(f, c->function, results, a);
    return tile_launch(f, c->function, c->groups, a);
}

/* ---- ops ------------------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_forward(const dl_frame *f, dl_plan *plan) {
    static const kernel_of kernel = {text_conv_forward_cl, "conv_forward", "direct_forward"};
    conv_shape s;
    conv_state c;
    set_shape(&s, f->in[0], f->in[1], f->out[0], f->attr);
    if (!fits(&s)) return DL_UNSUPPORTED;
    const dl_status status = choose(f, &s, s.filters, s.samples * box_volume(s.out), &kernel, &c);
    return status == DL_OK ? simt_keep_state(plan, &c, sizeof c) : status;
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
    static const kernel_of kernel = {text_conv_data_cl, "conv_backward_data", "direct_backward_data"};
    conv_shape s;
    conv_state c;
    set_shape(&s, f->out[0], f->in[1], f->in[0], f->attr + 1);
    if (!fits(&s)) return DL_UNSUPPORTED;
    const dl_status status = choose(f, &s, s.channels, s.samples * box_volume(s.in), &kernel, &c);
    return status == DL_OK ? simt_keep_state(plan, &c, sizeof c) : status;
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
    static const kernel_of kernel = {text_conv_weight_cl, "conv_backward_weight", "direct_backward_weight"};
    const dl_dtype type = f->out[0]->type, sum_type = tile_sum_type(type);
    conv_shape s;
    conv_state c;
    set_shape(&s, f->in[1], f->out[0], f->in[0], f->attr + 1);
    if (!fits(&s)) return DL_UNSUPPORTED;
    const int64_t columns = s.channels * box_volume(s.window), inner = s.samples * box_volume(s.out);
    const int tiled = s.filters >= LEAST_ROWS;
    s.splits = tiled ? tile_splits(tile_count(s.filters, columns) * s.groups, inner) : 1;
    s.split = (inner + s.splits - 1) / s.splits;
    s.part = s.groups * s.filters * columns;
    if (!tile_groups_fit(s.part)) return DL_UNSUPPORTED; /* the direct kernel has one for each element */
    dl_status status = choose(f, &s, s.filters, columns, &kernel, &c);
    if (status == DL_OK && s.splits > 1) {
        plan->scratch_bytes = (uint64_t)(s.splits * s.part * simt_type_bytes(sum_type));
        status = simt_function(f, text_conv_weight_cl, "conv_sum", (dl_dtype[]){sum_type, type}, 2, &c.sum);
    }
    return status == DL_OK ? simt_keep_state(plan, &c, sizeof c) : status;
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
        return simt_launch(f, c->function, (const uint32_t[3]){(uint32_t)results, 1, 1}, (const uint32_t[3]){CONV_GROUP, 1, 1},
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
