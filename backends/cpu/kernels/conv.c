/* conv.c - convolution and its two gradients: plans and runs of what conv_gather.h and conv_weight.h compute.
 *
 * prepare reads shapes, strides and attributes once and decides; run only computes. The templates want sources whose channels
 * lie side by side, in the type that is computed; others are first copied so. Each element is summed in one fixed order, so
 * results do not depend on the number of threads. */
#include "conv.h"
#include "copy.h"

#define GEMM(name) CPU_PASTE(name, f32)
#define GEMM_T float
#define GEMM_BYTES 4
#define GEMM_TYPE DL_F32
#include "tile.h"
#include "conv_rows.h"
#include "conv_gather.h"
#include "conv_weight.h"
#include "conv_depthwise.h"
#include "conv_scatter.h"
#undef GEMM_T
#undef GEMM_BYTES
#undef GEMM_TYPE
#undef GEMM

#define GEMM(name) CPU_PASTE(name, f64)
#define GEMM_T double
#define GEMM_BYTES 8
#define GEMM_TYPE DL_F64
#include "tile.h"
#include "conv_rows.h"
#include "conv_gather.h"
#include "conv_weight.h"
#include "conv_depthwise.h"
#include "conv_scatter.h"
#undef GEMM_T
#undef GEMM_BYTES
#undef GEMM_TYPE
#undef GEMM

/* ---- the call in three spatial dimensions -------------------------------------------------------------------------------- */

/* Attributes of a convolution, and its three tensors: y stands for a gradient where one comes in. */
typedef struct conv_problem {
    conv_tensor x, weight, y;
    int64_t stride[CONV_DIMS], padding[CONV_DIMS], dilation[CONV_DIMS], groups;
} conv_problem;

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

/* attr: stride, padding, dilation, groups. */
static conv_problem problem_of(const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y, const dl_attr *attr) {
    conv_problem c = {.x = tensor_of(x), .weight = tensor_of(weight), .y = tensor_of(y), .groups = attr[3].v.i};
    const int32_t missing = CONV_DIMS + 2 - x->ndim;
    for (int32_t d = 0; d < CONV_DIMS; d++) {
        c.stride[d] = value_of(&attr[0], d, missing, 1);
        c.padding[d] = value_of(&attr[1], d, missing, 0);
        c.dilation[d] = c.weight.size[d] == 1 ? 1 : value_of(&attr[2], d, missing, 1);
    }
    return c;
}

/* ---- plans ----------------------------------------------------------------------------------------------------------------
 */

/* A tensor that is first copied, channels last, into scratch. */
typedef struct laying {
    conv_tensor from;
    uint64_t at; /* bytes from the beginning of scratch */
} laying;

enum { MAX_LAYINGS = 2, SOURCE = 0, GRAD = 1 };

typedef struct conv_plan {
    dl_dtype type, computed;
    laying laying[MAX_LAYINGS];
    int laid[MAX_LAYINGS];
    conv_product *products; /* NULL: the gradient towards the weight */
    int64_t n_products;
    conv_weight weight;
    int64_t tasks, shares;
    uint64_t space_at, space; /* scratch of the shares: where it begins, bytes of each */
    cpu_program *epilogue;
} conv_plan;

static void destroy_plan(void *state) {
    conv_plan *p = state;
    if (p->epilogue) cpu_program_close(p->epilogue);
    cpu_host->mem(p->products, 0);
    cpu_host->mem(p, 0);
}

static dl_status no_memory(void) { return cpu_host->fail(DL_NOMEM, "no memory for the plan of a convolution"); }

static dl_status new_plan(dl_dtype type, int64_t n_products, dl_plan *plan, conv_plan **out) {
    conv_plan *p = cpu_host->mem(NULL, sizeof *p);
    if (!p) return no_memory();
    *p = (conv_plan){.type = type, .computed = cpu_computed(type), .n_products = n_products};
    if (n_products) {
        uint64_t bytes;
        if (!__builtin_mul_overflow((uint64_t)n_products, sizeof *p->products, &bytes))
            p->products = cpu_host->mem(NULL, bytes);
        if (!p->products) {
            cpu_host->mem(p, 0);
            return no_memory();
        }
    }
    plan->state = p;
    plan->destroy = destroy_plan;
    plan->sharing = DL_PLAN_PER_SHAPE;
    *out = p;
    return DL_OK;
}

