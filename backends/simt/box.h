/* box.h - a tensor's last 1 to 3 dimensions, brought to three by ones in front: what convolutions, pooling and resampling
 * share. As loop.h, one text for both sides. */
#ifndef SIMT_BOX_H
#define SIMT_BOX_H

#ifdef KERNEL /* ---- in kernels */

#define VOLUME(sizes) ((sizes)[0] * (sizes)[1] * (sizes)[2])

/* Number i of a box of these sizes, the last running fastest. The volume is below 2^31: the host's box_fits. */
typedef struct place {
    int d0, d1, d2;
} place;
DEVICE place place_of(u32 i, i64 n1, i64 n2) {
    place p;
    const u32 rest = i / (u32)n2;
    p.d2 = (int)(i - rest * (u32)n2);
    p.d0 = (int)(rest / (u32)n1);
    p.d1 = (int)(rest - (u32)p.d0 * (u32)n1);
    return p;
}
#define PLACE_OF(i, sizes) place_of((u32)(i), (sizes)[1], (sizes)[2])
#define ELEMENT(p, strides) ((p).d0 * (strides)[0] + (p).d1 * (strides)[1] + (p).d2 * (strides)[2])

#else /* ---- on the host */
#include "backends/simt/simt.h"

enum { SPATIAL = 3 };

static inline int64_t box_volume(const int64_t *size) { return size[0] * size[1] * size[2]; }

/* Whether kernels, which count places with 32 bits, can count those of this box. */
static inline int box_fits(const int64_t *size) {
    int64_t volume;
    if (__builtin_mul_overflow(size[0], size[1], &volume) || __builtin_mul_overflow(volume, size[2], &volume)) return 0;
    return size[0] <= INT32_MAX && size[1] <= INT32_MAX && size[2] <= INT32_MAX && volume <= INT32_MAX;
}

/* Sizes and strides of the dimensions from `lead` on. size: NULL where they are not wanted. */
static inline void box_of(const dl_tensor *t, int32_t lead, int64_t *size, int64_t *stride) {
    const int32_t missing = SPATIAL - (t->ndim - lead);
    for (int32_t d = 0; d < SPATIAL; d++) {
        if (size) size[d] = d < missing ? 1 : t->shape[lead + d - missing];
        stride[d] = d < missing ? 0 : t->strides[lead + d - missing];
    }
}

/* Dimension d's value of an attribute that has one for each dimension, one for all, or none. */
static inline int64_t box_value(const dl_attr *a, int32_t d, int64_t otherwise) {
    return a->kind == DL_ATTR_INTS && a->n > 0 ? a->v.iv[a->n == 1 ? 0 : d] : otherwise;
}

#endif
#endif
