/* autograd.c - variables and nodes: making, recording, releasing them. */
#include "core/autograd.h"
#include "core/call.h"
#include "core/custom.h"
#include "core/mem.h"
#include "core/status.h"
#include "core/storage.h"
#include "core/tensor.h"
#include <string.h>

static _Thread_local dl_recording recording = {.enabled = 1};
static _Atomic uint64_t next_sequence = 1;

dl_recording *dl_recording_now(void) { return &recording; }

int32_t dl_grad_enabled(void) { return recording.enabled; }

int32_t dl_set_grad_enabled(int32_t on) {
    int32_t old = recording.enabled;
    recording.enabled = on != 0;
    return old;
}

int32_t dl_must_record(const dl_tensor *const *in, int32_t n_in) {
    if (!recording.enabled) return 0;
    for (int32_t k = 0; k < n_in; k++)
        if (in[k] && in[k]->var) return 1;
    return 0;
}

/* ---- variables ---------------------------------------------------------------------------------------------------------- */

/* Shape, type, strides and device of t without its memory. */
static void describe(dl_tensor *d, const dl_tensor *t) {
    memset(d, 0, offsetof(dl_tensor, dims));
    d->size = sizeof *d;
    d->device = t->device;
    d->element = t->element;
    d->type = t->type;
    d->ndim = t->ndim;
    d->byte_offset = t->byte_offset;
    d->shape = d->dims;
    d->strides = d->dims + DL_MAX_DIMS;
    memcpy(d->shape, t->shape, (size_t)t->ndim * sizeof *t->shape);
    if (t->flags & DL_TENSOR_CHANNELS_LAST) /* whoever reads strides will find it plain */
        dl_shape_strides(t->ndim, t->shape, d->strides);
    else
        memcpy(d->strides, t->strides, (size_t)t->ndim * sizeof *t->strides);
}

/* A descriptor that holds nothing: cheaper than zeroing its arrays. */
static void blank(dl_tensor *t) { memset(t, 0, offsetof(dl_tensor, dims)); }

/* A variable without node and meta. */
static dl_status new_var(dl_var **out) {
    dl_var *v = dl_mem(NULL, sizeof *v);
    if (!v) return dl_failf(DL_NOMEM, "out of memory recording a call");
    memset(v, 0, offsetof(dl_var, meta));
    v->references = 1;
    blank(&v->meta);
    blank(&v->value);
    blank(&v->grad);
    *out = v;
    return DL_OK;
}

void dl_var_retain(dl_var *v) { atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed); }

void dl_var_release(dl_var *v) {
    if (!v || atomic_fetch_sub(&v->references, 1) != 1) return;
    dl_node_release(v->node);
    dl_tensor_clear(&v->value);
    dl_tensor_clear(&v->grad);
    dl_mem(v, 0);
}

dl_status dl_var_leaf(const dl_tensor *t, dl_var **out) {
    DL_TRY(new_var(out));
    describe(&(*out)->meta, t);
    dl_status status = dl_tensor_detach(&(*out)->value, t);
    if (status != DL_OK) dl_var_release(*out);
    return status;
}

static void attach(dl_var *v, dl_node *node, int32_t output) {
    describe(&v->meta, &node->out[output].tensor);
    v->node = node;
    v->output = output;
    dl_node_retain(node);
}

dl_status dl_var_of_node(dl_node *node, int32_t output, dl_var **out) {
    DL_TRY(new_var(out));
    attach(*out, node, output);
    if (node->out[output].kept) (*out)->history = node->out[output].tensor.storage->rewritten;
    return DL_OK;
}

dl_status dl_check_history(const dl_tensor *t) {
    if (!t->var || !t->var->node || t->var->history == t->storage->rewritten) return DL_OK;
    return dl_failf(
        DL_INVALID,
        "this result of %s shares its elements with a tensor that was changed in place while recording, so its gradient "
        "is not known any more; make it again after the change",
        t->var->node->name);
}

dl_status dl_requires_grad(dl_tensor *t, int32_t on) {
    if (!t->storage) return dl_failf(DL_INVALID, "an empty tensor cannot require a gradient");
    if (!on) {
        if (t->var && t->var->node)
            return dl_failf(DL_INVALID, "the result of %s is on the tape; use detach() for a tensor that is not",
                            t->var->node->name);
        dl_var_release(t->var);
        t->var = NULL;
        return DL_OK;
    }
    if (t->var) return DL_OK;
    if (!dl_dtype_is_floating(t->type))
        return dl_failf(DL_INVALID, "only floating tensors can require gradients, this one is %s", dl_dtype_name(t->type));
    DL_TRY(dl_var_leaf(t, &t->var));
    if (t->flags & DL_TENSOR_BORROWED) { /* it owns a variable now, so it owns its storage too */
        dl_storage_retain(t->storage);
        t->flags &= ~(uint32_t)DL_TENSOR_BORROWED;
    }
    return DL_OK;
}

int32_t dl_is_recorded(const dl_tensor *t) { return !t->var ? 0 : t->var->node ? 2 : 1; }

const char *dl_recorded_by(const dl_tensor *t) { return t->var && t->var->node ? t->var->node->name : NULL; }

