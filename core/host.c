/* host.c - the table of functions a plugin receives, and the stage on which its registrations wait until init succeeds. */
#include "generate/generate.h"
#include "mem.h"
#include "op.h"
#include "graph.h"
#include "plugin.h"
#include "status.h"

#include <stdio.h>
#include <string.h>

/* What one plugin's init has registered so far. Everything is checked when it is staged and committing allocates nothing, so
 * it does not fail half-way. */
typedef struct stage {
    const char *plugin;
    dl_backend *backends;
    dl_op **ops;
    dl_kernel_entry *kernels;
    uint32_t n_backends, n_ops, n_kernels;
} stage;

static _Thread_local stage *current; /* of the init that runs on this thread */

/* ---- staging -------------------------------------------------------------------------------------------------------- */

static dl_status need_stage(const char *function) {
    return current ? DL_OK : dl_failf(DL_INVALID, "%s may be called from dl_plugin_init only", function);
}

static dl_status no_argument(const char *function) { return dl_failf(DL_INVALID, "%s was given NULL", function); }

/* Room for one more of `bytes` each; capacity is the next power of two, so no field needs to keep it. */
static void *grow(void *array, uint32_t n, size_t bytes) {
    if (n & (n - 1) && n) return array;
    return dl_mem(array, (n ? 2 * (size_t)n : 1) * bytes);
}

static dl_status stage_backend(const dl_backend *backend) {
    DL_TRY(need_stage("add_backend"));
    if (!backend) return no_argument("add_backend");
    DL_TRY(dl_backend_check(backend, current->plugin));
    for (uint32_t k = 0; k < current->n_backends; k++)
        if (strcmp(current->backends[k].name, backend->name) == 0)
            return dl_failf(DL_INVALID, "backend '%s' is registered twice", backend->name);
    dl_backend *all = grow(current->backends, current->n_backends, sizeof *all);
    if (!all) return dl_failf(DL_NOMEM, "out of memory registering a backend");
    current->backends = all;
    dl_backend *copy = &all[current->n_backends++];
    *copy = (dl_backend){0};
    memcpy(copy, backend, backend->size < sizeof *copy ? backend->size : sizeof *copy);
    return DL_OK;
}

static dl_status check_op_name(const dl_op *op) {
    const dl_op *other = dl_op_named(op->name);
    if (other)
        return dl_failf(DL_INVALID, "op '%s' of %s is already registered by %s", op->name, current->plugin, other->plugin);
    for (uint32_t k = 0; k < current->n_ops; k++)
        if (strcmp(current->ops[k]->name, op->name) == 0) return dl_failf(DL_INVALID, "op '%s' is registered twice", op->name);
    return DL_OK;
}

/* Built-in ops alone have plain names. */
static dl_status check_namespace(const dl_op *op) {
    const char *colons = strstr(op->name, "::");
    if (colons && colons != op->name && colons[2]) return DL_OK;
    return dl_failf(DL_INVALID, "op '%s' of %s: expected a name with a namespace, as %s::%s", op->name, current->plugin,
                    current->plugin, op->name);
}

static dl_status check_staged(dl_op *op) {
    op->foreign = 1;
    DL_TRY(check_namespace(op));
    DL_TRY(check_op_name(op));
    const dl_status status = op->def.expr ? dl_op_check_text(op) : DL_OK;
    return status == DL_OK ? DL_OK : dl_fail_named(status, op->name);
}

static dl_status stage_op(const dl_op_def *def) {
    DL_TRY(need_stage("add_op"));
    if (!def) return no_argument("add_op");
    if (!DL_HAS(def, sig)) return dl_failf(DL_INVALID, "%s: an op needs a signature", current->plugin);
    dl_op *op;
    DL_TRY(dl_op_make(def, current->plugin, &op));
    dl_status status = check_staged(op);
    dl_op **all = status == DL_OK ? grow(current->ops, current->n_ops, sizeof *all) : NULL;
    if (status == DL_OK && !all) status = dl_failf(DL_NOMEM, "out of memory registering an op");
    if (status != DL_OK) {
        dl_mem(op, 0);
        return status;
    }
    current->ops = all;
    all[current->n_ops++] = op;
    return DL_OK;
}

