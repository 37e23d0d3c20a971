/* gemm.h - the sizes and strides of a batch of products; for gemm.c and gemm.cl. */
#ifndef SIMT_GEMM_H
#define SIMT_GEMM_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

typedef struct gemm_shape {
    i64 batch, rows, inner, columns;
    i64 a_batch, a_row, a_inner;
    i64 b_batch, b_inner, b_column;
    i64 c_batch, c_row, c_column;
    i64 y_batch, y_row, y_column;
    i64 splits, split; /* the inner dimension is cut into so many parts of `split` places, whose sums lie y_split apart */
    i64 y_split;
} gemm_shape;

#endif
