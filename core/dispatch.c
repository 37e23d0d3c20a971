/* dispatch.c - dl_call, the one door: infer, allocate, find the plan, run it, record it. */
#include "core/alloc.h"
#include "core/autocast.h"
#include "core/autograd.h"
#include "core/call.h"
#include "core/capture.h"
#include "core/fallback.h"
#include "core/follow.h"
#include "core/graph_run.h"
#include "core/layout.h"
#include "core/plan.h"
#include "core/random.h"
#include "core/status.h"
#include "core/storage.h"
#include "core/tensor.h"
#include <stdatomic.h>
#include <string.h>

static _Atomic uint64_t call_count;

static int32_t copy_op(void) {
    static _Atomic int32_t id = -1;
    if (id < 0) id = dl_op_find("copy");
    return id;
}

/* ---- checks before anything is allocated ------------------------------------------------------------------------------- */

static dl_status check_counts(const dl_op *op, int32_t n_in, int32_t n_out) {
    int32_t singles = op->n_tensors - op->n_lists;
    int fits = op->n_lists ? n_in >= singles && (n_in - singles) % op->n_lists == 0 : n_in == op->n_tensors;
    if (!fits)
        return dl_failf(DL_INVALID, "%s: expected %d tensors%s, got %d; signature: %s", op->name, op->n_tensors,
                        op->n_lists ? " (lists of equal lengths)" : "", n_in, op->def.sig);
    if (n_out != op->n_outs)
        return dl_failf(DL_INVALID, "%s: expected %d outputs, got %d; signature: %s", op->name, op->n_outs, n_out, op->def.sig);
    return DL_OK;
}

static dl_status check_present(const dl_op *op, const dl_tensor *const *in, int32_t n_in) {
    for (int32_t k = 0; k < n_in; k++) {
        if (in[k] && in[k]->storage) {
            DL_TRY(dl_tensor_refresh(in[k]));
            if ((op->def.flags & DL_OP_VIEW) || dl_capturing()) DL_TRY(dl_layout_plain(in[k]));
            continue;
        }
        const dl_arg *arg = dl_op_argument(op, k, n_in);
        int unread = op->grad_of && !(op->saved_in >> k & 1); /* a gradient's program need not read every tensor */
        int optional = arg->kind == DL_ARG_OPTIONAL || (arg->kind == DL_ARG_LIST && arg->written); /* an optimizer's state */
        if (!in[k] && (optional || (unread && k > 0))) continue;
        return dl_failf(DL_INVALID, "%s: tensor '%s' is %s", op->name, arg->name,
                        in[k] ? "empty (it has no storage)" : "missing");
    }
    return DL_OK;
}

/* All tensors of a call live on one device. */
static dl_status choose_device(const dl_op *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                               dl_device **device) {
    *device = NULL;
    for (int32_t k = 0; k < n_in + n_out; k++) {
        const dl_tensor *t = k < n_in ? in[k] : out[k - n_in];
        if (!t || !t->storage) continue;
        dl_device *d = t->storage->device;
        if (!*device)
            *device = d;
        else if (d != *device)
            return dl_failf(DL_INVALID, "%s: tensors on different devices: %s and %s; move one with :to()", op->name,
                            dl_device_name(*device), dl_device_name(d));
    }
    if (!*device) *device = dl_default_device();
    return *device ? DL_OK : DL_UNSUPPORTED;
}

/* ---- in-place writes ---------------------------------------------------------------------------------------------------- */

static int same_view(const dl_tensor *a, const dl_tensor *b) {
    if (a->byte_offset != b->byte_offset || a->ndim != b->ndim || a->type != b->type) return 0;
    for (int32_t d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d] || (a->strides[d] != b->strides[d] && a->shape[d] != 1)) return 0;
    return 1;
}

