/* graph.c - eager graphs: where compositions and gradients emit their calls. */
#include "core/graph.h"
#include "core/capture.h"
#include "core/graph_run.h"
#include "core/mem.h"
#include "core/op.h"
#include "core/status.h"
#include <string.h>

static dl_status no_memory(void) { return dl_failf(DL_NOMEM, "out of memory in a composition or gradient"); }

static int grow(dl_graph *g, int32_t more) {
    if (g->n_values + more <= g->capacity) return 1;
    int32_t capacity = g->capacity ? 2 * g->capacity + more : 16 + more;
    const dl_tensor **values = dl_mem(g->values, (size_t)capacity * sizeof *values);
    if (values) g->values = values;
    dl_tensor **owned = dl_mem(g->owned, (size_t)capacity * sizeof *owned);
    if (owned) g->owned = owned;
    if (!values || !owned) return 0;
    g->capacity = capacity;
    return 1;
}

static void add_value(dl_graph *g, const dl_tensor *t, dl_tensor *owned) {
    g->values[g->n_values] = t;
    g->owned[g->n_values++] = owned;
}

dl_status dl_graph_open(dl_graph *g, const dl_frame *frame, const dl_tensor *grads, const int32_t *needs) {
    *g = (dl_graph){.status = DL_OK, .frame = frame, .grads = grads, .needs = needs};
    g->n_returned = grads ? frame->n_in : frame->n_out;
    g->returned = dl_mem(NULL, (g->n_returned + 1) * sizeof *g->returned);
    if (!g->returned || !grow(g, (int32_t)(frame->n_in + 2 * frame->n_out))) {
        dl_graph_close(g);
        return no_memory();
    }
    for (uint32_t k = 0; k < g->n_returned; k++) g->returned[k] = DL_NO_VALUE;
    for (uint32_t k = 0; k < frame->n_in; k++) add_value(g, frame->in[k], NULL);
    if (grads) {
        for (uint32_t k = 0; k < frame->n_out; k++) add_value(g, frame->out[k], NULL);
        for (uint32_t k = 0; k < frame->n_out; k++) add_value(g, grads[k].storage ? &grads[k] : NULL, NULL);
    }
    return DL_OK;
}

void dl_graph_close(dl_graph *g) {
    for (int32_t k = 0; k < g->n_values; k++)
        if (g->owned[k]) {
            dl_tensor_clear(g->owned[k]);
            dl_mem(g->owned[k], 0);
        }
    dl_mem(g->values, 0);
    dl_mem(g->owned, 0);
    dl_mem(g->returned, 0);
}

dl_status dl_graph_take(dl_graph *g, uint32_t k, dl_tensor *out) {
    dl_value v = k < g->n_returned ? g->returned[k] : DL_NO_VALUE;
    return v == DL_NO_VALUE || !g->values[v] ? DL_OK : dl_tensor_alias(out, g->values[v]);
}

/* Is t a storage of its own, plain, of out's shape and dtype? */
static int replaces(const dl_tensor *t, const dl_tensor *out) {
    const uint64_t bytes = (uint64_t)dl_tensor_count(t) * (uint64_t)dl_dtype_bytes(t->type);
    if ((t->flags | out->flags) & (DL_TENSOR_CHANNELS_LAST | DL_TENSOR_BORROWED) || t->type != out->type) return 0;
    if (t->ndim != out->ndim || memcmp(t->shape, out->shape, (size_t)t->ndim * sizeof *t->shape) != 0) return 0;
    return t->byte_offset == 0 && dl_storage_bytes(t->storage) == bytes && dl_tensor_contiguous(t);
}

int dl_graph_hand_over(dl_graph *g, uint32_t k, dl_tensor *out) {
    const dl_value v = g->returned[k];
    int32_t held = 0;
    if (v < 0 || !g->owned[v] || !out->storage || !replaces(g->values[v], out)) return 0;
    const dl_storage *storage = g->values[v]->storage;
    for (uint32_t j = 0; j < g->n_returned; j++)
        if (j != k && g->returned[j] >= 0 && g->values[g->returned[j]]->storage == storage) return 0;
    for (int32_t j = 0; j < g->n_values; j++) held += g->owned[j] && g->owned[j]->storage == storage;
    if (dl_storage_references(storage) != held) return 0;
    dl_tensor_clear(out);
    return dl_tensor_alias(out, g->values[v]) == DL_OK;
}

dl_status dl_graph_status(const dl_graph *g) { return g->status; }

void dl_graph_fail(dl_graph *g, dl_status status) {
    if (g->status == DL_OK) g->status = status;
}

