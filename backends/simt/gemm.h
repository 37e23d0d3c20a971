/* gemm.h - how the products of gemm.cl are cut. */
#ifndef SIMT_GEMM_H
#define SIMT_GEMM_H
#include "backends/simt/simt.h"

enum { GEMM_TILE = 64, GEMM_SIDE = 16 };

static inline int64_t gemm_tiles(int64_t rows, int64_t columns) {
    return ((rows + GEMM_TILE - 1) / GEMM_TILE) * ((columns + GEMM_TILE - 1) / GEMM_TILE);
}

/* Into how many parts an inner dimension is cut where `tiles` work groups alone would leave a large device idle. Depends on
 * the shape alone, so that results do too. */
static inline int64_t gemm_splits(int64_t tiles, int64_t inner) {
    enum { ENOUGH_TILES = 64, LEAST_INNER = 256 };
    if (tiles == 0 || tiles >= ENOUGH_TILES || inner < 2 * LEAST_INNER) return 1;
    const int64_t wanted = ENOUGH_TILES / tiles, possible = inner / LEAST_INNER;
    return wanted < possible ? wanted : possible;
}

/* What partial sums of a dtype are kept as. */
static inline dl_dtype gemm_sum_type(dl_dtype type) { return type == DL_F64 ? DL_F64 : DL_F32; }

/* Whether so many work groups can be launched at once. */
static inline int gemm_groups_fit(int64_t groups) { return groups <= INT32_MAX; }

#endif
