/* pointwise_call.c - the part of a call that only pointwise ops have: promotion, broadcasting, casts. */
#include "core/call.h"
#include "core/graph.h"
#include "core/status.h"
#include <math.h>
#include <string.h>

/* ---- promotion: PyTorch's result_type --------------------------------------------------------------------------------- */

static int category(dl_dtype t) { return t == DL_BOOL ? 0 : t <= DL_BF16 ? 2 : 1; }

/* Tensors with dimensions decide; 0-dim tensors and then Scalars join only if their category is higher. */
typedef struct {
    dl_dtype dimensioned, zero_dim; /* -1: none */
} result_types;

static dl_dtype join(dl_dtype a, dl_dtype b) { return a < 0 ? b : b < 0 ? a : dl_dtype_promote(a, b); }

static dl_dtype combine(dl_dtype strong, dl_dtype weak) {
    if (strong < 0) return weak;
    return weak >= 0 && category(weak) > category(strong) ? dl_dtype_promote(strong, weak) : strong;
}

dl_dtype dl_pointwise_with_scalars(const dl_op *op, dl_dtype tensors, const dl_attr *attr) {
    dl_dtype scalars = -1;
    if (op->takes_first_type) return tensors;
    for (int32_t k = 0; k < op->n_attrs; k++)
        if (op->attrs[k].kind == DL_ARG_SCALAR && memcmp(&attr[k], &op->attrs[k].fallback, sizeof attr[k]) != 0)
            scalars = join(scalars, attr[k].kind == DL_ATTR_FLOAT ? DL_F32 : DL_I64);
    return combine(tensors, scalars);
}

static dl_dtype common_type(const dl_call_context *c, const dl_tensor *const *in) {
    result_types r = {-1, -1};
    if (c->op->takes_first_type) return in[0]->type;
    for (int32_t k = 0; k < c->op->n_tensors; k++) {
        if (c->op->tensors[k].fixed_type >= 0 || !in[k]) continue;
        dl_dtype *slot = in[k]->ndim ? &r.dimensioned : &r.zero_dim;
        *slot = join(*slot, in[k]->type);
    }
    dl_dtype t = dl_pointwise_with_scalars(c->op, combine(r.dimensioned, r.zero_dim), c->attr);
    return t < 0 ? DL_F32 : t;
}

/* ---- broadcasting ------------------------------------------------------------------------------------------------------- */

static dl_status broadcast(const dl_call_context *c, const dl_tensor *const *in, int32_t *ndim, int64_t *shape) {
    *ndim = 0;
    for (int32_t k = 0; k < c->op->n_tensors; k++)
        if (in[k] && in[k]->ndim > *ndim) *ndim = in[k]->ndim;
    for (int32_t d = 0; d < *ndim; d++) shape[d] = 1;
    for (int32_t k = 0; k < c->op->n_tensors; k++) {
        if (!in[k]) continue;
        int64_t *aligned = shape + (*ndim - in[k]->ndim);
        for (int32_t d = 0; d < in[k]->ndim; d++) {
            int64_t n = in[k]->shape[d];
            if (n == aligned[d] || n == 1) continue;
            if (aligned[d] != 1) {
                char a[160], b[160];
                return dl_failf(
                    DL_INVALID,
                    "%s: shapes %s and %s cannot be broadcast: sizes must be equal or 1, counted from the last dimension",
                    c->op->name, dl_tensor_text(in[0], a, sizeof a), dl_tensor_text(in[k], b, sizeof b));
            }
            aligned[d] = n;
        }
    }
    return DL_OK;
}

/* Views t under the output's shape with stride 0 where it is broadcast. */
static void expand(dl_tensor *view, const dl_tensor *t, const dl_tensor *out) {
    memcpy(view, t, offsetof(dl_tensor, dims));
    view->flags |= DL_TENSOR_BORROWED;
    view->shape = view->dims;
    view->strides = view->dims + DL_MAX_DIMS;
    view->ndim = out->ndim;
    int32_t lead = out->ndim - t->ndim;
    for (int32_t d = 0; d < out->ndim; d++) {
        view->shape[d] = out->shape[d];
        view->strides[d] = d < lead || (t->shape[d - lead] == 1 && out->shape[d] != 1) ? 0 : t->strides[d - lead];
    }
}

