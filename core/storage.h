/* storage.h - reference-counted device memory, its version counter and the buffers derived from it. */
#ifndef DL_CORE_STORAGE_H
#define DL_CORE_STORAGE_H
#include "dlrun/dlrun.h"
#include <stdatomic.h>

typedef struct dl_derived {                   /* packed weights and the like, kept with the storage they were made from */
    struct dl_derived *next;                  /* of the same storage */
    struct dl_derived *all_next, **all_place; /* of all storages: how a plan's are found */
    dl_storage *storage;
    const void *filler;   /* the thread that fills it, or NULL: then every thread may read it */
    const void *plan;     /* which plan's buffer this is */
    uint64_t byte_offset; /* of the tensor within the storage */
    int64_t version;      /* the storage's version it was made from; -1: not filled */
    void *data;
    uint64_t bytes, block; /* as asked for; as the allocator counts it */
} dl_derived;

struct dl_storage {
    _Atomic int32_t references;
    _Atomic int32_t exposed; /* :data() was handed out: counts as written before every use */
    _Atomic int64_t version;
    _Atomic int32_t saved;     /* how many tape nodes keep it for backward under a version check */
    _Atomic int64_t rewritten; /* recorded in-place writes: what was recorded of it before has lost its history */
    dl_device *device;
    void *data;                    /* the backend's handle; NULL when bytes is 0 */
    _Atomic int32_t channels_last; /* its tensors are activations laid so; all of them have one shape */
    uint64_t bytes;                /* as asked for; the block may be larger */
    uint64_t block;                /* bytes of the allocator's block; 0 for wrapped memory */
    void (*release)(void *user);   /* wrapped memory */
    void *user;
    dl_derived *derived; /* guarded by core/storage.c's lock */
};

static inline void dl_storage_touch(dl_storage *s) { atomic_fetch_add_explicit(&s->version, 1, memory_order_relaxed); }

/* Wraps memory of any device; dl_storage_wrap is this on the host. release may be NULL. On failure the caller keeps the memory.
 */
dl_status dl_storage_adopt(dl_device *, void *data, uint64_t bytes, void (*release)(void *user), void *user, dl_storage **out);

/* Exchanges the memory of two storages of equal size, both of the allocator; contents' versions stay. */
void dl_storage_exchange(dl_storage *, dl_storage *);

/* The derived buffer of `bytes` for (plan, byte_offset), made if there is none. *valid: 1 if it was filled from the storage's
 * present version (never for exposed storages). Where it is 0 the caller fills it and calls dl_derived_filled; until then, and
 * always for exposed storages, the buffer is this thread's own, so threads that share weights never fill the same one. Freed
 * with the storage or the plan. */
dl_status dl_storage_derive(dl_storage *, const void *plan, uint64_t byte_offset, uint64_t bytes, dl_derived **out,
                            int32_t *valid);
void dl_derived_filled(dl_storage *, dl_derived *);
void dl_storage_forget_plan(const void *plan); /* plans call this when they are destroyed: frees their buffers */
#endif
