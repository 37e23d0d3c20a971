/* random.c - uniform, normal, bernoulli, random_int, randperm and dropout, from Philox (dlrun/philox.h).
 *
 * Element i of the output, counted in row-major order whatever its strides are, draws word i % 4 of counter i / 4: results
 * depend on key, call and index alone, never on threads or memory. Work is cut into blocks of CPU_ROW elements: draw, turn
 * into lane values, store. */
#include "backends/cpu/kernels/loop.h"
#include "backends/cpu/kernels/row.h"
#include "backends/cpu/kernels/types.h"
#include "backends/cpu/vecmath.h"
#include "dlrun/philox.h"
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { GRAIN = 16 }; /* blocks worth a thread */

/* ---- draws ------------------------------------------------------------------------------------------------------------- */

/* Counters side by side, one to a 64-bit lane of which only the lower half counts: products need the other for their high word.
 */
#if defined(__AVX512F__)
enum { LANES = 8 };
#elif defined(__AVX2__)
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif
typedef uint64_t counters __attribute__((vector_size(8 * LANES)));

/* Products of the lower halves. */
static inline counters multiply_low(counters a, counters b) {
#if defined(__AVX512F__)
    return (counters)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (counters)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (counters)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

/* Lane i of a and of b, one after the other. */
static inline void store_pairs(counters a, counters b, uint32_t *out) {
    uint64_t pairs[2 * LANES];
    for (int i = 0; i < LANES; i++) pairs[2 * i] = a[i], pairs[2 * i + 1] = b[i];
    memcpy(out, pairs, sizeof pairs);
}

/* The CPU_ROW draws of block number `block`: as dl_philox_block, GROUP vectors of counters at a time, which hides the latency
 * of multiplications. */
static void draw(uint64_t key, uint64_t call, uint64_t block, uint32_t *out) {
    enum { GROUP = 4, blocks = CPU_ROW / 4 };
    const counters zero = {0}, half = zero + 0xffffffffu, m0 = zero + 0xD2511F53u, m1 = zero + 0xCD9E8D57u;
    for (uint64_t j = 0; j < blocks; j += GROUP * LANES) {
        counters c0[GROUP], c1[GROUP], c2[GROUP], c3[GROUP];
        uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
        for (int g = 0; g < GROUP; g++) {
            for (int i = 0; i < LANES; i++) c0[g][i] = block * blocks + j + (uint64_t)(g * LANES + i);
            c1[g] = c0[g] >> 32;
            c2[g] = zero + (uint32_t)call, c3[g] = zero + (call >> 32);
        }
        for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u)
            for (int g = 0; g < GROUP; g++) {
                const counters p0 = multiply_low(m0, c0[g]), p1 = multiply_low(m1, c2[g]);
                c0[g] = (p1 >> 32) ^ c1[g] ^ (zero + key0);
                c2[g] = (p0 >> 32) ^ c3[g] ^ (zero + key1);
                c1[g] = p1, c3[g] = p0;
            }
        for (int g = 0; g < GROUP; g++)
            store_pairs((c0[g] & half) | c1[g] << 32, (c2[g] & half) | c3[g] << 32, out + 4 * (j + (uint64_t)(g * LANES)));
    }
}

/* 64 bits for each element. */
static void draw_wide(uint64_t key, uint64_t call, uint64_t block, uint64_t *out) {
    uint32_t high[CPU_ROW], low[CPU_ROW];
    draw(key, call, block, high);
    draw(key, dl_philox_low_call(call), block, low);
    for (int i = 0; i < CPU_ROW; i++) out[i] = (uint64_t)high[i] << 32 | low[i];
}

/* ---- filling a tensor -------------------------------------------------------------------------------------------------- */

typedef struct fill fill;
struct fill {
    void (*make)(const fill *, uint64_t block, cpu_row_buffer *); /* CPU_ROW values of f's lane */
    const dl_tensor *out;
    cpu_lane lane;
    cpu_loop loop;
    uint64_t key, call;
    double a, b, most;  /* uniform: lo, hi - lo, largest value; normal: mean, std */
    int bits;           /* uniform: bits of a draw that are used */
    uint64_t threshold; /* bernoulli */
    int64_t lo;         /* random_int */
    uint64_t range;     /* random_int: number of values; 0: 2^64 */
};

static void fill_blocks(void *context, int64_t begin, int64_t end) {
    const fill *f = (const fill *)context;
    const int64_t size = cpu_size(f->out->type), value = f->lane == CPU_LANE_F32 ? 4 : 8;
    char *data = (char *)cpu_data(f->out);
    cpu_row_buffer values;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * CPU_ROW, last = first + CPU_ROW < f->loop.count ? first + CPU_ROW : f->loop.count;
        f->make(f, (uint64_t)block, &values);
        cpu_walk w;
        cpu_walk_begin(&w, &f->loop, first, last);
        int64_t done = 0;
        for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0; done += n)
            cpu_row_write(f->out->type, data + w.at[0] * size, cpu_loop_step(&f->loop, 0), n, f->lane,
                          (const char *)&values + done * value);
    }
}

