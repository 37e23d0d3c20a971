/* norm.c - layer_norm, group_norm, batch_norm and their backward ops: what they have in common, and how x is seen by the
 * drivers (norm.h). */
#include "norm.h"
#include "types.h"

/* ---- small tensors: parameters and statistics --------------------------------------------------------------------------- */

/* All elements of t in logical order. */
static cpu_loop elements_of(const dl_tensor *t) {
    cpu_loop l;
    cpu_loop_init(&l, 1);
    for (int32_t d = 0; d < t->ndim; d++) cpu_loop_dim(&l, t->shape[d], t->strides[d], 0, 0, 0);
    cpu_loop_merge(&l);
    return l;
}

/* The elements of t, `operand` of the loop, as lane values one behind the other; and back. */
static void load_along(const cpu_loop *l, int operand, const dl_tensor *t, cpu_lane lane, void *values) {
    const size_t size = (size_t)cpu_size(cpu_stored_as(lane));
    char *to = values;
    cpu_row_buffer b;
    cpu_walk w;
    cpu_walk_begin(&w, l, 0, l->count);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0; to += (size_t)n * size) {
        const char *from = (const char *)cpu_data(t) + w.at[operand] * cpu_size(t->type);
        memcpy(to, cpu_row_read(t->type, from, cpu_loop_step(l, operand), n, lane, &b), (size_t)n * size);
    }
}
static void store_along(const cpu_loop *l, int operand, const dl_tensor *t, const double *values) {
    cpu_walk w;
    cpu_walk_begin(&w, l, 0, l->count);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0; values += n)
        cpu_row_write(t->type, (char *)cpu_data(t) + w.at[operand] * cpu_size(t->type), cpu_loop_step(l, operand), n,
                      CPU_LANE_F64, values);
}

static const double *load(const dl_tensor *t, double *values) { /* NULL for NULL */
    if (!t) return NULL;
    const cpu_loop l = elements_of(t);
    load_along(&l, 0, t, CPU_LANE_F64, values);
    return values;
}
static void store(const dl_tensor *t, const double *values) {
    const cpu_loop l = elements_of(t);
    store_along(&l, 0, t, values);
}

static void invert_deviations(int64_t n, const double *var, double eps, double *rstd) {
    for (int64_t k = 0; k < n; k++) rstd[k] = 1 / sqrt(var[k] + eps);
}

/* ---- jobs -----------------------------------------------------------------------------------------------------------------
 */

/* grad NULL: forward. */
static norm_job job_of(const dl_frame *f, const dl_plan *plan, const dl_tensor *x, const dl_tensor *grad) {
    const dl_tensor *const t[NORM_OPERANDS] = {[NORM_X] = x, [NORM_OUT] = f->out[0], [NORM_GRAD] = grad};
    norm_job j = {.lane = cpu_lane_of(x->type), .epilogue = plan->state};
    j.loops = cpu_norm_loops(j.lane);
    for (int k = 0; k < NORM_OPERANDS; k++) {
        if (!t[k]) continue;
        j.data[k] = cpu_data(t[k]);
        j.type[k] = t[k]->type;
        j.size[k] = cpu_size(t[k]->type);
    }
    if (j.epilogue) cpu_program_attrs(j.epilogue, f->epilogue_attr, &j.epilogue_attrs);
    return j;
}

static dl_status no_memory(void) { return cpu_host->fail(DL_NOMEM, "out of memory while normalising"); }

static double *numbers(int64_t n) { return cpu_host->mem(NULL, (size_t)(n + 1) * sizeof(double)); }

/* The strides of t, of x's shape, along x's dimension d; those of an absent t do not matter. */
static int64_t stride(const dl_tensor *t, int32_t d) { return t ? t->strides[d] : 0; }

/* ---- layer_norm -----------------------------------------------------------------------------------------------------------
 */

/* Sets the loops. parameters: three tensors of the last dimensions' shape, or NULL, that become operands 1 to 3 of `along`, a
 * loop in the order of r->within. */