static uint64_t whole_lines(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

/* Lets t lie with its channels side by side, in the type that is computed: as it does, or copied into scratch by run. */
static void lay(conv_plan *p, int which, conv_tensor *t, dl_plan *plan) {
    if (t->channel_stride == 1 && t->type == p->computed) return;
    p->laid[which] = 1;
    p->laying[which] = (laying){*t, plan->scratch_bytes};
    t->channel_stride = 1;
    int64_t stride = t->channels;
    for (int32_t d = CONV_DIMS - 1; d >= 0; d--) {
        t->stride[d] = stride;
        stride *= t->size[d];
    }
    t->outer_stride = stride;
    plan->scratch_bytes += whole_lines((uint64_t)(stride * t->outer * cpu_size(p->computed)));
}

static const void *lay_out(const conv_plan *p, int which, const dl_tensor *t, void *scratch) {
    if (!p->laid[which]) return cpu_data(t);
    const conv_tensor *o = &p->laying[which].from;
    const int64_t shape[] = {o->outer, o->size[0], o->size[1], o->size[2], o->channels};
    const int64_t from[] = {o->outer_stride, o->stride[0], o->stride[1], o->stride[2], o->channel_stride};
    int64_t to[] = {0, 0, 0, 0, 1};
    for (int d = 3; d >= 0; d--) to[d] = to[d + 1] * shape[d + 1];
    void *at = (char *)scratch + p->laying[which].at;
    cpu_copy(5, shape, at, p->computed, to, cpu_data(t), o->type, from);
    return at;
}

/* ---- gathers ---------------------------------------------------------------------------------------------------------------
 */

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
    enum { shortest = 32 }; /* elements of a kernel row that are worth a product of their own */
    if (is_depthwise(g)) return CONV_DEPTHWISE;
    if (g->depth == g->sources && g->depth > 0 && stays_inside(g)) return CONV_DIRECT;
    const int rows = g->dilation[1] == 1 && g->dilation[2] == 1 && g->stride[1] <= g->kernel[1] && g->stride[2] <= g->kernel[2];
    return rows && g->kernel[2] * g->sources >= shortest ? CONV_ROWS : CONV_UNROLLED;
}

/* Elements of a copy of `lines` lines, in at most as many runs of neighbours as those can fall into. */
static int64_t shared_elements(const conv_gather *g, int64_t lines) {
    const int64_t runs = smaller(lines, ceil_div(lines - 1, g->size[1]) + 1);
    const int64_t columns = (conv_piece(g) - 1) * g->stride[2] + g->kernel[2];
    return g->kernel[0] * columns * g->sources * ((lines - runs) * g->stride[1] + runs * g->kernel[1]);
}

static int64_t chunk_of(dl_dtype computed) { return computed == DL_F64 ? chunk_f64 : chunk_f32; }

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
}

/* Fills in all of the product but where its weights lie; g, and the way of a scatter, are set. */
static void plan_product(conv_product *p, dl_dtype computed, int64_t threads) {
    conv_gather *g = &p->g;
    const int64_t fits = CACHE / cpu_size(computed);
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
    p->splits = smaller(p->panels, ceil_div(4 * threads, g->blocks * g->groups));
    p->tasks = g->groups * p->splits * g->blocks;
    if (p->way == CONV_DEPTHWISE) {
        p->splits = ceil_div(g->groups, chunk_of(computed));
        p->tasks = p->splits * g->blocks;
    }
}

/* Elements of its packed weights. */
static int64_t packed_elements(const conv_product *p, dl_dtype computed) {
    if (p->way == CONV_DEPTHWISE) return p->g.depth * p->g.groups;
    return p->g.groups * (p->way == CONV_SCATTER ? p->g.results : p->g.depth) * p->vectors * cpu_lanes(computed);
}
/* Parts in which they can be packed. */
static int64_t packing_parts(const conv_product *p) {
    return p->way == CONV_DEPTHWISE || p->way == CONV_SCATTER ? 1 : p->g.groups * p->panels;
}

