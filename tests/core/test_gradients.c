/* test_gradients.c - the gradient of every differentiable op against finite differences, in float64, driven by the op table.
 *
 * An op that is one expression is tested with random inputs even if it has no row here; any other differentiable op without a
 * row (core/cases.def) fails the test. What is differentiated is the sum of all floating outputs, each
 * element times a fixed random weight; second derivatives are those of the weighted sum of all first ones. */
#include "core/op.h"
#include "dlrun/dlrun.h"
#include "op_rows.h"
#include "ops_support.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- evaluation ---- */

enum { SEED = 7, RANDOM_CALL = 3 };

/* Weight of element n of output or gradient k. */
static double weight(int32_t k, int64_t n) {
    uint64_t state = (uint64_t)(k + 1) * 1000003u + (uint64_t)n;
    return ops_uniform(&state, -1, 1);
}

static int counts(const dl_tensor *t) { return t->storage && t->type == DL_F64; }

static double weighted_sum(dl_tensor *const *tensors, int32_t n) {
    double sum = 0;
    for (int32_t k = 0; k < n; k++) {
        if (!tensors[k] || !counts(tensors[k])) continue;
        int64_t count = dl_tensor_count(tensors[k]);
        double *x = malloc((size_t)(count + 1) * sizeof *x);
        assert_int_equal(dl_tensor_read(tensors[k], x, (uint64_t)count * sizeof *x), DL_OK);
        for (int64_t i = 0; i < count; i++) sum += weight(k, i) * x[i];
        free(x);
    }
    return sum;
}

static void make_weights(dl_tensor *w, int32_t k, const dl_tensor *like) {
    assert_int_equal(dl_tensor_new(w, DL_F64, like->ndim, like->shape, dl_default_device()), DL_OK);
    double *x = dl_tensor_data(w);
    for (int64_t i = 0; i < dl_tensor_count(w); i++) x[i] = weight(k, i);
}

typedef struct gradients {
    dl_tensor values[OPS_TENSORS];
    dl_tensor *out[OPS_TENSORS]; /* by input; NULL for those that have none */
} gradients;

static void forget(gradients *g) {
    for (int32_t k = 0; k < OPS_TENSORS; k++) dl_tensor_clear(&g->values[k]);
}

/* Gradients of the weighted sum of those tensors towards the call's differentiable inputs. */
static dl_status differentiate(ops_call *c, dl_tensor *const *tensors, int32_t n, int32_t flags, gradients *g) {
    const dl_tensor *roots[OPS_TENSORS], *seeds[OPS_TENSORS], *targets[OPS_TENSORS];
    dl_tensor weights[OPS_TENSORS] = {{0}}, *out[OPS_TENSORS];
    int32_t n_roots = 0, n_targets = 0;
    memset(g, 0, sizeof *g);
    for (int32_t k = 0; k < n; k++) {
        if (!tensors[k] || !counts(tensors[k]) || !dl_is_recorded(tensors[k])) continue;
        make_weights(&weights[n_roots], k, tensors[k]);
        roots[n_roots] = tensors[k];
        seeds[n_roots] = &weights[n_roots];
        n_roots++;
    }
    for (int32_t k = 0; k < c->n_in; k++) {
        if (!c->in[k] || !dl_is_recorded(c->in[k])) continue;
        g->out[k] = &g->values[k];
        targets[n_targets] = c->in[k];
        out[n_targets++] = &g->values[k];
    }
    dl_status status = n_roots && n_targets ? dl_backward(roots, seeds, n_roots, targets, out, n_targets, flags) : DL_OK;
    for (int32_t k = 0; k < n_roots; k++) dl_tensor_clear(&weights[k]);
    return status;
}

static dl_status forward(ops_call *c) {
    dl_set_random_call(RANDOM_CALL);
    return ops_run(c);
}

static double value(ops_call *c) {
    int32_t old = dl_set_grad_enabled(0);
    assert_int_equal(forward(c), DL_OK);
    dl_set_grad_enabled(old);
    return weighted_sum(c->out, c->n_out);
}

static double first_derivatives(ops_call *c) {
    gradients g;
    assert_int_equal(forward(c), DL_OK);
    assert_int_equal(differentiate(c, c->out, c->n_out, 0, &g), DL_OK);
    double sum = weighted_sum(g.out, c->n_in);
    forget(&g);
    return sum;
}