static int same_shape(const dl_tensor *a, const dl_tensor *b) {
    if (a->ndim != b->ndim) return 0;
    for (int32_t d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return 0;
    return 1;
}

/* ---- the two steps ------------------------------------------------------------------------------------------------------ */

/* The nearest integer towards 0 that an integer dtype can hold. */
static int64_t truncated(double x, dl_dtype type) {
    int bits = type == DL_BOOL ? 1 : 8 * dl_dtype_bytes(type);
    int is_signed = type != DL_U8 && type != DL_BOOL;
    double high = ldexp(1, bits - is_signed), low = is_signed ? -high : 0;
    if (x != x) return 0;
    if (x <= low) return is_signed ? -(int64_t)(UINT64_C(1) << (bits - 2)) * 2 : 0;
    return x >= high ? (int64_t)((UINT64_C(1) << (bits - is_signed)) - 1) : (int64_t)x;
}

/* A Scalar as the program's compute type wants it. */
static void fit_attr(dl_attr *a, dl_dtype compute) {
    int floating = dl_dtype_is_floating(compute);
    if (floating && a->kind == DL_ATTR_INT)
        *a = (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = (double)a->v.i};
    else if (!floating && a->kind == DL_ATTR_FLOAT)
        *a = (dl_attr){.kind = DL_ATTR_INT, .v.i = truncated(a->v.f, compute)};
}

dl_status dl_pointwise_infer(dl_call_context *c, const dl_tensor *const *in) {
    int32_t ndim;
    int64_t shape[DL_MAX_DIMS];
    dl_dtype common = common_type(c, in), compute, out;
    int half = common == DL_F16 || common == DL_BF16; /* storage only: computed in f32 */
    dl_status status = dl_op_types(c->op, half ? DL_F32 : common, &compute, &out);
    if (status != DL_OK) return dl_fail_context(status, "%s", c->op->name);
    DL_TRY(dl_op_program(c->op, half ? DL_F32 : common, &c->frame.prog));
    if (half && out == DL_F32) out = common;
    for (int32_t k = 0; k < c->op->n_attrs; k++) fit_attr(&c->attr[k], compute);
    c->frame.prog_attr = c->attr;
    DL_TRY(broadcast(c, in, &ndim, shape));
    status = dl_set_out(&c->frame, 0, out, ndim, shape);
    return status == DL_OK ? DL_OK : dl_fail_context(status, "%s", c->op->name);
}

dl_status dl_pointwise_prepare(dl_call_context *c, const dl_tensor *const *in) {
    const dl_prog *prog = c->frame.prog;
    const dl_tensor *out = c->frame.out[0];
    for (int32_t k = 0; k < c->op->n_tensors; k++) {
        const dl_tensor *t = in[k];
        if (!t) { /* not read by the program: any valid tensor keeps its place */
            c->pointwise_in[k] = in[0];
            t = in[0];
        } else {
            dl_dtype want = prog->in_type[k];
            int widened = want == DL_F32 && (t->type == DL_F16 || t->type == DL_BF16);
            if (t->type != want && !widened && dl_prog_reads(prog, k)) {
                memset(&c->cast[k], 0, sizeof c->cast[k]);
                DL_TRY(dl_tensor_new(&c->cast[k], want, t->ndim, t->shape, c->frame.device));
                c->cast_made |= 1u << k;
                DL_TRY(dl_copy_into(&c->cast[k], t));
                t = &c->cast[k];
            }
        }
        if (!same_shape(t, out)) {
            expand(&c->expanded[k], t, out);
            t = &c->expanded[k];
        }
        c->pointwise_in[k] = t;
    }
    c->frame.in = c->pointwise_in;
    return DL_OK;
}

dl_status dl_pointwise_expand(dl_call_context *c, const dl_tensor *const *in) {
    const dl_tensor *out = c->frame.out[0];
    c->pointwise_in[0] = in[0];
    if (!same_shape(in[0], out)) {
        expand(&c->expanded[0], in[0], out);
        c->pointwise_in[0] = &c->expanded[0];
    }
    c->frame.in = c->pointwise_in;
    return DL_OK;
}
