/* test_cpu_norm.c - layer_norm, group_norm, batch_norm and their backward ops of the CPU backend against loops in long double.
 */
#include "core/storage.h"
#include "tests/core/cells.h"

static uint64_t rng = 6;

typedef enum op_kind { LAYER, GROUP, BATCH, KINDS } op_kind;
static const char *const forward_name[] = {"layer_norm", "group_norm", "batch_norm"};
static const char *const backward_name[] = {"layer_norm_backward", "group_norm_backward", "batch_norm_backward"};

/* One call: kind is the number of last dimensions, of groups, or 1 while training, 0 while evaluating. */
typedef struct problem {
    op_kind op;
    int64_t kind;
    int rms;
    dl_dtype type;
    double eps;
    int32_t ndim;
    int64_t shape[5];
} problem;

enum { MAX_GROUPS = 2000, MAX_AFFINE = 20000 };

/* What the statistics' tensors look like. */
static int32_t statistics_shape(const problem *p, int64_t *shape) {
    if (p->op == BATCH) {
        shape[0] = p->shape[1];
        return 1;
    }
    if (p->op == GROUP) {
        shape[0] = p->shape[0], shape[1] = p->kind;
        return 2;
    }
    for (int32_t d = 0; d < p->ndim; d++) shape[d] = d < p->ndim - p->kind ? p->shape[d] : 1;
    return p->ndim;
}
static int32_t affine_shape(const problem *p, int64_t *shape) {
    if (p->op != LAYER) {
        shape[0] = p->shape[1];
        return 1;
    }
    for (int32_t d = 0; d < p->kind; d++) shape[d] = p->shape[p->ndim - p->kind + d];
    return (int32_t)p->kind;
}
static int64_t count_of(int32_t ndim, const int64_t *shape) {
    int64_t n = 1;
    for (int32_t d = 0; d < ndim; d++) n *= shape[d];
    return n;
}

/* Which mean, and which weight, the element at `place` has. */
static int64_t group_of(const problem *p, const int64_t *place) {
    if (p->op == BATCH) return place[1];
    if (p->op == GROUP) return place[0] * p->kind + place[1] / (p->shape[1] / p->kind);
    return cells_number(p->ndim - (int32_t)p->kind, p->shape, place);
}
static int64_t affine_of(const problem *p, const int64_t *place) {
    const int32_t kept = p->ndim - (int32_t)p->kind;
    return p->op == LAYER ? cells_number((int32_t)p->kind, p->shape + kept, place + kept) : place[1];
}

static double tolerance(dl_dtype type, double value, double size) {
    return 4 * cells_epsilon(type) * fabs(value) + 16 * cells_epsilon(type == DL_F64 ? type : DL_F32) * size;
}

static struct {
    long double mean[MAX_GROUPS], var[MAX_GROUPS], g[MAX_GROUPS], gu[MAX_GROUPS];
    long double to_weight[MAX_AFFINE], to_bias[MAX_AFFINE];
} want;

static void expect_statistics(const problem *p, const dl_tensor *x, double length) {
    int64_t place[5] = {0}, k = 0;
    memset(&want, 0, sizeof want);
    if (!p->rms) do {
            want.mean[group_of(p, place)] += (long double)cells_get(x, k++) / length;
        } while (cells_next(p->ndim, p->shape, place));
    k = 0;
    do {
        const int64_t group = group_of(p, place);
        want.var[group] += powl(cells_get(x, k++) - want.mean[group], 2) / length;
    } while (cells_next(p->ndim, p->shape, place));
}

static void check_forward(const problem *p, const dl_tensor *x, const dl_tensor *w, const dl_tensor *b, dl_tensor *out) {
    const dl_dtype statistics = p->type == DL_F64 ? DL_F64 : DL_F32;
    for (int64_t group = 0; group < dl_tensor_count(&out[1]); group++) {
        cells_near(cells_get(&out[1], group), (double)want.mean[group], tolerance(statistics, (double)want.mean[group], 4),
                   "mean");
        cells_near(cells_get(&out[2], group), (double)want.var[group], tolerance(statistics, (double)want.var[group], 16),
                   "var");
    }
    int64_t place[5] = {0}, k = 0;
    do {
        const int64_t group = group_of(p, place), own = affine_of(p, place);
        const double r = 1 / sqrt((double)want.var[group] + p->eps), u = (cells_get(x, k) - (double)want.mean[group]) * r;
        const double y = u * (w ? cells_get(w, own) : 1) + (b ? cells_get(b, own) : 0);
        cells_near(cells_get(&out[0], k++), y, tolerance(p->type, y, 16 * (1 + r)), forward_name[p->op]);
    } while (cells_next(p->ndim, p->shape, place));
}

