/* plan.c - the plan cache and the running of plans.
 *
 * Two keys: by types and ranks for kernels that share their plans so (DL_PLAN_PER_TYPE), by everything otherwise. Keys are
 * bytes; a hash finds them and a comparison decides. A device's cache is emptied when it holds LIMIT plans: shapes that change
 * on every call must not grow it without bound. */
#include "core/plan.h"
#include "core/alloc.h"
#include "core/mem.h"
#include "core/status.h"
#include "core/storage.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BUCKETS = 1024, LIMIT = 4096, KEY_BYTES = 4096 };

typedef struct entry {
    struct entry *next;
    dl_cached_plan *plan;
    uint64_t hash;
    uint32_t bytes;
    unsigned char key[];
} entry;

struct dl_plan_cache {
    pthread_mutex_t lock;
    int32_t count;
    entry *buckets[BUCKETS];
};

static _Atomic uint64_t made, reused;

void dl_plan_counts(uint64_t *made_out, uint64_t *reused_out) {
    *made_out = made;
    *reused_out = reused;
}

void dl_plan_release(dl_cached_plan *p) {
    if (!p || atomic_fetch_sub(&p->references, 1) != 1) return;
    dl_storage_forget_plan(p);
    if (p->plan.destroy) p->plan.destroy(p->plan.state);
    dl_mem(p, 0);
}

static void empty_cache(struct dl_plan_cache *cache) {
    for (int32_t b = 0; b < BUCKETS; b++)
        for (entry *e = cache->buckets[b]; e;) {
            entry *next = e->next;
            dl_plan_release(e->plan);
            dl_mem(e, 0);
            e = next;
        }
    memset(cache->buckets, 0, sizeof cache->buckets);
    cache->count = 0;
}

void dl_plan_cache_free(struct dl_plan_cache *cache) {
    if (!cache) return;
    empty_cache(cache);
    pthread_mutex_destroy(&cache->lock);
    dl_mem(cache, 0);
}

/* ---- keys --------------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t bytes;
    int overflow; /* too long to cache: very long lists of tensors */
    unsigned char data[KEY_BYTES];
} key_text;

static void put(key_text *k, const void *p, size_t n) {
    if (n > KEY_BYTES - k->bytes) {
        k->overflow = 1;
        return;
    }
    if (n) memcpy(k->data + k->bytes, p, n); /* an empty list is NULL */
    k->bytes += (uint32_t)n;
}

static void put_i64(key_text *k, int64_t v) { put(k, &v, sizeof v); }

/* Types, ranks, presence and programs: the part every key has. Padded to whole words. */
static void put_types(key_text *k, const dl_op *op, const dl_frame *f) {
    put_i64(k, op->id);
    put_i64(k, (int64_t)f->n_in << 32 | f->n_out);
    uint64_t types = 0;
    uint32_t n = 0;
    for (uint32_t j = 0; j < f->n_in + f->n_out; j++) {
        const dl_tensor *t = j < f->n_in ? f->in[j] : f->out[j - f->n_in];
        types = types << 8 | (t ? (uint64_t)t->ndim << 4 | ((uint64_t)t->type + 1) : 0);
        if (++n % 8 == 0) put(k, &types, sizeof types);
    }
    put(k, &types, sizeof types);
    if (f->prog) put(k, &f->prog->hash, sizeof f->prog->hash);
    if (f->epilogue) put(k, &f->epilogue->hash, sizeof f->epilogue->hash);
}

static void put_tensor(key_text *k, const dl_tensor *t) {
    if (!t || !t->storage) return; /* absent, or to be made by a DL_OP_SYNC op */
    put_i64(k, t->ndim);
    put(k, t->shape, (size_t)t->ndim * sizeof *t->shape);
    put(k, t->strides, (size_t)t->ndim * sizeof *t->strides);
    uint64_t base = dl_on_host(t->storage->device) ? (uint64_t)(uintptr_t)t->data : 0; /* elsewhere it is a handle */
    put_i64(k, (int64_t)((base + t->byte_offset) & 63)); /* alignment is a fact a kernel may have looked at */
}

static void put_attr(key_text *k, const dl_attr *a) {
    put_i64(k, (int64_t)a->kind << 32 | (uint32_t)a->n);
    if (a->kind == DL_ATTR_INTS && a->n)
        put(k, a->v.iv, (size_t)a->n * sizeof *a->v.iv);
    else if (a->kind == DL_ATTR_STRING)
        put(k, a->v.s, strlen(a->v.s) + 1);
    else
        put(k, &a->v, sizeof a->v);
}

