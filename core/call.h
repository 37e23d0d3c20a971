/* call.h - one call on its way through the door: shared by dispatch.c, pointwise_call.c, infer.c and capture.c. */
#ifndef DL_CORE_CALL_H
#define DL_CORE_CALL_H
#include "core/op.h"

/* Floating dtypes come first in dtype.def. */
static inline int dl_dtype_is_floating(dl_dtype t) { return t <= DL_BF16; }

/* The frame comes first: dl_set_out and dl_set_view, which are given the frame, find the call through it. */
typedef struct dl_call_context {
    dl_frame frame;
    dl_op *op;
    dl_tensor *out[DL_MAX_OUTS]; /* what the kernel writes: the caller's, or temp[k] */
    dl_tensor *caller_out[DL_MAX_OUTS];
    dl_tensor temp[DL_MAX_OUTS]; /* outputs computed aside: other dtype than the caller's tensor, or overlap with an input */
    uint32_t given;              /* bit k: the caller gave output k a storage */
    uint32_t aside;              /* bit k: computed in temp[k], then copied */
    uint32_t shaped, viewed;     /* bit k: infer has set output k; as a view */
    const dl_tensor *pointwise_in[DL_MAX_TENSORS]; /* cast and expanded inputs of pointwise ops */
    dl_tensor cast[DL_MAX_TENSORS];                /* what backs them */
    dl_tensor expanded[DL_MAX_TENSORS];
    uint32_t cast_made; /* bit k */
    dl_attr attr[DL_MAX_ATTRS];
} dl_call_context;

static inline dl_call_context *dl_context_of(dl_frame *f) { return (dl_call_context *)f; }

/* Types, shapes and programs of a pointwise call: sets outputs, casts and expands inputs. core/pointwise_call.c */
dl_status dl_pointwise_prepare(dl_call_context *, const dl_tensor *const *in);
dl_status dl_pointwise_infer(dl_call_context *, const dl_tensor *const *in);
dl_status dl_pointwise_expand(dl_call_context *, const dl_tensor *const *in); /* broadcasting alone, for copy */

dl_status dl_infer(dl_call_context *); /* the op's shape rule; its messages get the op's name in front. core/infer.c */

/* Refuses a given output of a DL_OP_SYNC op; one that its kernel has left without a tensor. core/infer.c */
dl_status dl_sized_by_data(const dl_tensor *out);
dl_status dl_infer_check_allocated(const dl_call_context *);

/* The door behind dl_call, with an epilogue program for kernels that take one; for a pointwise op, with the program of the op
 * and what follows it, of the same types. core/dispatch.c */
dl_status dl_call_op(dl_op *, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                     const dl_attr *attr, int32_t n_attr, const dl_prog *epilogue, const dl_attr *epilogue_attr);

/* Copies elements (and converts) without recording: src broadcast to dst. core/dispatch.c */
dl_status dl_copy_into(dl_tensor *dst, const dl_tensor *src);

/* A short text for messages: "float32 (64, 784)". */
const char *dl_tensor_text(const dl_tensor *, char *text, size_t capacity);
#endif
