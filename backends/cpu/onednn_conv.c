/* onednn_conv.c - convolutions as units of work, each a oneDNN primitive that one thread runs by itself.
 *
 * oneDNN would split a convolution among libgomp's threads; here the backend's pool does, so that there is one pool. A unit is
 * some images and a share of the channels of the tensor that has the result (for the gradient towards the weight: of y). Units
 * depend on the shapes alone, hence so do the results, whatever the number of threads.
 *
 * The operands by their parts in this: UNCUT is cut by images only, CUT by images and channels, WEIGHT by channels only.
 *     forward          y (CUT) from x (UNCUT) and weight
 *     backward data    x (CUT) from y (UNCUT) and weight
 *     backward weight  weight from x (UNCUT) and y (CUT), one partial sum for each part of the batch, added up in their order
 * Where an operand does not lie in memory as the primitive wants it, a reorder makes a copy in scratch, per unit while in
 * cache; the weight's is kept with the weight. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/onednn_conv_plan.h"

#ifdef CPU_HAS_ONEDNN_CONV
#include <string.h>

enum { LINE = 64 };

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline uint64_t whole_lines(uint64_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

static double multiplications(const cpu_conv_problem *p) {
    double n = (double)p->batch * (double)p->y_channels * (double)(p->x_channels / p->groups);
    for (int32_t d = 0; d < p->spatial; d++) n *= (double)p->y_size[d] * (double)p->kernel[d];
    return n;
}

static int64_t weight_count(const cpu_conv_problem *p) {
    int64_t n = p->y_channels * (p->x_channels / p->groups);
    for (int32_t d = 0; d < p->spatial; d++) n *= p->kernel[d];
    return n;
}

/* ---- units -------------------------------------------------------------------------------------------------------------- */

/* Equal shares of the channels, whole vectors and not too thin, at most `wanted` of them. */
static int64_t channel_shares(const cpu_onednn_conv *c, int64_t wanted) {
    enum { vector = 16, least = 32 };
    const int64_t channels = cut_channels(c);
    int64_t shares = 1;
    if (c->p.groups > 1) return 1;
    while (shares * 2 <= wanted && channels % (shares * 2 * vector) == 0 && channels / (shares * 2) >= least) shares *= 2;
    return shares;
}

/* Units should be large enough to hide their start, yet at least `most` of them where the work is worth it. The gradient
 * towards a large weight is cut by channels rather than by images: partial sums would cost more than they save. */
static void choose_units(cpu_onednn_conv *c) {
    enum { most = 8, large_weight = 256 << 10 };
    const double worth = 2e6; /* multiplications */
    const cpu_conv_problem *p = &c->p;
    const double work = multiplications(p);
    const int64_t units = (int64_t)(work / worth < 1 ? 1 : work / worth > most ? most : work / worth);
    c->shares = 1;
    if (towards_weight(c)) {
        if (weight_count(p) >= large_weight || p->batch < units) c->shares = channel_shares(c, units);
        c->parts = smaller(p->batch, larger(1, units / c->shares));
    } else {
        const double image = work / (double)p->batch;
        const int64_t images = image >= worth ? 1 : (int64_t)(worth / image) + 1;
        c->parts = larger(smaller(p->batch, units), p->batch / images);
        if (p->batch < units) c->shares = channel_shares(c, units / c->parts);
    }
    c->stage[FULL].images = (p->batch + c->parts - 1) / c->parts;
    c->parts = (p->batch + c->stage[FULL].images - 1) / c->stage[FULL].images;
    c->stage[LAST].images = p->batch - (c->parts - 1) * c->stage[FULL].images;
    c->slots = work < worth / 2 ? 1 : smaller(cpu_threads(0), c->parts * c->shares);
}

/* ---- descriptors -------------------------------------------------------------------------------------------------------- */

static dnnl_data_type_t type_of(const cpu_onednn_conv *c) { return c->p.type == DL_F32 ? dnnl_f32 : dnnl_bf16; }

/* Sizes of an operand of one unit; the weight has groups first where there are several. Returns how many. */
static int32_t unit_sizes(const cpu_onednn_conv *c, int operand, int64_t images, int64_t *size) {
    const cpu_conv_problem *p = &c->p;
    const int cut_x = !uncut_is_x(c), is_x = operand == UNCUT ? uncut_is_x(c) : cut_x;
    const int64_t x_channels = p->x_channels / (cut_x ? c->shares : 1), y_channels = p->y_channels / (cut_x ? 1 : c->shares);
    int32_t n = 0;
    if (operand == WEIGHT) {
        if (p->groups > 1) size[n++] = p->groups;
        size[n++] = y_channels / p->groups;
        size[n++] = x_channels / p->groups;
        for (int32_t d = 0; d < p->spatial; d++) size[n++] = p->kernel[d];
        return n;
    }
    size[n++] = images;
    size[n++] = is_x ? x_channels : y_channels;
    for (int32_t d = 0; d < p->spatial; d++) size[n++] = is_x ? p->x_size[d] : p->y_size[d];
    return n;
}