static void misuse(dl_graph *g, const char *what, uint32_t k) {
    if (g->status == DL_OK)
        g->status = dl_failf(DL_INTERNAL, "a composition or gradient asked for %s %u, which it does not have", what, k);
}

static dl_value present(dl_graph *g, dl_value v) { return g->values[v] ? v : DL_NO_VALUE; }

dl_value dl_graph_in(dl_graph *g, uint32_t k) {
    if (k >= g->frame->n_in) {
        misuse(g, "input", k);
        return DL_NO_VALUE;
    }
    return present(g, (dl_value)k);
}

dl_value dl_graph_out(dl_graph *g, uint32_t k) {
    if (!g->grads || k >= g->frame->n_out) {
        misuse(g, "output", k);
        return DL_NO_VALUE;
    }
    return present(g, (dl_value)(g->frame->n_in + k));
}

dl_value dl_graph_grad(dl_graph *g, uint32_t k) {
    if (!g->grads || k >= g->frame->n_out) {
        misuse(g, "the gradient of output", k);
        return DL_NO_VALUE;
    }
    return present(g, (dl_value)(g->frame->n_in + g->frame->n_out + k));
}

int32_t dl_graph_needs(dl_graph *g, uint32_t k) { return g->needs && k < g->frame->n_in && g->needs[k]; }

const dl_tensor *dl_graph_tensor(dl_graph *g, dl_value v) {
    if (v >= 0 && v < g->n_values && g->values[v]) return g->values[v];
    if (g->status == DL_OK) g->status = dl_failf(DL_INTERNAL, "a composition or gradient read a value that is not there");
    return NULL;
}

void dl_graph_returns(dl_graph *g, uint32_t k, dl_value v) {
    if (k >= g->n_returned)
        misuse(g, "a place to return", k);
    else if (v >= g->n_values)
        misuse(g, "value", (uint32_t)v);
    else if (g->status == DL_OK)
        g->returned[k] = v;
}

/* Where the graph's tensors lie; NULL if it has none. */
static dl_device *device_for(const dl_graph *g) {
    if (g->frame->device) return g->frame->device;
    for (int32_t k = 0; k < g->n_values; k++) {
        dl_device *device = g->values[k] ? dl_device_of(g->values[k]) : NULL;
        if (device) return device;
    }
    return NULL;
}

dl_status dl_call_on(dl_device *device, int32_t op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out,
                     int32_t n_out, const dl_attr *attr, int32_t n_attr) {
    dl_device *own = dl_default_device();
    if (device && own) (void)dl_set_default_device(device);
    dl_status status = dl_call(op, in, n_in, out, n_out, attr, n_attr);
    if (own) (void)dl_set_default_device(own);
    return status;
}

/* The next value, which the graph owns; *t stays empty for the caller to fill. */
static dl_status new_value(dl_graph *g, dl_tensor **t) {
    if (!grow(g, 1) || !(*t = dl_mem_zero(sizeof **t))) return no_memory();
    add_value(g, *t, *t);
    return DL_OK;
}

dl_value dl_graph_empty(dl_graph *g, dl_dtype type, int32_t ndim, const int64_t *shape) {
    dl_tensor *t = NULL;
    if (g->status != DL_OK) return DL_NO_VALUE;
    dl_device *device = device_for(g);
    g->status = new_value(g, &t);
    if (g->status == DL_OK) g->status = dl_tensor_new(t, type, ndim, shape, device ? device : dl_default_device());
    return g->status == DL_OK ? g->n_values - 1 : DL_NO_VALUE;
}

/* Are the values there, as many as the op takes? What a gradient has not saved is no value. */
static dl_status check_emitted(const dl_graph *g, const dl_op *op, const dl_value *in, uint32_t n_in) {
    if (n_in && !in) return dl_failf(DL_INTERNAL, "%s: %u tensors, and no list of them (NULL)", op->name, n_in);
    if (!op->n_lists && (int32_t)n_in != op->n_tensors)
        return dl_failf(DL_INTERNAL, "%s: expected %d tensors, got %u; signature: %s", op->name, op->n_tensors, n_in,
                        op->def.sig);
    for (uint32_t k = 0; k < n_in; k++) {
        const dl_value v = in[k], given = (dl_value)(g->frame->n_in + g->frame->n_out);
        if (v >= g->n_values) return dl_failf(DL_INTERNAL, "%s: value %d does not exist", op->name, v);
        if (!g->grads || v < 0 || v >= given || !g->values[v] || g->values[v]->storage) continue;
        const int is_in = v < (dl_value)g->frame->n_in;
        return dl_failf(DL_INTERNAL, "its gradient reads %s %d, which is not among its saves", is_in ? "input" : "output",
                        is_in ? v : v - (dl_value)g->frame->n_in);
    }
    return DL_OK;
}

