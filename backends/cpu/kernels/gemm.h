/* gemm.h - whole matrix products from tile.h's parts: C (m x n) = A (m x k) * B (k x n).
 *
 * C is cut into tiles. Where B's columns do not lie side by side, or its rows lie too far apart for the caches, it is first
 * packed into panels, one tile wide and k high; A likewise into strips, one tile high. The last panel is packed and padded with
 * zeros whenever n is not a whole number of vectors, so that tiles load whole vectors only. */

/* packed[j * width + i] = source[i * along + j * deep] for i < count, 0 up to width; j < k. */
static inline __attribute__((always_inline)) void GEMM(pack_as)(const void *source, dl_dtype type, int64_t along, int64_t deep,
                                                                int64_t count, int64_t width, int64_t k, GEMM_T *packed) {
    enum { block = 16 }; /* of k: one cache line of a source that runs along k */
    for (int64_t j0 = 0; j0 < k; j0 += block) {
        const int64_t j1 = j0 + block < k ? j0 + block : k;
        if (along == 1) {
            for (int64_t j = j0; j < j1; j++)
                for (int64_t i = 0; i < count; i++) packed[j * width + i] = GEMM(load)(source, i + j * deep, type);
        } else {
            for (int64_t i = 0; i < count; i++)
                for (int64_t j = j0; j < j1; j++) packed[j * width + i] = GEMM(load)(source, i * along + j * deep, type);
        }
        for (int64_t j = j0; j < j1; j++)
            for (int64_t i = count; i < width; i++) packed[j * width + i] = 0;
    }
}
static void GEMM(pack)(const void *source, dl_dtype type, int64_t along, int64_t deep, int64_t count, int64_t width, int64_t k,
                       GEMM_T *packed) {
#if GEMM_BYTES == 4
    if (type == DL_F16) {
        GEMM(pack_as)(source, DL_F16, along, deep, count, width, k, packed);
        return;
    }
    if (type == DL_BF16) {
        GEMM(pack_as)(source, DL_BF16, along, deep, count, width, k, packed);
        return;
    }
#endif
    (void)type;
    if (deep == 1 && along != 1) {
        GEMM(transpose)((const GEMM_T *)source, along, count, k, packed, width);
        for (int64_t j = 0; j < k && count < width; j++)
            for (int64_t i = count; i < width; i++) packed[j * width + i] = 0;
        return;
    }
    GEMM(pack_as)(source, GEMM_TYPE, along, deep, count, width, k, packed);
}

/* Packs strips s0..s1 of A and panels p0..p1 of B, those that are to be packed. */
static void GEMM(pack_parts)(const gemm *g, const gemm_data *d, int64_t s0, int64_t s1, int64_t p0, int64_t p1) {
    if (g->pack_a)
        for (int64_t s = s0; s < s1; s++) {
            const int64_t row = gemm_strip(g, s), rows = gemm_strip(g, s + 1) - row;
            GEMM(pack)
            ((const char *)d->a + row * g->a_row * cpu_size(g->type), g->type, g->a_row, g->a_col, rows, rows, g->k,
             (GEMM_T *)d->packed_a + row * g->k);
        }
    for (int64_t p = p0 > g->first_packed ? p0 : g->first_packed; p < p1; p++) {
        const int64_t v = gemm_panel(g, p), column = v * GEMM(lanes), width = (gemm_panel(g, p + 1) - v) * GEMM(lanes);
        const int64_t count = g->n - column < width ? g->n - column : width;
        GEMM(pack)
        ((const char *)d->b + column * g->b_col * cpu_size(g->type), g->type, g->b_col, g->b_row, count, width, g->k,
         (GEMM_T *)d->packed_b + (v - gemm_panel(g, g->first_packed)) * GEMM(lanes) * g->k);
    }
}

/* C's part that strips s0..s1 and panels p0..p1 make, all packing done. */
static void GEMM(multiply)(const gemm *g, const gemm_data *d, int64_t s0, int64_t s1, int64_t p0, int64_t p1) {
    enum { depth = 2048 / GEMM_BYTES, strips = 96 / GEMM_ROWS }; /* a panel of this depth and the block stay in L2 */
    _Alignas(64) GEMM_T block[strips * GEMM_ROWS * GEMM(width)];
    const int plain = !d->add && !d->epilogue && d->alpha == 1 && d->c_col == 1 && d->type == GEMM_TYPE;
    for (int64_t s = s0; s < s1; s += strips) {
        const int64_t last = s + strips < s1 ? s + strips : s1, first_row = gemm_strip(g, s);
        for (int64_t p = p0; p < p1; p++) {
            const int64_t v = gemm_panel(g, p), vectors = gemm_panel(g, p + 1) - v, column = v * GEMM(lanes);
            const int64_t width = vectors * GEMM(lanes), columns = g->n - column < width ? g->n - column : width;
            const int packed = p >= g->first_packed, direct = plain && columns == width;
            const GEMM_T *b = packed ? (const GEMM_T *)d->packed_b + (v - gemm_panel(g, g->first_packed)) * GEMM(lanes) * g->k
                                     : (const GEMM_T *)d->b + column;
            const int64_t b_row = packed ? width : g->b_row, c_row = direct ? d->c_row : width;
            GEMM_T *c = direct ? (GEMM_T *)d->c + first_row * d->c_row + column : block;
            int64_t k = 0;
            do {
                const int64_t deep = g->k - k < depth ? g->k - k : depth;
                for (int64_t t = s; t < last; t++) {
                    const int64_t row = gemm_strip(g, t), rows = gemm_strip(g, t + 1) - row;
                    const GEMM_T *a = g->pack_a ? (const GEMM_T *)d->packed_a + row * g->k + k * rows
                                                : (const GEMM_T *)d->a + row * g->a_row + k * g->a_col;
                    GEMM(tiles)
                    [rows][vectors](deep, a, g->pack_a ? 1 : g->a_row, g->pack_a ? rows : g->a_col, b + k * b_row, b_row,
                                    c + (row - first_row) * c_row, c_row, k > 0);
                }
                k += deep;
            } while (k < g->k);
            if (!direct) GEMM(finish)(d, block, first_row, gemm_strip(g, last) - first_row, column, columns, width);
        }
    }
}

#undef GEMM_T
#undef GEMM_BYTES
#undef GEMM_TYPE
#undef GEMM
