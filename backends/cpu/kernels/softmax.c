/* softmax.c - softmax, log_softmax and their backward ops, line by line.
 *
 * A line is read in blocks: first for its maximum, then for the sum of exponentials (in double), then to write. A line of one
 * block is read and exponentiated once. */
#include "softmax.h"
#include "fold.h"
#include "loop.h"
#include "types.h"
#include "backends/cpu/vecmath.h"

enum { A, B, OUT }; /* operands: x or grad; the result (backward only); the output */

struct softmax_job;
typedef void line_fn(const struct softmax_job *, const int64_t *at);
typedef struct softmax_job {
    cpu_lines lines;
    char *data[3];
    dl_dtype type[3];
    int64_t size[3];
    cpu_lane lane;
    line_fn *line;
} softmax_job;

static const void *read(const softmax_job *j, int k, const int64_t *at, int64_t i, int64_t n, cpu_row_buffer *b) {
    return cpu_row_read(j->type[k], j->data[k] + (at[k] + i * j->lines.step[k]) * j->size[k], j->lines.step[k], n, j->lane, b);
}
static void write(const softmax_job *j, const int64_t *at, int64_t i, int64_t n, const cpu_row_buffer *b) {
    char *to = j->data[OUT] + (at[OUT] + i * j->lines.step[OUT]) * j->size[OUT];
    cpu_row_write(j->type[OUT], to, j->lines.step[OUT], n, j->lane, b);
}
static int64_t block(const softmax_job *j, int64_t i) { return j->lines.length - i < CPU_ROW ? j->lines.length - i : CPU_ROW; }

static double line_max(const softmax_job *j, const int64_t *at) {
    cpu_row_buffer b;
    double most = -INFINITY;
    for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {
        const double m = cpu_row_max(j->lane, read(j, A, at, i, block(j, i), &b), block(j, i));
        if (m > most || m != m) most = m;
    }
    return most;
}

/* LANE's functions; m is the field of the buffers, T its type. */
#define SOFTMAX(LANE, T, m, EXP)                                                                                               \
    static void exponentiate_##LANE(const T *restrict x, int64_t n, T shift, T *restrict e) {                                  \
        for (int64_t i = 0; i < n; i++) e[i] = EXP(x[i] - shift);                                                              \
    }                                                                                                                          \
    /* The sum of exp(x - most); e keeps the last block's terms. */                                                            \
    static double line_sum_##LANE(const softmax_job *j, const int64_t *at, T most, cpu_row_buffer *e) {                        \
        cpu_row_buffer b;                                                                                                      \
        double sum = 0;                                                                                                        \
        for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {                                                               \
            exponentiate_##LANE(read(j, A, at, i, block(j, i), &b), block(j, i), most, e->m);                                  \
            sum += cpu_row_sum(CPU_LANE_##LANE, e, block(j, i));                                                               \
        }                                                                                                                      \
        return sum;                                                                                                            \
    }                                                                                                                          \
    static void softmax_##LANE(const softmax_job *j, const int64_t *at) {                                                      \
        cpu_row_buffer b, e;                                                                                                   \
        const T most = (T)line_max(j, at), scale = (T)(1 / line_sum_##LANE(j, at, most, &e));                                  \
        for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {                                                               \
            const int64_t n = block(j, i);                                                                                     \
            if (n < j->lines.length) exponentiate_##LANE(read(j, A, at, i, n, &b), n, most, e.m);                              \
            for (int64_t k = 0; k < n; k++) e.m[k] *= scale;                                                                   \
            write(j, at, i, n, &e);                                                                                            \
        }                                                                                                                      \
    }                                                                                                                          \
    static void log_softmax_##LANE(const softmax_job *j, const int64_t *at) {                                                  \
        cpu_row_buffer b, e;                                                                                                   \
        const T most = (T)line_max(j, at), shift = (T)log(line_sum_##LANE(j, at, most, &e));                                   \
        for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {                                                               \
            const T *x = read(j, A, at, i, block(j, i), &b);                                                                   \
            for (int64_t k = 0; k < block(j, i); k++) e.m[k] = x[k] - most - shift;                                            \
            write(j, at, i, block(j, i), &e);                                                                                  \
        }                                                                                                                      \
    }                                                                                                                          \
    static void softmax_backward_##LANE(const softmax_job *j, const int64_t *at) {                                             \
        cpu_row_buffer b, c, e;                                                                                                \
        double dot = 0;                                                                                                        \
        for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {                                                               \
            const T *grad = read(j, A, at, i, block(j, i), &b), *out = read(j, B, at, i, block(j, i), &c);                     \
            for (int64_t k = 0; k < block(j, i); k++) e.m[k] = grad[k] * out[k];                                               \
            dot += cpu_row_sum(CPU_LANE_##LANE, &e, block(j, i));                                                              \
        }                                                                                                                      \
        for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {                                                               \
            const T *grad = read(j, A, at, i, block(j, i), &b), *out = read(j, B, at, i, block(j, i), &c);                     \
            for (int64_t k = 0; k < block(j, i); k++) e.m[k] = out[k] * (grad[k] - (T)dot);                                    \
            write(j, at, i, block(j, i), &e);                                                                                  \
        }                                                                                                                      \
    }                                                                                                                          \
    static void log_softmax_backward_##LANE(const softmax_job *j, const int64_t *at) {                                         \
        cpu_row_buffer b, c, e;                                                                                                \
        double sum = 0;                                                                                                        \
        for (int64_t i = 0; i < j->lines.length; i += CPU_ROW)                                                                 \
            sum += cpu_row_sum(CPU_LANE_##LANE, read(j, A, at, i, block(j, i), &b), block(j, i));                              \
        for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {                                                               \
            const T *grad = read(j, A, at, i, block(j, i), &b), *out = read(j, B, at, i, block(j, i), &c);                     \
            for (int64_t k = 0; k < block(j, i); k++) e.m[k] = grad[k] - EXP(out[k]) * (T)sum;                                 \
            write(j, at, i, block(j, i), &e);                                                                                  \
        }                                                                                                                      \
    }