/* Fourth-order central difference of f along element i of input k. */
static double difference(ops_call *c, double (*f)(ops_call *), int32_t k, int64_t i) {
    const double h = 1e-3;
    double *x = dl_tensor_data(&c->tensors[k]) /* inputs may be transposed, but fill their storage */, kept = x[i], at[4];
    const double steps[] = {-2 * h, -h, h, 2 * h};
    for (int s = 0; s < 4; s++) {
        x[i] = kept + steps[s];
        at[s] = f(c);
    }
    x[i] = kept;
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h);
}

/* ---- comparison ---- */

static double *in_memory_order(const dl_tensor *gradient, const dl_tensor *x) {
    int64_t count = dl_tensor_count(x);
    double *values = calloc((size_t)count + 1, sizeof *values), *placed = calloc((size_t)count + 1, sizeof *placed);
    if (gradient->storage) {
        assert_int_equal(gradient->ndim, x->ndim);
        for (int32_t d = 0; d < x->ndim; d++) assert_int_equal(gradient->shape[d], x->shape[d]);
        assert_int_equal(dl_tensor_read(gradient, values, (uint64_t)count * sizeof *values), DL_OK);
    }
    for (int64_t n = 0; n < count; n++) {
        int64_t rest = n, at = 0;
        for (int32_t d = x->ndim - 1; d >= 0; d--) {
            at += rest % x->shape[d] * x->strides[d];
            rest /= x->shape[d];
        }
        placed[at] = values[n];
    }
    free(values);
    return placed;
}

static int compare(ops_call *c, const gradients *g, double (*f)(ops_call *), const char *what, const op_row *r) {
    for (int32_t k = 0; k < c->n_in; k++) {
        if (!g->out[k]) continue;
        double *got = in_memory_order(g->out[k], &c->tensors[k]);
        for (int64_t i = 0; i < dl_tensor_count(&c->tensors[k]); i++) {
            double expected = difference(c, f, k, i);
            if (fabs(got[i] - expected) <= 2e-7 * (1 + fabs(expected))) continue;
            print_error("%s(%s | %s): %s derivative, input %d, element %lld: expected %.9g, got %.9g\n", r->op, r->in, r->attr,
                        what, (int)k, (long long)i, expected, got[i]);
            free(got);
            return 1;
        }
        free(got);
    }
    return 0;
}

static int failed(const op_row *r, const char *what) {
    print_error("%s(%s | %s): %s: %s\n", r->op, r->in, r->attr, what, dl_last_error());
    return 1;
}

static int check_second(ops_call *c, const op_row *r) {
    gradients first, second;
    int wrong = 0;
    if (forward(c) != DL_OK) return failed(r, "call");
    dl_status status = differentiate(c, c->out, c->n_out, DL_CREATE_GRAPH, &first);
    if (status == DL_OK) {
        status = differentiate(c, first.out, c->n_in, 0, &second);
        if (status == DL_OK && !(r->flags & DL_CASE_FIRST_ONLY)) wrong = compare(c, &second, first_derivatives, "second", r);
        forget(&second);
    }
    forget(&first);
    if (r->flags & DL_CASE_FIRST_ONLY)
        return status == DL_UNSUPPORTED ? 0 : failed(r, "expected a refusal of the second derivative");
    return status == DL_OK ? wrong : failed(r, "second backward");
}

static int check(const op_row *r) {
    ops_call c;
    gradients g;
    char in[160];
    uint32_t constant = 0;
    snprintf(in, sizeof in, "%s", r->in);
    for (char *at = in; (at = strstr(at, "c:")) != NULL; memmove(at, at + 2, strlen(at + 2) + 1)) {
        int32_t k = 0; /* "c:" marks a float64 input that is held constant */
        for (const char *s = in; s < at; s++) k += *s == ' ';
        constant |= 1u << k;
    }
    ops_make(&c, r->op, in, r->attr, SEED);
    for (int32_t k = 0; k < c.n_in; k++)
        if (c.in[k] && c.in[k]->type == DL_F64 && !(constant >> k & 1))
            assert_int_equal(dl_requires_grad(&c.tensors[k], 1), DL_OK);
    int wrong = 0;
    if (forward(&c) != DL_OK)
        wrong = failed(r, "call");
    else if (differentiate(&c, c.out, c.n_out, 0, &g) != DL_OK)
        wrong = failed(r, "backward");
    else
        wrong = compare(&c, &g, value, "first", r);
    if (!wrong) wrong = check_second(&c, r);
    forget(&g);
    ops_free(&c);
    return wrong;
}

/* ---- the tests ---- */

