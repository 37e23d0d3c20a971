/* conv.c - convolution and its two gradients: plain loops, for any strides and every floating dtype.
 *
 * All three are one relation between x (N, C, in), weight (O, C/groups, kernel) and y (N, O, out): y[o] gathers x[c] times
 * weight[o][c] where in = out * stride - padding + kernel * dilation. Shapes are brought to three spatial dimensions. Sums are
 * kept in double. */
#include "row.h"
#include "types.h"

enum { SPATIAL = 3 };

/* A tensor seen as (outer, channel, three spatial sizes); strides in elements. */
typedef struct operand {
    char *data;
    dl_dtype type;
    int64_t outer, channels, outer_stride, channel_stride, size[SPATIAL], stride[SPATIAL];
} operand;

typedef struct conv {
    operand x, weight, y;
    int64_t stride[SPATIAL], padding[SPATIAL], dilation[SPATIAL], groups;
} conv;

static operand operand_of(const dl_tensor *t) {
    operand o = {.data = cpu_data(t),
                 .type = t->type,
                 .outer = t->shape[0],
                 .channels = t->shape[1],
                 .outer_stride = t->strides[0],
                 .channel_stride = t->strides[1]};
    const int32_t missing = SPATIAL + 2 - t->ndim;
    for (int32_t d = 0; d < SPATIAL; d++) {
        o.size[d] = d < missing ? 1 : t->shape[2 + d - missing];
        o.stride[d] = d < missing ? 0 : t->strides[2 + d - missing];
    }
    return o;
}

static int64_t value_of(const dl_attr *a, int32_t d, int32_t missing, int64_t otherwise) {
    if (d < missing || a->kind != DL_ATTR_INTS || a->n == 0) return otherwise;
    return a->v.iv[a->n == 1 ? 0 : d - missing];
}

/* attr: stride, padding, dilation, groups. */
static conv conv_of(const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y, const dl_attr *attr) {
    conv c = {.x = operand_of(x), .weight = operand_of(weight), .y = operand_of(y), .groups = attr[3].v.i};
    const int32_t missing = SPATIAL + 2 - x->ndim;
    for (int32_t d = 0; d < SPATIAL; d++) {
        c.stride[d] = value_of(&attr[0], d, missing, 1);
        c.padding[d] = value_of(&attr[1], d, missing, 0);
        c.dilation[d] = value_of(&attr[2], d, missing, 1);
    }
    return c;
}

/* ---- places ------------------------------------------------------------------------------------------------------------- */

typedef struct place {
    int64_t outer, channel, at[SPATIAL];
} place;

static place place_of(const operand *o, int64_t number) {
    place p;
    for (int32_t d = SPATIAL - 1; d >= 0; d--) {
        p.at[d] = number % o->size[d];
        number /= o->size[d];
    }
    p.channel = number % o->channels;
    p.outer = number / o->channels;
    return p;
}

static int64_t count_of(const operand *o) { return o->outer * o->channels * o->size[0] * o->size[1] * o->size[2]; }
static int64_t positions_of(const operand *o) { return o->size[0] * o->size[1] * o->size[2]; }

static char *element(const operand *o, int64_t outer, int64_t channel, const int64_t at[SPATIAL]) {
    int64_t offset = outer * o->outer_stride + channel * o->channel_stride;
    for (int32_t d = 0; d < SPATIAL; d++) offset += at[d] * o->stride[d];
    return o->data + offset * cpu_size(o->type);
}

static double load(const operand *o, int64_t outer, int64_t channel, const int64_t at[SPATIAL]) {
    return cpu_load_f64(o->type, element(o, outer, channel, at));
}
static void store(const operand *o, const place *p, double value) {
    cpu_row_write(o->type, element(o, p->outer, p->channel, p->at), 1, 1, CPU_LANE_F64, &value);
}

/* x's place under kernel element k of y's place; 0: in the padding. */
static int under(const conv *c, const int64_t y[SPATIAL], const int64_t k[SPATIAL], int64_t x[SPATIAL]) {
    for (int32_t d = 0; d < SPATIAL; d++) {
        x[d] = y[d] * c->stride[d] - c->padding[d] + k[d] * c->dilation[d];
        if (x[d] < 0 || x[d] >= c->x.size[d]) return 0;
    }
    return 1;
}

