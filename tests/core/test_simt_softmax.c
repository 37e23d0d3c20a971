/* test_simt_softmax.c - softmax, log_softmax and the losses over classes on a Tier A device against the CPU's. */
#include "tests/core/mirror.h"

static uint64_t rng = 7;
static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { TYPES = sizeof types / sizeof *types };
static const int64_t shapes[][3] = {{1, 1, 1}, {3, 10, 5}, {2, 7, 300}, {2, 0, 3}, {70, 2, 3}, {1, 1000, 2}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void lines_case(const char *op, dl_dtype type, const int64_t *shape, int dim, int inputs) {
    dl_tensor x, y, out;
    uint64_t *layout = dim == 1 ? &rng : NULL;
    cells_random(&x, type, 3, shape, layout);
    cells_random(&y, type, 3, shape, &rng);
    cells_make(&out, type, 3, shape, layout);
    mirror_call(op, (const dl_tensor *[]){&x, &y}, inputs, &out, 1, (const dl_attr[]){A_INT(dim)}, 1, 64);
    dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&out);
}

static void lines(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < SHAPES; s++)
            for (int dim = -1; dim < 2; dim++) {
                lines_case("softmax", types[t], shapes[s], dim, 1);
                lines_case("log_softmax", types[t], shapes[s], dim, 1);
            }
}

/* More dimensions than a loop of these kernels holds, of strides that do not merge: then the op is composed. */
static void many_dimensions(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const int64_t shape[] = {2, 2, 2, 2, 3, 2, 2, 2};
    for (int few = 0; few < 2; few++) { /* the same types with fewer dimensions: their plan is another */
        dl_tensor x, out;
        cells_random(&x, DL_F32, few ? 3 : 8, shape, &rng);
        cells_make(&out, DL_F32, few ? 3 : 8, shape, &rng);
        mirror_call("log_softmax", (const dl_tensor *[]){&x}, 1, &out, 1, (const dl_attr[]){A_INT(1)}, 1, 64);
        mirror_call("cumsum", (const dl_tensor *[]){&x}, 1, &out, 1, (const dl_attr[]){A_INT(1)}, 1, 64);
        dl_tensor_clear(&x), dl_tensor_clear(&out);
    }
}

/* y stands for any result of the forward op: sums grow with the length, and so does rounding. */
static void gradients(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < SHAPES - 1; s++)
            for (int dim = -1; dim < 2; dim++) {
                lines_case("softmax_backward", types[t], shapes[s], dim, 2);
                lines_case("log_softmax_backward", types[t], shapes[s], dim, 2);
            }
}

static void special(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const double values[] = {1, NAN, 2, -INFINITY, 0, 1, INFINITY, 0, 1, -INFINITY, -INFINITY, -INFINITY};
    dl_tensor x, out;
    cells_of(&x, DL_F32, 2, (int64_t[]){4, 3}, values);
    cells_make(&out, DL_F32, 2, (int64_t[]){4, 3}, NULL);
    mirror_call("softmax", (const dl_tensor *[]){&x}, 1, &out, 1, (const dl_attr[]){A_INT(1)}, 1, 8);
    mirror_call("log_softmax", (const dl_tensor *[]){&x}, 1, &out, 1, (const dl_attr[]){A_INT(1)}, 1, 8);
    dl_tensor_clear(&x), dl_tensor_clear(&out);
}

/* ---- losses ---------------------------------------------------------------------------------------------------------------
 */

typedef struct loss_case {
    int64_t n, classes; /* n 0: one sample without a dimension; -1: no samples */
    int reduction, weighted, probabilities;
    double smoothing;
    dl_dtype type, target;
} loss_case;

typedef struct loss_tensors {
    dl_tensor scores, target, weight, grad, total, result[3];
    int64_t shape[2];
    int32_t ndim;
} loss_tensors;

