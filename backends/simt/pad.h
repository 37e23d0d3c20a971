/* pad.h - a tensor with and without pads, for pad.c and pad.cl. */
#ifndef SIMT_PAD_H
#define SIMT_PAD_H

#ifdef KERNEL
#define SIMT_I64 i64
#else
#include "backends/simt/simt.h"
#define SIMT_I64 int64_t
#endif

#define PAD_DIMS 12 /* DL_MAX_DIMS */
#define PAD_CONSTANT 0
#define PAD_REFLECT 1
#define PAD_REPLICATE 2
#define PAD_CIRCULAR 3

/* size, stride: without pads; padded, padded_stride: with them; before: pads in front, cropped places where negative. */
typedef struct pad_shape {
    SIMT_I64 ndim, mode;
    SIMT_I64 size[PAD_DIMS], padded[PAD_DIMS], before[PAD_DIMS], stride[PAD_DIMS], padded_stride[PAD_DIMS];
} pad_shape;

#endif
