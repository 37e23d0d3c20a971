/* test_cpu_optim.c - the fused sgd, adam and rmsprop against their formulas in double, over 20 steps. */
#include "dlrun/dlrun.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PARAMETERS = 3, LISTS = 4, STEPS = 20, LARGEST = 40000 };
static const int64_t shapes[PARAMETERS][2] = {{7, 5}, {1, 1}, {200, 200}}; /* the last is worth all threads */

typedef enum layout { CONTIGUOUS, TRANSPOSED, SPACED } layout;

typedef struct problem {
    dl_tensor t[LISTS][PARAMETERS], step; /* lists as the op takes them: p, grad, states */
    double *model[LISTS][PARAMETERS];     /* the same in double, by the formulas */
    int lists;
} problem;

static void make(dl_tensor *t, dl_dtype type, const int64_t *shape, layout how) {
    const int64_t strides[2] = {how == TRANSPOSED ? 1
                                : how == SPACED   ? 2 * shape[1] + 1
                                                  : shape[1],
                                how == TRANSPOSED ? shape[0]
                                : how == SPACED   ? 2
                                                  : 1};
    dl_storage *storage = NULL;
    const uint64_t bytes =
        (uint64_t)((shape[0] - 1) * strides[0] + (shape[1] - 1) * strides[1] + 1) * (uint64_t)dl_dtype_bytes(type);
    assert_int_equal(dl_storage_new(dl_default_device(), bytes, &storage), DL_OK);
    *t = (dl_tensor){0};
    assert_int_equal(dl_tensor_on(t, storage, type, 0, 2, shape, strides), DL_OK);
    dl_storage_release(storage);
}

static double get(const dl_tensor *t, int64_t i) {
    const int64_t offset = i / t->shape[1] * t->strides[0] + i % t->shape[1] * t->strides[1];
    const void *data = (const char *)t->data + t->byte_offset;
    return t->type == DL_F64 ? ((const double *)data)[offset] : (double)((const float *)data)[offset];
}
static void put(const dl_tensor *t, int64_t i, double x) {
    const int64_t offset = i / t->shape[1] * t->strides[0] + i % t->shape[1] * t->strides[1];
    void *data = (char *)t->data + t->byte_offset;
    if (t->type == DL_F64)
        ((double *)data)[offset] = x;
    else
        ((float *)data)[offset] = (float)x;
}

static void begin(problem *q, int lists, dl_dtype type, layout how) {
    *q = (problem){.lists = lists};
    for (int k = 0; k < PARAMETERS; k++)
        for (int l = 0; l < lists; l++) {
            make(&q->t[l][k], type, shapes[k], l == 1 ? CONTIGUOUS : how);
            q->model[l][k] = (double *)calloc(LARGEST, sizeof(double));
            assert_non_null(q->model[l][k]);
            for (int64_t i = 0; i < shapes[k][0] * shapes[k][1]; i++) {
                q->model[l][k][i] = l == 0 ? sin((double)i + k) : 0;
                put(&q->t[l][k], i, q->model[l][k][i]);
                q->model[l][k][i] = get(&q->t[l][k], i); /* as the dtype rounds it */
            }
        }
    make(&q->step, DL_F32, (int64_t[]){1, 1}, CONTIGUOUS);
    put(&q->step, 0, 0);
}

static void end(problem *q) {
    for (int k = 0; k < PARAMETERS; k++)
        for (int l = 0; l < q->lists; l++) dl_tensor_clear(&q->t[l][k]), free(q->model[l][k]);
    dl_tensor_clear(&q->step);
}

/* A new gradient that depends on the parameter, as a loss's would; never near 0, where rmsprop's first step is a sign. */
static void new_gradient(problem *q, int step) {
    for (int k = 0; k < PARAMETERS; k++)
        for (int64_t i = 0; i < shapes[k][0] * shapes[k][1]; i++) {
            const double wave = cos((double)(i * 3 + step));
            put(&q->t[1][k], i, q->model[0][k][i] * 0.1 + wave + copysign(0.5, wave));
            q->model[1][k][i] = get(&q->t[1][k], i);
        }
}

static void run(problem *q, const char *op, const double *options, int n) {
    const dl_tensor *in[LISTS * PARAMETERS + 1];
    dl_attr attr[8] = {{0}};
    int32_t count = 0;
    for (int l = 0; l < q->lists; l++)
        for (int k = 0; k < PARAMETERS; k++) in[count++] = &q->t[l][k];
    in[count++] = &q->step;
    for (int k = 0; k < n; k++) attr[k] = (dl_attr){DL_ATTR_FLOAT, 0, {.f = options[k]}};
    const int flag = strcmp(op, "sgd") == 0 ? 4 : strcmp(op, "adam") == 0 ? 5 : -1; /* the bool among them */
    if (flag >= 0) attr[flag] = (dl_attr){DL_ATTR_INT, 0, {.i = options[flag] != 0}};
    if (dl_call(dl_op_find(op), in, count, NULL, 0, attr, n) != DL_OK) fail_msg("%s: %s", op, dl_last_error());
}

static void compare(const problem *q, const char *op, int step) {
    for (int k = 0; k < PARAMETERS; k++)
        for (int l = 0; l < q->lists; l++)
            for (int64_t i = 0; i < shapes[k][0] * shapes[k][1]; i++) {
                const double got = get(&q->t[l][k], i), expected = q->model[l][k][i];
                const double bound = q->t[l][k].type == DL_F64 ? 1e-13 : 2e-6;
                if (!(fabs(got - expected) <= bound * (1 + fabs(expected))))
                    fail_msg("%s, step %d, parameter %d, list %d, element %lld: %.9g, expected %.9g", op, step, k, l,
                             (long long)i, got, expected);
            }
    assert_true(get(&q->step, 0) == step);
}

