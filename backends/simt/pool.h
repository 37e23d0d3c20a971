/* pool.h - windows over the last dimensions, for pool.c and pool.cl. */
#ifndef SIMT_POOL_H
#define SIMT_POOL_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

#define POOL_LEAD 11 /* leading dimensions at most: DL_MAX_DIMS but for one */

/* x is the side before pooling, y the one after it, whichever is read; i: indices; u: draws. */
typedef struct pool_shape {
    i64 planes, lead, size[POOL_LEAD], x_lead[POOL_LEAD], y_lead[POOL_LEAD], i_lead[POOL_LEAD], u_lead[POOL_LEAD];
    i64 in[3], out[3], x_s[3], y_s[3], i_s[3], u_s;
    i64 kind, /* POOL_SLIDING ... */ window[3], stride[3], padding[3], dilation[3];
    i64 spatial, include_pad, divisor;
} pool_shape;

#define POOL_SLIDING 0
#define POOL_ADAPTIVE 1
#define POOL_FRACTIONAL 2

#endif
