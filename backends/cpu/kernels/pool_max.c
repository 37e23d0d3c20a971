/* pool_max.c - max_pool, adaptive_max_pool and fractional_max_pool.
 *
 * Outputs are computed side by side, along the lanes or along the last dimension inside the input; each window's elements are
 * taken in the order of their places, so that the first of equal ones stays. Of several NaN the last counts, as in PyTorch. */
#include "pool.h"

typedef union places {
    int32_t f32[CPU_ROW]; /* as wide as the values, so that both are chosen by one mask */
    int64_t f64[CPU_ROW];
} places;

enum { MOST_FIXED = 9 };

/* value and place of n outputs: first() starts with one element of each window, next() takes another; fixed_N_S takes N rows
 * at once, S apart, of at least one vector; scan() takes n elements of one window, `step` places apart. */
#define BETTER(v, best) (((v) > (best)) | ((v) != (v)))
#define LOOPS(LANE, T, I)                                                                                                      \
    static void first_##LANE(const T *x, int64_t n, I place, I step, T *restrict value, I *restrict index) {                   \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            value[i] = x[i];                                                                                                   \
            index[i] = place + (I)i * step;                                                                                    \
        }                                                                                                                      \
    }                                                                                                                          \
    static void next_##LANE(const T *x, int64_t n, I place, I step, T *restrict value, I *restrict index) {                    \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            const T v = x[i], best = value[i];                                                                                 \
            const I at = place + (I)i * step, old = index[i];                                                                  \
            value[i] = BETTER(v, best) ? v : best;                                                                             \
            index[i] = BETTER(v, best) ? at : old;                                                                             \
        }                                                                                                                      \
    }                                                                                                                          \
    static void scan_##LANE(const T *x, int64_t n, I place, I step, T *value, I *index) {                                      \
        T best = *value;                                                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            if (!BETTER(x[i], best)) continue;                                                                                 \
            best = x[i];                                                                                                       \
            *index = place + (I)i * step;                                                                                      \
        }                                                                                                                      \
        *value = best;                                                                                                         \
    }
/* Vectors of values and places: gcc's own loops over every second element leave the last ones to scalar code, which here would
 * be most of a row. The second half of those elements is loaded from one before, so that nothing behind a row is read. */
#ifdef __AVX2__
enum { VECTOR = 32 };
#define EVEN_f32                                                                                                               \
    { 0, 2, 4, 6, 9, 11, 13, 15 }
#define EVEN_f64                                                                                                               \
    { 0, 2, 5, 7 }
#else
enum { VECTOR = 16 };
#define EVEN_f32                                                                                                               \
    { 0, 2, 5, 7 }
#define EVEN_f64                                                                                                               \
    { 0, 3 }
