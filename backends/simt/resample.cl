/* resample.cl - upsample and upsample_backward: an item for each element of the result. Positions are computed in the type that
 * elements are computed in, as on the CPU. step0 to step2: places of x from one result to the next along each dimension. The
 * kernels have other names than their ops because upsample is a function of OpenCL C. */
#include "backends/simt/resample.h"

#ifdef T_IS_f64
typedef f64 real;
#define REAL(x) (x)
#else
typedef f32 real;
#define REAL(x) (x##f)
#endif

/* A result along one dimension: weights of `count` places from `first` on, which are kept within the dimension. */
typedef struct taps {
    i64 first;
    int count;
    real weight[4];
} taps;

/* Cubic convolution with a = -0.75 at a distance below 1, and from 1 to 2 (Keys 1981, eq. 4). */
DEVICE real close_weight(real d) { return (REAL(1.25) * d - REAL(2.25)) * d * d + REAL(1.0); }
DEVICE real far_weight(real d) { return ((REAL(-0.75) * d + REAL(3.75)) * d - REAL(6.0)) * d + REAL(3.0); }

DEVICE i64 within(i64 place, i64 n) { return place < 0 ? 0 : place >= n ? n - 1 : place; }

DEVICE taps taps_of(const resample_shape *s, i64 n, real step, i64 i) {
    taps t;
    for (int k = 0; k < 4; k++) t.weight[k] = REAL(0.0);
    if (s->mode <= RESAMPLE_NEAREST_EXACT) {
        const real at = step * ((real)i + (s->mode == RESAMPLE_NEAREST_EXACT ? REAL(0.5) : REAL(0.0)));
        t.first = within((i64)floor(at < (real)n ? at : (real)n), n);
        t.count = 1;
        t.weight[0] = REAL(1.0);
        return t;
    }
    real at = step * (s->align_corners ? (real)i : (real)i + REAL(0.5));
    if (!s->align_corners) at -= REAL(0.5);
    if (at > (real)n) at = (real)n; /* a scale that was given may lead anywhere */
    if (s->mode == RESAMPLE_LINEAR && at < REAL(0.0)) at = REAL(0.0);
    const real whole = floor(at);
    if (s->mode == RESAMPLE_LINEAR) {
        t.first = within((i64)whole, n);
        t.count = 2;
        t.weight[1] = at - (real)t.first;
        if (t.weight[1] > REAL(1.0)) t.weight[1] = REAL(1.0);
        t.weight[0] = REAL(1.0) - t.weight[1];
        return t;
    }
    const real d = at - whole;
    t.first = (i64)whole - 1;
    t.count = 4;
    t.weight[0] = far_weight(d + REAL(1.0));
    t.weight[1] = close_weight(d);
    t.weight[2] = close_weight(REAL(1.0) - d);
    t.weight[3] = far_weight(REAL(2.0) - d);
    return t;
}

typedef struct element {
    i64 sample, channel, d0, d1, d2;
} element;

DEVICE element element_of(const resample_shape *s, const i64 *size, i64 i) {
    element e;
    e.d2 = i % size[2], i /= size[2];
    e.d1 = i % size[1], i /= size[1];
    e.d0 = i % size[0], i /= size[0];
    e.channel = i % s->channels;
    e.sample = i / s->channels;
    return e;
}

KERNEL void resample(GLOBAL const T *x, i64 x_at, GLOBAL T *y, i64 y_at, resample_shape shape, i64 n, real step0, real step1,
                     real step2) {
    const resample_shape *s = &shape;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const element e = element_of(s, s->to, i);
        const taps t0 = taps_of(s, s->from[0], step0, e.d0), t1 = taps_of(s, s->from[1], step1, e.d1);
        const taps t2 = taps_of(s, s->from[2], step2, e.d2);
        const i64 plane = x_at + e.sample * s->x_n + e.channel * s->x_c;
        real sum = REAL(0.0);
        for (int a = 0; a < t0.count; a++)
            for (int b = 0; b < t1.count; b++)
                for (int c = 0; c < t2.count; c++) {
                    const real v = (real)LOAD(x, plane + within(t0.first + a, s->from[0]) * s->x_s[0] +
                                                     within(t1.first + b, s->from[1]) * s->x_s[1] +
                                                     within(t2.first + c, s->from[2]) * s->x_s[2]);
                    sum += s->mode <= RESAMPLE_NEAREST_EXACT ? v : t0.weight[a] * t1.weight[b] * t2.weight[c] * v;
                }
        STORE(y, y_at + e.sample * s->y_n + e.channel * s->y_c + e.d0 * s->y_s[0] + e.d1 * s->y_s[1] + e.d2 * s->y_s[2],
              (A)sum);
    }
}

