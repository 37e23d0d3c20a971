/* alloc.c - the caching allocator, memory statistics, and the bell that asks the front end's collector to run.
 *
 * Blocks come in size classes; a freed block goes on its class's stack and is handed out again from there, so in a steady
 * state no step reaches the backend. Handles may be opaque, so the stacks live beside the blocks, not in them. */
#include "alloc.h"
#include "device.h"
#include "mem.h"
#include "status.h"

#include <pthread.h>

#if DL_SANITIZER_BUILT == DL_SANITIZER_ADDRESS
#include <sanitizer/asan_interface.h>
#endif

enum {
    SMALLEST_SHIFT = 6, /* 64 bytes */
    LARGEST_SHIFT = 48, /* 256 TiB: more than any address space holds */
    FINE_SHIFT = 20,    /* from 1 MiB on: eighths */
    CLASSES = (LARGEST_SHIFT - SMALLEST_SHIFT) * 8 + 1,
};
static const uint64_t PRESSURE_FLOOR = 64 << 20; /* bytes allocated between two collections at least */
static const uint64_t CACHE_FLOOR = 64 << 20;

typedef struct block_stack {
    void **blocks;
    uint32_t n, capacity;
} block_stack;

struct dl_allocator {
    pthread_mutex_t lock;
    dl_device *device;
    dl_memory_stats stats;
    uint64_t since_collected, live_at_collection; /* for the bell */
    block_stack free_blocks[CLASSES];
};

static int32_t pressure; /* accessed with __atomic builtins: the front end reads it as a plain int */

/* ---- size classes ----------------------------------------------------------------------------------------------------- */

/* The class of `bytes` (1 ... 2^LARGEST_SHIFT) and its size: the next 2^k * (1 + j/4), or j/8 above 1 MiB. */
static uint32_t size_class(uint64_t bytes, uint64_t *size) {
    if (bytes <= 1u << SMALLEST_SHIFT) {
        *size = 1u << SMALLEST_SHIFT;
        return 0;
    }
    uint64_t last = bytes - 1;
    int top = 63 - __builtin_clzll(last); /* 2^top <= last < 2^(top + 1) */
    int step_bits = top < FINE_SHIFT ? 2 : 3;
    uint64_t steps = last >> (top - step_bits); /* 2^step_bits + j: j whole steps above 2^top lie below bytes */
    *size = (steps + 1) << (top - step_bits);
    uint32_t eighth = (uint32_t)(steps - (1u << step_bits)) << (3 - step_bits);
    return 1 + (uint32_t)(top - SMALLEST_SHIFT) * 8 + eighth;
}

static uint64_t class_size(uint32_t class) {
    if (class == 0) return 1u << SMALLEST_SHIFT;
    int top = SMALLEST_SHIFT + (int)(class - 1) / 8;
    uint64_t eighth = (class - 1) % 8;
    return top < FINE_SHIFT ? (4 + eighth / 2 + 1) << (top - 2) : (8 + eighth + 1) << (top - 3);
}

/* ---- the cache: all of these with the lock held ------------------------------------------------------------------------- */

void dl_alloc_mark(const dl_device *device, void *data, uint64_t bytes, uint64_t block) {
#if DL_SANITIZER_BUILT == DL_SANITIZER_ADDRESS
    if (!dl_on_host(device)) return;
    ASAN_UNPOISON_MEMORY_REGION(data, bytes);
    ASAN_POISON_MEMORY_REGION((char *)data + bytes, block - bytes);
#else
    (void)device, (void)data, (void)bytes, (void)block;
#endif
}

static void give_back(struct dl_allocator *a, void *data, uint64_t block) {
    dl_alloc_mark(a->device, data, block, block);
    dl_core_of(a->device)->backend->api.free(a->device, a->device->stream, data, block);
}

static void trim(struct dl_allocator *a) {
    for (uint32_t class = 0; a->stats.cached_blocks && class < CLASSES; class ++) {
        block_stack *stack = &a->free_blocks[class];
        uint64_t size = class_size(class);
        a->stats.cached_blocks -= stack->n;
        a->stats.cached_bytes -= stack->n * size;
        while (stack->n) give_back(a, stack->blocks[--stack->n], size);
    }
}

static int push(block_stack *stack, void *data) {
    if (stack->n == stack->capacity) {
        uint32_t capacity = stack->capacity ? 2 * stack->capacity : 8;
        void **blocks = dl_mem(stack->blocks, capacity * sizeof *blocks);
        if (!blocks) return 0;
        stack->blocks = blocks;
        stack->capacity = capacity;
    }
    stack->blocks[stack->n++] = data;
    return 1;
}

static dl_status ask_backend(struct dl_allocator *a, uint64_t bytes, void **data) {
    a->stats.backend_allocations++;
    if (dl_mem_injected_failure()) return dl_failf(DL_NOMEM, "injected failure");
    return dl_core_of(a->device)->backend->api.alloc(a->device, a->device->stream, bytes, data);
}

/* A cache that has outgrown what the program ever used at once holds sizes that no longer occur. */
static int cache_is_stale(const struct dl_allocator *a) {
    uint64_t bound = a->stats.peak_bytes > CACHE_FLOOR ? a->stats.peak_bytes : CACHE_FLOOR;
    return a->stats.cached_bytes > bound;
}