#endif
enum { LANES_f32 = VECTOR / 4, LANES_f64 = VECTOR / 8 };
#define VECTORS(LANE, T, I)                                                                                                    \
    typedef T values_##LANE __attribute__((vector_size(VECTOR)));                                                              \
    typedef I indices_##LANE __attribute__((vector_size(VECTOR)));                                                             \
    static inline values_##LANE load_##LANE(const T *x, int step) {                                                            \
        values_##LANE a, b;                                                                                                    \
        memcpy(&a, x, sizeof a);                                                                                               \
        if (step == 1) return a;                                                                                               \
        memcpy(&b, x + LANES_##LANE - 1, sizeof b);                                                                            \
        return __builtin_shuffle(a, b, (indices_##LANE)EVEN_##LANE);                                                           \
    }
VECTORS(f32, float, int32_t)
VECTORS(f64, double, int64_t)

#define FIXED(LANE, T, I, N, S)                                                                                                \
    static void fixed_##LANE##_##N##_##S(const T *const *rows, const I *places, int64_t n, I step, T *restrict value,          \
                                         I *restrict index) {                                                                  \
        enum { LANES = LANES_##LANE };                                                                                         \
        indices_##LANE count = {0};                                                                                            \
        for (int l = 0; l < LANES; l++) count[l] = l;                                                                          \
        for (int64_t block = 0; block < n; block += LANES) {                                                                   \
            const int64_t i = block + LANES > n ? n - LANES : block;                                                           \
            values_##LANE best = load_##LANE(rows[0] + i * S, S);                                                              \
            indices_##LANE at = places[0] + (indices_##LANE){0};                                                               \
            for (int k = 1; k < N; k++) {                                                                                      \
                const values_##LANE v = load_##LANE(rows[k] + i * S, S);                                                       \
                const indices_##LANE better = BETTER(v, best);                                                                 \
                at = (at & ~better) | (places[k] & better);                                                                    \
                best = (values_##LANE)(((indices_##LANE)best & ~better) | ((indices_##LANE)v & better));                       \
            }                                                                                                                  \
            at += (count + (I)i) * step;                                                                                       \
            memcpy(value + i, &best, sizeof best);                                                                             \
            memcpy(index + i, &at, sizeof at);                                                                                 \
        }                                                                                                                      \
    }
#define FIXED_ALL(LANE, T, I)                                                                                                  \
    FIXED(LANE, T, I, 4, 1)                                                                                                    \
    FIXED(LANE, T, I, 6, 1)                                                                                                    \
    FIXED(LANE, T, I, 9, 1)                                                                                                    \
    FIXED(LANE, T, I, 4, 2)                                                                                                    \
    FIXED(LANE, T, I, 6, 2)                                                                                                    \
    FIXED(LANE, T, I, 9, 2)                                                                                                    \
    typedef void fixed_##LANE##_fn(const T *const *, const I *, int64_t, I, T *restrict, I *restrict);                         \
    static fixed_##LANE##_fn *fixed_##LANE(int64_t n, int64_t s) {                                                             \
        if (n == 4) return s == 1 ? fixed_##LANE##_4_1 : fixed_##LANE##_4_2;                                                   \
        if (n == 6) return s == 1 ? fixed_##LANE##_6_1 : fixed_##LANE##_6_2;                                                   \
        return n == 9 ? s == 1 ? fixed_##LANE##_9_1 : fixed_##LANE##_9_2 : NULL;                                               \
    }
LOOPS(f32, float, int32_t)
LOOPS(f64, double, int64_t)
FIXED_ALL(f32, float, int32_t)
FIXED_ALL(f64, double, int64_t)

/* All of a small window at once. 0: it is none. */
#define FOLD_FIXED(LANE, T, I)                                                                                                 \
    static int fold_fixed_##LANE(const pool_job *j, const pool_patch *p, T *value, I *index) {                                 \
        const T *rows[MOST_FIXED];                                                                                             \
        I place[MOST_FIXED];                                                                                                   \
        const int64_t size = pool_size(p);                                                                                     \
        if (size > MOST_FIXED || p->n < LANES_##LANE || p->x_step < 1 || p->x_step > 2) return 0;                              \
        fixed_##LANE##_fn *const fixed = fixed_##LANE(size, p->x_step);                                                        \
        if (!fixed) return 0;                                                                                                  \
        int k = 0;                                                                                                             \
        POOL_FOR_WINDOW(p, k0, k1, k2) {                                                                                       \
            rows[k] = (const T *)(const void *)pool_element(j, p, k0, k1, k2);                                                 \
            place[k++] = (I)pool_place(p, k0, k1, k2);                                                                         \
        }                                                                                                                      \
        fixed(rows, place, p->n, (I)p->place_step, value, index);                                                              \
        return 1;                                                                                                              \
    }
FOLD_FIXED(f32, float, int32_t)
FOLD_FIXED(f64, double, int64_t)

/* One window, row by row. */
static void fold_one(const pool_job *j, const pool_patch *p, void *value, places *index) {
    const pool_operand *x = &j->operand[POOL_X];
    cpu_row_buffer buffer;
    int begun = 0;
    for (int64_t k0 = 0; k0 < p->count[0]; k0++)
        for (int64_t k1 = 0; k1 < p->count[1]; k1++)
            for (int64_t k2 = 0, n; k2 < p->count[2]; k2 += n) {
                n = p->count[2] - k2 < CPU_ROW ? p->count[2] - k2 : CPU_ROW;
                const void *row = cpu_row_read(x->type, pool_element(j, p, k0, k1, k2), p->step[2], n, j->lane, &buffer);
                const int64_t place = pool_place(p, k0, k1, k2);
                if (j->lane == CPU_LANE_F32) {
                    if (!begun) first_f32(row, 1, (int32_t)place, 0, value, index->f32);
                    scan_f32(row, n, (int32_t)place, (int32_t)p->places[2], value, index->f32);
                } else {
                    if (!begun) first_f64(row, 1, place, 0, value, index->f64);
                    scan_f64(row, n, place, p->places[2], value, index->f64);
                }
                begun = 1;
            }
}

/* n windows, element by element. */
static void fold_many(const pool_job *j, const pool_patch *p, void *value, places *index) {
    const pool_operand *x = &j->operand[POOL_X];
    cpu_row_buffer buffer;
    int begun = 0;
    POOL_FOR_WINDOW(p, k0, k1, k2) {
        const void *row = cpu_row_read(x->type, pool_element(j, p, k0, k1, k2), p->x_step, p->n, j->lane, &buffer);
        const int64_t place = pool_place(p, k0, k1, k2);
        if (j->lane == CPU_LANE_F32)
            (begun ? next_f32 : first_f32)(row, p->n, (int32_t)place, (int32_t)p->place_step, value, index->f32);
        else
            (begun ? next_f64 : first_f64)(row, p->n, place, p->place_step, value, index->f64);
        begun = 1;
    }
}

static void write_index(char *to, int64_t stride, int64_t n, cpu_lane lane, const places *index) {
    int64_t *out = (int64_t *)to;
    if (lane == CPU_LANE_F32 && stride == 1)
        for (int64_t i = 0; i < n; i++) out[i] = index->f32[i];
    else
        for (int64_t i = 0; i < n; i++) out[i * stride] = lane == CPU_LANE_F32 ? index->f32[i] : index->f64[i];
}

static void fold(const pool_job *j, const pool_patch *p) {
    const pool_operand *to = &j->operand[POOL_Y];
    char *const out = pool_at(to, p->y);
    const int stored = to->type == cpu_stored_as(j->lane);
    cpu_row_buffer buffer;
    places place;
    void *const value = stored && (p->y_step == 1 || p->n == 1) ? (void *)out : &buffer;
    const int done = !stored                   ? 0
                     : j->lane == CPU_LANE_F32 ? fold_fixed_f32(j, p, value, place.f32)
                                               : fold_fixed_f64(j, p, value, place.f64);
    if (!done) (p->n == 1 ? fold_one : fold_many)(j, p, value, &place);
    if (value == &buffer) cpu_row_write(to->type, out, p->y_step, p->n, j->lane, &buffer);
    write_index(pool_at(&j->operand[POOL_INDEX], p->index), p->index_step, p->n, j->lane, &place);
}

static void rows(void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    pool_fold_rows(j, begin, end, 0, j->lanes, fold);
}

static void run(pool_job *j) { cpu_parallel(pool_rows(j), pool_grain(j), rows, j); }

static dl_status run_max_pool(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    pool_job j;
    pool_init(&j, f->attr[0].n, f->in[0], f->out[0], f->out[1], NULL);
    pool_slide(&j, f->attr, &f->attr[3]);
    run(&j);
    return DL_OK;
}

static dl_status run_adaptive_max_pool(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    pool_job j;
    pool_init(&j, f->attr[0].n, f->in[0], f->out[0], f->out[1], NULL);
    pool_adapt(&j);
    run(&j);
    return DL_OK;
}

static dl_status run_fractional_max_pool(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    pool_job j;
    const int32_t spatial = f->attr[0].n;
    pool_init(&j, spatial, f->in[0], f->out[0], f->out[1], f->in[1]);
    for (int32_t d = POOL_SPATIAL - spatial; d < POOL_SPATIAL; d++) {
        j.axis[d].kind = POOL_FRACTIONAL;
        j.axis[d].kernel = pool_value(&f->attr[0], d - (POOL_SPATIAL - spatial), 1);
    }
    run(&j);
    return DL_OK;
}

dl_status CPU_ISA(register_pool_max)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("max_pool", NULL, run_max_pool),
        CPU_KERNEL("adaptive_max_pool", NULL, run_adaptive_max_pool),
        CPU_KERNEL("fractional_max_pool", NULL, run_fractional_max_pool),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
