/* element.c - single elements of a tensor for front ends, as f64. */
#include "capture.h"
#include "device.h"
#include "dlrun/dlrun.h"
#include "dtype.h"
#include "status.h"
#include "storage.h"
#include "tensor.h"

#include <math.h>
#include <string.h>

/* Byte offset of the element within the storage. */
static dl_status find(const dl_tensor *t, const int64_t *index, uint64_t *offset) {
    if (!t->storage) return dl_failf(DL_INVALID, "the tensor is empty: it has no elements");
    int64_t at = 0;
    DL_TRY(dl_tensor_refresh(t));
    for (int32_t d = 0; d < t->ndim; d++) {
        if (index[d] < 0 || index[d] >= t->shape[d])
            return dl_failf(DL_INVALID, "index %lld of dimension %d is out of range 0..%lld", (long long)index[d], d,
                            (long long)t->shape[d] - 1);
        at += index[d] * t->strides[d];
    }
    *offset = t->byte_offset + (uint64_t)at * (uint64_t)dl_dtype_bytes(t->type);
    return DL_OK;
}

/* The dtypes whose C type is the value itself: all but f16 and bf16. */
#define PLAIN_TYPES(X) X(F32, float) X(F64, double) X(U8, uint8_t) X(I8, int8_t) X(I16, int16_t) X(I32, int32_t) X(I64, int64_t)

/* Reads the element's host bytes; 0 for a dtype that only kernels convert. */
static int decode(dl_dtype type, const char *from, double *value) {
    switch (type) {
#define DECODE(NAME, ctype)                                                                                                    \
    case DL_##NAME: {                                                                                                          \
        ctype element;                                                                                                         \
        memcpy(&element, from, sizeof element);                                                                                \
        *value = (double)element;                                                                                              \
        return 1;                                                                                                              \
    }
        PLAIN_TYPES(DECODE)
#undef DECODE
    case DL_BOOL: *value = *from != 0; return 1;
    default: return 0;
    }
}

/* Truncates towards zero into lo..hi (both are exact in f64, hi the largest double not above the type's maximum); NaN gives 0.
 */
static int64_t saturate(double value, double lo, double hi, int64_t max) {
    if (isnan(value)) return 0;
    return value > hi ? max : value < lo ? (int64_t)lo : (int64_t)value;
}

static int encode(dl_dtype type, double value, char *to) {
    switch (type) {
#define ENCODE_FLOAT(NAME, ctype)                                                                                              \
    case DL_##NAME: {                                                                                                          \
        const ctype element = (ctype)value;                                                                                    \
        memcpy(to, &element, sizeof element);                                                                                  \
        return 1;                                                                                                              \
    }
#define ENCODE_INT(NAME, ctype, lo, hi, max)                                                                                   \
    case DL_##NAME: {                                                                                                          \
        const ctype element = (ctype)saturate(value, lo, hi, max);                                                             \
        memcpy(to, &element, sizeof element);                                                                                  \
        return 1;                                                                                                              \
    }
        ENCODE_FLOAT(F32, float)
        ENCODE_FLOAT(F64, double)
        ENCODE_INT(U8, uint8_t, 0, UINT8_MAX, UINT8_MAX)
        ENCODE_INT(I8, int8_t, INT8_MIN, INT8_MAX, INT8_MAX)
        ENCODE_INT(I16, int16_t, INT16_MIN, INT16_MAX, INT16_MAX)
        ENCODE_INT(I32, int32_t, INT32_MIN, INT32_MAX, INT32_MAX)
        ENCODE_INT(I64, int64_t, -0x1p63, 0x1.fffffffffffffp62, INT64_MAX)
#undef ENCODE_FLOAT
#undef ENCODE_INT
    case DL_BOOL: *to = value != 0; return 1;
    default: return 0;
    }
}

/* An f64 scalar and the element as a 0-dim tensor, where a kernel must convert. */
static dl_status pair(const dl_tensor *t, uint64_t offset, dl_tensor *element, dl_tensor *wide) {
    DL_TRY(dl_tensor_on(element, t->storage, t->type, offset, 0, NULL, NULL));
    dl_status status = dl_tensor_new(wide, DL_F64, 0, NULL, t->storage->device);
    if (status != DL_OK) dl_tensor_clear(element);
    return status;
}

static dl_status copy_one(const dl_tensor *from, dl_tensor *to) {
    return dl_call(dl_op_find("copy"), &from, 1, &to, 1, NULL, 0);
}

static char *host_address(const dl_tensor *t, uint64_t offset) {
    return dl_on_host(t->storage->device) ? (char *)t->storage->data + offset : NULL;
}

void dl_plain_nans(dl_dtype type, void *values, int64_t n) {
    float *narrow = values;
    double *wide = values;
    for (int64_t k = 0; type == DL_F32 && k < n; k++)
        if (narrow[k] != narrow[k]) narrow[k] = NAN;
    for (int64_t k = 0; type == DL_F64 && k < n; k++)
        if (wide[k] != wide[k]) wide[k] = NAN;
}

static dl_status get(const dl_tensor *t, uint64_t offset, double *value) {
    const char *from = host_address(t, offset);
    if (from && decode(t->type, from, value)) return DL_OK;
    dl_tensor element = {0}, wide = {0};
    DL_TRY(pair(t, offset, &element, &wide));
    dl_status status = copy_one(&element, &wide);
    if (status == DL_OK) status = dl_tensor_read(&wide, value, sizeof *value);
    dl_tensor_clear(&wide);
    dl_tensor_clear(&element);
    return status;
}

dl_status dl_element_get(const dl_tensor *t, const int64_t *index, double *value) {
    uint64_t offset;
    DL_TRY(find(t, index, &offset));
    DL_TRY(dl_tensor_refresh(t));
    dl_capture_refuse("the host read an element");
    DL_TRY(get(t, offset, value));
    dl_plain_nans(DL_F64, value, 1);
    return DL_OK;
}

dl_status dl_element_set(dl_tensor *t, const int64_t *index, double value) {
    uint64_t offset;
    DL_TRY(find(t, index, &offset));
    DL_TRY(dl_tensor_refresh(t));
    dl_capture_refuse("the host wrote an element"); /* a replay would not */
    char *to = host_address(t, offset);
    if (to && encode(t->type, value, to)) {
        dl_storage_touch(t->storage);
        return DL_OK;
    }
    dl_tensor element = {0}, wide = {0};
    DL_TRY(pair(t, offset, &element, &wide));
    dl_status status = dl_tensor_write(&wide, &value, sizeof value);
    if (status == DL_OK) status = copy_one(&wide, &element);
    dl_tensor_clear(&wide);
    dl_tensor_clear(&element);
    return status;
}
