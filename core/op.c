/* op.c - the op registry. Ops and kernels are only ever added; readers need no lock: a pointer is published last. */
#include "core/op.h"
#include "core/autocast.h"
#include "core/follow.h"
#include "core/mem.h"
#include "core/status.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { BUCKETS = 8192 };

static dl_op *_Atomic ops[DL_MAX_OPS];
static _Atomic int32_t op_count;
static _Atomic int32_t bucket_of[BUCKETS]; /* open addressing by name; id + 1, 0 is free */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

static dl_kernel_entry *waiting; /* kernels whose op or backend is not registered yet */

/* The kernels that serve more than one op, by backend: "pointwise" and "*". */
static const dl_kernel *generic[DL_MAX_BACKENDS][DL_MAX_KERNELS];

static uint32_t hash_name(const char *name) { /* FNV-1a */
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
    return h;
}

int32_t dl_op_find(const char *name) {
    for (uint32_t b = hash_name(name) % BUCKETS;; b = (b + 1) % BUCKETS) {
        int32_t id = atomic_load_explicit(&bucket_of[b], memory_order_acquire) - 1;
        if (id < 0) return -1;
        if (strcmp(ops[id]->name, name) == 0) return id;
    }
}

dl_op *dl_op_at(int32_t id) { return id >= 0 && id < atomic_load_explicit(&op_count, memory_order_acquire) ? ops[id] : NULL; }

dl_op *dl_op_named(const char *name) { return dl_op_at(dl_op_find(name)); }

int32_t dl_op_count(void) { return atomic_load_explicit(&op_count, memory_order_acquire); }

static void insert_kernel(const dl_kernel **row, const dl_kernel *kernel) {
    int32_t n = 0;
    while (n < DL_MAX_KERNELS - 1 && row[n]) n++;
    if (n == DL_MAX_KERNELS - 1 && row[n - 1]->priority >= kernel->priority) return;
    if (n == DL_MAX_KERNELS - 1) n--; /* the lowest priority falls off */
    for (; n > 0 && row[n - 1]->priority < kernel->priority; n--) row[n] = row[n - 1];
    row[n] = kernel;
}

/* Which tensors the gradient reads, from the names in def.saves. */
static dl_status parse_saves(dl_op *op) {
    const char *s = op->def.saves ? op->def.saves : "";
    while (*s) {
        size_t n = strcspn(s, " ");
        int32_t k = 0;
        if (n >= 3 && strncmp(s, "out", 3) == 0 && (n == 3 || (s[3] >= '0' && s[3] <= '9'))) {
            int32_t out = n == 3 ? 0 : s[3] - '0';
            if (n > 4 || out >= op->n_outs)
                return dl_failf(DL_INVALID, "op %s: saves names '%.*s', but it has %d outputs", op->name, (int)n, s,
                                op->n_outs);
            op->saved_out |= 1u << out;
        } else {
            while (k < op->n_tensors && !(strlen(op->tensors[k].name) == n && strncmp(op->tensors[k].name, s, n) == 0)) k++;
            if (k == op->n_tensors)
                return dl_failf(DL_INVALID, "op %s: saves names '%.*s', which is no tensor of it", op->name, (int)n, s);
            op->saved_in |= 1u << k;
        }
        s += n;
        while (*s == ' ') s++;
    }
    return DL_OK;
}

/* What a backend without a compiler brings; everything else has a composition or is missing there. */
static int is_primitive(const dl_op *op) {
    static const char *const names[] = {"copy", "reduce", "gemm", "gather", "scatter_add"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(op->name, names[k]) == 0) return 1;
    return (op->def.flags & DL_OP_POINTWISE) != 0;
}

