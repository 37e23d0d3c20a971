/* conv.c - convolution and its two gradients: runs of what conv_plan.h plans and the templates compute.
 *
 * prepare reads shapes, strides and attributes once and decides; run only computes. The templates want sources whose channels
 * lie side by side, in the type that is computed; others are first copied so. Each element is summed in one fixed order, so
 * results do not depend on the number of threads. */
#include "conv_plan.h"
#include "copy.h"
#include "row.h"

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

/* A copy of few channels, rows at a time: cpu_copy would run along the channels. */
typedef struct interleaving {
    const conv_tensor *from;
    const char *source;
    char *to;
} interleaving;

static void interleave_rows(void *context, int64_t begin, int64_t end) {
    const interleaving *j = context;
    const conv_tensor *t = j->from;
    const int64_t size = cpu_size(t->type), width = t->size[2], channels = t->channels;
    for (int64_t row = begin; row < end; row++) {
        const int64_t y = row % t->size[1], z = row / t->size[1] % t->size[0], sample = row / t->size[1] / t->size[0];
        const char *from = j->source + (sample * t->outer_stride + z * t->stride[0] + y * t->stride[1]) * size;
        char *to = j->to + row * width * channels * size;
        for (int64_t c = 0; c < channels; c++)
            cpu_row_copy(t->type, to + c * size, channels, from + c * t->channel_stride * size, t->stride[2], width);
    }
}

static const void *lay_out(const conv_plan *p, int which, const dl_tensor *t, void *scratch) {
    if (!p->laid[which]) return cpu_data(t);
    const conv_tensor *o = &p->laying[which].from;
    const int64_t shape[] = {o->outer, o->size[0], o->size[1], o->size[2], o->channels};
    const int64_t from[] = {o->outer_stride, o->stride[0], o->stride[1], o->stride[2], o->channel_stride};
    int64_t to[] = {0, 0, 0, 0, 1};
    for (int d = 3; d >= 0; d--) to[d] = to[d + 1] * shape[d + 1];
    void *at = (char *)scratch + p->laying[which].at;
    if (o->channels < 8 && o->type == p->computed) {
        interleaving j = {o, cpu_data(t), at};
        cpu_parallel(o->outer * o->size[0] * o->size[1], CPU_GRAIN / (o->size[2] * o->channels + 1) + 1, interleave_rows, &j);
        return at;
    }
    cpu_copy(5, shape, at, p->computed, to, cpu_data(t), o->type, from);
    return at;
}

/* How many shares of the work keep the threads busy: one where waking them would not pay. */
static int64_t shares_for(double multiplications, int64_t tasks) {
    enum { worth = 1000 * 1000 };
    const int64_t threads = cpu_threads(0);
    return threads == 1 || multiplications < worth ? 1 : smaller(tasks, 4 * threads);
}

/* After the products' gathers are set. */
static void plan_products(conv_plan *p, dl_plan *plan) {
    int64_t packed = 0, patch = 0;
    double work = 0;
    for (int64_t k = 0; k < p->n_products; k++) {
        conv_product *q = &p->products[k];
        q->packed = packed;
        packed += q->packed_elements;
        if (q->patch > patch) patch = q->patch;
        p->tasks += q->tasks;
        work += q->work;
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
        const int64_t from = begin > before ? begin - before : 0, to = smaller(q->packing_parts, end - before);
        if (p->computed == DL_F64)
            pack_f64(q, r->weight, p->type, r->packed, from, to);
        else
            pack_f32(q, r->weight, p->type, r->packed, from, to);
        before += q->packing_parts;
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
        const int64_t panel = p->products[0].g.depth * GEMM_VECTORS * cpu_lanes(p->computed);
        int64_t panels = 0;
        for (int64_t k = 0; k < p->n_products; k++) panels += p->products[k].packing_parts;
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
    conv_problem c = conv_problem_of(f->in[0], f->in[1], f->out[0], f->attr);
    lay(p, SOURCE, &c.x, plan);
    conv_plan_forward(&p->products[0], &c, p->computed);
    plan_products(p, plan);
    return DL_OK;
}
static dl_status run_convolution(const dl_frame *f, const dl_plan *plan) { return run_gathers(f, plan, f->in[0], f->in[2]); }

static dl_status prepare_backward_data(const dl_frame *f, dl_plan *plan) {
    if (cpu_count(f->out[0]) == 0) return DL_OK;
    conv_plan *p = NULL;
    conv_problem c = conv_problem_of(f->out[0], f->in[1], f->in[0], f->attr + 1);
    const dl_status status = new_plan(f->out[0]->type, conv_backward_products(&c), plan, &p);
    if (status != DL_OK) return status;
    lay(p, SOURCE, &c.y, plan);
    for (int64_t k = 0; k < p->n_products; k++) conv_plan_backward(&p->products[k], &c, k, p->computed);
    plan_products(p, plan);
    return DL_OK;
}
static dl_status run_backward_data(const dl_frame *f, const dl_plan *plan) { return run_gathers(f, plan, f->in[0], NULL); }

/* ---- the gradient towards the weight ----------------------------------------------------------------------------------------
 */

static dl_status prepare_backward_weight(const dl_frame *f, dl_plan *plan) {
    if (cpu_count(f->out[0]) == 0) return DL_OK;
    conv_plan *p = NULL;
    const dl_status status = new_plan(f->out[0]->type, 0, plan, &p);
    if (status != DL_OK) return status;
    conv_problem c = conv_problem_of(f->in[1], f->out[0], f->in[0], f->attr + 1);
    lay(p, SOURCE, &c.x, plan);
    lay(p, GRAD, &c.y, plan);
    conv_weight *w = &p->weight;
    conv_plan_weight(w, &c, p->computed);
    p->tasks = w->tasks;
    p->shares = shares_for(w->work, p->tasks);
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
