/* infer.c - what shape rules set: outputs' shapes and types, and how they meet tensors the caller gave. */
#include "core/call.h"
#include "core/capture.h"
#include "core/graph.h"
#include "core/status.h"
#include "core/storage.h"
#include "core/tensor.h"
#include <stdio.h>
#include <string.h>

const char *dl_tensor_text(const dl_tensor *t, char *text, size_t capacity) {
    size_t at = (size_t)snprintf(text, capacity, "%s (", dl_dtype_name(t->type));
    for (int32_t d = 0; d < t->ndim && at < capacity; d++)
        at += (size_t)snprintf(text + at, capacity - at, d ? ", %lld" : "%lld", (long long)t->shape[d]);
    if (at < capacity) snprintf(text + at, capacity - at, ")");
    return text;
}

static void point_inside(dl_tensor *t) {
    t->size = sizeof *t;
    t->shape = t->dims;
    t->strides = t->dims + DL_MAX_DIMS;
}

static dl_status check_shape(int32_t ndim, const int64_t *shape) {
    if (ndim < 0 || ndim > DL_MAX_DIMS)
        return dl_failf(DL_INVALID, "the result would have %d dimensions; at most %d are possible", ndim, DL_MAX_DIMS);
    for (int32_t d = 0; d < ndim; d++)
        if (shape[d] < 0)
            return dl_failf(DL_INVALID, "the result would have size %lld in dimension %d", (long long)shape[d], d);
    return DL_OK;
}

/* PyTorch's can_cast: no float to integer, nothing but bool to bool. */
static int may_store(dl_dtype result, dl_dtype given) {
    if (result == given) return 1;
    if (given == DL_BOOL) return 0;
    return result > DL_BF16 || given <= DL_BF16;
}

static dl_status meet_given(dl_call_context *c, uint32_t k, dl_dtype type, int32_t ndim, const int64_t *shape) {
    dl_tensor *out = c->caller_out[k];
    if (out->ndim != ndim || memcmp(out->shape, shape, (size_t)ndim * sizeof *shape) != 0) {
        char text[160];
        dl_tensor want = {.type = type, .ndim = ndim, .shape = (int64_t *)shape};
        char wanted[160];
        return dl_failf(DL_INVALID, "the result has shape %s, but the tensor given for it is %s",
                        dl_tensor_text(&want, wanted, sizeof wanted), dl_tensor_text(out, text, sizeof text));
    }
    if (!may_store(type, out->type))
        return dl_failf(DL_INVALID, "a %s result cannot be stored in a %s tensor; convert it first", dl_dtype_name(type),
                        dl_dtype_name(out->type));
    /* creation ops and copies convert while they write: their kernels read the type off the output */
    int converts = c->op->n_tensors == 0 || c->op->is_copy;
    if (type != out->type && !converts) {
        c->aside |= 1u << k;
        memset(&c->temp[k], 0, sizeof c->temp[k]);
        return dl_tensor_new(&c->temp[k], type, ndim, shape, c->frame.device);
    }
    return DL_OK;
}

dl_status dl_set_out(dl_frame *f, uint32_t k, dl_dtype type, int32_t ndim, const int64_t *shape) {
    static const int64_t none;
    dl_call_context *c = dl_context_of(f);
    if (ndim == 0) shape = &none; /* may be NULL */
    if (!shape) return dl_failf(DL_INTERNAL, "output %u of %d dimensions has no shape (NULL)", k, ndim);
    if (k >= f->n_out) return dl_failf(DL_INTERNAL, "has no output %u", k);
    DL_TRY(check_shape(ndim, shape));
    c->shaped |= 1u << k;
    if (c->given >> k & 1) return meet_given(c, k, type, ndim, shape);
    dl_tensor *out = f->out[k];
    point_inside(out);
    out->type = type;
    out->ndim = ndim;
    memcpy(out->dims, shape, (size_t)ndim * sizeof *shape);
    return DL_OK;
}