/* Strides of a dense tensor with the channels innermost. */
static void channels_last(int32_t n, const int64_t *size, int64_t *stride) {
    int64_t step = stride[1] = 1;
    step = size[1];
    for (int32_t d = n - 1; d >= 2; d--) stride[d] = step, step *= size[d];
    stride[0] = step;
}

/* How the operand of a unit lies in memory. 0: no descriptor can say it (an expanded dimension). */
static int describe_ours(const cpu_onednn_conv *c, int operand, int64_t images, dnnl_memory_desc_t *out) {
    dnnl_dims_t size, dense, stride;
    const int32_t n = unit_sizes(c, operand, images, size);
    if (operand == WEIGHT) {
        const int32_t grouped = c->p.groups > 1;
        const int64_t *own = c->p.weight_stride;
        if (grouped) stride[0] = size[1] * own[0];
        for (int32_t d = grouped; d < n; d++) stride[d] = own[d - grouped];
    } else {
        channels_last(n, size, dense);
        for (int32_t d = 0; d < n; d++) stride[d] = size[d] == 1 ? dense[d] : strides_of(c, operand)[d];
    }
    for (int32_t d = 0; d < n; d++)
        if (stride[d] == 0 && size[d] > 1) return 0;
    return cpu_dnnl.dnnl_memory_desc_init_by_strides_(out, n, size, type_of(c), stride) == dnnl_success;
}

/* oneDNN's AVX2 code is 5 to 30 % faster on its own blocks of channels than on channels-last images, which pays for reorders
 * where each element is multiplied often; towards x, and with AVX-512, it is as fast on either. */
static int wants_blocks(const cpu_onednn_conv *c) {
    const cpu_conv_problem *p = &c->p;
    int64_t kernel = 1;
    for (int32_t d = 0; d < p->spatial; d++) kernel *= p->kernel[d];
    return cpu_isa() == CPU_AVX2 && p->kind != CPU_CONV_BACKWARD_DATA && p->groups == 1 && kernel > 1 &&
           p->x_channels % 8 == 0 && p->y_channels % 8 == 0;
}

/* What is asked for: for the weight whatever suits the primitive, for images that or channels-last. */
static int describe_asked(const cpu_onednn_conv *c, int operand, int64_t images, dnnl_memory_desc_t *out) {
    dnnl_dims_t size, stride;
    const dnnl_data_type_t type = operand == result_of(c) && operand == WEIGHT ? dnnl_f32 : type_of(c);
    const int32_t n = unit_sizes(c, operand, images, size);
    if (operand == WEIGHT || wants_blocks(c))
        return cpu_dnnl.dnnl_memory_desc_init_by_tag_(out, n, size, type, dnnl_format_tag_any) == dnnl_success;
    channels_last(n, size, stride);
    return cpu_dnnl.dnnl_memory_desc_init_by_strides_(out, n, size, type, stride) == dnnl_success;
}

/* ---- primitives --------------------------------------------------------------------------------------------------------- */

static int describe_forward(const cpu_onednn_conv *c, dnnl_convolution_desc_t *out, const dnnl_memory_desc_t *x,
                            const dnnl_memory_desc_t *weight, const dnnl_memory_desc_t *y) {
    const cpu_conv_problem *p = &c->p;
    const dnnl_prop_kind_t kind = p->kind == CPU_CONV_FORWARD ? dnnl_forward_inference : dnnl_forward_training;
    return cpu_dnnl.dnnl_dilated_convolution_forward_desc_init_(out, kind, dnnl_convolution_direct, x, weight,
                                                                p->has_bias ? &c->bias : NULL, y, c->stride, c->dilation,
                                                                c->padding, c->padding) == dnnl_success;
}

static int describe_backward(const cpu_onednn_conv *c, dnnl_convolution_desc_t *out, const dnnl_memory_desc_t *x,
                             const dnnl_memory_desc_t *weight, const dnnl_memory_desc_t *y) {
    if (towards_weight(c))
        return cpu_dnnl.dnnl_dilated_convolution_backward_weights_desc_init_(out, dnnl_convolution_direct, x, weight, NULL, y,
                                                                             c->stride, c->dilation, c->padding,
                                                                             c->padding) == dnnl_success;
    return cpu_dnnl.dnnl_dilated_convolution_backward_data_desc_init_(out, dnnl_convolution_direct, x, weight, y, c->stride,
                                                                      c->dilation, c->padding, c->padding) == dnnl_success;
}