static void make(loss_tensors *t, const loss_case *c) {
    t->ndim = c->n ? 2 : 1;
    t->shape[0] = c->n < 0 ? 0 : c->n ? c->n : c->classes, t->shape[1] = c->classes;
    cells_random(&t->scores, c->type, t->ndim, t->shape, &rng);
    cells_random(&t->weight, c->type, 1, &c->classes, &rng);
    for (int64_t i = 0; i < c->classes; i++) cells_set(&t->weight, i, 0.5 + (double)cells_below(&rng, 4) / 4);
    if (c->probabilities) {
        cells_random(&t->target, c->type, t->ndim, t->shape, &rng);
    } else {
        cells_make(&t->target, c->target, t->ndim - 1, t->shape, &rng);
        for (int64_t i = 0; i < dl_tensor_count(&t->target); i++)
            cells_set(&t->target, i, (double)(i % 5 == 3 ? 1 : cells_below(&rng, c->classes)));
    }
    const int32_t loss_ndim = c->reduction == 0 ? t->ndim - 1 : 0;
    cells_random(&t->grad, c->type, loss_ndim, t->shape, &rng);
    cells_make(&t->total, c->type, 0, NULL, NULL);
    cells_set(&t->total, 0, 3.5);
    cells_make(&t->result[0], c->type, loss_ndim, t->shape, &rng);
    cells_make(&t->result[1], c->type, t->ndim, t->shape, &rng);
    cells_make(&t->result[2], c->type, 0, NULL, NULL);
}

static void clear(loss_tensors *t) {
    dl_tensor *const all[] = {&t->scores, &t->target,    &t->weight,    &t->grad,
                              &t->total,  &t->result[0], &t->result[1], &t->result[2]};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) dl_tensor_clear(all[k]);
}

static void check(const loss_case *c) {
    loss_tensors t;
    make(&t, c);
    const dl_tensor *weight = c->weighted ? &t.weight : NULL;
    const dl_tensor *forward[] = {&t.scores, &t.target, weight};
    const dl_tensor *backward[] = {&t.grad, &t.scores, &t.target, weight, &t.total};
    const dl_attr attr[] = {A_INT(c->reduction), A_INT(1), A_FLOAT(c->smoothing)};
    const double units = c->type == DL_F16 || c->type == DL_BF16 ? 32 : 600; /* sums over all classes and samples */
    mirror_call("cross_entropy", forward, 3, t.result, 3, attr, 3, units);
    mirror_call("cross_entropy_backward", backward, 5, &t.result[1], 1, attr, 3, units);
    if (!c->probabilities && c->smoothing == 0) {
        dl_tensor results[2];
        cells_make(&results[0], c->type, c->reduction == 0 ? t.ndim - 1 : 0, t.shape, NULL);
        cells_make(&results[1], c->type, 0, NULL, NULL);
        mirror_call("nll_loss", forward, 3, results, 2, attr, 2, units);
        mirror_call("nll_loss_backward", backward, 5, &t.result[1], 1, attr, 2, units);
        dl_tensor_clear(&results[0]), dl_tensor_clear(&results[1]);
    }
    clear(&t);
}

static void losses(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t sizes[][2] = {{0, 5}, {-1, 4}, {7, 3}, {64, 10}, {300, 130}};
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int kind = 0; kind < 12; kind++) {
                const int probabilities = kind % 4 == 3;
                if (t > 0 && kind < 8) continue; /* to compile less */
                check(&(loss_case){sizes[s][0], sizes[s][1], kind % 3, kind & 1, probabilities, kind % 4 == 2 ? 0.1 : 0,
                                   types[t], kind < 8 ? DL_F32 : DL_I64});
            }
}

/* A label out of range is reported at the next look at the device, with its value. */
static void bad_labels(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    dl_tensor scores = {0}, target = {0}, out[3] = {{0}};
    const int64_t n[] = {2, 3}, labels[] = {1, 3};
    dl_tensor *const outs[] = {&out[0], &out[1], &out[2]};
    float loss;
    assert_int_equal(dl_tensor_new(&scores, DL_F32, 2, n, mirror_device()), DL_OK);
    assert_int_equal(dl_tensor_new(&target, DL_I64, 1, n, mirror_device()), DL_OK);
    assert_int_equal(dl_tensor_write(&scores, (const float[6]){0}, 24), DL_OK);
    assert_int_equal(dl_tensor_write(&target, labels, 16), DL_OK);
    const dl_tensor *in[] = {&scores, &target, NULL};
    dl_status status = dl_call(dl_op_find("cross_entropy"), in, 3, outs, 3, NULL, 0);
    if (status == DL_OK) status = dl_tensor_read(&out[0], &loss, sizeof loss);
    assert_int_equal(status, DL_INVALID);
    assert_non_null(strstr(dl_last_error(), "label 3 ("));
    assert_int_equal(dl_tensor_read(&out[0], &loss, sizeof loss), DL_OK); /* said once */
    dl_tensor_clear(&scores), dl_tensor_clear(&target);
    for (int k = 0; k < 3; k++) dl_tensor_clear(&out[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),   cmocka_unit_test(many_dimensions), cmocka_unit_test(gradients),
        cmocka_unit_test(special), cmocka_unit_test(losses),          cmocka_unit_test(bad_labels),
    };
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