static dl_status run_fill(const dl_frame *frame, fill *f) {
    const dl_tensor *out = frame->out[0];
    f->out = out;
    f->lane = cpu_lane_of(out->type);
    f->key = frame->random_key, f->call = frame->random_call;
    cpu_loop_init(&f->loop, 1);
    for (int32_t d = 0; d < out->ndim; d++) cpu_loop_dim(&f->loop, out->shape[d], out->strides[d], 0, 0, 0);
    cpu_loop_merge(&f->loop);
    cpu_parallel((f->loop.count + CPU_ROW - 1) / CPU_ROW, GRAIN, fill_blocks, f);
    return DL_OK;
}

static double number(const dl_frame *f, int k) {
    return f->attr[k].kind == DL_ATTR_INT ? (double)f->attr[k].v.i : f->attr[k].v.f;
}

/* ---- uniform ----------------------------------------------------------------------------------------------------------- */

static void make_uniform(const fill *f, uint64_t block, cpu_row_buffer *v) {
    if (f->lane == CPU_LANE_F64) {
        uint64_t draws[CPU_ROW];
        draw_wide(f->key, f->call, block, draws);
        for (int i = 0; i < CPU_ROW; i++) {
            const double x = f->a + (double)(int64_t)(draws[i] >> 11) * 0x1p-53 * f->b;
            v->f64[i] = x > f->most ? f->most : x;
        }
        return;
    }
    uint32_t draws[CPU_ROW];
    draw(f->key, f->call, block, draws);
    const float lo = (float)f->a, width = (float)(f->b * ldexp(1, -f->bits)), most = (float)f->most;
    const int shift = 32 - f->bits;
    for (int i = 0; i < CPU_ROW; i++) {
        const float x = lo + (float)(int32_t)(draws[i] >> shift) * width;
        v->f32[i] = x > most ? most : x;
    }
}

/* The dtype's largest value below hi: rounding must not reach it. */
static double below(double hi, dl_dtype type) {
    if (type == DL_F64) return nextafter(hi, -INFINITY);
    const float f = (float)hi;
    if (type == DL_F32) return (double)f < hi ? (double)f : (double)nextafterf(f, -INFINITY);
    const int mantissa = type == DL_F16 ? 13 : 16; /* bits that f32 has more */
    uint32_t bits = cpu_float_bits(f) >> mantissa << mantissa;
    if (f < 0 && (double)cpu_bits_float(bits) >= hi) return (double)cpu_bits_float(bits + (1u << mantissa));
    if ((double)cpu_bits_float(bits) < hi) return (double)cpu_bits_float(bits);
    return bits ? (double)cpu_bits_float(bits - (1u << mantissa)) : -0x1p-24;
}

static dl_status run_uniform(const dl_frame *frame, const dl_plan *plan) {
    (void)plan;
    static const int digits[] = {[DL_F32] = 24, [DL_F64] = 53, [DL_F16] = 11, [DL_BF16] = 8};
    const dl_dtype type = frame->out[0]->type;
    const double lo = number(frame, 1), hi = number(frame, 2);
    fill f = {.make = make_uniform, .a = lo, .b = hi - lo, .most = hi > lo ? below(hi, type) : lo, .bits = digits[type]};
    if (f.most < lo) f.most = lo;
    return run_fill(frame, &f);
}

/* ---- normal: G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", 1958 -------------------- */

