/* fold.c - reductions that fold values: sum, prod, mean, amax, amin, any, all, norm, var, logsumexp.
 *
 * A fold maps each element (to itself in most folds) and combines the results by +, *, max or min. Floats are accumulated in
 * double, several at a time, so single-precision results are exact to the last rounding in all but contrived cases. */
#include "fold.h"
#include "copy.h"
#include "types.h"
#include "backends/cpu/vecmath.h"
#include <math.h>

/* 32 bytes at most: wider vectors than the machine's are converted element by element. */
typedef double double4 __attribute__((vector_size(32)));
typedef int64_t long4 __attribute__((vector_size(32)));
typedef uint64_t ulong4 __attribute__((vector_size(32)));
typedef float float4 __attribute__((vector_size(16)));
typedef float float8 __attribute__((vector_size(32)));
typedef int32_t int8 __attribute__((vector_size(32)));

/* ---- combining rows and columns ----------------------------------------------------------------------------------- */

/* Of scalars a and b; NaN wins in max and min. */
#define ADD(a, b) ((a) + (b))
#define MUL(a, b) ((a) * (b))
#define MAX(a, b) _Generic((a), float : dl_max_f32, double : dl_max_f64, int64_t : dl_max_i64)(a, b)
#define MIN(a, b) _Generic((a), float : dl_min_f32, double : dl_min_f64, int64_t : dl_min_i64)(a, b)
/* Of vectors of type W; comparisons give masks. */
#define PICK(W, mask, b, a) ((W)(((mask) & (MASK_##W)(b)) | (~(mask) & (MASK_##W)(a))))
#define MASK_float8 int8
#define MASK_double4 long4
#define MASK_long4 long4
#define VECTOR_ADD(W, a, b) ((a) + (b))
#define VECTOR_MUL(W, a, b) ((a) * (b))
#define VECTOR_MAX(W, a, b) PICK(W, ((b) > (a)) | ((b) != (b)), b, a)
#define VECTOR_MIN(W, a, b) PICK(W, ((b) < (a)) | ((b) != (b)), b, a)

/* row: accumulator combined with n contiguous lane values. columns: n accumulators combined with 1 to 4 rows of n values. */
typedef void row_fn(const void *x, int64_t n, void *accumulator);
typedef void columns_fn(const void *const *rows, int32_t n_rows, int64_t n, void *accumulators);

#define COMBINE(OP, LANE, T, V, B, W, A, identity)                                                                             \
    static void row_##OP##_##LANE(const void *values, int64_t n, void *accumulator) {                                          \
        const T *x = values;                                                                                                   \
        const W start = (W){0} + (B)(identity);                                                                                \
        W a[4] = {start, start, start, start}, y;                                                                              \
        V v;                                                                                                                   \
        enum { LANES = sizeof(W) / sizeof(B) };                                                                                \
        int64_t i = 0;                                                                                                         \
        for (; i + 4 * LANES <= n; i += 4 * LANES)                                                                             \
            for (int k = 0; k < 4; k++) {                                                                                      \
                memcpy(&v, x + i + LANES * k, sizeof v);                                                                       \
                y = __builtin_convertvector(v, W);                                                                             \
                a[k] = VECTOR_##OP(W, a[k], y);                                                                                \
            }                                                                                                                  \
        for (; i + LANES <= n; i += LANES) {                                                                                   \
            memcpy(&v, x + i, sizeof v);                                                                                       \
            y = __builtin_convertvector(v, W);                                                                                 \
            a[0] = VECTOR_##OP(W, a[0], y);                                                                                    \
        }                                                                                                                      \
        a[0] = VECTOR_##OP(W, a[0], a[1]);                                                                                     \
        a[2] = VECTOR_##OP(W, a[2], a[3]);                                                                                     \
        a[0] = VECTOR_##OP(W, a[0], a[2]);                                                                                     \
        A total = *(const A *)accumulator;                                                                                     \
        for (int k = 0; k < LANES; k++) total = OP(total, (A)a[0][k]);                                                         \
        for (; i < n; i++) total = OP(total, (A)x[i]);                                                                         \
        *(A *)accumulator = total;                                                                                             \
    }                                                                                                                          \
    static void columns_##OP##_##LANE(const void *const *rows, int32_t n_rows, int64_t n, void *accumulators) {                \
        A *restrict a = accumulators;                                                                                          \
        if (n_rows == 4) {                                                                                                     \
            const T *p = rows[0], *q = rows[1], *r = rows[2], *s = rows[3];                                                    \
            for (int64_t i = 0; i < n; i++) {                                                                                  \
                const B first = OP((B)p[i], (B)q[i]), second = OP((B)r[i], (B)s[i]), both = OP(first, second);                 \
                a[i] = OP(a[i], (A)both);                                                                                      \
            }                                                                                                                  \
            return;                                                                                                            \
        }                                                                                                                      \
        for (int32_t k = 0; k < n_rows; k++) {                                                                                 \
            const T *p = rows[k];                                                                                              \
            for (int64_t i = 0; i < n; i++) a[i] = OP(a[i], (A)p[i]);                                                          \
        }                                                                                                                      \
    }
