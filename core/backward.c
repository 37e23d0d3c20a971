/* backward.c - runs of the tape. Nodes are visited by falling sequence; only those on a way from a root to something wanted
 * run. Everything is computed before anything is written into a leaf's gradient. */
#include "core/backward.h"
#include "core/call.h"
#include "core/layout.h"
#include "core/mem.h"
#include "core/status.h"
#include "core/storage.h"
#include "core/tensor.h"
#include <stdlib.h>
#include <string.h>

typedef struct visit {
    dl_node *node;    /* referenced */
    dl_tensor *grads; /* one per output: what has come together so far */
    int32_t *needs;   /* one per input */
    int32_t wanted;   /* does it lead to something wanted? */
} visit;

typedef struct leaf_sum {
    dl_var *leaf; /* referenced */
    dl_tensor grad;
} leaf_sum;

struct dl_backward_run {
    int32_t flags, accumulate;
    int32_t n_visits, capacity, at; /* visits sorted by rising sequence; `at` counts down */
    visit *visits;
    int32_t *slots; /* hash table: node -> visit + 1 */
    int32_t n_slots;
    int32_t n_targets;
    dl_var **targets; /* referenced; NULL entries allowed */
    dl_tensor *target_grads;
    int32_t n_leaves, leaf_capacity;
    leaf_sum *leaves;
    dl_tensor *given; /* a pending custom node's input gradients; NULL when none is pending */
    int32_t failed;
};

static dl_status no_memory(void) { return dl_failf(DL_NOMEM, "out of memory in backward"); }

/* ---- the calls backward makes itself -------------------------------------------------------------------------------- */

static dl_status call1(const char *op, const dl_tensor *a, const dl_tensor *b, dl_tensor *out, const dl_attr *attr,
                       int32_t n_attr) {
    const dl_tensor *in[] = {a, b};
    return dl_call(dl_op_find(op), in, b ? 2 : 1, &out, 1, attr, n_attr);
}