static void see_rows(norm_rows *r, const dl_tensor *x, const dl_tensor *out, const dl_tensor *grad, int32_t dims,
                     const dl_tensor *const *parameters, cpu_loop *along) {
    const int32_t kept = x->ndim - dims;
    cpu_loop_init(&r->rows, NORM_OPERANDS);
    cpu_loop_init(&r->within, NORM_OPERANDS);
    cpu_loop_init(along, CPU_OPERANDS);
    for (int32_t d = 0; d < x->ndim; d++) {
        cpu_loop_dim(d < kept ? &r->rows : &r->within, x->shape[d], x->strides[d], out->strides[d], stride(grad, d), 0);
        if (d >= kept)
            cpu_loop_dim(along, x->shape[d], x->strides[d], stride(parameters[0], d - kept), stride(parameters[1], d - kept),
                         stride(parameters[2], d - kept));
    }
    cpu_loop_sort(&r->within, NORM_X);
    cpu_loop_sort(along, 0);
    cpu_loop_merge(&r->rows);
    cpu_loop_merge(&r->within);
    cpu_loop_merge(along);
}

/* Memory for `arrays` arrays by row and four by element of a row. */
static double *row_memory(norm_rows *r) {
    const int64_t rows = r->rows.count, n = r->within.count;
    double *memory = numbers(3 * rows + 4 * n);
    r->mean = memory, r->var = memory + rows, r->rstd = memory + 2 * rows;
    return memory;
}

/* Weights as lane values; a bias alone gets weights of 1. */
static void load_weights(norm_rows *r, const cpu_loop *along, const dl_tensor *weight, const dl_tensor *bias, double *room) {
    const int64_t n = r->within.count;
    void *weights = room, *biases = room + n;
    if (weight) load_along(along, 1, weight, r->job.lane, weights);
    for (int64_t i = 0; !weight && bias && i < n; i++) {
        if (r->job.lane == CPU_LANE_F64)
            ((double *)weights)[i] = 1;
        else
            ((float *)weights)[i] = 1;
    }
    if (bias) load_along(along, 2, bias, r->job.lane, biases);
    r->weight = weight || bias ? weights : NULL;
    r->bias = bias ? biases : NULL;
}

static dl_status run_layer_norm(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *x = f->in[0], *const parameters[] = {f->in[1], f->in[2], NULL};
    norm_rows r = {.job = job_of(f, plan, x, NULL), .eps = f->attr[1].v.f, .rms = f->attr[2].v.i != 0};
    cpu_loop along;
    see_rows(&r, x, f->out[0], NULL, (int32_t)f->attr[0].v.i, parameters, &along);
    double *memory = row_memory(&r);
    if (!memory) return no_memory();
    load_weights(&r, &along, f->in[1], f->in[2], r.rstd + r.rows.count);
    cpu_norm_rows(&r);
    store(f->out[1], r.mean);
    store(f->out[2], r.var);
    cpu_host->mem(memory, 0);
    return r.job.fault ? no_memory() : DL_OK;
}

static dl_status run_layer_norm_backward(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *grad = f->in[0], *x = f->in[1], *weight = f->in[2];
    const int affine = f->attr[2].v.i != 0;
    const dl_tensor *const parameters[] = {weight, affine ? f->out[1] : NULL, affine ? f->out[2] : NULL};
    norm_rows r = {.job = job_of(f, plan, x, grad), .rms = f->attr[3].v.i != 0};
    cpu_loop along;
    see_rows(&r, x, f->out[0], grad, (int32_t)f->attr[0].v.i, parameters, &along);
    double *memory = row_memory(&r), *weights = r.rstd + r.rows.count;
    if (!memory) return no_memory();
    load(f->in[3], r.mean);
    load(f->in[4], r.var);
    invert_deviations(r.rows.count, r.var, f->attr[1].v.f, r.rstd);
    load_weights(&r, &along, weight, NULL, weights);
    if (affine) r.to_weight = weights + 2 * r.within.count, r.to_bias = weights + 3 * r.within.count;
    cpu_norm_rows(&r);
    if (affine && !r.job.fault) {
        store_along(&along, 2, f->out[1], r.to_weight);
        store_along(&along, 3, f->out[2], r.to_bias);
    }
    cpu_host->mem(memory, 0);
    return r.job.fault ? no_memory() : DL_OK;
}

/* ---- group_norm and batch_norm ---------------------------------------------------------------------------------------------
 */

