/* node_gradient.c - the gradient of one recorded op: saved tensors are unpacked and checked, then the op's grad function emits.
 */
#include "core/autograd.h"
#include "core/graph_run.h"
#include "core/layout.h"
#include "core/mem.h"
#include "core/status.h"
#include "core/storage.h"
#include <string.h>

/* What a segment reads live: the leaf's present value, or the view of it that was recorded. */
static dl_status unpack_live(const dl_node *node, int32_t k, dl_tensor *own) {
    const dl_saved *s = &node->in[k];
    const dl_tensor *now = &s->live->value, *then = &s->live->meta;
    if (node->inputs[k] == s->live) {
        DL_TRY(dl_tensor_alias(own, now));
    } else {
        DL_TRY(dl_tensor_refresh(now));
        DL_TRY(dl_layout_plain(now));
        if (memcmp(now->strides, then->strides, (size_t)then->ndim * sizeof *then->strides) != 0)
            return dl_failf(DL_INVALID, "%s used a view of a tensor whose strides have changed since; call forward again first",
                            node->name);
        DL_TRY(dl_tensor_on(own, now->storage, now->type, now->byte_offset + (s->tensor.byte_offset - then->byte_offset),
                            s->tensor.ndim, s->tensor.shape, s->tensor.strides));
    }
    if (node->inputs[k]) dl_var_retain(own->var = node->inputs[k]);
    return DL_OK;
}

/* A saved input as the gradient sees it. Temporaries go to *own. */
static dl_status unpack_in(const dl_node *node, int32_t k, dl_tensor *own, const dl_tensor **out) {
    const dl_saved *s = &node->in[k];
    *out = s->tensor.size ? &s->tensor : NULL; /* size 0: the optional input was absent */
    if (s->live) {
        DL_TRY(unpack_live(node, k, own));
        *out = own;
    } else if (s->kept && s->tensor.storage->version != s->version) {
        return dl_failf(DL_INVALID,
                        "%s saved its input %d for backward, and it was changed in place since (version %lld, now %lld); clone "
                        "it before the change",
                        node->name, k, (long long)s->version, (long long)s->tensor.storage->version);
    }
    return DL_OK;
}

/* A saved output, back on the tape: its variable was not kept, since that would be a cycle. */
static dl_status unpack_out(dl_node *node, int32_t k, dl_tensor *own, const dl_tensor **out) {
    const dl_saved *s = &node->out[k];
    *out = &s->tensor;
    if (!s->kept) return DL_OK;
    if (s->tensor.storage->version != s->version)
        return dl_failf(DL_INVALID,
                        "%s saved its output for backward, and it was changed in place since (version %lld, now %lld); clone "
                        "it before the change",
                        node->name, (long long)s->version, (long long)s->tensor.storage->version);
    DL_TRY(dl_tensor_alias(own, &s->tensor));
    *out = own;
    return dl_recording_now()->enabled ? dl_var_of_node(node, k, &own->var) : DL_OK;
}

static dl_status call_gradient(dl_node *node, dl_graph *graph, dl_frame *frame) {
    const dl_op *op = node->op;
    const uint32_t before = dl_failures();
    if (op->def.flags & DL_OP_POINTWISE) return dl_pointwise_grad(graph, frame);
    if (op->def.grad) return dl_explained(op->def.grad(graph, frame), before, "its gradient");
    return dl_failf(DL_UNSUPPORTED,
                    "it has no gradient: give dl_op_def.grad, or call it on x:detach() or under torch.noGrad where none shall "
                    "flow");
}

static dl_status run_gradient(dl_node *node, dl_frame *frame, const dl_tensor *grads, dl_tensor *in_grads,
                              const int32_t *needs) {
    dl_graph graph;
    int pointwise = (node->op->def.flags & DL_OP_POINTWISE) != 0;
    DL_TRY(dl_graph_open(&graph, frame, grads, needs));
    frame->user = pointwise ? (void *)node->op : node->op->def.user;
    dl_status status = call_gradient(node, &graph, frame);
    if (status == DL_OK) status = dl_graph_status(&graph);
    for (int32_t k = 0; k < node->n_in && status == DL_OK; k++)
        if (needs[k]) status = dl_graph_take(&graph, (uint32_t)k, &in_grads[k]);
    dl_graph_close(&graph);
    return status;
}

/* Where the gradients are: a node is only visited with one of them present. */
static dl_device *device_of(const dl_tensor *grads, int32_t n) {
    for (int32_t k = 0; k < n; k++)
        if (grads[k].storage) return grads[k].storage->device;
    return NULL;
}

dl_status dl_node_gradient(dl_node *node, const dl_tensor *grads, dl_tensor *in_grads, const int32_t *needs) {
    int32_t n = node->n_in + node->n_out;
    dl_tensor *own = dl_mem_zero((size_t)(n + 1) * sizeof *own);
    const dl_tensor **tensors = dl_mem_zero((size_t)(n + 1) * sizeof *tensors);
    dl_status status = own && tensors ? DL_OK : dl_failf(DL_NOMEM, "out of memory in backward");
    for (int32_t k = 0; k < node->n_in && status == DL_OK; k++) status = unpack_in(node, k, &own[k], &tensors[k]);
    for (int32_t k = 0; k < node->n_out && status == DL_OK; k++)
        status = unpack_out(node, k, &own[node->n_in + k], &tensors[node->n_in + k]);
    if (status == DL_OK) {
        dl_frame frame = {.size = sizeof frame,
                          .device = device_of(grads, node->n_out),
                          .n_in = (uint32_t)node->n_in,
                          .n_out = (uint32_t)node->n_out,
                          .n_attr = (uint32_t)node->n_attr,
                          .in = tensors,
                          .out = (dl_tensor *const *)(tensors + node->n_in),
                          .attr = node->attr};
        status = run_gradient(node, &frame, grads, in_grads, needs);
    }
    for (int32_t k = 0; own && k < n; k++) dl_tensor_clear(&own[k]);
    dl_mem(own, 0);
    dl_mem(tensors, 0);
    return status;
}
