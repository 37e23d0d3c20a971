/* opencl_support.c - see opencl_support.h. */
#include "opencl_support.h"

enum { MAX_BUFFERS = 8 };

static dl_device *device_here;
static char reason[512];

int opencl_start(void **state) {
    if (et_start(state) != 0) return -1;
    if (dl_device_open("opencl", &device_here) != DL_OK) snprintf(reason, sizeof reason, "%s", dl_last_error());
    return 0;
}

dl_device *opencl_device_here(void) {
    if (!device_here) {
        print_message("no OpenCL device: %s\n", reason);
        skip();
    }
    return device_here;
}

const dl_backend *opencl_api(void) { return &dl_core_of(opencl_device_here())->backend->api; }

void *opencl_kernel(dl_device *device, const char *source, const char *entry) {
    void *function = NULL;
    assert_ok(opencl_api()->compile(device, source, entry, &function));
    assert_non_null(function);
    return function;
}

dl_status opencl_run(dl_device *device, dl_stream *stream, void *function, uint32_t n, void *const *buffers, int n_buffers) {
    void *handles[MAX_BUFFERS], *args[2 * MAX_BUFFERS];
    uint32_t bytes[2 * MAX_BUFFERS];
    int64_t at = 0;
    for (int k = 0; k < n_buffers; k++) {
        handles[k] = buffers[k];
        args[2 * k] = &handles[k], bytes[2 * k] = sizeof handles[k];
        args[2 * k + 1] = &at, bytes[2 * k + 1] = sizeof at;
    }
    return opencl_api()->launch(device, stream, function, (uint32_t[3]){1, 1, 1}, (uint32_t[3]){n, 1, 1}, 0, args, bytes,
                                2 * (uint32_t)n_buffers);
}

void *opencl_ints(dl_device *device, const int32_t *values, int n) {
    void *data = NULL;
    const uint64_t bytes = (uint64_t)n * sizeof *values;
    assert_ok(opencl_api()->alloc(device, device->stream, bytes, &data));
    assert_ok(opencl_api()->copy(device, device->stream, data, 0, 0, values, 0, 1, bytes));
    assert_ok(opencl_api()->synchronize(device, device->stream));
    return data;
}

void opencl_expect_ints(dl_device *device, dl_stream *stream, void *data, const int32_t *values, int n) {
    const uint64_t bytes = (uint64_t)n * sizeof *values;
    int32_t *got = malloc(bytes);
    assert_ok(opencl_api()->copy(device, stream, got, 0, 1, data, 0, 0, bytes));
    assert_memory_equal(got, values, bytes);
    free(got);
    opencl_api()->free(device, stream, data, bytes);
}
