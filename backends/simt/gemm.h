/* gemm.h - the sizes and strides of a batch of products; for gemm.c and gemm.cl. */
#ifndef SIMT_GEMM_H
#define SIMT_GEMM_H

#ifdef KERNEL
#define SIMT_I64 i64
#else
#include "backends/simt/simt.h"
#define SIMT_I64 int64_t
#endif

typedef struct gemm_shape {
    SIMT_I64 batch, rows, inner, columns;
    SIMT_I64 a_batch, a_row, a_inner;
    SIMT_I64 b_batch, b_inner, b_column;
    SIMT_I64 c_batch, c_row, c_column;
    SIMT_I64 y_batch, y_row, y_column;
    SIMT_I64 splits, split; /* the inner dimension is cut into so many parts of `split` places, whose sums lie y_split apart */
    SIMT_I64 y_split;
} gemm_shape;

#endif
