/* autocast.c - the thread's autocast type, and the conversions it asks for. */
#include "core/autocast.h"
#include "core/status.h"
#include <string.h>

enum { OFF = -1 };
static _Thread_local dl_dtype low_type = OFF;

dl_dtype dl_autocast(void) { return low_type; }

dl_status dl_set_autocast(dl_dtype type) {
    if (type != OFF && type != DL_BF16 && type != DL_F16)
        return dl_failf(DL_INVALID, "autocast computes in bfloat16 or float16; %s was asked for", dl_dtype_name(type));
    low_type = type;
    return DL_OK;
}

int32_t dl_autocast_policy_of(const char *op) {
    static const struct {
        const char *op;
        dl_autocast_policy policy;
    } rows[] = {
#define DL_AUTOCAST(policy, op) {#op, DL_AUTOCAST_##policy},
#include "core/autocast.def"
#undef DL_AUTOCAST
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (strcmp(rows[k].op, op) == 0) return (int32_t)rows[k].policy;
    return DL_AUTOCAST_NONE;
}

/* The type that autocast wants input k in; its own where it is left alone: float64, and what the op writes. */
static dl_dtype wanted(const dl_op *op, const dl_tensor *const *in, int32_t k) {
    const dl_tensor *t = in[k];
    if (op->tensors[k].written) return t->type;
    if (op->autocast == DL_AUTOCAST_LOW) return t->type == DL_F32 ? low_type : t->type;
    return t->type == DL_BF16 || t->type == DL_F16 ? DL_F32 : t->type;
}

int dl_autocast_applies(const dl_op *op, const dl_tensor *const *in, int32_t n_in) {
    if (low_type == OFF || op->autocast == DL_AUTOCAST_NONE) return 0;
    for (int32_t k = 0; k < n_in; k++)
        if (in[k] && in[k]->storage && wanted(op, in, k) != in[k]->type) return 1;
    return 0;
}

dl_status dl_autocast_inputs(const dl_op *op, const dl_tensor *const *in, int32_t n_in, const dl_tensor **converted,
                             dl_tensor *made) {
    const int32_t copy = dl_op_find("copy");
    for (int32_t k = 0; k < n_in; k++) {
        converted[k] = in[k];
        if (!in[k] || !in[k]->storage || wanted(op, in, k) == in[k]->type) continue;
        const dl_attr type = {.kind = DL_ATTR_INT, .v.i = wanted(op, in, k)};
        DL_TRY(dl_call(copy, &in[k], 1, (dl_tensor *[]){&made[k]}, 1, &type, 1));
        converted[k] = &made[k];
    }
    return DL_OK;
}
