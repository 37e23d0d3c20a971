/* resample.h - how a tensor's last dimensions are resampled, for resample.c and resample.cl. */
#ifndef SIMT_RESAMPLE_H
#define SIMT_RESAMPLE_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

/* Modes; resample.c has their names. */
#define RESAMPLE_NEAREST 0
#define RESAMPLE_NEAREST_EXACT 1
#define RESAMPLE_LINEAR 2
#define RESAMPLE_CUBIC 3

/* x is the side before upsample, y the one after it, whichever is read. */
typedef struct resample_shape {
    i64 samples, channels, from[3], to[3];
    i64 x_n, x_c, x_s[3], y_n, y_c, y_s[3];
    i64 mode, align_corners;
} resample_shape;

#endif
