/* loss.h - a loss over classes, for loss.c and loss.cl. */
#ifndef SIMT_LOSS_H
#define SIMT_LOSS_H

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

/* Sizes, steps in elements (of the target, the weights, the scores, the gradient or result), and options. */
typedef struct loss_shape {
    i64 samples, classes, probabilities, ignore, weighted;
    i64 reduction; /* LOSS_EACH, LOSS_MEAN, or else the sum */
    i64 scores_step, scores_class, target_step, target_class, weight_step, out_step, out_class, grad_step;
} loss_shape;

#define LOSS_EACH 0
#define LOSS_MEAN 1

#endif
