/* follow.h - targets and indices may lie on another device than what they belong to: they follow it (a script's labels on the
 * CPU, its model on a GPU). Every other tensor of a call must be where it is needed. */
#ifndef DL_CORE_FOLLOW_H
#define DL_CORE_FOLLOW_H
#include "core/op.h"

/* The tensors of a signature that follow, one bit each: index, target, mask. 0 for ops of lists. */
uint32_t dl_follow_bits(const dl_op *);

/* Does one of the inputs lie elsewhere than the first that does not follow? */
int dl_follow_applies(const dl_op *, const dl_tensor *const *in, int32_t n_in);

/* converted[k]: in[k], or its copy made[k] on that device, recorded if in[k] is. made must come empty; the caller clears it. */
dl_status dl_follow_inputs(const dl_op *, const dl_tensor *const *in, int32_t n_in, const dl_tensor **converted,
                           dl_tensor *made);

void dl_follow_counts(uint64_t *calls, uint64_t *bytes); /* tensors moved so far, and their size */
#endif