/* Only code generated for convolutions is worth it; products of unfolded images are conv.c's trade. */
static int is_fast(const_dnnl_primitive_desc_t pd) {
    return !cpu_dnnl_named(pd, "ref") && !cpu_dnnl_named(pd, "simple") && !cpu_dnnl_named(pd, "gemm");
}

/* The gradients want the forward primitive's descriptor as a hint. NULL if there is none that is fast. */
static dnnl_primitive_desc_t choose_primitive(const cpu_onednn_conv *c, const dnnl_memory_desc_t asked[OPERANDS],
                                              const_dnnl_primitive_attr_t attr) {
    const dnnl_memory_desc_t *x = &asked[uncut_is_x(c) ? UNCUT : CUT], *y = &asked[uncut_is_x(c) ? CUT : UNCUT];
    const dnnl_memory_desc_t *weight = &asked[WEIGHT];
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t forward = NULL, pd = NULL;
    dnnl_memory_desc_t same_type = *weight; /* as the forward convolution has it */
    same_type.data_type = type_of(c);
    if (!describe_forward(c, &desc, x, &same_type, y) ||
        cpu_dnnl.dnnl_primitive_desc_create_(&forward, &desc, attr, cpu_dnnl.engine, NULL) != dnnl_success)
        return NULL;
    if (c->p.kind == CPU_CONV_FORWARD) {
        pd = forward;
    } else {
        if (!describe_backward(c, &desc, x, weight, y) ||
            cpu_dnnl.dnnl_primitive_desc_create_(&pd, &desc, attr, cpu_dnnl.engine, forward) != dnnl_success)
            pd = NULL;
        cpu_dnnl.dnnl_primitive_desc_destroy_(forward);
    }
    if (pd && is_fast(pd)) return pd;
    if (pd) cpu_dnnl.dnnl_primitive_desc_destroy_(pd);
    return NULL;
}

