/* norm.c - standardize and its backward op.
 *
 * A group is what one mean and one variance belong to. Each is walked along the dimensions that are reduced, in x's memory
 * order: three times forward (mean, variance, result), twice backward; sums are kept in double. */
#include "fold.h"
#include "loop.h"
#include "types.h"
#include <math.h>

enum { X, WEIGHT, BIAS, Y }; /* operands of standardize */
enum { GRAD = 1, GRAD_X };   /* and, beside X, of its backward op */

/* u = (x - m) r, weighted and shifted where a and b are there; (x - m)^2; g u; r (g - mean_g - u mean_gu). */
#define LOOPS(LANE, T)                                                                                                         \
    static void result_##LANE(const T *x, const T *a, const T *b, int64_t n, T m, T r, T *restrict y) {                        \
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * r;                                                                 \
        for (int64_t i = 0; a && i < n; i++) y[i] *= a[i];                                                                     \
        for (int64_t i = 0; b && i < n; i++) y[i] += b[i];                                                                     \
    }                                                                                                                          \
    static void squares_##LANE(const T *x, int64_t n, T m, T *restrict y) {                                                    \
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * (x[i] - m);                                                        \
    }                                                                                                                          \
    static void products_##LANE(const T *x, const T *g, int64_t n, T m, T r, T *restrict y) {                                  \
        for (int64_t i = 0; i < n; i++) y[i] = g[i] * ((x[i] - m) * r);                                                        \
    }                                                                                                                          \
    static void backward_##LANE(const T *x, const T *g, int64_t n, T m, T r, T mean_g, T mean_gu, T *restrict y) {             \
        for (int64_t i = 0; i < n; i++) y[i] = r * (g[i] - mean_g - (x[i] - m) * r * mean_gu);                                 \
    }
LOOPS(f32, float)
LOOPS(f64, double)

typedef struct norm_job {
    cpu_loop groups, statistics, within; /* over groups: operands' first elements, the two statistics; inside one group */
    int64_t length;                      /* elements of a group */
    char *data[CPU_OPERANDS];            /* NULL: absent */
    dl_dtype type[CPU_OPERANDS];
    cpu_lane lane;
    char *mean, *spread; /* spread: the variance, written, or 1 / its root, read */
    dl_dtype statistics_type;
    double eps;
} norm_job;

typedef struct buffers {
    cpu_row_buffer in[3], out;
} buffers;

/* Where the walks of one group are. */
typedef struct place {
    const int64_t *group;
    cpu_walk walk;
} place;

static void enter(const norm_job *j, const int64_t *group, place *p) {
    p->group = group;
    cpu_walk_begin(&p->walk, &j->within, 0, j->within.count);
}

static char *at(const norm_job *j, const place *p, int operand) {
    return j->data[operand] + (p->group[operand] + p->walk.at[operand]) * cpu_size(j->type[operand]);
}

static const void *read(const norm_job *j, const place *p, int operand, int64_t n, cpu_row_buffer *b) {
    if (!j->data[operand]) return NULL;
    return cpu_row_read(j->type[operand], at(j, p, operand), cpu_loop_step(&j->within, operand), n, j->lane, b);
}

static void write(const norm_job *j, const place *p, int operand, int64_t n, const buffers *b) {
    cpu_row_write(j->type[operand], at(j, p, operand), cpu_loop_step(&j->within, operand), n, j->lane, &b->out);
}

static void store(const norm_job *j, char *data, int64_t offset, double value) {
    cpu_row_write(j->statistics_type, data + offset * cpu_size(j->statistics_type), 1, 1, CPU_LANE_F64, &value);
}

static void standardize_group(const norm_job *j, const int64_t *group, const int64_t *statistics, buffers *b) {
    double sum = 0, squares = 0;
    place p;
    enter(j, group, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0;) sum += cpu_row_sum(j->lane, read(j, &p, X, n, &b->in[0]), n);
    const double mean = sum / (double)j->length;
    enter(j, group, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0;) {
        const void *x = read(j, &p, X, n, &b->in[0]);
        if (j->lane == CPU_LANE_F32)
            squares_f32(x, n, (float)mean, b->out.f32);
        else
            squares_f64(x, n, mean, b->out.f64);
        squares += cpu_row_sum(j->lane, &b->out, n);
    }
    const double var = squares / (double)j->length, r = 1 / sqrt(var + j->eps);
    store(j, j->mean, statistics[0], mean);
    store(j, j->spread, statistics[1], var);
    enter(j, group, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0;) {
        const void *x = read(j, &p, X, n, &b->in[0]), *w = read(j, &p, WEIGHT, n, &b->in[1]),
                   *s = read(j, &p, BIAS, n, &b->in[2]);
        if (j->lane == CPU_LANE_F32)
            result_f32(x, w, s, n, (float)mean, (float)r, b->out.f32);
        else
            result_f64(x, w, s, n, mean, r, b->out.f64);
        write(j, &p, Y, n, b);
    }
}

