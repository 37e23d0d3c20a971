/* tile.h - the matrix product's inner parts, a template over the element type: register tiles, finishing.
 *
 * Included once with GEMM_T float and once with double; GEMM(name) makes the names. Whoever includes it undefines GEMM_T,
 * GEMM_BYTES, GEMM_TYPE and GEMM.
 *
 * A tile is at most GEMM_ROWS rows times GEMM_VECTORS vectors of columns of C = A * B, held in registers over the whole loop
 * over k: A's elements are broadcast, B's rows are loaded as vectors. (Goto & van de Geijn, "Anatomy of high-performance
 * matrix multiplication", ACM TOMS 2008.) */

typedef GEMM_T GEMM(vector) __attribute__((vector_size(CPU_VECTOR), may_alias));
typedef GEMM_T GEMM(unaligned) __attribute__((vector_size(CPU_VECTOR), aligned(GEMM_BYTES), may_alias));
enum { GEMM(lanes) = CPU_VECTOR / GEMM_BYTES, GEMM(width) = GEMM_VECTORS * GEMM(lanes) };

static inline __attribute__((always_inline)) GEMM(vector) GEMM(fma)(GEMM(vector) a, GEMM(vector) b, GEMM(vector) c) {
#if defined(__AVX512F__) && GEMM_BYTES == 4
    return (GEMM(vector))_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX512F__)
    return (GEMM(vector))_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__) && GEMM_BYTES == 4
    return (GEMM(vector))_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__FMA__)
    return (GEMM(vector))_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

/* One tile: c[r][v] (+)= sum over k of a[r * a_row + k * a_col] * b[k * b_row + v]. rows and vectors are constants where it is
 * inlined, so acc lives in registers. c, which may lie far away, is fetched while the sum is made and added at the end. */
static inline __attribute__((always_inline)) void GEMM(tile)(int rows, int vectors, int64_t k, const GEMM_T *a, int64_t a_row,
                                                             int64_t a_col, const GEMM_T *b, int64_t b_row, GEMM_T *c,
                                                             int64_t c_row, int accumulate) {
    GEMM(vector) acc[GEMM_ROWS][GEMM_VECTORS];
    GEMM_UNROLL
    for (int r = 0; r < rows; r++) {
        GEMM_UNROLL
        for (int v = 0; v < vectors; v++) {
            acc[r][v] = (GEMM(vector)){0};
            if (accumulate) __builtin_prefetch(c + r * c_row + v * GEMM(lanes), 1);
        }
    }
    for (int64_t i = 0; i < k; i++, a += a_col, b += b_row) {
        GEMM(vector) row[GEMM_VECTORS];
        GEMM_UNROLL
        for (int v = 0; v < vectors; v++) row[v] = *(const GEMM(unaligned) *)(b + v * GEMM(lanes));
        GEMM_UNROLL
        for (int r = 0; r < rows; r++) {
            const GEMM(vector) x = a[r * a_row] - (GEMM(vector)){0};
            GEMM_UNROLL
            for (int v = 0; v < vectors; v++) acc[r][v] = GEMM(fma)(x, row[v], acc[r][v]);
        }
    }
    GEMM_UNROLL
    for (int r = 0; r < rows; r++) {
        GEMM_UNROLL
        for (int v = 0; v < vectors; v++) {
            GEMM(unaligned) *to = (GEMM(unaligned) *)(c + r * c_row + v * GEMM(lanes));
            if (accumulate) acc[r][v] += *to;
            *to = acc[r][v];
        }
    }
}

#define GEMM_TILE(R, V)                                                                                                        \
    static void GEMM(tile_##R##_##V)(int64_t k, const GEMM_T *a, int64_t a_row, int64_t a_col, const GEMM_T *b, int64_t b_row, \
                                     GEMM_T *c, int64_t c_row, int accumulate) {                                               \
        GEMM(tile)(R, V, k, a, a_row, a_col, b, b_row, c, c_row, accumulate);                                                  \
    }
GEMM_EVERY_TILE(GEMM_TILE)
#undef GEMM_TILE

typedef void GEMM(tile_fn)(int64_t, const GEMM_T *, int64_t, int64_t, const GEMM_T *, int64_t, GEMM_T *, int64_t, int);
static GEMM(tile_fn) *const GEMM(tiles)[GEMM_ROWS + 1][GEMM_VECTORS + 1] = {
#define GEMM_TILE(R, V) [R][V] = GEMM(tile_##R##_##V),
    GEMM_EVERY_TILE(GEMM_TILE)
#undef GEMM_TILE
};

