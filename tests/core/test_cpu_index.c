/* test_cpu_index.c - gathering and scattering by index and by mask on the CPU backend, against loops over the definition. */
#include "tests/core/cells.h"

static uint64_t rng = 6;

static const dl_dtype index_types[] = {DL_I64, DL_I32, DL_I16, DL_U8, DL_I8};

static dl_dtype any_type(void) { return (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT); }

static void random_indices(dl_tensor *t, int32_t ndim, const int64_t *shape, int64_t limit) {
    cells_make(t, index_types[cells_below(&rng, 5)], ndim, shape, &rng);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) cells_set(t, i, (double)cells_below(&rng, limit));
}

/* Element numbers: of place with its dim-th coordinate replaced. */
static int64_t moved(int32_t ndim, const int64_t *shape, const int64_t *place, int32_t dim, int64_t to) {
    int64_t at[DL_MAX_DIMS] = {0};
    memcpy(at, place, (size_t)ndim * sizeof *at);
    if (ndim) at[dim] = to;
    return cells_number(ndim, shape, at);
}

typedef struct problem {
    int32_t ndim, dim;
    int64_t shape[4];
    dl_dtype type;
    dl_attr attr[2];
} problem;

static problem random_problem(void) {
    problem p = {.ndim = (int32_t)cells_below(&rng, 5), .type = any_type()};
    for (int32_t d = 0; d < p.ndim; d++) p.shape[d] = 1 + cells_below(&rng, 6);
    p.dim = p.ndim ? (int32_t)cells_below(&rng, p.ndim) : 0;
    p.attr[0] = (dl_attr)A_INT(cells_below(&rng, 2) ? p.dim : p.dim - (p.ndim ? p.ndim : 1));
    return p;
}

static void test_gather(void **state) {
    (void)state;
    for (int round = 0; round < 800; round++) {
        const problem p = random_problem();
        int64_t shape[4], place[4] = {0};
        for (int32_t d = 0; d < p.ndim; d++) shape[d] = d == p.dim ? cells_below(&rng, 9) : 1 + cells_below(&rng, p.shape[d]);
        dl_tensor x, index, y;
        cells_random(&x, p.type, p.ndim, p.shape, &rng);
        random_indices(&index, p.ndim, shape, p.ndim ? p.shape[p.dim] : 1);
        cells_make(&y, p.type, p.ndim, shape, &rng);
        const dl_tensor *in[] = {&x, &index};
        cells_call("gather", in, 2, &y, 1, p.attr, 1);
        cells_check_gaps(&y);
        if (dl_tensor_count(&y)) do {
                const int64_t n = cells_number(p.ndim, shape, place);
                assert_true(cells_get(&y, n) ==
                            cells_get(&x, moved(p.ndim, p.shape, place, p.dim, (int64_t)cells_get(&index, n))));
            } while (cells_next(p.ndim, shape, place));
        dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&y);
    }
}

/* scatter and scatter_add; repeated indices: the last one wins, sums are of small numbers and so exact. */
static void test_scatter(void **state) {
    (void)state;
    for (int round = 0; round < 800; round++) {
        const problem p = random_problem();
        const int add = round % 2, scalar = (int)(cells_below(&rng, 4) == 0);
        int64_t shape[4], place[4] = {0};
        for (int32_t d = 0; d < p.ndim; d++) shape[d] = d == p.dim ? cells_below(&rng, 9) : 1 + cells_below(&rng, p.shape[d]);
        dl_tensor x, index, src, y, expected;
        cells_random(&x, p.type, p.ndim, p.shape, &rng);
        random_indices(&index, p.ndim, shape, p.ndim ? p.shape[p.dim] : 1);
        cells_random(&src, p.type, scalar ? 0 : p.ndim, shape, &rng);
        cells_make(&y, p.type, p.ndim, p.shape, &rng);
        cells_make(&expected, p.type, p.ndim, p.shape, NULL);
        const dl_tensor *in[] = {&x, &index, &src};
        cells_call(add ? "scatter_add" : "scatter", in, 3, &y, 1, p.attr, 1);
        cells_check_gaps(&y);
        for (int64_t i = 0; i < dl_tensor_count(&x); i++) cells_set(&expected, i, cells_get(&x, i));
        if (dl_tensor_count(&index)) do {
                const int64_t n = cells_number(p.ndim, shape, place);
                const int64_t to = moved(p.ndim, p.shape, place, p.dim, (int64_t)cells_get(&index, n));
                cells_set(&expected, to, cells_get(&src, scalar ? 0 : n) + (add ? cells_get(&expected, to) : 0));
            } while (cells_next(p.ndim, shape, place));
        cells_same_bits(&y, &expected);
        dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&src), dl_tensor_clear(&y), dl_tensor_clear(&expected);
    }
}

