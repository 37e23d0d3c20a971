/* storage.h - reference-counted device memory, its version counter and the buffers derived from it. */
#ifndef DL_CORE_STORAGE_H
#define DL_CORE_STORAGE_H
#include "dlrun/dlrun.h"
#include <stdatomic.h>

typedef struct dl_derived { /* packed weights and the like, kept with the storage they were made from */
    struct dl_derived *next;
    const void *plan;     /* which plan's buffer this is */
    uint64_t byte_offset; /* of the tensor within the storage */
    int64_t version;      /* the storage's version it was made from; -1: not filled */
    void *data;
    uint64_t bytes;
} dl_derived;

struct dl_storage {
    _Atomic int32_t references;
    _Atomic int32_t exposed; /* :data() was handed out: counts as written before every use */
    _Atomic int64_t version;
    dl_device *device;
    void *data;     /* the backend's handle; NULL when bytes is 0 */
    uint64_t bytes; /* as asked for; the block may be larger */
    uint64_t block; /* bytes of the allocator's block; 0 for wrapped memory */
    void (*release)(void *user); /* wrapped memory */
    void *user;
    dl_derived *derived; /* guarded by core/storage.c's lock */
};

static inline void dl_storage_touch(dl_storage *s) { atomic_fetch_add_explicit(&s->version, 1, memory_order_relaxed); }

/* The derived buffer of `bytes` for (plan, byte_offset), made if there is none. *valid: 1 if it was filled from the storage's
 * present version (never for exposed storages). The caller fills it and calls dl_derived_filled. Freed with the storage. */
dl_status dl_storage_derive(dl_storage *, const void *plan, uint64_t byte_offset, uint64_t bytes, dl_derived **out, int32_t *valid);
void dl_derived_filled(dl_storage *, dl_derived *);
void dl_storage_forget_plan(const void *plan); /* plans call this when they are destroyed; lazily honoured */
#endif