/* Element i of a matrix of any type this template computes, and back. */
static inline __attribute__((always_inline)) GEMM_T GEMM(load)(const void *p, int64_t i, dl_dtype type) {
#if GEMM_BYTES == 4
    if (type == DL_F16) return cpu_f16_to_f32(((const uint16_t *)p)[i]);
    if (type == DL_BF16) return cpu_bf16_to_f32(((const uint16_t *)p)[i]);
#endif
    (void)type;
    return ((const GEMM_T *)p)[i];
}
static inline __attribute__((always_inline)) void GEMM(store)(void *p, int64_t i, dl_dtype type, GEMM_T x) {
#if GEMM_BYTES == 4
    if (type == DL_F16) {
        ((uint16_t *)p)[i] = cpu_f32_to_f16(x);
        return;
    }
    if (type == DL_BF16) {
        ((uint16_t *)p)[i] = cpu_f32_to_bf16(x);
        return;
    }
#endif
    (void)type;
    ((GEMM_T *)p)[i] = x;
}

/* to[j * to_row + i] = from[i * from_row + j] for i < rows, j < cols: in squares of four. */
typedef GEMM_T GEMM(quad) __attribute__((vector_size(4 * GEMM_BYTES), aligned(GEMM_BYTES), may_alias));
static void GEMM(transpose)(const GEMM_T *from, int64_t from_row, int64_t rows, int64_t cols, GEMM_T *to, int64_t to_row) {
    const int64_t whole_rows = rows & ~(int64_t)3, whole_cols = cols & ~(int64_t)3;
    for (int64_t j = 0; j < whole_cols; j += 4)
        for (int64_t i = 0; i < whole_rows; i += 4) {
            const GEMM_T *in = from + i * from_row + j;
            GEMM_T *out = to + j * to_row + i;
            const GEMM(quad) r0 = *(const GEMM(quad) *)in, r1 = *(const GEMM(quad) *)(in + from_row);
            const GEMM(quad) r2 = *(const GEMM(quad) *)(in + 2 * from_row), r3 = *(const GEMM(quad) *)(in + 3 * from_row);
            const GEMM(quad) a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
            const GEMM(quad) c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
            *(GEMM(quad) *)out = __builtin_shufflevector(a, b, 0, 1, 4, 5);
            *(GEMM(quad) *)(out + to_row) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
            *(GEMM(quad) *)(out + 2 * to_row) = __builtin_shufflevector(c, d, 0, 1, 4, 5);
            *(GEMM(quad) *)(out + 3 * to_row) = __builtin_shufflevector(c, d, 2, 3, 6, 7);
        }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole_rows ? whole_cols : 0; j < cols; j++) to[j * to_row + i] = from[i * from_row + j];
}

/* Scales, adds, applies the epilogue to and stores a finished block of rows x columns whose rows lie `width` apart. */
static void GEMM(finish)(const gemm_data *d, GEMM_T *block, int64_t row, int64_t rows, int64_t column, int64_t columns,
                         int64_t width) {
    const GEMM_T alpha = (GEMM_T)d->alpha, beta = (GEMM_T)d->beta;
    if (d->alpha != 1)
        for (int64_t i = 0; i < rows * width; i++) block[i] *= alpha;
    if (d->add)
        for (int64_t r = 0; r < rows; r++) {
            GEMM_T *line = block + r * width;
            const int64_t first = (row + r) * d->add_row + column * d->add_col;
            if (d->add_col == 1 && d->type == GEMM_TYPE) {
                const GEMM_T *add = (const GEMM_T *)d->add + first;
                for (int64_t i = 0; i < columns; i++) line[i] += beta * add[i];
            } else {
                for (int64_t i = 0; i < columns; i++) line[i] += beta * GEMM(load)(d->add, first + i * d->add_col, d->type);
            }
        }
    if (d->epilogue) {
        const void *in = block;
        int32_t fault = 0;
        cpu_program_run(d->epilogue, rows * width, block, &in, d->attrs, 0, &fault);
        if (fault) __atomic_store_n(d->fault, fault, __ATOMIC_RELAXED);
    }
    if (d->c_row == 1 && d->c_col != 1 && d->type == GEMM_TYPE) {
        GEMM(transpose)(block, width, rows, columns, (GEMM_T *)d->c + row + column * d->c_col, d->c_col);
        return;
    }
    for (int64_t r = 0; r < rows && d->c_col == 1; r++) {
        const GEMM_T *line = block + r * width;
        const int64_t first = (row + r) * d->c_row + column;
        if (d->type == GEMM_TYPE)
            memcpy((GEMM_T *)d->c + first, line, (size_t)columns * sizeof *line);
        else
            for (int64_t i = 0; i < columns; i++) GEMM(store)(d->c, first + i, d->type, line[i]);
    }
    for (int64_t i = 0; i < columns && d->c_col != 1; i++)
        for (int64_t r = 0; r < rows; r++)
            GEMM(store)(d->c, (row + r) * d->c_row + (column + i) * d->c_col, d->type, block[r * width + i]);
}