static void test_slices(void **state) {
    (void)state;
    static const char *const ops[] = {"index_select", "index_add", "index_copy", "index_fill"};
    for (int round = 0; round < 1600; round++) {
        const char *op = ops[round % 4];
        problem p = random_problem();
        const int64_t n = p.ndim ? cells_below(&rng, 8) : 1;
        int64_t shape[4], place[4] = {0};
        memcpy(shape, p.shape, sizeof shape);
        if (p.ndim) shape[p.dim] = n;
        dl_tensor x, index, src, y, expected;
        cells_random(&x, p.type, p.ndim, p.shape, &rng);
        random_indices(&index, n == 1 && round % 8 < 4 ? 0 : 1, &n, p.ndim ? p.shape[p.dim] : 1);
        cells_random(&src, p.type, p.ndim, shape, &rng);
        const int select = round % 4 == 0;
        cells_make(&y, p.type, p.ndim, select ? shape : p.shape, &rng);
        cells_make(&expected, p.type, p.ndim, select ? shape : p.shape, NULL);
        for (int64_t i = 0; i < dl_tensor_count(&x) && !select; i++) cells_set(&expected, i, cells_get(&x, i));
        if (dl_tensor_count(&src)) do {
                const int64_t from = cells_number(p.ndim, shape, place);
                const int64_t to = moved(p.ndim, p.shape, place, p.dim, (int64_t)cells_get(&index, p.ndim ? place[p.dim] : 0));
                switch (round % 4) {
                case 0: cells_set(&expected, from, cells_get(&x, to)); break;
                case 1: cells_set(&expected, to, cells_get(&expected, to) + cells_get(&src, from)); break;
                case 2: cells_set(&expected, to, cells_get(&src, from)); break;
                default: cells_set(&expected, to, 3); break;
                }
            } while (cells_next(p.ndim, shape, place));
        const dl_tensor *in[] = {&x, &index, &src};
        p.attr[1] = (dl_attr)A_FLOAT(3);
        cells_call(op, in, round % 4 == 1 || round % 4 == 2 ? 3 : 2, &y, 1, p.attr, round % 4 == 3 ? 2 : 1);
        cells_check_gaps(&y);
        cells_same_bits(&y, &expected);
        dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&src), dl_tensor_clear(&y), dl_tensor_clear(&expected);
    }
}

/* An embedding's forward and backward, large enough for threads; equal bits for every number of them. */
static void test_embedding(void **state) {
    (void)state;
    const int64_t table[] = {50, 96}, tokens = 1000, rows[] = {1000, 96};
    const dl_attr dim[] = {A_INT(0)};
    const int32_t threads = dl_threads(0);
    dl_tensor weight, index, grad, y[2] = {{0}, {0}}, sums[2] = {{0}, {0}};
    cells_random(&weight, DL_F32, 2, table, &rng);
    random_indices(&index, 1, &tokens, 50);
    cells_random(&grad, DL_F32, 2, rows, &rng);
    for (int64_t i = 0; i < dl_tensor_count(&grad); i++) cells_set(&grad, i, cells_get(&grad, i) / 3);
    const dl_tensor *select[] = {&weight, &index}, *add[] = {&weight, &index, &grad};
    for (int k = 0; k < 2; k++) {
        dl_threads(k ? 3 : 1);
        cells_call("index_select", select, 2, &y[k], 1, dim, 1);
        cells_call("index_add", add, 3, &sums[k], 1, dim, 1);
    }
    dl_threads(threads);
    cells_same_bits(&y[0], &y[1]);
    cells_same_bits(&sums[0], &sums[1]);
    for (int64_t i = 0; i < dl_tensor_count(&y[0]); i++)
        assert_true(cells_get(&y[0], i) == cells_get(&weight, (int64_t)cells_get(&index, i / 96) * 96 + i % 96));
    dl_tensor_clear(&weight), dl_tensor_clear(&index), dl_tensor_clear(&grad);
    for (int k = 0; k < 2; k++) dl_tensor_clear(&y[k]), dl_tensor_clear(&sums[k]);
}

