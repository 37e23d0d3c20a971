/* conv_rows.h - pieces of a gather's source as the tiles read them; a template over the element type, after tile.h. */

/* n elements; most runs are too short for a call of memcpy. */
static inline void GEMM(copy)(GEMM_T *to, const GEMM_T *from, int64_t n) {
    if (n >= 64) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    for (; n >= 4; n -= 4, to += 4, from += 4) *(GEMM(quad) *)to = *(const GEMM(quad) *)from;
    if (n & 2) to[0] = from[0], to[1] = from[1], to += 2, from += 2;
    if (n & 1) to[0] = from[0];
}
static inline void GEMM(clear)(GEMM_T *to, int64_t n) {
    for (; n >= 4; n -= 4, to += 4) *(GEMM(quad) *)to = (GEMM(quad)){0};
    for (; n > 0; n--) *to++ = 0;
}

/* to[i] = row[first + i] for i < n, 0 outside 0 <= first + i < size. */
static inline void GEMM(copy_within)(GEMM_T *to, const GEMM_T *row, int64_t first, int64_t n, int64_t size) {
    int64_t before = first < 0 ? smaller(-first, n) : 0, end = size - first;
    if (end > n) end = n;
    if (end < before) end = before;
    GEMM(clear)(to, before);
    GEMM(copy)(to + before, row + first + before, end - before);
    GEMM(clear)(to + end, n - end);
}

/* Columns x .. x + count of the source's row at (z, y), channels side by side, zeros outside. source: of sample and group. */
static void GEMM(source_row)(const conv_gather *g, const GEMM_T *source, int64_t z, int64_t y, int64_t x, int64_t count,
                             GEMM_T *to) {
    const int64_t at = conv_source_row(g, z, y), channels = g->sources;
    if (at < 0) {
        GEMM(clear)(to, count * channels);
    } else if (g->source_at[2] == channels) {
        GEMM(copy_within)(to, source + at, x * channels, count * channels, g->source_size[2] * channels);
    } else {
        for (int64_t i = 0; i < count; i++, to += channels)
            if (x + i < 0 || x + i >= g->source_size[2])
                GEMM(clear)(to, channels);
            else
                GEMM(copy)(to, source + at + (x + i) * g->source_at[2], channels);
    }
}

/* What every place of a line is multiplied with, elements k0..k1 of the sum's kernel-major order (z, y, x, channel), for each
 * place from to + place * pitch on: "im2col". source: of sample and group. */
static void GEMM(unroll)(const conv_gather *g, const GEMM_T *source, const conv_line *l, int64_t k0, int64_t k1, GEMM_T *to,
                         int64_t pitch) {
    /* Elements of neighbouring columns lie side by side: a whole kernel row is one run. */
    const int whole_rows = g->dilation[2] == 1 && g->source_at[2] == g->sources;
    const int64_t row_length = g->kernel[2] * g->sources, unit = whole_rows ? row_length : g->sources;
    const int64_t step = whole_rows ? g->sources : g->source_at[2]; /* between columns */
    for (int64_t k = k0, n; k < k1; k += n, to += n) {
        const int64_t row = k / row_length, within = k % unit, kx = whole_rows ? 0 : k % row_length / unit;
        const int64_t at = conv_kernel_row(g, l, row);
        n = smaller(unit - within, k1 - k);
        int64_t x = l->x * g->stride[2] + g->origin[2] + kx * g->dilation[2];
        for (int64_t i = 0; i < l->count; i++, x += g->stride[2]) {
            GEMM_T *place = to + i * pitch;
            if (at < 0 || (!whole_rows && (x < 0 || x >= g->source_size[2])))
                GEMM(clear)(place, n);
            else if (whole_rows)
                GEMM(copy_within)(place, source + at, x * step + within, n, g->source_size[2] * step);
            else
                GEMM(copy)(place, source + at + x * step + within, n);
        }
    }
}

/* The strips of a product of few columns, C (rows x vectors) (+)= A * B. B's rows follow each other. */
static void GEMM(strips)(int64_t rows, int64_t vectors, int64_t k, const GEMM_T *a, int64_t a_row, int64_t a_col,
                         const GEMM_T *b, GEMM_T *c, int64_t c_row, int accumulate) {
    const int64_t strips = ceil_div(rows, GEMM_ROWS), larger = strips ? rows % strips : 0;
    for (int64_t s = 0; s < strips; s++) {
        const int64_t height = rows / strips + (s < larger);
        GEMM(tiles)[height][vectors](k, a, a_row, a_col, b, vectors * GEMM(lanes), c, c_row, accumulate);
        a += height * a_row;
        c += height * c_row;
    }
}
