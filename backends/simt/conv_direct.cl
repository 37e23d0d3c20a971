/* conv_direct.cl - convolutions of few channels, where tiles would be mostly empty: an item for each result. */
#include "backends/simt/tile.h"
#include "backends/simt/box.h"
#include "backends/simt/conv.h"

KERNEL void direct_forward(GLOBAL const T *in, i64 in_at, GLOBAL const T *w, i64 w_at, GLOBAL const T *bias, i64 bias_at,
                           i64 bias_step, GLOBAL T *out, i64 out_at, conv_shape s) {
    const i64 plane = VOLUME(s.out), filters = s.groups * s.filters, n = s.samples * filters * plane;
    const u32 volume = (u32)VOLUME(s.window);
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const place o = PLACE_OF(i % plane, s.out);
        const i64 filter = i / plane % filters, sample = i / plane / filters, channel = filter / s.filters * s.channels;
        A sum = (A)0;
        for (i64 c = 0; c < s.channels; c++) {
            const i64 x_0 = in_at + sample * s.x_n + (channel + c) * s.x_c, w_0 = w_at + filter * s.w_o + c * s.w_c;
            for (u32 k = 0; k < volume; k++)
                sum = MULTIPLY_ADD(read_x(in, x_0, &s, o, k), LOAD(w, w_0 + w_element(&s, PLACE_OF(k, s.window))), sum);
        }
        if (bias_step >= 0) sum += LOAD(bias, bias_at + filter * bias_step);
        STORE(out, out_at + sample * s.y_n + filter * s.y_c + y_place(&s, o), sum);
    }
}

KERNEL void direct_backward_data(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *w, i64 w_at, GLOBAL T *out, i64 out_at,
                                 conv_shape s) {
    const i64 plane = VOLUME(s.in), channels = s.groups * s.channels, n = s.samples * channels * plane;
    const u32 volume = (u32)VOLUME(s.window);
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const place at = PLACE_OF(i % plane, s.in);
        const i64 channel = i / plane % channels, sample = i / plane / channels, filter = channel / s.channels * s.filters;
        A sum = (A)0;
        for (i64 f = filter; f < filter + s.filters; f++) {
            const i64 y_0 = grad_at + sample * s.y_n + f * s.y_c, w_0 = w_at + f * s.w_o + channel % s.channels * s.w_c;
            for (u32 k = 0; k < volume; k++)
                sum = MULTIPLY_ADD(read_y(grad, y_0, &s, at, k), LOAD(w, w_0 + w_element(&s, PLACE_OF(k, s.window))), sum);
        }
        STORE(out, out_at + sample * s.x_n + channel * s.x_c + x_place(&s, at), sum);
    }
}

/* A work group of CONV_GROUP items for each element of the weight; their sums are added in a tree. */
KERNEL void direct_backward_weight(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *in, i64 in_at, GLOBAL T *out, i64 out_at,
                                   conv_shape s) {
    LOCAL A sums[CONV_GROUP];
    const u32 volume = (u32)VOLUME(s.window), plane = (u32)VOLUME(s.out);
    const i64 group = group_id(0), channel = group / volume % s.channels, filter = group / volume / s.channels;
    const place k = PLACE_OF(group % volume, s.window);
    const i64 y_0 = grad_at + filter * s.y_c, x_0 = in_at + (filter / s.filters * s.channels + channel) * s.x_c;
    const int id = (int)local_id(0);
    A sum = (A)0;
    for (i64 sample = 0; sample < s.samples; sample++)
        for (u32 i = (u32)id; i < plane; i += CONV_GROUP) {
            const place o = PLACE_OF(i, s.out);
            const i64 element = x_element(&s, o, k);
            if (element >= 0)
                sum = MULTIPLY_ADD(LOAD(grad, y_0 + sample * s.y_n + y_place(&s, o)),
                                   LOAD(in, x_0 + sample * s.x_n + element), sum);
        }
    sums[id] = sum;
    BARRIER();
    for (int step = CONV_GROUP / 2; step > 0; step /= 2) {
        if (id < step) sums[id] += sums[id + step];
        BARRIER();
    }
    if (id == 0) STORE(out, out_at + filter * s.w_o + channel * s.w_c + w_element(&s, k), sums[0]);
}
