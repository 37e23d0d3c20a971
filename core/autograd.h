/* autograd.h - variables and nodes of the tape.
 *
 * A tensor on the tape carries a dl_var: a leaf (it requires a gradient itself) or result number `output` of a dl_node. Nodes
 * point to their inputs' variables, never to their outputs', so references form no cycle and a graph nobody holds is freed at
 * once. `sequence` grows with every node: backward visits nodes by falling sequence, which is a topological order. */
#ifndef DL_CORE_AUTOGRAD_H
#define DL_CORE_AUTOGRAD_H
#include "core/graph.h"
#include "core/op.h"
#include "dlrun/dlrun.h"
#include <stdatomic.h>

typedef struct dl_node dl_node;

struct dl_var {
    _Atomic int32_t references;
    int32_t output;  /* of node */
    int32_t proxy;   /* a segment's input: unlike other leaves it may be changed in place */
    int64_t history; /* result of a node: the storage's `rewritten` when it was recorded */
    dl_node *node;   /* owned reference; NULL for a leaf */
    dl_tensor meta;  /* shape, type and device, no storage: what a gradient must look like */
    dl_tensor value; /* leaf: the tensor itself (without var), for live reading */
    dl_tensor grad;  /* leaf: the accumulated gradient; empty if none */
};

/* What a node keeps of one tensor. */
typedef struct dl_saved {
    dl_tensor tensor; /* an alias if kept (inputs with their var, outputs without), else shape and type only */
    int64_t version;  /* the storage's when kept; -1: not checked */
    dl_var *live;     /* read this leaf's value, or that view of it, instead (segments); a reference */
    int32_t wanted;   /* an output to keep once it is computed */
    int32_t kept;
    dl_var *fresh; /* an output's variable, made before the call runs so that recording it afterwards cannot fail */
} dl_saved;

typedef enum dl_node_kind { DL_NODE_OP, DL_NODE_CUSTOM, DL_NODE_CUSTOM_C } dl_node_kind;

struct dl_node {
    _Atomic int32_t references;
    dl_node_kind kind;
    uint64_t sequence;
    const dl_op *op; /* DL_NODE_OP */
    char name[48];   /* the op's or the custom function's */
    int64_t custom_id;
    dl_custom_backward backward;
    void (*release)(void *user);
    void *user;
    int32_t n_in, n_out, n_attr;
    int32_t consumed; /* saved tensors were dropped by an earlier backward */
    dl_var **inputs;  /* n_in; NULL where no gradient is wanted */
    dl_saved *in, *out;
    dl_attr *attr;        /* with its own copies of lists and strings */
    dl_node *next_doomed; /* in the list of nodes being freed */
};

void dl_var_retain(dl_var *);
void dl_var_release(dl_var *); /* NULL: nothing */
void dl_node_retain(dl_node *);
void dl_node_release(dl_node *);
void dl_node_consume(dl_node *); /* drops what it saved */
dl_status dl_node_new(int32_t n_in, int32_t n_out, const dl_attr *, int32_t n_attr, const char *name, dl_node **out);
dl_status dl_var_leaf(const dl_tensor *, dl_var **out);            /* a new leaf whose value is that tensor */
dl_status dl_var_of_node(dl_node *, int32_t output, dl_var **out); /* a new variable for that output */

/* This thread's recording state. */
typedef struct dl_recording {
    int32_t enabled;
    int32_t live; /* inside a segment: leaves are read live */
} dl_recording;
dl_recording *dl_recording_now(void);

/* Would a call with these inputs be recorded now? */
int32_t dl_must_record(const dl_tensor *const *in, int32_t n_in);

/* Records a call: begin makes the node before in-place outputs change and fails where the call must not run; end, when it
 * has run, attaches the variables. */
dl_status dl_record_begin(const dl_op *, const dl_frame *, dl_node **out);
void dl_record_end(dl_node *, dl_tensor *const *out, int32_t n_out);
dl_status dl_check_history(const dl_tensor *); /* DL_INVALID where t's variable no longer tells where its values came from */

/* The gradient of one node (core/backward.c uses it): grads[k] of the outputs (empty: zero) -> in_grads[k] for every input
 * with a variable (empty: zero). Emitted calls are recorded if recording is on. */
dl_status dl_node_gradient(dl_node *, const dl_tensor *grads, dl_tensor *in_grads, const int32_t *needs);

#endif
