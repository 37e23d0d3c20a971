/* alloc.h - the caching allocator: one per device, over the backend's alloc and free. */
#ifndef DL_CORE_ALLOC_H
#define DL_CORE_ALLOC_H
#include "dlrun/dlrun.h"

struct dl_allocator;
struct dl_allocator *dl_allocator_new(dl_device *); /* NULL when out of memory */
void dl_allocator_free(struct dl_allocator *);      /* gives every cached block back */

/* A block of at least `bytes` (> 0): cached if one fits (waste at most 1/8 above 1 MiB, powers of two in quarters below),
 * else from the backend; when that fails, after giving the cache back once. *block: its real size. */
dl_status dl_alloc(dl_device *, uint64_t bytes, void **data, uint64_t *block);
void dl_free(dl_device *, void *data, uint64_t block);
#endif