/* OP, lane, element, vector of them, type combined in, vector of it, accumulator, identity. Sums and products of floats are
 * taken in double from the first element on, extremes in float. Integers wrap: their sums and products are taken without sign.
 */
#define COMBINE_SUMS(OP, identity)                                                                                             \
    COMBINE(OP, F32, float, float4, double, double4, double, identity)                                                         \
    COMBINE(OP, F64, double, double4, double, double4, double, identity)                                                       \
    COMBINE(OP, I64, uint64_t, ulong4, uint64_t, ulong4, uint64_t, identity)
#define COMBINE_EXTREMES(OP, float_identity, int_identity)                                                                     \
    COMBINE(OP, F32, float, float8, float, float8, double, float_identity)                                                     \
    COMBINE(OP, F64, double, double4, double, double4, double, float_identity)                                                 \
    COMBINE(OP, I64, int64_t, long4, int64_t, long4, int64_t, int_identity)
COMBINE_SUMS(ADD, 0)
COMBINE_SUMS(MUL, 1)
COMBINE_EXTREMES(MAX, -INFINITY, INT64_MIN)
COMBINE_EXTREMES(MIN, INFINITY, INT64_MAX)

typedef struct combiner {
    double identity_f;
    int64_t identity_i;
    row_fn *row[3]; /* by lane */
    columns_fn *columns[3];
} combiner;
#define COMBINER(OP, identity_f, identity_i)                                                                                   \
    {                                                                                                                          \
        identity_f, identity_i, {row_##OP##_F32, row_##OP##_F64, row_##OP##_I64}, {                                            \
            columns_##OP##_F32, columns_##OP##_F64, columns_##OP##_I64                                                         \
        }                                                                                                                      \
    }
static const combiner add = COMBINER(ADD, 0, 0), mul = COMBINER(MUL, 1, 1), max = COMBINER(MAX, -INFINITY, INT64_MIN),
                      min = COMBINER(MIN, INFINITY, INT64_MAX);

double cpu_row_sum(cpu_lane lane, const void *x, int64_t n) {
    double total = 0;
    add.row[lane](x, n, &total);
    return total;
}

double cpu_row_max(cpu_lane lane, const void *x, int64_t n) {
    double most = -INFINITY;
    max.row[lane](x, n, &most);
    return most;
}

reduce_value cpu_row_extreme(cpu_lane lane, int largest, const void *x, int64_t n) {
    const combiner *c = largest ? &max : &min;
    reduce_value most;
    if (lane == CPU_LANE_I64)
        most.i = c->identity_i;
    else
        most.f = c->identity_f;
    c->row[lane](x, n, &most);
    return most;
}

/* ---- mapping elements ----------------------------------------------------------------------------------------------- */

/* to[i] = f(x[i], p) for n lane values; p is one parameter for all (a row) or param[i] (columns). */
typedef void map_fn(const void *x, int64_t n, const double *param, int per_column, double *to);

#define MAP(name, LANE, T, expression)                                                                                         \
    static void map_##name##_##LANE(const void *values, int64_t n, const double *param, int per_column, double *restrict to) { \
        const T *restrict v = values;                                                                                          \
        if (per_column)                                                                                                        \
            for (int64_t i = 0; i < n; i++) {                                                                                  \
                const double x = (double)v[i], p = param[i];                                                                   \
                to[i] = expression;                                                                                            \
                (void)p;                                                                                                       \
            }                                                                                                                  \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                                                  \
                const double x = (double)v[i], p = *param;                                                                     \
                to[i] = expression;                                                                                            \
                (void)p;                                                                                                       \
            }                                                                                                                  \
    }
