/* memory.c - buffers, and copies between them and the host. */
#include "backends/opencl/opencl.h"
#include <string.h>

/* Drivers create buffers lazily; the first command that needs one is where an exhausted device says so. One byte is filled
 * here, so that it is alloc that fails and not some later kernel. */
static cl_int touch(cl_command_queue queue, cl_mem buffer) {
    static const cl_uchar zero;
    return cl.EnqueueFillBuffer(queue, buffer, &zero, 1, 0, 1, 0, NULL, NULL);
}

static int is_exhaustion(cl_int error) {
    return error == CL_MEM_OBJECT_ALLOCATION_FAILURE || error == CL_OUT_OF_RESOURCES || error == CL_OUT_OF_HOST_MEMORY ||
           error == CL_INVALID_BUFFER_SIZE;
}

dl_status opencl_alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data) {
    opencl_device *d = opencl_of(device);
    cl_int error;
    cl_mem buffer = cl.CreateBuffer(d->context, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &error);
    if (buffer && (error = touch(opencl_stream(device, stream)->queue, buffer)) != CL_SUCCESS) {
        cl.ReleaseMemObject(buffer);
        buffer = NULL;
    }
    *data = buffer;
    if (buffer) return DL_OK;
    if (!is_exhaustion(error)) return opencl_fail(error, "allocating %llu bytes on %s", (unsigned long long)bytes, d->name);
    return opencl_host->fail(DL_NOMEM, "%s has no %llu bytes left for a buffer (it gives at most %llu to one)", d->name,
                             (unsigned long long)bytes, (unsigned long long)d->largest_buffer);
}

/* The driver keeps the memory until the commands that use it have run. */
void opencl_free(dl_device *device, dl_stream *stream, void *data, uint64_t bytes) {
    (void)device, (void)stream, (void)bytes;
    if (data) cl.ReleaseMemObject(data);
}

/* ---- copies ---------------------------------------------------------------------------------------------------------------
 */

enum { SMALL = 1 << 16 }; /* bytes that are cheaper to copy once more on the host than to wait for */

/* The bytes go into an errand of their own: nobody waits. */
static dl_status send(opencl_device *d, dl_stream *s, cl_mem dst, uint64_t at, const void *src, uint64_t bytes) {
    opencl_errand *e;
    cl_event written;
    CL_TRY(opencl_pace(d, s));
    CL_TRY(opencl_errand_new(bytes, &e));
    memcpy(e->bytes, src, (size_t)bytes);
    const cl_int error = cl.EnqueueWriteBuffer(s->queue, dst, CL_FALSE, at, bytes, e->bytes, 0, NULL, &written);
    const dl_status status = error == CL_SUCCESS
                                 ? opencl_errand_go(d, s, e, written)
                                 : opencl_fail(error, "copying %llu bytes to %s", (unsigned long long)bytes, d->name);
    opencl_errand_free(e);
    return status;
}

static dl_status to_device(opencl_device *d, dl_stream *s, cl_mem dst, uint64_t at, const void *src, uint64_t bytes) {
    if (bytes <= SMALL) return send(d, s, dst, at, src, bytes);
    CL_TRY(opencl_drain(d, s));
    const cl_int error = cl.EnqueueWriteBuffer(s->queue, dst, CL_TRUE, at, bytes, src, 0, NULL, NULL);
    if (error == CL_SUCCESS) return DL_OK;
    return opencl_fail(error, "copying %llu bytes to %s", (unsigned long long)bytes, d->name);
}

static dl_status cannot_read(opencl_device *d, dl_stream *s, cl_int error, uint64_t bytes) {
    cl.Finish(s->queue); /* the caller is going to free what the report is read to */
    return opencl_fail(error, "copying %llu bytes from %s", (unsigned long long)bytes, d->name);
}

static dl_status fetch_into(opencl_device *d, dl_stream *s, opencl_errand *e, cl_mem src, uint64_t at, uint64_t bytes) {
    cl_event done;
    CL_TRY(opencl_fault_read(d, s, &e->report));
    const cl_int error = cl.EnqueueReadBuffer(s->queue, src, CL_FALSE, at, bytes, e->bytes, 0, NULL, &done);
    if (error != CL_SUCCESS) return cannot_read(d, s, error, bytes);
    return opencl_fault_await(d, s, e, done);
}