static int same_shape(const dl_tensor *a, const dl_tensor *b) {
    return a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

/* Brings a gradient to its variable's shape (undoing broadcasting) and type. `g` is consumed. */
static dl_status fit(dl_tensor *g, const dl_tensor *meta) {
    if (!same_shape(g, meta)) {
        dl_tensor t = {0};
        dl_attr shape = {.kind = DL_ATTR_INTS, .n = meta->ndim, .v.iv = meta->shape};
        dl_status status = call1("sum_to", g, NULL, &t, &shape, 1);
        dl_tensor_clear(g);
        if (status != DL_OK) return status;
        DL_TRY(dl_tensor_alias(g, &t));
        dl_tensor_clear(&t);
    }
    if (g->type != meta->type) {
        dl_tensor t = {0};
        dl_attr type = {.kind = DL_ATTR_INT, .v.i = meta->type};
        dl_status status = call1("copy", g, NULL, &t, &type, 1);
        dl_tensor_clear(g);
        if (status != DL_OK) return status;
        DL_TRY(dl_tensor_alias(g, &t));
        dl_tensor_clear(&t);
    }
    return DL_OK;
}

/* sum += g. In place where nobody else can see the sum. */
static dl_status add_to(dl_backward_run *run, dl_tensor *sum, const dl_tensor *g) {
    if (!sum->storage) return dl_tensor_alias(sum, g);
    int own = sum->storage->references == 1 && !sum->storage->exposed && !(run->flags & DL_CREATE_GRAPH) &&
              sum->storage != g->storage;
    if (own && dl_layout_dense(sum)) return call1("add", sum, g, sum, NULL, 0);
    dl_tensor t = {0};
    DL_TRY(call1("add", sum, g, &t, NULL, 0));
    dl_tensor_clear(sum);
    dl_status status = dl_tensor_alias(sum, &t);
    dl_tensor_clear(&t);
    return status;
}

/* ---- collecting nodes ----------------------------------------------------------------------------------------------- */

static int32_t slot_of(const dl_backward_run *run, const dl_node *node) {
    uint64_t h = (uint64_t)(uintptr_t)node * 0x9e3779b97f4a7c15u;
    int32_t s = (int32_t)(h >> 33) & (run->n_slots - 1);
    while (run->slots[s] && run->visits[run->slots[s] - 1].node != node) s = (s + 1) & (run->n_slots - 1);
    return s;
}

static visit *find_visit(const dl_backward_run *run, const dl_node *node) {
    int32_t v = run->slots[slot_of(run, node)];
    return v ? &run->visits[v - 1] : NULL;
}

static dl_status rehash(dl_backward_run *run, int32_t n_slots) {
    int32_t *slots = dl_mem_zero((size_t)n_slots * sizeof *slots);
    if (!slots) return no_memory();
    dl_mem(run->slots, 0);
    run->slots = slots;
    run->n_slots = n_slots;
    for (int32_t v = 0; v < run->n_visits; v++) run->slots[slot_of(run, run->visits[v].node)] = v + 1;
    return DL_OK;
}

static dl_status collect_one(dl_backward_run *run, dl_node *node) {
    if (find_visit(run, node)) return DL_OK;
    if (run->n_visits == run->capacity) {
        int32_t capacity = 2 * run->capacity;
        visit *more = dl_mem(run->visits, (size_t)capacity * sizeof *more);
        if (!more) return no_memory();
        run->visits = more;
        run->capacity = capacity;
    }
    size_t grads = (size_t)node->n_out * sizeof(dl_tensor);
    char *room = dl_mem_zero(grads + (size_t)node->n_in * sizeof(int32_t));
    if (!room) return no_memory();
    dl_node_retain(node);
    run->visits[run->n_visits++] = (visit){node, (dl_tensor *)(void *)room, (int32_t *)(void *)(room + grads), 0};
    run->slots[slot_of(run, node)] = run->n_visits;
    return 2 * run->n_visits > run->n_slots ? rehash(run, 2 * run->n_slots) : DL_OK;
}

static int by_sequence(const void *a, const void *b) {
    uint64_t x = ((const visit *)a)->node->sequence, y = ((const visit *)b)->node->sequence;
    return x < y ? -1 : x > y;
}

/* All nodes reachable from the roots: the visits array is its own work list. */
static dl_status collect(dl_backward_run *run, dl_var *const *roots, int32_t n_roots) {
    run->capacity = 32;
    run->visits = dl_mem(NULL, (size_t)run->capacity * sizeof *run->visits);
    if (!run->visits) return no_memory();
    DL_TRY(rehash(run, 128));
    for (int32_t k = 0; k < n_roots; k++)
        if (roots[k] && roots[k]->node) DL_TRY(collect_one(run, roots[k]->node));
    for (int32_t v = 0; v < run->n_visits; v++) {
        dl_node *node = run->visits[v].node;
        for (int32_t k = 0; k < node->n_in; k++)
            if (node->inputs[k] && node->inputs[k]->node) DL_TRY(collect_one(run, node->inputs[k]->node));
    }
    qsort(run->visits, (size_t)run->n_visits, sizeof *run->visits, by_sequence);
    return rehash(run, run->n_slots);
}

static int is_target(const dl_backward_run *run, const dl_var *v) {
    for (int32_t k = 0; k < run->n_targets; k++) {
        const dl_var *t = run->targets[k];
        if (t && (t == v || (v->node && t->node == v->node && t->output == v->output))) return 1;
    }
    return 0;
}

/* Which inputs lead to something wanted: nodes by rising sequence, so producers come first. */
static void mark_needs(dl_backward_run *run) {
    for (int32_t v = 0; v < run->n_visits; v++) {
        visit *at = &run->visits[v];
        for (int32_t k = 0; k < at->node->n_in; k++) {
            const dl_var *in = at->node->inputs[k];
            if (!in) continue;
            at->needs[k] = is_target(run, in) || (in->node ? find_visit(run, in->node)->wanted : run->accumulate);
            at->wanted |= at->needs[k];
        }
    }
}

/* ---- gradients coming together -------------------------------------------------------------------------------------- */

static dl_status add_to_leaf(dl_backward_run *run, dl_var *leaf, const dl_tensor *g) {
    for (int32_t k = 0; k < run->n_leaves; k++)
        if (run->leaves[k].leaf == leaf) return add_to(run, &run->leaves[k].grad, g);
    if (run->n_leaves == run->leaf_capacity) {
        int32_t capacity = run->leaf_capacity ? 2 * run->leaf_capacity : 16;
        leaf_sum *more = dl_mem(NULL, (size_t)capacity * sizeof *more);
        if (!more) return no_memory();
        for (int32_t k = 0; k < run->n_leaves; k++) { /* descriptors point into themselves: moved by alias, never by memcpy */
            more[k] = (leaf_sum){.leaf = run->leaves[k].leaf};
            dl_tensor_alias(&more[k].grad, &run->leaves[k].grad);
            dl_tensor_clear(&run->leaves[k].grad);
        }
        dl_mem(run->leaves, 0);
        run->leaves = more;
        run->leaf_capacity = capacity;
    }
    run->leaves[run->n_leaves] = (leaf_sum){.leaf = leaf};
    dl_var_retain(leaf);
    return dl_tensor_alias(&run->leaves[run->n_leaves++].grad, g);
}

/* A gradient for variable v arrives. */
static dl_status arrive(dl_backward_run *run, dl_var *v, const dl_tensor *g) {
    if (v->node) {
        visit *producer = find_visit(run, v->node);
        return producer ? add_to(run, &producer->grads[v->output], g) : DL_OK;
    }
    for (int32_t k = 0; k < run->n_targets; k++)
        if (run->targets[k] == v) DL_TRY(add_to(run, &run->target_grads[k], g));
    return run->accumulate ? add_to_leaf(run, v, g) : DL_OK;
}

static dl_status seed_root(dl_backward_run *run, dl_var *root, const dl_tensor *gradient) {
    dl_tensor g = {0};
    if (gradient) {
        char a[160], b[160];
        if (!same_shape(gradient, &root->meta))
            return dl_failf(DL_INVALID, "backward: expected a gradient of shape %s, got %s",
                            dl_tensor_text(&root->meta, a, sizeof a), dl_tensor_text(gradient, b, sizeof b));
        DL_TRY(dl_tensor_alias(&g, gradient));
    } else {
        int64_t count; /* meta has no storage, so dl_tensor_count says 0 */
        DL_TRY(dl_shape_count(root->meta.type, root->meta.ndim, root->meta.shape, &count));
        if (count != 1)
            return dl_failf(
                DL_INVALID,
                "backward: a result of %lld elements needs a gradient to start from; pass one, or reduce it to one number",
                (long long)count);
        dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = root->meta.ndim, .v.iv = root->meta.shape},
                          {.kind = DL_ATTR_FLOAT, .v.f = 1},
                          {.kind = DL_ATTR_INT, .v.i = root->meta.type}};
        dl_tensor *out = &g;
        dl_device *device;
        DL_TRY(dl_device_by_id(root->meta.device, &device));
        DL_TRY(dl_call_on(device, dl_op_find("full"), NULL, 0, &out, 1, attr, 3));
    }
    dl_status status = fit(&g, &root->meta);
    if (status == DL_OK) status = arrive(run, root, &g);
    dl_tensor_clear(&g);
    return status;
}

