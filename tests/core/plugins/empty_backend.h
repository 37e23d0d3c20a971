/* empty_backend.h - the functions of a backend that has no device. */
#include "dlrun/plugin.h"

static dl_status empty_info(int32_t index, dl_device_info *out) {
    (void)index, (void)out;
    return DL_UNSUPPORTED;
}
static dl_status empty_open(int32_t index, dl_device **out) {
    (void)index, (void)out;
    return DL_UNSUPPORTED;
}
static dl_status empty_alloc(dl_device *d, dl_stream *s, uint64_t bytes, void **data) {
    (void)d, (void)s, (void)bytes, (void)data;
    return DL_NOMEM;
}
static void empty_free(dl_device *d, dl_stream *s, void *data, uint64_t bytes) { (void)d, (void)s, (void)data, (void)bytes; }
static dl_status empty_copy(dl_device *d, dl_stream *s, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                            uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)d, (void)s, (void)dst, (void)dst_offset, (void)dst_host, (void)src, (void)src_offset, (void)src_host, (void)bytes;
    return DL_UNSUPPORTED;
}
static dl_status empty_synchronize(dl_device *d, dl_stream *s) {
    (void)d, (void)s;
    return DL_OK;
}

#define EMPTY_BACKEND(backend_name, count_function)                                                                            \
    {                                                                                                                          \
        .size = sizeof(dl_backend), .name = backend_name, .count = count_function, .info = empty_info, .open = empty_open,     \
        .alloc = empty_alloc, .free = empty_free, .copy = empty_copy, .synchronize = empty_synchronize                         \
    }
