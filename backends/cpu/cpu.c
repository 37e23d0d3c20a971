/* cpu.c - the CPU backend's plugin: identity, device, memory, registration of the kernels of the chosen instruction set.
 *
 * The CPU has one stream and work on it is done when a call returns, so streams and events are empty. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/parallel.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

DL_PLUGIN_IDENTITY("cpu", "0.1.0", 0);

const dl_host *cpu_host;
static cpu_isa_level isa; /* of the registered kernels */

/* ---- device ----------------------------------------------------------------------------------------------------------- */

struct dl_stream {
    int unused;
};
struct dl_event {
    int unused;
};
static dl_stream the_stream;
static dl_event the_event;

static dl_status cpu_count_devices(int32_t *n) {
    *n = 1;
    return DL_OK;
}

/* The text after "key ... :" of the first line of a /proc file that starts with key; 0 if there is none. */
static int proc_field(const char *path, const char *key, char *text, size_t capacity) {
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    char line[256];
    int found = 0;
    while (!found && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || !value) continue;
        value += 1 + strspn(value + 1, " \t");
        snprintf(text, capacity, "%.*s", (int)strcspn(value, "\n"), value);
        found = 1;
    }
    fclose(f);
    return found;
}

static uint64_t proc_memory(const char *key) {
    char text[64];
    return proc_field("/proc/meminfo", key, text, sizeof text) ? strtoull(text, NULL, 10) * 1024 : 0;
}

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

static dl_status cpu_info(int32_t index, dl_device_info *out) {
    if (index != 0) return cpu_host->fail(DL_INVALID, "there is one CPU device, cpu:0; cpu:%d was asked for", (int)index);
    out->index = 0;
    if (!proc_field("/proc/cpuinfo", "model name", out->name, sizeof out->name)) snprintf(out->name, sizeof out->name, "CPU");
    snprintf(out->detail, sizeof out->detail, "%d thread%s, %s", (int)cpu_threads(0), cpu_threads(0) == 1 ? "" : "s",
             cpu_isa_name(isa));
    out->memory_total = proc_memory("MemTotal");
    out->memory_free = proc_memory("MemAvailable");
    out->alignment = ALIGNMENT;
    return DL_OK;
}

static dl_status cpu_open(int32_t index, dl_device **device) {
    static dl_device the_device = {.size = sizeof the_device};
    if (index != 0) return cpu_host->fail(DL_INVALID, "there is one CPU device, cpu:0; cpu:%d was asked for", (int)index);
    *device = &the_device;
    return DL_OK;
}

static void cpu_close(dl_device *device) { (void)device; }

/* ---- memory ----------------------------------------------------------------------------------------------------------- */

static dl_status cpu_alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data) {
    (void)device, (void)stream;
    const int large = bytes >= 2 * (uint64_t)HUGE_PAGE; /* a huge page costs its faults once, not 512 times */
    if (bytes > SIZE_MAX / 2 || posix_memalign(data, large ? HUGE_PAGE : ALIGNMENT, (size_t)bytes) != 0)
        return cpu_host->fail(DL_NOMEM, "the system has no %llu bytes left for a tensor", (unsigned long long)bytes);
    if (large) (void)madvise(*data, (size_t)bytes, MADV_HUGEPAGE);
    return DL_OK;
}

static void cpu_free(dl_device *device, dl_stream *stream, void *data, uint64_t bytes) {
    (void)device, (void)stream, (void)bytes;
    free(data);
}

/* Both sides are host memory whatever their flags say. */
static dl_status cpu_copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                          uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)device, (void)stream, (void)dst_host, (void)src_host;
    if (bytes) memmove((char *)dst + dst_offset, (const char *)src + src_offset, (size_t)bytes);
    return DL_OK;
}

/* ---- streams and events ------------------------------------------------------------------------------------------------ */

static dl_status cpu_synchronize(dl_device *device, dl_stream *stream) {
    (void)device, (void)stream;
    return DL_OK;
}

static dl_status cpu_stream_new(dl_device *device, dl_stream **stream) {
    (void)device;
    *stream = &the_stream;
    return DL_OK;
}

static void cpu_stream_free(dl_device *device, dl_stream *stream) { (void)device, (void)stream; }

static dl_status cpu_event_record(dl_device *device, dl_stream *stream, dl_event **event) {
    (void)device, (void)stream;
    *event = &the_event;
    return DL_OK;
}

static dl_status cpu_event_wait(dl_device *device, dl_stream *stream, dl_event *event) {
    (void)device, (void)stream, (void)event;
    return DL_OK;
}

static void cpu_event_free(dl_device *device, dl_event *event) { (void)device, (void)event; }

/* ---- registration ------------------------------------------------------------------------------------------------------- */

dl_status cpu_add_kernels(const dl_kernel *kernels, size_t n) {
    for (size_t k = 0; k < n; k++) {
        const dl_status status = cpu_host->add_kernel(&kernels[k]);
        if (status != DL_OK) return status;
    }
    return DL_OK;
}

#if defined(__x86_64__)
#define CPU_FAMILY(name)                                                                                                       \
    dl_status register_##name##_baseline(void), register_##name##_avx2(void), register_##name##_avx512(void);
#else
#define CPU_FAMILY(name) dl_status register_##name##_baseline(void);
#endif
#include "backends/cpu/families.def"
#undef CPU_FAMILY

static dl_status register_families(void) {
    dl_status status = DL_OK;
#if defined(__x86_64__)
#define CPU_FAMILY(name)                                                                                                       \
    if (status == DL_OK)                                                                                                       \
        status = isa == CPU_AVX512 ? register_##name##_avx512()                                                                \
                 : isa == CPU_AVX2 ? register_##name##_avx2()                                                                  \
                                   : register_##name##_baseline();
#else
#define CPU_FAMILY(name)                                                                                                       \
    if (status == DL_OK) status = register_##name##_baseline();
#endif
#include "backends/cpu/families.def"
#undef CPU_FAMILY
    return status;
}

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_backend backend = {
        .size = sizeof backend,
        .dl_device_type = 1,
        .name = "cpu",
        .count = cpu_count_devices,
        .info = cpu_info,
        .open = cpu_open,
        .close = cpu_close,
        .alloc = cpu_alloc,
        .free = cpu_free,
        .copy = cpu_copy,
        .synchronize = cpu_synchronize,
        .stream_new = cpu_stream_new,
        .stream_free = cpu_stream_free,
        .event_record = cpu_event_record,
        .event_wait = cpu_event_wait,
        .event_free = cpu_event_free,
        .threads = cpu_threads,
        .channels_last = 1,
    };
    cpu_host = host;
    isa = cpu_isa();
    cpu_parallel_open();
    const dl_status status = host->add_backend(&backend);
    return status == DL_OK ? register_families() : status;
}
