/* norm_loops.h - the inner loops of normalisation, a template over the element type NORM_T; norm_loops.c includes it once with
 * float and once with double, NORM(name) makes the names.
 *
 * Deviations are summed in the element type, few at a time, and those sums in double. */

enum { NORM(count) = 32 / sizeof(NORM_T), NORM(chunk) = 16 }; /* elements of a vector; vectors summed in the element type */

typedef NORM_T NORM(vector) __attribute__((vector_size(32), aligned(sizeof(NORM_T)), may_alias));
typedef NORM_MASK NORM(mask) __attribute__((vector_size(32), aligned(sizeof(NORM_T)), may_alias));

/* From element k on: the last k elements of a vector. */
static const NORM_MASK NORM(last)[2 * NORM(count)] = {NORM_MASKS};

/* Macros, since functions that return vectors have another ABI in each instruction set. */
#define VECTOR(p) (*(const NORM(vector) *)(p))
#define MASKED(v, which) ((NORM(vector))((NORM(mask))(v) & *(const NORM(mask) *)(which))) /* 0 where not set */

static inline void NORM(flush)(NORM(vector) s, NORM(vector) q, norm_sums *sums) {
    for (int k = 0; k < NORM(count); k++) sums->s[k] += (double)s[k], sums->q[k] += (double)q[k];
}

/* ---- one run, one mean ------------------------------------------------------------------------------------------------- */

/* s += sum of d, q += sum of d^2, d = x - shift. */
static void NORM(take)(const void *values, int64_t n, double shift, norm_sums *sums) {
    const NORM_T *x = values;
    const NORM_T k = (NORM_T)shift;
    int64_t i = 0;
    while (n - i >= NORM(count)) {
        const int64_t left = (n - i) / NORM(count), m = left < NORM(chunk) ? left : NORM(chunk), end = i + m * NORM(count);
        NORM(vector) s[2] = {{0}}, q[2] = {{0}};
        for (; i + 2 * NORM(count) <= end; i += 2 * NORM(count)) {
            const NORM(vector) d = VECTOR(x + i) - k, e = VECTOR(x + i + NORM(count)) - k;
            s[0] += d, s[1] += e;
            q[0] += d * d, q[1] += e * e;
        }
        if (i < end) {
            const NORM(vector) d = VECTOR(x + i) - k;
            s[0] += d, q[0] += d * d;
            i = end;
        }
        if (i < n && n - i < NORM(count)) {
            const NORM(vector) d = MASKED(VECTOR(x + n - NORM(count)) - k, NORM(last) + (n - i));
            s[1] += d, q[1] += d * d;
            i = n;
        }
        NORM(flush)(s[0] + s[1], q[0] + q[1], sums);
    }
    for (; i < n; i++) {
        const NORM_T d = x[i] - k;
        sums->s[0] += (double)d, sums->q[0] += (double)(d * d);
    }
}

