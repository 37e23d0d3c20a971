/* graph.c - eager graphs: where compositions and gradients emit their calls. */
#include "core/graph.h"
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
    if (k >= g->n_returned || v >= g->n_values)
        misuse(g, "a place to return", k);
    else if (g->status == DL_OK)
        g->returned[k] = v;
}

/* Where the graph's tensors lie; NULL if it has none. */
static dl_device *device_of(const dl_graph *g) {
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
    dl_device *device = g->frame->device ? g->frame->device : device_of(g);
    g->status = new_value(g, &t);
    if (g->status == DL_OK) g->status = dl_tensor_new(t, type, ndim, shape, device ? device : dl_default_device());
    return g->status == DL_OK ? g->n_values - 1 : DL_NO_VALUE;
}

/* Makes room for the outputs of a call and runs it. */
static dl_status emit(dl_graph *g, dl_op *op, const dl_value *in, uint32_t n_in, const dl_attr *attr, uint32_t n_attr) {
    const dl_tensor *few[DL_GRAPH_INLINE], **tensors = few;
    if (n_in > DL_GRAPH_INLINE && !(tensors = dl_mem(NULL, n_in * sizeof *tensors))) return no_memory();
    dl_status status = DL_OK;
    for (uint32_t k = 0; k < n_in && status == DL_OK; k++) {
        if (in[k] >= g->n_values)
            status = dl_failf(DL_INTERNAL, "%s: value %d does not exist", op->name, in[k]);
        else
            tensors[k] = in[k] < 0 ? NULL : g->values[in[k]];
    }
    dl_tensor *outs[DL_MAX_OUTS] = {0};
    for (int32_t k = 0; k < op->n_outs && status == DL_OK; k++) status = new_value(g, &outs[k]);
    dl_device *device = op->n_tensors ? NULL : device_of(g); /* a call without inputs runs on the default device */
    if (status == DL_OK) status = dl_call_on(device, op->id, tensors, (int32_t)n_in, outs, op->n_outs, attr, (int32_t)n_attr);
    if (tensors != few) dl_mem(tensors, 0);
    return status;
}

dl_value dl_emit(dl_graph *g, const char *name, const dl_value *in, uint32_t n_in, const dl_attr *attr, uint32_t n_attr) {
    if (g->status != DL_OK) return DL_NO_VALUE;
    dl_op *op = dl_op_named(name);
    if (!op) {
        g->status = dl_failf(DL_INTERNAL, "a composition or gradient emits '%s', which is no registered op", name);
        return DL_NO_VALUE;
    }
    dl_value first = g->n_values;
    g->status = emit(g, op, in, n_in, attr, n_attr);
    return g->status == DL_OK ? first : DL_NO_VALUE;
}

dl_value dl_emit_out(dl_graph *g, dl_value first, uint32_t k) {
    if (first == DL_NO_VALUE) return DL_NO_VALUE;
    dl_value v = first + (dl_value)k;
    if (v < g->n_values) return v;
    misuse(g, "output", k);
    return DL_NO_VALUE;
}
