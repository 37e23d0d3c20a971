/* conv_plan.c - see conv_plan.h. */
#include "conv_plan.h"

static conv_tensor tensor_of(const dl_tensor *t) {
    conv_tensor o = {.type = t->type,
                     .outer = t->shape[0],
                     .channels = t->shape[1],
                     .outer_stride = t->strides[0],
                     .channel_stride = t->shape[1] == 1 ? 1 : t->strides[1]};
    const int32_t missing = CONV_DIMS + 2 - t->ndim;
    for (int32_t d = 0; d < CONV_DIMS; d++) {
        o.size[d] = d < missing ? 1 : t->shape[2 + d - missing];
        o.stride[d] = d < missing ? 0 : t->strides[2 + d - missing];
    }
    return o;
}

static int64_t value_of(const dl_attr *a, int32_t d, int32_t missing, int64_t otherwise) {
    if (d < missing || a->kind != DL_ATTR_INTS || a->n == 0) return otherwise;
    return a->v.iv[a->n == 1 ? 0 : d - missing];
}

conv_problem conv_problem_of(const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y, const dl_attr *attr) {
    conv_problem c = {.x = tensor_of(x), .weight = tensor_of(weight), .y = tensor_of(y), .groups = attr[3].v.i};
    const int32_t missing = CONV_DIMS + 2 - x->ndim;
    for (int32_t d = 0; d < CONV_DIMS; d++) {
        c.stride[d] = value_of(&attr[0], d, missing, 1);
        c.padding[d] = value_of(&attr[1], d, missing, 0);
        c.dilation[d] = c.weight.size[d] == 1 ? 1 : value_of(&attr[2], d, missing, 1);
    }
    return c;
}

enum { CACHE = 256 << 10 }; /* bytes of a second-level cache that a block's copy may take */

static void set_source(conv_gather *g, const conv_tensor *t) {
    g->source_outer = t->outer_stride;
    for (int32_t d = 0; d < CONV_DIMS; d++) g->source_at[d] = t->stride[d], g->source_size[d] = t->size[d];
}

static conv_gather forward_gather(const conv_problem *c) {
    conv_gather g = {.samples = c->x.outer,
                     .groups = c->groups,
                     .sources = c->weight.channels,
                     .results = c->y.channels / c->groups,
                     .result_outer = c->y.outer_stride,
                     .result_channel = c->y.channel_stride,
                     .weight_group = c->y.channels / c->groups * c->weight.outer_stride,
                     .weight_result = c->weight.outer_stride,
                     .weight_source = c->weight.channel_stride};
    set_source(&g, &c->x);
    for (int32_t d = 0; d < CONV_DIMS; d++) {
        g.size[d] = c->y.size[d], g.result_at[d] = c->y.stride[d];
        g.kernel[d] = c->weight.size[d], g.weight_at[d] = c->weight.stride[d];
        g.stride[d] = c->stride[d], g.origin[d] = -c->padding[d], g.dilation[d] = c->dilation[d];
    }
    g.depth = conv_volume(g.kernel) * g.sources;
    return g;
}

static int64_t common_divisor(int64_t a, int64_t b) { return b == 0 ? a : common_divisor(b, a % b); }

/* Places phase + stride * j of x along dimension d. Kernel element k reaches y's place (x + padding - k dilation) / stride
 * where that is whole: every step-th k from the first one on. Taken in falling order, y's places rise. */
static void set_phase(conv_gather *g, const conv_problem *c, int32_t d, int64_t phase) {
    const int64_t stride = c->stride[d], dilation = c->dilation[d], kernel = c->weight.size[d];
    const int64_t shared = common_divisor(stride, dilation), step = stride / shared;
    int64_t first = 0;
    while (first < kernel && (phase + c->padding[d] - first * dilation) % stride != 0) first++;
    const int64_t count = first < kernel ? (kernel - 1 - first) / step + 1 : 0;
    g->size[d] = ceil_div(c->x.size[d] - phase, stride);
    g->result_first += phase * c->x.stride[d];
    g->result_at[d] = stride * c->x.stride[d];
    g->kernel[d] = count;
    g->stride[d] = 1;
    g->dilation[d] = count > 1 ? dilation / shared : 1;
    if (count == 0) return;
    g->origin[d] = (phase + c->padding[d] - first * dilation) / stride - (count - 1) * g->dilation[d];
    g->weight_first += (first + (count - 1) * step) * c->weight.stride[d];
    g->weight_at[d] = -step * c->weight.stride[d];
}

static int64_t phases(const conv_problem *c, int32_t d) { return smaller(c->stride[d], c->x.size[d]); }

