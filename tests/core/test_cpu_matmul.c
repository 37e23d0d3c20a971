/* test_cpu_matmul.c - matmul, linear and addmm of the CPU backend against a naive product.
 *
 * Elements are small integers, so that one integer reference is exact for every dtype (halves: to their rounding), and every
 * tensor lies in heap memory of exactly its size, so that AddressSanitizer sees a read or write beside it. */
#include "dlrun/dlrun.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- tensors in every layout ---------------------------------------------------------------------------------------- */

typedef enum layout { ROWS, COLUMNS, PADDED_ROWS, PADDED_COLUMNS, SCATTERED, LAYOUTS } layout;

enum { PADDING = 7, MAX_BATCH = 2 };

static void release(void *user) { free(user); }

/* A tensor of `ndim` dimensions whose last two lie as `how` says; every element, padding too, is PADDING. */
static void make(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, layout how) {
    int64_t strides[DL_MAX_DIMS], size = 1;
    const int64_t rows = ndim >= 2 ? shape[ndim - 2] : 1, cols = ndim >= 1 ? shape[ndim - 1] : 1;
    const int64_t pad = how == ROWS || how == COLUMNS ? 0 : 3, gap = how == SCATTERED ? 2 : 1;
    const int by_columns = ndim >= 2 && (how == COLUMNS || how == PADDED_COLUMNS);
    const int64_t inner = by_columns ? rows : cols, outer = by_columns ? cols : rows;
    const int64_t line = inner * gap + pad + (inner == 0); /* no stride is 0 */
    size = outer * line;
    for (int32_t d = ndim - 1; d >= 0; d--) {
        if (d == ndim - 1)
            strides[d] = by_columns ? line : gap;
        else if (d == ndim - 2)
            strides[d] = by_columns ? gap : line;
        else
            strides[d] = size + (size == 0), size *= shape[d];
    }
    const uint64_t offset = pad ? 5 : 0, bytes = ((uint64_t)size + offset) * (uint64_t)dl_dtype_bytes(type);
    void *memory = malloc(bytes + !bytes);
    dl_storage *storage = NULL;
    assert_non_null(memory);
    assert_int_equal(dl_storage_wrap(memory, bytes, release, memory, &storage), DL_OK);
    *t = (dl_tensor){0};
    assert_int_equal(dl_tensor_on(t, storage, type, offset * (uint64_t)dl_dtype_bytes(type), ndim, shape, strides), DL_OK);
    dl_storage_release(storage);
    memset(memory, PADDING, bytes);
}

