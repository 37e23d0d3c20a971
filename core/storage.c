/* storage.c - reference-counted device memory and the buffers derived from it. */
#include "storage.h"
#include "alloc.h"
#include "device.h"
#include "mem.h"
#include "status.h"

#include <pthread.h>

/* Guards every storage's list of derived buffers, and the list of all of them by which a plan's are found. */
static pthread_mutex_t derived_lock = PTHREAD_MUTEX_INITIALIZER;
static dl_derived *all_derived;

/* ---- life ------------------------------------------------------------------------------------------------------------- */

static dl_storage *storage_head(dl_device *device, uint64_t bytes) {
    dl_storage *s = dl_mem(NULL, sizeof *s);
    if (!s) return NULL;
    *s = (dl_storage){.references = 1, .device = device, .bytes = bytes};
    return s;
}

dl_status dl_storage_new(dl_device *device, uint64_t bytes, dl_storage **out) {
    if (!device && !(device = dl_default_device())) return DL_INVALID;
    dl_storage *s = storage_head(device, bytes);
    if (!s) return dl_failf(DL_NOMEM, "out of memory: no room for a storage's head");
    if (bytes) {
        dl_status status = dl_alloc(device, bytes, &s->data, &s->block);
        if (status != DL_OK) {
            dl_mem(s, 0);
            return status;
        }
    }
    *out = s;
    return DL_OK;
}

dl_status dl_storage_adopt(dl_device *device, void *data, uint64_t bytes, void (*release)(void *user), void *user,
                           dl_storage **out) {
    if (!data && bytes) return dl_failf(DL_INVALID, "cannot wrap %llu bytes at a null address", (unsigned long long)bytes);
    dl_storage *s = storage_head(device, bytes);
    if (!s) return dl_failf(DL_NOMEM, "out of memory: no room for a storage's head");
    s->data = data;
    s->release = release;
    s->user = user;
    s->exposed = 1; /* whoever made the memory can write it at any time */
    *out = s;
    return DL_OK;
}

dl_status dl_storage_wrap(void *data, uint64_t bytes, void (*release)(void *user), void *user, dl_storage **out) {
    dl_device *host;
    DL_TRY(dl_device_open(DL_DEFAULT_DEVICE_NAME, &host));
    return dl_storage_adopt(host, data, bytes, release, user, out);
}

void dl_storage_retain(dl_storage *s) {
    if (s) atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
}

static void free_derived(dl_derived *d) {
    dl_free(d->storage->device, d->data, d->block);
    dl_mem(d, 0);
}

/* Takes d out of the list of all; the lock is held. */
static void unlink_from_all(dl_derived *d) {
    *d->all_place = d->all_next;
    if (d->all_next) d->all_next->all_place = d->all_place;
}

static void free_all_derived(dl_storage *s) {
    pthread_mutex_lock(&derived_lock);
    while (s->derived) {
        dl_derived *d = s->derived;
        s->derived = d->next;
        unlink_from_all(d);
        free_derived(d);
    }
    pthread_mutex_unlock(&derived_lock);
}

static void free_data(dl_storage *s) {
    if (s->block)
        dl_free(s->device, s->data, s->block);
    else if (s->release)
        s->release(s->user);
}

void dl_storage_release(dl_storage *s) {
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1) return;
    if (s->derived) free_all_derived(s);
    free_data(s);
    dl_mem(s, 0);
}

/* ---- facts and contents ----------------------------------------------------------------------------------------------- */

uint64_t dl_storage_bytes(const dl_storage *s) { return s->bytes; }

int64_t dl_storage_version(const dl_storage *s) { return atomic_load_explicit(&s->version, memory_order_relaxed); }

int32_t dl_storage_references(const dl_storage *s) { return atomic_load_explicit(&s->references, memory_order_relaxed); }

void *dl_storage_data(dl_storage *s) {
    if (!dl_on_host(s->device)) return NULL;
    atomic_store_explicit(&s->exposed, 1, memory_order_relaxed);
    return s->data;
}

