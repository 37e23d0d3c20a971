/* resample.h - how a tensor's last dimensions are resampled, for resample.c and resample.cl. */
#ifndef SIMT_RESAMPLE_H
#define SIMT_RESAMPLE_H

#ifdef KERNEL
#define SIMT_I64 i64
#else
#include "backends/simt/simt.h"
#define SIMT_I64 int64_t
#endif

#define RESAMPLE_NEAREST 0
#define RESAMPLE_NEAREST_EXACT 1
#define RESAMPLE_LINEAR 2
#define RESAMPLE_CUBIC 3

/* x is the side before upsample, y the one after it, whichever is read. */
typedef struct resample_shape {
    SIMT_I64 samples, channels, from[3], to[3];
    SIMT_I64 x_n, x_c, x_s[3], y_n, y_c, y_s[3];
    SIMT_I64 mode, align_corners;
} resample_shape;

#endif
