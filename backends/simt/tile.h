/* tile.h - products of tiles: what the kernels of gemm and of the convolutions share, and what their host parts know of them.
 * As loop.h, one text for both sides.
 *
 * A work group of TILE_SIDE x TILE_SIDE items makes TILE x TILE results. It holds DEPTH inner places of both factors in local
 * memory; an item has EACH x EACH results, rows y + TILE_SIDE i and columns x + TILE_SIDE j, so that neighbours read
 * neighbouring columns. */
#ifndef SIMT_TILE_H
#define SIMT_TILE_H

#define TILE 64
#define TILE_SIDE 16

#ifdef KERNEL /* ---- in kernels */

#define DEPTH 16
#define EACH 4

/* One rounding where the device has that in hardware, else two. */
#if defined(__CUDACC__) || (defined(T_IS_f64) ? defined(FP_FAST_FMA) : defined(FP_FAST_FMAF))
#define MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif

/* sums[i][j] += the products over inner places begin <= k < end. A_AT(row, k) and B_AT(k, column) read a factor, 0 outside of
 * it; row and column count from the tile's first. a_along, b_along: 1 where neighbouring items shall read neighbouring k, else
 * they read neighbouring rows or columns, and an item's row or column is always id % TILE. */
#define SUM_PRODUCTS(begin, end, a_along, A_AT, b_along, B_AT)                                                                 \
    for (i64 first = begin; first < end; first += DEPTH) {                                                                     \
        for (int t = 0; t < TILE * DEPTH / (TILE_SIDE * TILE_SIDE); t++) {                                                     \
            const int a_row = a_along ? id / DEPTH + TILE_SIDE * t : id % TILE,                                                \
                      a_k = a_along ? id % DEPTH : id / TILE + 4 * t;                                                          \
            const int b_column = b_along ? id / DEPTH + TILE_SIDE * t : id % TILE,                                             \
                      b_k = b_along ? id % DEPTH : id / TILE + 4 * t;                                                          \
            a_tile[a_k][a_row] = first + a_k < end ? A_AT(a_row, first + a_k) : (A)0;                                          \
            b_tile[b_k][b_column] = first + b_k < end ? B_AT(first + b_k, b_column) : (A)0;                                    \
        }                                                                                                                      \
        BARRIER();                                                                                                             \
        for (int k = 0; k < DEPTH; k++)                                                                                        \
            for (int i = 0; i < EACH; i++)                                                                                     \
                for (int j = 0; j < EACH; j++)                                                                                 \
                    sums[i][j] = MULTIPLY_ADD(a_tile[k][y + TILE_SIDE * i], b_tile[k][x + TILE_SIDE * j], sums[i][j]);         \
        BARRIER();                                                                                                             \
    }

#define TILES                                                                                                                  \
    LOCAL A a_tile[DEPTH][TILE + 1];                                                                                           \
    LOCAL A b_tile[DEPTH][TILE + 1];                                                                                           \
    const int x = (int)local_id(0), y = (int)local_id(1), id = y * TILE_SIDE + x;                                              \
    A sums[EACH][EACH];                                                                                                        \
    for (int i = 0; i < EACH; i++)                                                                                             \
        for (int j = 0; j < EACH; j++) sums[i][j] = (A)0

#else /* ---- on the host */
#include "backends/simt/simt.h"

static inline int64_t tile_count(int64_t rows, int64_t columns) {
    return ((rows + TILE - 1) / TILE) * ((columns + TILE - 1) / TILE);
}

/* Into how many parts an inner dimension is cut where `tiles` work groups alone would leave a large device idle. Depends on
 * the shape alone, so that results do too. */
static inline int64_t tile_splits(int64_t tiles, int64_t inner) {
    enum { ENOUGH_TILES = 64, LEAST_INNER = 256 };
    if (tiles == 0 || tiles >= ENOUGH_TILES || inner < 2 * LEAST_INNER) return 1;
    const int64_t wanted = ENOUGH_TILES / tiles, possible = inner / LEAST_INNER;
    return wanted < possible ? wanted : possible;
}

/* What partial sums of a dtype are kept as. */
static inline dl_dtype tile_sum_type(dl_dtype type) { return type == DL_F64 ? DL_F64 : DL_F32; }

/* Whether so many work groups can be launched at once. */
static inline int tile_groups_fit(int64_t groups) { return groups <= INT32_MAX; }

/* Enqueues one group of items for each of `groups` tiles. */
static inline dl_status tile_launch(const dl_frame *f, void *function, int64_t groups, const simt_args *a) {
    const uint32_t grid[3] = {(uint32_t)groups, 1, 1}, block[3] = {TILE_SIDE, TILE_SIDE, 1};
    return simt_launch(f, function, grid, block, a);
}

#endif
#endif