/* A larger block with the old contents in front. Descriptors keep the old address until dl_tensor_refresh. */
static dl_status move_to_larger(dl_storage *s, uint64_t bytes) {
    void *data;
    uint64_t block;
    DL_TRY(dl_alloc(s->device, bytes, &data, &block));
    if (s->bytes) {
        const dl_backend *api = &dl_core_of(s->device)->backend->api;
        dl_status status = api->copy(s->device, s->device->stream, data, 0, 0, s->data, 0, 0, s->bytes);
        if (status != DL_OK) {
            dl_free(s->device, data, block);
            return status;
        }
    }
    if (s->block) dl_free(s->device, s->data, s->block);
    s->data = data;
    s->block = block;
    return DL_OK;
}

dl_status dl_storage_resize(dl_storage *s, uint64_t bytes) {
    if (bytes == s->bytes) return DL_OK;
    if (!s->block && (s->data || s->release))
        return dl_failf(DL_INVALID, "a storage over memory that is not dlrun's (%llu bytes) cannot be resized; copy it first",
                        (unsigned long long)s->bytes);
    if (bytes > s->block)
        DL_TRY(move_to_larger(s, bytes));
    else if (s->block)
        dl_alloc_mark(s->device, s->data, bytes, s->block);
    s->bytes = bytes;
    dl_storage_touch(s);
    return DL_OK;
}

void dl_storage_exchange(dl_storage *a, dl_storage *b) {
    void *data = a->data;
    const uint64_t block = a->block;
    a->data = b->data;
    a->block = b->block;
    b->data = data;
    b->block = block;
}

/* ---- derived buffers -------------------------------------------------------------------------------------------------- */

/* An address that is this thread's own. */
static const void *this_thread(void) {
    static _Thread_local char mark;
    return &mark;
}

static dl_derived *find_derived(const dl_storage *s, const void *plan, uint64_t byte_offset, uint64_t bytes) {
    for (dl_derived *d = s->derived; d; d = d->next)
        if (d->plan == plan && d->byte_offset == byte_offset && d->bytes == bytes && (!d->filler || d->filler == this_thread()))
            return d;
    return NULL;
}

static dl_status new_derived(dl_storage *s, const void *plan, uint64_t byte_offset, uint64_t bytes, dl_derived **out) {
    dl_derived *d = dl_mem(NULL, sizeof *d);
    if (!d) return dl_failf(DL_NOMEM, "out of memory: no room for a derived buffer's head");
    *d = (dl_derived){.storage = s, .plan = plan, .byte_offset = byte_offset, .version = -1, .bytes = bytes};
    dl_status status = dl_alloc(s->device, bytes, &d->data, &d->block);
    if (status != DL_OK) {
        dl_mem(d, 0);
        return status;
    }
    d->next = s->derived;
    s->derived = d;
    d->all_next = all_derived;
    d->all_place = &all_derived;
    if (all_derived) all_derived->all_place = &d->all_next;
    all_derived = d;
    *out = d;
    return DL_OK;
}

static int is_exposed(const dl_storage *s) { return atomic_load_explicit(&s->exposed, memory_order_relaxed); }

dl_status dl_storage_derive(dl_storage *s, const void *plan, uint64_t byte_offset, uint64_t bytes, dl_derived **out,
                            int32_t *valid) {
    dl_status status = DL_OK;
    pthread_mutex_lock(&derived_lock);
    dl_derived *d = find_derived(s, plan, byte_offset, bytes);
    if (!d) status = new_derived(s, plan, byte_offset, bytes, &d);
    if (status == DL_OK) {
        *out = d;
        *valid = !is_exposed(s) && d->version == dl_storage_version(s);
        if (!*valid) d->filler = this_thread();
    }
    pthread_mutex_unlock(&derived_lock);
    return status;
}

void dl_derived_filled(dl_storage *s, dl_derived *d) {
    pthread_mutex_lock(&derived_lock);
    d->version = dl_storage_version(s);
    if (!is_exposed(s)) d->filler = NULL;
    pthread_mutex_unlock(&derived_lock);
}

void dl_storage_forget_plan(const void *plan) {
    pthread_mutex_lock(&derived_lock);
    for (dl_derived *d = all_derived, *next; d; d = next) {
        next = d->all_next;
        if (d->plan != plan) continue;
        dl_derived **at = &d->storage->derived;
        while (*at != d) at = &(*at)->next;
        *at = d->next;
        unlink_from_all(d);
        free_derived(d);
    }
    pthread_mutex_unlock(&derived_lock);
}
