/* pool.cl - pooling over the last dimensions, brought to three; the leading ones are planes. An item makes one element of the
 * result, but where elements are put at given places of a plane: there an item makes a whole plane, in order. */
#include "backends/simt/box.h"
#include "backends/simt/pool.h"

/* Where a plane begins, by the strides of one operand. */
#define PLANE_AT(strides)                                                                                                      \
    i64 at = 0;                                                                                                                \
    for (int d = (int)s->lead - 1; d >= 0; d--) {                                                                              \
        at += plane % s->size[d] * s->strides[d];                                                                              \
        plane /= s->size[d];                                                                                                   \
    }                                                                                                                          \
    return at
DEVICE i64 x_plane(const pool_shape *s, i64 plane) { PLANE_AT(x_lead); }
DEVICE i64 y_plane(const pool_shape *s, i64 plane) { PLANE_AT(y_lead); }
DEVICE i64 i_plane(const pool_shape *s, i64 plane) { PLANE_AT(i_lead); }
DEVICE i64 u_plane(const pool_shape *s, i64 plane) { PLANE_AT(u_lead); }

/* ---- windows -------------------------------------------------------------------------------------------------------------- */

/* Elements begin, begin + step, ... below end. padded: the window's size with the padding, but without what ceil_mode adds
 * behind that. */
typedef struct span {
    i64 begin, end, step, padded;
} span;

DEVICE span window_of(const pool_shape *s, int d, i64 o) {
    span w;
    if (s->kind == POOL_ADAPTIVE) {
        w.begin = o * s->in[d] / s->out[d];
        w.end = ((o + 1) * s->in[d] + s->out[d] - 1) / s->out[d];
        w.step = 1;
        w.padded = w.end - w.begin;
        return w;
    }
    const i64 first = o * s->stride[d] - s->padding[d], room = s->in[d] + s->padding[d] - first;
    w.step = s->dilation[d];
    w.begin = first < 0 ? first + (w.step - 1 - first) / w.step * w.step : first;
    w.end = first + w.step * (s->window[d] - 1) + 1;
    if (w.end > s->in[d]) w.end = s->in[d];
    w.padded = s->window[d] < room ? s->window[d] : room;
    return w;
}

#if DL_F64
typedef f64 position;
#else
typedef f32 position;
#endif

/* Window o of a dimension cut by a draw in 0..1. */
DEVICE span drawn_window(const pool_shape *s, int d, i64 o, position draw) {
    span w;
    const i64 room = s->in[d] - s->window[d];
    const position u = draw > 0 ? draw < 1 ? draw : (position)1 : (position)0;
    if (o == s->out[d] - 1) {
        w.begin = room;
    } else {
        const position apart = (position)room / (position)(s->out[d] - 1);
        w.begin = (i64)(((position)o + u) * apart) - (i64)(u * apart);
    }
    w.end = w.begin + s->window[d];
    w.step = 1;
    w.padded = s->window[d];
    return w;
}

/* ---- maximum -------------------------------------------------------------------------------------------------------------- */

/* The first of equal elements stays; of several NaN the last counts. T1: the type of the draws. */
KERNEL void max_pool(GLOBAL const T *x, i64 x_at, GLOBAL T *y, i64 y_at, GLOBAL i64 *index, i64 index_at, GLOBAL const T1 *draws,
                     i64 draws_at, pool_shape shape) {
    const pool_shape *s = &shape;
    const i64 each = VOLUME(s->out), n = s->planes * each;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const i64 plane = i / each, from = x_at + x_plane(s, plane);
        const place o = PLACE_OF(i % each, s->out);
        const i64 along[3] = {o.d0, o.d1, o.d2};
        span w[3];
        for (int d = 0; d < 3; d++) {
            if (s->kind == POOL_FRACTIONAL && d >= 3 - s->spatial)
                w[d] = drawn_window(
                    s, d, along[d],
                    (position)LOAD1(draws, draws_at + u_plane(s, plane) + (d - (3 - s->spatial)) * s->u_s));
            else
                w[d] = window_of(s, d, along[d]);
        }
        A best = (A)0;
        i64 where = -1;
        for (i64 a = w[0].begin; a < w[0].end; a += w[0].step)
            for (i64 b = w[1].begin; b < w[1].end; b += w[1].step)
                for (i64 c = w[2].begin; c < w[2].end; c += w[2].step) {
                    const A v = LOAD(x, from + a * s->x_s[0] + b * s->x_s[1] + c * s->x_s[2]);
                    if (where < 0 || v > best || v != v) {
                        best = v;
                        where = (a * s->in[1] + b) * s->in[2] + c;
                    }
                }
        STORE(y, y_at + y_plane(s, plane) + ELEMENT(o, s->y_s), best);
        index[index_at + i_plane(s, plane) + ELEMENT(o, s->i_s)] = where;
    }
}