/* Flags that the door follows without looking again. */
static dl_status check_flags(const dl_op *op) {
    const dl_op_def *d = &op->def;
    if (d->expr && (d->flags & (DL_OP_VIEW | DL_OP_COMPOSITE | DL_OP_SYNC | DL_OP_MUTATES)))
        return dl_failf(DL_INVALID,
                        "op %s: an expression can be neither view nor composite, and writes a new tensor of known size",
                        op->name);
    if (!d->expr && !op->grad_of && (d->flags & DL_OP_POINTWISE))
        return dl_failf(DL_INVALID, "op %s: DL_OP_POINTWISE needs an expression", op->name);
    if ((d->flags & DL_OP_COMPOSITE) && !d->compose)
        return dl_failf(DL_INVALID, "op %s: DL_OP_COMPOSITE needs a compose function", op->name);
    if ((d->flags & DL_OP_VIEW) && (op->n_tensors == 0 || op->tensors[0].kind != DL_ARG_TENSOR))
        return dl_failf(DL_INVALID, "op %s: DL_OP_VIEW needs a first tensor to be the view of", op->name);
    return DL_OK;
}

static dl_status check_definition(const dl_op *op) {
    const dl_op_def *d = &op->def;
    DL_TRY(check_flags(op));
    if (d->expr) {
        if (op->n_lists || op->n_outs != 1 || !d->rule)
            return dl_failf(DL_INVALID, "op %s: an expression needs single tensors, one output and a type rule", op->name);
        if (strcmp(d->rule, "random") == 0 && (op->n_attrs < 2 || op->n_required > 0))
            return dl_failf(DL_INVALID, "op %s: with the rule random the first two attributes are key=0 and call=0", op->name);
    } else if (!d->infer && !op->grad_of) {
        return dl_failf(DL_INVALID, "op %s: needs either an expression or an infer function", op->name);
    }
    return DL_OK;
}

/* Publishes the op; the registry's lock is held. */
static void publish(dl_op *op) {
    int32_t id = op_count;
    op->id = id;
    ops[id] = op;
    uint32_t b = hash_name(op->name) % BUCKETS;
    while (bucket_of[b]) b = (b + 1) % BUCKETS;
    atomic_store_explicit(&bucket_of[b], id + 1, memory_order_release);
    atomic_store_explicit(&op_count, id + 1, memory_order_release);
}

static int is_generic(const dl_kernel *kernel) { return strcmp(kernel->op, "pointwise") == 0 || strcmp(kernel->op, "*") == 0; }

/* Does a generic kernel serve this op? "*": every op that runs kernels at all. */
static int serves(const dl_kernel *kernel, const dl_op *op) {
    if (*kernel->op == '*') return !(op->def.flags & (DL_OP_VIEW | DL_OP_COMPOSITE));
    return (op->def.flags & DL_OP_POINTWISE) != 0;
}

/* A new op takes the generic kernels that came before it. */
static void place_generic(dl_op *op) {
    for (int32_t b = 0; b < DL_MAX_BACKENDS; b++)
        for (int32_t k = 0; generic[b][k]; k++)
            if (serves(generic[b][k], op)) insert_kernel(op->kernels[b], generic[b][k]);
}

static int place(const dl_kernel *kernel) {
    const dl_backend_entry *backend = dl_backend_find(kernel->backend);
    if (!backend) return 0;
    if (is_generic(kernel)) {
        insert_kernel(generic[backend->number], kernel);
        for (int32_t k = 0; k < op_count; k++)
            if (serves(kernel, ops[k])) insert_kernel(ops[k]->kernels[backend->number], kernel);
        return 1;
    }
    dl_op *op = dl_op_named(kernel->op);
    if (op) insert_kernel(op->kernels[backend->number], kernel);
    return op != NULL;
}