static void check_backward(const problem *p, const dl_tensor *x, const dl_tensor *w, const dl_tensor *grad, double length,
                           dl_tensor *out) {
    const int fixed = p->op == BATCH && !p->kind;
    double largest = 1;
    int64_t place[5] = {0}, k = 0;
    do {
        const int64_t group = group_of(p, place), own = affine_of(p, place);
        const double r = 1 / sqrt((double)want.var[group] + p->eps), u = (cells_get(x, k) - (double)want.mean[group]) * r;
        const long double g = cells_get(grad, k), scaled = g * (w ? cells_get(w, own) : 1);
        want.g[group] += p->rms || fixed ? 0 : scaled / length;
        want.gu[group] += fixed ? 0 : scaled * u / length;
        want.to_weight[own] += g * u;
        want.to_bias[own] += g;
        if (fabs(u) > largest) largest = fabs(u);
        k++;
    } while (cells_next(p->ndim, p->shape, place));
    k = 0;
    do {
        const int64_t group = group_of(p, place), own = affine_of(p, place);
        const double r = 1 / sqrt((double)want.var[group] + p->eps), u = (cells_get(x, k) - (double)want.mean[group]) * r;
        const double scaled = cells_get(grad, k) * (w ? cells_get(w, own) : 1);
        const double to_x = r * (scaled - (double)want.g[group] - u * (double)want.gu[group]);
        cells_near(cells_get(&out[0], k++), to_x, tolerance(p->type, to_x, 64 * r * (1 + r) * (1 + r)), backward_name[p->op]);
    } while (cells_next(p->ndim, p->shape, place));
    /* sums of float64 are kept in no wider type, so their roundings add up */
    const double spread = (p->type == DL_F64 ? 16 : 1) * sqrt((double)dl_tensor_count(x));
    for (int64_t i = 0; i < dl_tensor_count(&out[1]); i++) {
        const double to_weight = (double)want.to_weight[i], to_bias = (double)want.to_bias[i];
        cells_near(cells_get(&out[1], i), to_weight, tolerance(p->type, to_weight, largest * spread), "towards weight");
        cells_near(cells_get(&out[2], i), to_bias, tolerance(p->type, to_bias, spread), "towards bias");
    }
}