/* Do the address ranges of two tensors of one storage meet? */
static int ranges_meet(const dl_tensor *a, const dl_tensor *b) {
    uint64_t bytes_a, bytes_b;
    if (dl_extent_bytes(a->ndim, a->shape, a->strides, dl_dtype_bytes(a->type), &bytes_a) != DL_OK ||
        dl_extent_bytes(b->ndim, b->shape, b->strides, dl_dtype_bytes(b->type), &bytes_b) != DL_OK)
        return 1;
    return a->byte_offset < b->byte_offset + bytes_b && b->byte_offset < a->byte_offset + bytes_a;
}

/* Does an output that the caller gave share memory with an input in a way a kernel must not see? */
static int overlaps(const dl_call_context *c, const dl_tensor *out, const dl_tensor *const *in, int32_t n_in) {
    int pointwise = (c->op->def.flags & DL_OP_POINTWISE) != 0;
    for (int32_t k = 0; k < n_in; k++)
        if (in[k] && in[k]->storage == out->storage && !(pointwise && same_view(in[k], out)) && ranges_meet(in[k], out))
            return 1;
    return 0;
}

static int is_recorded_view(const dl_tensor *t) {
    return t->var && t->var->node && t->var->node->op && (t->var->node->op->def.flags & DL_OP_VIEW);
}

