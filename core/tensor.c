/* tensor.c - tensor descriptors: making, aliasing, clearing, and copying to and from host memory.
 *
 * Making a tensor is on the path of every op: it costs one small allocation, one cached block and no more. */
#include "tensor.h"
#include "autograd.h"
#include "capture.h"
#include "device.h"
#include "dtype.h"
#include "layout.h"
#include "mem.h"
#include "status.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes --------------------------------------------------------------------------------------------------------- */

const char *dl_shape_text(char text[DL_SHAPE_TEXT], int32_t ndim, const int64_t *shape) {
    size_t n = (size_t)snprintf(text, DL_SHAPE_TEXT, "(");
    for (int32_t d = 0; d < ndim && n < DL_SHAPE_TEXT - 24; d++)
        n += (size_t)snprintf(text + n, DL_SHAPE_TEXT - n, d ? ", %lld" : "%lld", (long long)shape[d]);
    snprintf(text + n, DL_SHAPE_TEXT - n, ")");
    return text;
}

static dl_status check_dtype(dl_dtype type) {
    return dl_dtype_valid(type) ? DL_OK : dl_failf(DL_INVALID, "%d is no dtype; they are 0 to %d", type, DL_DTYPE_COUNT - 1);
}

static dl_status check_ndim(int32_t ndim) {
    if (ndim >= 0 && ndim <= DL_MAX_DIMS) return DL_OK;
    return dl_failf(DL_INVALID, "a tensor has 0 to %d dimensions; %d were asked for", DL_MAX_DIMS, ndim);
}

static dl_status shape_failure(int32_t ndim, const int64_t *shape, const char *what) {
    char text[DL_SHAPE_TEXT];
    return dl_failf(DL_INVALID, "shape %s: %s", dl_shape_text(text, ndim, shape), what);
}

dl_status dl_shape_count(dl_dtype type, int32_t ndim, const int64_t *shape, int64_t *count) {
    DL_TRY(check_dtype(type));
    DL_TRY(check_ndim(ndim));
    int64_t spread = dl_dtype_bytes(type); /* the bytes if no size were 0: what strides are made of */
    int32_t empty = 0;
    for (int32_t d = 0; d < ndim; d++) {
        if (shape[d] < 0) return shape_failure(ndim, shape, "a size is negative");
        if (shape[d] == 0)
            empty = 1;
        else if (__builtin_mul_overflow(spread, shape[d], &spread))
            return shape_failure(ndim, shape, "too many elements");
    }
    *count = empty ? 0 : spread / dl_dtype_bytes(type);
    return DL_OK;
}

dl_status dl_extent_bytes(int32_t ndim, const int64_t *shape, const int64_t *strides, int32_t element_bytes, uint64_t *bytes) {
    int64_t last = 0, reach;
    int32_t empty = 0;
    for (int32_t d = 0; d < ndim; d++) {
        if (strides[d] < 0) return dl_failf(DL_INVALID, "stride %lld of dimension %d is negative", (long long)strides[d], d);
        if (shape[d] == 0)
            empty = 1;
        else if (__builtin_mul_overflow(shape[d] - 1, strides[d], &reach) || __builtin_add_overflow(last, reach, &last))
            return shape_failure(ndim, shape, "its strides reach too far");
    }
    if (__builtin_add_overflow(last, 1, &last) || __builtin_mul_overflow(last, element_bytes, &last))
        return shape_failure(ndim, shape, "its strides reach too far");
    *bytes = empty ? 0 : (uint64_t)last;
    return DL_OK;
}

/* ---- making --------------------------------------------------------------------------------------------------------- */

/* Everything but shape and strides; takes over the caller's reference to s. */
static void set_head(dl_tensor *t, dl_storage *s, dl_dtype type, uint64_t byte_offset, int32_t ndim) {
    t->data = s->data;
    t->device = s->device->id;
    t->ndim = ndim;
    t->element = dl_dtype_elements[type];
    t->shape = t->dims;
    t->strides = t->dims + DL_MAX_DIMS;
    t->byte_offset = byte_offset;
    t->size = sizeof *t;
    t->flags = 0;
    t->type = type;
    t->reserved = 0;
    t->storage = s;
    t->var = NULL;
}

static void set_shape(dl_tensor *t, const int64_t *shape, const int64_t *strides) {
    for (int32_t d = 0; d < t->ndim; d++) t->shape[d] = shape[d];
    if (!strides)
        dl_shape_strides(t->ndim, shape, t->strides);
    else
        for (int32_t d = 0; d < t->ndim; d++) t->strides[d] = strides[d];
}

dl_status dl_tensor_new(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, dl_device *device) {
    int64_t count;
    dl_storage *storage;
    DL_TRY(dl_shape_count(type, ndim, shape, &count));
    DL_TRY(dl_storage_new(device, (uint64_t)count * (uint64_t)dl_dtype_bytes(type), &storage));
    set_head(t, storage, type, 0, ndim);
    set_shape(t, shape, NULL);
    return DL_OK;
}

