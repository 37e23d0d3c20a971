/* backward.h - backward runs as segment.c starts them: on variables instead of tensors. */
#ifndef DL_CORE_BACKWARD_H
#define DL_CORE_BACKWARD_H
#include "core/autograd.h"

/* As dl_backward_begin; roots and targets may hold NULL (no influence: an empty gradient). accumulate: into the leaves. */
dl_status dl_backward_on(dl_var *const *roots, const dl_tensor *const *gradients, int32_t n_roots, dl_var *const *targets,
                         int32_t n_targets, int32_t accumulate, int32_t flags, dl_backward_run **run);
#endif
