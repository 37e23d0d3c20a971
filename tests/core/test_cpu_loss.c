/* test_cpu_loss.c - nll_loss and cross_entropy of the CPU backend, forward and backward, against the definitions in double. */
#include "tests/core/cells.h"

static uint64_t rng = 5;

enum { NONE, MEAN, SUM };

typedef struct problem {
    int64_t samples, classes, reduction, ignore;
    double smoothing;
    int entropy, probabilities, weighted;
    dl_tensor scores, target, weight, grad;
} problem;

static double weight_of(const problem *p, int64_t c) { return p->weighted ? cells_get(&p->weight, c) : 1; }

/* loss[i] = -sum_c a[c] logp[c] */
static void coefficients(const problem *p, int64_t i, double *a) {
    const double share = p->smoothing / (double)p->classes;
    for (int64_t c = 0; c < p->classes; c++) {
        const double t = p->probabilities ? cells_get(&p->target, i * p->classes + c) : c == (int64_t)cells_get(&p->target, i);
        a[c] = weight_of(p, c) * ((1 - p->smoothing) * t + share);
    }
}

static int ignored(const problem *p, int64_t i) { return !p->probabilities && (int64_t)cells_get(&p->target, i) == p->ignore; }

/* Losses, total weight and the gradient towards the scores for an upstream gradient of g (or g[i]). */
static void reference(const problem *p, double *loss, double *total, double *gradient) {
    double *a = malloc((size_t)p->classes * sizeof *a), *logp = malloc((size_t)p->classes * sizeof *logp);
    *total = 0;
    for (int64_t i = 0; i < p->samples; i++)
        if (!ignored(p, i)) *total += p->probabilities ? 1 : weight_of(p, (int64_t)cells_get(&p->target, i));
    for (int64_t i = 0; i < p->samples; i++) {
        double sum = 0, all = 0;
        const double g = cells_get(&p->grad, p->reduction == NONE ? i : 0) / (p->reduction == MEAN ? *total : 1);
        for (int64_t c = 0; c < p->classes; c++) sum += exp(cells_get(&p->scores, i * p->classes + c));
        for (int64_t c = 0; c < p->classes; c++)
            logp[c] = cells_get(&p->scores, i * p->classes + c) - (p->entropy ? log(sum) : 0);
        coefficients(p, i, a);
        loss[i] = 0;
        for (int64_t c = 0; c < p->classes; c++) {
            loss[i] -= ignored(p, i) ? 0 : a[c] * logp[c];
            all += a[c];
        }
        for (int64_t c = 0; c < p->classes; c++)
            gradient[i * p->classes + c] = ignored(p, i) ? 0 : g * ((p->entropy ? exp(logp[c]) * all : 0) - a[c]);
    }
    free(a), free(logp);
}

static void check(problem *p) {
    const dl_dtype type = p->scores.type;
    const double tolerance = cells_epsilon(type) * 1000;
    double *loss = malloc((size_t)(p->samples + 1) * sizeof *loss), total;
    double *gradient = malloc((size_t)(p->samples * p->classes + 1) * sizeof *gradient);
    reference(p, loss, &total, gradient);
    const dl_attr attr[] = {A_INT(p->reduction), A_INT(p->ignore), A_FLOAT(p->smoothing)};
    const dl_tensor *in[] = {&p->scores, &p->target, p->weighted ? &p->weight : NULL};
    dl_tensor out[3] = {{0}, {0}, {0}}, dx;
    cells_make(&dx, type, p->scores.ndim, p->scores.shape, &rng);
    cells_call(p->entropy ? "cross_entropy" : "nll_loss", in, 3, out, p->entropy ? 3 : 2, attr, p->entropy ? 3 : 2);
    double sum = 0;
    for (int64_t i = 0; i < p->samples; i++) {
        sum += loss[i];
        if (p->reduction == NONE)
            cells_near(cells_get(&out[0], i), loss[i], tolerance * (1 + fabs(loss[i])), "loss of a sample");
    }
    if (p->reduction == MEAN) sum /= total;
    if (p->reduction != NONE)
        cells_near(cells_get(&out[0], 0), sum, tolerance * (1 + fabs(sum)) * (double)(p->reduction == SUM ? p->samples : 1),
                   "loss");
    const dl_tensor *logp = p->entropy ? &out[1] : &p->scores, *weights = &out[p->entropy ? 2 : 1];
    cells_near(cells_get(weights, 0), total, tolerance * fabs(total), "total weight");
    const dl_tensor *back[] = {&p->grad, logp, &p->target, in[2], weights};
    cells_call(p->entropy ? "cross_entropy_backward" : "nll_loss_backward", back, 5, &dx, 1, attr, p->entropy ? 3 : 2);
    cells_check_gaps(&dx);
    for (int64_t i = 0; i < p->samples * p->classes; i++)
        cells_near(cells_get(&dx, i), gradient[i], tolerance * (1 + fabs(gradient[i])), "gradient");
    free(loss), free(gradient);
    for (int k = 0; k < 3; k++) dl_tensor_clear(&out[k]);
    dl_tensor_clear(&dx);
}

