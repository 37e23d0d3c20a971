/* conv_data.cl - the gradient towards the input as a product of tiles: every place gathers what was made of it. */
#include "backends/simt/tile.h"
#include "backends/simt/box.h"
#include "backends/simt/conv.h"

/* Rows: channels; columns: places of x in all samples; inner: (filter, kernel place). */
#define DATA_A(row, k)                                                                                                         \
    (row_0 + (row) < rows ? read_weight(w, w_0 + (row_0 + (row)) * s.w_c, &s, (u32)(k) / volume, 0, (u32)(k) % volume) : (A)0)
#define DATA_B(k, column)                                                                                                      \
    (mine < columns ? read_y(grad, grad_0 + (u32)(k) / volume * s.y_c, &s, my_place, (u32)(k) % volume) : (A)0)
KERNEL void conv_backward_data(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *w, i64 w_at, GLOBAL T *out, i64 out_at,
                               conv_shape s) {
    const i64 plane = VOLUME(s.in);
    CONV_TILE(s.channels, s.samples * plane);
    const i64 mine = column_0 + id % TILE, w_0 = w_at + rest * s.filters * s.w_o;
    const i64 grad_0 = grad_at + rest * s.filters * s.y_c + mine / plane * s.y_n;
    const place my_place = PLACE_OF(mine % plane, s.in);
    SUM_PRODUCTS(0, s.filters * volume, 0, DATA_A, 0, DATA_B)
    for (int j = 0; j < EACH; j++) {
        const i64 column = column_0 + x + TILE_SIDE * j;
        if (column >= columns) continue;
        const i64 to = out_at + column / plane * s.x_n + x_place(&s, PLACE_OF(column % plane, s.in));
        for (int i = 0; i < EACH; i++) {
            const i64 row = row_0 + y + TILE_SIDE * i;
            if (row < rows) STORE(out, to + (rest * s.channels + row) * s.x_c, sums[i][j]);
        }
    }
}