int32_t dl_is_saved(const dl_tensor *t) { return t->storage && t->storage->saved > 0; }

static dl_status leaf_of(const dl_tensor *t, dl_var **out) {
    *out = t->var;
    if (!t->var) return dl_failf(DL_INVALID, "the tensor does not require a gradient; set requiresGrad first");
    if (t->var->node)
        return dl_failf(DL_INVALID, "only leaves keep gradients; this tensor is the result of %s", t->var->node->name);
    return DL_OK;
}

dl_status dl_grad(const dl_tensor *t, dl_tensor *t_grad) {
    if (!t->var || t->var->node || !t->var->grad.storage) return DL_OK;
    return dl_tensor_alias(t_grad, &t->var->grad);
}

dl_status dl_set_grad(dl_tensor *t, const dl_tensor *grad) {
    dl_var *leaf;
    DL_TRY(leaf_of(t, &leaf));
    if (grad) {
        int same = grad->type == t->type && grad->ndim == t->ndim && grad->storage &&
                   grad->storage->device == t->storage->device &&
                   memcmp(grad->shape, t->shape, (size_t)t->ndim * sizeof *t->shape) == 0;
        char a[160], b[160];
        if (!same)
            return dl_failf(DL_INVALID, "a gradient must look like its tensor: expected %s, got %s",
                            dl_tensor_text(t, a, sizeof a), dl_tensor_text(grad, b, sizeof b));
    }
    dl_tensor_clear(&leaf->grad);
    return grad ? dl_tensor_detach(&leaf->grad, grad) : DL_OK; /* with its variable a gradient could refer to its own leaf */
}

/* ---- nodes -------------------------------------------------------------------------------------------------------------- */

static size_t attr_bytes(const dl_attr *a) {
    return a->kind == DL_ATTR_INTS     ? (size_t)a->n * sizeof *a->v.iv
           : a->kind == DL_ATTR_STRING ? (strlen(a->v.s) + 8) & ~(size_t)7
                                       : 0;
}

/* Copies attributes; lists and strings go to `room`, 8-byte aligned. */
static void copy_attrs(dl_attr *to, const dl_attr *from, int32_t n, char *room) {
    for (int32_t k = 0; k < n; k++) {
        to[k] = from[k];
        if (from[k].kind == DL_ATTR_INTS) {
            if (from[k].n) memcpy(room, from[k].v.iv, attr_bytes(&from[k]));
            to[k].v.iv = (const int64_t *)(void *)room;
        } else if (from[k].kind == DL_ATTR_STRING) {
            strcpy(room, from[k].v.s);
            to[k].v.s = room;
        }
        room += attr_bytes(&from[k]);
    }
}

/* One block holds the node and its arrays. */
dl_status dl_node_new(int32_t n_in, int32_t n_out, const dl_attr *attr, int32_t n_attr, const char *name, dl_node **out) {
    size_t lists = 0;
    for (int32_t k = 0; k < n_attr; k++) lists += attr_bytes(&attr[k]);
    size_t saved = (size_t)(n_in + n_out) * sizeof(dl_saved), vars = (size_t)n_in * sizeof(dl_var *);
    dl_node *node = dl_mem_zero(sizeof *node + saved + vars + (size_t)n_attr * sizeof *attr + lists);
    if (!node) return dl_failf(DL_NOMEM, "out of memory recording %s", name);
    char *at = (char *)(node + 1);
    node->in = (dl_saved *)(void *)at;
    node->out = node->in + n_in;
    node->inputs = (dl_var **)(void *)(at + saved);
    node->attr = (dl_attr *)(void *)(at + saved + vars);
    copy_attrs(node->attr, attr, n_attr, (char *)(node->attr + n_attr));
    node->references = 1;
    node->n_in = n_in;
    node->n_out = n_out;
    node->n_attr = n_attr;
    node->sequence = atomic_fetch_add_explicit(&next_sequence, 1, memory_order_relaxed);
    memcpy(node->name, name, strnlen(name, sizeof node->name - 1)); /* the block is zeroed */
    dl_status status = DL_OK;
    for (int32_t k = 0; k < n_out && status == DL_OK; k++) status = new_var(&node->out[k].fresh);
    if (status != DL_OK)
        dl_node_release(node);
    else
        *out = node;
    return status;
}

/* Lets go of the memory, not of shape and type. */
static int drop_saved(dl_saved *s) {
    int held = s->kept || s->live;
    if (s->kept) {
        int32_t ndim = s->tensor.ndim;
        atomic_fetch_sub(&s->tensor.storage->saved, 1);
        dl_tensor_clear(&s->tensor);
        s->tensor.ndim = ndim;
        s->kept = 0;
    }
    dl_var_release(s->live);
    s->live = NULL;
    return held;
}

/* A node that saved nothing can run again: only what is gone is missed. */
void dl_node_consume(dl_node *node) {
    if (node->kind != DL_NODE_OP) node->consumed = 1;
    for (int32_t k = 0; k < node->n_in + node->n_out; k++) node->consumed |= drop_saved(&node->in[k]); /* out follows in */
}

