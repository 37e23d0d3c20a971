/* cumulative.c - cummax, cummin and logcumsumexp: what a line along a dimension has had so far. Extremes of neighbouring lines
 * that lie closer than a line's elements run abreast. */
#include "loop.h"
#include "row.h"
#include "types.h"
#include <math.h>

enum { X, OUT, PLACE };

typedef struct cumulative_job {
    cpu_lines lines;
    char *x, *out, *place; /* place: NULL where none is asked for */
    dl_dtype type;
    int64_t size;
    cpu_lane lane;
    int largest;
} cumulative_job;

/* How far a line has come. */
typedef struct state {
    double value, sum; /* logcumsumexp: the greatest so far, and the sum of exp(x - value) */
    int64_t whole;     /* value, in integer lines */
    int64_t place;
} state;

/* n values behind i others. Among equal ones the last counts; NaN stays, and another NaN takes its place. */
#define EXTREME(LANE, T, member, NEW)                                                                                          \
    static void extreme_##LANE(const T *x, int64_t i, int64_t n, int largest, state *s, T *y, int64_t *place) {                \
        T best = (T)s->member;                                                                                                 \
        int64_t at = s->place;                                                                                                 \
        for (int64_t k = 0; k < n; k++) {                                                                                      \
            if (i + k == 0 || NEW(x[k], best) || (largest ? x[k] >= best : x[k] <= best)) {                                    \
                best = x[k];                                                                                                   \
                at = i + k;                                                                                                    \
            }                                                                                                                  \
            y[k] = best;                                                                                                       \
            place[k] = at;                                                                                                     \
        }                                                                                                                      \
        s->member = best;                                                                                                      \
        s->place = at;                                                                                                         \
    }                                                                                                                          \
    /* Elements number i of n lines. */                                                                                        \
    static void abreast_##LANE(const T *restrict x, int64_t i, int64_t n, int largest, T *restrict best,                       \
                               int64_t *restrict place) {                                                                      \
        for (int64_t k = 0; k < n; k++) {                                                                                      \
            const T v = x[k], b = best[k];                                                                                     \
            const int better = (i == 0) | NEW(v, b) | (largest ? v >= b : v <= b);                                             \
            best[k] = better ? v : b;                                                                                          \
            place[k] = better ? i : place[k];                                                                                  \
        }                                                                                                                      \
    }
#define NAN_NEW(v, best) ((v) != (v))
#define NEVER(v, best) 0
EXTREME(F32, float, value, NAN_NEW)
EXTREME(F64, double, value, NAN_NEW)
EXTREME(I64, int64_t, whole, NEVER)

/* In double, whatever the dtype. Infinities have no difference: all terms before are 0, or this one is. */
static void exponentials(const double *x, int64_t i, int64_t n, state *s, double *y) {
    for (int64_t k = 0; k < n; k++) {
        if (i + k == 0 || x[k] != x[k] || x[k] > s->value) {
            const double before = i + k == 0 || s->value == -INFINITY || x[k] == INFINITY ? 0 : s->sum * exp(s->value - x[k]);
            s->sum = s->sum != s->sum ? s->sum : before + 1;
            s->value = x[k];
        } else if (x[k] != -INFINITY) {
            s->sum += x[k] == s->value ? 1 : exp(x[k] - s->value);
        }
        y[k] = s->value + log(s->sum);
    }
}

static void write_places(const cumulative_job *j, int64_t at, int64_t step, int64_t n, const int64_t *places) {
    cpu_row_write(DL_I64, j->place + at * (int64_t)sizeof(int64_t), step, n, CPU_LANE_I64, places);
}