static const int argument[][OPERANDS] = {
    [CPU_CONV_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
    [CPU_CONV_BACKWARD_DATA] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
    [CPU_CONV_BACKWARD_WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
};

static int read_wanted(const cpu_onednn_conv *c, stage *s, const_dnnl_primitive_desc_t pd) {
    for (int k = 0; k < OPERANDS; k++) {
        const dnnl_memory_desc_t *d = cpu_dnnl.dnnl_primitive_desc_query_md_(pd, dnnl_query_exec_arg_md, c->argument[k]);
        if (!d) return 0;
        s->wanted[k] = *d;
    }
    const dnnl_memory_desc_t *d = cpu_dnnl.dnnl_primitive_desc_query_md_(pd, dnnl_query_scratchpad_md, 0);
    if (d) s->scratchpad = *d;
    return d != NULL;
}

static int make_reorder(dnnl_primitive_t *out, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                        const_dnnl_primitive_attr_t attr) {
    dnnl_primitive_desc_t pd;
    if (cpu_dnnl.dnnl_reorder_primitive_desc_create_(&pd, from, cpu_dnnl.engine, to, cpu_dnnl.engine, attr) != dnnl_success)
        return 0;
    const int ok = cpu_dnnl.dnnl_primitive_create_(out, pd) == dnnl_success;
    cpu_dnnl.dnnl_primitive_desc_destroy_(pd);
    return ok;
}

/* The gradient towards the weight always goes through scratch, where partial sums are added. */
static int make_reorders(const cpu_onednn_conv *c, stage *s, const_dnnl_primitive_attr_t attr) {
    const int result = result_of(c);
    for (int k = 0; k < OPERANDS; k++) {
        if (!describe_ours(c, k, s->images, &s->ours[k])) return 0;
        if (!(k == WEIGHT && k == result) && cpu_dnnl.dnnl_memory_desc_equal_(&s->ours[k], &s->wanted[k])) continue;
        const dnnl_memory_desc_t *from = k == result ? &s->wanted[k] : &s->ours[k];
        const dnnl_memory_desc_t *to = k == result ? &s->ours[k] : &s->wanted[k];
        if (!make_reorder(&s->reorder[k], from, to, attr)) return 0;
    }
    return 1;
}

static int64_t elements(const cpu_onednn_conv *c, const stage *s) {
    dnnl_dims_t size;
    int64_t n = 1;
    const int32_t dims = unit_sizes(c, CUT, s->images, size);
    for (int32_t d = 0; d < dims; d++) n *= size[d];
    return n;
}

/* weight: the layout it must have; NULL: any. */
static int make_stage(const cpu_onednn_conv *c, stage *s, const dnnl_memory_desc_t *weight, const_dnnl_primitive_attr_t attr) {
    dnnl_memory_desc_t asked[OPERANDS];
    for (int k = 0; k < OPERANDS; k++)
        if (!describe_asked(c, k, s->images, &asked[k])) return 0;
    if (weight) asked[WEIGHT] = *weight;
    dnnl_primitive_desc_t pd = choose_primitive(c, asked, attr);
    if (!pd) return 0;
    s->elements = elements(c, s);
    const int ok = read_wanted(c, s, pd) && cpu_dnnl.dnnl_primitive_create_(&s->conv, pd) == dnnl_success;
    cpu_dnnl.dnnl_primitive_desc_destroy_(pd);
    return ok && make_reorders(c, s, attr);
}

static int make_stages(cpu_onednn_conv *c) {
    const dnnl_dims_t channels = {c->p.y_channels / c->shares}, one = {1};
    dnnl_primitive_attr_t attr;
    if (cpu_dnnl.dnnl_memory_desc_init_by_strides_(&c->bias, 1, channels, type_of(c), one) != dnnl_success ||
        cpu_dnnl.dnnl_primitive_attr_create_(&attr) != dnnl_success)
        return 0;
    int ok = cpu_dnnl.dnnl_primitive_attr_set_scratchpad_mode_(attr, dnnl_scratchpad_mode_user) == dnnl_success &&
             make_stage(c, &c->stage[FULL], NULL, attr);
    if (has_last(c)) ok = ok && make_stage(c, &c->stage[LAST], &c->stage[FULL].wanted[WEIGHT], attr);
    cpu_dnnl.dnnl_primitive_attr_destroy_(attr);
    return ok;
}

static void measure(cpu_onednn_conv *c) {
    for (int k = 0; k < OPERANDS; k++) {
        const int scratch = c->stage[FULL].reorder[k] || (has_last(c) && c->stage[LAST].reorder[k]);
        if (scratch) c->bytes[k] = whole_lines(cpu_dnnl.dnnl_memory_desc_get_size_(&c->stage[FULL].wanted[k]));
    }
    c->scratchpad = cpu_dnnl.dnnl_memory_desc_get_size_(&c->stage[FULL].scratchpad);
    if (has_last(c)) {
        const uint64_t last = cpu_dnnl.dnnl_memory_desc_get_size_(&c->stage[LAST].scratchpad);
        if (last > c->scratchpad) c->scratchpad = last;
    }
    c->scratchpad = whole_lines(c->scratchpad);
}

/* oneDNN's kernels count in int. */
static int fits(const cpu_conv_problem *p) {
    enum { most = 1 << 24 };
    for (int32_t d = 0; d < p->spatial; d++)
        if (p->x_size[d] > most || p->y_size[d] > most || p->stride[d] > most || p->padding[d] > most || p->dilation[d] > most)
            return 0;
    return p->batch <= most && p->x_channels <= most && p->y_channels <= most;
}

int cpu_onednn_conv_forced(void) { return cpu_dnnl_open() && cpu_dnnl.forced; }

cpu_onednn_conv *cpu_onednn_conv_open(const cpu_conv_problem *p) {
    if (p->type != DL_F32 && !(p->type == DL_BF16 && cpu_dnnl_has_bf16())) return NULL;
    if (!fits(p) || !cpu_dnnl_open()) return NULL;
    cpu_onednn_conv *c = (cpu_onednn_conv *)cpu_host->mem(NULL, sizeof *c);
    if (!c) return NULL;
    memset(c, 0, sizeof *c);
    c->p = *p;
    memcpy(c->argument, argument[p->kind], sizeof c->argument);
    for (int32_t d = 0; d < p->spatial; d++)
        c->stride[d] = p->stride[d], c->padding[d] = p->padding[d], c->dilation[d] = p->dilation[d] - 1;
    choose_units(c);
    if (make_stages(c)) {
        measure(c);
        return c;
    }
    cpu_onednn_conv_close(c);
    return NULL;
}

void cpu_onednn_conv_close(void *conv) {
    cpu_onednn_conv *c = (cpu_onednn_conv *)conv;
    for (int s = 0; s < STAGES; s++) {
        if (c->stage[s].conv) cpu_dnnl.dnnl_primitive_destroy_(c->stage[s].conv);
        for (int k = 0; k < OPERANDS; k++)
            if (c->stage[s].reorder[k]) cpu_dnnl.dnnl_primitive_destroy_(c->stage[s].reorder[k]);
    }
    cpu_host->mem(c, 0);
}

#else

int cpu_onednn_conv_forced(void) { return 0; }
cpu_onednn_conv *cpu_onednn_conv_open(const cpu_conv_problem *p) {
    (void)p;
    return NULL;
}
void cpu_onednn_conv_close(void *conv) { (void)conv; }
#endif
