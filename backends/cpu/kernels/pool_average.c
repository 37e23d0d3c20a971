/* pool_average.c - avg_pool, adaptive_avg_pool and their backward ops.
 *
 * Backward runs over the same windows as forward and adds each output's share to all elements of its window. Planes, or runs
 * of lanes, belong to one thread, so that sums do not depend on how many there are. Halves are summed in float32 aside. */
#include "copy.h"
#include "fold.h"
#include "pool.h"

typedef struct average {
    pool_job job; /* first, so that a pool_job* of this file is an average* */
    int include_pad;
    double divisor; /* 0: the count */
} average;

#define LOOPS(LANE, T)                                                                                                         \
    static void add_##LANE(const T *x, int64_t step, int64_t n, T *restrict sum) {                                             \
        if (step == 1)                                                                                                         \
            for (int64_t i = 0; i < n; i++) sum[i] += x[i];                                                                    \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) sum[i] += x[i * step];                                                             \
    }                                                                                                                          \
    static void spread_##LANE(const T *g, int64_t n, int64_t step, T *restrict x) {                                            \
        if (step == 1)                                                                                                         \
            for (int64_t i = 0; i < n; i++) x[i] += g[i];                                                                      \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) x[i * step] += g[i];                                                               \
    }                                                                                                                          \
    static void spread_one_##LANE(T g, int64_t n, int64_t step, T *x) {                                                        \
        if (step == 1)                                                                                                         \
            for (int64_t i = 0; i < n; i++) x[i] += g;                                                                         \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) x[i * step] += g;                                                                  \
    }                                                                                                                          \
    static void divide_##LANE(const T *x, int64_t n, T by, T *y) {                                                             \
        for (int64_t i = 0; i < n; i++) y[i] = x[i] / by;                                                                      \
    }
LOOPS(f32, float)
LOOPS(f64, double)

static double divisor_of(const pool_job *j, const pool_patch *p) {
    const average *a = (const average *)j;
    if (a->divisor > 0) return a->divisor;
    return (double)(a->include_pad ? p->padded : pool_size(p));
}

/* ---- forward ------------------------------------------------------------------------------------------------------------ */

/* The sum of one window, row by row. */
static void sum_one(const pool_job *j, const pool_patch *p, cpu_row_buffer *sum) {
    cpu_row_buffer buffer;
    double total = 0;
    for (int64_t k0 = 0; k0 < p->count[0]; k0++)
        for (int64_t k1 = 0; k1 < p->count[1]; k1++)
            for (int64_t k2 = 0, n; k2 < p->count[2]; k2 += n) {
                n = p->count[2] - k2 < CPU_ROW ? p->count[2] - k2 : CPU_ROW;
                const char *at = pool_element(j, p, k0, k1, k2);
                total += cpu_row_sum(j->lane, cpu_row_read(j->operand[POOL_X].type, at, p->step[2], n, j->lane, &buffer), n);
            }
    if (j->lane == CPU_LANE_F32)
        sum->f32[0] = (float)total;
    else
        sum->f64[0] = total;
}

/* The sums of n windows, element by element. */
static void sum_many(const pool_job *j, const pool_patch *p, cpu_row_buffer *sum) {
    const dl_dtype type = j->operand[POOL_X].type;
    const int stored = type == cpu_stored_as(j->lane);
    cpu_row_buffer buffer;
    memset(sum, 0, (size_t)(p->n * cpu_size(cpu_stored_as(j->lane))));
    POOL_FOR_WINDOW(p, k0, k1, k2) {
        const char *at = pool_element(j, p, k0, k1, k2);
        const void *x = stored ? at : cpu_row_read(type, at, p->x_step, p->n, j->lane, &buffer);
        if (j->lane == CPU_LANE_F32)
            add_f32(x, stored ? p->x_step : 1, p->n, sum->f32);
        else
            add_f64(x, stored ? p->x_step : 1, p->n, sum->f64);
    }
}

static void divide(const pool_job *j, const void *x, int64_t n, double by, cpu_row_buffer *y) {
    if (j->lane == CPU_LANE_F32)
        divide_f32(x, n, (float)by, y->f32);
    else
        divide_f64(x, n, by, y->f64);
}

static void mean(const pool_job *j, const pool_patch *p) {
    const pool_operand *y = &j->operand[POOL_Y];
    cpu_row_buffer sum;
    (p->n == 1 ? sum_one : sum_many)(j, p, &sum);
    divide(j, &sum, p->n, divisor_of(j, p), &sum);
    cpu_row_write(y->type, pool_at(y, p->y), p->y_step, p->n, j->lane, &sum);
}