/* Elements 2j and 2j + 1 share their two draws: a radius and an angle. */
static void make_normal(const fill *f, uint64_t block, cpu_row_buffer *v) {
    enum { pairs = CPU_ROW / 2 };
    if (f->lane == CPU_LANE_F64) {
        uint64_t draws[CPU_ROW];
        draw_wide(f->key, f->call, block, draws);
        for (int i = 0; i < pairs; i++) {
            const double u = ((double)(int64_t)(draws[2 * i] >> 11) + 1) * 0x1p-53; /* (0, 1] */
            const double turn = (double)(int64_t)(draws[2 * i + 1] >> 11) * 0x1p-53;
            const double radius = sqrt(-2 * dl_log_f64(u)), angle = 6.283185307179586477 * turn;
            v->f64[2 * i] = f->a + f->b * (radius * cos(angle));
            v->f64[2 * i + 1] = f->a + f->b * (radius * sin(angle));
        }
        return;
    }
    uint32_t draws[CPU_ROW];
    float radius[pairs], angle[pairs], x[pairs], y[pairs];
    const float mean = (float)f->a, std = (float)f->b;
    draw(f->key, f->call, block, draws);
    for (int i = 0; i < pairs; i++) {
        const uint32_t size = draws[2 * i], turn = draws[2 * i + 1];
        /* The halves are converted apart because only signed conversions are instructions everywhere. */
        const float u = ((float)(int32_t)(size >> 16) * 0x1p16f + (float)(int32_t)(size & 0xffffu) + 0.5f) * 0x1p-32f;
        radius[i] = sqrtf(-2 * dl_log_f32(u));
        angle[i] = (float)(int32_t)(turn >> 8) * (float)(6.283185307179586477 * 0x1p-24);
    }
    for (int i = 0; i < pairs; i++) x[i] = mean + std * (radius[i] * dl_cos_f32(angle[i]));
    for (int i = 0; i < pairs; i++) y[i] = mean + std * (radius[i] * dl_sin_f32(angle[i]));
    for (int i = 0; i < pairs; i++) v->f32[2 * i] = x[i], v->f32[2 * i + 1] = y[i];
}

static dl_status run_normal(const dl_frame *frame, const dl_plan *plan) {
    (void)plan;
    fill f = {.make = make_normal, .a = number(frame, 1), .b = number(frame, 2)};
    return run_fill(frame, &f);
}

/* Only floating results. */
static dl_status prepare_floating(const dl_frame *f, dl_plan *plan) {
    plan->sharing = DL_PLAN_PER_TYPE;
    return f->out[0]->type <= DL_BF16 ? DL_OK : DL_UNSUPPORTED;
}

/* ---- bernoulli and random_int ------------------------------------------------------------------------------------------ */

/* A value of the lane: n of them from integers of which each lane holds every one that its dtypes can. */
static void store_integers(cpu_lane lane, const int64_t *from, cpu_row_buffer *v) {
    if (lane == CPU_LANE_F32)
        for (int i = 0; i < CPU_ROW; i++) v->f32[i] = (float)from[i];
    else if (lane == CPU_LANE_F64)
        for (int i = 0; i < CPU_ROW; i++) v->f64[i] = (double)from[i];
    else
        memcpy(v->i64, from, sizeof v->i64);
}

static void make_bernoulli(const fill *f, uint64_t block, cpu_row_buffer *v) {
    uint32_t draws[CPU_ROW];
    int64_t hits[CPU_ROW];
    draw(f->key, f->call, block, draws);
    for (int i = 0; i < CPU_ROW; i++) hits[i] = draws[i] < f->threshold;
    store_integers(f->lane, hits, v);
}

static dl_status run_bernoulli(const dl_frame *frame, const dl_plan *plan) {
    (void)plan;
    fill f = {.make = make_bernoulli, .threshold = dl_random_threshold(number(frame, 1))};
    return run_fill(frame, &f);
}

__extension__ typedef unsigned __int128 uint128;

/* A draw scaled to 0..range - 1; 2^16 and more values need 64 bits to be even to 2^-48. range 0 means 2^64. */
enum { NARROW = 1 << 16 };
static inline uint64_t scaled(uint64_t wide, uint64_t range) { return range ? (uint64_t)((uint128)wide * range >> 64) : wide; }

static void make_random_int(const fill *f, uint64_t block, cpu_row_buffer *v) {
    int64_t values[CPU_ROW];
    if (f->range && f->range <= NARROW) {
        uint32_t draws[CPU_ROW];
        draw(f->key, f->call, block, draws);
        for (int i = 0; i < CPU_ROW; i++) values[i] = f->lo + (int64_t)(draws[i] * f->range >> 32);
    } else {
        uint64_t draws[CPU_ROW];
        draw_wide(f->key, f->call, block, draws);
        for (int i = 0; i < CPU_ROW; i++) values[i] = (int64_t)((uint64_t)f->lo + scaled(draws[i], f->range));
    }
    store_integers(f->lane, values, v);
}

static dl_status run_random_int(const dl_frame *frame, const dl_plan *plan) {
    (void)plan;
    const int64_t lo = frame->attr[1].v.i, hi = frame->attr[2].v.i;
    fill f = {.make = make_random_int, .lo = lo, .range = (uint64_t)hi - (uint64_t)lo + 1};
    return run_fill(frame, &f);
}

/* ---- randperm: R. Durstenfeld, "Algorithm 235: Random permutation", CACM 1964 ------------------------------------------ */

static dl_status prepare_randperm(const dl_frame *f, dl_plan *plan) {
    plan->scratch_bytes = (uint64_t)cpu_count(f->out[0]) * sizeof(int64_t);
    return DL_OK;
}

