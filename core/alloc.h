/* alloc.h - the caching allocator: one per device, over the backend's alloc and free. */
#ifndef DL_CORE_ALLOC_H
#define DL_CORE_ALLOC_H
#include "dlrun/dlrun.h"

/* All functions may be called from any thread; each device's allocator has its own lock. */
struct dl_allocator;
struct dl_allocator *dl_allocator_new(dl_device *); /* NULL when out of memory */
void dl_allocator_free(struct dl_allocator *);      /* gives every cached block back */

/* A block of at least `bytes` (> 0): cached if its size class has one (eighths of a power of two above 1 MiB, quarters below),
 * else from the backend; when that fails, after giving the cache back once. *block: its real size. The cache never holds more
 * than max(64 MiB, the peak of live bytes) when a block is asked of the backend. */
dl_status dl_alloc(dl_device *, uint64_t bytes, void **data, uint64_t *block);
void dl_free(dl_device *, void *data, uint64_t block);

/* Tells AddressSanitizer that `bytes` of a host block are in use and the rest is not, so that reading a freed or too short
 * tensor is reported although its block stays mapped. Nothing in other builds. */
void dl_alloc_mark(const dl_device *, void *data, uint64_t bytes, uint64_t block);
#endif
