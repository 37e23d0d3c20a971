/* test_ops_compose.c - compositions against the CPU's own kernels of the same ops: a backend without such kernels computes the
 * same. Driven by the op table: an op with both that has no row here fails the test. */
#include "core/graph_run.h"
#include "core/op.h"
#include "dlrun/dlrun.h"
#include "ops_support.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct row {
    const char *op, *in, *attr;
} rows[] = {
    {"mean", "2,3,4", "[0,-1] 1"},
    {"mean", "f:2,3", "[]"},
    {"mean", "0,3", "[0]"},
    {"mean", "()", "[]"},
    {"var", "2,3,4", "[0,-1] 1"},
    {"var", "2,3", "[] 0 1"},
    {"var", "1,3", "[0] 1"},
    {"var", "2,3", "[0] 2"},
    {"logsumexp", "2,3,4", "[1]"},
    {"logsumexp", "2,0", "[1]"},
    {"logsumexp", "2,3@-2000:2000", "[]"},
    {"linear", "5,3 4,3 4", ""},
    {"linear", "3 4,3 -", ""},
    {"linear", "0,3 4,3 4", ""},
    {"addmm", "4 2,3 3,4", "0.5 2.0"},
    {"addmm", "2,1,1 2,2,3 2,3,4", ""},
    {"addmm", "4 2,3 3,4", "0.0"},
    {"softmax", "2,3,4", "1"},
    {"softmax", "()", "0"},
    {"softmax", "2,0", "1"},
    {"softmax", "2,3@-2000:2000", "1"},
    {"log_softmax", "2,3,4", "-2"},
    {"log_softmax", "2,3@-2000:2000", "1"},
    {"softmax_backward", "2,3,4 2,3,4", "0"},
    {"log_softmax_backward", "2,3,4 2,3,4", "-1"},
    {"cross_entropy", "4,3 i:4@0:3 -", ""},
    {"cross_entropy", "4,3 i:4@0:3 -", "0"},
    {"cross_entropy", "4,3 i:4@0:3 3@0.1:2", "1 1 0.1"},
    {"cross_entropy", "4,3 i:4@0:3 3@0.1:2", "2 2 0.3"},
    {"cross_entropy", "4,3 i:4@0:3 3@0.1:2", "0 0 0.3"},
    {"cross_entropy", "4,3 i:4@1:2 -", "1 1"}, /* all ignored: 0 / 0 */
    {"cross_entropy", "3 i:()@0:3 -", "0"},
    {"cross_entropy", "4,3 4,3@0.1:1 3@0.1:2", "1 -100 0.2"},
    {"cross_entropy", "4,3 4,3@0.1:1 -", "0"},
    {"cross_entropy", "3 3@0.1:1 -", "2"},
    {"cross_entropy_backward", "() 4,3 i:4@0:3 - ()@3:4", ""},
    {"cross_entropy_backward", "4 4,3 i:4@0:3 3@0.1:2 ()@3:4", "0 1 0.1"},
    {"cross_entropy_backward", "() 4,3 i:4@0:3 3@0.1:2 ()@3:4", "2 1 0.1"},
    {"cross_entropy_backward", "() 4,3 4,3@0.1:1 3@0.1:2 ()@4:5", "1 -100 0.1"},
    {"cross_entropy_backward", "() 3 i:()@0:3 - ()@1:1.4", "1"},
    {"layer_norm", "2,3,4 3,4 3,4", "2"},
    {"layer_norm", "f:2,3,4 f:4 -", "1 0.1 1"},
    {"layer_norm", "h:2,3 h:3 h:3", "1"},
    {"layer_norm_backward", "2,3,4 2,3,4 4 2,3,1 2,3,1@0.5:2", "1"},
    {"layer_norm_backward", "2,3 2,3 - 2,1 2,1@0.5:2", "1 0.1 0 1"},
    {"group_norm", "2,4,3 4 4", "2"},
    {"group_norm_backward", "2,4,3,2 2,4,3,2 4 2,2 2,2@0.5:2", "2 0.1"},
    {"group_norm_backward", "2,4 2,4 - 2,1 2,1@0.5:2", "1 0.1 0"},
    {"batch_norm", "3,2,4 2 2 - -", "1"},
    {"batch_norm", "3,2 2 2 2 2@0.5:2", "0"},
    {"batch_norm_backward", "3,2,4 3,2,4 2 2 2@0.5:2", "1"},
    {"batch_norm_backward", "3,2,4 3,2,4 2 2 2@0.5:2", "0 0.1"},
    /* more of these in test_compose_*.c */
    {"view_backward", "3,4", "[20] [5,1] 2"},
    {"convolution", "2,3,5 4,3,2 4", "[2] [1]"},
    {"convolution_backward_data", "2,4,3 4,3,2", "[5] [2] [1]"},
    {"convolution_backward_weight", "2,4,3 2,3,5", "[2] [2] [1]"},
    {"pad", "2,3", "[1,1] 'constant' 0.5"},
    {"pad_backward", "2,5", "[2,3] [1,1] 'reflect'"},
};

