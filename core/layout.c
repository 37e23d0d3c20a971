/* layout.c - when results lie channels-last, and how they become plain again. */
#include "core/layout.h"
#include "core/call.h"
#include "core/capture.h"
#include "core/status.h"

/* Sizes of 1 in front of or behind the channels make both layouts the same. */
static int layouts_differ(const dl_tensor *t) {
    int64_t inner = 1;
    for (int32_t d = 2; d < t->ndim; d++) inner *= t->shape[d];
    return t->ndim >= 3 && t->ndim <= 5 && t->shape[1] > 1 && inner > 1 && t->shape[0] > 0;
}

static int is_channels_last(const dl_tensor *t) { return (t->flags & DL_TENSOR_CHANNELS_LAST) != 0; }

int dl_layout_wanted(const dl_op *op, const dl_frame *f, const dl_tensor *out) {
    const uint32_t flags = op->def.flags;
    if (!(flags & (DL_OP_POINTWISE | DL_OP_KEEPS_LAYOUT | DL_OP_CHANNELS_LAST)) || !layouts_differ(out) || dl_capturing())
        return 0;
    const dl_backend *backend = &dl_core_of(f->device)->backend->api;
    if ((flags & DL_OP_CHANNELS_LAST) && backend->channels_last) return 1;
    if (!(flags & (DL_OP_POINTWISE | DL_OP_KEEPS_LAYOUT))) return 0;
    for (uint32_t k = 0; k < f->n_in; k++)
        if (f->in[k] && is_channels_last(f->in[k]) && f->in[k]->ndim == out->ndim) return 1;
    return 0;
}

void dl_layout_channels_last(dl_tensor *t) {
    if (!layouts_differ(t)) return;
    int64_t stride = 1;
    t->strides[1] = stride;
    stride *= t->shape[1];
    for (int32_t d = t->ndim - 1; d >= 2; d--) {
        t->strides[d] = stride;
        stride *= t->shape[d];
    }
    t->strides[0] = stride;
    t->flags |= DL_TENSOR_CHANNELS_LAST;
    t->storage->channels_last = 1;
}

void dl_layout_refresh(dl_tensor *t) {
    if (!is_channels_last(t) || t->storage->channels_last) return;
    dl_shape_strides(t->ndim, t->shape, t->strides);
    t->flags &= ~(uint32_t)DL_TENSOR_CHANNELS_LAST;
}

dl_status dl_layout_plain(const dl_tensor *t) {
    dl_tensor from = {0}, plain = {0};
    if (!is_channels_last(t)) return DL_OK;
    DL_TRY(dl_tensor_detach(&from, t));
    dl_status status = dl_tensor_new(&plain, t->type, t->ndim, t->shape, t->storage->device);
    dl_capture *step = dl_capture_pause(); /* the memory changes hands: a replay must not do it again */
    if (status == DL_OK) status = dl_copy_into(&plain, &from);
    dl_capture_resume(step);
    if (status == DL_OK) {
        dl_storage_exchange(t->storage, plain.storage);
        t->storage->channels_last = 0;
    }
    dl_tensor_clear(&plain);
    dl_tensor_clear(&from);
    return status == DL_OK ? dl_tensor_refresh(t) : status;
}

dl_status dl_tensor_plain(dl_tensor *t) {
    DL_TRY(dl_tensor_refresh(t));
    return dl_layout_plain(t);
}

int dl_layout_dense(const dl_tensor *t) { return is_channels_last(t) || dl_tensor_contiguous(t); }
