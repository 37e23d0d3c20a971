/* fallback.h - running on the CPU what a backend lacks (--fallback=cpu): never silently, always counted. */
#ifndef DL_CORE_FALLBACK_H
#define DL_CORE_FALLBACK_H
#include "core/op.h"

int32_t dl_fallback_allowed(const dl_device *); /* switched on, and the device is not the CPU itself */
/* Between suspend and resume this thread's calls do not fall back: an op that is being composed does so as a whole. Returns
 * what resume wants. */
int32_t dl_fallback_suspend(void);
void dl_fallback_resume(int32_t before);
/* Copies the inputs to the CPU, calls the op there, copies the outputs back. */
dl_status dl_fallback_run(const dl_op *, const dl_frame *);
void dl_fallback_counts(uint64_t *calls, uint64_t *bytes);
#endif
