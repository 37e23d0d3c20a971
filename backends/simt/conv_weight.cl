/* conv_weight.cl - the gradient towards the weight as a product of tiles over the results of all samples. */
#include "backends/simt/tile.h"
#include "backends/simt/box.h"
#include "backends/simt/conv.h"

/* Rows: filters; columns: (channel, kernel place); inner: results of all samples, cut into splits. Groups: column tiles, row
 * tiles, splits, groups. T1 is T, or A where there are parts to be summed by conv_sum: (splits, groups, filters, columns). */
#define WEIGHT_A(row, k)                                                                                                       \
    (row_0 + (row) < rows ? LOAD(grad, grad_0 + (row_0 + (row)) * s.y_c + (k) / plane * s.y_n +                                \
                                           y_place(&s, PLACE_OF((k) % plane, s.out)))                                          \
                          : (A)0)
#define WEIGHT_B(k, column)                                                                                                    \
    (mine < columns ? read_x(in, in_0 + (k) / plane * s.x_n, &s, PLACE_OF((k) % plane, s.out), (u32)mine % volume) : (A)0)
KERNEL void conv_backward_weight(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *in, i64 in_at, GLOBAL T1 *out, i64 out_at,
                                 conv_shape s) {
    const i64 plane = VOLUME(s.out);
    CONV_TILE(s.filters, s.channels * volume);
    const i64 split = rest % s.splits, g = rest / s.splits, mine = column_0 + id % TILE;
    const i64 grad_0 = grad_at + g * s.filters * s.y_c;
    const i64 in_0 = in_at + (g * s.channels + (u32)mine / volume) * s.x_c;
    const i64 begin = split * s.split, all = s.samples * plane, end = begin + s.split < all ? begin + s.split : all;
    SUM_PRODUCTS(begin, end, 1, WEIGHT_A, 0, WEIGHT_B)
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const i64 row = row_0 + y + TILE_SIDE * i, column = column_0 + x + TILE_SIDE * j, filter = g * s.filters + row;
            if (row >= rows || column >= columns) continue;
            const i64 at = s.splits > 1 ? split * s.part + filter * columns + column
                                        : filter * s.w_o + (u32)column / volume * s.w_c +
                                              w_element(&s, PLACE_OF((u32)column % volume, s.window));
            STORE1(out, out_at + at, sums[i][j]);
        }
}

/* The sums of parts of type T, (splits, filters of all groups, columns), to a weight of type T1. */
KERNEL void conv_sum(GLOBAL const T *parts, i64 parts_at, GLOBAL T1 *out, i64 out_at, conv_shape s) {
    const u32 volume = (u32)VOLUME(s.window);
    const i64 columns = s.channels * volume;
    for (i64 i = global_id(0); i < s.part; i += global_size(0)) {
        const u32 column = (u32)(i % columns);
        A sum = (A)0;
        for (i64 split = 0; split < s.splits; split++) sum += LOAD(parts, parts_at + split * s.part + i);
        STORE1(out,
               out_at + i / columns * s.w_o + column / volume * s.w_c + w_element(&s, PLACE_OF(column % volume, s.window)), sum);
    }
}