/* The gradient of index_select into any layout: zeros where no index leads. */
static void test_select_backward(void **state) {
    (void)state;
    for (int round = 0; round < 400; round++) {
        problem p = random_problem();
        const int64_t n = p.ndim ? cells_below(&rng, 8) : 1;
        int64_t shape[4], place[4] = {0};
        memcpy(shape, p.shape, sizeof shape);
        if (p.ndim) shape[p.dim] = n;
        dl_tensor grad, index, y, expected;
        cells_random(&grad, p.type, p.ndim, shape, &rng);
        random_indices(&index, 1, &n, p.ndim ? p.shape[p.dim] : 1);
        cells_make(&y, p.type, p.ndim, p.shape, &rng);
        cells_make(&expected, p.type, p.ndim, p.shape, NULL);
        for (int64_t i = 0; i < dl_tensor_count(&y); i++) cells_set(&y, i, 1);
        if (dl_tensor_count(&grad)) do {
                const int64_t to = moved(p.ndim, p.shape, place, p.dim, (int64_t)cells_get(&index, p.ndim ? place[p.dim] : 0));
                const double sum = cells_get(&expected, to) + cells_get(&grad, cells_number(p.ndim, shape, place));
                cells_set(&expected, to, sum);
            } while (cells_next(p.ndim, shape, place));
        const dl_tensor *in[] = {&grad, &index};
        const dl_attr attr[] = {p.attr[0], A_INT(p.ndim ? p.shape[p.dim] : 1)};
        cells_call("index_select_backward", in, 2, &y, 1, attr, 2);
        cells_check_gaps(&y);
        cells_same_bits(&y, &expected);
        dl_tensor_clear(&grad), dl_tensor_clear(&index), dl_tensor_clear(&y), dl_tensor_clear(&expected);
    }
}

static void test_masks(void **state) {
    (void)state;
    for (int round = 0; round < 600; round++) {
        const problem p = random_problem();
        dl_tensor x, mask, src, selected = {0}, scattered, places = {0};
        cells_random(&x, p.type, p.ndim, p.shape, &rng);
        cells_random(&mask, round % 2 ? DL_BOOL : DL_U8, p.ndim, p.shape, &rng);
        const dl_tensor *in[] = {&x, &mask, &src};
        int64_t count = 0;
        for (int64_t i = 0; i < dl_tensor_count(&mask); i++) count += cells_get(&mask, i) != 0;
        const int64_t more = count + cells_below(&rng, 3);
        cells_random(&src, p.type, 1, &more, &rng);
        cells_make(&scattered, p.type, p.ndim, p.shape, &rng);
        cells_call("masked_select", in, 2, &selected, 1, NULL, 0);
        cells_call("masked_scatter", in, 3, &scattered, 1, NULL, 0);
        cells_check_gaps(&scattered);
        const dl_tensor *masks[] = {&mask};
        cells_call("nonzero", masks, 1, &places, 1, NULL, 0);
        assert_true(dl_tensor_count(&selected) == count && places.shape[0] == count && places.shape[1] == p.ndim);
        int64_t k = 0, place[4] = {0};
        do {
            const int64_t i = cells_number(p.ndim, p.shape, place);
            if (cells_get(&mask, i) == 0) {
                assert_true(cells_get(&scattered, i) == cells_get(&x, i));
                continue;
            }
            assert_true(cells_get(&selected, k) == cells_get(&x, i));
            assert_true(cells_get(&scattered, i) == cells_get(&src, k));
            for (int32_t d = 0; d < p.ndim; d++) assert_true(cells_get(&places, k * p.ndim + d) == (double)place[d]);
            k++;
        } while (cells_next(p.ndim, p.shape, place));
        dl_tensor_clear(&x), dl_tensor_clear(&mask), dl_tensor_clear(&src), dl_tensor_clear(&selected);
        dl_tensor_clear(&scattered), dl_tensor_clear(&places);
    }
}

/* What counts as non-zero: fractions, NaN, the smallest subnormal; not -0. */
static void test_nonzero_values(void **state) {
    (void)state;
    const int64_t n = 5;
    const double values[] = {-0.0, 0x1p-149, 0, NAN, 0.25};
    dl_tensor x, y = {0};
    const dl_tensor *in[] = {&x};
    cells_of(&x, DL_F32, 1, &n, values);
    cells_call("nonzero", in, 1, &y, 1, NULL, 0);
    assert_true(y.shape[0] == 3 && cells_get(&y, 0) == 1 && cells_get(&y, 1) == 3 && cells_get(&y, 2) == 4);
    dl_tensor_clear(&x), dl_tensor_clear(&y);
}

