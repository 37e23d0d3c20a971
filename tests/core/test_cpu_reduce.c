/* test_cpu_reduce.c - the CPU backend's reductions over random shapes, layouts, dims and dtypes, against loops in double. */
#include "tests/core/cells.h"

static uint64_t rng = 2;

/* ---- references: the elements of one output ------------------------------------------------------------------------------ */

typedef struct group {
    double *v;
    int64_t n;
    double p;           /* norm */
    int64_t correction; /* var */
} group;

static double sum(const group *g) {
    long double s = 0;
    for (int64_t i = 0; i < g->n; i++) s += g->v[i];
    return (double)s;
}
static double prod(const group *g) {
    double s = 1;
    for (int64_t i = 0; i < g->n; i++) s *= g->v[i];
    return s;
}
static double mean(const group *g) { return sum(g) / (double)g->n; }
static double var(const group *g) {
    const long double m = mean(g);
    long double s = 0;
    for (int64_t i = 0; i < g->n; i++) s += (g->v[i] - m) * (g->v[i] - m);
    return (double)s / (double)(g->n > g->correction ? g->n - g->correction : 0);
}
static int64_t most(const group *g, double sign) {
    int64_t best = 0;
    for (int64_t i = 1; i < g->n && !isnan(g->v[best]); i++)
        if (isnan(g->v[i]) || sign * g->v[i] > sign * g->v[best]) best = i;
    return best;
}
static double amax(const group *g) { return g->v[most(g, 1)]; }
static double amin(const group *g) { return g->v[most(g, -1)]; }
static double argmax(const group *g) { return (double)most(g, 1); }
static double argmin(const group *g) { return (double)most(g, -1); }
static double any(const group *g) {
    for (int64_t i = 0; i < g->n; i++)
        if (g->v[i] != 0) return 1;
    return 0;
}
static double all(const group *g) {
    for (int64_t i = 0; i < g->n; i++)
        if (g->v[i] == 0) return 0;
    return 1;
}
static double norm(const group *g) {
    long double s = 0;
    for (int64_t i = 0; i < g->n; i++)
        s = g->p == INFINITY ? fmaxl(s, fabs(g->v[i])) : s + (g->p == 0 ? g->v[i] != 0 : pow(fabs(g->v[i]), g->p));
    return g->p == 0 || g->p == INFINITY ? (double)s : pow((double)s, 1 / g->p);
}
static double logsumexp(const group *g) {
    long double s = 0;
    for (int64_t i = 0; i < g->n; i++) s += exp(g->v[i]);
    return log((double)s);
}

enum { FLOATS_ONLY = 1, ONE_DIM = 2, NOT_EMPTY = 4 };
typedef struct reduction {
    const char *op;
    double (*of)(const group *);
    int how;
    double ulps; /* error allowed, in epsilons of the output's dtype times the sum of magnitudes */
} reduction;
static const reduction reductions[] = {
    {"sum", sum, 0, 1},
    {"prod", prod, 0, 1},
    {"mean", mean, FLOATS_ONLY, 1},
    {"var", var, FLOATS_ONLY, 4},
    {"amax", amax, NOT_EMPTY, 0},
    {"amin", amin, NOT_EMPTY, 0},
    {"argmax", argmax, ONE_DIM | NOT_EMPTY, 0},
    {"argmin", argmin, ONE_DIM | NOT_EMPTY, 0},
    {"any", any, 0, 0},
    {"all", all, 0, 0},
    {"norm", norm, FLOATS_ONLY, 4},
    {"logsumexp", logsumexp, FLOATS_ONLY, 4},
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions };

/* Compares out with the reference over x's dimensions of `mask`. */
static void check(const reduction *r, const dl_tensor *x, const dl_tensor *out, uint32_t mask, double p, int64_t correction) {
    int64_t kept[DL_MAX_DIMS], place[DL_MAX_DIMS] = {0}, inside = 1;
    for (int32_t d = 0; d < x->ndim; d++) {
        kept[d] = mask >> d & 1 ? 1 : x->shape[d];
        if (mask >> d & 1) inside *= x->shape[d];
    }
    if (dl_tensor_count(out) == 0) return;
    group g = {malloc((size_t)(inside + 1) * sizeof *g.v), 0, p, correction};
    do {
        int64_t within[DL_MAX_DIMS] = {0}, sizes[DL_MAX_DIMS], at[DL_MAX_DIMS];
        double scale = 1;
        g.n = 0;
        for (int32_t d = 0; d < x->ndim; d++) sizes[d] = mask >> d & 1 ? x->shape[d] : 1;
        if (inside) do {
                for (int32_t d = 0; d < x->ndim; d++) at[d] = place[d] + within[d];
                g.v[g.n++] = cells_get(x, cells_number(x->ndim, x->shape, at));
                scale += fabs(g.v[g.n - 1]);
            } while (cells_next(x->ndim, sizes, within));
        double expected = r->of(&g);
        if (out->type <= DL_BF16)
            expected = isinf(cells_rounded(out->type, expected)) ? cells_rounded(out->type, expected) : expected;
        if (r->of == prod) scale = fabs(expected);
        if (r->of == var || r->of == norm) scale = fabs(expected) + 1;
        if (out->type == DL_F64) scale *= 100; /* accumulated in its own precision: errors grow with the count */
        if (!r->ulps && out->type != DL_I64 && out->type != DL_BOOL) scale = 0;
        cells_near(cells_get(out, cells_number(x->ndim, kept, place)), expected, r->ulps * cells_epsilon(out->type) * scale,
                   r->op);
    } while (cells_next(x->ndim, kept, place));
    free(g.v);
}

static void call(const reduction *r, const dl_tensor *x, dl_tensor *out, const int64_t *dims, int32_t n, int keepdim, double p,
                 int64_t correction) {
    const dl_attr plain[] = {A_INTS(dims, n), A_INT(keepdim)};
    const dl_attr with_p[] = {A_FLOAT(p), A_INTS(dims, n), A_INT(keepdim)};
    const dl_attr with_correction[] = {A_INTS(dims, n), A_INT(correction), A_INT(keepdim)};
    const dl_tensor *in[] = {x};
    if (r->of == norm)
        cells_call(r->op, in, 1, out, 1, with_p, 3);
    else if (r->of == var)
        cells_call(r->op, in, 1, out, 1, with_correction, 3);
    else
        cells_call(r->op, in, 1, out, 1, plain, 2);
}

/* Random dims of x: as a mask and as a list with some negative. */
static uint32_t choose_dims(const reduction *r, int32_t ndim, int64_t *dims, int32_t *n) {
    uint32_t mask = 0;
    *n = 0;
    for (int32_t d = 0; d < ndim; d++) {
        if (cells_below(&rng, 2) || (r->how & ONE_DIM && *n)) continue;
        mask |= 1u << d;
        dims[(*n)++] = cells_below(&rng, 2) ? d : d - ndim;
    }
    return *n ? mask : (1u << ndim) - 1;
}

static void test_random(void **state) {
    (void)state;
    static const double ps[] = {0, 1, 2, 3, 0.5, INFINITY};
    for (int round = 0; round < 2000; round++) {
        const reduction *r = &reductions[round % REDUCTIONS];
        const dl_dtype type = (dl_dtype)cells_below(&rng, r->how & FLOATS_ONLY ? 4 : DL_DTYPE_COUNT);
        int64_t shape[DL_MAX_DIMS], dims[DL_MAX_DIMS];
        int32_t n;
        const int32_t ndim = (int32_t)cells_below(&rng, 6);
        for (int32_t d = 0; d < ndim; d++)
            shape[d] = !(r->how & NOT_EMPTY) && cells_below(&rng, 15) == 0 ? 0 : 1 + cells_below(&rng, round % 5 ? 5 : 9);
        const uint32_t mask = choose_dims(r, ndim, dims, &n);
        int64_t count = 1;
        for (int32_t d = 0; d < ndim; d++) count *= shape[d];
        const double p = ps[cells_below(&rng, count ? 6 : 5)]; /* the largest of none is refused */
        const int64_t correction = cells_below(&rng, 3);
        const int keepdim = (int)cells_below(&rng, 2);
        dl_tensor x, out = {0}, given;
        cells_random(&x, type, ndim, shape, &rng);
        if (r->of == any || r->of == all) /* else 0 decides everything */
            for (int64_t i = 0; i < dl_tensor_count(&x); i++)
                if (cells_get(&x, i) == 0 && cells_below(&rng, 8)) cells_set(&x, i, 1);
        if (r->of == prod) /* a few factors other than +-1, so that integers do not wrap */
            for (int64_t i = 0; i < dl_tensor_count(&x); i++)
                if (cells_below(&rng, dl_tensor_count(&x)) > 2) cells_set(&x, i, type != DL_U8 && i % 3 ? -1 : 1);
        call(r, &x, &out, dims, n, keepdim, p, correction);
        check(r, &x, &out, mask, p, correction);
        cells_make(&given, out.type, out.ndim, out.shape, &rng);
        call(r, &x, &given, dims, n, keepdim, p, correction);
        cells_check_gaps(&given);
        cells_same_bits(&given, &out);
        dl_tensor_clear(&x), dl_tensor_clear(&out), dl_tensor_clear(&given);
    }
}