/* ---- average -------------------------------------------------------------------------------------------------------------- */

DEVICE i64 count_of(span w) { return (w.end - w.begin + w.step - 1) / w.step; }

DEVICE A divisor_of(const pool_shape *s, span w0, span w1, span w2) {
    if (s->divisor > 0) return (A)s->divisor;
    return (A)(s->include_pad ? w0.padded * w1.padded * w2.padded : count_of(w0) * count_of(w1) * count_of(w2));
}

KERNEL void avg_pool(GLOBAL const T *x, i64 x_at, GLOBAL T *y, i64 y_at, pool_shape shape) {
    const pool_shape *s = &shape;
    const i64 each = VOLUME(s->out), n = s->planes * each;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const i64 plane = i / each, from = x_at + x_plane(s, plane);
        const place o = PLACE_OF(i % each, s->out);
        const span w0 = window_of(s, 0, o.d0), w1 = window_of(s, 1, o.d1), w2 = window_of(s, 2, o.d2);
        A sum = (A)0;
        for (i64 a = w0.begin; a < w0.end; a++)
            for (i64 b = w1.begin; b < w1.end; b++)
                for (i64 c = w2.begin; c < w2.end; c++) sum += LOAD(x, from + a * s->x_s[0] + b * s->x_s[1] + c * s->x_s[2]);
        STORE(y, y_at + y_plane(s, plane) + ELEMENT(o, s->y_s), sum / divisor_of(s, w0, w1, w2));
    }
}

/* The windows first..last that hold element i of a dimension; windows rise with their numbers. */
typedef struct holders {
    i64 first, last;
} holders;

DEVICE holders holders_of(const pool_shape *s, int d, i64 i) {
    holders h;
    if (s->kind == POOL_ADAPTIVE) {
        h.first = i * s->out[d] / s->in[d];
        h.last = ((i + 1) * s->out[d] + s->in[d] - 1) / s->in[d] - 1;
        return h;
    }
    const i64 reach = i + s->padding[d] - s->window[d];
    h.first = reach < 0 ? 0 : reach / s->stride[d] + 1;
    h.last = (i + s->padding[d]) / s->stride[d];
    if (h.last >= s->out[d]) h.last = s->out[d] - 1;
    return h;
}

KERNEL void avg_pool_backward(GLOBAL const T *grad, i64 grad_at, GLOBAL T *x, i64 x_at, pool_shape shape) {
    const pool_shape *s = &shape;
    const i64 each = VOLUME(s->in), n = s->planes * each;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const i64 plane = i / each, from = grad_at + y_plane(s, plane);
        const place p = PLACE_OF(i % each, s->in);
        const holders h0 = holders_of(s, 0, p.d0), h1 = holders_of(s, 1, p.d1), h2 = holders_of(s, 2, p.d2);
        A sum = (A)0;
        for (i64 a = h0.first; a <= h0.last; a++)
            for (i64 b = h1.first; b <= h1.last; b++)
                for (i64 c = h2.first; c <= h2.last; c++)
                    sum += LOAD(grad, from + a * s->y_s[0] + b * s->y_s[1] + c * s->y_s[2]) /
                           divisor_of(s, window_of(s, 0, a), window_of(s, 1, b), window_of(s, 2, c));
        STORE(x, x_at + x_plane(s, plane) + ELEMENT(p, s->x_s), sum);
    }
}