/* Through an errand, so that it is one wait. */
static dl_status fetch(opencl_device *d, dl_stream *s, void *dst, cl_mem src, uint64_t at, uint64_t bytes) {
    opencl_errand *e;
    CL_TRY(opencl_errand_new(bytes, &e));
    const dl_status status = fetch_into(d, s, e, src, at, bytes);
    if (status == DL_OK) memcpy(dst, e->bytes, (size_t)bytes);
    opencl_errand_free(e);
    return status;
}

static dl_status to_host(opencl_device *d, dl_stream *s, void *dst, cl_mem src, uint64_t at, uint64_t bytes) {
    opencl_fault_report report;
    if (bytes <= SMALL) return fetch(d, s, dst, src, at, bytes);
    CL_TRY(opencl_drain(d, s));
    CL_TRY(opencl_fault_read(d, s, &report));
    const cl_int error = cl.EnqueueReadBuffer(s->queue, src, CL_TRUE, at, bytes, dst, 0, NULL, NULL);
    return error == CL_SUCCESS ? opencl_fault_judge(d, s, &report) : cannot_read(d, s, error, bytes);
}

static int overlap(const void *a, uint64_t a_at, const void *b, uint64_t b_at, uint64_t bytes) {
    return a == b && a_at < b_at + bytes && b_at < a_at + bytes;
}

static cl_int enqueue_copy(dl_stream *s, cl_mem dst, uint64_t dst_at, cl_mem src, uint64_t src_at, uint64_t bytes) {
    return cl.EnqueueCopyBuffer(s->queue, src, dst, src_at, dst_at, bytes, 0, NULL, NULL);
}

/* OpenCL refuses overlapping copies within a buffer: they go through another one. */
static dl_status copy_aside(opencl_device *d, dl_stream *s, cl_mem buffer, uint64_t dst_at, uint64_t src_at, uint64_t bytes) {
    void *aside;
    CL_TRY(opencl_alloc(&d->head, s, bytes, &aside));
    cl_int error = enqueue_copy(s, aside, 0, buffer, src_at, bytes);
    if (error == CL_SUCCESS) error = enqueue_copy(s, buffer, dst_at, aside, 0, bytes);
    opencl_free(&d->head, s, aside, bytes);
    return error == CL_SUCCESS ? DL_OK : opencl_fail(error, "copying within a buffer on %s", d->name);
}

static dl_status within_device(opencl_device *d, dl_stream *s, cl_mem dst, uint64_t dst_at, cl_mem src, uint64_t src_at,
                               uint64_t bytes) {
    if (dst == src && dst_at == src_at) return DL_OK;
    CL_TRY(opencl_pace(d, s));
    if (overlap(dst, dst_at, src, src_at, bytes)) return copy_aside(d, s, dst, dst_at, src_at, bytes);
    const cl_int error = enqueue_copy(s, dst, dst_at, src, src_at, bytes);
    return error == CL_SUCCESS ? DL_OK : opencl_fail(error, "copying %llu bytes on %s", (unsigned long long)bytes, d->name);
}

dl_status opencl_copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                      uint64_t src_offset, int src_host, uint64_t bytes) {
    opencl_device *d = opencl_of(device);
    dl_stream *s = opencl_stream(device, stream);
    union {
        const void *given;
        cl_mem buffer; /* OpenCL takes handles of what it only reads without const */
    } from = {.given = src};
    if (bytes == 0) return DL_OK;
    if (dst_host && src_host) {
        memmove((char *)dst + dst_offset, (const char *)src + src_offset, (size_t)bytes);
        return DL_OK;
    }
    if (dst_host) return to_host(d, s, (char *)dst + dst_offset, from.buffer, src_offset, bytes);
    if (src_host) return to_device(d, s, dst, dst_offset, (const char *)src + src_offset, bytes);
    return within_device(d, s, dst, dst_offset, from.buffer, src_offset, bytes);
}