static double *values_of(const dl_tensor *t) {
    dl_tensor copy = {0};
    double *x = calloc((size_t)dl_tensor_count(t) + 1, sizeof *x);
    assert_int_equal(dl_tensor_to(&copy, t, dl_default_device(), DL_F64), DL_OK);
    assert_int_equal(dl_tensor_read(&copy, x, (uint64_t)dl_tensor_count(t) * sizeof *x), DL_OK);
    dl_tensor_clear(&copy);
    return x;
}

static int same(double a, double b) { return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-6 * (1e-6 + fabs(b)); }

static int compare(const struct row *r, int32_t k, const dl_tensor *got, const dl_tensor *expected) {
    int wrong = got->type != expected->type || got->ndim != expected->ndim;
    for (int32_t d = 0; !wrong && d < got->ndim; d++) wrong = got->shape[d] != expected->shape[d];
    double *a = values_of(got), *b = values_of(expected);
    for (int64_t i = 0; !wrong && i < dl_tensor_count(got); i++) wrong = !same(a[i], b[i]);
    if (wrong)
        print_error("%s(%s | %s), output %d: composed %g, by kernel %g (first element)\n", r->op, r->in, r->attr, (int)k, a[0],
                    b[0]);
    free(a);
    free(b);
    return wrong;
}

static int check(const struct row *r) {
    ops_call c;
    dl_graph g;
    dl_attr attr[DL_MAX_ATTRS];
    ops_make(&c, r->op, r->in, r->attr, 5);
    const dl_op *op = dl_op_at(c.op);
    if (ops_run(&c) != DL_OK) fail_msg("%s(%s | %s): %s", r->op, r->in, r->attr, dl_last_error());
    assert_int_equal(dl_op_attrs(op, c.attr, c.n_attr, attr), DL_OK);
    dl_frame frame = {.size = sizeof frame,
                      .n_in = (uint32_t)c.n_in,
                      .n_out = (uint32_t)c.n_out,
                      .n_attr = (uint32_t)op->n_attrs,
                      .in = c.in,
                      .out = c.out,
                      .attr = attr,
                      .device = dl_default_device()};
    int wrong = 0;
    assert_int_equal(dl_graph_open(&g, &frame, NULL, NULL), DL_OK);
    g.op = op;
    if (op->def.compose(&g, &frame) != DL_OK) fail_msg("%s(%s | %s): %s", r->op, r->in, r->attr, dl_last_error());
    for (int32_t k = 0; k < c.n_out; k++) {
        dl_tensor result = {0};
        assert_int_equal(dl_graph_take(&g, (uint32_t)k, &result), DL_OK);
        assert_non_null(result.storage);
        wrong += compare(r, k, &result, c.out[k]);
        dl_tensor_clear(&result);
    }
    dl_graph_close(&g);
    ops_free(&c);
    return wrong;
}

static void test_compositions(void **state) {
    (void)state;
    int wrong = 0;
    for (int32_t id = 0; id < dl_op_count(); id++) {
        const dl_op *op = dl_op_at(id);
        int found = 0;
        if (!op->def.compose || (op->def.flags & DL_OP_COMPOSITE)) continue;
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            if (strcmp(rows[k].op, op->name) == 0) {
                found = 1;
                wrong += check(&rows[k]);
            }
        if (!found) print_error("%s has a composition and no row in test_ops_compose.c\n", op->name);
        wrong += !found;
    }
    assert_int_equal(wrong, 0);
}

static int start(void **state) {
    (void)state;
    return dl_init();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compositions)};
    return cmocka_run_group_tests(tests, start, NULL);
}