/* ---- backward: every place gathers from the results that it is a tap of -------------------------------------------------- */

/* Results first..last, among which are all that have a tap at the place: positions rise with the results. */
typedef struct readers {
    i64 first, last;
} readers;

DEVICE readers readers_of(const resample_shape *s, i64 n, i64 results, real step, i64 place) {
    const real reach = s->mode == RESAMPLE_CUBIC ? REAL(2.0) : REAL(1.0);
    const real shift = s->mode == RESAMPLE_NEAREST || s->align_corners ? REAL(0.0) : REAL(0.5);
    const real back = s->mode >= RESAMPLE_LINEAR ? shift : REAL(0.0);
    readers r;
    r.first = 0;
    r.last = results - 1;
    if (!(step > REAL(0.0))) return r;
    const real low = ((real)place - reach + back) / step - shift - REAL(1.0);
    const real high = ((real)place + reach + back) / step - shift + REAL(1.0);
    if (place > 0 && low > REAL(0.0)) r.first = low < (real)results ? (i64)low : results;
    if (place < n - 1 && high < (real)r.last) r.last = high > REAL(0.0) ? (i64)high + 1 : 0;
    if (r.last >= results) r.last = results - 1;
    return r;
}

/* How many of a result's taps are at the place, and their weight: 0 counts too, since it makes NaN of NaN. */
typedef struct share {
    int taps;
    real weight;
} share;

DEVICE share share_of(const resample_shape *s, i64 n, real step, i64 result, i64 place) {
    const taps t = taps_of(s, n, step, result);
    share h;
    h.taps = 0;
    h.weight = REAL(0.0);
    for (int k = 0; k < t.count; k++)
        if (within(t.first + k, n) == place) h.taps++, h.weight += t.weight[k];
    return h;
}

KERNEL void resample_backward(GLOBAL const T *y, i64 y_at, GLOBAL T *x, i64 x_at, resample_shape shape, i64 n, real step0,
                              real step1, real step2) {
    const resample_shape *s = &shape;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const element e = element_of(s, s->from, i);
        const readers r0 = readers_of(s, s->from[0], s->to[0], step0, e.d0);
        const readers r1 = readers_of(s, s->from[1], s->to[1], step1, e.d1);
        const readers r2 = readers_of(s, s->from[2], s->to[2], step2, e.d2);
        const i64 plane = y_at + e.sample * s->y_n + e.channel * s->y_c;
        real sum = REAL(0.0);
        for (i64 a = r0.first; a <= r0.last; a++) {
            const share h0 = share_of(s, s->from[0], step0, a, e.d0);
            if (h0.taps == 0) continue;
            for (i64 b = r1.first; b <= r1.last; b++) {
                const share h1 = share_of(s, s->from[1], step1, b, e.d1);
                if (h1.taps == 0) continue;
                for (i64 c = r2.first; c <= r2.last; c++) {
                    const share h2 = share_of(s, s->from[2], step2, c, e.d2);
                    if (h2.taps > 0)
                        sum += h0.weight * h1.weight * h2.weight *
                               (real)LOAD(y, plane + a * s->y_s[0] + b * s->y_s[1] + c * s->y_s[2]);
                }
            }
        }
        STORE(x, x_at + e.sample * s->x_n + e.channel * s->x_c + e.d0 * s->x_s[0] + e.d1 * s->x_s[1] + e.d2 * s->x_s[2],
              (A)sum);
    }
}