static void put_shapes(key_text *k, const dl_frame *f) {
    for (uint32_t j = 0; j < f->n_in; j++) put_tensor(k, f->in[j]);
    for (uint32_t j = 0; j < f->n_out; j++) put_tensor(k, f->out[j]);
    for (uint32_t j = 0; j < f->n_attr; j++) put_attr(k, &f->attr[j]);
    for (uint32_t j = 0; f->prog && f->prog_attr != f->attr && j < f->prog->n_attr; j++) put_attr(k, &f->prog_attr[j]);
    for (uint32_t j = 0; f->epilogue && j < f->epilogue->n_attr; j++) put_attr(k, &f->epilogue_attr[j]);
    while (k->bytes % 8 && !k->overflow) put(k, "", 1);
}

/* Multiply-and-fold over 8-byte words (the mixing step of wyhash's family). */
static uint64_t hash_key(const key_text *k) {
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (uint32_t at = 0; at + 8 <= k->bytes; at += 8) {
        uint64_t w;
        memcpy(&w, k->data + at, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

static dl_cached_plan *lookup(struct dl_plan_cache *cache, const key_text *key, uint64_t hash) {
    if (key->overflow) return NULL;
    for (entry *e = cache->buckets[hash % BUCKETS]; e; e = e->next)
        if (e->hash == hash && e->bytes == key->bytes && memcmp(e->key, key->data, key->bytes) == 0) {
            atomic_fetch_add(&e->plan->references, 1);
            return e->plan;
        }
    return NULL;
}

/* Keeps a plan under a key. Failing to (no memory) is no error: the plan is just made again next time. */
static void keep(struct dl_plan_cache *cache, const key_text *key, uint64_t hash, dl_cached_plan *plan) {
    if (key->overflow) return;
    if (cache->count == LIMIT) empty_cache(cache);
    entry *e = dl_mem(NULL, sizeof *e + key->bytes);
    if (!e) return;
    *e = (entry){cache->buckets[hash % BUCKETS], plan, hash, key->bytes};
    memcpy(e->key, key->data, key->bytes);
    cache->buckets[hash % BUCKETS] = e;
    cache->count++;
    atomic_fetch_add(&plan->references, 1);
}

/* ---- finding ------------------------------------------------------------------------------------------------------------ */

/* The device's cache, made on first use under this lock. */
static dl_status cache_of(dl_device *device, struct dl_plan_cache **out) {
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    dl_device_core *core = dl_core_of(device);
    *out = __atomic_load_n(&core->plans, __ATOMIC_ACQUIRE);
    if (*out) return DL_OK;
    pthread_mutex_lock(&making);
    if (!core->plans) {
        struct dl_plan_cache *cache = dl_mem_zero(sizeof *cache);
        if (cache) pthread_mutex_init(&cache->lock, NULL);
        __atomic_store_n(&core->plans, cache, __ATOMIC_RELEASE);
    }
    *out = core->plans;
    pthread_mutex_unlock(&making);
    return *out ? DL_OK : dl_failf(DL_NOMEM, "out of memory making the plan cache");
}

/* What run will rely on. */
static dl_status check_plan(const dl_frame *f, const dl_plan *plan) {
    const int32_t k = plan->derived_from;
    if (!plan->derived_bytes || (k >= 0 && (uint32_t)k < f->n_in && f->in[k])) return DL_OK;
    return dl_failf(DL_INTERNAL, "its kernel keeps data derived from input %d, which is not there", k);
}

/* Asks kernels in order. *shared: the plan holds for every shape (only the first kernel's does: a later one may have been
 * reached because an earlier one refused these shapes). */
static dl_status make_plan(const dl_op *op, const dl_frame *f, dl_cached_plan **out, int *shared) {
    const dl_kernel *const *kernels = op->kernels[dl_core_of(f->device)->backend->number];
    *out = NULL;
    for (int32_t k = 0; kernels[k]; k++) {
        if (f->epilogue && !(DL_HAS(kernels[k], flags) && kernels[k]->flags & DL_KERNEL_EPILOGUE)) continue;
        dl_cached_plan *p = dl_mem_zero(sizeof *p);
        if (!p) return dl_failf(DL_NOMEM, "out of memory making a plan for %s", op->name);
        p->plan.size = sizeof p->plan;
        p->kernel = kernels[k];
        p->references = 1;
        if (!kernels[k]->prepare) p->plan.sharing = DL_PLAN_PER_TYPE;
        dl_frame with_user = *f;
        with_user.user = kernels[k]->user;
        const uint32_t before = dl_failures();
        dl_status status = kernels[k]->prepare ? kernels[k]->prepare(&with_user, &p->plan) : DL_OK;
        if (status != DL_OK && status != DL_UNSUPPORTED)
            status = dl_fail_named(dl_explained(status, before, "its kernel's prepare"), op->name);
        if (status == DL_OK && (status = check_plan(f, &p->plan)) != DL_OK) {
            dl_plan_release(p);
            return dl_fail_named(status, op->name);
        }
        if (status == DL_OK) {
            *shared = p->plan.sharing == DL_PLAN_PER_TYPE && k == 0;
            *out = p;
            atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
            return DL_OK;
        }
        dl_mem(p, 0);
        if (status != DL_UNSUPPORTED) return status;
    }
    return DL_OK;
}

dl_status dl_plan_find(const dl_op *op, const dl_frame *f, dl_cached_plan **out) {
    struct dl_plan_cache *cache;
    *out = NULL;
    if (!op->kernels[dl_core_of(f->device)->backend->number][0]) return DL_OK;
    DL_TRY(cache_of(f->device, &cache));
    key_text key;
    key.bytes = 0;
    key.overflow = 0;
    put_types(&key, op, f);
    const int too_long = key.overflow; /* already: no key would find the plan again */
    uint32_t types_bytes = key.bytes;
    uint64_t types_hash = hash_key(&key);
    pthread_mutex_lock(&cache->lock);
    *out = lookup(cache, &key, types_hash);
    if (!*out) {
        put_shapes(&key, f);
        uint64_t full_hash = hash_key(&key);
        *out = lookup(cache, &key, full_hash);
        if (!*out) {
            pthread_mutex_unlock(&cache->lock); /* prepare may take long, and may call back into the core */
            int shared = 0;
            DL_TRY(make_plan(op, f, out, &shared));
            if (!*out) return DL_OK;
            pthread_mutex_lock(&cache->lock);
            if (shared && !too_long) key.bytes = types_bytes, key.overflow = 0;
            keep(cache, &key, shared ? types_hash : full_hash, *out);
            pthread_mutex_unlock(&cache->lock);
            return DL_OK;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    atomic_fetch_add_explicit(&reused, 1, memory_order_relaxed);
    return DL_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------------------ */

/* The derived buffer of the plan's chosen input. */
static dl_status attach_derived(dl_frame *f, const dl_cached_plan *p, dl_derived **derived) {
    if (!p->plan.derived_bytes) return DL_OK;
    const dl_tensor *t = f->in[p->plan.derived_from];
    DL_TRY(dl_storage_derive(t->storage, p, t->byte_offset, p->plan.derived_bytes, derived, &f->derived_valid));
    f->derived = (*derived)->data;
    return DL_OK;
}

/* prepare made a plan, and run will not: composing the op now would hide a kernel that does not know its own limits. */
static dl_status broken_promise(void) {
    char why[512];
    snprintf(why, sizeof why, "%s", dl_last_error());
    return dl_failf(DL_INTERNAL, "its kernel made a plan and then refused to run it (%s): prepare must refuse", why);
}

dl_status dl_plan_run(const dl_op *op, dl_frame *f, dl_cached_plan *p) {
    dl_derived *derived = NULL;
    uint64_t block = 0;
    f->user = p->kernel->user;
    f->scratch = f->derived = NULL;
    f->derived_valid = 0;
    DL_TRY(attach_derived(f, p, &derived));
    if (p->plan.scratch_bytes) DL_TRY(dl_alloc(f->device, p->plan.scratch_bytes, &f->scratch, &block));
    const uint32_t before = dl_failures();
    dl_status status = dl_explained(p->kernel->run(f, &p->plan), before, "its kernel");
    if (f->scratch) dl_free(f->device, f->scratch, block);
    if (status == DL_UNSUPPORTED) status = broken_promise();
    if (status != DL_OK) return dl_fail_named(status, op->name);
    if (derived && !f->derived_valid) dl_derived_filled(f->in[p->plan.derived_from]->storage, derived);
    for (uint32_t k = 0; k < f->n_out; k++)
        if (f->out[k]->storage) dl_storage_touch(f->out[k]->storage);
    return DL_OK;
}
