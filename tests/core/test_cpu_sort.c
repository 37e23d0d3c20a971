/* test_cpu_sort.c - sort, topk, kthvalue, median and mode of the CPU backend against counting in double. */
#include "tests/core/cells.h"

static uint64_t rng = 5;

/* Does a stand before b? NaN is above every number; equal ones stand in their order. */
static int before(double a, int64_t a_place, double b, int64_t b_place, int descending) {
    const int less = isnan(b) ? !isnan(a) : a < b, more = isnan(a) ? !isnan(b) : a > b;
    return less ? !descending : more ? descending : a_place < b_place;
}

/* A line of x, and its places in stable order. */
typedef struct reference {
    int64_t n, nans, *places;
    double *values;
} reference;

static void make_reference(reference *r, const dl_tensor *x, int32_t dim, const int64_t *place, int descending) {
    int64_t at[DL_MAX_DIMS] = {0};
    r->n = x->ndim ? x->shape[dim] : 1;
    r->nans = 0;
    r->values = malloc(((size_t)r->n + 1) * sizeof *r->values);
    r->places = malloc(((size_t)r->n + 1) * sizeof *r->places);
    if (x->ndim) memcpy(at, place, (size_t)x->ndim * sizeof *at);
    for (int64_t k = 0; k < r->n; k++) {
        if (x->ndim) at[dim] = k;
        r->values[k] = cells_get(x, cells_number(x->ndim, x->shape, at));
        r->nans += isnan(r->values[k]);
    }
    for (int64_t k = 0; k < r->n; k++) {
        int64_t rank = 0;
        for (int64_t i = 0; i < r->n; i++) rank += before(r->values[i], i, r->values[k], k, descending);
        r->places[rank] = k;
    }
}

static int64_t reference_mode(const reference *r) {
    int64_t best = 0, most = 0;
    for (int64_t k = 0, run = 0; k < r->n; k++) {
        const double v = r->values[r->places[k]], last = k ? r->values[r->places[k - 1]] : 0;
        run = k && (v == last || (isnan(v) && isnan(last))) ? run + 1 : 1;
        if (run >= most + (v != r->values[best] && !(isnan(v) && isnan(r->values[best])))) most = run, best = r->places[k];
    }
    return best;
}

enum kind { SORT, TOPK, KTHVALUE, MEDIAN, MODE, KINDS };
static const char *const names[] = {"sort", "topk", "kthvalue", "median", "mode"};

typedef struct request {
    enum kind kind;
    int32_t dim;
    int64_t k; /* of topk and kthvalue */
    int descending, keepdim;
} request;

static int64_t expected_place(const request *q, const reference *r, int64_t k) {
    switch (q->kind) {
    case KTHVALUE: return r->places[q->k - 1];
    case MEDIAN: return r->places[r->nans ? r->n - r->nans : (r->n - 1) / 2];
    case MODE: return reference_mode(r);
    default: return r->places[k];
    }
}

static void same_value(double got, double expected, const char *op) {
    if (!(got == expected || (isnan(got) && isnan(expected)))) fail_msg("%s: got %g, expected %g", op, got, expected);
}

static void run(const request *q, const dl_tensor *x, dl_tensor *y) {
    const dl_tensor *in[] = {x};
    const int64_t dim = cells_below(&rng, 2) ? q->dim : q->dim - (x->ndim ? x->ndim : 1);
    const dl_attr sort[] = {A_INT(dim), A_INT(q->descending)}, kth[] = {A_INT(q->k), A_INT(dim), A_INT(q->keepdim)};
    const dl_attr top[] = {A_INT(q->k), A_INT(dim), A_INT(q->descending), A_INT(1)}, one[] = {A_INT(dim), A_INT(q->keepdim)};
    switch (q->kind) {
    case SORT: cells_call("sort", in, 1, y, 2, sort, 2); break;
    case TOPK: cells_call("topk", in, 1, y, 2, top, 4); break;
    case KTHVALUE: cells_call("kthvalue", in, 1, y, 2, kth, 3); break;
    default: cells_call(names[q->kind], in, 1, y, 2, one, 2); break;
    }
}