static void place_waiting(void) {
    for (dl_kernel_entry **at = &waiting; *at;) {
        if (place(&(*at)->kernel))
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

static dl_status add_locked(dl_op *op) {
    const dl_op *other = dl_op_named(op->name);
    if (other) return dl_failf(DL_INVALID, "op '%s' of %s is already registered by %s", op->name, op->plugin, other->plugin);
    if (op_count == DL_MAX_OPS) return dl_failf(DL_INVALID, "op '%s': the registry is full (%d ops)", op->name, DL_MAX_OPS);
    place_generic(op);
    publish(op);
    place_waiting();
    return DL_OK;
}

dl_status dl_op_publish(dl_op *op) {
    pthread_mutex_lock(&registry_lock);
    dl_status status = add_locked(op);
    pthread_mutex_unlock(&registry_lock);
    return status;
}

dl_status dl_op_make(const dl_op_def *def, const char *plugin, dl_op **out) {
    dl_op *op = dl_mem_zero(sizeof *op);
    if (!op) return dl_failf(DL_NOMEM, "out of memory registering an op");
    memcpy(&op->def, def, def->size < sizeof op->def ? def->size : sizeof op->def);
    op->plugin = plugin;
    dl_status status = dl_signature_parse(def->sig, op);
    if (status == DL_OK) status = check_definition(op);
    if (def->expr) op->def.flags |= DL_OP_POINTWISE;
    if (status == DL_OK) status = parse_saves(op);
    if (def->expr && def->rule && strcmp(def->rule, "random") == 0) op->def.flags |= DL_OP_RANDOM;
    op->autocast = dl_autocast_policy_of(op->name);
    op->follows = dl_follow_bits(op);
    op->is_copy = strcmp(op->name, "copy") == 0;
    op->primitive = is_primitive(op);
    op->takes_first_type = def->expr && def->rule && strcmp(def->rule, "same") == 0 && op->tensors[0].fixed_type < 0;
    if (status == DL_OK)
        *out = op;
    else
        dl_mem(op, 0);
    return status;
}

dl_status dl_op_add(const dl_op_def *def, const char *plugin) {
    dl_op *op;
    DL_TRY(dl_op_make(def, plugin, &op));
    dl_status status = dl_op_publish(op);
    if (status != DL_OK) dl_mem(op, 0);
    return status;
}

void dl_kernel_add(dl_kernel_entry *entry) {
    pthread_mutex_lock(&registry_lock);
    if (!place(&entry->kernel)) {
        entry->next = waiting;
        waiting = entry;
    }
    pthread_mutex_unlock(&registry_lock);
}

void dl_kernels_adopt(void) {
    pthread_mutex_lock(&registry_lock);
    place_waiting();
    pthread_mutex_unlock(&registry_lock);
}

/* ---- arguments ----------------------------------------------------------------------------------------------------------- */

const dl_arg *dl_op_argument(const dl_op *op, int32_t k, int32_t n_in) {
    int32_t length = op->n_lists ? (n_in - (op->n_tensors - op->n_lists)) / op->n_lists : 0;
    for (int32_t t = 0; t < op->n_tensors; t++) {
        int32_t width = op->tensors[t].kind == DL_ARG_LIST ? length : 1;
        if (k < width) return &op->tensors[t];
        k -= width;
    }
    return &op->tensors[op->n_tensors - 1];
}

/* ---- attributes -------------------------------------------------------------------------------------------------------- */

static const char *const kind_text[] = {"nothing", "an integer", "a number", "a list of integers", "a string"};

static dl_status bad_attr(const dl_op *op, const dl_arg *arg, const char *expected, int32_t got) {
    return dl_failf(DL_INVALID, "%s: argument '%s': expected %s, got %s", op->name, arg->name, expected,
                    got >= 0 && got <= DL_ATTR_STRING ? kind_text[got] : "an unknown kind");
}

static dl_status no_values(const dl_op *op, const dl_arg *arg) {
    return dl_failf(DL_INVALID, "%s: argument '%s': its pointer is NULL", op->name, arg->name);
}

/* Brings one attribute to the kind its type promises. */
static dl_status coerce(const dl_op *op, const dl_arg *arg, const dl_attr *given, dl_attr *full) {
    *full = *given;
    switch (arg->kind) {
    case DL_ARG_FLOAT:
        if (given->kind == DL_ATTR_INT)
            *full = (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = (double)given->v.i};
        else if (given->kind != DL_ATTR_FLOAT)
            return bad_attr(op, arg, "a number", given->kind);
        return DL_OK;
    case DL_ARG_SCALAR:
        return given->kind == DL_ATTR_INT || given->kind == DL_ATTR_FLOAT ? DL_OK : bad_attr(op, arg, "a number", given->kind);
    case DL_ARG_INTS:
        if (given->kind != DL_ATTR_INTS) return bad_attr(op, arg, "a list of integers", given->kind);
        return given->v.iv || given->n == 0 ? DL_OK : no_values(op, arg);
    case DL_ARG_STRING:
        if (given->kind != DL_ATTR_STRING) return bad_attr(op, arg, "a string", given->kind);
        return given->v.s ? DL_OK : no_values(op, arg);
    default:
        if (given->kind == DL_ATTR_FLOAT && fabs(given->v.f) < 0x1p63 && given->v.f == floor(given->v.f))
            *full = (dl_attr){.kind = DL_ATTR_INT, .v.i = (int64_t)given->v.f};
        else if (given->kind != DL_ATTR_INT)
            return bad_attr(op, arg, "an integer", given->kind);
        if (arg->kind == DL_ARG_DTYPE && (full->v.i < -1 || full->v.i >= DL_DTYPE_COUNT))
            return dl_failf(DL_INVALID, "%s: argument '%s': %lld is no dtype", op->name, arg->name, (long long)full->v.i);
        return DL_OK;
    }
}

dl_status dl_op_attrs(const dl_op *op, const dl_attr *given, int32_t n_given, dl_attr *full) {
    if (n_given > op->n_attrs)
        return dl_failf(DL_INVALID, "%s: expected at most %d attributes, got %d", op->name, op->n_attrs, n_given);
    for (int32_t k = 0; k < op->n_attrs; k++) {
        const dl_arg *arg = &op->attrs[k];
        const dl_attr *value = k < n_given && given[k].kind != DL_ATTR_NONE ? &given[k] : &arg->fallback;
        full[k] = *value;
        if (value->kind == DL_ATTR_NONE) {
            /* creation ops may take their shape and value types from a given output: infer decides */
            if (k < n_given && op->n_tensors == 0 && arg->kind == DL_ARG_INTS) continue;
            return dl_failf(DL_INVALID, "%s: argument '%s' is missing; signature: %s", op->name, arg->name, op->def.sig);
        }
        if (value != &arg->fallback) DL_TRY(coerce(op, arg, value, &full[k]));
    }
    return DL_OK;
}

/* ---- information ------------------------------------------------------------------------------------------------------- */

dl_status dl_op_get(int32_t id, dl_op_info *out) {
    const dl_op *op = dl_op_at(id);
    if (!op) return dl_failf(DL_INVALID, "there is no op number %d; there are %d", id, dl_op_count());
    int pointwise = (op->def.flags & DL_OP_POINTWISE) != 0;
    int none = op->def.grads && !*op->def.grads;
    *out =
        (dl_op_info){.name = op->name,
                     .signature = op->def.sig,
                     .doc = op->def.doc ? op->def.doc : "",
                     .flags = op->def.flags,
                     .n_outputs = op->n_outs,
                     .differentiable = pointwise ? !none && strcmp(op->def.rule, "compare") && strcmp(op->def.rule, "logic") &&
                                                       strcmp(op->def.rule, "int") && strcmp(op->def.rule, "random")
                                                 : op->def.grad != NULL || (op->def.flags & DL_OP_COMPOSITE) != 0,
                     .id = id};
    return DL_OK;
}

int32_t dl_op_coverage(int32_t id, const char *backend) {
    const dl_op *op = dl_op_at(id);
    const dl_backend_entry *entry = dl_backend_find(backend);
    if (!op || !entry) return 0;
    if (op->def.flags & DL_OP_VIEW) return 3;
    const dl_kernel *first = op->kernels[entry->number][0];
    if (first) return strcmp(first->op, "pointwise") == 0 || ((const dl_kernel_entry *)first)->generated ? 2 : 3;
    return op->def.compose ? 1 : 0;
}
