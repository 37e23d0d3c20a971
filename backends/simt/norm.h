/* norm.h - the options of a normalisation, for norm.c and norm.cl. */
#ifndef SIMT_NORM_H
#define SIMT_NORM_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

/* Options as whole numbers. Weights of row r start at (r % weight_rows) * step; 0: they do not depend on the row. */
typedef struct norm_options {
    i64 weighted, biased, rms, fixed;               /* fixed: running_mean and running_var are the statistics */
    i64 weight_rows, weight_step, bias_step;        /* per row */
    i64 moves_mean, moves_var, mean_step, var_step; /* of the running statistics */
} norm_options;

#endif
