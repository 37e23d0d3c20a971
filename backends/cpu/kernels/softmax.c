/* softmax.c - softmax, log_softmax and their backward ops.
 *
 * All four have one form: along a line the terms are summed (in double), and each output follows from its inputs and two
 * numbers of the line, s and t. Lines whose elements lie together are taken one by one; where neighbouring lines lie closer, a
 * block of them is taken abreast, row by row. */
#include "softmax.h"
#include "fold.h"
#include "types.h"
#include "backends/cpu/vecmath.h"

enum { A, B, OUT }; /* operands: x or grad; the result (backward only); the output */
enum { ABREAST = 128 };

/* y[i] = f(a[i], b[i], s, t) for n lane values; per_line: s[i] and t[i] belong to line i, else *s and *t to all. */
typedef void map_fn(const void *a, const void *b, int64_t n, const double *s, const double *t, int per_line, void *y);

#define MAP(name, LANE, T, EXP, expression)                                                                                    \
    static void name##_##LANE(const void *a_values, const void *b_values, int64_t n, const double *ss, const double *ts,       \
                              int per_line, void *values) {                                                                    \
        const T *av = a_values, *bv = b_values;                                                                                \
        T *restrict y = values;                                                                                                \
        if (per_line)                                                                                                          \
            for (int64_t i = 0; i < n; i++) {                                                                                  \
                const T a = av[i], b = bv[i], s = (T)ss[i], t = (T)ts[i];                                                      \
                y[i] = expression;                                                                                             \
                (void)a, (void)b, (void)s, (void)t;                                                                            \
            }                                                                                                                  \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                                                  \
                const T a = av[i], b = bv[i], s = (T)*ss, t = (T)*ts;                                                          \
                y[i] = expression;                                                                                             \
                (void)a, (void)b, (void)s, (void)t;                                                                            \
            }                                                                                                                  \
    }
#define MAPS(LANE, T, EXP)                                                                                                     \
    MAP(shifted_exp, LANE, T, EXP, EXP(a - s))                                                                                 \
    MAP(scaled_exp, LANE, T, EXP, EXP(a - s) * t)                                                                              \
    MAP(shifted, LANE, T, EXP, a - s - t)                                                                                      \
    MAP(product, LANE, T, EXP, a *b)                                                                                           \
    MAP(centred_product, LANE, T, EXP, b *(a - s))                                                                             \
    MAP(grad_alone, LANE, T, EXP, a)                                                                                           \
    MAP(less_share, LANE, T, EXP, a - EXP(b) * s)