/* s += sum of p, q += sum of p (x - mean), p = g weight. */
static inline __attribute__((always_inline)) void NORM(take_products)(const NORM_T *x, const NORM_T *g, const NORM_T *w,
                                                                      int64_t n, double mean, norm_sums *sums) {
    const NORM_T k = (NORM_T)mean;
    int64_t i = 0;
    while (n - i >= NORM(count)) {
        const int64_t left = (n - i) / NORM(count), m = left < NORM(chunk) ? left : NORM(chunk), end = i + m * NORM(count);
        NORM(vector) s[2] = {{0}}, q[2] = {{0}};
        for (; i + 2 * NORM(count) <= end; i += 2 * NORM(count)) {
            NORM(vector) c = VECTOR(g + i), d = VECTOR(g + i + NORM(count));
            if (w) c *= VECTOR(w + i), d *= VECTOR(w + i + NORM(count));
            s[0] += c, s[1] += d;
            q[0] += c * (VECTOR(x + i) - k), q[1] += d * (VECTOR(x + i + NORM(count)) - k);
        }
        if (i < end) {
            NORM(vector) c = VECTOR(g + i);
            if (w) c *= VECTOR(w + i);
            s[0] += c, q[0] += c * (VECTOR(x + i) - k);
            i = end;
        }
        if (i < n && n - i < NORM(count)) {
            const NORM_MASK *tail = NORM(last) + (n - i);
            const int64_t from = n - NORM(count);
            NORM(vector) c = VECTOR(g + from);
            if (w) c *= VECTOR(w + from);
            s[1] += MASKED(c, tail), q[1] += MASKED(c * (VECTOR(x + from) - k), tail);
            i = n;
        }
        NORM(flush)(s[0] + s[1], q[0] + q[1], sums);
    }
    for (; i < n; i++) {
        const NORM_T c = w ? g[i] * w[i] : g[i];
        sums->s[0] += (double)c, sums->q[0] += (double)(c * (x[i] - k));
    }
}
static void NORM(take_back)(const void *x, const void *g, const void *weight, int64_t n, double mean, norm_sums *sums) {
    if (weight)
        NORM(take_products)(x, g, weight, n, mean, sums);
    else
        NORM(take_products)(x, g, NULL, n, mean, sums);
}

/* y = (x - mean) scale + bias */
static void NORM(put)(const void *values, int64_t n, double mean, double scale, double bias, void *result) {
    const NORM_T *x = values;
    const NORM_T m = (NORM_T)mean, s = (NORM_T)scale, b = (NORM_T)bias;
    NORM_T *restrict y = result;
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s + b;
}

/* y = g weight c->scale - c->constant - (x - mean) c->slope; weight NULL: 1. */
static void NORM(put_back)(const void *values, const void *gradient, const void *weight, int64_t n, double mean,
                           const norm_slope *c, void *result) {
    const NORM_T *x = values, *g = gradient, *w = weight;
    const NORM_T m = (NORM_T)mean, p = (NORM_T)c->scale, t = (NORM_T)c->constant, q = (NORM_T)c->slope;
    NORM_T *restrict y = result;
    if (w)
        for (int64_t i = 0; i < n; i++) y[i] = g[i] * w[i] * p - t - (x[i] - m) * q;
    else
        for (int64_t i = 0; i < n; i++) y[i] = g[i] * p - t - (x[i] - m) * q;
}

/* ---- one run, weights along it ------------------------------------------------------------------------------------------ */

