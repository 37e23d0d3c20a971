/* norm.h - what the files of the normalisation family share.
 *
 * Three drivers walk x, whatever its strides: norm_rows.c (layer_norm: a mean for each row, weights along it), norm_planes.c
 * (batch_norm and group_norm where a channel's elements lie together), norm_columns.c (the same where the channels lie
 * together: (N, C) and channels-last). norm_loops.c has their inner loops.
 *
 * A variance is the mean square of deviations from a shift near the mean, less the square of their mean. The shift is made of
 * the group's own elements and sums are kept in double, so at most as many of their 53 bits cancel as the number of elements
 * has: never the bits that count. */
#ifndef CPU_NORM_H
#define CPU_NORM_H
#include "backends/cpu/program.h"
#include "loop.h"
#include "row.h"
#include <math.h>
#include <string.h>

/* ---- inner loops (norm_loops.h says what each computes) --------------------------------------------------------------- */

typedef struct norm_sums {
    double s[8], q[8]; /* by lane */
} norm_sums;
static inline void norm_total(const norm_sums *a, double *s, double *q) {
    *s = *q = 0;
    for (int k = 0; k < 8; k++) *s += a->s[k], *q += a->q[k];
}

/* Towards x: g scale - constant - (x - mean) slope. */
typedef struct norm_slope {
    double scale, constant, slope;
} norm_slope;
/* The same for every column, in the lane's type; forward: (x - mean) scale + constant. */
typedef struct norm_columns {
    const void *mean, *scale, *constant, *slope;
} norm_columns;

typedef struct norm_loops {
    void (*take)(const void *x, int64_t n, double shift, norm_sums *);
    void (*put)(const void *x, int64_t n, double mean, double scale, double bias, void *y);
    void (*put_weighted)(const void *x, int64_t n, double mean, double scale, const void *weight, const void *bias, void *y);
    void (*take_back)(const void *x, const void *g, const void *weight, int64_t n, double mean, norm_sums *);
    void (*put_back)(const void *x, const void *g, const void *weight, int64_t n, double mean, const norm_slope *, void *y);
    void (*take_affine)(const void *x, int64_t step, const void *g, int64_t g_step, int64_t rows, int64_t n, const double *mean,
                        const double *scale, double *to_weight, double *to_bias);
    void (*take_columns)(const void *x, int64_t step, int64_t rows, int64_t n, const void *shift, double *s, double *q);
    void (*take_back_columns)(const void *x, int64_t step, const void *g, int64_t g_step, int64_t rows, int64_t n,
                              const void *mean, double *s, double *q);
    void (*put_columns)(const void *x, int64_t step, int64_t rows, int64_t n, const norm_columns *, void *y, int64_t y_step);
    void (*put_back_columns)(const void *x, int64_t step, const void *g, int64_t g_step, int64_t rows, int64_t n,
                             const norm_columns *, void *y, int64_t y_step);
} norm_loops;
const norm_loops *CPU_ISA(cpu_norm_loops)(cpu_lane);
#define cpu_norm_loops CPU_ISA(cpu_norm_loops)

/* ---- tensors of x's shape ----------------------------------------------------------------------------------------------- */

enum { NORM_X, NORM_OUT, NORM_GRAD, NORM_OPERANDS }; /* OUT: the result, or the gradient towards x; GRAD: backward only */

/* What every driver works on. */
typedef struct norm_job {
    const norm_loops *loops;
    cpu_lane lane;
    char *data[NORM_OPERANDS]; /* GRAD: NULL forward */
    dl_dtype type[NORM_OPERANDS];
    int64_t size[NORM_OPERANDS]; /* bytes of an element */
    const cpu_program *epilogue; /* NULL: none */
    cpu_attrs epilogue_attrs;
    int32_t fault; /* of the epilogue, and CPU_NO_MEMORY */
} norm_job;

typedef struct norm_buffers {
    cpu_row_buffer x, grad, out;
} norm_buffers;

static inline int norm_direct(const norm_job *j, int operand, int64_t step) { /* computed on where it lies? */
    return step == 1 && j->type[operand] == cpu_stored_as(j->lane);
}
static inline char *norm_at(const norm_job *j, int operand, int64_t at) { return j->data[operand] + at * j->size[operand]; }
static inline const void *norm_read(const norm_job *j, int operand, int64_t at, int64_t step, int64_t n, cpu_row_buffer *b) {
    if (norm_direct(j, operand, step)) return norm_at(j, operand, at);
    return cpu_row_read(j->type[operand], norm_at(j, operand, at), step, n, j->lane, b);
}
static inline int64_t norm_lane_size(const norm_job *j) { return j->lane == CPU_LANE_F64 ? 8 : 4; }

