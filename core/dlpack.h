/* dlpack.h - DLPack 0.6's structs, layout-compatible, so that building needs no other header. */
#ifndef DL_CORE_DLPACK_H
#define DL_CORE_DLPACK_H
#include "dlrun/dlrun.h"

typedef struct dl_dlpack_tensor { /* DLTensor: the first seven fields of dl_tensor */
    void *data;
    dl_device_id device;
    int32_t ndim;
    dl_element element;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL: row-major */
    uint64_t byte_offset;
} dl_dlpack_tensor;

typedef struct dl_managed_tensor { /* DLManagedTensor */
    dl_dlpack_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed_tensor *); /* called once by whoever consumed it */
} dl_managed_tensor;

#endif