/* Random layouts of everything; outputs are new, or given and of any layout. */
static void check(const problem *p) {
    int64_t kept[5], affine[5];
    const int32_t kept_dims = statistics_shape(p, kept), affine_dims = affine_shape(p, affine);
    const int evaluating = p->op == BATCH && !p->kind, given = (int)cells_below(&rng, 2);
    const double length = (double)count_of(p->ndim, p->shape) / (double)count_of(kept_dims, kept);
    const dl_dtype statistics = p->type == DL_F64 ? DL_F64 : DL_F32;
    const dl_attr attr[] = {A_INT(p->kind), A_FLOAT(p->eps), A_INT(p->rms)};
    const dl_attr back_attr[] = {A_INT(p->kind), A_FLOAT(p->eps), A_INT(1), A_INT(p->rms)};
    dl_tensor x, grad, w, b, mean, var, y[3] = {{0}}, gradients[3] = {{0}};
    cells_random(&x, p->type, p->ndim, p->shape, &rng);
    cells_random(&grad, p->type, p->ndim, p->shape, &rng);
    cells_random(&w, p->type, affine_dims, affine, &rng);
    cells_random(&b, p->type, affine_dims, affine, &rng);
    cells_make(&mean, statistics, kept_dims, kept, &rng);
    cells_make(&var, statistics, kept_dims, kept, &rng);
    const dl_tensor *weight = cells_below(&rng, 2) ? &w : NULL, *bias = cells_below(&rng, 2) ? &b : NULL;
    expect_statistics(p, &x, length);
    for (int64_t group = 0; group < dl_tensor_count(&mean); group++) {
        if (evaluating) want.mean[group] = cells_below(&rng, 3), want.var[group] = 1 + (double)cells_below(&rng, 3);
        cells_set(&mean, group, (double)want.mean[group]);
        cells_set(&var, group, (double)want.var[group]);
    }
    const dl_tensor *in[] = {&x, weight, bias, evaluating ? &mean : NULL, evaluating ? &var : NULL};
    const dl_tensor *back[] = {&grad, &x, weight, &mean, &var};
    if (given) {
        cells_make(&y[0], p->type, p->ndim, p->shape, &rng), cells_make(&gradients[0], p->type, p->ndim, p->shape, &rng);
        cells_make(&gradients[1], p->type, affine_dims, affine, &rng);
        cells_make(&y[1], statistics, kept_dims, kept, &rng);
    }
    cells_call(forward_name[p->op], in, p->op == BATCH ? 5 : 3, y, 3, attr, p->op == LAYER ? 3 : 2);
    cells_call(backward_name[p->op], back, 5, gradients, 3, back_attr, p->op == LAYER ? 4 : 3);
    if (given)
        cells_check_gaps(&y[0]), cells_check_gaps(&y[1]), cells_check_gaps(&gradients[0]), cells_check_gaps(&gradients[1]);
    check_forward(p, &x, weight, bias, y);
    check_backward(p, &x, weight, &grad, length, gradients);
    dl_tensor *all[] = {&x, &grad, &w, &b, &mean, &var, &y[0], &y[1], &y[2], &gradients[0], &gradients[1], &gradients[2]};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) dl_tensor_clear(all[k]);
}

static void check_every_kind(dl_dtype type, double eps, int32_t ndim, const int64_t *shape) {
    problem p = {.type = type, .eps = eps, .ndim = ndim};
    memcpy(p.shape, shape, (size_t)ndim * sizeof *shape);
    for (p.op = LAYER; p.op < KINDS; p.op++) {
        if (p.op != LAYER && ndim < 2) continue;
        const int64_t each = p.op == BATCH ? count_of(ndim, shape) / shape[1] : 1;
        p.kind = p.op == LAYER ? 1 + cells_below(&rng, ndim) : p.op == BATCH ? each > 1 && cells_below(&rng, 2) : 1;
        if (p.op == GROUP) do
                p.kind = 1 + cells_below(&rng, shape[1]);
            while (shape[1] % p.kind);
        p.rms = p.op == LAYER && cells_below(&rng, 3) == 0;
        check(&p);
    }
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 400; round++) {
        int64_t shape[5];
        const int32_t ndim = 1 + (int32_t)cells_below(&rng, 5);
        for (int32_t d = 0; d < ndim; d++) shape[d] = 1 + cells_below(&rng, d == 1 ? 24 : ndim > 3 ? 4 : 9);
        check_every_kind((dl_dtype)cells_below(&rng, 4), round % 2 ? 1e-5 : 0.5, ndim, shape);
    }
}

/* Longer than a buffer, than a cell, than a segment; several blocks of columns. */
static void test_large(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{3, 1, 1543}, {2, 3, 20000}, {70, 600, 1}, {300, 5, 70}, {3, 1100, 2}, {1500, 2, 3}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (dl_dtype type = DL_F32; type <= DL_BF16; type++) {
            problem p = {.type = type, .eps = 1e-5, .ndim = 3};
            memcpy(p.shape, shapes[k], sizeof shapes[k]);
            for (p.op = LAYER; p.op < KINDS; p.op++) {
                p.kind = 1;
                if (p.op == LAYER && p.shape[0] * p.shape[1] > MAX_GROUPS) p.kind = 2;
                check(&p);
            }
        }
}

/* ---- layouts, threads -----------------------------------------------------------------------------------------------------
 */

