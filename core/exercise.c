/* exercise.c - drives a backend's memory, streams, events and compiler directly, for the conformance kit. */
#include "core/device.h"
#include "core/mem.h"
#include "core/status.h"
#include <stdio.h>
#include <string.h>

enum { BYTES = 4096, SHIFT = 192, PART = 1000, GROUP = 64 }; /* PART bytes at SHIFT lie inside, and at no round place */

extern const char text_simt_h[];

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

/* A kernel of Tier A. One function of its program is given back, the other is left for close. */
static dl_status make_kernel(const dl_backend *b, dl_device *d, void **function) {
    static const char kernel[] = "KERNEL void add_one(GLOBAL u8 *x, i64 x_at, i64 n) {\n"
                                 "    const i64 i = global_id(0);\n"
                                 "    if (i < n) x[x_at + i] += 1;\n"
                                 "}\n";
    const size_t bytes = strlen(text_simt_h) + sizeof kernel;
    char *source = dl_mem(NULL, bytes);
    void *other = NULL;
    if (!source) return dl_failf(DL_NOMEM, "out of memory for the source of a kernel");
    snprintf(source, bytes, "%s%s", text_simt_h, kernel);
    dl_status status = b->compile(d, source, "add_one", function);
    if (status == DL_OK && b->function_free) status = b->compile(d, source, "add_one", &other);
    if (other) b->function_free(d, other);
    dl_mem(source, 0);
    return status;
}

/* Adds 1 to PART bytes at SHIFT. */
static dl_status exercise_compiler(const dl_backend *b, dl_device *d, dl_stream *s, void *memory) {
    unsigned char before[BYTES], after[BYTES];
    void *function = NULL;
    int64_t at = SHIFT, n = PART;
    void *const args[] = {&memory, &at, &n};
    const uint32_t sizes[] = {sizeof memory, sizeof at, sizeof n}, grid[] = {(PART + GROUP - 1) / GROUP, 1, 1},
                   block[] = {GROUP, 1, 1};
    if (!b->compile || !b->launch) return DL_OK;
    DL_TRY(make_kernel(b, d, &function));
    DL_TRY(b->copy(d, s, before, 0, 1, memory, 0, 0, BYTES));
    DL_TRY(b->launch(d, s, function, grid, block, 0, args, sizes, 3));
    DL_TRY(b->copy(d, s, after, 0, 1, memory, 0, 0, BYTES));
    for (int k = SHIFT; k < SHIFT + PART; k++) before[k]++;
    return memcmp(before, after, BYTES) == 0 ? DL_OK : wrong(b, "a kernel that adds 1 to some bytes gave others");
}

static dl_status exercise_stream(const dl_backend *b, dl_device *d, dl_stream *s) {
    void *first = NULL, *second = NULL;
    DL_TRY(b->alloc(d, s, BYTES, &first));
    dl_status status = b->alloc(d, s, BYTES, &second);
    if (status == DL_OK) {
        status = exercise_copies(b, d, s, first, second);
        if (status == DL_OK) status = exercise_events(b, d, s);
        if (status == DL_OK) status = exercise_compiler(b, d, s, first);
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