static float half_value(uint16_t h) {
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                       : exponent     ? ldexpf((float)(fraction + 1024), exponent - 25)
                                      : ldexpf((float)fraction, -24);
    return h & 0x8000 ? -size : size;
}
static uint16_t half_of(double x) { /* whole numbers up to 2048 */
    if (x == 0) return 0;
    int exponent;
    const double fraction = frexp(fabs(x), &exponent);
    return (uint16_t)((x < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | ((int)(fraction * 2048) & 1023));
}

static void *element(const dl_tensor *t, const int64_t *at) {
    int64_t offset = 0;
    for (int32_t d = 0; d < t->ndim; d++) offset += at[d] * t->strides[d];
    return (char *)t->data + t->byte_offset + offset * dl_dtype_bytes(t->type);
}

static void put(void *p, dl_dtype type, double x) {
    uint32_t bits;
    const float f = (float)x;
    memcpy(&bits, &f, sizeof bits);
    switch (type) {
    case DL_F32: *(float *)p = f; break;
    case DL_F64: *(double *)p = x; break;
    case DL_F16: *(uint16_t *)p = half_of(x); break;
    case DL_BF16: *(uint16_t *)p = (uint16_t)(bits >> 16); break;
    case DL_U8:
    case DL_I8: *(uint8_t *)p = (uint8_t)(int64_t)x; break;
    case DL_I16: *(uint16_t *)p = (uint16_t)(int64_t)x; break;
    case DL_I32: *(uint32_t *)p = (uint32_t)(int64_t)x; break;
    default: *(uint64_t *)p = (uint64_t)(int64_t)x; break;
    }
}

static double get(const void *p, dl_dtype type) {
    const uint32_t bits = type == DL_BF16 ? (uint32_t) * (const uint16_t *)p << 16 : 0;
    float f;
    memcpy(&f, &bits, sizeof f);
    switch (type) {
    case DL_F32: return (double)*(const float *)p;
    case DL_F64: return *(const double *)p;
    case DL_F16: return (double)half_value(*(const uint16_t *)p);
    case DL_BF16: return (double)f;
    case DL_U8: return *(const uint8_t *)p;
    case DL_I8: return *(const int8_t *)p;
    case DL_I16: return *(const int16_t *)p;
    case DL_I32: return *(const int32_t *)p;
    default: return (double)*(const int64_t *)p;
    }
}

/* What the dtype makes of a whole number: integers wrap around. */
static double wrapped(double x, dl_dtype type) {
    switch (type) {
    case DL_U8: return (uint8_t)(int64_t)x;
    case DL_I8: return (int8_t)(int64_t)x;
    case DL_I16: return (int16_t)(int64_t)x;
    default: return x;
    }
}

/* The element of operand `salt` at a logical index: -3..3 (0..6 for unsigned bytes). */
static double value(int salt, const int64_t *at, int32_t ndim, dl_dtype type) {
    uint64_t h = (uint64_t)salt * 0x9e3779b97f4a7c15u;
    for (int32_t d = 0; d < ndim; d++) h = (h ^ (uint64_t)(at[d] + 1)) * 0xff51afd7ed558ccdu, h ^= h >> 29;
    return (double)(h % 7) - (type == DL_U8 ? 0 : 3);
}

static int step(const dl_tensor *t, int64_t *at) { /* the next index in row-major order; 0 at the end */
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        if (++at[d] < t->shape[d]) return 1;
        at[d] = 0;
    }
    return 0;
}

static void fill(const dl_tensor *t, int salt) {
    int64_t at[DL_MAX_DIMS] = {0};
    if (dl_tensor_count(t) == 0) return;
    do put(element(t, at), t->type, value(salt, at, t->ndim, t->type));
    while (step(t, at));
}

/* ---- checking ------------------------------------------------------------------------------------------------------- */

static double tolerance(dl_dtype type, double expected) {
    return type == DL_F16 ? fabs(expected) * 0x1p-11 : type == DL_BF16 ? fabs(expected) * 0x1p-8 : 0;
}

/* Bytes of t's memory that no element covers must still be PADDING. */
static void check_padding(const dl_tensor *t) {
    const uint64_t bytes = dl_storage_bytes(t->storage), size = (uint64_t)dl_dtype_bytes(t->type);
    char *covered = (char *)calloc(bytes + 1, 1);
    assert_non_null(covered);
    int64_t at[DL_MAX_DIMS] = {0};
    if (dl_tensor_count(t) > 0) do
            memset(covered + ((char *)element(t, at) - (char *)t->data), 1, size);
        while (step(t, at));
    for (uint64_t k = 0; k < bytes; k++)
        if (!covered[k]) assert_int_equal(((const char *)t->data)[k], PADDING);
    free(covered);
}

static const char *op_name;

static void call(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, const dl_attr *attr,
                 int32_t n_attr) {
    op_name = op;
    const dl_status status = dl_call(dl_op_find(op), in, n_in, &out, 1, attr, n_attr);
    if (status != DL_OK) fail_msg("%s: %s", op, dl_last_error());
}

/* out[batch..., i, j] must be alpha * sum_k a[.., i, k] * b[.., k, j] + beta * c[.., i, j], batches and c broadcast. Matrices
 * only; c may be NULL. */