static dl_status fresh_block(struct dl_allocator *a, uint64_t size, void **data) {
    if (cache_is_stale(a)) trim(a);
    dl_status status = ask_backend(a, size, data);
    if (status == DL_NOMEM && a->stats.cached_blocks) {
        trim(a);
        status = ask_backend(a, size, data);
    }
    if (status == DL_NOMEM)
        dl_fail_context(status, "out of memory on %s: %llu bytes asked for, %llu in use", dl_device_name(a->device),
                        (unsigned long long)size, (unsigned long long)a->stats.live_bytes);
    return status;
}

static void count_allocation(struct dl_allocator *a, uint64_t size) {
    dl_memory_stats *s = &a->stats;
    s->allocations++;
    s->live_blocks++;
    s->live_bytes += size;
    if (s->live_bytes > s->peak_bytes) s->peak_bytes = s->live_bytes;
    a->since_collected += size;
    if (a->since_collected > PRESSURE_FLOOR && a->since_collected > a->live_at_collection / 2)
        __atomic_store_n(&pressure, 1, __ATOMIC_RELAXED);
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------- */

dl_status dl_alloc(dl_device *device, uint64_t bytes, void **data, uint64_t *block) {
    struct dl_allocator *a = dl_core_of(device)->memory;
    if (bytes > (uint64_t)1 << LARGEST_SHIFT)
        return dl_failf(DL_NOMEM, "out of memory on %s: %llu bytes asked for", dl_device_name(device),
                        (unsigned long long)bytes);
    uint64_t size;
    block_stack *stack = &a->free_blocks[size_class(bytes, &size)];
    dl_status status = DL_OK;
    pthread_mutex_lock(&a->lock);
    if (stack->n) {
        *data = stack->blocks[--stack->n];
        a->stats.cached_blocks--;
        a->stats.cached_bytes -= size;
    } else {
        status = fresh_block(a, size, data);
    }
    if (status == DL_OK) {
        count_allocation(a, size);
        dl_alloc_mark(device, *data, bytes, size);
        *block = size;
    }
    pthread_mutex_unlock(&a->lock);
    return status;
}

void dl_free(dl_device *device, void *data, uint64_t block) {
    struct dl_allocator *a = dl_core_of(device)->memory;
    uint64_t size;
    block_stack *stack = &a->free_blocks[size_class(block, &size)];
    pthread_mutex_lock(&a->lock);
    a->stats.live_blocks--;
    a->stats.live_bytes -= block;
    if (push(stack, data)) {
        a->stats.cached_blocks++;
        a->stats.cached_bytes += block;
        dl_alloc_mark(device, data, 0, block);
    } else {
        give_back(a, data, block);
    }
    pthread_mutex_unlock(&a->lock);
}

struct dl_allocator *dl_allocator_new(dl_device *device) {
    struct dl_allocator *a = dl_mem_zero(sizeof *a);
    if (!a) return NULL;
    a->device = device;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void dl_allocator_free(struct dl_allocator *a) {
    if (!a) return;
    trim(a);
    for (uint32_t class = 0; class < CLASSES; class ++) dl_mem(a->free_blocks[class].blocks, 0);
    pthread_mutex_destroy(&a->lock);
    dl_mem(a, 0);
}

/* ---- statistics and the bell -------------------------------------------------------------------------------------------- */

static void sum_stats(dl_device *device, void *context) {
    dl_memory_stats *sum = context;
    struct dl_allocator *a = dl_core_of(device)->memory;
    pthread_mutex_lock(&a->lock);
    const dl_memory_stats *s = &a->stats;
    sum->live_bytes += s->live_bytes, sum->live_blocks += s->live_blocks;
    sum->cached_bytes += s->cached_bytes, sum->cached_blocks += s->cached_blocks;
    sum->peak_bytes += s->peak_bytes;
    sum->allocations += s->allocations, sum->backend_allocations += s->backend_allocations;
    pthread_mutex_unlock(&a->lock);
}

static void trim_one(dl_device *device, void *unused) {
    (void)unused;
    struct dl_allocator *a = dl_core_of(device)->memory;
    pthread_mutex_lock(&a->lock);
    trim(a);
    pthread_mutex_unlock(&a->lock);
}

static void reset_peak(dl_device *device, void *unused) {
    (void)unused;
    struct dl_allocator *a = dl_core_of(device)->memory;
    pthread_mutex_lock(&a->lock);
    a->stats.peak_bytes = a->stats.live_bytes;
    pthread_mutex_unlock(&a->lock);
}

static void note_collection(dl_device *device, void *unused) {
    (void)unused;
    struct dl_allocator *a = dl_core_of(device)->memory;
    pthread_mutex_lock(&a->lock);
    a->since_collected = 0;
    a->live_at_collection = a->stats.live_bytes;
    pthread_mutex_unlock(&a->lock);
}

static void for_devices(dl_device *device, void (*act)(dl_device *, void *), void *context) {
    if (device) {
        act(device, context);
        return;
    }
    for (int32_t k = 0; (device = dl_device_at(k)); k++) act(device, context);
}

dl_status dl_memory(dl_device *device, dl_memory_stats *out) {
    *out = (dl_memory_stats){0};
    for_devices(device, sum_stats, out);
    return DL_OK;
}

void dl_memory_trim(dl_device *device) { for_devices(device, trim_one, NULL); }

void dl_memory_reset_peak(dl_device *device) { for_devices(device, reset_peak, NULL); }

int32_t *dl_memory_pressure(void) { return &pressure; }

void dl_memory_collected(void) {
    __atomic_store_n(&pressure, 0, __ATOMIC_RELAXED);
    for_devices(NULL, note_collection, NULL);
}