/* The shapes that take other paths: long rows, long columns, few outputs; equal bits for every number of threads. */
static void test_large(void **state) {
    (void)state;
    static const struct {
        int64_t shape[3];
        uint32_t mask;
    } cases[] = {{{1, 3, 70001}, 4}, {{1, 70001, 3}, 2}, {{5, 201, 301}, 2}, {{1, 1, 300007}, 4},
                 {{7, 33, 999}, 5},  {{1, 900, 700}, 4}, {{1, 900, 700}, 2}};
    const int32_t threads = dl_threads(0);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int k = 0; k < REDUCTIONS; k++) {
            const reduction *r = &reductions[k];
            const dl_dtype type = c % 2 ? DL_F32 : r->how & FLOATS_ONLY ? DL_F64 : DL_I32;
            if (r->of == prod || (r->how & ONE_DIM && cases[c].mask == 5)) continue;
            int64_t dims[3];
            int32_t n = 0;
            for (int32_t d = 0; d < 3; d++)
                if (cases[c].mask >> d & 1) dims[n++] = d;
            dl_tensor x, out = {0}, again = {0};
            cells_random(&x, type, 3, cases[c].shape, &rng);
            for (int64_t i = 0; i < dl_tensor_count(&x); i++) cells_set(&x, i, rint(cells_get(&x, i)));
            dl_threads(1);
            call(r, &x, &out, dims, n, 1, 2, 1);
            check(r, &x, &out, cases[c].mask, 2, 1);
            dl_threads(3);
            call(r, &x, &again, dims, n, 1, 2, 1);
            cells_same_bits(&out, &again);
            dl_tensor_clear(&x), dl_tensor_clear(&out), dl_tensor_clear(&again);
        }
    dl_threads(threads);
}

static double value_of(const char *op, const dl_tensor *x) {
    const dl_attr attr[] = {A_INTS(NULL, 0)};
    dl_tensor y = {0};
    const dl_tensor *in[] = {x};
    cells_call(op, in, 1, &y, 1, attr, strcmp(op, "norm") ? 1 : 0);
    const double v = cells_get(&y, 0);
    dl_tensor_clear(&y);
    return v;
}

/* Sums that single-precision accumulation gets wrong. */
static void test_accuracy(void **state) {
    (void)state;
    const int64_t n = 3000000;
    dl_tensor x;
    cells_make(&x, DL_F32, 1, &n, NULL);
    for (int64_t i = 0; i < n; i++) ((float *)x.data)[i] = 0.1f;
    assert_true((float)value_of("sum", &x) == (float)(3000000.0 * (double)0.1f));
    for (int64_t i = 0; i < n; i++) ((float *)x.data)[i] = 10000.0f + (float)(i % 2);
    cells_near(value_of("var", &x), 0.25 * 3000000.0 / 2999999.0, 1e-7, "variance far from zero");
    for (int64_t i = 0; i < n; i++) ((float *)x.data)[i] = 1e30f;
    cells_near(value_of("norm", &x), 1e30 * sqrt(3000000.0), 1e27, "norm whose squares overflow float");
    dl_tensor_clear(&x);
}

static void test_nan_and_ties(void **state) {
    (void)state;
    for (dl_dtype type = DL_F32; type <= DL_BF16; type++)
        for (int64_t n = 5; n < 120; n += 19) {
            dl_tensor x;
            cells_make(&x, type, 1, &n, &rng);
            for (int64_t i = 0; i < n; i++) cells_set(&x, i, i % 3 == 1 ? 2 : -1);
            assert_true(value_of("argmax", &x) == 1 && value_of("argmin", &x) == 0);
            const int64_t at = 2 + cells_below(&rng, n - 3);
            cells_set(&x, n - 1, NAN);
            cells_set(&x, at, NAN);
            assert_true(value_of("argmax", &x) == (double)at && value_of("argmin", &x) == (double)at);
            assert_true(isnan(value_of("amax", &x)) && isnan(value_of("amin", &x)) && isnan(value_of("sum", &x)));
            assert_true(value_of("any", &x) == 1 && value_of("all", &x) == 1);
            dl_tensor_clear(&x);
        }
}