static void backward_group(const norm_job *j, const int64_t *group, const int64_t *statistics, buffers *b) {
    const int64_t size = cpu_size(j->statistics_type);
    const double mean = cpu_load_f64(j->statistics_type, j->mean + statistics[0] * size),
                 r = cpu_load_f64(j->statistics_type, j->spread + statistics[1] * size);
    double of_g = 0, of_gu = 0;
    place p;
    enter(j, group, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0;) {
        const void *x = read(j, &p, X, n, &b->in[0]), *g = read(j, &p, GRAD, n, &b->in[1]);
        if (j->lane == CPU_LANE_F32)
            products_f32(x, g, n, (float)mean, (float)r, b->out.f32);
        else
            products_f64(x, g, n, mean, r, b->out.f64);
        of_g += cpu_row_sum(j->lane, g, n);
        of_gu += cpu_row_sum(j->lane, &b->out, n);
    }
    of_g /= (double)j->length;
    of_gu /= (double)j->length;
    enter(j, group, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0;) {
        const void *x = read(j, &p, X, n, &b->in[0]), *g = read(j, &p, GRAD, n, &b->in[1]);
        if (j->lane == CPU_LANE_F32)
            backward_f32(x, g, n, (float)mean, (float)r, (float)of_g, (float)of_gu, b->out.f32);
        else
            backward_f64(x, g, n, mean, r, of_g, of_gu, b->out.f64);
        write(j, &p, GRAD_X, n, b);
    }
}

typedef void group_fn(const norm_job *, const int64_t *group, const int64_t *statistics, buffers *);

static void each_group(const norm_job *j, int64_t begin, int64_t end, group_fn *body) {
    buffers b;
    cpu_walk group, statistics;
    cpu_walk_begin(&group, &j->groups, begin, end);
    cpu_walk_begin(&statistics, &j->statistics, begin, end);
    while (cpu_walk_next(&group, 1) && cpu_walk_next(&statistics, 1)) body(j, group.at, statistics.at, &b);
}
static void standardize_groups(void *j, int64_t begin, int64_t end) { each_group(j, begin, end, standardize_group); }
static void backward_groups(void *j, int64_t begin, int64_t end) { each_group(j, begin, end, backward_group); }

/* t's stride along x's dimension d, broadcast from the right. */
static int64_t stride(const dl_tensor *t, const dl_tensor *x, int32_t d) {
    const int32_t own = t ? d - (x->ndim - t->ndim) : -1;
    return own < 0 || t->shape[own] == 1 ? 0 : t->strides[own];
}

static uint32_t reduced(const dl_attr *dims, int32_t ndim) {
    uint32_t mask = 0;
    for (int32_t k = 0; k < dims->n; k++) mask |= 1u << (dims->v.iv[k] < 0 ? dims->v.iv[k] + ndim : dims->v.iv[k]);
    return dims->n ? mask : (1u << ndim) - 1;
}

/* operands: x first; NULL where absent. */
static void run(norm_job *j, const dl_tensor *const *operands, int n, const dl_tensor *mean, const dl_tensor *spread,
                const dl_attr *dims, void (*body)(void *, int64_t, int64_t)) {
    const dl_tensor *x = operands[X], *t[CPU_OPERANDS] = {0};
    const uint32_t mask = reduced(dims, x->ndim);
    for (int k = 0; k < n; k++) {
        t[k] = operands[k];
        if (!t[k]) continue;
        j->data[k] = cpu_data(t[k]);
        j->type[k] = t[k]->type;
    }
    cpu_loop_init(&j->groups, CPU_OPERANDS);
    cpu_loop_init(&j->within, CPU_OPERANDS);
    cpu_loop_init(&j->statistics, 2);
    for (int32_t d = 0; d < x->ndim; d++) {
        const int inside = mask >> d & 1;
        cpu_loop_dim(inside ? &j->within : &j->groups, x->shape[d], stride(t[0], x, d), stride(t[1], x, d), stride(t[2], x, d),
                     stride(t[3], x, d));
        if (!inside) cpu_loop_dim(&j->statistics, x->shape[d], mean->strides[d], spread->strides[d], 0, 0);
    }
    cpu_loop_sort(&j->within, X);
    cpu_loop_merge(&j->within);
    cpu_loop_merge(&j->groups);
    cpu_loop_merge(&j->statistics);
    j->length = j->within.count;
    j->lane = cpu_lane_of(x->type);
    j->mean = cpu_data(mean);
    j->spread = cpu_data(spread);
    j->statistics_type = mean->type;
    const int64_t grain = CPU_GRAIN / 4 / (j->length ? j->length : 1);
    cpu_parallel(j->groups.count, grain > 1 ? grain : 1, body, j);
}

static dl_status run_standardize(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    norm_job j = {.eps = f->attr[1].v.f};
    const dl_tensor *const operands[] = {f->in[0], f->in[1], f->in[2], f->out[0]};
    run(&j, operands, 4, f->out[1], f->out[2], &f->attr[0], standardize_groups);
    return DL_OK;
}

static dl_status run_standardize_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    norm_job j = {0};
    const dl_tensor *const operands[] = {f->in[1], f->in[0], f->out[0]};
    run(&j, operands, 3, f->in[2], f->in[3], &f->attr[0], backward_groups);
    return DL_OK;
}

dl_status CPU_ISA(register_norm)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("standardize", NULL, run_standardize),
        CPU_KERNEL("standardize_backward", NULL, run_standardize_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