static dl_status stage_kernel(const dl_kernel *kernel) {
    DL_TRY(need_stage("add_kernel"));
    if (!kernel) return no_argument("add_kernel");
    if (!DL_HAS(kernel, op) || !DL_HAS(kernel, backend) || !DL_HAS(kernel, run))
        return dl_failf(DL_INVALID, "%s: a kernel needs an op, a backend and a run function", current->plugin);
    dl_kernel_entry *all = grow(current->kernels, current->n_kernels, sizeof *all);
    if (!all) return dl_failf(DL_NOMEM, "out of memory registering a kernel");
    current->kernels = all;
    dl_kernel_entry *entry = &all[current->n_kernels++];
    *entry = (dl_kernel_entry){.plugin = current->plugin};
    memcpy(&entry->kernel, kernel, kernel->size < sizeof entry->kernel ? kernel->size : sizeof entry->kernel);
    return DL_OK;
}

/* Kernels may come before their op, but not before one of the plugin's own: that is a slip in the name. */
static dl_status check_kernels(const stage *s) {
    const size_t n = strlen(s->plugin);
    for (uint32_t k = 0; k < s->n_kernels; k++) {
        const char *name = s->kernels[k].kernel.op;
        if (strncmp(name, s->plugin, n) != 0 || strncmp(name + n, "::", 2) != 0) continue;
        int found = dl_op_find(name) >= 0;
        for (uint32_t j = 0; j < s->n_ops; j++) found |= strcmp(s->ops[j]->name, name) == 0;
        if (!found) return dl_failf(DL_INVALID, "it has a kernel for '%s' and registers no such op", name);
    }
    return DL_OK;
}

/* ---- committing ----------------------------------------------------------------------------------------------------- */

/* The registry takes over what was committed: ops one by one, the kernels' array as a whole. */
static dl_status commit(stage *s) {
    for (uint32_t k = 0; k < s->n_backends; k++) DL_TRY(dl_backend_add(&s->backends[k], s->plugin));
    for (uint32_t k = 0; k < s->n_ops; k++) {
        DL_TRY(dl_op_publish(s->ops[k]));
        s->ops[k] = NULL;
    }
    for (uint32_t k = 0; k < s->n_kernels; k++) dl_kernel_add(&s->kernels[k]);
    s->kernels = NULL;
    if (s->n_backends) dl_kernels_adopt();
    for (uint32_t k = 0; k < s->n_backends; k++) dl_generate_kernels(dl_backend_find(s->backends[k].name));
    return DL_OK;
}

static void clear_stage(stage *s) {
    for (uint32_t k = 0; k < s->n_ops; k++) dl_mem(s->ops[k], 0);
    dl_mem(s->ops, 0);
    dl_mem(s->backends, 0);
    dl_mem(s->kernels, 0);
}

dl_status dl_host_run_init_with(dl_plugin_init_fn init, const dl_host *table, const char *plugin) {
    stage own = {.plugin = plugin}, *outer = current;
    current = &own;
    const uint32_t before = dl_failures();
    dl_status status = dl_explained(init(table), before, "its dl_plugin_init");
    current = outer;
    if (status == DL_OK) status = check_kernels(&own);
    if (status == DL_OK) status = commit(&own);
    clear_stage(&own);
    return status;
}

dl_status dl_host_run_init(dl_plugin_init_fn init, const char *plugin) {
    return dl_host_run_init_with(init, dl_host_table(), plugin);
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

static void host_log(int32_t level, const char *message) {
    static const char *const names[] = {"error", "warning", "note"};
    fprintf(stderr, "dlrun: %s: %s\n", names[level <= 0 ? 0 : level == 1 ? 1 : 2], message);
}

static void *host_mem(void *p, size_t bytes) { return dl_mem(p, bytes); }

const dl_host *dl_host_table(void) {
    static const dl_host host = {
        .size = sizeof host,
        .abi_minor = DL_ABI_MINOR,
        .fail = dl_failf,
        .log = host_log,
        .mem = host_mem,
        .add_backend = stage_backend,
        .add_op = stage_op,
        .add_kernel = stage_kernel,
        .set_out = dl_set_out,
        .set_view = dl_set_view,
        .in = dl_graph_in,
        .out = dl_graph_out,
        .grad_out = dl_graph_grad,
        .needs = dl_graph_needs,
        .emit = dl_emit,
        .emit_out = dl_emit_out,
        .tensor = dl_graph_tensor,
        .returns = dl_graph_returns,
        .interrupted = dl_interrupted,
        .alloc_out = dl_alloc_out,
        .empty = dl_graph_empty,
        .emit_into = dl_emit_into,
    };
    return &host;
}