static void solve(int64_t samples, int64_t classes, dl_dtype type, int entropy, int one_dim) {
    problem p = {.samples = samples, .classes = classes, .reduction = cells_below(&rng, 3), .entropy = entropy};
    const int64_t shape[] = {samples, classes};
    const int32_t lead = one_dim ? 1 : 0;
    p.ignore = cells_below(&rng, 2) ? -100 : cells_below(&rng, classes);
    p.smoothing = entropy && cells_below(&rng, 2) ? 0.125 : 0;
    p.probabilities = entropy && cells_below(&rng, 3) == 0;
    p.weighted = (int)cells_below(&rng, 2);
    static const dl_dtype label_types[] = {DL_I64, DL_I32, DL_I16, DL_F32};
    dl_dtype labels = label_types[cells_below(&rng, 4)];
    cells_random(&p.scores, type, 2 - lead, shape + lead, &rng);
    if (p.probabilities) {
        cells_random(&p.target, type, 2 - lead, shape + lead, &rng);
        for (int64_t i = 0; i < samples * classes; i++) cells_set(&p.target, i, fabs(cells_get(&p.target, i)) / 4);
    } else {
        cells_make(&p.target, labels, 1 - lead, shape, &rng);
        for (int64_t i = 0; i < samples; i++) cells_set(&p.target, i, (double)cells_below(&rng, classes));
        for (int64_t i = 0; i < samples && p.ignore < 0; i++)
            if (cells_below(&rng, 5) == 0 && i) cells_set(&p.target, i, (double)p.ignore);
    }
    cells_random(&p.weight, type, 1, shape + 1, &rng);
    for (int64_t c = 0; c < classes; c++) cells_set(&p.weight, c, 0.25 + fabs(cells_get(&p.weight, c)));
    cells_random(&p.grad, type, p.reduction == NONE ? 1 - lead : 0, shape, &rng);
    check(&p);
    dl_tensor_clear(&p.scores), dl_tensor_clear(&p.target), dl_tensor_clear(&p.weight), dl_tensor_clear(&p.grad);
}

static void test_random(void **state) {
    (void)state;
    for (int round = 0; round < 1500; round++)
        solve(1 + cells_below(&rng, 9), 1 + cells_below(&rng, 9), (dl_dtype)cells_below(&rng, 4), round % 2, 0);
    for (int round = 0; round < 200; round++) solve(1, 1 + cells_below(&rng, 9), (dl_dtype)cells_below(&rng, 4), round % 2, 1);
}

/* Rows longer than a buffer; more rows than one thread takes. */
static void test_large(void **state) {
    (void)state;
    const int32_t threads = dl_threads(3);
    for (int round = 0; round < 24; round++) {
        solve(5, 1201, round % 3 ? DL_F32 : DL_F64, round % 2, 0);
        solve(3000, 10, round % 3 ? DL_F32 : DL_F64, round % 2, 0);
    }
    dl_threads(threads);
}

/* PyTorch's numbers for one batch: torch.nn.functional.cross_entropy(x, y, w, label_smoothing=0.1) by its formula, worked by
 * hand for two classes: logits (0, log 3) have log probabilities (log 1/4, log 3/4). */