MAPS(F32, float, dl_exp_f32)
MAPS(F64, double, dl_exp_f64)
#define MAP_LANES(name)                                                                                                        \
    { name##_F32, name##_F64 }

typedef struct softmax_op {
    int backward; /* has B; s is the sum of the terms. Forward: s is the maximum, t follows from the sum */
    double (*scale)(double sum);
    map_fn *term[2], *result[2]; /* by lane */
} softmax_op;

static double reciprocal(double sum) { return 1 / sum; }

static const softmax_op softmax = {0, reciprocal, MAP_LANES(shifted_exp), MAP_LANES(scaled_exp)},
                        log_softmax = {0, log, MAP_LANES(shifted_exp), MAP_LANES(shifted)},
                        softmax_backward = {1, NULL, MAP_LANES(product), MAP_LANES(centred_product)},
                        log_softmax_backward = {1, NULL, MAP_LANES(grad_alone), MAP_LANES(less_share)};

typedef struct softmax_job {
    const softmax_op *op;
    cpu_lines lines;
    char *data[3];
    dl_dtype type[3];
    int64_t size[3];
    cpu_lane lane;
} softmax_job;

typedef struct buffers {
    cpu_row_buffer a, b, y;
    double s[ABREAST], t[ABREAST], sum[ABREAST];
} buffers;

static const void *read(const softmax_job *j, int operand, int64_t at, int64_t stride, int64_t n, cpu_row_buffer *b) {
    return cpu_row_read(j->type[operand], j->data[operand] + at * j->size[operand], stride, n, j->lane, b);
}

/* The map over n elements from element i of a line on: along it, or across n lines. */
static void map(const softmax_job *j, map_fn *f, const int64_t *at, int64_t i, int64_t n, int across, buffers *w) {
    const int64_t *const step = j->lines.step;
    const void *a = read(j, A, at[A] + i * step[A], across ? cpu_loop_step(&j->lines.across, A) : step[A], n, &w->a);
    const void *b = a;
    if (j->op->backward) b = read(j, B, at[B] + i * step[B], across ? cpu_loop_step(&j->lines.across, B) : step[B], n, &w->b);
    f(a, b, n, w->s, w->t, across, &w->y);
}

static void write(const softmax_job *j, const int64_t *at, int64_t i, int64_t n, int across, const buffers *w) {
    const int64_t step = j->lines.step[OUT], stride = across ? cpu_loop_step(&j->lines.across, OUT) : step;
    cpu_row_write(j->type[OUT], j->data[OUT] + (at[OUT] + i * step) * j->size[OUT], stride, n, j->lane, &w->y);
}

/* Can softmax's terms wait in the output, to be scaled there, instead of being computed again? */
static int keeps_terms(const softmax_job *j, int across) {
    const int64_t step = across ? cpu_loop_step(&j->lines.across, OUT) : j->lines.step[OUT];
    return j->op == &softmax && step == 1 && j->type[OUT] == cpu_stored_as(j->lane);
}

/* Multiplies n terms in the output by the lines' scales t. */
static void scale_terms(const softmax_job *j, const int64_t *at, int64_t i, int64_t n, int across, const buffers *w) {
    char *place = j->data[OUT] + (at[OUT] + i * j->lines.step[OUT]) * j->size[OUT];
    if (j->lane == CPU_LANE_F64) {
        double *y = (double *)(void *)place;
        for (int64_t k = 0; k < n; k++) y[k] *= w->t[across ? k : 0];
        return;
    }
    float *y = (float *)(void *)place;
    if (across)
        for (int64_t k = 0; k < n; k++) y[k] *= (float)w->t[k];
    else
        for (int64_t k = 0; k < n; k++) y[k] *= (float)*w->t;
}

static void settle(const softmax_job *j, int64_t k, buffers *w) {
    if (j->op->backward)
        w->s[k] = w->sum[k];
    else
        w->t[k] = j->op->scale(w->sum[k]);
}

static int64_t block(const softmax_job *j, int64_t i) { return j->lines.length - i < CPU_ROW ? j->lines.length - i : CPU_ROW; }

static void one_line(const softmax_job *j, const int64_t *at, buffers *w) {
    const int64_t length = j->lines.length;
    const int waiting = keeps_terms(j, 0) && length > CPU_ROW;
    *w->s = -INFINITY;
    *w->sum = *w->t = 0;
    for (int64_t i = 0; i < length && !j->op->backward; i += CPU_ROW) {
        const void *x = read(j, A, at[A] + i * j->lines.step[A], j->lines.step[A], block(j, i), &w->a);
        *w->s = dl_max_f64(*w->s, cpu_row_max(j->lane, x, block(j, i)));
    }
    for (int64_t i = 0; i < length; i += CPU_ROW) {
        map(j, j->op->term[j->lane], at, i, block(j, i), 0, w);
        *w->sum += cpu_row_sum(j->lane, &w->y, block(j, i));
        if (waiting) write(j, at, i, block(j, i), 0, w);
    }
    settle(j, 0, w);
    if (j->op == &softmax && length <= CPU_ROW) { /* its terms are still there */
        if (j->lane == CPU_LANE_F32)
            for (int64_t k = 0; k < length; k++) w->y.f32[k] *= (float)*w->t;
        else
            for (int64_t k = 0; k < length; k++) w->y.f64[k] *= *w->t;
        write(j, at, 0, length, 0, w);
        return;
    }
    for (int64_t i = 0; i < length; i += CPU_ROW) {
        if (waiting) {
            scale_terms(j, at, i, block(j, i), 0, w);
            continue;
        }
        map(j, j->op->result[j->lane], at, i, block(j, i), 0, w);
        write(j, at, i, block(j, i), 0, w);
    }
}

static void abreast(const softmax_job *j, const int64_t *at, int64_t n, buffers *w) {
    const int64_t length = j->lines.length, stride = cpu_loop_step(&j->lines.across, A);
    const int waiting = keeps_terms(j, 1);
    for (int64_t k = 0; k < n; k++) {
        w->s[k] = -INFINITY;
        w->t[k] = w->sum[k] = 0;
    }
    for (int64_t i = 0; i < length && !j->op->backward; i++) {
        const void *x = read(j, A, at[A] + i * j->lines.step[A], stride, n, &w->a);
        if (j->lane == CPU_LANE_F32)
            for (int64_t k = 0; k < n; k++) w->s[k] = dl_max_f64(w->s[k], (double)((const float *)x)[k]);
        else
            for (int64_t k = 0; k < n; k++) w->s[k] = dl_max_f64(w->s[k], ((const double *)x)[k]);
    }
    for (int64_t i = 0; i < length; i++) {
        map(j, j->op->term[j->lane], at, i, n, 1, w);
        if (j->lane == CPU_LANE_F32)
            for (int64_t k = 0; k < n; k++) w->sum[k] += (double)w->y.f32[k];
        else
            for (int64_t k = 0; k < n; k++) w->sum[k] += w->y.f64[k];
        if (waiting) write(j, at, i, n, 1, w);
    }
    for (int64_t k = 0; k < n; k++) settle(j, k, w);
    for (int64_t i = 0; i < length; i++) {
        if (waiting) {
            scale_terms(j, at, i, n, 1, w);
            continue;
        }
        map(j, j->op->result[j->lane], at, i, n, 1, w);
        write(j, at, i, n, 1, w);
    }
}

static void run_lines(void *context, int64_t begin, int64_t end) {
    const softmax_job *j = context;
    const int across = cpu_loop_step(&j->lines.across, A) < j->lines.step[A];
    buffers buffers;
    cpu_walk w;
    cpu_walk_begin(&w, &j->lines.across, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, across ? ABREAST : 1)) != 0;) {
        if (across)
            abreast(j, w.at, n, &buffers);
        else
            one_line(j, w.at, &buffers);
    }
}