#define MAP_TABLE(name) static map_fn *const name[3] = {map_##name##_F32, map_##name##_F64, map_##name##_I64};
#define MAP_LANES(name, expression)                                                                                            \
    MAP(name, F32, float, expression)                                                                                          \
    MAP(name, F64, double, expression)                                                                                         \
    MAP(name, I64, int64_t, expression)                                                                                        \
    MAP_TABLE(name)
MAP_LANES(nonzero, x != 0)
MAP_LANES(magnitude, fabs(x))
MAP_LANES(square, x *x)
MAP_LANES(power, pow(fabs(x), p))
MAP_LANES(square_deviation, (x - p) * (x - p))
MAP(shifted_exp, F32, float, dl_exp_f32((float)(x - p)))
MAP(shifted_exp, F64, double, dl_exp_f64(x - p))
MAP(shifted_exp, I64, int64_t, dl_exp_f64(x - p))
MAP_TABLE(shifted_exp)

/* ---- folds ---------------------------------------------------------------------------------------------------------- */

typedef struct fold_pass {
    const combiner *combine;
    map_fn *const *map; /* by lane; NULL: none. What it gives is double, whatever the lane. */
    void (*finish)(const cpu_reduction *, int64_t n, reduce_state);
} fold_pass;

typedef struct fold {
    cpu_reducer reducer; /* first, so that a reducer* of this file is a fold* */
    fold_pass pass[2];
} fold;

static const fold_pass *pass_of(const cpu_reduction *r, int pass) { return &((const fold *)r->reducer)->pass[pass]; }
static cpu_lane folded_lane(const cpu_reduction *r, const fold_pass *p) { return p->map ? CPU_LANE_F64 : r->lane; }

static void fold_begin(const cpu_reduction *r, int pass, int64_t n, reduce_state s) {
    const fold_pass *p = pass_of(r, pass);
    for (int64_t k = 0; pass == 0 && k < n; k++) s.param[k] = r->p;
    if (folded_lane(r, p) == CPU_LANE_I64)
        for (int64_t k = 0; k < n; k++) s.value[k].i = p->combine->identity_i;
    else
        for (int64_t k = 0; k < n; k++) s.value[k].f = p->combine->identity_f;
}

/* n elements of x from element `at`, as values to combine. */
static const void *fetch(const cpu_reduction *r, const fold_pass *p, int64_t at, int64_t stride, int64_t n, const double *param,
                         int per_column, cpu_row_buffer *buffer, double *mapped) {
    const void *x = cpu_row_read(r->type, r->x + at * r->size, stride, n, r->lane, buffer);
    if (!p->map) return x;
    p->map[r->lane](x, n, param, per_column, mapped);
    return mapped;
}

static void take_rows(const cpu_reduction *r, const fold_pass *p, int64_t n, reduce_state s, int64_t at, int64_t step,
                      int64_t from, int64_t to) {
    row_fn *const row = p->combine->row[folded_lane(r, p)];
    const int64_t stride = cpu_loop_step(&r->reduced, REDUCE_X);
    const int direct = !p->map && stride == 1 && r->type == cpu_stored_as(r->lane); /* no buffer, no blocks */
    cpu_row_buffer buffer;
    double mapped[CPU_ROW];
    for (int64_t k = 0; k < n; k++, at += step) {
        cpu_walk w;
        cpu_walk_begin(&w, &r->reduced, from, to);
        for (int64_t m; (m = cpu_walk_next(&w, direct ? INT64_MAX : CPU_ROW)) != 0;) {
            const void *x = direct ? r->x + (at + w.at[0]) * r->size
                                   : fetch(r, p, at + w.at[0], stride, m, s.param + k, 0, &buffer, mapped);
            row(x, m, &s.value[k]);
        }
    }
}

static void take_columns(const cpu_reduction *r, const fold_pass *p, int64_t n, reduce_state s, int64_t at, int64_t step,
                         int64_t from, int64_t to) {
    columns_fn *const columns = p->combine->columns[folded_lane(r, p)];
    const int64_t stride = cpu_loop_step(&r->reduced, REDUCE_X);
    cpu_row_buffer buffer[4];
    double mapped[4][REDUCE_BLOCK];
    cpu_walk w;
    cpu_walk_begin(&w, &r->reduced, from, to);
    for (int64_t m; (m = cpu_walk_next(&w, 4)) != 0;) {
        const void *rows[4];
        for (int64_t k = 0; k < m; k++)
            rows[k] = fetch(r, p, at + w.at[0] + k * stride, step, n, s.param, 1, &buffer[k], mapped[k]);
        columns(rows, (int32_t)m, n, s.value);
    }
}