/* Inputs for an expression without a row: shapes that broadcast. */
static int check_expression(const dl_op *op) {
    static const char *const shapes[] = {"2,3", "3", "2,1", "()", "1,3", "2,3", "2,3", "2,3"};
    char in[160] = "";
    for (int32_t k = 0; k < op->n_tensors; k++) {
        const char *type = op->tensors[k].fixed_type == DL_BOOL ? "b:" : op->tensors[k].fixed_type == DL_I64 ? "i:" : "";
        size_t at = strlen(in);
        snprintf(in + at, sizeof in - at, "%s%s ", type, shapes[k]);
    }
    return check(&(op_row){op->name, in, "", 0});
}

static void test_every_op(void **state) {
    (void)state;
    int wrong = 0;
    int32_t n = dl_op_count(); /* gradients of expressions register themselves behind these */
    for (int32_t id = 0; id < n; id++) {
        const dl_op *op = dl_op_at(id);
        dl_op_info info;
        assert_int_equal(dl_op_get(id, &info), DL_OK);
        if (!info.differentiable || op->grad_of) continue;
        int found = 0;
        for (size_t k = 0; k < (size_t)op_row_count; k++)
            if (strcmp(op_rows[k].op, op->name) == 0 && !(op_rows[k].flags & (DL_CASE_NO_GRADIENT | DL_CASE_LONG))) {
                found = 1;
                wrong += check(&op_rows[k]);
            }
        if (found) continue;
        if (info.flags & DL_OP_POINTWISE) {
            wrong += check_expression(op);
        } else {
            print_error("%s is differentiable and has no row in core/cases.def\n", op->name);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_rows_name_differentiable_ops(void **state) {
    (void)state;
    for (size_t k = 0; k < (size_t)op_row_count; k++) {
        dl_op_info info;
        assert_int_equal(dl_op_get(dl_op_find(op_rows[k].op), &info), DL_OK);
        assert_true(!info.differentiable || !(op_rows[k].flags & DL_CASE_NO_GRADIENT));
        assert_true(info.differentiable || (op_rows[k].flags & DL_CASE_NO_GRADIENT));
    }
}

/* Where derivatives are a convention or finite differences fail: zeros in products, ties, kinks. x has one dimension and the
 * results' elements are summed. */
static const struct edge {
    const char *op, *attr;
    double x[5], expected[5];
    int64_t n;
} edges[] = {
    {"prod", "[]", {2, 0, 3}, {0, 6, 0}, 3},
    {"prod", "[]", {0, 0, 3}, {0, 0, 0}, 3},
    {"cumprod", "0", {2, 0, 3}, {1, 8, 0}, 3},
    {"cumprod", "0", {0, 0, 3}, {1, 0, 0}, 3},
    {"cumprod", "0", {2, 0, 3, 0, 5}, {1, 8, 0, 0, 0}, 5},
    {"amax", "[]", {1, 3, 3}, {0, 0.5, 0.5}, 3},
    {"amin", "[]", {1, 1, 3}, {0.5, 0.5, 0}, 3},
    {"max_dim", "0", {3, 1, 3}, {1, 0, 0}, 3},
    {"min_dim", "0", {3, 1, 1}, {0, 1, 0}, 3},
    {"cummax", "0", {1, 3, 2, 3}, {1, 2, 0, 1}, 4},
    {"cummin", "0", {2, 2, 3}, {1, 2, 0}, 3},
    {"logcumsumexp", "0", {-INFINITY, -INFINITY, 1}, {0, 0, 1}, 3},
    {"logcumsumexp", "0", {-1000, 0, 1000}, {1, 1, 1}, 3},
    {"kthvalue", "2 0", {3, 1, 1}, {0, 0, 1}, 3},
    {"mode", "0", {1, 3, 3}, {0, 0, 1}, 3},
    {"norm", "2.0", {0, 0}, {0, 0}, 2},
    {"norm", "1.0", {-2, 0, 3}, {-1, 0, 1}, 3},
    {"norm", "0.5", {0, 4}, {0, 1}, 2},
    {"norm", "inf", {2, -2, 1}, {0.5, -0.5, 0}, 3},
    {"norm", "0.0", {2, 0, 1}, {0, 0, 0}, 3},
    {"logsumexp", "[]", {-INFINITY, -INFINITY}, {0, 0}, 2},
    {"logsumexp", "[]", {-INFINITY, 1}, {0, 1}, 2},
    {"unfold", "0 3 1", {1, 2, 3, 4, 5}, {1, 2, 3, 2, 1}, 5},
};

static int check_edge(const struct edge *e) {
    ops_call c;
    char in[16];
    dl_tensor ones = {0}, grad = {0}, *out = &grad;
    snprintf(in, sizeof in, "%d", (int)e->n);
    ops_make(&c, e->op, in, e->attr, SEED);
    memcpy(dl_tensor_data(&c.tensors[0]), e->x, (size_t)e->n * sizeof *e->x);
    assert_int_equal(dl_requires_grad(&c.tensors[0], 1), DL_OK);
    assert_int_equal(ops_run(&c), DL_OK);
    assert_int_equal(dl_tensor_new(&ones, DL_F64, c.results[0].ndim, c.results[0].shape, dl_default_device()), DL_OK);
    double *one = dl_tensor_data(&ones), got[5];
    for (int64_t i = 0; i < dl_tensor_count(&ones); i++) one[i] = 1;
    assert_int_equal(dl_backward((const dl_tensor *[]){&c.results[0]}, (const dl_tensor *[]){&ones}, 1, c.in, &out, 1, 0),
                     DL_OK);
    assert_int_equal(dl_tensor_read(&grad, got, (uint64_t)e->n * sizeof *got), DL_OK);
    int wrong = 0;
    for (int64_t i = 0; i < e->n; i++)
        if (!(fabs(got[i] - e->expected[i]) < 1e-12)) {
            print_error("%s | %s: element %d: expected %g, got %g\n", e->op, e->attr, (int)i, e->expected[i], got[i]);
            wrong = 1;
        }
    dl_tensor_clear(&grad);
    dl_tensor_clear(&ones);
    ops_free(&c);
    return wrong;
}

static void test_edges(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) wrong += check_edge(&edges[k]);
    assert_int_equal(wrong, 0);
}

/* as_strided of a tensor that shows one place three times: each shows a third of the gradient, all of it arrives. */
static void test_as_strided_of_an_expanded_tensor(void **state) {
    (void)state;
    ops_call expand;
    dl_tensor seen = {0}, *out = &seen, ones = {0}, grad = {0}, *grads = &grad;
    const int64_t shape[] = {2}, strides[] = {0};
    const dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = 1, .v.iv = shape}, {.kind = DL_ATTR_INTS, .n = 1, .v.iv = strides}};
    ops_make(&expand, "expand", "1", "[3]", SEED);
    assert_int_equal(dl_requires_grad(&expand.tensors[0], 1), DL_OK);
    assert_int_equal(ops_run(&expand), DL_OK);
    assert_int_equal(dl_call(dl_op_find("as_strided"), (const dl_tensor *[]){&expand.results[0]}, 1, &out, 1, attr, 2), DL_OK);
    assert_int_equal(dl_tensor_new(&ones, DL_F64, 1, shape, dl_default_device()), DL_OK);
    assert_int_equal(dl_tensor_write(&ones, (double[]){1, 1}, 16), DL_OK);
    assert_int_equal(dl_backward((const dl_tensor *[]){&seen}, (const dl_tensor *[]){&ones}, 1, expand.in, &grads, 1, 0),
                     DL_OK);
    double got;
    assert_int_equal(dl_tensor_read(&grad, &got, sizeof got), DL_OK);
    assert_true(fabs(got - 2) < 1e-12);
    dl_tensor_clear(&grad);
    dl_tensor_clear(&ones);
    dl_tensor_clear(&seen);
    ops_free(&expand);
}

/* The class weights of a loss are constants: asking for their gradient is an error, not zero. */
static void test_refused_gradients(void **state) {
    (void)state;
    static const char *const losses[] = {"nll_loss", "cross_entropy"};
    for (int k = 0; k < 2; k++) {
        ops_call c;
        dl_tensor grad = {0}, *out = &grad;
        ops_make(&c, losses[k], "4,3 i:4@0:3 3@0.1:2", "", SEED);
        assert_int_equal(dl_requires_grad(&c.tensors[2], 1), DL_OK);
        assert_int_equal(ops_run(&c), DL_OK);
        dl_status status =
            dl_backward((const dl_tensor *[]){&c.results[0]}, (const dl_tensor *[]){NULL}, 1, &c.in[2], &out, 1, 0);
        if (status != DL_UNSUPPORTED || !strstr(dl_last_error(), "class weights"))
            fail_msg("%d %s", (int)status, dl_last_error());
        ops_free(&c);
    }
}

static int start(void **state) {
    (void)state;
    return dl_init();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_name_differentiable_ops),
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_as_strided_of_an_expanded_tensor),
        cmocka_unit_test(test_refused_gradients),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