/* y's place whose kernel element k lies on x's place; 0: there is none. */
static int above(const conv *c, const int64_t x[SPATIAL], const int64_t k[SPATIAL], int64_t y[SPATIAL]) {
    for (int32_t d = 0; d < SPATIAL; d++) {
        const int64_t at = x[d] + c->padding[d] - k[d] * c->dilation[d];
        y[d] = at / c->stride[d];
        if (at < 0 || at % c->stride[d] != 0 || y[d] >= c->y.size[d]) return 0;
    }
    return 1;
}

/* ---- the three sums ----------------------------------------------------------------------------------------------------- */

static double sum_forward(const conv *c, const place *y) {
    const int64_t per_group = c->weight.channels, first = y->channel / (c->y.channels / c->groups) * per_group;
    double sum = 0;
    for (int64_t n = 0; n < positions_of(&c->weight); n++) {
        const place k = place_of(&c->weight, n);
        int64_t x[SPATIAL];
        if (!under(c, y->at, k.at, x)) continue;
        for (int64_t i = 0; i < per_group; i++)
            sum += load(&c->x, y->outer, first + i, x) * load(&c->weight, y->channel, i, k.at);
    }
    return sum;
}

static double sum_backward_data(const conv *c, const place *x) {
    const int64_t group = x->channel / c->weight.channels, per_group = c->y.channels / c->groups;
    double sum = 0;
    for (int64_t n = 0; n < positions_of(&c->weight); n++) {
        const place k = place_of(&c->weight, n);
        int64_t y[SPATIAL];
        if (!above(c, x->at, k.at, y)) continue;
        for (int64_t o = group * per_group; o < (group + 1) * per_group; o++)
            sum += load(&c->y, x->outer, o, y) * load(&c->weight, o, x->channel - group * c->weight.channels, k.at);
    }
    return sum;
}

static double sum_backward_weight(const conv *c, const place *k) {
    const int64_t channel = k->outer / (c->y.channels / c->groups) * c->weight.channels + k->channel;
    double sum = 0;
    for (int64_t sample = 0; sample < c->y.outer; sample++)
        for (int64_t n = 0; n < positions_of(&c->y); n++) {
            const place y = place_of(&c->y, n);
            int64_t x[SPATIAL];
            if (under(c, y.at, k->at, x)) sum += load(&c->y, sample, k->outer, y.at) * load(&c->x, sample, channel, x);
        }
    return sum;
}

typedef struct job {
    conv c;
    const operand *out;
    const dl_tensor *bias; /* NULL: none */
    double (*sum)(const conv *, const place *);
} job;

static void run_part(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    for (int64_t n = begin; n < end; n++) {
        const place p = place_of(j->out, n);
        double value = j->sum(&j->c, &p);
        if (j->bias)
            value += cpu_load_f64(j->bias->type,
                                  (char *)cpu_data(j->bias) + p.channel * j->bias->strides[0] * cpu_size(j->bias->type));
        store(j->out, &p, value);
    }
}

static dl_status run_convolution(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    job j = {conv_of(f->in[0], f->in[1], f->out[0], f->attr), &j.c.y, f->in[2], sum_forward};
    cpu_parallel(count_of(j.out), 64, run_part, &j);
    return DL_OK;
}

static dl_status run_backward_data(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    job j = {conv_of(f->out[0], f->in[1], f->in[0], f->attr + 1), &j.c.x, NULL, sum_backward_data};
    cpu_parallel(count_of(j.out), 64, run_part, &j);
    return DL_OK;
}

static dl_status run_backward_weight(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    job j = {conv_of(f->in[1], f->out[0], f->in[0], f->attr + 1), &j.c.weight, NULL, sum_backward_weight};
    cpu_parallel(count_of(j.out), 1, run_part, &j);
    return DL_OK;
}

dl_status CPU_ISA(register_conv)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("convolution", NULL, run_convolution),
        CPU_KERNEL("convolution_backward_data", NULL, run_backward_data),
        CPU_KERNEL("convolution_backward_weight", NULL, run_backward_weight),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