static void check(const request *q, const dl_tensor *x) {
    dl_tensor y[2] = {{0}, {0}}, given[2];
    int64_t place[DL_MAX_DIMS] = {0}, lines[DL_MAX_DIMS] = {0}, kept[DL_MAX_DIMS] = {0};
    run(q, x, y);
    const int dropped = y[0].ndim < x->ndim;
    const int64_t length = x->ndim ? x->shape[q->dim] : 1;
    const int64_t taken = q->kind == SORT ? length : q->kind == TOPK ? q->k : 1;
    assert_int_equal(y[0].type, x->type);
    assert_int_equal(y[1].type, DL_I64);
    assert_int_equal(dropped, q->kind >= KTHVALUE && !q->keepdim && x->ndim);
    for (int32_t d = 0; d < x->ndim; d++) {
        lines[d] = d == q->dim ? 1 : x->shape[d];
        kept[d] = d == q->dim ? taken : x->shape[d];
    }
    if (dl_tensor_count(x)) do {
            reference r;
            make_reference(&r, x, q->dim, place, q->descending);
            for (int64_t k = 0; k < taken; k++) {
                int64_t at[DL_MAX_DIMS];
                memcpy(at, place, sizeof at);
                if (x->ndim) at[q->dim] = k;
                const int64_t number = cells_number(x->ndim, kept, at), expected = expected_place(q, &r, k);
                same_value(cells_get(&y[0], number), r.values[expected], names[q->kind]);
                same_value(cells_get(&y[1], number), (double)expected, names[q->kind]);
            }
            free(r.values), free(r.places);
        } while (cells_next(x->ndim, lines, place));
    for (int k = 0; k < 2; k++) cells_make(&given[k], y[k].type, y[k].ndim, y[k].shape, &rng);
    run(q, x, given);
    for (int k = 0; k < 2; k++) {
        cells_check_gaps(&given[k]);
        cells_same_bits(&given[k], &y[k]);
        dl_tensor_clear(&given[k]), dl_tensor_clear(&y[k]);
    }
}

static request ask(enum kind kind, int32_t dim, int64_t length) {
    request q = {.kind = kind, .dim = dim};
    q.descending = kind <= TOPK && cells_below(&rng, 2);
    q.keepdim = cells_below(&rng, 2) != 0;
    q.k = kind == TOPK ? cells_below(&rng, length + 1) : 1 + (length ? cells_below(&rng, length) : 0);
    return q;
}

/* Every seventh element or so of a floating tensor becomes one of the special values. */
static void make_special(dl_tensor *x) {
    static const double special[] = {NAN, INFINITY, -INFINITY, -0.0, 0.0};
    if (x->type > DL_BF16) return;
    for (int64_t i = 0; i < dl_tensor_count(x); i++)
        if (cells_below(&rng, 7) == 0) cells_set(x, i, special[cells_below(&rng, 5)]);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 1500; round++) {
        int64_t shape[4];
        const int32_t ndim = (int32_t)cells_below(&rng, 5), dim = ndim ? (int32_t)cells_below(&rng, ndim) : 0;
        const enum kind kind = (enum kind)(round % KINDS);
        for (int32_t d = 0; d < ndim; d++) shape[d] = cells_below(&rng, 20) ? 1 + cells_below(&rng, d == dim ? 90 : 3) : 0;
        if (ndim && kind >= KTHVALUE && shape[dim] == 0) shape[dim] = 1;
        request q = ask(kind, dim, ndim ? shape[dim] : 1);
        if (ndim == 0) q.k = 1;
        dl_tensor x;
        cells_random(&x, (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT), ndim, shape, &rng);
        if (round % 2) make_special(&x);
        check(&q, &x);
        dl_tensor_clear(&x);
    }
}