/* Sets sizes, strides and loops; groups 0: batch_norm. */
static void see_channels(norm_channels *c, const dl_tensor *x, const dl_tensor *out, const dl_tensor *grad, int64_t groups) {
    const dl_tensor *const t[NORM_OPERANDS] = {[NORM_X] = x, [NORM_OUT] = out, [NORM_GRAD] = grad};
    c->batch = groups == 0;
    c->samples = x->shape[0];
    c->channels = x->shape[1];
    c->groups = c->batch ? c->channels : groups;
    c->width = c->batch ? 1 : c->channels / groups;
    for (int k = 0; k < NORM_OPERANDS; k++) {
        c->sample_step[k] = stride(t[k], 0);
        c->channel_step[k] = stride(t[k], 1);
    }
    cpu_loop_init(&c->places, NORM_OPERANDS);
    for (int32_t d = 0; d < x->ndim; d++)
        if (d > 1 || (d == 0 && c->batch))
            cpu_loop_dim(&c->places, x->shape[d], x->strides[d], out->strides[d], stride(grad, d), 0);
    cpu_loop_sort(&c->places, NORM_X);
    cpu_loop_merge(&c->places);
}

/* Do neighbouring channels lie closer together than neighbours within one? */
static int by_columns(const norm_channels *c) {
    return c->channels > 1 && (c->places.count == 1 || c->channel_step[NORM_X] < cpu_loop_step(&c->places, NORM_X));
}

static int64_t set_count(const norm_channels *c) { return c->batch ? 1 : c->samples; }
static int64_t group_count(const norm_channels *c) { return set_count(c) * c->groups; }

/* Arrays for statistics, two of one number for each channel, and the sums that backward makes. */
static double *channel_memory(norm_channels *c, double **by_channel) {
    const int64_t groups = group_count(c), sums = c->job.data[NORM_GRAD] ? 2 * set_count(c) * c->channels : 0;
    double *memory = numbers(3 * groups + 2 * c->channels + sums);
    if (!memory) return NULL;
    c->mean = memory, c->var = memory + groups, c->rstd = memory + 2 * groups;
    by_channel[0] = memory + 3 * groups, by_channel[1] = by_channel[0] + c->channels;
    c->sums = by_channel[1] + c->channels;
    for (int64_t k = 0; k < sums; k++) c->sums[k] = 0;
    return memory;
}

static void run_channels(norm_channels *c) {
    if (c->samples * c->channels * c->places.count == 0) { /* a mean of nothing; sums stay 0 */
        for (int64_t k = 0; k < group_count(c) && !c->fixed; k++) c->mean[k] = c->var[k] = NAN;
    } else if (by_columns(c)) {
        cpu_norm_columns(c);
    } else {
        cpu_norm_planes(c);
    }
}

/* The epilogue over results [begin, end) of a contiguous output. */
static void finish_places(void *context, int64_t begin, int64_t end) {
    norm_job *j = context;
    for (int64_t at = begin; at < end; at += CPU_ROW)
        norm_finish(j, norm_at(j, NORM_OUT, at), at, 1, end - at < CPU_ROW ? end - at : CPU_ROW);
}

/* run_channels; where runs are so short that starting the epilogue's program would cost more than it computes, that comes in a
 * pass of its own. */
static void run_with_epilogue(norm_channels *c, const dl_tensor *out) {
    enum { SHORT_RUN = 64 };
    const cpu_program *epilogue = c->job.epilogue;
    const int apart = epilogue && !by_columns(c) && cpu_loop_inner(&c->places) < SHORT_RUN && cpu_contiguous(out) &&
                      norm_direct(&c->job, NORM_OUT, 1);
    if (apart) c->job.epilogue = NULL;
    run_channels(c);
    c->job.epilogue = epilogue;
    if (apart) cpu_parallel(cpu_count(out), epilogue->grain, finish_places, &c->job);
}

/* running = (1 - momentum) running + momentum factor batch */
static void follow(const dl_tensor *running, const double *batch, double momentum, double factor, double *room) {
    const int64_t n = cpu_count(running);
    load(running, room);
    for (int64_t k = 0; k < n; k++) room[k] = (1 - momentum) * room[k] + momentum * factor * batch[k];
    store(running, room);
}

