/* primitive.c - shape rules of the ops that compositions end in and that are no use by themselves: reduce and gemm. */
#include "core/ops/functions.h"
#include "core/ops/rules.h"

dl_status infer_reduce(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int64_t count = attr_int(f, 0), combine = attr_int(f, 1);
    if (count < 0 || count > x->ndim)
        return dl_failf(DL_INVALID, "expected a count of 0..%d dimensions, got %lld", x->ndim, (long long)count);
    if (combine != DL_OP_ADD && combine != DL_OP_MUL && combine != DL_OP_MAX && combine != DL_OP_MIN)
        return dl_failf(DL_INVALID, "expected opcode %d (+), %d (*), %d (max) or %d (min), got %lld", DL_OP_ADD, DL_OP_MUL,
                        DL_OP_MAX, DL_OP_MIN, (long long)combine);
    const int32_t kept = x->ndim - (int32_t)count;
    if (combine != DL_OP_ADD && combine != DL_OP_MUL && count_of((int32_t)count, x->shape + kept) == 0)
        return dl_failf(DL_INVALID, "nothing to choose from: the last %lld dimensions of %s have no elements", (long long)count,
                        shape_text(x).s);
    return dl_set_out(f, 0, x->type, kept, x->shape);
}

dl_status infer_gemm(dl_frame *f) {
    const dl_tensor *a = f->in[0], *b = f->in[1];
    if (a->type == DL_BOOL) return dl_failf(DL_INVALID, "bool tensors cannot be multiplied: convert to float32 first");
    DL_TRY(rule_same_type(a, "a", b, "b"));
    if (a->ndim != 3 || b->ndim != 3 || a->shape[0] != b->shape[0] || a->shape[2] != b->shape[1])
        return dl_failf(DL_INVALID, "expected a (B, n, k) and b (B, k, m), got %s and %s", shape_text(a).s, shape_text(b).s);
    return dl_set_out(f, 0, a->type, 3, (int64_t[]){a->shape[0], a->shape[1], b->shape[2]});
}