/* ---- one node ------------------------------------------------------------------------------------------------------- */

static dl_status distribute(dl_backward_run *run, visit *at, dl_tensor *in_grads) {
    for (int32_t k = 0; k < at->node->n_in; k++) {
        if (!at->needs[k] || !in_grads[k].storage) continue;
        DL_TRY(fit(&in_grads[k], &at->node->inputs[k]->meta));
        DL_TRY(arrive(run, at->node->inputs[k], &in_grads[k]));
    }
    return DL_OK;
}

static void clear_all(dl_tensor *t, int32_t n) {
    for (int32_t k = 0; k < n; k++) dl_tensor_clear(&t[k]);
}

static dl_status custom_c(dl_node *node, dl_tensor *grads, dl_tensor *in_grads) {
    const dl_tensor **g = dl_mem_zero((size_t)(node->n_out + 1) * sizeof *g);
    dl_tensor **in = dl_mem_zero((size_t)(node->n_in + 1) * sizeof *in);
    dl_status status = g && in ? DL_OK : no_memory();
    if (status == DL_OK) {
        for (int32_t k = 0; k < node->n_out; k++) g[k] = &grads[k];
        for (int32_t k = 0; k < node->n_in; k++) in[k] = &in_grads[k];
        status = node->backward(node->user, g, node->n_out, in, node->n_in);
    }
    dl_mem(g, 0);
    dl_mem(in, 0);
    return status;
}