static void test_one_hot(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        int64_t shape[3] = {cells_below(&rng, 4), 1 + cells_below(&rng, 4), 1 + cells_below(&rng, 5)};
        const int32_t ndim = (int32_t)cells_below(&rng, 3);
        const dl_attr attr[] = {A_INT(shape[ndim]), A_INT(any_type())};
        if (shape[ndim] == 0) continue;
        dl_tensor index, y;
        random_indices(&index, ndim, shape, shape[ndim]);
        cells_make(&y, (dl_dtype)attr[1].v.i, ndim + 1, shape, &rng);
        const dl_tensor *in[] = {&index};
        cells_call("one_hot", in, 1, &y, 1, attr, 2);
        cells_check_gaps(&y);
        for (int64_t i = 0; i < dl_tensor_count(&y); i++)
            assert_true(cells_get(&y, i) == (cells_get(&index, i / shape[ndim]) == (double)(i % shape[ndim])));
        dl_tensor_clear(&index), dl_tensor_clear(&y);
    }
}

/* Every op checks its indices first, names the bad one and writes nothing. */
static void test_bad_indices(void **state) {
    (void)state;
    const int64_t shape[] = {3, 2}, n = 3, two[] = {3, 3};
    const double good[] = {1, 2, 3, 4, 5, 6}, bad[] = {0, 3, 1}, negative[] = {0, 1, -1};
    dl_tensor x, index, src, y;
    cells_of(&x, DL_F32, 2, shape, good);
    cells_make(&src, DL_F32, 2, shape, NULL);
    cells_of(&index, DL_I64, 1, &n, bad);
    cells_of(&y, DL_F32, 2, shape, good);
    const dl_tensor *in[] = {&x, &index, &src}, *hot[] = {&index};
    const dl_attr attr[] = {A_INT(0), A_FLOAT(9)};
    const char *message = "index 3 at position 1: expected 0..2";
    cells_refuse(message, "index_select", in, 2, &y, 1, attr, 1);
    cells_refuse(message, "index_add", in, 3, &y, 1, attr, 1);
    cells_refuse(message, "index_copy", in, 3, &y, 1, attr, 1);
    cells_refuse(message, "index_fill", in, 2, &y, 1, attr, 2);
    for (int64_t i = 0; i < 6; i++) assert_true(cells_get(&y, i) == good[i]);
    dl_tensor_clear(&y);
    cells_make(&y, DL_F32, 2, two, NULL);
    const dl_attr classes[] = {A_INT(3), A_INT(DL_F32)};
    cells_refuse(message, "one_hot", hot, 1, &y, 1, classes, 2);
    dl_tensor_clear(&y), dl_tensor_clear(&index);

    const int64_t column[] = {3, 1};
    cells_of(&index, DL_I32, 2, column, negative);
    cells_of(&y, DL_F32, 2, shape, good);
    message = "index -1 at position 2: expected 0..2";
    dl_tensor taken = {0};
    cells_refuse(message, "gather", in, 2, &taken, 1, attr, 1);
    dl_tensor_clear(&src);
    cells_make(&src, DL_F32, 2, column, NULL);
    cells_refuse(message, "scatter", in, 3, &y, 1, attr, 1);
    cells_refuse(message, "scatter_add", in, 3, &y, 1, attr, 1);
    for (int64_t i = 0; i < 6; i++) assert_true(cells_get(&y, i) == good[i]);
    dl_tensor_clear(&x), dl_tensor_clear(&index), dl_tensor_clear(&src), dl_tensor_clear(&y);
}

static void test_short_source(void **state) {
    (void)state;
    const int64_t n = 3, one = 1;
    const double ones[] = {1, 1, 0};
    dl_tensor x, mask, src, y = {0};
    const dl_tensor *in[] = {&x, &mask, &src};
    cells_make(&x, DL_F32, 1, &n, NULL);
    cells_of(&mask, DL_BOOL, 1, &n, ones);
    cells_make(&src, DL_F32, 1, &one, NULL);
    cells_refuse("the mask takes 2 elements, but src has only 1", "masked_scatter", in, 3, &y, 1, NULL, 0);
    dl_tensor_clear(&x), dl_tensor_clear(&mask), dl_tensor_clear(&src);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather),         cmocka_unit_test(test_scatter),         cmocka_unit_test(test_slices),
        cmocka_unit_test(test_embedding),      cmocka_unit_test(test_select_backward), cmocka_unit_test(test_masks),
        cmocka_unit_test(test_nonzero_values), cmocka_unit_test(test_one_hot),         cmocka_unit_test(test_bad_indices),
        cmocka_unit_test(test_short_source),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
