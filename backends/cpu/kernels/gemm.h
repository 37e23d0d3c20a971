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

/* k is cut into blocks of this depth: one of a panel and of the strips that meet it stay in L2. */
enum { GEMM(depth) = 2048 / GEMM_BYTES, GEMM(block_strips) = 96 / GEMM_ROWS };

/* Where packed strips of A begin whose first row is `row`, in the block of k that begins at `k` and is `deep`: all strips of a
 * block lie side by side. */
static inline GEMM_T *GEMM(packed_strip)(const gemm *g, const gemm_data *d, int64_t row, int64_t k, int64_t deep) {
    return (GEMM_T *)d->packed_a + k * g->m + row * deep;
}

/* Packs strips s0..s1 of A and panels p0..p1 of B, those that are to be packed. */
static void GEMM(pack_parts)(const gemm *g, const gemm_data *d, int64_t s0, int64_t s1, int64_t p0, int64_t p1) {
    if (g->pack_a)
        for (int64_t s = s0; s < s1; s++) {
            const int64_t row = gemm_strip(g, s), rows = gemm_strip(g, s + 1) - row;
            for (int64_t k = 0; k < g->k; k += GEMM(depth)) {
                const int64_t deep = smaller(g->k - k, GEMM(depth));
                GEMM(pack)
                ((const char *)d->a + (row * g->a_row + k * g->a_col) * cpu_size(g->type), g->type, g->a_row, g->a_col, rows,
                 rows, deep, GEMM(packed_strip)(g, d, row, k, deep));
            }
        }
    for (int64_t p = p0 > g->first_packed ? p0 : g->first_packed; p < p1; p++) {
        const int64_t v = gemm_panel(g, p), column = v * GEMM(lanes), width = (gemm_panel(g, p + 1) - v) * GEMM(lanes);
        const int64_t count = g->n - column < width ? g->n - column : width;
        GEMM(pack)
        ((const char *)d->b + column * g->b_col * cpu_size(g->type), g->type, g->b_col, g->b_row, count, width, g->k,
         (GEMM_T *)d->packed_b + (v - gemm_panel(g, g->first_packed)) * GEMM(lanes) * g->k);
    }
}

/* One panel of C as it is computed. */
typedef struct GEMM(target) {
    int64_t column, columns, width; /* columns that exist, and those that tiles compute */
    const GEMM_T *b;
    int64_t b_row;
    GEMM_T *c; /* row 0 of the panel in C where tiles write there, else NULL */
} GEMM(target);

static GEMM(target) GEMM(target_of)(const gemm *g, const gemm_data *d, int64_t p) {
    const int64_t v = gemm_panel(g, p), column = v * GEMM(lanes), width = (gemm_panel(g, p + 1) - v) * GEMM(lanes);
    const int packed = p >= g->first_packed;
    GEMM(target) t = {column, smaller(g->n - column, width), width, NULL, packed ? width : g->b_row, NULL};
    t.b = packed ? (const GEMM_T *)d->packed_b + (v - gemm_panel(g, g->first_packed)) * GEMM(lanes) * g->k
                 : (const GEMM_T *)d->b + column;
    if (d->c_col == 1 && d->type == GEMM_TYPE && t.columns == width) t.c = (GEMM_T *)d->c + column;
    return t;
}

/* Strips s..last of a panel over the k of one block, into c (the block's first row) whose rows lie c_row apart. */
static void GEMM(tiles_of)(const gemm *g, const gemm_data *d, int64_t s, int64_t last, const GEMM(target) * t, int64_t k,
                           int64_t deep, GEMM_T *c, int64_t c_row) {
    const int64_t first_row = gemm_strip(g, s), vectors = t->width / GEMM(lanes);
    for (int64_t i = s; i < last; i++) {
        const int64_t row = gemm_strip(g, i), rows = gemm_strip(g, i + 1) - row;
        const GEMM_T *a =
            g->pack_a ? GEMM(packed_strip)(g, d, row, k, deep) : (const GEMM_T *)d->a + row * g->a_row + k * g->a_col;
        GEMM(tiles)
        [rows][vectors](deep, a, g->pack_a ? 1 : g->a_row, g->pack_a ? rows : g->a_col, t->b + k * t->b_row, t->b_row,
                        c + (row - first_row) * c_row, c_row, k > 0);
    }
}

/* C's part that strips s0..s1 and panels p0..p1 make, all packing done. Blocks of k come outside the panels, so that a block of
 * A is used for all panels while it is in L2; partial sums wait in C, or, where tiles cannot write there, the panel is computed
 * over all of k in `block`. */
static void GEMM(multiply)(const gemm *g, const gemm_data *d, int64_t s0, int64_t s1, int64_t p0, int64_t p1) {
    _Alignas(64) GEMM_T block[GEMM(block_strips) * GEMM_ROWS * GEMM(width)];
    const int plain = !d->add && !d->epilogue && d->alpha == 1;
    for (int64_t s = s0; s < s1; s += GEMM(block_strips)) {
        const int64_t last = smaller(s + GEMM(block_strips), s1), row = gemm_strip(g, s), rows = gemm_strip(g, last) - row;
        int64_t k = 0;
        do {
            const int64_t deep = smaller(g->k - k, GEMM(depth));
            const int ends = k + deep == g->k;
            for (int64_t p = p0; p < p1; p++) {
                const GEMM(target) t = GEMM(target_of)(g, d, p);
                if (t.c && (plain || !ends || k > 0)) {
                    GEMM_T *c = t.c + row * d->c_row;
                    GEMM(tiles_of)(g, d, s, last, &t, k, deep, c, d->c_row);
                    if (plain || !ends) continue;
                    for (int64_t r = 0; r < rows; r++)
                        memcpy(block + r * t.width, c + r * d->c_row, (size_t)t.width * sizeof *c);
                } else if (t.c) {
                    GEMM(tiles_of)(g, d, s, last, &t, k, deep, block, t.width);
                } else {
                    if (!ends) continue;
                    for (int64_t j = 0; j < g->k || j == 0; j += GEMM(depth))
                        GEMM(tiles_of)(g, d, s, last, &t, j, smaller(g->k - j, GEMM(depth)), block, t.width);
                }
                GEMM(finish)(d, block, row, rows, t.column, t.columns, t.width);
            }
            k += deep;
        } while (k < g->k);
    }
}

#undef GEMM_T
#undef GEMM_BYTES
#undef GEMM_TYPE
#undef GEMM