static dl_status check_fits(const dl_storage *s, dl_dtype type, uint64_t byte_offset, int32_t ndim, const int64_t *shape,
                            const int64_t *strides) {
    uint64_t extent;
    if (byte_offset % (uint64_t)dl_dtype_bytes(type))
        return dl_failf(DL_INVALID, "byte offset %llu is no multiple of %s's %d bytes", (unsigned long long)byte_offset,
                        dl_dtype_name(type), dl_dtype_bytes(type));
    DL_TRY(dl_extent_bytes(ndim, shape, strides, dl_dtype_bytes(type), &extent));
    if (byte_offset <= s->bytes && extent <= s->bytes - byte_offset) return DL_OK;
    char text[DL_SHAPE_TEXT];
    return dl_failf(DL_INVALID, "shape %s of %s needs %llu bytes from offset %llu, but the storage has %llu",
                    dl_shape_text(text, ndim, shape), dl_dtype_name(type), (unsigned long long)extent,
                    (unsigned long long)byte_offset, (unsigned long long)s->bytes);
}

dl_status dl_tensor_on(dl_tensor *t, dl_storage *storage, dl_dtype type, uint64_t byte_offset, int32_t ndim,
                       const int64_t *shape, const int64_t *strides) {
    int64_t count, row_major[DL_MAX_DIMS];
    if (!storage) return dl_failf(DL_INVALID, "a tensor needs a storage; got none");
    DL_TRY(dl_shape_count(type, ndim, shape, &count));
    if (!strides) dl_shape_strides(ndim, shape, row_major);
    DL_TRY(check_fits(storage, type, byte_offset, ndim, shape, strides ? strides : row_major));
    dl_storage_retain(storage);
    set_head(t, storage, type, byte_offset, ndim);
    set_shape(t, shape, strides ? strides : row_major);
    return DL_OK;
}

dl_status dl_tensor_detach(dl_tensor *t, const dl_tensor *of) {
    if (!of->storage) {
        *t = (dl_tensor){0};
        return DL_OK;
    }
    DL_TRY(dl_tensor_refresh(of));
    dl_storage_retain(of->storage);
    set_head(t, of->storage, of->type, of->byte_offset, of->ndim);
    set_shape(t, of->shape, of->strides);
    t->flags = of->flags & DL_TENSOR_CHANNELS_LAST;
    return DL_OK;
}

dl_status dl_tensor_alias(dl_tensor *t, const dl_tensor *of) {
    DL_TRY(dl_tensor_detach(t, of));
    if (of->var) dl_var_retain(t->var = of->var);
    return DL_OK;
}

void dl_tensor_clear(dl_tensor *t) {
    if (!(t->flags & DL_TENSOR_BORROWED)) {
        dl_storage_release(t->storage);
        if (t->var) dl_var_release(t->var);
    }
    t->data = NULL;
    t->storage = NULL;
    t->var = NULL;
    t->flags = 0;
    t->ndim = 0;
}

dl_status dl_tensor_refresh_slow(dl_tensor *t) {
    dl_layout_refresh(t);
    if (t->data == t->storage->data) return DL_OK;
    DL_TRY(check_fits(t->storage, t->type, t->byte_offset, t->ndim, t->shape, t->strides));
    t->data = t->storage->data;
    return DL_OK;
}

/* ---- facts ---------------------------------------------------------------------------------------------------------- */

int64_t dl_tensor_count(const dl_tensor *t) {
    if (!t->storage) return 0;
    int64_t count = 1;
    for (int32_t d = 0; d < t->ndim; d++) count *= t->shape[d];
    return count;
}

int32_t dl_tensor_contiguous(const dl_tensor *t) {
    int64_t expected = 1;
    int32_t contiguous = 1;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        if (t->shape[d] == 0) return 1;
        if (t->shape[d] != 1 && t->strides[d] != expected) contiguous = 0;
        expected *= t->shape[d];
    }
    return contiguous;
}

void *dl_tensor_data(const dl_tensor *t) {
    if (!t->storage || dl_tensor_refresh(t) != DL_OK || dl_layout_plain(t) != DL_OK) return NULL;
    dl_capture_refuse("the address of a tensor's data was handed out");
    char *base = dl_storage_data(t->storage);
    return base ? base + t->byte_offset : NULL;
}

/* ---- copying to and from the host ----------------------------------------------------------------------------------- */

static uint64_t tensor_bytes(const dl_tensor *t) { return (uint64_t)dl_tensor_count(t) * (uint64_t)dl_dtype_bytes(t->type); }

static dl_status check_host_bytes(const dl_tensor *t, uint64_t bytes) {
    if (!t->storage) return dl_failf(DL_INVALID, "the tensor is empty: it has no storage");
    if (bytes == tensor_bytes(t)) return dl_tensor_refresh(t);
    char text[DL_SHAPE_TEXT];
    return dl_failf(DL_INVALID, "a %s tensor of shape %s has %llu bytes; the host buffer has %llu", dl_dtype_name(t->type),
                    dl_shape_text(text, t->ndim, t->shape), (unsigned long long)tensor_bytes(t), (unsigned long long)bytes);
}

