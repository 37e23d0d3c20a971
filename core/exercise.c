/* exercise.c - drives a backend's memory, streams and events directly, for the conformance kit. */
#include "core/device.h"
#include "core/mem.h"
#include "core/status.h"
#include <string.h>

enum { BYTES = 4096, SHIFT = 192, PART = 1000 }; /* PART bytes at SHIFT lie inside, and at no round place */

void dl_fail_allocation(int64_t n) { dl_mem_fail_after((long)n, 0); }

static dl_status wrong(const dl_backend *b, const char *what) {
    return dl_failf(DL_INTERNAL, "backend '%s': %s", b->name, what);
}

/* Host to device, device to device, back to the host, at offsets. */
static dl_status exercise_copies(const dl_backend *b, dl_device *d, dl_stream *s, void *first, void *second) {
    unsigned char out[BYTES], back[BYTES];
    for (int k = 0; k < BYTES; k++) out[k] = (unsigned char)(k * 7 + k / 256);
    memset(back, 0, sizeof back);
    DL_TRY(b->copy(d, s, first, 0, 0, out, 0, 1, BYTES));
    DL_TRY(b->copy(d, s, second, 0, 0, first, 0, 0, BYTES));
    DL_TRY(b->copy(d, s, second, SHIFT, 0, first, 1, 0, PART));
    DL_TRY(b->copy(d, s, back, 0, 1, second, 0, 0, BYTES));
    DL_TRY(b->synchronize(d, s));
    memmove(out + SHIFT, out + 1, PART);
    if (memcmp(out, back, BYTES) != 0) return wrong(b, "copies at offsets gave other bytes back");
    return DL_OK;
}

static dl_status exercise_events(const dl_backend *b, dl_device *d, dl_stream *s) {
    dl_event *event = NULL;
    if (!b->event_record || !b->event_wait) return DL_OK;
    DL_TRY(b->event_record(d, s, &event));
    dl_status status = b->event_wait(d, s, event);
    if (status == DL_OK) status = b->event_wait(d, NULL, event);
    if (b->event_free) b->event_free(d, event);
    return status;
}

static dl_status exercise_stream(const dl_backend *b, dl_device *d, dl_stream *s) {
    void *first = NULL, *second = NULL;
    DL_TRY(b->alloc(d, s, BYTES, &first));
    dl_status status = b->alloc(d, s, BYTES, &second);
    if (status == DL_OK) {
        status = exercise_copies(b, d, s, first, second);
        if (status == DL_OK) status = exercise_events(b, d, s);
        b->free(d, s, second, BYTES);
    }
    b->free(d, s, first, BYTES);
    return status == DL_OK ? b->synchronize(d, s) : status;
}

static dl_status exercise_once(const dl_backend *b, int32_t index) {
    dl_device *d = NULL;
    dl_stream *s = NULL;
    DL_TRY(b->open(index, &d));
    if (!d) return wrong(b, "open returned no device");
    dl_stream *const kept = d->stream; /* a backend may have one device, which is in use */
    d->index = index;
    dl_status status = b->stream_new ? b->stream_new(d, &s) : DL_OK;
    if (status == DL_OK) {
        d->stream = s;
        status = exercise_stream(b, d, s);
        d->stream = kept;
        if (b->stream_free) b->stream_free(d, s);
    }
    if (b->close) b->close(d);
    return status;
}

dl_status dl_backend_exercise(const char *backend, int32_t index, int32_t times) {
    int32_t n;
    DL_TRY(dl_backend_devices(backend, &n)); /* opens a plugin that waits */
    if (index < 0 || index >= n)
        return dl_failf(DL_INVALID, "backend '%s' has %d devices; number %d was asked for", backend, n, index);
    const dl_backend *b = &dl_backend_find(backend)->api;
    for (int32_t k = 0; k < times; k++) DL_TRY(exercise_once(b, index));
    return DL_OK;
}
