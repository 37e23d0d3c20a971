/* plan.h - the plan cache: what kernels' prepare found out, kept per device by op, types and (where it matters) shapes. */
#ifndef DL_CORE_PLAN_H
#define DL_CORE_PLAN_H
#include "core/op.h"
#include <stdatomic.h>

typedef struct dl_cached_plan {
    dl_plan plan;
    const dl_kernel *kernel;
    _Atomic int32_t references; /* the cache's own and each capture's */
} dl_cached_plan;

/* The plan for this call: cached, or from the first kernel that takes it. *out stays NULL (with DL_OK) if none does. The
 * result is referenced for the caller: release it after the run. */
dl_status dl_plan_find(const dl_op *, const dl_frame *, dl_cached_plan **out);
void dl_plan_release(dl_cached_plan *);
void dl_plan_cache_free(struct dl_plan_cache *);

/* Runs a plan: scratch, derived buffers, the kernel itself; afterwards the outputs count as written. */
dl_status dl_plan_run(const dl_op *, dl_frame *, dl_cached_plan *);

void dl_plan_counts(uint64_t *made, uint64_t *reused);
#endif
