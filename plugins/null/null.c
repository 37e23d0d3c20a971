/* null.c - a backend that computes nothing: every op is accepted and done at once, and all memory reads as zeros.
 *
 *     dlrun --plugin=build/plugins/null.so --backend=null script.lua
 *
 * What a script still takes is the cost of everything around the kernels: Lua, dispatch, autograd, plans, the allocator. In
 * tests it stands for hardware that is not there. It is also the least that a backend can be. Its one kernel for "*" serves
 * every op that runs a kernel; views and compositions work as on any backend. */
#include "dlrun/plugin.h"
#include <stdio.h>
#include <string.h>

DL_PLUGIN_IDENTITY_FLAGS("null", "1.0.0", 0, DL_PLUGIN_LAZY);

static const dl_host *host;

static uint64_t bytes_used, last_handle; /* atomic: any thread may allocate */

/* Handles are numbers that were not given before. */
static dl_status null_alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data) {
    (void)device, (void)stream;
    __atomic_add_fetch(&bytes_used, bytes, __ATOMIC_RELAXED);
    *data = (void *)(uintptr_t)__atomic_add_fetch(&last_handle, 1, __ATOMIC_RELAXED);
    return DL_OK;
}

static void null_free(dl_device *device, dl_stream *stream, void *data, uint64_t bytes) {
    (void)device, (void)stream, (void)data;
    __atomic_sub_fetch(&bytes_used, bytes, __ATOMIC_RELAXED);
}

static dl_status null_copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                           uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)device, (void)stream, (void)src, (void)src_offset, (void)src_host;
    if (dst_host && bytes) memset((char *)dst + dst_offset, 0, (size_t)bytes);
    return DL_OK;
}

static dl_status null_synchronize(dl_device *device, dl_stream *stream) { return (void)device, (void)stream, DL_OK; }

static dl_status null_count(int32_t *n) { return *n = 1, DL_OK; }

static dl_status null_info(int32_t index, dl_device_info *out) {
    out->index = index;
    snprintf(out->name, sizeof out->name, "nothing");
    snprintf(out->detail, sizeof out->detail, "results are zeros");
    out->memory_total = UINT64_C(1) << 40; /* it never runs out */
    out->memory_free = out->memory_total - __atomic_load_n(&bytes_used, __ATOMIC_RELAXED);
    out->alignment = 64;
    return DL_OK;
}

static dl_status null_open(int32_t index, dl_device **device) {
    static dl_device only = {.size = sizeof only};
    (void)index;
    *device = &only;
    return DL_OK;
}

/* Outputs whose size depends on data have no memory yet; with none of it, they are empty. */
static dl_status run_nothing(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    dl_status status = DL_OK;
    for (uint32_t k = 0; k < f->n_out && status == DL_OK; k++)
        if (!f->out[k]->storage) status = host->alloc_out(f, k, f->in[0]->type, 1, (const int64_t[]){0});
    return status;
}

/* "Tensor x -> Tensor": as many columns as x has dimensions. */
static dl_status run_nonzero(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return host->alloc_out(f, 0, DL_I64, 2, (const int64_t[]){0, f->in[0]->ndim});
}

dl_status dl_plugin_init(const dl_host *functions) {
    static const dl_backend backend = {
        .size = sizeof backend,
        .name = "null",
        .count = null_count,
        .info = null_info,
        .open = null_open,
        .alloc = null_alloc,
        .free = null_free,
        .copy = null_copy,
        .synchronize = null_synchronize,
    };
    static const dl_kernel all = {
        .size = sizeof all, .op = "*", .backend = "null", .run = run_nothing, .flags = DL_KERNEL_EPILOGUE};
    static const dl_kernel nonzero = {
        .size = sizeof nonzero, .priority = 1, .op = "nonzero", .backend = "null", .run = run_nonzero};
    host = functions;
    dl_status status = host->add_backend(&backend);
    if (status == DL_OK) status = host->add_kernel(&all);
    return status == DL_OK ? host->add_kernel(&nonzero) : status;
}