/* Some lines of lane values, `step` apart. */
typedef struct norm_lines {
    const char *at;
    int64_t step;
} norm_lines;
enum { NORM_LINES = 8 }; /* at most, where they are converted */
/* m lines of n elements, `line` apart, from `at`: where they lie, or converted into m buffers. */
static inline norm_lines norm_read_lines(const norm_job *j, int operand, int64_t at, int64_t line, int64_t step, int64_t m,
                                         int64_t n, cpu_row_buffer *b) {
    if (norm_direct(j, operand, step)) return (norm_lines){norm_at(j, operand, at), line};
    for (int64_t k = 0; k < m; k++) {
        const void *values = norm_read(j, operand, at + k * line, step, n, &b[k]);
        if (values != &b[k]) memcpy(&b[k], values, (size_t)(n * norm_lane_size(j)));
    }
    return (norm_lines){(const char *)b, (int64_t)sizeof *b / norm_lane_size(j)};
}

/* Where n results for `at` are to be computed; norm_finish then applies the epilogue and stores them. */
static inline void *norm_place(const norm_job *j, int64_t at, int64_t step, cpu_row_buffer *b) {
    return norm_direct(j, NORM_OUT, step) ? (void *)norm_at(j, NORM_OUT, at) : b;
}
static inline void norm_finish(norm_job *j, void *place, int64_t at, int64_t step, int64_t n) {
    const void *in = place;
    int32_t fault = 0;
    if (j->epilogue) cpu_program_run(j->epilogue, n, place, &in, &j->epilogue_attrs, 0, &fault);
    if (fault) __atomic_store_n(&j->fault, fault, __ATOMIC_RELAXED);
    if (!norm_direct(j, NORM_OUT, step)) cpu_row_write(j->type[NORM_OUT], norm_at(j, NORM_OUT, at), step, n, j->lane, place);
}

/* ---- drivers --------------------------------------------------------------------------------------------------------------
 */

/* layer_norm. Row r of `rows` starts at the offsets of that loop; `within` walks its elements in x's memory order. Weights are
 * lane values in that order, NULL where absent. */
typedef struct norm_rows {
    norm_job job; /* first */
    cpu_loop rows, within;
    int rms; /* the mean counts as 0 */
    const void *weight, *bias;
    double *mean, *var, *rstd;   /* by row; backward: mean and rstd are given */
    double *to_weight, *to_bias; /* backward: gradients in that order, NULL if they are not wanted */
    double eps;
} norm_rows;
void CPU_ISA(cpu_norm_rows)(norm_rows *);
#define cpu_norm_rows CPU_ISA(cpu_norm_rows)

/* batch_norm and group_norm: x (samples, channels, places). batch_norm: statistics by channel, over samples; group_norm: by
 * sample and `width` channels. Arrays in double. */
typedef struct norm_channels {
    norm_job job;                             /* first */
    int batch;                                /* is it batch_norm? */
    int fixed;                                /* mean and var are given, and constant */
    int64_t samples, channels, groups, width; /* groups of channels with a mean of their own (by sample, not batch_norm) */
    int64_t sample_step[NORM_OPERANDS], channel_step[NORM_OPERANDS];
    cpu_loop places;             /* of one channel: batch_norm's with samples; in x's memory order */
    const double *weight, *bias; /* by channel; NULL: 1 and 0 */
    double *mean, *var, *rstd;   /* by group, that is channel or (sample, group of channels) */
    double *sums; /* backward: by set (batch_norm has one, group_norm one a sample), then channel: of g, of g (x - mean) rstd */
    double eps;
} norm_channels;
void CPU_ISA(cpu_norm_planes)(norm_channels *);
void CPU_ISA(cpu_norm_columns)(norm_channels *);
#define cpu_norm_planes CPU_ISA(cpu_norm_planes)
#define cpu_norm_columns CPU_ISA(cpu_norm_columns)

/* Mean and variance of `count` elements from sums of deviations from shift. */
static inline void norm_statistics(double s, double q, double count, double shift, double *mean, double *var) {
    const double off = s / count, square = q / count - off * off;
    *mean = shift + off;
    *var = square < 0 ? 0 : square; /* NaN stays */
}

/* The gradient towards x of a group of `count` elements: of_g, of_gx: sums of g weight and of g weight (x - mean). */
static inline norm_slope norm_slope_of(double rstd, double of_g, double of_gx, double count) {
    return (norm_slope){rstd, rstd * of_g / count, rstd * rstd * rstd * of_gx / count};
}

#endif
