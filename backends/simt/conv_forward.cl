/* conv_forward.cl - convolution as a product of tiles. The input is read where it lies: nothing is unrolled in memory. */
#include "backends/simt/tile.h"
#include "backends/simt/box.h"
#include "backends/simt/conv.h"

/* Rows: filters; columns: results of all samples; inner: (channel, kernel place). Groups: column tiles, row tiles, groups. */
#define FORWARD_A(row, k)                                                                                                      \
    (row_0 + (row) < rows ? read_weight(w, w_0 + (row_0 + (row)) * s.w_o, &s, 0, (u32)(k) / volume, (u32)(k) % volume) : (A)0)
#define FORWARD_B(k, column)                                                                                                   \
    (mine < columns ? read_x(in, in_0 + (u32)(k) / volume * s.x_c, &s, my_place, (u32)(k) % volume) : (A)0)
KERNEL void conv_forward(GLOBAL const T *in, i64 in_at, GLOBAL const T *w, i64 w_at, GLOBAL const T *bias, i64 bias_at,
                         i64 bias_step, GLOBAL T *out, i64 out_at, conv_shape s) {
    const i64 plane = VOLUME(s.out);
    CONV_TILE(s.filters, s.samples * plane);
    const i64 mine = column_0 + id % TILE, w_0 = w_at + rest * s.filters * s.w_o;
    const i64 in_0 = in_at + rest * s.channels * s.x_c + mine / plane * s.x_n;
    const place my_place = PLACE_OF(mine % plane, s.out);
    SUM_PRODUCTS(0, s.channels * volume, 1, FORWARD_A, 0, FORWARD_B)
    for (int j = 0; j < EACH; j++) {
        const i64 column = column_0 + x + TILE_SIDE * j;
        if (column >= columns) continue;
        const i64 to = out_at + column / plane * s.y_n + y_place(&s, PLACE_OF(column % plane, s.out));
        for (int i = 0; i < EACH; i++) {
            const i64 row = row_0 + y + TILE_SIDE * i, filter = rest * s.filters + row;
            if (row >= rows) continue;
            A v = sums[i][j];
            if (bias_step >= 0) v += LOAD(bias, bias_at + filter * bias_step);
            STORE(out, to + filter * s.y_c, v);
        }
    }
}