/* x's gradient at one phase of the stride in every dimension. */
static conv_gather backward_gather(const conv_problem *c, int64_t number) {
    conv_gather g = {.samples = c->x.outer,
                     .groups = c->groups,
                     .sources = c->y.channels / c->groups,
                     .results = c->weight.channels,
                     .result_outer = c->x.outer_stride,
                     .result_channel = c->x.channel_stride,
                     .weight_group = c->y.channels / c->groups * c->weight.outer_stride,
                     .weight_result = c->weight.channel_stride,
                     .weight_source = c->weight.outer_stride};
    set_source(&g, &c->y);
    for (int32_t d = CONV_DIMS - 1; d >= 0; d--) {
        set_phase(&g, c, d, number % phases(c, d));
        number /= phases(c, d);
    }
    g.depth = conv_volume(g.kernel) * g.sources;
    return g;
}

static double multiplications(const conv_gather *g) {
    return (double)g->samples * (double)conv_volume(g->size) * (double)g->depth * (double)g->results * (double)g->groups;
}

/* Cuts places into lines of at most `most`, and these into blocks of at most `most` places and `lines` lines. */
static void cut(conv_gather *g, int64_t most, int64_t lines) {
    g->pieces = ceil_div(g->size[2], most);
    g->lines = g->samples * g->size[0] * g->size[1] * g->pieces;
    g->block_lines = smaller(lines, most / conv_piece(g));
    /* Whole columns of lines, or even parts of one: blocks then share as many rows as they can. */
    if (g->block_lines >= g->size[1])
        g->block_lines -= g->block_lines % g->size[1];
    else
        g->block_lines = ceil_div(g->size[1], ceil_div(g->size[1], g->block_lines));
    g->blocks = ceil_div(g->lines, g->block_lines);
}

/* Is every place that the gather reads within the source? */
static int stays_inside(const conv_gather *g) {
    for (int32_t d = 0; d < CONV_DIMS; d++)
        if (g->origin[d] < 0 || g->origin[d] + (g->size[d] - 1) * g->stride[d] >= g->source_size[d]) return 0;
    return 1;
}

/* Groups of one channel, enough of them to fill vectors. */
static int is_depthwise(const conv_gather *g) { return g->sources == 1 && g->results == 1 && g->groups >= 4; }

static conv_way choose_way(const conv_gather *g) {
    enum { shortest = 24, shortest_of_group = 8 }; /* elements of a kernel row that are worth a product of their own */
    if (is_depthwise(g)) return CONV_DEPTHWISE;
    if (g->depth == g->sources && g->depth > 0 && stays_inside(g)) return CONV_DIRECT;
    const int rows = g->depth > 0 && g->dilation[1] == 1 && g->dilation[2] == 1 && g->stride[1] <= g->kernel[1] &&
                     g->stride[2] <= g->kernel[2]; /* a sum of nothing is left to the unrolled way */
    return rows && g->kernel[2] * g->sources >= (g->groups > 1 ? shortest_of_group : shortest) ? CONV_ROWS : CONV_UNROLLED;
}

/* Elements of a copy of `lines` lines, in at most as many runs of neighbours as those can fall into. */
static int64_t shared_elements(const conv_gather *g, int64_t lines) {
    const int64_t runs = smaller(lines, ceil_div(lines - 1, g->size[1]) + 1);
    const int64_t columns = (conv_piece(g) - 1) * g->stride[2] + g->kernel[2];
    return g->kernel[0] * columns * g->sources * ((lines - runs) * g->stride[1] + runs * g->kernel[1]);
}

/* The gradient towards x as one scatter: g is the forward gather, from x to y. */
static void plan_scatter(conv_product *p, dl_dtype computed) {
    enum { cached = 64 << 10, least = 8 }; /* bytes and rows of x in a block */
    conv_gather *g = &p->g;
    const int64_t length = g->source_size[2] * g->sources, fits = cached / (length * cpu_size(computed));
    const int64_t overlap = 2 * g->kernel[1] > least ? 2 * g->kernel[1] : least;
    p->rows = smaller(fits > overlap ? fits : overlap, g->source_size[1]);
    p->vectors = ceil_div(g->depth, cpu_lanes(computed));
    p->panels = ceil_div(p->vectors, GEMM_VECTORS);
    p->splits = 1;
    p->patch = p->rows * length + CONV_PIXELS * p->vectors * cpu_lanes(computed);
    g->blocks = g->samples * g->source_size[0] * ceil_div(g->source_size[1], p->rows);
    p->tasks = g->groups * g->blocks;
    p->packed_elements = g->groups * g->results * p->vectors * cpu_lanes(computed);
    p->packing_parts = 1;
}

/* Tasks that let threads share the work evenly: `each` for every one of several. */
static int64_t wanted_tasks(int64_t each) {
    const int64_t threads = cpu_threads(0);
    return threads == 1 ? 1 : each * threads;
}