/* y = (x - mean) scale weight + bias; bias may be NULL. */
static void NORM(put_weighted)(const void *values, int64_t n, double mean, double scale, const void *weight, const void *bias,
                               void *result) {
    const NORM_T *x = values, *w = weight, *b = bias;
    const NORM_T m = (NORM_T)mean, s = (NORM_T)scale;
    NORM_T *restrict y = result;
    if (b)
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s * w[i] + b[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s * w[i];
}

/* Over rows with a mean and a scale each: to_weight += sum of g (x - mean) scale, to_bias += sum of g. */
static void NORM(take_affine)(const void *values, int64_t step, const void *gradient, int64_t gradient_step, int64_t rows,
                              int64_t n, const double *means, const double *scales, double *restrict to_weight,
                              double *restrict to_bias) {
    const NORM_T *x = values, *g = gradient;
    NORM_T m[NORM_LINES], s[NORM_LINES];
    for (int64_t r = 0; r < rows; r++) m[r] = (NORM_T)means[r], s[r] = (NORM_T)scales[r];
    if (rows == NORM_LINES) {
        for (int64_t i = 0; i < n; i++) {
            NORM_T products = 0, sum = 0;
            for (int r = 0; r < NORM_LINES; r++) {
                const NORM_T c = g[r * gradient_step + i];
                products += c * ((x[r * step + i] - m[r]) * s[r]);
                sum += c;
            }
            to_weight[i] += (double)products;
            to_bias[i] += (double)sum;
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++, x += step, g += gradient_step)
        for (int64_t i = 0; i < n; i++) {
            to_weight[i] += (double)(g[i] * ((x[i] - m[r]) * s[r]));
            to_bias[i] += (double)g[i];
        }
}

/* ---- columns: n of them in rows `step` elements apart, NORM_LINES rows at a time summed in the element type
 * ------------------------------------------------------------------- */

static void NORM(take_columns)(const void *values, int64_t step, int64_t rows, int64_t n, const void *shifts,
                               double *restrict s, double *restrict q) {
    const NORM_T *x = values, *k = shifts;
    for (; rows >= NORM_LINES; rows -= NORM_LINES, x += NORM_LINES * step)
        for (int64_t i = 0; i < n; i++) {
            NORM_T sum = 0, squares = 0;
            for (int r = 0; r < NORM_LINES; r++) {
                const NORM_T d = x[r * step + i] - k[i];
                sum += d;
                squares += d * d;
            }
            s[i] += (double)sum;
            q[i] += (double)squares;
        }
    for (; rows > 0; rows--, x += step)
        for (int64_t i = 0; i < n; i++) {
            const NORM_T d = x[i] - k[i];
            s[i] += (double)d;
            q[i] += (double)(d * d);
        }
}

static void NORM(take_back_columns)(const void *values, int64_t step, const void *gradient, int64_t gradient_step, int64_t rows,
                                    int64_t n, const void *means, double *restrict s, double *restrict q) {
    const NORM_T *x = values, *g = gradient, *m = means;
    for (; rows >= NORM_LINES; rows -= NORM_LINES, x += NORM_LINES * step, g += NORM_LINES * gradient_step)
        for (int64_t i = 0; i < n; i++) {
            NORM_T sum = 0, products = 0;
            for (int r = 0; r < NORM_LINES; r++) {
                const NORM_T c = g[r * gradient_step + i];
                sum += c;
                products += c * (x[r * step + i] - m[i]);
            }
            s[i] += (double)sum;
            q[i] += (double)products;
        }
    for (; rows > 0; rows--, x += step, g += gradient_step)
        for (int64_t i = 0; i < n; i++) {
            s[i] += (double)g[i];
            q[i] += (double)(g[i] * (x[i] - m[i]));
        }
}

/* y = (x - mean) scale + bias, and y = g scale - constant - (x - mean) slope, with one of each for every column. */
static void NORM(put_columns)(const void *values, int64_t step, int64_t rows, int64_t n, const norm_columns *c, void *result,
                              int64_t result_step) {
    const NORM_T *x = values, *m = c->mean, *s = c->scale, *b = c->constant;
    NORM_T *restrict y = result;
    for (; rows > 0; rows--, x += step, y += result_step)
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m[i]) * s[i] + b[i];
}
static void NORM(put_back_columns)(const void *values, int64_t step, const void *gradient, int64_t gradient_step, int64_t rows,
                                   int64_t n, const norm_columns *c, void *result, int64_t result_step) {
    const NORM_T *x = values, *g = gradient, *m = c->mean, *p = c->scale, *t = c->constant, *q = c->slope;
    NORM_T *restrict y = result;
    for (; rows > 0; rows--, x += step, g += gradient_step, y += result_step)
        for (int64_t i = 0; i < n; i++) y[i] = g[i] * p[i] - t[i] - (x[i] - m[i]) * q[i];
}

#define NORM_TABLE(name) .name = NORM(name)
static const norm_loops NORM(loops) = {
    NORM_TABLE(take),
    NORM_TABLE(put),
    NORM_TABLE(put_weighted),
    NORM_TABLE(take_back),
    NORM_TABLE(put_back),
    NORM_TABLE(take_affine),
    NORM_TABLE(take_columns),
    NORM_TABLE(put_columns),
    NORM_TABLE(take_back_columns),
    NORM_TABLE(put_back_columns),
};
#undef NORM_TABLE
#undef MASKED
#undef VECTOR
#undef NORM_MASKS
#undef NORM_T
#undef NORM_MASK
#undef NORM