SOFTMAX(F32, float, f32, dl_exp_f32)
SOFTMAX(F64, double, f64, dl_exp_f64)

static void run_lines(void *context, int64_t begin, int64_t end) {
    const softmax_job *j = context;
    cpu_walk w;
    cpu_walk_begin(&w, &j->lines.across, begin, end);
    while (cpu_walk_next(&w, 1)) j->line(j, w.at);
}

/* result NULL: a forward op. by_lane: the line function of the float and of the double lane. */
static void softmax_over(const dl_tensor *out, const dl_tensor *x, const dl_tensor *result, int64_t dim,
                         line_fn *const by_lane[2]) {
    enum { TERMS_FOR_A_THREAD = CPU_GRAIN / 8 }; /* an exponential is dearer than a copy */
    const dl_tensor *const tensors[] = {[A] = x, [B] = result ? result : x, [OUT] = out};
    softmax_job j = {.lane = out->type == DL_F64 ? CPU_LANE_F64 : CPU_LANE_F32};
    for (int k = 0; k < 3; k++) {
        j.data[k] = cpu_data(tensors[k]);
        j.type[k] = tensors[k]->type;
        j.size[k] = cpu_size(tensors[k]->type);
    }
    j.line = by_lane[j.lane];
    cpu_lines_init(&j.lines, dim, 3, tensors);
    if (j.lines.length == 0) return;
    const int64_t grain = TERMS_FOR_A_THREAD / j.lines.length;
    cpu_parallel(j.lines.across.count, grain > 1 ? grain : 1, run_lines, &j);
}

static line_fn *const softmax[] = {softmax_F32, softmax_F64}, *const log_softmax[] = {log_softmax_F32, log_softmax_F64},
                      *const softmax_backward[] = {softmax_backward_F32, softmax_backward_F64},
                      *const log_softmax_backward[] = {log_softmax_backward_F32, log_softmax_backward_F64};

void cpu_log_softmax(const dl_tensor *out, const dl_tensor *x, int64_t dim) { softmax_over(out, x, NULL, dim, log_softmax); }

#define RUN(name, result)                                                                                                      \
    static dl_status run_##name(const dl_frame *f, const dl_plan *plan) {                                                      \
        (void)plan;                                                                                                            \
        softmax_over(f->out[0], f->in[0], result, f->attr[0].v.i, name);                                                       \
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