dl_status dl_set_view(dl_frame *f, uint32_t k, int32_t ndim, const int64_t *shape, const int64_t *strides,
                      uint64_t byte_offset) {
    dl_call_context *c = dl_context_of(f);
    if (!(c->op->def.flags & DL_OP_VIEW)) return dl_failf(DL_INTERNAL, "set_view is for ops with the flag DL_OP_VIEW");
    if (ndim > 0 && !strides) return dl_failf(DL_INTERNAL, "view %u of %d dimensions has no strides (NULL)", k, ndim);
    if (k < f->n_out && c->given >> k & 1) return dl_failf(DL_INVALID, "a view cannot be written into a given tensor");
    DL_TRY(dl_set_out(f, k, f->in[0]->type, ndim, shape));
    dl_tensor *out = f->out[k];
    memcpy(out->dims + DL_MAX_DIMS, strides, (size_t)ndim * sizeof *strides);
    out->byte_offset = byte_offset;
    c->viewed |= 1u << k;
    return DL_OK;
}

dl_status dl_sized_by_data(const dl_tensor *out) {
    if (!out->storage) return DL_OK;
    return dl_failf(DL_INVALID, "the size of this result depends on the data: it cannot be written into a given tensor");
}

dl_status dl_alloc_out(const dl_frame *f, uint32_t k, dl_dtype type, int32_t ndim, const int64_t *shape) {
    const dl_call_context *c = (const dl_call_context *)f;
    if (!(c->op->def.flags & DL_OP_SYNC)) return dl_failf(DL_INTERNAL, "alloc_out is for ops with the flag DL_OP_SYNC");
    if (k >= f->n_out) return dl_failf(DL_INTERNAL, "has no output %u", k);
    dl_tensor *out = f->out[k];
    if (out->storage && !(c->given >> k & 1)) return dl_failf(DL_INTERNAL, "output %u is allocated a second time", k);
    DL_TRY(dl_sized_by_data(out));
    dl_capture_refuse("the size of a result depends on data");
    *out = (dl_tensor){0};
    return dl_tensor_new(out, type, ndim, shape, f->device);
}

dl_status dl_infer_check_allocated(const dl_call_context *c) {
    for (uint32_t k = 0; k < c->frame.n_out; k++)
        if (!c->out[k]->storage) return dl_failf(DL_INTERNAL, "%s: its kernel allocated no output %u", c->op->name, k);
    return DL_OK;
}

/* ---- what a plugin's rule has set -----------------------------------------------------------------------------------------
 */

static dl_status check_view(const dl_tensor *x, const dl_tensor *view, uint32_t k) {
    uint64_t bytes = 0;
    const uint64_t all = dl_storage_bytes(x->storage);
    for (int32_t d = 0; d < view->ndim; d++)
        if (view->strides[d] < 0) return dl_failf(DL_INTERNAL, "its view %u has a negative stride in dimension %d", k, d);
    DL_TRY(dl_extent_bytes(view->ndim, view->shape, view->strides, dl_dtype_bytes(view->type), &bytes));
    if (view->byte_offset > all || bytes > all - view->byte_offset)
        return dl_failf(DL_INTERNAL, "its view %u reaches from byte %llu over %llu bytes, the tensor's memory has %llu", k,
                        (unsigned long long)view->byte_offset, (unsigned long long)bytes, (unsigned long long)all);
    return DL_OK;
}

static dl_status check_set(const dl_call_context *c) {
    const uint32_t flags = c->op->def.flags;
    for (uint32_t k = 0; k < c->frame.n_out; k++) {
        if ((flags & DL_OP_VIEW) && !(c->viewed >> k & 1))
            return dl_failf(DL_INTERNAL, "its infer made no view %u (host->set_view)", k);
        if (!(c->shaped >> k & 1) && !(flags & DL_OP_SYNC))
            return dl_failf(DL_INTERNAL, "its infer set no output %u (host->set_out)", k);
        if (flags & DL_OP_VIEW) DL_TRY(check_view(c->frame.in[0], c->out[k], k));
    }
    return DL_OK;
}

dl_status dl_infer(dl_call_context *c) {
    const uint32_t before = dl_failures();
    c->shaped = c->viewed = 0;
    dl_status status = dl_explained(c->op->def.infer(&c->frame), before, "its infer");
    if (status == DL_OK && c->op->foreign) status = check_set(c);
    return status == DL_OK ? DL_OK : dl_fail_named(status, c->op->name);
}
