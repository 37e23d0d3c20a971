/* tensor.h - what the core's own files need of tensors beyond dlrun.h. */
#ifndef DL_CORE_TENSOR_H
#define DL_CORE_TENSOR_H
#include "storage.h"

/* Elements of a shape (1 for ndim 0); DL_INVALID for a bad ndim, a negative size or a count whose bytes overflow. */
dl_status dl_shape_count(dl_dtype type, int32_t ndim, const int64_t *shape, int64_t *count);

/* Row-major strides; sizes of 0 count as 1. */
static inline void dl_shape_strides(int32_t ndim, const int64_t *shape, int64_t *strides) {
    int64_t stride = 1;
    for (int32_t d = ndim - 1; d >= 0; d--) {
        strides[d] = stride;
        stride *= shape[d] > 1 ? shape[d] : 1;
    }
}

/* "(2, 3)" for messages; cut off where text ends. Returns text. */
enum { DL_SHAPE_TEXT = 128 };
const char *dl_shape_text(char text[DL_SHAPE_TEXT], int32_t ndim, const int64_t *shape);

/* Bytes from element 0 to the end of the last one, 0 if there is none; DL_INVALID for negative strides or an overflow. */
dl_status dl_extent_bytes(int32_t ndim, const int64_t *shape, const int64_t *strides, int32_t element_bytes, uint64_t *bytes);

/* A storage that was resized may have moved, and one that lay channels-last may have been laid plain; its descriptors learn of
 * it here. DL_INVALID where it became too small. */
dl_status dl_tensor_refresh_slow(dl_tensor *t);
static inline dl_status dl_tensor_refresh(const dl_tensor *t) {
    const int same = !t->storage || (t->data == t->storage->data && !(t->flags & DL_TENSOR_CHANNELS_LAST));
    return same ? DL_OK : dl_tensor_refresh_slow((dl_tensor *)t);
}

/* Copies src's elements to dst: contiguous tensors of one dtype and count on any two devices. */
dl_status dl_tensor_move(dl_tensor *dst, const dl_tensor *src);
#endif