/* What is left after a node's gradients are out: targets among its outputs, and its memory. */
static dl_status finish_visit(dl_backward_run *run, visit *at) {
    for (int32_t k = 0; k < run->n_targets; k++) {
        const dl_var *t = run->targets[k];
        if (t && t->node == at->node && at->grads[t->output].storage && !run->target_grads[k].storage)
            DL_TRY(dl_tensor_alias(&run->target_grads[k], &at->grads[t->output]));
    }
    clear_all(at->grads, at->node->n_out);
    if (!(run->flags & DL_RETAIN) && at->wanted) dl_node_consume(at->node);
    return DL_OK;
}

static int has_gradient(const visit *at) {
    for (int32_t k = 0; k < at->node->n_out; k++)
        if (at->grads[k].storage) return 1;
    return 0;
}

static dl_status visit_node(dl_backward_run *run, visit *at) {
    dl_node *node = at->node;
    if (!at->wanted || !has_gradient(at)) return finish_visit(run, at);
    if (node->consumed)
        return dl_failf(
            DL_INVALID,
            "backward through %s a second time: its saved tensors were freed by the first; pass retainGraph = true there",
            node->name);
    dl_tensor *in_grads = dl_mem_zero((size_t)(node->n_in + 1) * sizeof *in_grads);
    if (!in_grads) return no_memory();
    if (node->kind == DL_NODE_CUSTOM) {
        run->given = in_grads;
        return DL_PENDING;
    }
    dl_status status = node->kind == DL_NODE_CUSTOM_C ? custom_c(node, at->grads, in_grads)
                                                      : dl_node_gradient(node, at->grads, in_grads, at->needs);
    if (status == DL_OK) status = distribute(run, at, in_grads);
    clear_all(in_grads, node->n_in);
    dl_mem(in_grads, 0);
    if (status != DL_OK) return dl_fail_context(status, "backward of %s", node->name);
    return finish_visit(run, at);
}

/* Takes over what the driver gave for a pending node. */
static dl_status resume(dl_backward_run *run) {
    visit *at = &run->visits[run->at];
    dl_status status = distribute(run, at, run->given);
    clear_all(run->given, at->node->n_in);
    dl_mem(run->given, 0);
    run->given = NULL;
    return status == DL_OK ? finish_visit(run, at) : dl_fail_context(status, "backward of %s", at->node->name);
}

static dl_status step(dl_backward_run *run) {
    if (run->given) {
        DL_TRY(resume(run));
        run->at--;
    }
    for (; run->at >= 0; run->at--) DL_TRY(visit_node(run, &run->visits[run->at]));
    return DL_OK;
}

/* Backward's own calls are recorded only if the gradients shall be differentiable. */
dl_status dl_backward_step(dl_backward_run *run) {
    dl_recording *recording = dl_recording_now(), old = *recording;
    *recording = (dl_recording){.enabled = (run->flags & DL_CREATE_GRAPH) != 0};
    dl_status status = step(run);
    *recording = old;
    if (status != DL_OK && status != DL_PENDING) run->failed = 1;
    return status;
}