static void test_infinities(void **state) {
    (void)state;
    const int64_t n = 40;
    dl_tensor x;
    cells_make(&x, DL_F32, 1, &n, NULL);
    for (int64_t i = 0; i < n; i++) cells_set(&x, i, -INFINITY);
    assert_true(value_of("amax", &x) == -INFINITY && value_of("argmax", &x) == 0 && value_of("logsumexp", &x) == -INFINITY);
    cells_set(&x, 7, INFINITY);
    assert_true(value_of("amax", &x) == INFINITY && value_of("argmax", &x) == 7 && value_of("logsumexp", &x) == INFINITY);
    for (int64_t i = 0; i < n; i++) cells_set(&x, i, 1000);
    cells_near(value_of("logsumexp", &x), 1000 + log(40), 1e-4, "logsumexp of large values");
    dl_tensor_clear(&x);
}

static void test_integers(void **state) {
    (void)state;
    const dl_attr over_all[] = {A_INTS(NULL, 0)};
    const int64_t n = 3, wide[] = {INT64_MAX, INT64_MAX - 1, INT64_MIN};
    dl_tensor x, y = {0};
    const dl_tensor *in[] = {&x};
    cells_make(&x, DL_I64, 1, &n, NULL);
    memcpy(x.data, wide, sizeof wide);
    cells_call("amax", in, 1, &y, 1, over_all, 1);
    assert_true(*(int64_t *)y.data == INT64_MAX);
    dl_tensor_clear(&y);
    assert_true(value_of("argmax", &x) == 0 && value_of("argmin", &x) == 2);
    cells_call("sum", in, 1, &y, 1, over_all, 1); /* wraps */
    assert_true(*(int64_t *)y.data == INT64_MAX - 2);
    dl_tensor_clear(&x), dl_tensor_clear(&y);

    const dl_attr to_f32[] = {A_INTS(NULL, 0), A_INT(0), A_INT(DL_F32)};
    const double bytes[] = {200, 100, 255};
    cells_of(&x, DL_U8, 1, &n, bytes);
    assert_true(value_of("sum", &x) == 555);
    cells_call("sum", in, 1, &y, 1, to_f32, 3);
    assert_true(y.type == DL_F32 && cells_get(&y, 0) == 555);
    dl_tensor_clear(&x), dl_tensor_clear(&y);
}

static void test_max_dim(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        int64_t shape[3] = {1 + cells_below(&rng, 6), 1 + cells_below(&rng, 40), 1 + cells_below(&rng, 6)};
        const int32_t dim = (int32_t)cells_below(&rng, 3);
        const int64_t dims = dim;
        const dl_attr attr[] = {A_INT(dim - 3), A_INT(1)};
        dl_tensor x, y[2] = {{0}, {0}}, arg = {0};
        const dl_tensor *in[] = {&x};
        cells_random(&x, (dl_dtype)cells_below(&rng, DL_DTYPE_COUNT), 3, shape, &rng);
        const reduction *value = &reductions[round % 2 ? 4 : 5], *place = &reductions[round % 2 ? 6 : 7];
        cells_call(round % 2 ? "max_dim" : "min_dim", in, 1, y, 2, attr, 2);
        check(value, &x, &y[0], 1u << dim, 0, 0);
        check(place, &x, &y[1], 1u << dim, 0, 0);
        call(place, &x, &arg, &dims, 1, 1, 0, 0);
        cells_same_bits(&arg, &y[1]);
        dl_tensor_clear(&x), dl_tensor_clear(&y[0]), dl_tensor_clear(&y[1]), dl_tensor_clear(&arg);
    }
}

static void test_empty(void **state) {
    (void)state;
    const int64_t shape[] = {2, 0}, dim = 1;
    const dl_attr attr[] = {A_INTS(&dim, 1)}, one[] = {A_INT(1)};
    dl_tensor x, y[2] = {{0}, {0}};
    const dl_tensor *in[] = {&x};
    cells_make(&x, DL_F32, 2, shape, NULL);
    cells_refuse("has size 0", "amax", in, 1, y, 1, attr, 1);
    cells_refuse("has size 0", "argmin", in, 1, y, 1, attr, 1);
    cells_refuse("has size 0", "max_dim", in, 1, y, 2, one, 1);
    const dl_attr largest[] = {A_FLOAT(INFINITY), A_INTS(&dim, 1)};
    cells_refuse("cannot take the maximum of an empty dimension", "norm", in, 1, y, 1, largest, 2);
    cells_call("mean", in, 1, y, 1, attr, 1);
    assert_true(isnan(cells_get(&y[0], 0)) && isnan(cells_get(&y[0], 1)));
    dl_tensor_clear(&x), dl_tensor_clear(&y[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),       cmocka_unit_test(test_large),      cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_nan_and_ties), cmocka_unit_test(test_infinities), cmocka_unit_test(test_integers),
        cmocka_unit_test(test_max_dim),      cmocka_unit_test(test_empty),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
