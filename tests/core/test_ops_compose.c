/* test_ops_compose.c - compositions against the CPU's own kernels of the same ops, in float64, float32 and float16: a backend
 * that has only the primitive ops computes the same. Driven by the op table: an op with both that has no row here and none in
 * op_rows.c fails the test. */
#include "core/op.h"
#include "dlrun/dlrun.h"
#include "op_rows.h"
#include "ops_support.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const op_row rows[] = {
    {"mean", "2,3,4", "[0,-1] 1", 0},
    {"mean", "f:2,3", "[]", 0},
    {"mean", "0,3", "[0]", 0},
    {"mean", "()", "[]", 0},
    {"var", "2,3,4", "[0,-1] 1", 0},
    {"var", "2,3", "[] 0 1", 0},
    {"var", "1,3", "[0] 1", 0},
    {"var", "2,3", "[0] 2", 0},
    {"logsumexp", "2,3,4", "[1]", 0},
    {"logsumexp", "2,0", "[1]", 0},
    {"logsumexp", "2,3@-2000:2000", "[]", 0},
    {"linear", "5,3 4,3 4", "", 0},
    {"linear", "3 4,3 -", "", 0},
    {"linear", "0,3 4,3 4", "", 0},
    {"addmm", "4 2,3 3,4", "0.5 2.0", 0},
    {"addmm", "2,1,1 2,2,3 2,3,4", "", 0},
    {"addmm", "4 2,3 3,4", "0.0", 0},
    {"softmax", "2,3,4", "1", 0},
    {"softmax", "()", "0", 0},
    {"softmax", "2,0", "1", 0},
    {"softmax", "2,3@-2000:2000", "1", 0},
    {"log_softmax", "2,3,4", "-2", 0},
    {"log_softmax", "2,3@-2000:2000", "1", 0},
    {"softmax_backward", "2,3,4 2,3,4", "0", 0},
    {"log_softmax_backward", "2,3,4 2,3,4", "-1", 0},
    {"cross_entropy", "4,3 i:4@0:3 -", "", 0},
    {"cross_entropy", "4,3 i:4@0:3 -", "0", 0},
    {"cross_entropy", "4,3 i:4@0:3 3@0.1:2", "1 1 0.1", 0},
    {"cross_entropy", "4,3 i:4@0:3 3@0.1:2", "2 2 0.3", 0},
    {"cross_entropy", "4,3 i:4@0:3 3@0.1:2", "0 0 0.3", 0},
    {"cross_entropy", "4,3 i:4@1:2 -", "1 1", 0}, /* all ignored: 0 / 0 */
    {"cross_entropy", "3 i:()@0:3 -", "0", 0},
    {"cross_entropy", "4,3 4,3@0.1:1 3@0.1:2", "1 -100 0.2", 0},
    {"cross_entropy", "4,3 4,3@0.1:1 -", "0", 0},
    {"cross_entropy", "3 3@0.1:1 -", "2", 0},
    {"cross_entropy_backward", "() 4,3 i:4@0:3 - ()@3:4", "", 0},
    {"cross_entropy_backward", "4 4,3 i:4@0:3 3@0.1:2 ()@3:4", "0 1 0.1", 0},
    {"cross_entropy_backward", "() 4,3 i:4@0:3 3@0.1:2 ()@3:4", "2 1 0.1", 0},
    {"cross_entropy_backward", "() 4,3 4,3@0.1:1 3@0.1:2 ()@4:5", "1 -100 0.1", 0},
    {"cross_entropy_backward", "() 3 i:()@0:3 - ()@1:1.4", "1", 0},
    {"layer_norm", "2,3,4 3,4 3,4", "2", 0},
    {"layer_norm", "f:2,3,4 f:4 -", "1 0.1 1", 0},
    {"layer_norm", "h:2,3 h:3 h:3", "1", 0},
    {"layer_norm_backward", "2,3,4 2,3,4 4 2,3,1 2,3,1@0.5:2", "1", 0},
    {"layer_norm_backward", "2,3 2,3 - 2,1 2,1@0.5:2", "1 0.1 0 1", 0},
    {"group_norm", "2,4,3 4 4", "2", 0},
    {"group_norm_backward", "2,4,3,2 2,4,3,2 4 2,2 2,2@0.5:2", "2 0.1", 0},
    {"group_norm_backward", "2,4 2,4 - 2,1 2,1@0.5:2", "1 0.1 0", 0},
    {"batch_norm", "3,2,4 2 2 - -", "1", 0},
    {"batch_norm", "3,2 2 2 2 2@0.5:2", "0", 0},
    {"batch_norm_backward", "3,2,4 3,2,4 2 2 2@0.5:2", "1", 0},
    {"batch_norm_backward", "3,2,4 3,2,4 2 2 2@0.5:2", "0 0.1", 0},
    {"full", "", "[2,3] 2.5", 0},
    {"full", "", "[2] -3 5", 0},
    {"full", "", "[] 0.5 9", 0},
    {"full", "", "[0,2] 1 8", 0},
    {"full", "", "[2] 300 4", 0},
    {"full", "", "[2] 9007199254740993 8", 0},
    {"arange", "", "2 -1 5", 0},
    {"arange", "", "0.5 0.1 7 1", 0},
    {"arange", "", "250 3 5 4", 0},
    {"arange", "", "-2.7 0.9 6 8", 0},
    {"arange", "", "0 1 0", 0},
    {"arange", "", "4611686018427387904 3 4 0", 0},
    {"arange", "", "0 1 3 9", 0},
    {"eye", "", "4 2", 0},
    {"eye", "", "2 5 8", 0},
    {"eye", "", "0 2", 0},
    {"uniform", "", "[3,50]", 0},
    {"uniform", "", "[40] -2.0 3.0 1", 0},
    {"uniform", "", "[40] -2.0 -1.0 2", 0},
    {"uniform", "", "[40] 0.0 0.3 3", 0},
    {"uniform", "", "[5] 1.0 1.0", 0},
    {"uniform", "", "[0]", 0},
    {"normal", "", "[3,33]", 0},
    {"normal", "", "[7] 1.5 0.5 1", 0},
    {"normal", "", "[40] 0.0 1.0 2", 0},
    {"normal", "", "[0]", 0},
    {"bernoulli", "", "[100]", 0},
    {"bernoulli", "", "[10] 1.0 9", 0},
    {"bernoulli", "", "[10] 0.0 4", 0},
    {"random_int", "", "[100] -3 12 8", 0},
    {"random_int", "", "[50] 0 65536 8", 0},
    {"random_int", "", "[50] -5000000000 3000000000 8", 0},
    {"random_int", "", "[50] -9223372036854775807 9223372036854775806 8", 0},
    {"random_int", "", "[50] 0 100", 0},
    {"random_int", "", "[50] 0 1000000 6", 0},
    {"randperm", "", "1000", 0},
    {"randperm", "", "0", 0},
    {"randperm", "", "9 4", 0},
    {"dropout", "0,3", "0.4", 0},
    {"cat", "f:2,3 f:2,0 i:2,2", "1", 0},
    {"cat", "u:3 u:2 u:1", "0", 0},
    {"cat", "0,2 0,2", "0", 0},
    {"tril", "2,0,3", "0", 0},
    {"tril", "i:3,4", "100", 0},
    {"triu", "i:4,3", "-9223372036854775807", 0},
    {"triu", "b:4,3", "1", 0},
    {"sum", "u:20,3@0:255", "[0]", 0},
    {"sum", "b:5,3", "[]", 0},
    {"sum", "2,3", "[1] 0 8", 0},
    {"sum", "i:2,3", "[1] 1 0", 0},
    {"sum", "f:2,3", "[1] 1 1", 0},
    {"sum", "f:4,3", "[0] 0 4", 0},
    {"sum", "2,0,3", "[1]", 0},
    {"sum", "0,3", "[1]", 0},
    {"sum", "()", "[0] 1", 0},
    {"prod", "n:3,4@1:4", "[1]", 0},
    {"prod", "2,0", "[1]", 0},
    {"amax", "u:3,4@0:255", "[0]", 0},
    {"amax", "b:3,4", "[0] 1", 0},
    {"amax", "0,3", "[1]", 0},
    {"amin", "n:3,4@-5:5", "[]", 0},
    {"amin", "()", "[]", 0},
    {"max_dim", "i:4,5@0:3", "1", 0},
    {"max_dim", "()", "0 1", 0},
    {"max_dim", "0,3", "1", 0},
    {"min_dim", "b:4,5", "0 1", 0},
    {"argmax", "i:4,5@0:3", "[]", 0},
    {"argmax", "4,5", "[] 1", 0},
    {"argmax", "4,5^", "[0] 1", 0},
    {"argmax", "()", "[]", 0},
    {"argmin", "u:4,5@0:3", "[1]", 0},
    {"argmin", "3,4,5", "[-2]", 0},
    {"any", "3,4", "[1]", 0},
    {"any", "i:3,4@0:2", "[0] 1", 0},
    {"any", "2,0", "[1]", 0},
    {"any", "b:()", "[]", 0},
    {"all", "3,4", "[]", 0},
    {"all", "i:3,4@0:2", "[1]", 0},
    {"all", "2,0", "[1]", 0},
    {"norm", "2,0", "2.0 [1]", 0},
    {"norm", "3,4", "0 [1]", 0},
    {"norm", "0,4", "inf [1]", 0},
    {"cumsum", "n:3,7", "1", 0},
    {"cumsum", "b:9", "0", 0},
    {"cumsum", "2,0", "1", 0},
    {"cumsum", "17,3", "0", 0},
    {"cumprod", "i:3,4@1:4", "-1", 0},
    {"cummax", "i:3,17@0:5", "1", 0},
    {"cummax", "u:17,2@0:5", "0", 0},
    {"cummax", "0,2", "0", 0},
    {"cummin", "b:3,4", "0", 0},
    {"cummin", "()", "0", 0},
    {"logcumsumexp", "33@-2000:2000", "0", 0},
    {"matmul", "3 3", "", 0},
    {"matmul", "3 3,4", "", 0},
    {"matmul", "2,3 3", "", 0},
    {"matmul", "5,2,3 3", "", 0},
    {"matmul", "3 5,3,2", "", 0},
    {"matmul", "2,1,3,4 5,4,2", "", 0},
    {"matmul", "2,4,3^ 3,2", "", 0},
    {"matmul", "2,3 4,3,5", "", 0},
    {"matmul", "0,3 3,2", "", 0},
    {"matmul", "2,0 0,3", "", 0},
    {"matmul", "4,0,3 3,2", "", 0},
    {"matmul", "i:2,3@-5:5 i:3,4@-5:5", "", 0},
    {"addmm", "n:2,1@-9000:9000 n:2,3@-9000:9000 n:3,4@-9000:9000", "-3.0 65537.0", 0},
    {"addmm", "i:4@16777217:16777219 i:2,3@16777217:16777219 i:3,4@16777217:16777219", "2.0 1.0", 0},
    {"addmm", "u:4@0:255 u:2,3@0:255 u:3,4@0:255", "3.0 -7.0", 0},
    {"scatter", "3,4 i:2,4@0:3 2,4", "0", 0},
    {"scatter", "3,40 i:3,70@0:40 3,70", "1", 0},
    {"scatter", "u:40 i:9@0:3 u:9@0:99", "0", 0},
    {"scatter", "b:5 n:9@0:3 b:9", "0", 0},
    {"scatter", "3,4 i:0,4@0:3 0,4", "0", 0},
    {"scatter", "() i:()@0:1 ()", "0", 0},
    {"index_select", "3,4 i:0@0:1", "0", 0},
    {"index_select", "u:3,4@0:99 u:7@0:4", "1", 0},
    {"index_select", "() i:1@0:1", "0", 0},
    {"index_select", "3,4 i:()@0:3", "0", 0},
    {"index_select_backward", "() i:1@0:1", "0 1", 0},
    {"index_add", "n:5,2 i:9@0:5 n:9,2", "0", 0},
    {"index_copy", "5,2 i:9@0:5 9,2", "0", 0},
    {"index_copy", "b:2,5 i:9@0:5 b:2,9", "1", 0},
    {"index_copy", "() i:1@0:1 ()", "0", 0},
    {"index_fill", "5,2 i:3@0:5", "0 1.5", 0},
    {"index_fill", "i:2,5 i:3@0:5", "1 2.7", 0},
    {"index_fill", "b:2,5 i:3@0:5", "1 0.5", 0},
    {"index_fill", "() i:1@0:1", "0 3", 0},
    {"one_hot", "i:2,3@0:4", "5", 0},
    {"one_hot", "u:()@0:3", "3 0", 0},
    {"one_hot", "i:0@0:3", "3", 0},
    {"nonzero", "i:3,4,5@0:2", "", 0},
    {"nonzero", "b:1", "", 0},
    {"nonzero", "b:()@1:2", "", 0},
    {"nonzero", "0,3", "", 0},
    {"nonzero", "u:100@0:2", "", 0},
    {"masked_select", "3,40 b:3,40", "", 0},
    {"masked_select", "u:3,4@0:99 u:3,4^", "", 0},
    {"masked_select", "3 b:3@0:1", "", 0},
    {"masked_select", "0 b:0", "", 0},
    {"masked_scatter", "3,40 b:3,40 200", "", 0},
    {"masked_scatter", "3 b:3@0:1 0", "", 0},
    {"masked_scatter", "0 b:0 2", "", 0},
    {"nll_loss", "4,3 n:4@0:3 -", "1", 0},
    {"nll_loss", "4,3 i:4@1:2 -", "1 1", 0},
    {"nll_loss", "0,3 i:0@0:3 -", "2", 0},
    {"gemm", "i:2,3,4@-5:5 i:2,4,5@-5:5", "", 0},
    {"batch_norm", "3,2,4 2 2 c:2 c:2@0.5:2", "1 1e-5 0.1", 0},
    {"batch_norm", "3,2,4 - - f:2 -", "1 1e-5 0.3", 0},
};