static void check(const dl_tensor *a, const dl_tensor *b, const dl_tensor *c, const dl_tensor *out, double alpha, double beta) {
    const int32_t n = out->ndim;
    const int64_t depth = a->shape[a->ndim - 1];
    int64_t at[DL_MAX_DIMS] = {0};
    check_padding(out);
    if (dl_tensor_count(out) == 0) return;
    do {
        const dl_tensor *const operand[3] = {a, b, c};
        int64_t index[3][DL_MAX_DIMS];
        for (int o = 0; o < 3; o++)
            for (int32_t d = 0; operand[o] && d < operand[o]->ndim; d++)
                index[o][d] = operand[o]->shape[d] == 1 ? 0 : at[d + n - operand[o]->ndim];
        const char *pa = NULL, *pb = NULL;
        if (depth > 0) {
            index[0][a->ndim - 1] = index[1][b->ndim - 2] = 0;
            pa = (const char *)element(a, index[0]), pb = (const char *)element(b, index[1]);
        }
        const int64_t step_a = a->strides[a->ndim - 1] * dl_dtype_bytes(a->type);
        const int64_t step_b = b->strides[b->ndim - 2] * dl_dtype_bytes(b->type);
        double sum = 0;
        for (int64_t k = 0; k < depth; k++) sum += get(pa + k * step_a, a->type) * get(pb + k * step_b, b->type);
        double expected = alpha * sum;
        if (c && beta != 0) expected += beta * get(element(c, index[2]), c->type);
        expected = wrapped(expected, out->type);
        const double got = get(element(out, at), out->type);
        if (!(fabs(got - expected) <= tolerance(out->type, expected)))
            fail_msg("%s %s [%lld x %lld x %lld], strides %lld %lld * %lld %lld: element %lld %lld is %g, expected %g", op_name,
                     dl_dtype_name(out->type), (long long)out->shape[n - 2], (long long)depth, (long long)out->shape[n - 1],
                     (long long)a->strides[a->ndim - 2], (long long)a->strides[a->ndim - 1], (long long)b->strides[b->ndim - 2],
                     (long long)b->strides[b->ndim - 1], (long long)at[n - 2], (long long)at[n - 1], got, expected);
    } while (step(out, at));
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16, DL_U8, DL_I8, DL_I16, DL_I32, DL_I64};
enum { TYPES = sizeof types / sizeof *types };

static void multiply_once(dl_dtype type, int64_t m, int64_t n, int64_t k, layout la, layout lb, layout lc) {
    dl_tensor a, b, c;
    make(&a, type, 2, (int64_t[]){m, k}, la);
    make(&b, type, 2, (int64_t[]){k, n}, lb);
    make(&c, type, 2, (int64_t[]){m, n}, lc);
    fill(&a, 1), fill(&b, 2);
    const dl_tensor *in[] = {&a, &b};
    call("matmul", in, 2, &c, NULL, 0);
    check(&a, &b, NULL, &c, 1, 0);
    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c);
}

/* Every triple of awkward sizes; dtypes and layouts take turns so that each meets many shapes. */
static void test_shapes(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100, 129};
    enum { N = sizeof sizes / sizeof *sizes };
    unsigned turn = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++) {
                const layout la = (layout)(turn % LAYOUTS), lb = (layout)(turn / LAYOUTS % LAYOUTS);
                const layout lc = (layout)(turn / (LAYOUTS * LAYOUTS) % LAYOUTS);
                turn++;
                multiply_once(DL_F32, sizes[i], sizes[j], sizes[k], la, lb, ROWS);
                if (sizes[i] * sizes[j] * sizes[k] < 40000)
                    multiply_once(types[turn % TYPES], sizes[i], sizes[j], sizes[k], la, lb, lc);
            }
}

/* Every layout of every operand, every dtype, on sizes with full and partial tiles. */
static void test_layouts(void **state) {
    (void)state;
    for (int a = 0; a < LAYOUTS; a++)
        for (int b = 0; b < LAYOUTS; b++)
            for (int c = 0; c < LAYOUTS; c++)
                for (int t = 0; t < TYPES; t++) {
                    multiply_once(types[t], 9, 19, 13, (layout)a, (layout)b, (layout)c);
                    multiply_once(types[t], 19, 8, 5, (layout)a, (layout)b, (layout)c);
                }
}