/* Fills in all of the product but where its weights lie; g, and the way of a scatter, are set. */
static void plan_product(conv_product *p, dl_dtype computed) {
    conv_gather *g = &p->g;
    const int64_t fits = CACHE / cpu_size(computed);
    p->work = multiplications(g);
    if (p->way == CONV_SCATTER) {
        plan_scatter(p, computed);
        return;
    }
    p->way = choose_way(g);
    if (p->way == CONV_UNROLLED) {
        enum { least = 32 };
        const int64_t most = g->depth > 0 ? fits / g->depth : CONV_PIXELS;
        cut(g, most < least ? least : smaller(most, CONV_PIXELS), CONV_PIXELS);
        p->patch = g->block_lines * conv_piece(g) * g->depth;
    } else {
        cut(g, CONV_PIXELS, CONV_PIXELS);
        if (p->way == CONV_ROWS) {
            int64_t lines = g->block_lines;
            while (lines > 1 && shared_elements(g, lines) > fits) lines--;
            cut(g, CONV_PIXELS, lines);
            p->patch = shared_elements(g, g->block_lines);
        }
    }
    p->place_step = g->stride[2] * (p->way == CONV_DIRECT ? g->source_at[2] : g->sources);
    p->vectors = ceil_div(g->results, cpu_lanes(computed));
    p->panels = ceil_div(p->vectors, GEMM_VECTORS);
    p->splits = smaller(p->panels, ceil_div(wanted_tasks(4), g->blocks * g->groups));
    p->tasks = g->groups * p->splits * g->blocks;
    p->packed_elements = g->groups * g->depth * p->vectors * cpu_lanes(computed);
    p->packing_parts = g->groups * p->panels;
    if (p->way == CONV_DEPTHWISE) {
        p->splits = ceil_div(g->groups, CONV_CHUNK * cpu_lanes(computed));
        p->tasks = p->splits * g->blocks;
        p->packed_elements = g->groups * g->depth;
        p->packing_parts = 1;
    }
}

/* Gathers towards so few channels would leave most of a vector empty. */
static int is_scattered(const conv_problem *c) {
    const conv_tensor *w = &c->weight;
    return c->groups == 1 && w->size[0] == 1 && conv_volume(w->size) > 1 && 2 * w->channels <= cpu_lanes(cpu_computed(w->type));
}

void conv_plan_forward(conv_product *p, const conv_problem *c, dl_dtype computed) {
    *p = (conv_product){.g = forward_gather(c)};
    plan_product(p, computed);
}

int64_t conv_backward_products(const conv_problem *c) {
    return is_scattered(c) ? 1 : phases(c, 0) * phases(c, 1) * phases(c, 2);
}

void conv_plan_backward(conv_product *p, const conv_problem *c, int64_t number, dl_dtype computed) {
    if (is_scattered(c))
        *p = (conv_product){.g = forward_gather(c), .way = CONV_SCATTER, .source_channel = c->x.channel_stride};
    else
        *p = (conv_product){.g = backward_gather(c, number)};
    plan_product(p, computed);
}

void conv_plan_weight(conv_weight *w, const conv_problem *c, dl_dtype computed) {
    enum { deepest = 192, widest = 8, least = 4 * GEMM_ROWS }; /* rows and panels of a part: its sums stay in the cache */
    conv_gather *g = &w->g;
    *w = (conv_weight){.g = forward_gather(c)};
    w->work = multiplications(g);
    w->depthwise = is_depthwise(g);
    cut(g, CONV_PIXELS, CONV_PIXELS);
    w->vectors = ceil_div(g->results, cpu_lanes(computed));
    w->panels = ceil_div(w->vectors, GEMM_VECTORS);
    w->panel_parts = ceil_div(w->panels, widest);
    w->depth_parts = ceil_div(g->depth, deepest);
    const int64_t wanted = ceil_div(wanted_tasks(2), g->groups * w->panel_parts);
    if (w->depth_parts < wanted) w->depth_parts = smaller(wanted, ceil_div(g->depth, least));
    w->tasks = g->groups * w->panel_parts * w->depth_parts;
    if (w->depthwise) {
        w->tasks = ceil_div(g->groups, CONV_CHUNK * cpu_lanes(computed)) * g->kernel[0] * g->kernel[1];
        w->space = g->kernel[2] * CONV_CHUNK * cpu_lanes(computed);
        return;
    }
    const int64_t rows = ceil_div(g->depth, w->depth_parts), panels = ceil_div(w->panels, w->panel_parts);
    /* An odd number of cache lines, so that the places of a strip fall into different sets of the cache. */
    const int64_t line = 64 / cpu_size(computed);
    w->pitch = (ceil_div(rows, line) | 1) * line;
    const int64_t width = GEMM_VECTORS * cpu_lanes(computed);
    w->space = CONV_PIXELS * (w->pitch + width) + rows * panels * width;
}
