/* gemm.cl - a batch of products, by tiles. */
#include "backends/simt/tile.h"
#include "backends/simt/gemm.h"

#define GEMM_A(row, k) (row_0 + (row) < s.rows ? LOAD(a, a_0 + (row) * s.a_row + (k) * s.a_inner) : (A)0)
#define GEMM_B(k, column) (column_0 + (column) < s.columns ? LOAD(b, b_0 + (column) * s.b_column + (k) * s.b_inner) : (A)0)

/* y = alpha a b + beta c; with beta 0, c is not read. Groups: column tiles, then row tiles, splits, batch. */
KERNEL void gemm(GLOBAL const T *a, i64 a_at, GLOBAL const T *b, i64 b_at, GLOBAL const T *c, i64 c_at, GLOBAL T1 *out,
                 i64 out_at, gemm_shape s, A alpha, A beta) {
    TILES;
    const i64 across = (s.columns + TILE - 1) / TILE, down = (s.rows + TILE - 1) / TILE;
    const i64 group = group_id(0), split = group / (across * down) % s.splits, batch = group / (across * down) / s.splits;
    const i64 column_0 = group % across * TILE, row_0 = group / across % down * TILE;
    const i64 a_0 = a_at + batch * s.a_batch + row_0 * s.a_row, b_0 = b_at + batch * s.b_batch + column_0 * s.b_column;
    const i64 begin = split * s.split, end = begin + s.split < s.inner ? begin + s.split : s.inner;
    const int a_along = s.a_inner < s.a_row, b_along = s.b_inner < s.b_column;
    SUM_PRODUCTS(begin, end, a_along, GEMM_A, b_along, GEMM_B)
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const i64 row = row_0 + y + TILE_SIDE * i, column = column_0 + x + TILE_SIDE * j;
            if (row >= s.rows || column >= s.columns) continue;
            A v = alpha * sums[i][j];
            if (beta != (A)0) v += beta * LOAD(c, c_at + batch * s.c_batch + row * s.c_row + column * s.c_column);
            STORE1(out, out_at + batch * s.y_batch + split * s.y_split + row * s.y_row + column * s.y_column, v);
        }
}

/* The second stage where the inner dimension was split: parts (splits, batch, rows, columns) of type T are summed into out. */
KERNEL void gemm_sum(GLOBAL const T *parts, i64 parts_at, GLOBAL const T1 *c, i64 c_at, GLOBAL T1 *out, i64 out_at,
                     gemm_shape s, A alpha, A beta) {
    const i64 n = s.batch * s.rows * s.columns;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const i64 column = i % s.columns, row = i / s.columns % s.rows, batch = i / s.columns / s.rows;
        A sum = (A)0;
        for (i64 split = 0; split < s.splits; split++) sum += LOAD(parts, parts_at + split * n + i);
        sum *= alpha;
        if (beta != (A)0) sum += beta * LOAD1(c, c_at + batch * s.c_batch + row * s.c_row + column * s.c_column);
        STORE1(out, out_at + batch * s.y_batch + row * s.y_row + column * s.y_column, sum);
    }
}
