/* follow.c - see follow.h. */
#include "core/follow.h"
#include "core/dtype.h"
#include "core/status.h"
#include "core/storage.h"
#include <string.h>

static _Atomic uint64_t move_count, byte_count;

void dl_follow_counts(uint64_t *calls, uint64_t *bytes) {
    *calls = move_count;
    *bytes = byte_count;
}

uint32_t dl_follow_bits(const dl_op *op) {
    static const char *const names[] = {"index", "target", "mask"};
    uint32_t bits = 0;
    for (int32_t k = 0; k < op->n_tensors && !op->n_lists; k++)
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            if (!op->tensors[k].written && strcmp(op->tensors[k].name, names[n]) == 0) bits |= 1u << k;
    return bits;
}

static int follows(const dl_op *op, const dl_tensor *const *in, int32_t k) {
    return (op->follows >> k & 1) && in[k] && in[k]->storage;
}

/* Where the call's first other tensor is; NULL if it has none. */
static dl_device *leader(const dl_op *op, const dl_tensor *const *in, int32_t n_in) {
    for (int32_t k = 0; k < n_in; k++)
        if (!(op->follows >> k & 1) && in[k] && in[k]->storage) return in[k]->storage->device;
    return NULL;
}

int dl_follow_applies(const dl_op *op, const dl_tensor *const *in, int32_t n_in) {
    if (!op->follows || n_in != op->n_tensors) return 0;
    const dl_device *device = leader(op, in, n_in);
    for (int32_t k = 0; device && k < n_in; k++)
        if (follows(op, in, k) && in[k]->storage->device != device) return 1;
    return 0;
}

dl_status dl_follow_inputs(const dl_op *op, const dl_tensor *const *in, int32_t n_in, const dl_tensor **converted,
                           dl_tensor *made) {
    dl_device *device = leader(op, in, n_in);
    for (int32_t k = 0; k < n_in; k++) {
        converted[k] = in[k];
        if (!follows(op, in, k) || in[k]->storage->device == device) continue;
        DL_TRY(dl_tensor_to(&made[k], in[k], device, in[k]->type));
        converted[k] = &made[k];
        move_count++;
        byte_count += (uint64_t)dl_tensor_count(in[k]) * (uint64_t)dl_dtype_bytes(in[k]->type);
    }
    return DL_OK;
}
