/* arg.c - where the extremes are: argmax, argmin, max_dim, min_dim. The first of equal ones counts; NaN is more extreme than
 * any number. */
#include "fold.h"
#include "types.h"
#include <math.h>

/* Is v more extreme than the best so far, b? */
#define ABOVE(v, b) (((v) > (b)) | (((v) != (v)) & ((b) == (b))))
#define BELOW(v, b) (((v) < (b)) | (((v) != (v)) & ((b) == (b))))

/* n values of the same number against n bests. */
typedef void columns_fn(const void *x, int64_t n, int64_t number, reduce_state best);
/* Place of the first of n values that is not less extreme than `extreme`. */
typedef int64_t find_fn(const void *x, reduce_value extreme);

#define EXTREME(OP, LANE, T, member, A)                                                                                        \
    static int64_t find_##OP##_##LANE(const void *values, reduce_value extreme) {                                              \
        const T *x = values;                                                                                                   \
        int64_t i = 0;                                                                                                         \
        while (OP(extreme.member, (A)x[i])) i++;                                                                               \
        return i;                                                                                                              \
    }                                                                                                                          \
    static void columns_##OP##_##LANE(const void *values, int64_t n, int64_t number, reduce_state best) {                      \
        const T *restrict x = values;                                                                                          \
        A *restrict value = (A *)best.value;                                                                                   \
        int64_t *restrict index = best.index;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            const A v = (A)x[i], b = value[i];                                                                                 \
            const int64_t place = index[i];                                                                                    \
            const int better = OP(v, b) | (place < 0);                                                                         \
            value[i] = better ? v : b;                                                                                         \
            index[i] = better ? number : place;                                                                                \
        }                                                                                                                      \
    }
#define EXTREME_LANES(OP)                                                                                                      \
    EXTREME(OP, F32, float, f, double)                                                                                         \
    EXTREME(OP, F64, double, f, double)                                                                                        \
    EXTREME(OP, I64, int64_t, i, int64_t)
EXTREME_LANES(ABOVE)
EXTREME_LANES(BELOW)

typedef struct extreme {
    cpu_reducer reducer; /* first, so that a reducer* of this file is an extreme* */
    int largest;
    find_fn *find[3]; /* by lane */
    columns_fn *columns[3];
} extreme;

static void begin(const cpu_reduction *r, int pass, int64_t n, reduce_state best) {
    (void)r, (void)pass;
    memset(best.value, 0, (size_t)n * sizeof *best.value);
    for (int64_t k = 0; k < n; k++) best.index[k] = -1; /* nothing seen yet */
}

/* A run is searched twice: for its extreme, which vectorises, then, if that beats the best, for its place. */
static void take_run(const cpu_reduction *r, const void *x, int64_t n, int64_t number, int64_t step, reduce_state best) {
    const extreme *e = (const extreme *)r->reducer;
    const int64_t before = *best.index;
    const reduce_value most = cpu_row_extreme(r->lane, e->largest, x, n);
    e->columns[r->result](&most, 1, number, best);
    if (*best.index == number && before != number) *best.index = number + e->find[r->lane](x, most) * step;
}

static void take(const cpu_reduction *r, int pass, int64_t n, reduce_state best, int64_t at, int64_t step, int64_t from,
                 int64_t to) {
    (void)pass;
    const extreme *e = (const extreme *)r->reducer;
    const int64_t stride = cpu_loop_step(&r->reduced, REDUCE_X);
    cpu_row_buffer buffer;
    cpu_walk w;
    if (r->by_columns) {
        cpu_walk_begin(&w, &r->reduced, from, to);
        while (cpu_walk_next(&w, 1)) {
            const void *x = cpu_row_read(r->type, r->x + (at + w.at[REDUCE_X]) * r->size, step, n, r->lane, &buffer);
            e->columns[r->lane](x, n, w.at[REDUCE_NUMBER], best);
        }
        return;
    }
    for (int64_t k = 0; k < n; k++, at += step) {
        const reduce_state one = {best.value + k, best.index + k, NULL};
        cpu_walk_begin(&w, &r->reduced, from, to);
        for (int64_t m; (m = cpu_walk_next(&w, CPU_ROW)) != 0;) {
            const void *x = cpu_row_read(r->type, r->x + (at + w.at[REDUCE_X]) * r->size, stride, m, r->lane, &buffer);
            take_run(r, x, m, w.at[REDUCE_NUMBER], cpu_loop_step(&r->reduced, REDUCE_NUMBER), one);
        }
    }
}

static void merge(const cpu_reduction *r, int pass, int64_t n, reduce_state into, reduce_state later) {
    (void)pass;
    const extreme *e = (const extreme *)r->reducer;
    columns_fn *const columns = e->columns[r->result];
    for (int64_t k = 0; k < n; k++) {
        const reduce_state one = {into.value + k, into.index + k, NULL};
        if (later.index[k] >= 0) columns(&later.value[k], 1, later.index[k], one);
    }
}

static void end(const cpu_reduction *r, int pass, int64_t n, reduce_state best) { (void)r, (void)pass, (void)n, (void)best; }

#define EXTREME_REDUCER(OP, largest)                                                                                           \
    {                                                                                                                          \
        {1, 1, begin, take, merge, end}, (largest), {find_##OP##_F32, find_##OP##_F64, find_##OP##_I64}, {                     \
            columns_##OP##_F32, columns_##OP##_F64, columns_##OP##_I64                                                         \
        }                                                                                                                      \
    }
static const extreme maximum = EXTREME_REDUCER(ABOVE, 1), minimum = EXTREME_REDUCER(BELOW, 0);

static dl_status search(const dl_frame *f, const extreme *e, const int64_t *dims, int32_t n_dims) {
    const dl_tensor *x = f->in[0];
    cpu_reduction r = {.reducer = &e->reducer, .lane = cpu_lane_of(x->type)};
    r.result = r.lane == CPU_LANE_I64 ? CPU_LANE_I64 : CPU_LANE_F64;
    cpu_reduce(&r, x, dims, n_dims, f->out, f->n_out, f->n_out == 1);
    return DL_OK;
}

static dl_status run_argmax(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return search(f, &maximum, f->attr[0].v.iv, f->attr[0].n);
}
static dl_status run_argmin(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return search(f, &minimum, f->attr[0].v.iv, f->attr[0].n);
}
static dl_status run_max_dim(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return search(f, &maximum, &f->attr[0].v.i, 1);
}
static dl_status run_min_dim(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return search(f, &minimum, &f->attr[0].v.i, 1);
}

dl_status CPU_ISA(register_arg)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("argmax", NULL, run_argmax),
        CPU_KERNEL("argmin", NULL, run_argmin),
        CPU_KERNEL("max_dim", NULL, run_max_dim),
        CPU_KERNEL("min_dim", NULL, run_min_dim),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