/* Long enough for several blocks of k and of rows, and for all threads. */
static void test_large(void **state) {
    (void)state;
    for (int a = 0; a < LAYOUTS; a += 1)
        for (int b = 0; b < LAYOUTS; b += 1) multiply_once(DL_F32, 107, 113, 1100, (layout)a, (layout)b, ROWS);
    multiply_once(DL_F64, 107, 113, 1100, ROWS, COLUMNS, ROWS);
    multiply_once(DL_F32, 203, 1031, 150, ROWS, ROWS, ROWS);
    multiply_once(DL_BF16, 203, 107, 150, ROWS, COLUMNS, PADDED_ROWS);
}

/* 3 * a * b - 2 * c over several blocks of k, where partial sums wait in out, and where they cannot. */
static void test_large_addmm(void **state) {
    (void)state;
    const dl_attr attr[] = {{DL_ATTR_FLOAT, 0, {.f = -2}}, {DL_ATTR_FLOAT, 0, {.f = 3}}};
    for (int t = 0; t < 4; t++)
        for (int how = 0; how < LAYOUTS; how++) {
            dl_tensor a, b, c, out;
            make(&a, types[t], 2, (int64_t[]){107, 1100}, ROWS);
            make(&b, types[t], 2, (int64_t[]){1100, 113}, COLUMNS);
            make(&c, types[t], 2, (int64_t[]){107, 113}, COLUMNS);
            make(&out, types[t], 2, (int64_t[]){107, 113}, (layout)how);
            fill(&a, 1), fill(&b, 2), fill(&c, 3);
            const dl_tensor *in[] = {&c, &a, &b};
            call("addmm", in, 3, &out, attr, 2);
            check(&a, &b, &c, &out, 3, -2);
            dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c), dl_tensor_clear(&out);
        }
}

/* PyTorch's cases of vectors and broadcast batches: shapes of a, b and the result. */
static void test_batches(void **state) {
    (void)state;
    static const struct {
        int32_t na, nb, nc;
        int64_t a[5], b[5], c[5];
    } cases[] = {
        {3, 3, 3, {4, 5, 6}, {4, 6, 7}, {4, 5, 7}},
        {3, 2, 3, {4, 5, 6}, {6, 7}, {4, 5, 7}},
        {2, 3, 3, {5, 6}, {4, 6, 7}, {4, 5, 7}},
        {3, 3, 3, {1, 5, 6}, {4, 6, 7}, {4, 5, 7}},
        {4, 4, 4, {3, 1, 5, 6}, {1, 2, 6, 7}, {3, 2, 5, 7}},
        {5, 3, 5, {2, 3, 1, 5, 6}, {4, 6, 7}, {2, 3, 4, 5, 7}},
        {3, 2, 3, {4, 1, 6}, {6, 7}, {4, 1, 7}},
        {3, 3, 3, {0, 5, 6}, {0, 6, 7}, {0, 5, 7}},
        {3, 2, 3, {0, 5, 6}, {6, 7}, {0, 5, 7}},
        {3, 3, 3, {4, 5, 0}, {4, 0, 7}, {4, 5, 7}},
        {3, 3, 3, {40, 33, 40}, {40, 40, 65}, {40, 33, 65}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int how = 0; how < LAYOUTS; how++)
            for (int t = 0; t < 4; t++) {
                dl_tensor a, b, c;
                make(&a, types[t], cases[i].na, cases[i].a, (layout)how);
                make(&b, types[t], cases[i].nb, cases[i].b, (layout)((how + t) % LAYOUTS));
                make(&c, types[t], cases[i].nc, cases[i].c, t & 1 ? PADDED_ROWS : ROWS);
                fill(&a, 1), fill(&b, 2);
                const dl_tensor *in[] = {&a, &b};
                call("matmul", in, 2, &c, NULL, 0);
                check(&a, &b, NULL, &c, 1, 0);
                dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c);
            }
}

