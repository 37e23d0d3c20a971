/* pad.h - a tensor with and without pads, for pad.c and pad.cl. */
#ifndef SIMT_PAD_H
#define SIMT_PAD_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

#define PAD_DIMS 12 /* DL_MAX_DIMS */

/* Modes; pad.c has their names. */
#define PAD_CONSTANT 0
#define PAD_REFLECT 1
#define PAD_REPLICATE 2
#define PAD_CIRCULAR 3

/* size, stride: without pads; padded, padded_stride: with them; before: pads in front, cropped places where negative. */
typedef struct pad_shape {
    i64 ndim, mode;
    i64 size[PAD_DIMS], padded[PAD_DIMS], before[PAD_DIMS], stride[PAD_DIMS], padded_stride[PAD_DIMS];
} pad_shape;

#endif
