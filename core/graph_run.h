/* graph_run.h - the inside of a dl_graph, for dispatch (compositions) and backward (gradients). Graphs are eager: an emitted
 * call runs at once through dl_call, recorded or not as the thread's recording state says. */
#ifndef DL_CORE_GRAPH_RUN_H
#define DL_CORE_GRAPH_RUN_H
#include "core/graph.h"

enum { DL_GRAPH_INLINE = 12 };

struct dl_graph {
    dl_status status;
    const dl_frame *frame;
    const struct dl_op *op; /* compose: whose composition it is; else NULL */
    const dl_tensor *grads; /* grad: one per output, empty where zero; NULL in a composition */
    const int32_t *needs;   /* grad: one per input */
    int32_t n_values, capacity;
    const dl_tensor **values; /* in..., out..., grads..., then what was emitted */
    dl_tensor **owned;        /* the same numbers; NULL for values the graph does not own */
    dl_value *returned;       /* by output (compose) or input (grad) */
    uint32_t n_returned;
};

/* Opens a graph over a frame; close releases everything it made. */
dl_status dl_graph_open(dl_graph *, const dl_frame *, const dl_tensor *grads, const int32_t *needs);
void dl_graph_close(dl_graph *);
/* Moves what was returned under k into *out (an alias if the graph does not own it); *out stays empty if nothing was. */
dl_status dl_graph_take(dl_graph *, uint32_t k, dl_tensor *out);
/* Puts what was returned under k in the place of *out, a new tensor, if it is just such a tensor and nobody else holds its
 * storage; 0 if not: then it must be copied. */
int dl_graph_hand_over(dl_graph *, uint32_t k, dl_tensor *out);
#endif