static void fold_take(const cpu_reduction *r, int pass, int64_t n, reduce_state s, int64_t at, int64_t step, int64_t from,
                      int64_t to) {
    if (r->by_columns)
        take_columns(r, pass_of(r, pass), n, s, at, step, from, to);
    else
        take_rows(r, pass_of(r, pass), n, s, at, step, from, to);
}

static void fold_merge(const cpu_reduction *r, int pass, int64_t n, reduce_state into, reduce_state later) {
    const fold_pass *p = pass_of(r, pass);
    const void *row = later.value;
    p->combine->columns[folded_lane(r, p) == CPU_LANE_I64 ? CPU_LANE_I64 : CPU_LANE_F64](&row, 1, n, into.value);
}

static void fold_end(const cpu_reduction *r, int pass, int64_t n, reduce_state s) {
    const fold_pass *p = pass_of(r, pass);
    if (p->finish) p->finish(r, n, s);
}

/* ---- what happens to the accumulators after a pass --------------------------------------------------------------------- */

static void divide_by_count(const cpu_reduction *r, int64_t n, reduce_state s) {
    for (int64_t k = 0; k < n; k++) s.value[k].f /= (double)r->reduced.count;
}
static void keep_mean(const cpu_reduction *r, int64_t n, reduce_state s) {
    for (int64_t k = 0; k < n; k++) s.param[k] = s.value[k].f / (double)r->reduced.count;
}
static void divide_by_freedom(const cpu_reduction *r, int64_t n, reduce_state s) {
    const int64_t freedom = r->reduced.count > r->correction ? r->reduced.count - r->correction : 0;
    for (int64_t k = 0; k < n; k++) s.value[k].f /= (double)freedom;
}
static void keep_shift(const cpu_reduction *r, int64_t n, reduce_state s) {
    (void)r;
    for (int64_t k = 0; k < n; k++) s.param[k] = isfinite(s.value[k].f) ? s.value[k].f : 0;
}
static void shift_log(const cpu_reduction *r, int64_t n, reduce_state s) {
    (void)r;
    for (int64_t k = 0; k < n; k++) s.value[k].f = log(s.value[k].f) + s.param[k];
}
static void square_root(const cpu_reduction *r, int64_t n, reduce_state s) {
    (void)r;
    for (int64_t k = 0; k < n; k++) s.value[k].f = sqrt(s.value[k].f);
}
/* Also of no element at all: then the accumulator is infinite. */
static void keep_truth(const cpu_reduction *r, int64_t n, reduce_state s) {
    (void)r;
    for (int64_t k = 0; k < n; k++) s.value[k].f = s.value[k].f > 0;
}
static void take_root(const cpu_reduction *r, int64_t n, reduce_state s) {
    for (int64_t k = 0; k < n; k++) s.value[k].f = pow(s.value[k].f, 1 / r->p);
}

#define FOLD_REDUCER(passes)                                                                                                   \
    { passes, 0, fold_begin, fold_take, fold_merge, fold_end }
#define FOLD1(name, combine, map, finish) static const fold name = {FOLD_REDUCER(1), {{combine, map, finish}}};
#define FOLD2(name, c1, m1, f1, c2, m2, f2) static const fold name = {FOLD_REDUCER(2), {{c1, m1, f1}, {c2, m2, f2}}};
FOLD1(fold_sum, &add, NULL, NULL)
FOLD1(fold_prod, &mul, NULL, NULL)
FOLD1(fold_mean, &add, NULL, divide_by_count)
FOLD1(fold_amax, &max, NULL, NULL)
FOLD1(fold_amin, &min, NULL, NULL)
FOLD1(fold_any, &max, nonzero, keep_truth)
FOLD1(fold_all, &min, nonzero, keep_truth)
FOLD1(fold_count, &add, nonzero, NULL)
FOLD1(fold_norm1, &add, magnitude, NULL)
FOLD1(fold_norm2, &add, square, square_root)
FOLD1(fold_norm, &add, power, take_root)
FOLD1(fold_largest, &max, magnitude, NULL)
FOLD2(fold_var, &add, NULL, keep_mean, &add, square_deviation, divide_by_freedom)
FOLD2(fold_logsumexp, &max, NULL, keep_shift, &add, shifted_exp, shift_log)

/* ---- ops ---------------------------------------------------------------------------------------------------------------- */

