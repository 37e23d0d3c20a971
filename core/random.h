/* random.h - Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). */
#ifndef DL_CORE_RANDOM_H
#define DL_CORE_RANDOM_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

/* Takes this thread's next call number: key = seed. A kernel's draw for element i of call c is word i % 4 of
 * philox(counter = {i / 4 low, i / 4 high, c low, c high}, key). */
void dl_random_take(uint64_t *key, uint64_t *call);

/* The same for a frame whose call is about to run. A pointwise op reads key and call number as its first two attributes, in
 * memory that is the caller's to write. */
void dl_random_bind(dl_frame *);
#endif
