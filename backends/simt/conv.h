/* conv.h - the geometry of a convolution, for conv.c and for the kernels, which find in it what is read where; they include
 * box.h before it. */
#ifndef SIMT_CONV_H
#define SIMT_CONV_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

/* y stands for the result or its gradient, x for the input or its gradient. */
typedef struct conv_shape {
    i64 samples, groups, channels, filters; /* channels and filters of one group */
    i64 in[3], out[3], window[3], stride[3], padding[3], dilation[3];
    i64 x_n, x_c, x_s[3], y_n, y_c, y_s[3], w_o, w_c, w_s[3];
    i64 splits, split, part; /* as gemm's; backward towards the weight */
} conv_shape;

#define CONV_GROUP 256 /* items of a work group that makes one element of a weight's gradient; a power of two */

#ifdef KERNEL

/* Element of x behind its sample and channel that kernel place k of result o reads; -1: padding. */
DEVICE i64 x_element(const conv_shape *s, place o, place k) {
    const i64 d0 = o.d0 * s->stride[0] - s->padding[0] + k.d0 * s->dilation[0];
    const i64 d1 = o.d1 * s->stride[1] - s->padding[1] + k.d1 * s->dilation[1];
    const i64 d2 = o.d2 * s->stride[2] - s->padding[2] + k.d2 * s->dilation[2];
    if (d0 < 0 || d0 >= s->in[0] || d1 < 0 || d1 >= s->in[1] || d2 < 0 || d2 >= s->in[2]) return -1;
    return d0 * s->x_s[0] + d1 * s->x_s[1] + d2 * s->x_s[2];
}

/* The result along one dimension that reads place i by kernel place k; -1: none. */
DEVICE i64 result_along(i64 i, i64 k, i64 stride, i64 padding, i64 dilation, i64 out) {
    const i64 from = i + padding - k * dilation;
    if (from < 0) return -1;
    const u32 o = stride == 1 ? (u32)from : (u32)from / (u32)stride;
    return (i64)o * stride == from && o < out ? (i64)o : -1;
}

/* Element of y behind its sample and channel that reads place i of x by kernel place k; -1: none. */
DEVICE i64 y_element(const conv_shape *s, place i, place k) {
    const i64 d0 = result_along(i.d0, k.d0, s->stride[0], s->padding[0], s->dilation[0], s->out[0]);
    const i64 d1 = result_along(i.d1, k.d1, s->stride[1], s->padding[1], s->dilation[1], s->out[1]);
    const i64 d2 = result_along(i.d2, k.d2, s->stride[2], s->padding[2], s->dilation[2], s->out[2]);
    return d0 < 0 || d1 < 0 || d2 < 0 ? -1 : d0 * s->y_s[0] + d1 * s->y_s[1] + d2 * s->y_s[2];
}

DEVICE i64 w_element(const conv_shape *s, place k) { return ELEMENT(k, s->w_s); }
DEVICE i64 x_place(const conv_shape *s, place i) { return ELEMENT(i, s->x_s); }
DEVICE i64 y_place(const conv_shape *s, place o) { return ELEMENT(o, s->y_s); }

DEVICE A read_weight(GLOBAL const T *w, i64 at, const conv_shape *s, u32 filter, u32 channel, u32 k) {
    return LOAD(w, at + filter * s->w_o + channel * s->w_c + w_element(s, PLACE_OF(k, s->window)));
}
DEVICE A read_x(GLOBAL const T *x, i64 at, const conv_shape *s, place o, u32 k) {
    const i64 element = x_element(s, o, PLACE_OF(k, s->window));
    return element < 0 ? (A)0 : LOAD(x, at + element);
}
DEVICE A read_y(GLOBAL const T *y, i64 at, const conv_shape *s, place i, u32 k) {
    const i64 element = y_element(s, i, PLACE_OF(k, s->window));
    return element < 0 ? (A)0 : LOAD(y, at + element);
}

#define CONV_TILE(all_rows, all_columns)                                                                                       \
    TILES;                                                                                                                     \
    const u32 volume = (u32)VOLUME(s.window);                                                                                  \
    const i64 rows = (all_rows), columns = (all_columns);                                                                      \
    const i64 across = (columns + TILE - 1) / TILE, down = (rows + TILE - 1) / TILE, tile = group_id(0);                       \
    const i64 column_0 = tile % across * TILE, row_0 = tile / across % down * TILE, rest = tile / across / down

#endif
#endif