/* ---- begin and end -------------------------------------------------------------------------------------------------- */

static void free_run(dl_backward_run *run) {
    for (int32_t v = 0; v < run->n_visits; v++) {
        clear_all(run->visits[v].grads, run->visits[v].node->n_out);
        if (run->given && v == run->at) clear_all(run->given, run->visits[v].node->n_in);
        dl_node_release(run->visits[v].node);
        dl_mem(run->visits[v].grads, 0);
    }
    for (int32_t k = 0; k < run->n_targets; k++) {
        dl_var_release(run->targets[k]);
        dl_tensor_clear(&run->target_grads[k]);
    }
    for (int32_t k = 0; k < run->n_leaves; k++) {
        dl_var_release(run->leaves[k].leaf);
        dl_tensor_clear(&run->leaves[k].grad);
    }
    dl_mem(run->given, 0);
    dl_mem(run->visits, 0);
    dl_mem(run->slots, 0);
    dl_mem(run->targets, 0);
    dl_mem(run->target_grads, 0);
    dl_mem(run->leaves, 0);
    dl_mem(run, 0);
}

static dl_status set_targets(dl_backward_run *run, dl_var *const *targets, int32_t n) {
    run->targets = dl_mem_zero((size_t)(n + 1) * sizeof *run->targets);
    run->target_grads = dl_mem_zero((size_t)(n + 1) * sizeof *run->target_grads);
    if (!run->targets || !run->target_grads) return no_memory();
    run->n_targets = n;
    for (int32_t k = 0; k < n; k++)
        if ((run->targets[k] = targets[k])) dl_var_retain(targets[k]);
    return DL_OK;
}

dl_status dl_backward_on(dl_var *const *roots, const dl_tensor *const *gradients, int32_t n_roots, dl_var *const *targets,
                         int32_t n_targets, int32_t accumulate, int32_t flags, dl_backward_run **out) {
    dl_backward_run *run = dl_mem_zero(sizeof *run);
    if (!run) return no_memory();
    run->flags = flags | (flags & DL_CREATE_GRAPH ? DL_RETAIN : 0);
    run->accumulate = accumulate;
    dl_recording *recording = dl_recording_now(), old = *recording;
    *recording = (dl_recording){.enabled = (flags & DL_CREATE_GRAPH) != 0};
    dl_status status = set_targets(run, targets, n_targets);
    if (status == DL_OK) status = collect(run, roots, n_roots);
    if (status == DL_OK) mark_needs(run);
    for (int32_t k = 0; k < n_roots && status == DL_OK; k++)
        if (roots[k]) status = seed_root(run, roots[k], gradients ? gradients[k] : NULL);
    *recording = old;
    run->at = run->n_visits - 1;
    if (status != DL_OK)
        free_run(run);
    else
        *out = run;
    return status;
}

static dl_status variables_of(const dl_tensor *const *t, int32_t n, const char *what, dl_var **vars) {
    for (int32_t k = 0; k < n; k++) {
        vars[k] = t[k] ? t[k]->var : NULL;
        if (!vars[k])
            return dl_failf(DL_INVALID, "backward: %s %d is not on the tape: nothing it came from requires a gradient", what,
                            k);
        dl_status status = dl_check_history(t[k]);
        if (status != DL_OK) return dl_fail_context(status, "backward: %s %d", what, k);
    }
    return DL_OK;
}

dl_status dl_backward_begin(const dl_tensor *const *roots, const dl_tensor *const *gradients, int32_t n_roots,
                            const dl_tensor *const *targets, int32_t n_targets, int32_t flags, dl_backward_run **run) {
    dl_var **vars = dl_mem(NULL, (size_t)(n_roots + n_targets + 1) * sizeof *vars);
    if (!vars) return no_memory();
    dl_status status = variables_of(roots, n_roots, "root", vars);
    if (status == DL_OK) status = variables_of(targets, n_targets, "target", vars + n_roots);
    if (status == DL_OK)
        status = dl_backward_on(vars, gradients, n_roots, vars + n_roots, n_targets, n_targets == 0, flags, run);
    dl_mem(vars, 0);
    return status;
}