/* The same memory seen as a matrix, so that check() can read vectors and numbers. */
static void as_matrix(dl_tensor *view, const dl_tensor *t, int64_t rows, int64_t cols, int64_t row, int64_t col) {
    *view = (dl_tensor){0};
    assert_int_equal(dl_tensor_on(view, t->storage, t->type, t->byte_offset, 2, (int64_t[]){rows, cols}, (int64_t[]){row, col}),
                     DL_OK);
}

static void test_vectors(void **state) {
    (void)state;
    const int64_t k = 37, n = 21;
    for (int how = 0; how < LAYOUTS; how++)
        for (int form = 0; form < 3; form++) { /* vector * vector, vector * matrix, matrix * vector */
            dl_tensor a, b, c, ma, mb, mc;
            const int64_t rows = form == 2 ? n : 1, cols = form == 1 ? n : 1;
            make(&a, DL_F32, form == 2 ? 2 : 1, form == 2 ? (int64_t[]){n, k} : &k, (layout)how);
            make(&b, DL_F32, form == 1 ? 2 : 1, form == 1 ? (int64_t[]){k, n} : &k, (layout)how);
            make(&c, DL_F32, form == 0 ? 0 : 1, &n, (layout)how);
            fill(&a, 1), fill(&b, 2);
            const dl_tensor *in[] = {&a, &b};
            call("matmul", in, 2, &c, NULL, 0);
            as_matrix(&ma, &a, rows, k, form == 2 ? a.strides[0] : 0, a.strides[a.ndim - 1]);
            as_matrix(&mb, &b, k, cols, b.strides[0], form == 1 ? b.strides[1] : 0);
            const int64_t step_c = form == 0 ? 1 : c.strides[0];
            as_matrix(&mc, &c, rows, cols, form == 2 ? step_c : 0, form == 1 ? step_c : 0);
            check(&ma, &mb, NULL, &mc, 1, 0);
            dl_tensor_clear(&ma), dl_tensor_clear(&mb), dl_tensor_clear(&mc);
            dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c);
        }
}

/* linear with and without bias: x of one to three dimensions. */
static void test_linear(void **state) {
    (void)state;
    static const int64_t features[][2] = {{3, 2}, {17, 10}, {64, 48}, {100, 33}, {300, 130}};
    for (size_t f = 0; f < sizeof features / sizeof *features; f++)
        for (int32_t ndim = 1; ndim <= 3; ndim++)
            for (int how = 0; how < LAYOUTS; how++)
                for (int t = 0; t < 4; t++)
                    for (int with_bias = 0; with_bias < 2; with_bias++) {
                        const int64_t in_size = features[f][0], out_size = features[f][1];
                        const int64_t lead[] = {3, 11};
                        int64_t x_shape[3], y_shape[3];
                        for (int32_t d = 0; d < ndim - 1; d++) x_shape[d] = y_shape[d] = lead[d + 3 - ndim];
                        x_shape[ndim - 1] = in_size, y_shape[ndim - 1] = out_size;
                        dl_tensor x, w, bias, y, wt, xm, ym;
                        make(&x, types[t], ndim, x_shape, (layout)how);
                        make(&w, types[t], 2, (int64_t[]){out_size, in_size}, (layout)((how + t) % LAYOUTS));
                        make(&bias, types[t], 1, &out_size, with_bias && how & 1 ? SCATTERED : ROWS);
                        make(&y, types[t], ndim, y_shape, t == 1 ? SCATTERED : ROWS);
                        fill(&x, 1), fill(&w, 2), fill(&bias, 3);
                        const dl_tensor *in[] = {&x, &w, with_bias ? &bias : NULL};
                        call("linear", in, 3, &y, NULL, 0);
                        as_matrix(&wt, &w, in_size, out_size, w.strides[1], w.strides[0]);
                        if (ndim == 1) {
                            as_matrix(&xm, &x, 1, in_size, 0, x.strides[0]);
                            as_matrix(&ym, &y, 1, out_size, 0, y.strides[0]);
                            check(&xm, &wt, with_bias ? &bias : NULL, &ym, 1, 1);
                            dl_tensor_clear(&xm), dl_tensor_clear(&ym);
                        } else {
                            check(&x, &wt, with_bias ? &bias : NULL, &y, 1, 1);
                        }
                        dl_tensor_clear(&wt);
                        dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&bias), dl_tensor_clear(&y);
                    }
}