static void test_known(void **state) {
    (void)state;
    const int64_t shape[] = {2, 2};
    const double logits[] = {0, log(3), 0, log(3)}, labels[] = {0, 1}, weights[] = {1, 3};
    dl_tensor x, y, w, out[3] = {{0}, {0}, {0}};
    cells_of(&x, DL_F64, 2, shape, logits);
    cells_of(&y, DL_I64, 1, shape, labels);
    cells_of(&w, DL_F64, 1, shape, weights);
    const dl_tensor *in[] = {&x, &y, NULL};
    cells_call("cross_entropy", in, 3, out, 3, NULL, 0);
    cells_near(cells_get(&out[0], 0), (log(4) + log(4.0 / 3)) / 2, 1e-15, "mean");
    in[2] = &w;
    cells_call("cross_entropy", in, 3, out, 3, NULL, 0);
    cells_near(cells_get(&out[0], 0), (log(4) + 3 * log(4.0 / 3)) / 4, 1e-15, "weighted mean");
    assert_true(cells_get(&out[2], 0) == 4);
    const dl_attr smooth[] = {A_INT(MEAN), A_INT(-100), A_FLOAT(0.1)};
    cells_call("cross_entropy", in, 3, out, 3, smooth, 3);
    const double nll = log(4) + 3 * log(4.0 / 3), spread = 2 * (log(4) + 3 * log(4.0 / 3));
    cells_near(cells_get(&out[0], 0), (0.9 * nll + 0.1 / 2 * spread) / 4, 1e-15, "smoothed mean");
    for (int k = 0; k < 3; k++) dl_tensor_clear(&out[k]);
    dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&w);
}

static void test_bad_labels(void **state) {
    (void)state;
    const int64_t shape[] = {4, 3};
    static const struct {
        dl_dtype type;
        double label;
        const char *message;
    } cases[] = {{DL_I64, 3, "label 3 at sample 2: expected 0..2"},
                 {DL_I64, -1, "label -1 at sample 2: expected 0..2"},
                 {DL_U8, 255, "label 255 at sample 2: expected 0..2"},
                 {DL_F32, 1.5, "label 1.5 at sample 2: expected a whole number 0..2"},
                 {DL_F32, NAN, "label nan at sample 2: expected a whole number 0..2"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int entropy = 0; entropy < 2; entropy++) {
            dl_tensor x, y, grad, total, out[3] = {{0}, {0}, {0}};
            cells_random(&x, DL_F32, 2, shape, &rng);
            cells_make(&y, cases[k].type, 1, shape, NULL);
            cells_make(&grad, DL_F32, 0, NULL, NULL);
            cells_make(&total, DL_F32, 0, NULL, NULL);
            cells_set(&y, 2, cases[k].label);
            const dl_tensor *in[] = {&x, &y, NULL}, *back[] = {&grad, &x, &y, NULL, &total};
            cells_refuse(cases[k].message, entropy ? "cross_entropy" : "nll_loss", in, 3, out, 2 + entropy, NULL, 0);
            cells_refuse(cases[k].message, entropy ? "cross_entropy_backward" : "nll_loss_backward", back, 5, out, 1, NULL, 0);
            assert_null(out[0].storage);
            dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&grad), dl_tensor_clear(&total);
        }
}

/* The mean over no sample that counts is 0/0, as PyTorch's. */
static void test_nothing_counts(void **state) {
    (void)state;
    const int64_t shape[] = {0, 3}, two[] = {2, 3};
    const double labels[] = {-100, -100};
    dl_tensor x, y, out[3] = {{0}, {0}, {0}};
    const dl_tensor *in[] = {&x, &y, NULL};
    cells_make(&x, DL_F32, 2, shape, NULL);
    cells_make(&y, DL_I64, 1, shape, NULL);
    cells_call("cross_entropy", in, 3, out, 3, NULL, 0);
    assert_true(isnan(cells_get(&out[0], 0)));
    dl_tensor_clear(&x), dl_tensor_clear(&y);
    for (int k = 0; k < 3; k++) dl_tensor_clear(&out[k]);
    cells_make(&x, DL_F32, 2, two, NULL);
    cells_of(&y, DL_I64, 1, two, labels);
    cells_call("cross_entropy", in, 3, out, 3, NULL, 0);
    assert_true(isnan(cells_get(&out[0], 0)) && cells_get(&out[2], 0) == 0);
    dl_tensor_clear(&x), dl_tensor_clear(&y);
    for (int k = 0; k < 3; k++) dl_tensor_clear(&out[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),     cmocka_unit_test(test_large),          cmocka_unit_test(test_known),
        cmocka_unit_test(test_bad_labels), cmocka_unit_test(test_nothing_counts),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
