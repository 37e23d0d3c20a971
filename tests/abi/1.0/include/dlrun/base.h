/* base.h - the types that dlrun.h (embedding) and plugin.h (plugins) share: status, dtypes, the tensor descriptor.
 *
 * C11 and C++17 clean; LuaJIT's ffi.cdef reads the preprocessed text of this file (with DL_CDEF defined), so it holds only
 * what ffi.cdef parses. Struct layouts are ABI: append only. */
#ifndef DLRUN_BASE_H
#define DLRUN_BASE_H

#ifndef DL_CDEF
#include <stddef.h>
#include <stdint.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- status -------------------------------------------------------------------------------------------------------- */

enum {
#define DL_STATUS(NAME, number, text) DL_##NAME = number,
#include "dlrun/status.def"
#undef DL_STATUS
    DL_STATUS_COUNT
};
typedef int32_t dl_status; /* one of the enum above; a message accompanies every value but DL_OK and DL_PENDING */

/* ---- dtypes -------------------------------------------------------------------------------------------------------- */

enum {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) DL_##NAME = number,
#include "dlrun/dtype.def"
#undef DL_DTYPE
    DL_DTYPE_COUNT
};
typedef int32_t dl_dtype; /* one of the enum above */

/* ---- DLPack's device and element type, layout-compatible (tests/core/test_dlpack.c asserts it against dlpack.h) ------ */

typedef struct dl_device_id {
    int32_t type; /* DLDeviceType: 1 CPU, 2 CUDA, 4 OpenCL, 12 and up: third-party backends */
    int32_t index;
} dl_device_id;

typedef struct dl_element {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
} dl_element;

typedef struct dl_storage dl_storage; /* reference-counted device memory with a version counter */
typedef struct dl_var dl_var;         /* a tensor's place in autograd: reference-counted */
typedef struct dl_device dl_device;   /* an open device */
typedef struct dl_stream dl_stream;   /* an ordered queue of work on a device */
typedef struct dl_event dl_event;     /* a point in a stream */

enum { DL_MAX_DIMS = 12 };

/* Tensor flags. */
enum {
    DL_TENSOR_BORROWED = 1, /* storage and var are not owned: dl_tensor_clear() drops nothing (a view that its owner anchors) */
    DL_TENSOR_CHANNELS_LAST = 2, /* an activation that its op laid out so; dl_tensor_plain() undoes it (core/layout.c) */
};

/* A tensor descriptor. Its first seven fields are DLPack's DLTensor, so a dl_tensor* is a valid DLTensor*.
 *   data         base handle of the storage: a host pointer on the CPU, an opaque handle elsewhere; the first element lies
 *                byte_offset bytes behind it. byte_offset is never folded into data.
 *   shape        points to dims, strides to dims + DL_MAX_DIMS (both always set, also for ndim 0). Because of these two
 *                inner pointers a descriptor must never be copied with = or memcpy: use dl_tensor_alias().
 *   strides      in elements, never negative; 0 where a dimension is expanded.
 *   storage,var  one reference each is owned, unless DL_TENSOR_BORROWED. storage NULL: the descriptor is empty. */
typedef struct dl_tensor {
    void *data;
    dl_device_id device;
    int32_t ndim;
    dl_element element;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
    uint32_t size;  /* sizeof(dl_tensor) of whoever made it */
    uint32_t flags; /* DL_TENSOR_* */
    dl_dtype type;  /* the same fact as element, as an index into dtype.def */
    int32_t reserved;
    dl_storage *storage;
    dl_var *var; /* NULL: not on the tape and requires no gradient */
    int64_t dims[2 * DL_MAX_DIMS];
} dl_tensor;

/* ---- attributes: an op's non-tensor arguments ------------------------------------------------------------------------ */

enum {
    DL_ATTR_NONE = 0,   /* take the signature's default */
    DL_ATTR_INT = 1,    /* v.i: int, bool or dtype */
    DL_ATTR_FLOAT = 2,  /* v.f */
    DL_ATTR_INTS = 3,   /* v.iv, n of them; the caller's memory, read only during the call */
    DL_ATTR_STRING = 4, /* v.s, NUL-terminated; as above */
};

typedef struct dl_attr {
    int32_t kind; /* DL_ATTR_* */
    int32_t n;    /* DL_ATTR_INTS: how many */
    union {
        int64_t i;
        double f;
        const int64_t *iv;
        const char *s;
    } v;
} dl_attr;

#ifdef __cplusplus
}
#endif
#endif
