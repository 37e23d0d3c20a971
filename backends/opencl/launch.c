/* launch.c - kernels are put on a stream's queue. */
#include "backends/opencl/opencl.h"
#include <string.h>

/* *may_fault: is the fault word among them? */
static dl_status set_arguments(opencl_device *d, opencl_function *f, void *const *args, const uint32_t *arg_bytes,
                               uint32_t n_args, int *may_fault) {
    for (uint32_t k = 0; k < n_args; k++) {
        const cl_int error = cl.SetKernelArg(f->kernel, k, arg_bytes[k], args[k]);
        if (error != CL_SUCCESS)
            return opencl_fail(error, "kernel %s: argument %u of %u bytes", f->entry, (unsigned)k, (unsigned)arg_bytes[k]);
        if (arg_bytes[k] == sizeof d->fault && memcmp(args[k], &d->fault, sizeof d->fault) == 0) *may_fault = 1;
    }
    return DL_OK;
}

/* How many items a group of this kernel may have: fewer than the device's where it needs many registers. */
static size_t largest_group(const opencl_device *d, const opencl_function *f) {
    size_t n = 0;
    (void)cl.GetKernelWorkGroupInfo(f->kernel, d->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof n, &n, NULL);
    return n;
}

static dl_status enqueue(opencl_device *d, dl_stream *s, opencl_function *f, const uint32_t grid[3], const uint32_t block[3]) {
    size_t global[3], local[3];
    for (int k = 0; k < 3; k++) {
        local[k] = block[k];
        global[k] = (size_t)grid[k] * block[k];
    }
    const cl_int error = cl.EnqueueNDRangeKernel(s->queue, f->kernel, 3, NULL, global, local, 0, NULL, NULL);
    if (error == CL_SUCCESS) return DL_OK;
    return opencl_fail(error, "launching kernel %s on %s, %u x %u x %u groups of %u x %u x %u items (at most %zu)", f->entry,
                       d->name, (unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2], (unsigned)block[0], (unsigned)block[1],
                       (unsigned)block[2], largest_group(d, f));
}

dl_status opencl_launch(dl_device *device, dl_stream *stream, void *function, const uint32_t grid[3], const uint32_t block[3],
                        uint32_t local_bytes, void *const *args, const uint32_t *arg_bytes, uint32_t n_args) {
    opencl_device *d = opencl_of(device);
    dl_stream *s = opencl_stream(device, stream);
    opencl_function *f = function;
    if (local_bytes)
        return opencl_host->fail(DL_UNSUPPORTED, "kernel %s: OpenCL kernels declare their LOCAL arrays; local_bytes must be 0",
                                 f->entry);
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return DL_OK;
    CL_TRY(opencl_pace(d, s));
    int may_fault = 0;
    pthread_mutex_lock(&f->lock);
    dl_status status = set_arguments(d, f, args, arg_bytes, n_args, &may_fault);
    if (status == DL_OK) status = enqueue(d, s, f, grid, block);
    pthread_mutex_unlock(&f->lock);
    /* Only now: another thread's look in between would have taken the note and read the word before the kernel wrote it. */
    if (status == DL_OK && may_fault) atomic_store(&s->fault_possible, 1);
    return status;
}