/* An uninitialised (n, c, h, w) tensor laid plain or channels-last. */
static void lay(dl_tensor *t, dl_dtype type, const int64_t *shape, int last) {
    const int64_t turned[] = {shape[0], shape[2], shape[3], shape[1]}, order[] = {0, 3, 1, 2};
    if (!last) {
        cells_make(t, type, 4, shape, NULL);
        return;
    }
    dl_tensor rows, *out = t;
    const dl_attr attr = A_INTS(order, 4);
    cells_make(&rows, type, 4, turned, NULL);
    *t = (dl_tensor){0};
    assert_int_equal(dl_call(dl_op_find("permute"), (const dl_tensor *[]){&rows}, 1, &out, 1, &attr, 1), DL_OK);
    dl_tensor_clear(&rows);
}

typedef struct results {
    dl_tensor y[3], gradients[3];
} results;

static void run_both(op_kind op, int64_t kind, const dl_tensor *x, const dl_tensor *grad, const dl_tensor *w, int last,
                     results *r) {
    const dl_attr attr[] = {A_INT(kind), A_FLOAT(1e-5)};
    memset(r, 0, sizeof *r);
    lay(&r->y[0], x->type, x->shape, last);
    lay(&r->gradients[0], x->type, x->shape, last);
    cells_call(forward_name[op], (const dl_tensor *[]){x, w, w, NULL, NULL}, op == BATCH ? 5 : 3, r->y, 3, attr, 2);
    cells_call(backward_name[op], (const dl_tensor *[]){grad, x, w, &r->y[1], &r->y[2]}, 5, r->gradients, 3, attr, 2);
}

static void forget(results *r) {
    for (int k = 0; k < 3; k++) dl_tensor_clear(&r->y[k]), dl_tensor_clear(&r->gradients[k]);
}

static void near_all(const dl_tensor *a, const dl_tensor *b, double most) {
    for (int64_t k = 0; k < dl_tensor_count(a); k++)
        cells_near(cells_get(a, k), cells_get(b, k), most * (1 + fabs(cells_get(b, k))), "the other layout");
}

/* The same bits with every number of threads, and nearly the same numbers in both layouts. */
static void check_threads(op_kind op, int64_t kind, const int64_t *shape, dl_dtype type) {
    dl_tensor x[2], grad[2], w;
    results first[2], again;
    const int64_t affine = shape[1];
    cells_random(&w, type, 1, &affine, &rng);
    for (int last = 0; last < 2; last++) lay(&x[last], type, shape, last), lay(&grad[last], type, shape, last);
    for (int64_t k = 0; k < dl_tensor_count(&x[0]); k++) {
        const double value = (double)cells_below(&rng, 1000) / 100, slope = (double)cells_below(&rng, 1000) / 500 - 1;
        for (int last = 0; last < 2; last++) cells_set(&x[last], k, value), cells_set(&grad[last], k, slope);
    }
    const int32_t threads = dl_threads(0);
    for (int last = 0; last < 2; last++) {
        dl_threads(1);
        run_both(op, kind, &x[last], &grad[last], &w, last, &first[last]);
        for (int32_t n = 2; n <= 5; n += 3) {
            dl_threads(n);
            run_both(op, kind, &x[last], &grad[last], &w, last, &again);
            for (int k = 0; k < 3; k++) {
                cells_same_bits(&first[last].y[k], &again.y[k]);
                cells_same_bits(&first[last].gradients[k], &again.gradients[k]);
            }
            forget(&again);
        }
    }
    dl_threads(threads);
    const double most = type == DL_F64 ? 1e-11 : 1e-4;
    for (int k = 0; k < 3; k++) {
        near_all(&first[0].y[k], &first[1].y[k], most);
        near_all(&first[0].gradients[k], &first[1].gradients[k], k ? 10 * most : most);
    }
    for (int last = 0; last < 2; last++) forget(&first[last]), dl_tensor_clear(&x[last]), dl_tensor_clear(&grad[last]);
    dl_tensor_clear(&w);
}