/* ---- places: x has the planes that indices count in, y is as many elements as there are indices ----------------------------- */

KERNEL void clear_planes(GLOBAL T *x, i64 x_at, pool_shape shape) {
    const pool_shape *s = &shape;
    const i64 each = VOLUME(s->in), n = s->planes * each;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const place p = PLACE_OF(i % each, s->in);
        STORE(x, x_at + x_plane(s, i / each) + ELEMENT(p, s->x_s), (A)0);
    }
}

#define FOR_PLACES                                                                                                             \
    const pool_shape *s = &shape;                                                                                              \
    const i64 each = VOLUME(s->out), limit = VOLUME(s->in);                                                                    \
    for (i64 plane = global_id(0); plane < s->planes; plane += global_size(0)) {                                               \
        const i64 x_0 = x_at + x_plane(s, plane), y_0 = y_at + y_plane(s, plane), i_0 = index_at + i_plane(s, plane);          \
        for (u32 i = 0; i < each; i++) {                                                                                       \
            const place o = PLACE_OF(i, s->out);                                                                               \
            const i64 number = index[i_0 + ELEMENT(o, s->i_s)];                                                                \
            if (number < 0 || number >= limit) {                                                                               \
                fault_set(fault + fault_at, DL_FAULT_INDEX, number);                                                           \
                continue;                                                                                                      \
            }                                                                                                                  \
            const place p = PLACE_OF(number, s->in);                                                                           \
            const i64 to = x_0 + ELEMENT(p, s->x_s), from = y_0 + ELEMENT(o, s->y_s)

/* Adds to x, whose type T1 is that of the sums. */
KERNEL void add_places(GLOBAL const T *y, i64 y_at, GLOBAL const i64 *index, i64 index_at, GLOBAL T1 *x, i64 x_at,
                       GLOBAL i32 *fault, i64 fault_at, pool_shape shape) {
    FOR_PLACES;
            STORE1(x, to, LOAD1(x, to) + LOAD(y, from));
        }
    }
}

/* Of equal places the last one counts. */
KERNEL void put_places(GLOBAL const T *y, i64 y_at, GLOBAL const i64 *index, i64 index_at, GLOBAL T *x, i64 x_at,
                       GLOBAL i32 *fault, i64 fault_at, pool_shape shape) {
    FOR_PLACES;
            x[to] = y[from];
        }
    }
}

/* Sums of type T, plane after plane, to x. */
KERNEL void round_planes(GLOBAL const T *sums, i64 sums_at, GLOBAL T1 *x, i64 x_at, pool_shape shape) {
    const pool_shape *s = &shape;
    const i64 each = VOLUME(s->in), n = s->planes * each;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const place p = PLACE_OF(i % each, s->in);
        STORE1(x, x_at + x_plane(s, i / each) + ELEMENT(p, s->x_s), LOAD(sums, sums_at + i));
    }
}

KERNEL void take_places(GLOBAL const T *x, i64 x_at, GLOBAL const i64 *index, i64 index_at, GLOBAL T *y, i64 y_at,
                        GLOBAL i32 *fault, i64 fault_at, pool_shape shape) {
    const pool_shape *s = &shape;
    const i64 each = VOLUME(s->out), limit = VOLUME(s->in), n = s->planes * each;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const i64 plane = i / each;
        const place o = PLACE_OF(i % each, s->out);
        i64 number = index[index_at + i_plane(s, plane) + ELEMENT(o, s->i_s)];
        if (number < 0 || number >= limit) {
            fault_set(fault + fault_at, DL_FAULT_INDEX, number);
            STORE(y, y_at + y_plane(s, plane) + ELEMENT(o, s->y_s), (A)0);
            continue;
        }
        const place p = PLACE_OF(number, s->in);
        y[y_at + y_plane(s, plane) + ELEMENT(o, s->y_s)] = x[x_at + x_plane(s, plane) + ELEMENT(p, s->x_s)];
    }
}
