/* train_step.h - a whole training step of a small network, for tests of capture and of failing allocations. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H
#include "engine_support.h"

enum { TRAIN_PARAMS = 4 }; /* two linear layers' weights and biases */

typedef struct train_net {
    dl_tensor x, y, step, loss, p[TRAIN_PARAMS], grad[TRAIN_PARAMS], m[TRAIN_PARAMS], v[TRAIN_PARAMS];
} train_net;

void train_make(train_net *); /* always the same values */
void train_free(train_net *);
/* Gradients to zero; linear, relu, dropout, linear, cross entropy; backward into the bound gradients; Adam. loss is written. */
dl_status train_run(train_net *);
void train_same(const train_net *, const train_net *); /* bit for bit */
#endif