static void test_threads(void **state) {
    (void)state;
    static const int64_t shapes[][4] = {{2, 3, 90, 91}, {5, 64, 13, 11}, {40, 32, 7, 5}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (dl_dtype type = DL_F32; type <= DL_F64; type++) {
            check_threads(BATCH, 1, shapes[k], type);
            check_threads(GROUP, k == 0 ? 1 : 8, shapes[k], type);
        }
}

/* ---- particular values ----------------------------------------------------------------------------------------------------
 */

/* The variance does not come from a difference of large squares. */
static void test_far_from_zero(void **state) {
    (void)state;
    const int64_t n = 4, shape[] = {4, 1};
    const dl_attr attr[] = {A_INT(1), A_FLOAT(0)};
    const double values[] = {100001, 99999, 100001, 99999};
    for (op_kind op = LAYER; op < KINDS; op++) {
        dl_tensor x, y[3] = {{0}};
        if (op == GROUP) continue;
        if (op == LAYER)
            cells_of(&x, DL_F32, 1, &n, values);
        else
            cells_of(&x, DL_F32, 2, shape, values);
        cells_call(forward_name[op], (const dl_tensor *[]){&x, NULL, NULL, NULL, NULL}, op == BATCH ? 5 : 3, y, 3, attr, 2);
        for (int64_t k = 0; k < n; k++) assert_true(cells_get(&y[0], k) == (k % 2 ? -1 : 1));
        assert_true(cells_get(&y[1], 0) == 100000 && cells_get(&y[2], 0) == 1);
        for (int k = 0; k < 3; k++) dl_tensor_clear(&y[k]);
        dl_tensor_clear(&x);
    }
}

/* The first element, which shifts the sums, is far from all others. */
static void test_outlier_first(void **state) {
    (void)state;
    enum { N = 4096 };
    static double values[N];
    const int64_t shape[2][3] = {{1, 1, N}, {N, 1, 1}};
    const dl_attr attr[] = {A_INT(1), A_FLOAT(1e-5)};
    long double mean = 0, var = 0;
    for (int k = 0; k < N; k++) values[k] = k == 0 ? 1e6 : (double)(k % 7), mean += values[k] / N;
    for (int k = 0; k < N; k++) var += powl(values[k] - mean, 2) / N;
    for (int across = 0; across < 2; across++) {
        dl_tensor x, y[3] = {{0}};
        cells_of(&x, DL_F32, 3, shape[across], values);
        cells_call("batch_norm", (const dl_tensor *[]){&x, NULL, NULL, NULL, NULL}, 5, y, 3, attr, 2);
        cells_near(cells_get(&y[1], 0), (double)mean, 1e-6 * (double)mean, "mean");
        cells_near(cells_get(&y[2], 0), (double)var, 1e-6 * (double)var, "var");
        for (int k = 0; k < 3; k++) dl_tensor_clear(&y[k]);
        dl_tensor_clear(&x);
    }
}

static void test_running(void **state) {
    (void)state;
    const int64_t shape[] = {4, 2}, two = 2;
    const double values[] = {1, 10, 2, 10, 3, 10, 6, 14}; /* means 3 and 11, variances 3.5 and 3 */
    const dl_attr attr[] = {A_INT(1), A_FLOAT(1e-5), A_FLOAT(0.25)}, still[] = {A_INT(1), A_FLOAT(1e-5), A_FLOAT(0)};
    for (dl_dtype type = DL_F32; type <= DL_BF16; type++) {
        dl_tensor x, mean, var, y[3] = {{0}};
        cells_of(&x, type, 2, shape, values);
        cells_make(&mean, type, 1, &two, &rng), cells_make(&var, type, 1, &two, &rng);
        cells_set(&var, 0, 1), cells_set(&var, 1, 1);
        const dl_tensor *in[] = {&x, NULL, NULL, &mean, &var};
        cells_call("batch_norm", in, 5, y, 3, still, 3);
        assert_true(cells_get(&mean, 0) == 0 && cells_get(&var, 1) == 1);
        const int64_t before = mean.storage->version;
        cells_call("batch_norm", in, 5, y, 3, attr, 3);
        const double e = cells_epsilon(type);
        cells_near(cells_get(&mean, 0), 0.75, e, "running mean");
        cells_near(cells_get(&mean, 1), 2.75, 4 * e, "running mean");
        cells_near(cells_get(&var, 0), 0.75 + 0.25 * 3.5 * 4 / 3, 4 * e, "running variance");
        cells_near(cells_get(&var, 1), 0.75 + 0.25 * 3 * 4 / 3, 4 * e, "running variance");
        assert_true(mean.storage->version != before);
        cells_check_gaps(&mean), cells_check_gaps(&var);
        for (int k = 0; k < 3; k++) dl_tensor_clear(&y[k]);
        dl_tensor_clear(&x), dl_tensor_clear(&mean), dl_tensor_clear(&var);
    }
}

/* No samples, groups of nothing, no channels. */
static void test_empty(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{0, 4, 3}, {2, 4, 0}, {2, 0, 3}};
    const dl_attr attr[] = {A_INT(1), A_FLOAT(1e-5)};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (op_kind op = LAYER; op < KINDS; op++) {
            dl_tensor x, y[3] = {{0}}, gradients[3] = {{0}};
            if (op == BATCH && k < 2) continue; /* refused */
            cells_make(&x, DL_F32, 3, shapes[k], NULL);
            const dl_tensor *in[] = {&x, NULL, NULL, NULL, NULL};
            cells_call(forward_name[op], in, op == BATCH ? 5 : 3, y, 3, attr, 2);
            assert_int_equal(dl_tensor_count(&y[0]), 0);
            for (int64_t i = 0; i < dl_tensor_count(&y[1]); i++) assert_true(isnan(cells_get(&y[1], i)));
            const dl_tensor *back[] = {&x, &x, NULL, &y[1], &y[2]};
            cells_call(backward_name[op], back, 5, gradients, 3, attr, 2);
            for (int64_t i = 0; i < dl_tensor_count(&gradients[1]); i++) assert_true(cells_get(&gradients[1], i) == 0);
            for (int i = 0; i < 3; i++) dl_tensor_clear(&y[i]), dl_tensor_clear(&gradients[i]);
            dl_tensor_clear(&x);
        }
}

