/* layout.h - channels-last activations: tensors (N, C, ...) whose memory holds C innermost, while their meaning stays.
 *
 * Only the door makes them, as new results of ops whose table row allows it (DL_OP_CHANNELS_LAST, DL_OP_KEEPS_LAYOUT; every
 * pointwise op keeps the layout), and only the storage's whole. Whatever would show the layout to a user or share part of the
 * memory (views, addresses, DLPack) first lays the storage plain, in place; the other descriptors of that storage, all of the
 * same shape, learn of it in dl_tensor_refresh. The values do not change, so the storage's version does not either. */
#ifndef DL_CORE_LAYOUT_H
#define DL_CORE_LAYOUT_H
#include "core/op.h"
#include "core/tensor.h"

/* Should this new output of the call lie channels-last? Never while a step is captured: a replay writes by the strides of then,
 * and must not meet a storage that was laid plain in between. */
int dl_layout_wanted(const dl_op *, const dl_frame *, const dl_tensor *out);

/* Gives a new tensor, alone on its storage, channels-last strides. Nothing happens where they would be the contiguous ones. */
void dl_layout_channels_last(dl_tensor *);

/* Lays t's storage plain if it is channels-last. DL_NOMEM, DL_INTERRUPTED: nothing has changed. */
dl_status dl_layout_plain(const dl_tensor *t);

void dl_layout_refresh(dl_tensor *);     /* strides after another descriptor's storage was laid plain */
int dl_layout_dense(const dl_tensor *t); /* contiguous, or channels-last: every element once, no gaps */
#endif