void dl_node_retain(dl_node *node) { atomic_fetch_add_explicit(&node->references, 1, memory_order_relaxed); }

/* Long chains (a recurrent net's thousands of steps) must not recurse: nodes to free are strung on a list. */
static _Thread_local dl_node *doomed;
static _Thread_local int freeing;

static void free_node(dl_node *node) {
    dl_node_consume(node);
    for (int32_t k = 0; k < node->n_in; k++) dl_var_release(node->inputs[k]);
    for (int32_t k = 0; k < node->n_out; k++) dl_var_release(node->out[k].fresh);
    if (node->kind == DL_NODE_CUSTOM) dl_custom_note_released(node->custom_id);
    if (node->kind == DL_NODE_CUSTOM_C && node->release) node->release(node->user);
    dl_mem(node, 0);
}

void dl_node_release(dl_node *node) {
    if (!node || atomic_fetch_sub(&node->references, 1) != 1) return;
    node->next_doomed = doomed;
    doomed = node;
    if (freeing) return;
    freeing = 1;
    while (doomed) {
        dl_node *next = doomed;
        doomed = next->next_doomed;
        free_node(next);
    }
    freeing = 0;
}

/* ---- recording ---------------------------------------------------------------------------------------------------------- */

static dl_status keep(dl_saved *s, const dl_tensor *t, int with_var) {
    dl_tensor_clear(&s->tensor);
    DL_TRY(with_var ? dl_tensor_alias(&s->tensor, t) : dl_tensor_detach(&s->tensor, t));
    s->version = t->storage->version;
    s->kept = 1;
    atomic_fetch_add(&t->storage->saved, 1);
    return DL_OK;
}

/* Which inputs and outputs the gradients of the inputs with variables read. */
static dl_status what_to_save(dl_op *op, const dl_tensor *const *in, int32_t n_in, uint64_t *saved_in, uint32_t *saved_out) {
    *saved_in = op->saved_in;
    *saved_out = op->saved_out;
    if (!(op->def.flags & DL_OP_POINTWISE)) return DL_OK;
    *saved_in = 0;
    *saved_out = 0;
    for (int32_t k = 0; k < n_in; k++) {
        if (!in[k] || !in[k]->var) continue;
        dl_op *gradient;
        DL_TRY(dl_op_gradient(op, k, &gradient));
        uint32_t reads = gradient->saved_in >> 1; /* without g */
        *saved_in |= reads & ((1u << n_in) - 1);
        *saved_out |= reads >> n_in & 1;
    }
    return DL_OK;
}

/* The leaf that t is, or is a view of. */
static dl_var *leaf_below(const dl_tensor *t) {
    dl_var *v = t->var;
    while (v && v->node && v->node->op && (v->node->op->def.flags & DL_OP_VIEW)) v = v->node->inputs[0];
    return v && !v->node ? v : NULL;
}

static dl_status record_input(dl_node *node, int32_t k, const dl_tensor *t, int save) {
    if (!t) return DL_OK;
    DL_TRY(dl_check_history(t));
    if (t->var) {
        node->inputs[k] = t->var;
        dl_var_retain(t->var);
    }
    dl_saved *s = &node->in[k];
    describe(&s->tensor, t);
    if (!save) return DL_OK;
    dl_var *leaf = recording.live ? leaf_below(t) : NULL;
    if (!leaf) return keep(s, t, 1);
    s->live = leaf;
    dl_var_retain(leaf);
    return DL_OK;
}

dl_status dl_record_begin(const dl_op *op, const dl_frame *f, dl_node **out) {
    dl_node *node;
    uint64_t saved_in;
    uint32_t saved_out;
    int32_t n_in = (int32_t)f->n_in;
    DL_TRY(what_to_save((dl_op *)op, f->in, n_in, &saved_in, &saved_out));
    DL_TRY(dl_node_new(n_in, (int32_t)f->n_out, f->attr, (int32_t)f->n_attr, op->name, &node));
    node->op = op;
    dl_status status = DL_OK;
    for (int32_t k = 0; k < n_in && status == DL_OK; k++)
        status = record_input(node, k, f->in[k], op->n_lists ? op->saved_in != 0 : (int)(saved_in >> k & 1));
    for (int32_t k = 0; k < node->n_out; k++) node->out[k].wanted = (int32_t)(saved_out >> k & 1);
    if (status != DL_OK)
        dl_node_release(node);
    else
        *out = node;
    return status;
}

void dl_record_end(dl_node *node, dl_tensor *const *out, int32_t n_out) {
    for (int32_t k = 0; k < n_out; k++) {
        dl_saved *s = &node->out[k];
        describe(&s->tensor, out[k]);
        if (s->wanted) (void)keep(s, out[k], 0); /* cannot fail: the call has just written it */
        if (!dl_dtype_is_floating(out[k]->type)) continue;
        if (out[k]->var) {
            atomic_fetch_add(&out[k]->storage->rewritten, 1);
            dl_var_release(out[k]->var);
        }
        attach(s->fresh, node, k);
        s->fresh->history = out[k]->storage->rewritten;
        out[k]->var = s->fresh;
        s->fresh = NULL;
    }
}
