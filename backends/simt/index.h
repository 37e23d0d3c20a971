/* index.h - what is put along one line by index, for index.c and index.cl. */
#ifndef SIMT_INDEX_H
#define SIMT_INDEX_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

/* Where a line's elements go: `length` indices; out's `limit` places, which `blocks` work items share evenly. */
typedef struct put_shape {
    i64 length, limit, blocks, out_step, index_step, src_step;
} put_shape;

#endif
