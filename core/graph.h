/* graph.h - what shape rules, compositions and gradients are written with: the core's side of dl_host's functions.
 *
 * A shape rule (infer) reads descriptors and sets outputs. A composition or a gradient emits calls into a dl_graph; an error
 * sticks to the graph, so no emit needs a check: later emits do nothing and the caller of the function reads the status.
 *
 * Contract with the dispatcher and the tape:
 *   - Messages of these functions do not name the op: the dispatcher puts "op: " in front (dl_fail_context).
 *   - frame->in[k] and frame->out[k] have shape, strides and type in compose and grad too, for tensors that were not saved as
 *     well (data and storage are then NULL); an absent optional is NULL.
 *   - What a graph emits without inputs (full, arange) lies on the device of the frame.
 *   - returns may get the incoming gradient itself, or one value for two inputs: values are never written in place. */
#ifndef DL_CORE_GRAPH_H
#define DL_CORE_GRAPH_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

/* ---- infer ------------------------------------------------------------------------------------------------------------- */

/* Shape and type of output k. Where the caller gave `out` (frame->out[k]->storage is set) the two are compared by the
 * dispatcher. */
dl_status dl_set_out(dl_frame *, uint32_t k, dl_dtype type, int32_t ndim, const int64_t *shape);
/* A view of in[0]: strides in elements; byte_offset is absolute, that is from the start of the storage. */
dl_status dl_set_view(dl_frame *, uint32_t k, int32_t ndim, const int64_t *shape, const int64_t *strides, uint64_t byte_offset);

/* In run of a DL_OP_SYNC op: makes output k. */
dl_status dl_alloc_out(const dl_frame *, uint32_t k, dl_dtype type, int32_t ndim, const int64_t *shape);

/* ---- compose and grad -------------------------------------------------------------------------------------------------- */

dl_value dl_graph_in(dl_graph *, uint32_t k);
dl_value dl_graph_out(dl_graph *, uint32_t k);  /* grad only: a saved output */
dl_value dl_graph_grad(dl_graph *, uint32_t k); /* grad only: the gradient of output k; DL_NO_VALUE where it is zero */
int32_t dl_graph_needs(dl_graph *, uint32_t k); /* grad only: does input k need a gradient? */
dl_value dl_emit(dl_graph *, const char *op, const dl_value *in, uint32_t n_in, const dl_attr *, uint32_t n_attr);
dl_value dl_emit_out(dl_graph *, dl_value first, uint32_t k); /* output k of the call whose dl_emit gave `first` */
/* compose only: the op's one output is written into a value that is there already: an input marked Tensor! or Tensor![], or a
 * value of the graph's own, such as an empty one or a view of it. Its shape must be the result's; dtypes convert as for an
 * output given to dl_call. Returns `into`. */
dl_value dl_emit_into(dl_graph *, dl_value into, const char *op, const dl_value *in, uint32_t n_in, const dl_attr *,
                      uint32_t n_attr);
/* compose of a DL_OP_SYNC op: an int64 value of one element, read by the host; 0 after an error. */
int64_t dl_graph_read(dl_graph *, dl_value);
/* A new int64 vector with values from the host. A step that contains it is not captured. */
dl_value dl_graph_vector(dl_graph *, int64_t n, const int64_t *values);
/* A new tensor on the frame's device, uninitialised: for ops that do not read it (fill, ramp, philox), and to be written into.
 */
dl_value dl_graph_empty(dl_graph *, dl_dtype, int32_t ndim, const int64_t *shape);
const dl_tensor *dl_graph_tensor(dl_graph *, dl_value);  /* shape and type; NULL after an error */
void dl_graph_returns(dl_graph *, uint32_t k, dl_value); /* compose: output k; grad: the gradient of input k */
void dl_graph_fail(dl_graph *, dl_status);               /* makes a status stick; its message has been left already */
dl_status dl_graph_status(const dl_graph *);

/* dl_call with another default device: where ops without inputs put their results. NULL: the thread's own. */
dl_status dl_call_on(dl_device *, int32_t op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                     const dl_attr *, int32_t n_attr);
#endif