static void run_line(const cumulative_job *j, int64_t x, int64_t out, int64_t place) {
    cpu_row_buffer in, y;
    int64_t places[CPU_ROW];
    state s = {.sum = 0};
    for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {
        const int64_t n = j->lines.length - i < CPU_ROW ? j->lines.length - i : CPU_ROW;
        const void *values =
            cpu_row_read(j->type, j->x + (x + i * j->lines.step[X]) * j->size, j->lines.step[X], n, j->lane, &in);
        if (!j->place)
            exponentials(values, i, n, &s, y.f64);
        else if (j->lane == CPU_LANE_F32)
            extreme_F32(values, i, n, j->largest, &s, y.f32, places);
        else if (j->lane == CPU_LANE_F64)
            extreme_F64(values, i, n, j->largest, &s, y.f64, places);
        else
            extreme_I64(values, i, n, j->largest, &s, y.i64, places);
        cpu_row_write(j->type, j->out + (out + i * j->lines.step[OUT]) * j->size, j->lines.step[OUT], n, j->lane, &y);
        if (j->place) write_places(j, place + i * j->lines.step[PLACE], j->lines.step[PLACE], n, places);
    }
}

static void run_abreast(const cumulative_job *j, const cpu_walk *w, int64_t n) {
    const cpu_lines *l = &j->lines;
    cpu_row_buffer in, best = {{0}};
    int64_t places[CPU_ROW] = {0};
    for (int64_t i = 0; i < l->length; i++) {
        const char *x = j->x + (w->at[X] + i * l->step[X]) * j->size;
        const void *values = cpu_row_read(j->type, x, cpu_loop_step(&l->across, X), n, j->lane, &in);
        if (j->lane == CPU_LANE_F32)
            abreast_F32(values, i, n, j->largest, best.f32, places);
        else if (j->lane == CPU_LANE_F64)
            abreast_F64(values, i, n, j->largest, best.f64, places);
        else
            abreast_I64(values, i, n, j->largest, best.i64, places);
        cpu_row_write(j->type, j->out + (w->at[OUT] + i * l->step[OUT]) * j->size, cpu_loop_step(&l->across, OUT), n, j->lane,
                      &best);
        write_places(j, w->at[PLACE] + i * l->step[PLACE], cpu_loop_step(&l->across, PLACE), n, places);
    }
}

static void run_lines(void *context, int64_t begin, int64_t end) {
    const cumulative_job *j = context;
    cpu_walk w;
    cpu_walk_begin(&w, &j->lines.across, begin, end);
    const int abreast = j->place && cpu_loop_step(&j->lines.across, X) < j->lines.step[X];
    for (int64_t n; (n = cpu_walk_next(&w, abreast ? CPU_ROW : 1)) != 0;) {
        if (abreast)
            run_abreast(j, &w, n);
        else
            run_line(j, w.at[X], w.at[OUT], w.at[PLACE]);
    }
}

static dl_status run(const dl_frame *f, cpu_lane lane, int largest) {
    const dl_tensor *x = f->in[0], *out = f->out[0],
                    *place = f->n_out > 1 ? f->out[1] : out, *const tensors[] = {x, out, place};
    cumulative_job j = {.x = cpu_data(x), .out = cpu_data(out), .type = x->type, .lane = lane, .largest = largest};
    if (f->n_out > 1) j.place = cpu_data(place);
    j.size = cpu_size(x->type);
    cpu_lines_init(&j.lines, f->attr[0].v.i, 3, tensors);
    if (j.lines.length == 0) return DL_OK;
    const int64_t grain = CPU_GRAIN / 4 / j.lines.length;
    cpu_parallel(j.lines.across.count, grain > 1 ? grain : 1, run_lines, &j);
    return DL_OK;
}

static dl_status run_cummax(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return run(f, cpu_lane_of(f->in[0]->type), 1);
}
static dl_status run_cummin(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return run(f, cpu_lane_of(f->in[0]->type), 0);
}
static dl_status run_logcumsumexp(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return run(f, CPU_LANE_F64, 0);
}

dl_status CPU_ISA(register_cumulative)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("cummax", NULL, run_cummax),
        CPU_KERNEL("cummin", NULL, run_cummin),
        CPU_KERNEL("logcumsumexp", NULL, run_logcumsumexp),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