/* How many shares of the work keep the threads busy: one where waking them would not pay. */
static int64_t shares_for(double multiplications, int64_t tasks) {
    enum { worth = 1000 * 1000 };
    const int64_t threads = cpu_threads(0);
    return threads == 1 || multiplications < worth ? 1 : smaller(tasks, 4 * threads);
}

static double multiplications(const conv_gather *g) {
    return (double)g->samples * (double)conv_volume(g->size) * (double)g->depth * (double)g->results * (double)g->groups;
}

/* After the products' gathers are set. */
static void plan_products(conv_plan *p, dl_plan *plan) {
    int64_t packed = 0, patch = 0;
    double work = 0;
    for (int64_t k = 0; k < p->n_products; k++) {
        conv_product *q = &p->products[k];
        plan_product(q, p->computed, cpu_threads(0));
        q->packed = packed;
        packed += packed_elements(q, p->computed);
        if (q->patch > patch) patch = q->patch;
        p->tasks += q->tasks;
        work += multiplications(&q->g);
    }
    p->shares = shares_for(work, p->tasks);
    p->space_at = plan->scratch_bytes;
    p->space = whole_lines((uint64_t)(patch * cpu_size(p->computed)));
    plan->scratch_bytes += p->space * (uint64_t)p->shares;
    plan->derived_bytes = (uint64_t)(packed * cpu_size(p->computed));
    plan->derived_from = 1;
}

/* ---- running gathers -------------------------------------------------------------------------------------------------------
 */

typedef struct conv_run {
    const conv_plan *plan;
    conv_call call;
    char *space; /* of the shares */
    const void *weight;
    void *packed;
} conv_run;

static void run_shares(void *context, int64_t begin, int64_t end) {
    const conv_run *r = context;
    const conv_plan *p = r->plan;
    for (int64_t s = begin; s < end; s++) {
        const int64_t first = conv_share(p->tasks, s, p->shares), last = conv_share(p->tasks, s + 1, p->shares);
        void *space = r->space + (uint64_t)s * p->space;
        int64_t before = 0;
        for (int64_t k = 0; k < p->n_products && before < last; k++) {
            const conv_product *q = &p->products[k];
            for (int64_t t = first > before ? first - before : 0; t < smaller(q->tasks, last - before); t++)
                if (p->computed == DL_F64)
                    product_task_f64(q, &r->call, t, space);
                else
                    product_task_f32(q, &r->call, t, space);
            before += q->tasks;
        }
    }
}

static void pack_panels(void *context, int64_t begin, int64_t end) {
    const conv_run *r = context;
    const conv_plan *p = r->plan;
    int64_t before = 0;
    for (int64_t k = 0; k < p->n_products && before < end; k++) {
        const conv_product *q = &p->products[k];
        const int64_t from = begin > before ? begin - before : 0, to = smaller(packing_parts(q), end - before);
        if (p->computed == DL_F64)
            pack_f64(q, r->weight, p->type, r->packed, from, to);
        else
            pack_f32(q, r->weight, p->type, r->packed, from, to);
        before += packing_parts(q);
    }
}

static dl_status run_gathers(const dl_frame *f, const dl_plan *plan, const dl_tensor *source, const dl_tensor *bias) {
    const conv_plan *p = plan->state;
    if (!p) return DL_OK;
    cpu_attrs attrs;
    int32_t fault = 0;
    conv_run r = {.plan = p,
                  .space = (char *)f->scratch + p->space_at,
                  .weight = cpu_data(f->in[1]),
                  .packed = f->derived,
                  .call = {.packed = f->derived,
                           .data = {.c = cpu_data(f->out[0]),
                                    .type = p->type,
                                    .alpha = 1,
                                    .beta = 1,
                                    .epilogue = p->epilogue,
                                    .attrs = &attrs,
                                    .fault = &fault}}};
    if (bias) r.call.data.add = cpu_data(bias), r.call.data.add_col = bias->strides[0];
    if (p->epilogue) cpu_program_attrs(p->epilogue, f->epilogue_attr, &attrs);
    r.call.source = lay_out(p, SOURCE, source, f->scratch);
    if (plan->derived_bytes && !f->derived_valid) {
        const conv_product *q = &p->products[0];
        const int64_t panel = q->g.depth * GEMM_VECTORS * cpu_lanes(p->computed);
        int64_t panels = 0;
        for (int64_t k = 0; k < p->n_products; k++) panels += packing_parts(&p->products[k]);
        cpu_parallel(panels, CPU_GRAIN / (panel + 1) + 1, pack_panels, &r);
    }
    cpu_parallel(p->shares, 1, run_shares, &r);
    return fault ? cpu_host->fail(DL_NOMEM, "no memory to apply what follows the convolution") : DL_OK;
}