static dl_status reduce(const dl_frame *f, const fold *fold, cpu_lane lane, cpu_reduction r, uint32_t dims) {
    r.reducer = &fold->reducer;
    r.lane = lane;
    r.result = fold->pass[0].map || lane != CPU_LANE_I64 ? CPU_LANE_F64 : CPU_LANE_I64;
    cpu_reduce(&r, f->in[0], f->attr[dims].v.iv, f->attr[dims].n, f->out, 1, 0);
    return DL_OK;
}

/* The lane of x, double for integers. */
static cpu_lane float_lane(const dl_frame *f) {
    const cpu_lane lane = cpu_lane_of(f->in[0]->type);
    return lane == CPU_LANE_I64 ? CPU_LANE_F64 : lane;
}

/* Sums and products are taken in the result's kind of number. */
static cpu_lane result_lane(const dl_frame *f) {
    return cpu_lane_of(f->out[0]->type) == CPU_LANE_I64 ? CPU_LANE_I64 : float_lane(f);
}

#define RUN(name, fold, lane)                                                                                                  \
    static dl_status run_##name(const dl_frame *f, const dl_plan *plan) {                                                      \
        (void)plan;                                                                                                            \
        return reduce(f, fold, lane, (cpu_reduction){0}, 0);                                                                   \
    }
RUN(sum, &fold_sum, result_lane(f))
RUN(prod, &fold_prod, result_lane(f))
RUN(mean, &fold_mean, float_lane(f))
RUN(amax, &fold_amax, cpu_lane_of(f->in[0]->type))
RUN(amin, &fold_amin, cpu_lane_of(f->in[0]->type))
RUN(any, &fold_any, cpu_lane_of(f->in[0]->type))
RUN(all, &fold_all, cpu_lane_of(f->in[0]->type))
RUN(logsumexp, &fold_logsumexp, float_lane(f))

static dl_status run_var(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return reduce(f, &fold_var, float_lane(f), (cpu_reduction){.correction = f->attr[1].v.i}, 0);
}

static dl_status run_norm(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const double p = f->attr[0].v.f;
    const fold *fold = p == 2          ? &fold_norm2
                       : p == 1        ? &fold_norm1
                       : p == 0        ? &fold_count
                       : p == INFINITY ? &fold_largest
                                       : &fold_norm;
    if (p == INFINITY && cpu_count(f->in[0]) == 0 && cpu_count(f->out[0]) > 0)
        return cpu_host->fail(DL_INVALID, "cannot take the maximum of an empty dimension");
    return reduce(f, fold, float_lane(f), (cpu_reduction){.p = p}, 1);
}

/* The last dimensions, in the type of x itself. Unsigned sums and products of integers are narrowed, so they wrap; on bool both
 * end in "not zero". */
static dl_status run_reduce(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const int boolean = f->in[0]->type == DL_BOOL;
    const fold *fold = NULL;
    switch (f->attr[1].v.i) {
    case DL_OP_ADD: fold = boolean ? &fold_any : &fold_sum; break;
    case DL_OP_MUL: fold = boolean ? &fold_all : &fold_prod; break;
    case DL_OP_MAX: fold = &fold_amax; break;
    default: fold = &fold_amin; break;
    }
    const int32_t ndim = f->in[0]->ndim, count = (int32_t)f->attr[0].v.i;
    int64_t dims[DL_MAX_DIMS];
    for (int32_t k = 0; k < count; k++) dims[k] = ndim - count + k;
    if (count == 0) { /* no dimension would mean all */
        cpu_copy_tensor(f->out[0], f->in[0]);
        return DL_OK;
    }
    const dl_attr attr = {.kind = DL_ATTR_INTS, .n = count, .v.iv = dims};
    dl_frame over = *f;
    over.attr = &attr;
    return reduce(&over, fold, cpu_lane_of(f->in[0]->type), (cpu_reduction){0}, 0);
}

dl_status CPU_ISA(register_reduce)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("reduce", NULL, run_reduce),
        CPU_KERNEL("sum", NULL, run_sum),
        CPU_KERNEL("prod", NULL, run_prod),
        CPU_KERNEL("mean", NULL, run_mean),
        CPU_KERNEL("amax", NULL, run_amax),
        CPU_KERNEL("amin", NULL, run_amin),
        CPU_KERNEL("any", NULL, run_any),
        CPU_KERNEL("all", NULL, run_all),
        CPU_KERNEL("norm", NULL, run_norm),
        CPU_KERNEL("var", NULL, run_var),
        CPU_KERNEL("logsumexp", NULL, run_logsumexp),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