/* Position i, from the last down, is exchanged with position scaled(draw i, i + 1). */
static dl_status run_randperm(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *out = f->out[0];
    const int64_t n = cpu_count(out);
    int64_t *order = (int64_t *)f->scratch;
    uint64_t draws[CPU_ROW];
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1, block = -1; i > 0; i--) {
        if (i / CPU_ROW != block) block = i / CPU_ROW, draw_wide(f->random_key, f->random_call, (uint64_t)block, draws);
        const int64_t j = (int64_t)scaled(draws[i % CPU_ROW], (uint64_t)i + 1), last = order[i];
        order[i] = order[j];
        order[j] = last;
    }
    char *data = (char *)cpu_data(out);
    for (int64_t i = 0; i < n; i += CPU_ROW)
        cpu_row_write(out->type, data + i * out->strides[0] * cpu_size(out->type), out->strides[0],
                      n - i < CPU_ROW ? n - i : CPU_ROW, CPU_LANE_I64, order + i);
    return DL_OK;
}

/* ---- dropout ----------------------------------------------------------------------------------------------------------- */

typedef struct dropout {
    const dl_tensor *x, *out, *mask;
    cpu_loop loop; /* over x, out, mask */
    uint64_t key, call, threshold;
    double scale;
} dropout;

static void dropout_blocks(void *context, int64_t begin, int64_t end) {
    const dropout *d = (const dropout *)context;
    const int64_t size = cpu_size(d->x->type);
    const char *x = (const char *)cpu_data(d->x);
    char *out = (char *)cpu_data(d->out);
    uint8_t *mask = (uint8_t *)cpu_data(d->mask);
    const cpu_lane lane = cpu_lane_of(d->x->type);
    const float scale = (float)d->scale;
    const uint32_t threshold = (uint32_t)d->threshold; /* 2^32 drops everything */
    const int any = d->threshold >> 32 == 0;
    uint32_t draws[CPU_ROW];
    uint8_t keep[CPU_ROW];
    cpu_row_buffer buffer, result;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * CPU_ROW, last = first + CPU_ROW < d->loop.count ? first + CPU_ROW : d->loop.count;
        draw(d->key, d->call, (uint64_t)block, draws);
        for (int i = 0; i < CPU_ROW; i++) keep[i] = draws[i] >= threshold && any;
        cpu_walk w;
        cpu_walk_begin(&w, &d->loop, first, last);
        const uint8_t *k = keep;
        for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0; k += n) {
            const void *row = cpu_row_read(d->x->type, x + w.at[0] * size, cpu_loop_step(&d->loop, 0), n, lane, &buffer);
            if (lane == CPU_LANE_F32)
                for (int64_t i = 0; i < n; i++) result.f32[i] = k[i] ? ((const float *)row)[i] * scale : 0;
            else
                for (int64_t i = 0; i < n; i++) result.f64[i] = k[i] ? ((const double *)row)[i] * d->scale : 0;
            cpu_row_write(d->out->type, out + w.at[1] * size, cpu_loop_step(&d->loop, 1), n, lane, &result);
            cpu_row_copy(DL_U8, mask + w.at[2], cpu_loop_step(&d->loop, 2), k, 1, n);
        }
    }
}

static dl_status prepare_dropout(const dl_frame *f, dl_plan *plan) {
    plan->sharing = DL_PLAN_PER_TYPE;
    const int ok = f->in[0]->type <= DL_BF16 && f->out[0]->type == f->in[0]->type && f->out[1]->type == DL_U8;
    return ok ? DL_OK : DL_UNSUPPORTED;
}

static dl_status run_dropout(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const double p = number(f, 0);
    dropout d = {.x = f->in[0], .out = f->out[0], .mask = f->out[1], .key = f->random_key, .call = f->random_call};
    d.threshold = dl_random_threshold(p);
    d.scale = p < 1 ? 1 / (1 - p) : 0;
    cpu_loop_init(&d.loop, 3);
    for (int32_t k = 0; k < d.x->ndim; k++)
        cpu_loop_dim(&d.loop, d.x->shape[k], d.x->strides[k], d.out->strides[k], d.mask->strides[k], 0);
    cpu_loop_merge(&d.loop);
    cpu_parallel((d.loop.count + CPU_ROW - 1) / CPU_ROW, GRAIN, dropout_blocks, &d);
    return DL_OK;
}

dl_status CPU_ISA(register_random)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("uniform", prepare_floating, run_uniform),   CPU_KERNEL("normal", prepare_floating, run_normal),
        CPU_KERNEL("bernoulli", NULL, run_bernoulli),           CPU_KERNEL("random_int", NULL, run_random_int),
        CPU_KERNEL("randperm", prepare_randperm, run_randperm), CPU_KERNEL("dropout", prepare_dropout, run_dropout),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