static dl_status check_given(dl_call_context *c, uint32_t k, const dl_tensor *const *in, int32_t n_in, int record) {
    dl_tensor *out = c->caller_out[k];
    for (int32_t d = 0; d < out->ndim; d++)
        if (out->strides[d] == 0 && out->shape[d] > 1)
            return dl_failf(DL_INVALID,
                            "%s: cannot write into an expanded tensor: several elements share one place; clone it first",
                            c->op->name);
    if (dl_recording_now()->enabled) {
        if (out->var && !out->var->node && !out->var->proxy)
            return dl_failf(DL_INVALID,
                            "%s: a leaf that requires a gradient cannot be changed in place while recording; wrap the change "
                            "in torch.noGrad",
                            c->op->name);
        int view = (out->flags & DL_TENSOR_BORROWED) || is_recorded_view(out);
        if ((record || out->var) && view)
            return dl_failf(DL_INVALID,
                            "%s: a recorded value cannot be written into a view of another tensor; build the result with "
                            "torch.cat or torch.stack",
                            c->op->name);
    }
    if (!(c->aside >> k & 1) && overlaps(c, out, in, n_in)) {
        c->aside |= 1u << k;
        memset(&c->temp[k], 0, sizeof c->temp[k]);
        DL_TRY(dl_tensor_new(&c->temp[k], out->type, out->ndim, out->shape, c->frame.device));
    }
    return DL_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------------------ */

/* Allocates new outputs and puts temporaries in the place of given ones that must be computed aside. */
static dl_status make_outputs(dl_call_context *c) {
    for (uint32_t k = 0; k < c->frame.n_out; k++) {
        dl_tensor *out = c->caller_out[k];
        if (c->aside >> k & 1)
            c->out[k] = &c->temp[k];
        else if (!(c->given >> k & 1)) {
            int64_t shape[DL_MAX_DIMS];
            dl_dtype type = out->type;
            int32_t ndim = out->ndim;
            memcpy(shape, out->dims, sizeof shape);
            memset(out, 0, sizeof *out);
            DL_TRY(dl_tensor_new(out, type, ndim, shape, c->frame.device));
            if (dl_layout_wanted(c->op, &c->frame, out)) dl_layout_channels_last(out);
        }
    }
    return DL_OK;
}

static dl_status no_output(uint32_t k) { return dl_failf(DL_INTERNAL, "its composition returned no output %u", k); }

/* Compositions nest a few deep. One that leads back to its own op, where no kernel takes over, would never end. */
static dl_status compose(const dl_op *op, dl_graph *graph, dl_frame *frame) {
    enum { DEEPEST = 64 };
    static _Thread_local int32_t depth;
    if (depth == DEEPEST)
        return dl_failf(DL_INTERNAL,
                        "its composition leads back to itself, and no kernel takes over (compositions nested %d deep)",
                        DEEPEST);
    const uint32_t before = dl_failures();
    depth++;
    dl_status status = op->def.compose(graph, frame);
    depth--;
    if (status != DL_UNSUPPORTED) status = dl_explained(status, before, "its composition");
    return status;
}

/* A plugin's composition must make what its shape rule has promised: a copy alone would broadcast and convert. */
static dl_status check_composed(const dl_call_context *c, uint32_t k, const dl_tensor *result) {
    const dl_tensor *out = c->out[k];
    if (!c->op->foreign) return DL_OK;
    if (result->type == out->type && result->ndim == out->ndim &&
        memcmp(result->shape, out->shape, (size_t)out->ndim * sizeof *out->shape) == 0)
        return DL_OK;
    char promised[160], made[160];
    return dl_failf(DL_INTERNAL, "output %u: its infer promised %s, its composition made %s", k,
                    dl_tensor_text(out, promised, sizeof promised), dl_tensor_text(result, made, sizeof made));
}

/* *covers: 0 where the composition itself refused the call (DL_UNSUPPORTED), not an op that it needs. */
static dl_status run_composed(dl_call_context *c, int *covers) {
    dl_graph graph;
    dl_recording *recording = dl_recording_now();
    int32_t enabled = recording->enabled;
    recording->enabled = 0;
    dl_status status = dl_graph_open(&graph, &c->frame, NULL, NULL);
    if (status == DL_OK) {
        graph.op = c->op;
        c->frame.user = c->op->def.user;
        status = compose(c->op, &graph, &c->frame);
        *covers = !(status == DL_UNSUPPORTED && dl_graph_status(&graph) == DL_OK);
        if (status == DL_OK) status = dl_graph_status(&graph);
        for (uint32_t k = 0; k < c->frame.n_out && status == DL_OK; k++) {
            dl_tensor result = {0};
            if (c->op->def.flags & DL_OP_SYNC && (status = dl_sized_by_data(c->out[k])) != DL_OK) break;
            if (!((c->given | c->aside) >> k & 1) && dl_graph_hand_over(&graph, k, c->out[k])) continue;
            status = dl_graph_take(&graph, k, &result);
            if (status == DL_OK && !result.storage) status = no_output(k);
            if (status == DL_OK && !(c->op->def.flags & DL_OP_SYNC)) status = check_composed(c, k, &result);
            if (status == DL_OK) status = dl_copy_into(c->out[k], &result);
            dl_tensor_clear(&result);
        }
        dl_graph_close(&graph);
    }
    recording->enabled = enabled;
    /* also where an inner op has found bad data */
    return status == DL_INVALID || status == DL_INTERNAL ? dl_fail_named(status, c->op->name) : status;
}

/* What a kernel's prepare has said in refusing belongs to the answer. */
static dl_status lacking(const dl_call_context *c, uint32_t before) {
    const char *backend = dl_core_of(c->frame.device)->backend->api.name;
    const dl_tensor *first = c->frame.n_in && c->frame.in[0] ? c->frame.in[0] : c->out[0];
    const int told = dl_failures() != before;
    return dl_failf(DL_UNSUPPORTED, "backend %s has no kernel for %s on %s, and no composition covers it%s%s%s%s", backend,
                    c->op->name, dl_dtype_name(first->type), told ? " (" : "", told ? dl_last_error() : "", told ? ")" : "",
                    dl_on_host(c->frame.device) ? "" : "; --fallback=cpu would run it on the CPU");
}

/* The composition, or, where an op that it needs is missing, the whole op on the CPU if that is allowed: one call, and the same
 * draws. What writes its inputs is not begun twice: there the ops within fall back, each by itself. */
static dl_status compose_or_fall_back(dl_call_context *c, uint32_t failures) {
    const int whole = !(c->op->def.flags & DL_OP_MUTATES);
    const uint64_t call = dl_random_call();
    int covers = 1;
    const int32_t before = whole ? dl_fallback_suspend() : 0;
    dl_status status = run_composed(c, &covers);
    if (whole) dl_fallback_resume(before);
    if (status != DL_UNSUPPORTED) return status;
    dl_set_random_call(call);
    if (dl_fallback_allowed(c->frame.device)) return dl_fallback_run(c->op, &c->frame);
    return covers ? dl_fail_named(status, c->op->name) : lacking(c, failures);
}

static _Thread_local int32_t primitives_only;

int32_t dl_set_primitives_only(int32_t on) {
    int32_t old = primitives_only;
    primitives_only = on != 0;
    return old;
}

/* The kernel, else the composition, else the CPU where that is allowed. */
static dl_status compute(dl_call_context *c) {
    dl_cached_plan *plan = NULL;
    const uint32_t failures = dl_failures();
    if (!primitives_only || c->op->primitive) DL_TRY(dl_plan_find(c->op, &c->frame, &plan));
    if (plan) {
        if (c->op->def.flags & DL_OP_RANDOM) dl_random_bind(&c->frame);
        dl_status status = dl_plan_run(c->op, &c->frame, plan);
        if (status == DL_OK) status = dl_capture_note(c->op, &c->frame, plan);
        dl_plan_release(plan);
        return status;
    }
    if (c->frame.epilogue) return DL_UNSUPPORTED; /* dl_call_fused then makes the calls one by one */
    if (c->op->def.compose) return compose_or_fall_back(c, failures);
    if (dl_fallback_allowed(c->frame.device)) return dl_fallback_run(c->op, &c->frame);
    return lacking(c, failures);
}

static void touch_written(const dl_call_context *c) {
    for (uint32_t k = 0; k < c->frame.n_in; k++)
        if (c->frame.in[k] && dl_op_argument(c->op, (int32_t)k, (int32_t)c->frame.n_in)->written)
            dl_storage_touch(c->frame.in[k]->storage);
}

static dl_status store_aside(dl_call_context *c) {
    for (uint32_t k = 0; k < c->frame.n_out; k++)
        if (c->aside >> k & 1) DL_TRY(dl_copy_into(c->caller_out[k], &c->temp[k]));
    return DL_OK;
}

static void release_temporaries(dl_call_context *c) {
    for (uint32_t k = 0; k < c->frame.n_out; k++)
        if (c->aside >> k & 1) dl_tensor_clear(&c->temp[k]);
    for (int32_t k = 0; c->cast_made >> k; k++)
        if (c->cast_made >> k & 1) dl_tensor_clear(&c->cast[k]);
}

/* After a failure new outputs are empty again. */
static void empty_new_outputs(dl_call_context *c) {
    for (uint32_t k = 0; k < c->frame.n_out; k++)
        if (!(c->given >> k & 1)) {
            if (c->caller_out[k]->storage)
                dl_tensor_clear(c->caller_out[k]);
            else
                memset(c->caller_out[k], 0, sizeof *c->caller_out[k]);
        }
}

static dl_status make_view(dl_call_context *c) {
    const dl_tensor *x = c->frame.in[0];
    for (uint32_t k = 0; k < c->frame.n_out; k++) {
        dl_tensor *out = c->caller_out[k];
        out->data = x->data;
        out->device = x->device;
        out->element = x->element;
        out->storage = x->storage;
        dl_storage_retain(out->storage);
    }
    return DL_OK;
}

static int differentiable(const dl_op *op) {
    if (op->def.flags & DL_OP_POINTWISE) return !(op->def.grads && !*op->def.grads);
    return op->def.grad != NULL;
}

/* A plugin's op without a gradient is recorded where its result could have one, so that backward says so instead of stopping
 * there silently. Sizes and types of DL_OP_SYNC results are not known before they are computed: those are left out. */
static int must_record(const dl_call_context *c, int record) {
    int floating = 0;
    if (!record || differentiable(c->op)) return record;
    if (c->op->def.flags & (DL_OP_SYNC | DL_OP_POINTWISE)) return 0;
    for (uint32_t k = 0; k < c->frame.n_out; k++) floating |= dl_dtype_is_floating(c->out[k]->type);
    return floating;
}

/* Everything between the checks and the tape. */
static dl_status execute(dl_call_context *c, const dl_tensor *const *in, int record, dl_node **node) {
    int pointwise = (c->op->def.flags & DL_OP_POINTWISE) != 0;
    c->frame.user = c->op->def.user;
    DL_TRY(pointwise ? dl_pointwise_infer(c, in) : dl_infer(c));
    record = must_record(c, record);
    if (pointwise && c->frame.epilogue) { /* a chain of pointwise ops: the program is the whole of it */
        c->frame.prog = c->frame.epilogue;
        c->frame.prog_attr = c->frame.epilogue_attr;
        c->frame.epilogue = NULL;
        c->frame.epilogue_attr = NULL;
    }
    if (c->op->def.flags & DL_OP_VIEW)
        DL_TRY(make_view(c));
    else {
        for (uint32_t k = 0; k < c->frame.n_out; k++)
            if (c->given >> k & 1) DL_TRY(check_given(c, k, in, (int32_t)c->frame.n_in, record));
        if (!(c->op->def.flags & DL_OP_SYNC)) DL_TRY(make_outputs(c));
        /* What an in-place call saves must be saved before it is overwritten. */
        if (record) DL_TRY(dl_record_begin(c->op, &c->frame, node));
        if (pointwise)
            DL_TRY(dl_pointwise_prepare(c, in));
        else if (c->op->is_copy)
            DL_TRY(dl_pointwise_expand(c, in));
        DL_TRY(compute(c));
        if (c->op->def.flags & DL_OP_SYNC) DL_TRY(dl_infer_check_allocated(c));
        if (c->op->def.flags & DL_OP_MUTATES) touch_written(c);
        DL_TRY(store_aside(c));
        c->frame.in = in;
        return DL_OK;
    }
    return record ? dl_record_begin(c->op, &c->frame, node) : DL_OK;
}

/* A given output that is overwritten with something unrecorded leaves the tape. */
static void leave_tape(dl_call_context *c) {
    if (!dl_recording_now()->enabled) return;
    for (uint32_t k = 0; k < c->frame.n_out; k++)
        if ((c->given >> k & 1) && c->caller_out[k]->var && c->caller_out[k]->var->node) {
            dl_var_release(c->caller_out[k]->var);
            c->caller_out[k]->var = NULL;
            atomic_fetch_add(&c->caller_out[k]->storage->rewritten, 1);
        }
}

static dl_status call_once(dl_op *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                           const dl_attr *attr, int32_t n_attr, const dl_prog *epilogue, const dl_attr *epilogue_attr) {
    dl_call_context c;
    c.op = op;
    c.given = c.aside = c.cast_made = 0;
    DL_TRY(check_counts(op, n_in, n_out));
    DL_TRY(check_present(op, in, n_in));
    DL_TRY(dl_op_attrs(op, attr, n_attr, c.attr));
    c.frame = (dl_frame){.size = sizeof c.frame,
                         .n_in = (uint32_t)n_in,
                         .n_out = (uint32_t)n_out,
                         .n_attr = (uint32_t)op->n_attrs,
                         .in = in,
                         .out = c.out,
                         .attr = c.attr,
                         .epilogue = epilogue,
                         .epilogue_attr = epilogue_attr};
    for (int32_t k = 0; k < n_out; k++) {
        c.out[k] = c.caller_out[k] = out[k];
        if (out[k]->storage) {
            c.given |= 1u << k;
            DL_TRY(dl_tensor_refresh(out[k]));
        } else if (out[k]->ndim || out[k]->shape)
            memset(out[k], 0, sizeof *out[k]);
    }
    DL_TRY(choose_device(op, in, n_in, out, n_out, &c.frame.device));
    c.frame.stream = c.frame.device->stream;
    int record = (differentiable(op) || op->foreign) && dl_must_record(in, n_in);
    dl_node *node = NULL;
    dl_status status = execute(&c, in, record, &node);
    if (status == DL_OK && node)
        dl_record_end(node, c.caller_out, n_out);
    else if (status == DL_OK)
        leave_tape(&c);
    if (node) dl_node_release(node);
    release_temporaries(&c);
    if (status != DL_OK) empty_new_outputs(&c);
    return status;
}

/* A composite op's result goes into a tensor the caller gave, which must have its shape: copy alone would broadcast. */
static dl_status store_composed(dl_tensor *out, const dl_tensor *result) {
    char a[160], b[160];
    if (out->ndim != result->ndim || memcmp(out->shape, result->shape, (size_t)out->ndim * sizeof *out->shape) != 0)
        return dl_failf(DL_INVALID, "the result has shape %s, but the tensor given for it is %s",
                        dl_tensor_text(result, a, sizeof a), dl_tensor_text(out, b, sizeof b));
    return dl_call(copy_op(), (const dl_tensor *[]){result}, 1, &out, 1, NULL, 0);
}

/* An op that is its composition: the emitted calls are recorded, not the op. */
static dl_status call_composite(dl_op *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                                const dl_attr *attr, int32_t n_attr) {
    dl_attr full[DL_MAX_ATTRS];
    DL_TRY(check_counts(op, n_in, n_out));
    DL_TRY(check_present(op, in, n_in));
    DL_TRY(dl_op_attrs(op, attr, n_attr, full));
    dl_frame frame = {.size = sizeof frame,
                      .n_in = (uint32_t)n_in,
                      .n_out = (uint32_t)n_out,
                      .n_attr = (uint32_t)op->n_attrs,
                      .in = in,
                      .out = out,
                      .attr = full,
                      .user = op->def.user};
    int given[DL_MAX_OUTS];
    for (int32_t k = 0; k < n_out; k++) given[k] = out[k]->storage != NULL;
    DL_TRY(choose_device(op, in, n_in, out, n_out, &frame.device));
    frame.stream = frame.device->stream;
    dl_graph graph;
    DL_TRY(dl_graph_open(&graph, &frame, NULL, NULL));
    graph.op = op;
    dl_status status = compose(op, &graph, &frame);
    if (status == DL_OK) status = dl_graph_status(&graph);
    for (int32_t k = 0; k < n_out && status == DL_OK; k++) {
        dl_tensor result = {0};
        status = dl_graph_take(&graph, (uint32_t)k, given[k] ? &result : out[k]);
        if (status == DL_OK && !(given[k] ? &result : out[k])->storage) status = no_output((uint32_t)k);
        if (status == DL_OK && given[k]) status = store_composed(out[k], &result);
        dl_tensor_clear(&result);
    }
    dl_graph_close(&graph);
    if (status == DL_OK) return DL_OK;
    for (int32_t k = 0; k < n_out; k++)
        if (!given[k]) dl_tensor_clear(out[k]);
    return dl_fail_named(status, op->name);
}

/* What brings inputs to another type or device before a call. */
typedef dl_status convert_fn(const dl_op *, const dl_tensor *const *in, int32_t n_in, const dl_tensor **converted,
                             dl_tensor *made);

/* Calls op with converted inputs. For ops without lists of tensors: DL_MAX_TENSORS is enough. */
static dl_status call_converted(dl_op *op, convert_fn *convert, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out,
                                int32_t n_out, const dl_attr *attr, int32_t n_attr, const dl_prog *epilogue,
                                const dl_attr *epilogue_attr) {
    const dl_tensor *converted[DL_MAX_TENSORS];
    dl_tensor made[DL_MAX_TENSORS];
    DL_TRY(check_counts(op, n_in, n_out));
    for (int32_t k = 0; k < n_in; k++) memset(&made[k], 0, offsetof(dl_tensor, dims));
    dl_status status = convert(op, in, n_in, converted, made);
    if (status == DL_OK) status = dl_call_op(op, converted, n_in, out, n_out, attr, n_attr, epilogue, epilogue_attr);
    for (int32_t k = 0; k < n_in; k++) dl_tensor_clear(&made[k]);
    return status;
}

dl_status dl_call_op(dl_op *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                     const dl_attr *attr, int32_t n_attr, const dl_prog *epilogue, const dl_attr *epilogue_attr) {
    if (dl_interrupted() && dl_take_interrupt()) return dl_failf(DL_INTERRUPTED, "interrupted");
    if (dl_follow_applies(op, in, n_in))
        return call_converted(op, dl_follow_inputs, in, n_in, out, n_out, attr, n_attr, epilogue, epilogue_attr);
    if (dl_autocast_applies(op, in, n_in))
        return call_converted(op, dl_autocast_inputs, in, n_in, out, n_out, attr, n_attr, epilogue, epilogue_attr);
    atomic_fetch_add_explicit(&call_count, 1, memory_order_relaxed);
    if (op->def.flags & DL_OP_COMPOSITE) return call_composite(op, in, n_in, out, n_out, attr, n_attr);
    return call_once(op, in, n_in, out, n_out, attr, n_attr, epilogue, epilogue_attr);
}

dl_status dl_call(int32_t id, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                  const dl_attr *attr, int32_t n_attr) {
    dl_op *op = dl_op_at(id);
    if (!op) return dl_failf(DL_INVALID, "there is no op number %d", id);
    return dl_call_op(op, in, n_in, out, n_out, attr, n_attr, NULL, NULL);
}

dl_status dl_copy_into(dl_tensor *dst, const dl_tensor *src) {
    dl_recording *recording = dl_recording_now();
    int32_t enabled = recording->enabled;
    recording->enabled = 0;
    dl_status status = dl_call(copy_op(), (const dl_tensor *[]){src}, 1, (dl_tensor *[]){dst}, 1, NULL, 0);
    recording->enabled = enabled;
    return status;
}

dl_status dl_view(int32_t id, const dl_tensor *in, dl_tensor *out, const dl_attr *attr, int32_t n_attr) {
    dl_op *op = dl_op_at(id);
    if (!op || !(op->def.flags & DL_OP_VIEW)) return dl_failf(DL_INVALID, "op number %d is no view", id);
    if (!in || !in->storage) return dl_failf(DL_INVALID, "%s: the tensor is empty (it has no storage)", op->name);
    if (dl_must_record(&in, 1)) return dl_failf(DL_UNSUPPORTED, "%s: a recorded tensor needs dl_call", op->name);
    DL_TRY(dl_tensor_refresh(in));
    DL_TRY(dl_layout_plain(in));
    dl_call_context c;
    c.op = op;
    c.given = 0;
    DL_TRY(dl_op_attrs(op, attr, n_attr, c.attr));
    c.out[0] = c.caller_out[0] = out;
    memset(out, 0, offsetof(dl_tensor, dims));
    c.frame = (dl_frame){.size = sizeof c.frame,
                         .n_in = 1,
                         .n_out = 1,
                         .n_attr = (uint32_t)op->n_attrs,
                         .in = &in,
                         .out = c.out,
                         .attr = c.attr,
                         .device = in->storage->device,
                         .user = op->def.user};
    dl_status status = dl_infer(&c);
    if (status != DL_OK) {
        memset(out, 0, offsetof(dl_tensor, dims));
        return status;
    }
    out->data = in->data;
    out->device = in->device;
    out->element = in->element;
    out->storage = in->storage;
    out->flags = DL_TENSOR_BORROWED;
    return DL_OK;
}

void dl_calls(dl_call_stats *out) {
    *out = (dl_call_stats){.calls = call_count};
    dl_plan_counts(&out->plans_made, &out->plans_reused);
    dl_fallback_counts(&out->fallback_calls, &out->fallback_bytes);
    dl_follow_counts(&out->moved_tensors, &out->moved_bytes);
}
