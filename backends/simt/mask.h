/* mask.h - the sizes of a tensor, for nonzero in mask.c and mask.cl. */
#ifndef SIMT_MASK_H
#define SIMT_MASK_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

#define MASK_DIMS 12 /* DL_MAX_DIMS */

typedef struct mask_shape {
    i64 ndim, size[MASK_DIMS];
} mask_shape;

#endif