/* Makes room for the outputs of a call, unless its one output goes into `into`, and runs it. */
static dl_status emit(dl_graph *g, dl_op *op, dl_tensor *into, const dl_value *in, uint32_t n_in, const dl_attr *attr,
                      uint32_t n_attr) {
    const dl_tensor *few[DL_GRAPH_INLINE], **tensors = few;
    DL_TRY(check_emitted(g, op, in, n_in));
    if (n_in > DL_GRAPH_INLINE && !(tensors = dl_mem(NULL, n_in * sizeof *tensors))) return no_memory();
    dl_status status = DL_OK;
    for (uint32_t k = 0; k < n_in; k++) tensors[k] = in[k] < 0 ? NULL : g->values[in[k]];
    dl_tensor *outs[DL_MAX_OUTS] = {into};
    for (int32_t k = 0; !into && k < op->n_outs && status == DL_OK; k++) status = new_value(g, &outs[k]);
    dl_device *device = op->n_tensors ? NULL : device_for(g); /* a call without inputs runs on the default device */
    if (status == DL_OK) status = dl_call_on(device, op->id, tensors, (int32_t)n_in, outs, op->n_outs, attr, (int32_t)n_attr);
    if (tensors != few) dl_mem(tensors, 0);
    return status;
}

/* NULL after an error. */
static dl_op *op_to_emit(dl_graph *g, const char *name) {
    if (g->status != DL_OK) return NULL;
    dl_op *op = name ? dl_op_named(name) : NULL;
    if (!name)
        g->status = dl_failf(DL_INTERNAL, "a composition or gradient emits an op without a name (NULL)");
    else if (!op)
        g->status = dl_failf(DL_INTERNAL, "a composition or gradient emits '%s', which is no registered op", name);
    return op;
}

dl_value dl_emit(dl_graph *g, const char *name, const dl_value *in, uint32_t n_in, const dl_attr *attr, uint32_t n_attr) {
    dl_op *op = op_to_emit(g, name);
    if (!op) return DL_NO_VALUE;
    dl_value first = g->n_values;
    g->status = emit(g, op, NULL, in, n_in, attr, n_attr);
    return g->status == DL_OK ? first : DL_NO_VALUE;
}

/* A value of a composition's own, or an input of memory that the op declares to write. */
static int may_write(const dl_graph *g, const dl_tensor *t) {
    const dl_op *op = g->op;
    for (uint32_t k = 0; k < g->frame->n_in; k++)
        if (g->frame->in[k] && g->frame->in[k]->storage == t->storage &&
            !dl_op_argument(op, (int32_t)k, (int32_t)g->frame->n_in)->written)
            return 0;
    return 1;
}

dl_value dl_emit_into(dl_graph *g, dl_value into, const char *name, const dl_value *in, uint32_t n_in, const dl_attr *attr,
                      uint32_t n_attr) {
    dl_op *op = op_to_emit(g, name);
    if (!op) return DL_NO_VALUE;
    const dl_tensor *t = dl_graph_tensor(g, into);
    if (!t) return DL_NO_VALUE;
    if (!g->op || op->n_outs != 1 || !may_write(g, t))
        misuse(g, "a place to write, value", (uint32_t)into);
    else
        g->status = emit(g, op, (dl_tensor *)t, in, n_in, attr, n_attr);
    return g->status == DL_OK ? into : DL_NO_VALUE;
}

dl_value dl_graph_vector(dl_graph *g, int64_t n, const int64_t *values) {
    dl_value v = dl_graph_empty(g, DL_I64, 1, &n);
    if (v != DL_NO_VALUE) g->status = dl_tensor_write(g->owned[v], values, (uint64_t)n * sizeof *values);
    return g->status == DL_OK ? v : DL_NO_VALUE;
}

int64_t dl_graph_read(dl_graph *g, dl_value v) {
    int64_t x = 0;
    const dl_tensor *t = dl_graph_tensor(g, v);
    if (g->status != DL_OK) return 0;
    dl_capture_refuse("the size of a result depends on data");
    g->status = t->type == DL_I64 ? dl_tensor_read(t, &x, sizeof x) : dl_failf(DL_INTERNAL, "the host reads int64 only");
    return g->status == DL_OK ? x : 0;
}

dl_value dl_emit_out(dl_graph *g, dl_value first, uint32_t k) {
    if (first == DL_NO_VALUE) return DL_NO_VALUE;
    dl_value v = first + (dl_value)k;
    if (v < g->n_values) return v;
    misuse(g, "output", k);
    return DL_NO_VALUE;
}