static dl_status run_forward(const dl_frame *f, const dl_plan *plan, int64_t groups, int fixed, double momentum) {
    const dl_tensor *x = f->in[0];
    norm_channels c = {.job = job_of(f, plan, x, NULL), .fixed = fixed, .eps = f->attr[1].v.f};
    double *by_channel[2];
    see_channels(&c, x, f->out[0], NULL, groups);
    double *memory = channel_memory(&c, by_channel);
    if (!memory) return no_memory();
    c.weight = load(f->in[1], by_channel[0]);
    c.bias = load(f->in[2], by_channel[1]);
    if (fixed) {
        load(f->in[3], c.mean);
        load(f->in[4], c.var);
        invert_deviations(c.channels, c.var, c.eps, c.rstd);
    }
    run_with_epilogue(&c, f->out[0]);
    store(f->out[1], c.mean);
    store(f->out[2], c.var);
    if (momentum > 0 && !c.job.fault) { /* unbiased: as of a sample, not of all there is */
        const double n = (double)c.places.count;
        if (f->in[3]) follow(f->in[3], c.mean, momentum, 1, by_channel[0]);
        if (f->in[4]) follow(f->in[4], c.var, momentum, n / (n - 1), by_channel[0]);
    }
    cpu_host->mem(memory, 0);
    return c.job.fault ? no_memory() : DL_OK;
}

/* Adds up the sets' sums and stores the gradients of weight and bias. */
static void store_affine(const norm_channels *c, const dl_tensor *to_weight, const dl_tensor *to_bias, double *const *room) {
    for (int64_t k = 0; k < c->channels; k++) {
        room[0][k] = room[1][k] = 0;
        for (int64_t set = 0; set < set_count(c); set++) {
            const double *sums = &c->sums[2 * (set * c->channels + k)];
            room[1][k] += sums[0];
            room[0][k] += sums[1];
        }
    }
    store(to_weight, room[0]);
    store(to_bias, room[1]);
}

static dl_status run_backward(const dl_frame *f, const dl_plan *plan, int64_t groups, int fixed) {
    const dl_tensor *grad = f->in[0], *x = f->in[1];
    norm_channels c = {.job = job_of(f, plan, x, grad), .fixed = fixed, .eps = f->attr[1].v.f};
    double *by_channel[2];
    see_channels(&c, x, f->out[0], grad, groups);
    double *memory = channel_memory(&c, by_channel);
    if (!memory) return no_memory();
    c.weight = load(f->in[2], by_channel[0]);
    load(f->in[3], c.mean);
    load(f->in[4], c.var);
    invert_deviations(group_count(&c), c.var, c.eps, c.rstd);
    run_channels(&c);
    if (f->attr[2].v.i && !c.job.fault) store_affine(&c, f->out[1], f->out[2], by_channel);
    cpu_host->mem(memory, 0);
    return c.job.fault ? no_memory() : DL_OK;
}

static dl_status run_group_norm(const dl_frame *f, const dl_plan *plan) { return run_forward(f, plan, f->attr[0].v.i, 0, 0); }
static dl_status run_group_norm_backward(const dl_frame *f, const dl_plan *plan) {
    return run_backward(f, plan, f->attr[0].v.i, 0);
}
static dl_status run_batch_norm(const dl_frame *f, const dl_plan *plan) {
    const int training = f->attr[0].v.i != 0;
    return run_forward(f, plan, 0, !training, training ? f->attr[2].v.f : 0);
}
static dl_status run_batch_norm_backward(const dl_frame *f, const dl_plan *plan) {
    return run_backward(f, plan, 0, f->attr[0].v.i == 0);
}

/* ---- registration -----------------------------------------------------------------------------------------------------------
 */

/* The plan's state is the epilogue alone: shapes and strides are read in run. */
static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    cpu_program *epilogue = NULL;
    plan->sharing = DL_PLAN_PER_TYPE;
    if (!f->epilogue) return DL_OK;
    const dl_status status = cpu_epilogue_open(f->epilogue, f->out[0]->type, &epilogue);
    if (status != DL_OK) return status;
    plan->state = epilogue;
    plan->destroy = cpu_program_close;
    return DL_OK;
}

dl_status CPU_ISA(register_norm)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL_EPILOGUE("layer_norm", prepare, run_layer_norm),
        CPU_KERNEL_EPILOGUE("group_norm", prepare, run_group_norm),
        CPU_KERNEL_EPILOGUE("batch_norm", prepare, run_batch_norm),
        CPU_KERNEL("layer_norm_backward", NULL, run_layer_norm_backward),
        CPU_KERNEL("group_norm_backward", NULL, run_group_norm_backward),
        CPU_KERNEL("batch_norm_backward", NULL, run_batch_norm_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