static void test_refusals(void **state) {
    (void)state;
    const int64_t shape[] = {1, 4}, three = 3, row[] = {1, 1};
    const dl_attr dims[] = {A_INT(1), A_FLOAT(1e-5)}, groups[] = {A_INT(3), A_FLOAT(1e-5)},
                  negative[] = {A_INT(1), A_FLOAT(-1)};
    const dl_attr much[] = {A_INT(0), A_FLOAT(0), A_FLOAT(1.5)};
    dl_tensor x, w, s, c, y[3] = {{0}};
    const dl_tensor *plain[] = {&x, NULL, NULL, NULL, NULL}, *weighted[] = {&x, &w, NULL}, *back[] = {&x, &x, NULL, &s, &w},
                    *turned[] = {&w, &x, NULL, &s, &s}, *running[] = {&x, NULL, NULL, &c, &c};
    cells_make(&x, DL_F32, 2, shape, NULL);
    cells_make(&w, DL_F32, 1, &three, NULL);
    cells_make(&s, DL_F32, 2, row, NULL);
    cells_make(&c, DL_F32, 1, shape + 1, NULL);
    cells_refuse("expected weight of shape (4), x's last dimensions, got (3)", "layer_norm", weighted, 3, y, 3, dims, 2);
    cells_refuse("expected to normalise 1..2 last dimensions of x (1, 4), got 3", "layer_norm", plain, 3, y, 3, groups, 2);
    cells_refuse("expected a number of groups that divides the 4 channels of x (1, 4), got 3", "group_norm", plain, 3, y, 3,
                 groups, 2);
    cells_refuse("training needs at least two values for each channel, x (1, 4) has 1: use larger batches or evaluate",
                 "batch_norm", plain, 5, y, 3, dims, 2);
    cells_refuse("evaluation needs running_mean and running_var", "batch_norm", plain, 5, y, 3, much, 2);
    cells_refuse("expected a momentum of 0 to 1, got 1.5", "batch_norm", running, 5, y, 3, much, 3);
    cells_refuse("expected eps of 0 or more, got -1", "layer_norm", plain, 3, y, 3, negative, 2);
    cells_refuse("expected var of shape (1, 1) and of the dtype that the forward op gives, got shape (3)",
                 "layer_norm_backward", back, 5, y, 3, dims, 2);
    cells_refuse("expected a gradient of shape (1, 4), got (3)", "layer_norm_backward", turned, 5, y, 3, dims, 2);
    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&s), dl_tensor_clear(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),  cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_threads), cmocka_unit_test(test_far_from_zero),
                                       cmocka_unit_test(test_running), cmocka_unit_test(test_outlier_first),
                                       cmocka_unit_test(test_empty),   cmocka_unit_test(test_refusals)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
