/* autocast.h - computing products in a half type while everything else stays float32 (Micikevicius et al., "Mixed precision
 * training", ICLR 2018). The door asks here before a call; autocast.def says which ops change what. */
#ifndef DL_CORE_AUTOCAST_H
#define DL_CORE_AUTOCAST_H
#include "core/op.h"

typedef enum dl_autocast_policy { DL_AUTOCAST_NONE, DL_AUTOCAST_LOW, DL_AUTOCAST_FULL } dl_autocast_policy;

int32_t dl_autocast_policy_of(const char *op); /* by autocast.def; asked once for each op */

/* Would some input be converted now? Cheap: it is asked in every call. */
int dl_autocast_applies(const dl_op *, const dl_tensor *const *in, int32_t n_in);

/* The inputs with those replaced that are converted, by a recorded copy, into temporaries of `made`. The caller clears those of
 * which storage is set. */
dl_status dl_autocast_inputs(const dl_op *, const dl_tensor *const *in, int32_t n_in, const dl_tensor **converted,
                             dl_tensor *made);
#endif