/* The formulas, one element at a time; o are the op's attributes in order. */
static void sgd(double *x[LISTS], const double *o, int t) {
    double d = *x[1] + o[3] * *x[0];
    if (o[1] != 0) {
        *x[2] = t == 1 ? d : o[1] * *x[2] + (1 - o[2]) * d;
        d = o[4] != 0 ? d + o[1] * *x[2] : *x[2];
    }
    *x[0] -= o[0] * d;
}
static void adam(double *x[LISTS], const double *o, int t) {
    double d = *x[1];
    if (o[5] != 0)
        *x[0] -= o[0] * o[4] * *x[0];
    else
        d += o[4] * *x[0];
    *x[2] = o[1] * *x[2] + (1 - o[1]) * d;
    *x[3] = o[2] * *x[3] + (1 - o[2]) * d * d;
    const double m = *x[2] / (1 - pow(o[1], t)), v = *x[3] / (1 - pow(o[2], t));
    *x[0] -= o[0] * m / (sqrt(v) + o[3]);
}
static void rmsprop(double *x[LISTS], const double *o, int t) {
    (void)t;
    const double d = *x[1] + o[3] * *x[0];
    *x[2] = o[1] * *x[2] + (1 - o[1]) * d * d;
    const double towards = d / (sqrt(*x[2]) + o[2]);
    *x[3] = o[4] * *x[3] + (o[4] != 0 ? towards : 0);
    *x[0] -= o[0] * (o[4] != 0 ? *x[3] : towards);
}

static const struct {
    const char *op;
    int lists, options;
    double option[6];
    void (*formula)(double *x[LISTS], const double *o, int t);
} cases[] = {
    {"sgd", 3, 5, {0.1, 0, 0, 0, 0}, sgd},
    {"sgd", 3, 5, {0.1, 0, 0, 0.01, 0}, sgd},
    {"sgd", 3, 5, {0.1, 0.9, 0, 0, 0}, sgd},
    {"sgd", 3, 5, {0.1, 0.9, 0.3, 0.01, 0}, sgd},
    {"sgd", 3, 5, {0.1, 0.9, 0, 0.01, 1}, sgd},
    {"adam", 4, 6, {0.01, 0.9, 0.999, 1e-8, 0, 0}, adam},
    {"adam", 4, 6, {0.01, 0.8, 0.95, 1e-6, 0.1, 0}, adam},
    {"adam", 4, 6, {0.01, 0.9, 0.999, 1e-8, 0.1, 1}, adam},
    {"rmsprop", 4, 5, {0.01, 0.99, 1e-8, 0, 0}, rmsprop},
    {"rmsprop", 4, 5, {0.01, 0.9, 1e-6, 0.1, 0.9}, rmsprop},
};

static void follow(size_t c, dl_dtype type, layout how) {
    problem q;
    begin(&q, cases[c].lists, type, how);
    for (int t = 1; t <= STEPS; t++) {
        new_gradient(&q, t);
        run(&q, cases[c].op, cases[c].option, cases[c].options);
        for (int k = 0; k < PARAMETERS; k++)
            for (int64_t i = 0; i < shapes[k][0] * shapes[k][1]; i++) {
                double *x[LISTS];
                for (int l = 0; l < q.lists; l++) x[l] = q.model[l][k] + i;
                cases[c].formula(x, cases[c].option, t);
            }
        compare(&q, cases[c].op, t);
    }
    end(&q);
}

static void test_f32(void **state) {
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) follow(c, DL_F32, CONTIGUOUS);
}
static void test_f64(void **state) {
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) follow(c, DL_F64, CONTIGUOUS);
}
static void test_strided(void **state) {
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        follow(c, DL_F64, TRANSPOSED);
        follow(c, DL_F32, SPACED);
    }
}

/* Without momentum sgd needs no buffers; with it, a missing one is refused before anything is written. */
static void test_missing_states(void **state) {
    (void)state;
    dl_tensor p, g, step;
    make(&p, DL_F32, (int64_t[]){1, 2}, CONTIGUOUS), make(&g, DL_F32, (int64_t[]){1, 2}, CONTIGUOUS);
    make(&step, DL_F32, (int64_t[]){1, 1}, CONTIGUOUS);
    put(&p, 0, 1), put(&p, 1, 2), put(&g, 0, 4), put(&g, 1, -8), put(&step, 0, 0);
    const dl_tensor *in[] = {&p, &g, NULL, &step};
    dl_attr attr[] = {{DL_ATTR_FLOAT, 0, {.f = 0.25}},
                      {DL_ATTR_FLOAT, 0, {.f = 0}},
                      {DL_ATTR_FLOAT, 0, {.f = 0}},
                      {DL_ATTR_FLOAT, 0, {.f = 0}},
                      {DL_ATTR_INT, 0, {.i = 0}}};
    assert_int_equal(dl_call(dl_op_find("sgd"), in, 4, NULL, 0, attr, 5), DL_OK);
    assert_true(get(&p, 0) == 0 && get(&p, 1) == 4 && get(&step, 0) == 1);
    attr[1].v.f = 0.9;
    assert_int_not_equal(dl_call(dl_op_find("sgd"), in, 4, NULL, 0, attr, 5), DL_OK);
    assert_true(get(&p, 0) == 0 && get(&p, 1) == 4 && get(&step, 0) == 1);
    assert_non_null(strstr(dl_last_error(), "momentum buffer 0"));
    dl_tensor_clear(&p), dl_tensor_clear(&g), dl_tensor_clear(&step);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_f64),
        cmocka_unit_test(test_strided),
        cmocka_unit_test(test_missing_states),
    };
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