static void test_addmm(void **state) {
    (void)state;
    static const double factors[][2] = {{1, 1}, {0, 1}, {2, -1}, {1, 0}, {-3, 2}};
    static const struct {
        int32_t nc, nd; /* of the operands, of the added tensor */
        int64_t added[3];
    } cases[] = {{2, 2, {20, 35}},    {2, 1, {35}},    {2, 0, {0}},      {2, 2, {20, 1}},
                 {3, 3, {4, 20, 35}}, {3, 2, {1, 35}}, {3, 3, {4, 1, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t f = 0; f < sizeof factors / sizeof *factors; f++)
            for (int t = 0; t < TYPES; t++)
                for (int how = 0; how < LAYOUTS; how++) {
                    const int batched = cases[i].nc == 3;
                    const int64_t as[] = {4, 20, 18}, bs[] = {4, 18, 35}, cs[] = {4, 20, 35};
                    dl_tensor a, b, c, out;
                    make(&a, types[t], cases[i].nc, as + !batched, (layout)how);
                    make(&b, types[t], cases[i].nc, bs + !batched, (layout)((how + 1) % LAYOUTS));
                    make(&c, types[t], cases[i].nd, cases[i].added, (layout)how);
                    make(&out, types[t], cases[i].nc, cs + !batched, (layout)((how + t) % LAYOUTS));
                    fill(&a, 1), fill(&b, 2), fill(&c, 3);
                    const dl_attr attr[] = {{DL_ATTR_FLOAT, 0, {.f = factors[f][0]}}, {DL_ATTR_FLOAT, 0, {.f = factors[f][1]}}};
                    const dl_tensor *in[] = {&c, &a, &b};
                    call("addmm", in, 3, &out, attr, 2);
                    check(&a, &b, &c, &out, factors[f][1], factors[f][0]);
                    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c), dl_tensor_clear(&out);
                }
}

/* beta 0 must not let a NaN of the added tensor through; a NaN of an operand must come through. */
static void test_nan(void **state) {
    (void)state;
    dl_tensor a, b, c, out;
    make(&a, DL_F32, 2, (int64_t[]){5, 6}, ROWS);
    make(&b, DL_F32, 2, (int64_t[]){6, 20}, ROWS);
    make(&c, DL_F32, 2, (int64_t[]){5, 20}, ROWS);
    make(&out, DL_F32, 2, (int64_t[]){5, 20}, ROWS);
    fill(&a, 1), fill(&b, 2);
    for (int i = 0; i < 100; i++) ((float *)c.data)[i] = NAN;
    const dl_attr attr[] = {{DL_ATTR_FLOAT, 0, {.f = 0}}, {DL_ATTR_FLOAT, 0, {.f = 1}}};
    const dl_tensor *in[] = {&c, &a, &b};
    call("addmm", in, 3, &out, attr, 2);
    check(&a, &b, NULL, &out, 1, 0);
    ((float *)a.data)[2 * 6 + 3] = NAN;
    call("addmm", in, 3, &out, attr, 2);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 20; j++) assert_int_equal(isnan(((float *)out.data)[i * 20 + j]) != 0, i == 2);
    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c), dl_tensor_clear(&out);
}