static double *values_of(const dl_tensor *t) {
    dl_tensor copy = {0};
    double *x = calloc((size_t)dl_tensor_count(t) + 1, sizeof *x);
    assert_int_equal(dl_tensor_to(&copy, t, dl_default_device(), DL_F64), DL_OK);
    assert_int_equal(dl_tensor_read(&copy, x, (uint64_t)dl_tensor_count(t) * sizeof *x), DL_OK);
    dl_tensor_clear(&copy);
    return x;
}

static int same(double a, double b, double tolerance) {
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance * (1e-2 + fabs(b));
}

/* Rounding of a few steps in the call's coarsest dtype. */
static double tolerance_of(const ops_call *c) {
    double most = 1e-11;
    for (int32_t k = 0; k < c->n_in + c->n_out; k++) {
        const dl_tensor *t = k < c->n_in ? c->in[k] : c->out[k - c->n_in];
        const double own = !t ? 0 : t->type == DL_F32 ? 2e-5 : t->type == DL_F16 || t->type == DL_BF16 ? 2e-2 : 0;
        most = own > most ? own : most;
    }
    return most;
}

static int compare(const op_row *r, const char *what, int32_t k, const dl_tensor *got, const dl_tensor *expected,
                   double tolerance) {
    int wrong = got->type != expected->type || got->ndim != expected->ndim;
    for (int32_t d = 0; !wrong && d < got->ndim; d++) wrong = got->shape[d] != expected->shape[d];
    double *a = values_of(got), *b = values_of(expected);
    int64_t i = 0;
    while (!wrong && i < dl_tensor_count(got) && same(a[i], b[i], tolerance)) i++;
    wrong = wrong || i < dl_tensor_count(got);
    if (wrong)
        print_error("%s(%s | %s) in %s, %s %d: composed %g, by kernel %g (element %d)\n", r->op, r->in, r->attr,
                    dl_dtype_name(ops_float_type), what, (int)k, a[i], b[i], (int)i);
    free(a);
    free(b);
    return wrong;
}