static dl_status prepare_convolution(const dl_frame *f, dl_plan *plan) {
    if (cpu_count(f->out[0]) == 0) return DL_OK; /* nothing to compute: no state */
    cpu_program *epilogue = NULL;
    conv_plan *p = NULL;
    dl_status status = f->epilogue ? cpu_epilogue_open(f->epilogue, f->out[0]->type, &epilogue) : DL_OK;
    if (status != DL_OK) return status;
    status = new_plan(f->out[0]->type, 1, plan, &p);
    if (status != DL_OK) {
        if (epilogue) cpu_program_close(epilogue);
        return status;
    }
    p->epilogue = epilogue;
    conv_problem c = problem_of(f->in[0], f->in[1], f->out[0], f->attr);
    lay(p, SOURCE, &c.x, plan);
    p->products[0] = (conv_product){.g = forward_gather(&c)};
    plan_products(p, plan);
    return DL_OK;
}
static dl_status run_convolution(const dl_frame *f, const dl_plan *plan) { return run_gathers(f, plan, f->in[0], f->in[2]); }

/* Gathers towards so few channels would leave most of a vector empty. */
static int is_scattered(const conv_problem *c) {
    const conv_tensor *w = &c->weight;
    const int depthwise = w->channels == 1 && c->y.channels == c->groups && c->groups > 1;
    return w->size[0] == 1 && conv_volume(w->size) > 1 && 2 * w->channels <= cpu_lanes(cpu_computed(w->type)) && !depthwise;
}

static dl_status prepare_backward_data(const dl_frame *f, dl_plan *plan) {
    if (cpu_count(f->out[0]) == 0) return DL_OK;
    conv_plan *p = NULL;
    conv_problem c = problem_of(f->out[0], f->in[1], f->in[0], f->attr + 1);
    const int scattered = is_scattered(&c);
    const int64_t products = scattered ? 1 : phases(&c, 0) * phases(&c, 1) * phases(&c, 2);
    const dl_status status = new_plan(f->out[0]->type, products, plan, &p);
    if (status != DL_OK) return status;
    lay(p, SOURCE, &c.y, plan);
    for (int64_t k = 0; k < products; k++) p->products[k] = (conv_product){.g = backward_gather(&c, k)};
    if (scattered)
        p->products[0] = (conv_product){.g = forward_gather(&c), .way = CONV_SCATTER, .source_channel = c.x.channel_stride};
    plan_products(p, plan);
    return DL_OK;
}
static dl_status run_backward_data(const dl_frame *f, const dl_plan *plan) { return run_gathers(f, plan, f->in[0], NULL); }

/* ---- the gradient towards the weight ----------------------------------------------------------------------------------------
 */

static void plan_weight(conv_weight *w, dl_dtype computed, int64_t threads) {
    enum { deepest = 128, widest = 8, least = 4 * GEMM_ROWS }; /* rows and panels of a part: its sums stay in the cache */
    conv_gather *g = &w->g;
    cut(g, CONV_PIXELS, CONV_PIXELS);
    w->vectors = ceil_div(g->results, cpu_lanes(computed));
    w->panels = ceil_div(w->vectors, GEMM_VECTORS);
    w->panel_parts = ceil_div(w->panels, widest);
    w->depth_parts = ceil_div(g->depth, deepest);
    const int64_t wanted = ceil_div(4 * threads, g->groups * w->panel_parts);
    if (w->depth_parts < wanted) w->depth_parts = smaller(wanted, ceil_div(g->depth, least));
    w->tasks = g->groups * w->panel_parts * w->depth_parts;
    w->depthwise = is_depthwise(g);
    if (w->depthwise) {
        w->tasks = ceil_div(g->groups, chunk_of(computed)) * g->kernel[0] * g->kernel[1];
        w->space = g->kernel[2] * chunk_of(computed);
        return;
    }
    const int64_t rows = ceil_div(g->depth, w->depth_parts), panels = ceil_div(w->panels, w->panel_parts);
    /* An odd number of cache lines, so that the places of a strip fall into different sets of the cache. */
    const int64_t line = 64 / cpu_size(computed);
    w->pitch = (ceil_div(rows, line) | 1) * line;
    const int64_t width = GEMM_VECTORS * cpu_lanes(computed);
    w->space = CONV_PIXELS * (w->pitch + width) + rows * panels * width;
}