/* What follows a product in a fused call is applied to every element once, whatever its tiles and memory order are. */
static void test_epilogues(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{5, 3, 2}, {64, 10, 33}, {33, 70, 600}, {107, 113, 1100}};
    static const char *const chains[][2] = {{"relu", NULL}, {"tanh", NULL}, {"sigmoid", "tanh"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 3; t++)
            for (size_t c = 0; c < sizeof chains / sizeof *chains; c++)
                for (int how = 0; how < LAYOUTS; how++) {
                    const int64_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
                    dl_tensor x, w, bias, fused = {0}, apart = {0}, *out = &fused;
                    make(&x, types[t], 2, (int64_t[]){m, k}, (layout)how);
                    make(&w, types[t], 2, (int64_t[]){n, k}, (layout)((how + 1) % LAYOUTS));
                    make(&bias, types[t], 1, &n, ROWS);
                    fill(&x, 1), fill(&w, 2), fill(&bias, 3);
                    const dl_tensor *in[] = {&x, &w, &bias};
                    dl_epilogue chain[2] = {{0}};
                    int32_t length = 0;
                    for (; length < 2 && chains[c][length]; length++) chain[length].op = dl_op_find(chains[c][length]);
                    const int32_t linear = dl_op_find("linear");
                    assert_int_equal(dl_call_fused(linear, in, 3, &out, 1, NULL, 0, chain, length), DL_OK);
                    out = &apart;
                    assert_int_equal(dl_call(linear, in, 3, &out, 1, NULL, 0), DL_OK);
                    for (int32_t f = 0; f < length; f++) {
                        const dl_tensor *value = &apart;
                        assert_int_equal(dl_call(chain[f].op, &value, 1, &out, 1, NULL, 0), DL_OK);
                    }
                    for (int64_t e = 0; e < m * n; e++) {
                        const int64_t at[] = {e / n, e % n};
                        const double a = get(element(&fused, at), types[t]), b = get(element(&apart, at), types[t]);
                        if (!(fabs(a - b) <= 1e-6 * (1 + fabs(b))))
                            fail_msg("%s, chain %d, [%lld x %lld x %lld]: element %lld is %g fused, %g apart",
                                     dl_dtype_name(types[t]), (int)c, (long long)m, (long long)k, (long long)n, (long long)e, a,
                                     b);
                    }
                    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&bias);
                    dl_tensor_clear(&fused), dl_tensor_clear(&apart);
                }
}

/* Real numbers: the error stays within the bound for a sum of k products, and does not depend on the number of threads. */
static void test_accuracy(void **state) {
    (void)state;
    enum { M = 150, N = 170, K = 700 };
    dl_tensor a, b, c;
    make(&a, DL_F32, 2, (int64_t[]){M, K}, ROWS);
    make(&b, DL_F32, 2, (int64_t[]){K, N}, COLUMNS);
    make(&c, DL_F32, 2, (int64_t[]){M, N}, ROWS);
    float *pa = (float *)a.data, *pb = (float *)b.data, *pc = (float *)c.data, *first = (float *)malloc(sizeof(float) * M * N);
    uint32_t seed = 1;
    for (int i = 0; i < M * K; i++) seed = seed * 1664525u + 1013904223u, pa[i] = (float)(int32_t)seed * 0x1p-31f;
    for (int i = 0; i < N * K; i++) seed = seed * 1664525u + 1013904223u, pb[i] = (float)(int32_t)seed * 0x1p-31f;
    const dl_tensor *in[] = {&a, &b};
    const int32_t threads = dl_threads(0);
    assert_non_null(first);
    for (int32_t n = 1; n <= 3; n++) {
        dl_threads(n);
        call("matmul", in, 2, &c, NULL, 0);
        if (n == 1) memcpy(first, pc, sizeof(float) * M * N);
        assert_memory_equal(first, pc, sizeof(float) * M * N);
    }
    dl_threads(threads);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0, size = 0;
            for (int k = 0; k < K; k++) {
                const double x = (double)pa[i * K + k] * (double)pb[j * K + k];
                sum += x, size += fabs(x);
            }
            assert_true(fabs((double)pc[i * N + j] - sum) <= size * 0x1p-24 * 30); /* far below the worst case, K */
        }
    free(first);
    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),      cmocka_unit_test(test_layouts),  cmocka_unit_test(test_large),
        cmocka_unit_test(test_large_addmm), cmocka_unit_test(test_batches),  cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_linear),      cmocka_unit_test(test_addmm),    cmocka_unit_test(test_nan),
        cmocka_unit_test(test_epilogues),   cmocka_unit_test(test_accuracy),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
