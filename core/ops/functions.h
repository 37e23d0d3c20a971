/* functions.h - declares every infer_, compose_ and grad_ function that a row of ops.def names. */
#ifndef DL_CORE_OPS_FUNCTIONS_H
#define DL_CORE_OPS_FUNCTIONS_H
#include "dlrun/plugin.h"

/* Rows that share a function declare it again, which C allows. The `none` ones are declared and never defined. */
#define DL_OPDEF(family, name, sig, flags, infer, compose, grad, saves, doc)                                                   \
    dl_status infer_##infer(dl_frame *);                                                                                       \
    dl_status compose_##compose(dl_graph *, const dl_frame *);                                                                 \
    dl_status grad_##grad(dl_graph *, const dl_frame *);
#include "core/ops.def"
#undef DL_OPDEF

#endif