/* The call by kernel, and by composition on inputs of the same values: results, and inputs that are written, must agree. */
static int check(const op_row *r) {
    ops_call kernel, composed;
    int wrong = 0;
    ops_make(&kernel, r->op, r->in, r->attr, 5);
    ops_make(&composed, r->op, r->in, r->attr, 5);
    dl_seed(7);
    if (ops_run(&kernel) == DL_OK) {
        dl_seed(7);
        dl_set_primitives_only(1);
        const dl_status status = ops_run(&composed);
        dl_set_primitives_only(0);
        if (status != DL_OK) {
            print_error("%s(%s | %s) in %s: %s\n", r->op, r->in, r->attr, dl_dtype_name(ops_float_type), dl_last_error());
            wrong = 1;
        }
        const double tolerance = tolerance_of(&kernel);
        for (int32_t k = 0; k < kernel.n_out && status == DL_OK; k++)
            wrong += compare(r, "output", k, composed.out[k], kernel.out[k], tolerance);
        for (int32_t k = 0; k < kernel.n_in && status == DL_OK; k++)
            if (kernel.in[k]) wrong += compare(r, "input", k, composed.in[k], kernel.in[k], tolerance);
        if (dl_random_call() > 1) {
            print_error("%s: its composition takes %d call numbers\n", r->op, (int)dl_random_call());
            wrong++;
        }
    } else if (ops_float_type == DL_F64) {
        print_error("%s(%s | %s): %s\n", r->op, r->in, r->attr, dl_last_error()); /* some refuse float64 inputs beside others */
        wrong = 1;
    }
    ops_free(&kernel);
    ops_free(&composed);
    return wrong;
}

static int check_rows(const char *op, const op_row *all, int n, int *found) {
    static const dl_dtype types[] = {DL_F64, DL_F32, DL_F16};
    int wrong = 0;
    for (int k = 0; k < n; k++) {
        if (strcmp(all[k].op, op) != 0) continue;
        *found = 1;
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            ops_float_type = types[t];
            wrong += check(&all[k]);
        }
    }
    ops_float_type = DL_F64;
    return wrong;
}

static void test_compositions(void **state) {
    (void)state;
    int wrong = 0;
    for (int32_t id = 0; id < dl_op_count(); id++) {
        const dl_op *op = dl_op_at(id);
        int found = 0;
        if (!op->def.compose || (op->def.flags & DL_OP_COMPOSITE)) continue;
        wrong += check_rows(op->name, rows, sizeof rows / sizeof *rows, &found);
        wrong += check_rows(op->name, op_rows, op_row_count, &found);
        if (!found) print_error("%s has a composition and a row neither in test_ops_compose.c nor in op_rows.c\n", op->name);
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
