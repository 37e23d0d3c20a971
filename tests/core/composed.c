/* composed.c - see composed.h. */
#include "tests/core/composed.h"

static void compare(const dl_tensor *got, const dl_tensor *expected, double tolerance, const char *op, const char *what) {
    if (got->type != expected->type || got->ndim != expected->ndim)
        fail_msg("%s(%s): composed %s of %d dimensions, by kernel %s of %d", op, what, dl_dtype_name(got->type), got->ndim,
                 dl_dtype_name(expected->type), expected->ndim);
    for (int32_t d = 0; d < got->ndim; d++)
        if (got->shape[d] != expected->shape[d]) fail_msg("%s(%s): another size %d", op, what, d);
    for (int64_t k = 0; k < dl_tensor_count(got); k++) {
        const double a = cells_get(got, k), b = cells_get(expected, k);
        if (a == b || (a != a && b != b)) continue;
        if (!(fabs(a - b) <= tolerance * cells_epsilon(got->type) * (1 + fabs(b))))
            fail_msg("%s(%s): element %lld of %lld: composed %.17g, by kernel %.17g", op, what, (long long)k,
                     (long long)dl_tensor_count(got), a, b);
    }
}

void composed_check(const char *op, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr,
                    double tolerance, const char *what) {
    dl_op_info info;
    dl_tensor expected[4] = {{0}}, got[4] = {{0}}, *out[4];
    const int32_t id = dl_op_find(op);
    assert_int_equal(dl_op_get(id, &info), DL_OK);
    for (int32_t k = 0; k < info.n_outputs; k++) out[k] = &expected[k];
    const dl_status native = dl_call(id, in, n_in, out, info.n_outputs, attr, n_attr);
    static int computed, refused; /* some tests make bad calls too, which both must refuse alike */
    *(native == DL_OK ? &computed : &refused) += 1;
    if (refused > 20 + computed / 4) fail_msg("%s(%s): most calls are refused: %s", op, what, dl_last_error());
    for (int32_t k = 0; k < info.n_outputs; k++) out[k] = &got[k];
    const int32_t old = dl_set_primitives_only(1);
    const dl_status composed = dl_call(id, in, n_in, out, info.n_outputs, attr, n_attr);
    dl_set_primitives_only(old);
    if (composed != native) fail_msg("%s(%s): composed gives status %d: %s", op, what, (int)composed, dl_last_error());
    for (int32_t k = 0; k < info.n_outputs && native == DL_OK; k++) compare(&got[k], &expected[k], tolerance, op, what);
    for (int32_t k = 0; k < info.n_outputs; k++) dl_tensor_clear(&expected[k]), dl_tensor_clear(&got[k]);
}

dl_dtype composed_type(uint64_t *random) { return (dl_dtype)cells_below(random, 4); }

void composed_spoil(dl_tensor *t, uint64_t *random) {
    static const double values[] = {NAN, INFINITY, -INFINITY, 0};
    const int64_t n = dl_tensor_count(t);
    for (int64_t k = 0; k < n; k++)
        if (cells_below(random, 8) == 0) cells_set(t, k, values[cells_below(random, 4)]);
}