static void mean_rows(void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    pool_fold_rows(j, begin, end, 0, j->lanes, mean);
}

/* ---- backward: operand x is written ------------------------------------------------------------------------------------- */

static void spread(const pool_job *j, const pool_patch *p) {
    const pool_operand *y = &j->operand[POOL_Y];
    cpu_row_buffer buffer, share;
    const void *g = cpu_row_read(y->type, pool_at(y, p->y), p->y_step, p->n, j->lane, &buffer);
    divide(j, g, p->n, divisor_of(j, p), &share);
    const int64_t runs = p->n == 1 ? 1 : p->count[2];
    for (int64_t k0 = 0; k0 < p->count[0]; k0++)
        for (int64_t k1 = 0; k1 < p->count[1]; k1++)
            for (int64_t k2 = 0; k2 < runs; k2++) {
                void *x = pool_element(j, p, k0, k1, k2);
                if (j->lane == CPU_LANE_F32 && p->n == 1)
                    spread_one_f32(share.f32[0], p->count[2], p->step[2], x);
                else if (j->lane == CPU_LANE_F32)
                    spread_f32(share.f32, p->n, p->x_step, x);
                else if (p->n == 1)
                    spread_one_f64(share.f64[0], p->count[2], p->step[2], x);
                else
                    spread_f64(share.f64, p->n, p->x_step, x);
            }
}

static void spread_planes(void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const int64_t rows = j->axis[0].out * j->axis[1].out;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane, lane, last;
        cpu_walk at;
        pool_task(j, task, &plane, &lane, &last);
        cpu_walk_begin(&at, &j->planes, plane, plane + 1);
        pool_clear(j, at.at[POOL_X], lane, last);
        pool_fold_rows(j, plane * rows, (plane + 1) * rows, lane, last, spread);
    }
}

static dl_status prepare_backward(const dl_frame *f, dl_plan *plan) {
    plan->scratch_bytes = (uint64_t)pool_aside_bytes(f->out[0]);
    return DL_OK;
}

static void run_backward(average *a, const dl_frame *f, int32_t spatial, const dl_attr *sliding) {
    const dl_tensor *out = f->out[0];
    pool_aside aside;
    const dl_tensor *x = pool_set_aside(&aside, out, spatial, f->scratch);
    pool_init(&a->job, spatial, x, f->in[0], NULL, NULL);
    if (sliding)
        pool_slide(&a->job, sliding, NULL);
    else
        pool_adapt(&a->job);
    cpu_parallel(pool_tasks(&a->job), pool_task_grain(&a->job), spread_planes, a);
    if (x != out) cpu_copy_tensor(out, x);
}

/* ---- ops ---------------------------------------------------------------------------------------------------------------- */

static dl_status run_avg_pool(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    average a = {.include_pad = f->attr[4].v.i != 0, .divisor = (double)f->attr[5].v.i};
    pool_init(&a.job, f->attr[0].n, f->in[0], f->out[0], NULL, NULL);
    pool_slide(&a.job, f->attr, NULL);
    cpu_parallel(pool_rows(&a.job), pool_grain(&a.job), mean_rows, &a);
    return DL_OK;
}

static dl_status run_adaptive_avg_pool(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    average a = {0};
    pool_init(&a.job, f->attr[0].n, f->in[0], f->out[0], NULL, NULL);
    pool_adapt(&a.job);
    cpu_parallel(pool_rows(&a.job), pool_grain(&a.job), mean_rows, &a);
    return DL_OK;
}

static dl_status run_avg_pool_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    average a = {.include_pad = f->attr[5].v.i != 0, .divisor = (double)f->attr[6].v.i};
    run_backward(&a, f, f->attr[0].n, f->attr + 1);
    return DL_OK;
}

static dl_status run_adaptive_avg_pool_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    average a = {0};
    run_backward(&a, f, f->attr[0].n, NULL);
    return DL_OK;
}

dl_status CPU_ISA(register_pool_average)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("avg_pool", NULL, run_avg_pool),
        CPU_KERNEL("avg_pool_backward", prepare_backward, run_avg_pool_backward),
        CPU_KERNEL("adaptive_avg_pool", NULL, run_adaptive_avg_pool),
        CPU_KERNEL("adaptive_avg_pool_backward", prepare_backward, run_adaptive_avg_pool_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