static const dl_backend *backend_of(const dl_tensor *t) { return &dl_core_of(t->storage->device)->backend->api; }

static dl_status read_contiguous(const dl_tensor *t, void *host, uint64_t bytes) {
    dl_device *d = t->storage->device;
    DL_TRY(backend_of(t)->copy(d, d->stream, host, 0, 1, t->data, t->byte_offset, 0, bytes));
    return backend_of(t)->synchronize(d, d->stream);
}

static dl_status write_contiguous(dl_tensor *t, const void *host, uint64_t bytes) {
    dl_capture_refuse("the host wrote a tensor"); /* a replay would not */
    dl_device *d = t->storage->device;
    DL_TRY(backend_of(t)->copy(d, d->stream, t->data, t->byte_offset, 0, host, 0, 1, bytes));
    dl_storage_touch(t->storage);
    return DL_OK;
}

/* op copy, off the tape: both descriptors are detached. */
static dl_status copy_elements(const dl_tensor *from, dl_tensor *to) {
    dl_tensor *out = to;
    return dl_call(dl_op_find("copy"), &from, 1, &out, 1, NULL, 0);
}

dl_status dl_tensor_read(const dl_tensor *t, void *host, uint64_t bytes) {
    DL_TRY(check_host_bytes(t, bytes));
    dl_capture_refuse("the host read a tensor");
    if (bytes == 0) return DL_OK;
    if (dl_tensor_contiguous(t)) return read_contiguous(t, host, bytes);
    dl_tensor detached = {0}, dense = {0};
    DL_TRY(dl_tensor_detach(&detached, t));
    dl_status status = dl_tensor_new(&dense, t->type, t->ndim, t->shape, t->storage->device);
    if (status == DL_OK) status = copy_elements(&detached, &dense);
    if (status == DL_OK) status = read_contiguous(&dense, host, bytes);
    dl_tensor_clear(&dense);
    dl_tensor_clear(&detached);
    return status;
}

static dl_status refuse_expanded(const dl_tensor *t) {
    for (int32_t d = 0; d < t->ndim; d++)
        if (t->shape[d] > 1 && t->strides[d] == 0)
            return dl_failf(DL_INVALID, "dimension %d is expanded: its %lld elements are one; write to a copy of the tensor", d,
                            (long long)t->shape[d]);
    return DL_OK;
}

dl_status dl_tensor_write(dl_tensor *t, const void *host, uint64_t bytes) {
    DL_TRY(check_host_bytes(t, bytes));
    if (bytes == 0) return DL_OK;
    if (dl_tensor_contiguous(t)) return write_contiguous(t, host, bytes);
    DL_TRY(refuse_expanded(t));
    dl_tensor detached = {0}, dense = {0};
    DL_TRY(dl_tensor_detach(&detached, t));
    dl_status status = dl_tensor_new(&dense, t->type, t->ndim, t->shape, t->storage->device);
    if (status == DL_OK) status = write_contiguous(&dense, host, bytes);
    if (status == DL_OK) status = copy_elements(&dense, &detached);
    dl_tensor_clear(&dense);
    dl_tensor_clear(&detached);
    return status;
}

/* ---- between devices ------------------------------------------------------------------------------------------------ */

enum { STAGING_BYTES = 16 << 20 };

/* Neither side is the host: through a buffer there. */
static dl_status move_staged(dl_tensor *dst, const dl_tensor *src, uint64_t bytes) {
    uint64_t chunk = bytes < STAGING_BYTES ? bytes : STAGING_BYTES;
    char *staging = dl_mem(NULL, chunk);
    if (!staging) return dl_failf(DL_NOMEM, "out of memory: no room to stage a copy between devices");
    dl_device *to = dst->storage->device, *from = src->storage->device;
    dl_status status = DL_OK;
    for (uint64_t done = 0; status == DL_OK && done < bytes; done += chunk) {
        uint64_t n = bytes - done < chunk ? bytes - done : chunk;
        status = backend_of(src)->copy(from, from->stream, staging, 0, 1, src->data, src->byte_offset + done, 0, n);
        if (status == DL_OK) status = backend_of(src)->synchronize(from, from->stream);
        if (status == DL_OK)
            status = backend_of(dst)->copy(to, to->stream, dst->data, dst->byte_offset + done, 0, staging, 0, 1, n);
    }
    dl_mem(staging, 0);
    return status;
}

dl_status dl_tensor_move(dl_tensor *dst, const dl_tensor *src) {
    uint64_t bytes = tensor_bytes(src);
    if (bytes == 0) return DL_OK;
    DL_TRY(dl_tensor_refresh(src));
    dl_capture_refuse("a tensor was copied between devices"); /* no op, so no replay */
    dl_status status;
    if (dl_on_host(dst->storage->device))
        status = read_contiguous(src, (char *)dst->data + dst->byte_offset, bytes);
    else if (dl_on_host(src->storage->device))
        status = write_contiguous(dst, (char *)src->data + src->byte_offset, bytes);
    else
        status = move_staged(dst, src, bytes);
    if (status == DL_OK) dl_storage_touch(dst->storage);
    return status;
}