/* result: B, or NULL for a forward op. */
static void run(const softmax_op *op, const dl_tensor *out, const dl_tensor *x, const dl_tensor *result, int64_t dim) {
    enum { TERMS_FOR_A_THREAD = CPU_GRAIN / 8 }; /* an exponential is dearer than a copy */
    const dl_tensor *const tensors[] = {[A] = x, [B] = result ? result : x, [OUT] = out};
    softmax_job j = {.op = op, .lane = out->type == DL_F64 ? CPU_LANE_F64 : CPU_LANE_F32};
    for (int k = 0; k < 3; k++) {
        j.data[k] = cpu_data(tensors[k]);
        j.type[k] = tensors[k]->type;
        j.size[k] = cpu_size(tensors[k]->type);
    }
    cpu_lines_init(&j.lines, dim, 3, tensors);
    if (j.lines.length == 0) return;
    const int64_t grain = TERMS_FOR_A_THREAD / j.lines.length;
    cpu_parallel(j.lines.across.count, grain > 1 ? grain : 1, run_lines, &j);
}

void cpu_log_softmax(const dl_tensor *out, const dl_tensor *x, int64_t dim) { run(&log_softmax, out, x, NULL, dim); }

#define RUN(name, result)                                                                                                      \
    static dl_status run_##name(const dl_frame *f, const dl_plan *plan) {                                                      \
        (void)plan;                                                                                                            \
        run(&name, f->out[0], f->in[0], result, f->attr[0].v.i);                                                               \
        return DL_OK;                                                                                                          \
    }
RUN(softmax, NULL)
RUN(log_softmax, NULL)
RUN(softmax_backward, f->in[1])
RUN(log_softmax_backward, f->in[1])

dl_status CPU_ISA(register_softmax)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("softmax", NULL, run_softmax),
        CPU_KERNEL("log_softmax", NULL, run_log_softmax),
        CPU_KERNEL("softmax_backward", NULL, run_softmax_backward),
        CPU_KERNEL("log_softmax_backward", NULL, run_log_softmax_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
