/* opencl_support.h - for tests of backends/opencl: its first device, or a skipped test where there is none. */
#ifndef OPENCL_SUPPORT_H
#define OPENCL_SUPPORT_H
#include "engine_support.h"
#include "device.h"

/* Group setup: loads the engine, and the device if there is one. */
int opencl_start(void **state);

/* The device; skips the running test, with the reason, where there is none. */
dl_device *opencl_device_here(void);

/* Its backend's functions. */
const dl_backend *opencl_api(void);

/* The kernel `entry` of a source that is compiled on this device. */
void *opencl_kernel(dl_device *device, const char *source, const char *entry);

/* Launches one group of n items with buffer arguments in pairs (handle, offset 0): GLOBAL int *x, long x_at. */
dl_status opencl_run(dl_device *device, dl_stream *stream, void *function, uint32_t n, void *const *buffers, int n_buffers);

/* A buffer of n ints with these contents, there for every stream. */
void *opencl_ints(dl_device *device, const int32_t *values, int n);
/* Compares and frees it. */
void opencl_expect_ints(dl_device *device, dl_stream *stream, void *data, const int32_t *values, int n);
#endif
