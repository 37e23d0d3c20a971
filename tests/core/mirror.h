/* mirror.h - the same call on the CPU and on another device, whose results must agree. Tensors are those of cells.h, copied
 * byte for byte, so that layouts, offsets and gaps are the same on both sides. */
#ifndef MIRROR_H
#define MIRROR_H
#include "tests/core/cells.h"
#include <stdio.h>

/* The device named by DLRUN_TEST_DEVICE, else "opencl"; NULL where there is none. */
dl_device *mirror_device(void);
/* To begin a test with: skips it where there is no device. */
#define MIRROR_OR_SKIP()                                                                                                       \
    do {                                                                                                                       \
        if (!mirror_device()) skip();                                                                                          \
    } while (0)
int mirror_start(void **state); /* a cmocka group setup: dl_init */

/* Calls `op` on the CPU into out, then on the device with copies of in and out, and compares: every element within
 * units * (half a unit in the last place of the dtype) * (1 + |expected|), bytes beside the elements untouched. Inputs are
 * compared too, since some ops write them. Both calls have the same random numbers. in[k] may be NULL. units 0: the same
 * values. */
void mirror_call(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out, const dl_attr *attr,
                 int32_t n_attr, double units);
#endif