static dl_status prepare_backward_weight(const dl_frame *f, dl_plan *plan) {
    if (cpu_count(f->out[0]) == 0) return DL_OK;
    conv_plan *p = NULL;
    const dl_status status = new_plan(f->out[0]->type, 0, plan, &p);
    if (status != DL_OK) return status;
    conv_problem c = problem_of(f->in[1], f->out[0], f->in[0], f->attr + 1);
    lay(p, SOURCE, &c.x, plan);
    lay(p, GRAD, &c.y, plan);
    conv_weight *w = &p->weight;
    w->g = forward_gather(&c);
    plan_weight(w, p->computed, cpu_threads(0));
    p->tasks = w->tasks;
    p->shares = shares_for(multiplications(&w->g), p->tasks);
    p->space_at = plan->scratch_bytes;
    p->space = whole_lines((uint64_t)(w->space * cpu_size(p->computed)));
    plan->scratch_bytes += p->space * (uint64_t)p->shares;
    return DL_OK;
}

static void run_part(const conv_run *r, const conv_weight *w, int64_t task, void *space) {
    const conv_gather *g = &w->g;
    const int wide = r->plan->computed == DL_F64;
    if (w->depthwise) {
        const int64_t rows = g->kernel[0] * g->kernel[1];
        if (wide)
            depthwise_weight_f64(g, &r->call, task % rows, task / rows * chunk_f64, space);
        else
            depthwise_weight_f32(g, &r->call, task % rows, task / rows * chunk_f32, space);
        return;
    }
    const int64_t part = task % w->depth_parts, panels = task / w->depth_parts % w->panel_parts;
    const int64_t group = task / w->depth_parts / w->panel_parts;
    const int64_t k0 = conv_share(g->depth, part, w->depth_parts), k1 = conv_share(g->depth, part + 1, w->depth_parts);
    const int64_t p0 = conv_share(w->panels, panels, w->panel_parts), p1 = conv_share(w->panels, panels + 1, w->panel_parts);
    if (wide)
        weight_part_f64(w, &r->call, group, k0, k1, p0, p1, space);
    else
        weight_part_f32(w, &r->call, group, k0, k1, p0, p1, space);
}

static void run_parts(void *context, int64_t begin, int64_t end) {
    const conv_run *r = context;
    const conv_plan *p = r->plan;
    for (int64_t s = begin; s < end; s++)
        for (int64_t t = conv_share(p->tasks, s, p->shares); t < conv_share(p->tasks, s + 1, p->shares); t++)
            run_part(r, &p->weight, t, r->space + (uint64_t)s * p->space);
}

static dl_status run_backward_weight(const dl_frame *f, const dl_plan *plan) {
    const conv_plan *p = plan->state;
    if (!p) return DL_OK;
    conv_run r = {.plan = p,
                  .space = (char *)f->scratch + p->space_at,
                  .call = {.source = lay_out(p, SOURCE, f->in[1], f->scratch),
                           .grad = lay_out(p, GRAD, f->in[0], f->scratch),
                           .data = {.c = cpu_data(f->out[0]), .type = p->type}}};
    cpu_parallel(p->shares, 1, run_parts, &r);
    return DL_OK;
}

dl_status CPU_ISA(register_conv)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL_EPILOGUE("convolution", prepare_convolution, run_convolution),
        CPU_KERNEL("convolution_backward_data", prepare_backward_data, run_backward_data),
        CPU_KERNEL("convolution_backward_weight", prepare_backward_weight, run_backward_weight),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