/* Lines that several radix passes and threads share, of values that differ in all their bytes. */
static void test_long(void **state) {
    (void)state;
    static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16, DL_I64, DL_I32, DL_I16, DL_I8, DL_U8};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int kind = 0; kind < KINDS; kind++) {
            const int64_t rows[] = {7, 1100}, columns[] = {1100, 7};
            const int32_t dim = kind % 2;
            const request q = ask((enum kind)kind, dim, 1100);
            dl_tensor x;
            cells_make(&x, types[t], 2, dim ? rows : columns, NULL);
            const int bits = 8 * (int)(types[t] == DL_U8 || types[t] == DL_I8 ? 1 : types[t] == DL_I16 ? 2 : 4);
            for (int64_t i = 0; i < dl_tensor_count(&x); i++) {
                const double v = (double)(cells_bits(&rng) >> (64 - bits)) - (types[t] == DL_U8 ? 0 : ldexp(1, bits - 1));
                cells_set(&x, i, types[t] <= DL_BF16 ? v / 65536 : v);
            }
            make_special(&x);
            check(&q, &x);
            dl_tensor_clear(&x);
        }
}

/* The ends of int64 are not NaN. */
static void test_int64_ends(void **state) {
    (void)state;
    const int64_t shape[] = {4}, values[] = {INT64_MAX, 0, INT64_MIN, -1}, sorted[] = {INT64_MIN, -1, 0, INT64_MAX};
    const dl_attr dim[] = {A_INT(0), A_INT(0)};
    int64_t got[4], median;
    dl_tensor x, y[2] = {{0}, {0}}, m[2] = {{0}, {0}};
    const dl_tensor *in[] = {&x};
    cells_make(&x, DL_I64, 1, shape, NULL);
    assert_int_equal(dl_tensor_write(&x, values, sizeof values), DL_OK);
    cells_call("sort", in, 1, y, 2, dim, 2);
    cells_call("median", in, 1, m, 2, dim, 2);
    assert_int_equal(dl_tensor_read(&y[0], got, sizeof got), DL_OK);
    assert_int_equal(dl_tensor_read(&m[0], &median, sizeof median), DL_OK);
    assert_memory_equal(got, sorted, sizeof got);
    assert_int_equal(median, -1);
    dl_tensor_clear(&x);
    for (int k = 0; k < 2; k++) dl_tensor_clear(&y[k]), dl_tensor_clear(&m[k]);
}

/* sorted=0: the same elements in any order. */
static void test_unsorted_top(void **state) {
    (void)state;
    const int64_t shape[] = {200}, n = 20;
    const dl_attr attr[] = {A_INT(n), A_INT(0), A_INT(1), A_INT(0)}, again[] = {A_INT(0), A_INT(0)};
    dl_tensor x, y[2] = {{0}, {0}}, z[2] = {{0}, {0}};
    const dl_tensor *in[] = {&x}, *places[] = {&y[1]};
    cells_make(&x, DL_F32, 1, shape, NULL);
    for (int64_t i = 0; i < 200; i++) cells_set(&x, i, (double)(i * 37 % 200)); /* a permutation */
    cells_call("topk", in, 1, y, 2, attr, 4);
    cells_call("sort", places, 1, z, 2, again, 2);
    for (int64_t k = 0; k < n; k++) {
        assert_true(cells_get(&y[0], k) >= 180);
        assert_true(cells_get(&y[0], k) == cells_get(&x, (int64_t)cells_get(&y[1], k)));
        if (k) assert_true(cells_get(&z[0], k) > cells_get(&z[0], k - 1));
    }
    dl_tensor_clear(&x);
    for (int k = 0; k < 2; k++) dl_tensor_clear(&y[k]), dl_tensor_clear(&z[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_int64_ends), cmocka_unit_test(test_unsorted_top)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
