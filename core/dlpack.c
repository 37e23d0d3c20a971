/* dlpack.c - tensors to other libraries, from them, and to other devices. The layouts of DLPack 0.6 are declared in base.h and
 * here; tests/core/test_dlpack.c compares them with <dlpack/dlpack.h>. */
#include "device.h"
#include "dlpack.h"
#include "dtype.h"
#include "layout.h"
#include "mem.h"
#include "status.h"
#include "tensor.h"

#include <string.h>

/* ---- export --------------------------------------------------------------------------------------------------------- */

/* What an exported DLManagedTensor hangs on. The descriptor inside is ours: an alias that holds the storage. */
typedef struct exported {
    dl_managed_tensor managed;
    dl_tensor tensor;
} exported;

static void drop_exported(dl_managed_tensor *managed) {
    exported *e = managed->context;
    dl_tensor_clear(&e->tensor);
    dl_mem(e, 0);
}

dl_status dl_tensor_to_dlpack(const dl_tensor *t, void **managed) {
    *managed = NULL;
    if (!t->storage) return dl_failf(DL_INVALID, "the tensor is empty: it has no storage to export");
    if (dl_is_recorded(t))
        return dl_failf(DL_INVALID, "the tensor requires a gradient, which DLPack cannot carry: detach it first");
    exported *e = dl_mem_zero(sizeof *e);
    if (!e) return dl_failf(DL_NOMEM, "out of memory exporting a tensor");
    dl_status status = dl_layout_plain(t);
    if (status == DL_OK) status = dl_tensor_detach(&e->tensor, t);
    if (status != DL_OK) {
        dl_mem(e, 0);
        return status;
    }
    atomic_store_explicit(&t->storage->exposed, 1, memory_order_relaxed);
    memcpy(&e->managed.tensor, &e->tensor, sizeof e->managed.tensor); /* shape and strides stay e->tensor's */
    e->managed.context = e;
    e->managed.deleter = drop_exported;
    *managed = &e->managed;
    return DL_OK;
}

/* ---- import --------------------------------------------------------------------------------------------------------- */

static void drop_imported(void *managed) {
    dl_managed_tensor *m = managed;
    if (m->deleter) m->deleter(m);
}

static dl_status import_layout(const dl_dlpack_tensor *in, dl_dtype *type, int64_t strides[DL_MAX_DIMS], uint64_t *extent) {
    int64_t count;
    *type = dl_dtype_of_element(in->element);
    if (*type < 0)
        return dl_failf(DL_UNSUPPORTED, "DLPack element type (code %u, %u bits, %u lanes) is none of dlrun's", in->element.code,
                        in->element.bits, in->element.lanes);
    DL_TRY(dl_shape_count(*type, in->ndim, in->shape, &count));
    if (in->strides)
        memcpy(strides, in->strides, (size_t)in->ndim * sizeof *strides);
    else
        dl_shape_strides(in->ndim, in->shape, strides);
    for (int32_t d = 0; d < in->ndim; d++)
        if (count == 0 || in->shape[d] == 1) strides[d] = 0; /* producers may leave anything there */
    DL_TRY(dl_extent_bytes(in->ndim, in->shape, strides, dl_dtype_bytes(*type), extent));
    if (count == 0) dl_shape_strides(in->ndim, in->shape, strides);
    return DL_OK;
}

static dl_status check_alignment(const dl_dlpack_tensor *in, dl_dtype type) {
    uint64_t address = in->device.type == DL_HOST_TYPE ? (uint64_t)(uintptr_t)in->data + in->byte_offset : in->byte_offset;
    if (address % (uint64_t)dl_dtype_bytes(type) == 0) return DL_OK;
    return dl_failf(DL_INVALID, "the imported data is not aligned to %s's %d bytes; copy it first", dl_dtype_name(type),
                    dl_dtype_bytes(type));
}

dl_status dl_tensor_from_dlpack(dl_tensor *t, void *managed) {
    dl_managed_tensor *m = managed;
    const dl_dlpack_tensor *in = &m->tensor;
    int64_t strides[DL_MAX_DIMS];
    dl_dtype type;
    dl_device *device;
    dl_storage *storage;
    uint64_t extent, bytes;
    DL_TRY(import_layout(in, &type, strides, &extent));
    DL_TRY(dl_device_by_id(in->device, &device));
    DL_TRY(check_alignment(in, type));
    if (__builtin_add_overflow(in->byte_offset, extent, &bytes))
        return dl_failf(DL_INVALID, "the imported byte offset is too large");
    if (!in->data) bytes = 0;
    DL_TRY(dl_storage_adopt(device, in->data, bytes, NULL, m, &storage));
    dl_status status = dl_tensor_on(t, storage, type, bytes ? in->byte_offset : 0, in->ndim, in->shape, strides);
    if (status == DL_OK) storage->release = drop_imported; /* from here on the import owns it */
    dl_storage_release(storage);
    return status;
}

/* ---- to another device or dtype ------------------------------------------------------------------------------------- */

/* Backward of a move: the gradient moves back to where the input was. */
static dl_status move_back(void *user, const dl_tensor *const *grads_out, int32_t n_out, dl_tensor *const *grads_in,
                           int32_t n_in) {
    (void)n_out, (void)n_in;
    if (!grads_out[0]->storage) return DL_OK; /* zero */
    return dl_tensor_to(grads_in[0], grads_out[0], user, grads_out[0]->type);
}

static dl_status copy_on_device(dl_tensor *t, const dl_tensor *of, dl_dtype type) {
    const dl_attr attr = {.kind = DL_ATTR_INT, .v.i = type};
    return dl_call(dl_op_find("copy"), &of, 1, &t, 1, &attr, 1);
}

/* `dense` is contiguous and of the final dtype. */
static dl_status move_and_record(dl_tensor *t, const dl_tensor *dense, dl_device *device) {
    DL_TRY(dl_tensor_new(t, dense->type, dense->ndim, dense->shape, device));
    dl_status status = dl_tensor_move(t, dense);
    if (status == DL_OK && dense->var)
        status = dl_custom_record_c("to", move_back, NULL, dense->storage->device, &dense, 1, &t, 1);
    if (status != DL_OK) dl_tensor_clear(t);
    return status;
}

dl_status dl_tensor_to(dl_tensor *t, const dl_tensor *of, dl_device *device, dl_dtype type) {
    if (!of->storage) return dl_failf(DL_INVALID, "the tensor is empty: it has no storage to copy");
    if (!device) device = of->storage->device;
    if (type < 0) type = of->type;
    DL_TRY(dl_init());
    if (device == of->storage->device) return copy_on_device(t, of, type);
    DL_TRY(dl_tensor_refresh(of));
    DL_TRY(dl_layout_plain(of)); /* bytes are moved as they lie */
    if (type == of->type && dl_tensor_contiguous(of)) return move_and_record(t, of, device);
    dl_tensor dense = {0};
    DL_TRY(copy_on_device(&dense, of, type));
    dl_status status = move_and_record(t, &dense, device);
    dl_tensor_clear(&dense);
    return status;
}