/* Adds a finished sum into a leaf's gradient, or makes it the gradient. */
static dl_status write_leaf(dl_backward_run *run, leaf_sum *sum) {
    dl_tensor *grad = &sum->leaf->grad;
    if (grad->storage) {
        if (!(run->flags & DL_CREATE_GRAPH)) return call1("add", grad, &sum->grad, grad, NULL, 0);
        return add_to(run, grad, &sum->grad);
    }
    if (dl_layout_dense(&sum->grad) && (sum->grad.storage->references == 1 || (run->flags & DL_CREATE_GRAPH)))
        return dl_tensor_alias(grad, &sum->grad);
    return call1("copy", &sum->grad, NULL, grad, NULL, 0);
}

dl_status dl_backward_end(dl_backward_run *run, dl_tensor *const *out) {
    dl_status status = DL_OK;
    if (!run->failed && run->at < 0) {
        dl_recording *recording = dl_recording_now(), old = *recording;
        *recording = (dl_recording){.enabled = (run->flags & DL_CREATE_GRAPH) != 0};
        for (int32_t k = 0; k < run->n_leaves && status == DL_OK; k++) status = write_leaf(run, &run->leaves[k]);
        *recording = old;
        for (int32_t k = 0; out && k < run->n_targets && status == DL_OK; k++)
            if (run->target_grads[k].storage) status = dl_tensor_alias(out[k], &run->target_grads[k]);
    }
    free_run(run);
    return status;
}

dl_status dl_backward(const dl_tensor *const *roots, const dl_tensor *const *gradients, int32_t n_roots,
                      const dl_tensor *const *targets, dl_tensor *const *out, int32_t n_targets, int32_t flags) {
    dl_backward_run *run;
    DL_TRY(dl_backward_begin(roots, gradients, n_roots, targets, n_targets, flags, &run));
    dl_status status = dl_backward_step(run);
    if (status == DL_PENDING) {
        dl_backward_end(run, NULL);
        return dl_failf(
            DL_INVALID,
            "backward met a custom node that only its owner can compute; use dl_backward_begin and dl_backward_step");
    }
    dl_status end = dl_backward_end(run, out);
    return status != DL_OK ? status : end;
}

/* ---- pending nodes -------------------------------------------------------------------------------------------------- */

static visit *pending(dl_backward_run *run) { return run->given ? &run->visits[run->at] : NULL; }

static dl_status none_pending(void) { return dl_failf(DL_INVALID, "no custom node is pending"); }

dl_status dl_backward_node(dl_backward_run *run, dl_custom_node *out) {
    const visit *at = pending(run);
    if (!at) return none_pending();
    *out = (dl_custom_node){at->node->custom_id, at->node->n_in, at->node->n_out};
    return DL_OK;
}

dl_status dl_backward_node_grad(dl_backward_run *run, int32_t output, dl_tensor *grad) {
    const visit *at = pending(run);
    if (!at) return none_pending();
    if (output < 0 || output >= at->node->n_out) return dl_failf(DL_INVALID, "%s has no output %d", at->node->name, output);
    return at->grads[output].storage ? dl_tensor_alias(grad, &at->grads[output]) : DL_OK;
}

int32_t dl_backward_node_needs(dl_backward_run *run, int32_t input) {
    const visit *at = pending(run);
    return at && input >= 0 && input < at->node->n_in && at->needs[input];
}

dl_status dl_backward_node_give(dl_backward_run *run, int32_t input, const dl_tensor *grad) {
    const visit *at = pending(run);
    if (!at) return none_pending();
    if (input < 0 || input >= at->node->n_in) return dl_failf(DL_INVALID, "%s has no input %d", at->node->name, input);
    dl_tensor_clear(&run->given[input]);
    return grad ? dl_tensor_alias(&run->given[input], grad) : DL_OK;
}
