/* fused.c - dl_call_fused: an op with a chain of pointwise ops on its result. A pointwise op and its chain
 * run as one composed program; another op gets the chain's program as its kernel's epilogue. */
#include "core/autocast.h"
#include "core/autograd.h"
#include "core/call.h"
#include "core/mem.h"
#include "core/status.h"
#include <pthread.h>
#include <string.h>

/* Composed programs by (chain, type): few, and kept for good, since plans and captures refer to them. */
enum { MAX_CHAIN = 8, MAX_CACHED = 512 };

typedef struct composed {
    int32_t ops[MAX_CHAIN], n;
    dl_dtype type;
    dl_prog *prog;
} composed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static composed cache[MAX_CACHED];
static int32_t cached;

static dl_status compose_chain(const dl_epilogue *chain, int32_t n, dl_dtype type, dl_prog **out) {
    const dl_prog *first;
    DL_TRY(dl_op_program(dl_op_at(chain[0].op), type, &first));
    if (n == 1) {
        *out = (dl_prog *)first;
        return DL_OK;
    }
    dl_prog *whole = NULL;
    for (int32_t k = 1; k < n; k++) {
        const dl_prog *next;
        dl_prog *longer;
        DL_TRY(dl_op_program(dl_op_at(chain[k].op), type, &next));
        dl_status status = dl_prog_chain(whole ? whole : first, next, 0, &longer);
        dl_prog_free(whole);
        if (status != DL_OK) return status;
        whole = longer;
    }
    *out = whole;
    return DL_OK;
}

static int same_chain(const composed *c, const dl_epilogue *chain, int32_t n, dl_dtype type) {
    if (c->n != n || c->type != type) return 0;
    for (int32_t k = 0; k < n; k++)
        if (c->ops[k] != chain[k].op) return 0;
    return 1;
}

/* NULL (with DL_OK) when the table is full: the calls are then made one by one. */
static dl_status chain_program(const dl_epilogue *chain, int32_t n, dl_dtype type, dl_prog **out) {
    dl_status status = DL_OK;
    *out = NULL;
    pthread_mutex_lock(&lock);
    for (int32_t k = 0; k < cached && !*out; k++)
        if (same_chain(&cache[k], chain, n, type)) *out = cache[k].prog;
    if (!*out && cached < MAX_CACHED) {
        status = compose_chain(chain, n, type, out);
        if (status == DL_OK) {
            composed *c = &cache[cached++];
            *c = (composed){.n = n, .type = type, .prog = *out};
            for (int32_t k = 0; k < n; k++) c->ops[k] = chain[k].op;
        }
    }
    pthread_mutex_unlock(&lock);
    return status;
}

static dl_status check_chain(const dl_op *op, const dl_epilogue *chain, int32_t n) {
    for (int32_t k = 0; k < n; k++) {
        const dl_op *p = dl_op_at(chain[k].op);
        if (!p || !(p->def.flags & DL_OP_POINTWISE) || p->n_tensors != 1)
            return dl_failf(DL_INVALID, "%s: only pointwise ops of one tensor can follow in a fused call; %s is none", op->name,
                            p ? p->name : "that number");
    }
    return DL_OK;
}

/* While recording, the values between the calls do not exist afterwards: only a single follower whose gradient reads nothing
 * but its output can be fused, after an op whose own gradient does not read its first output. */
static int may_fuse_recorded(const dl_op *op, const dl_epilogue *chain, int32_t n) {
    dl_op *gradient;
    if (n != 1 || (op->saved_out & 1)) return 0;
    if (dl_op_gradient(dl_op_at(chain[0].op), 0, &gradient) != DL_OK) return 0;
    return !(gradient->saved_in >> 1 & 1);
}

/* The type the op's result has, if the programs can run on it: floating, and the same for input and result of every link. */
static dl_dtype chain_type(const dl_tensor *const *in, int32_t n_in, const dl_epilogue *chain, int32_t n) {
    dl_dtype type = -1;
    for (int32_t k = 0; k < n_in; k++) {
        if (!in[k]) continue;
        if (type >= 0 && in[k]->type != type) return -1;
        type = in[k]->type;
    }
    if (type != DL_F32 && type != DL_F64) return -1;
    for (int32_t k = 0; k < n; k++) {
        dl_dtype compute, out;
        if (dl_rule_types(dl_op_at(chain[k].op)->def.rule, type, &compute, &out) != DL_OK || compute != type || out != type)
            return -1;
    }
    return type;
}

/* The attributes of the whole chain, as the programs want them. */
static dl_status chain_attrs(const dl_epilogue *chain, int32_t n, dl_attr *attrs) {
    int32_t at = 0;
    for (int32_t k = 0; k < n; k++) {
        const dl_op *p = dl_op_at(chain[k].op);
        if (at + p->n_attrs > DL_PROG_MAX_ATTR) return DL_UNSUPPORTED;
        DL_TRY(dl_op_attrs(p, chain[k].attr, chain[k].n_attr, attrs + at));
        for (int32_t a = at; a < at + p->n_attrs; a++)
            if (attrs[a].kind == DL_ATTR_INT) attrs[a] = (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = (double)attrs[a].v.i};
        at += p->n_attrs;
    }
    return DL_OK;
}

static dl_status call_one_by_one(const dl_op *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out,
                                 int32_t n_out, const dl_attr *attr, int32_t n_attr, const dl_epilogue *chain, int32_t n) {
    if (n == 0) return dl_call(op->id, in, n_in, out, n_out, attr, n_attr);
    dl_tensor between[2] = {0};
    dl_tensor *first[DL_MAX_OUTS];
    uint32_t given = 0;
    for (int32_t k = 0; k < n_out && k < DL_MAX_OUTS; k++) {
        first[k] = out[k];
        given |= (uint32_t)(out[k]->storage != NULL) << k;
    }
    if (n_out < 1 || n_out > DL_MAX_OUTS) return dl_failf(DL_INVALID, "%s: nothing can follow %d outputs", op->name, n_out);
    first[0] = &between[0];
    dl_status status = dl_call(op->id, in, n_in, first, n_out, attr, n_attr);
    for (int32_t k = 0; k < n && status == DL_OK; k++) {
        dl_tensor *from = &between[k % 2], *to = k == n - 1 ? out[0] : &between[(k + 1) % 2];
        status = dl_call(chain[k].op, (const dl_tensor *[]){from}, 1, &to, 1, chain[k].attr, chain[k].n_attr);
        dl_tensor_clear(from);
    }
    dl_tensor_clear(&between[0]);
    dl_tensor_clear(&between[1]);
    for (int32_t k = 1; k < n_out && status != DL_OK; k++)
        if (!(given >> k & 1)) dl_tensor_clear(out[k]);
    return status;
}

/* A fused call has run with recording off: now record it as the two calls it stands for. */
static dl_status record_pair(dl_op *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                             const dl_attr *attr, int32_t n_attr, const dl_epilogue *follower) {
    dl_attr full[DL_MAX_ATTRS];
    dl_node *node = NULL;
    dl_op *pointwise = dl_op_at(follower->op);
    DL_TRY(dl_op_attrs(op, attr, n_attr, full));
    dl_frame frame = {
        .n_in = (uint32_t)n_in, .n_out = (uint32_t)n_out, .n_attr = (uint32_t)op->n_attrs, .in = in, .out = out, .attr = full};
    DL_TRY(dl_record_begin(op, &frame, &node));
    dl_record_end(node, out, n_out);
    dl_node_release(node);
    const dl_tensor *middle = out[0]; /* stands for the value between: same shape, variable of the first node */
    DL_TRY(chain_attrs(follower, 1, full));
    frame = (dl_frame){.n_in = 1, .n_out = 1, .n_attr = (uint32_t)pointwise->n_attrs, .in = &middle, .out = out, .attr = full};
    node = NULL;
    DL_TRY(dl_record_begin(pointwise, &frame, &node));
    dl_record_end(node, out, 1);
    dl_node_release(node);
    return DL_OK;
}

/* Results that are recorded, or go into a tensor on the tape, need the calls one by one where a program would hide a value that
 * backward reads. */
static int may_fuse(const dl_op *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                    const dl_epilogue *chain, int32_t n) {
    int given = 0;
    if (n < 1 || n_out < 1 || n_out != op->n_outs || (op->def.flags & (DL_OP_COMPOSITE | DL_OP_VIEW))) return 0;
    for (int32_t k = 0; k < n_out; k++) {
        if (out[k]->storage && out[k]->var) return 0;
        given |= out[k]->storage != NULL;
    }
    if (dl_autocast_applies(op, in, n_in)) return 0; /* its result will have another type */
    if (!dl_must_record(in, n_in)) return 1;
    return !(op->def.flags & DL_OP_POINTWISE) && !given && may_fuse_recorded(op, chain, n);
}

/* The chain's program (a pointwise op is its first link) and attributes; NULL where types, length or attributes forbid one. */
static dl_status fused_program(const dl_op *op, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr,
                               const dl_epilogue *chain, int32_t n, dl_attr *attrs, dl_prog **out) {
    dl_epilogue links[MAX_CHAIN];
    int32_t first = (op->def.flags & DL_OP_POINTWISE) != 0;
    *out = NULL;
    if (n + first > MAX_CHAIN) return DL_OK;
    links[0] = (dl_epilogue){op->id, n_attr, attr};
    memcpy(links + first, chain, (size_t)n * sizeof *chain);
    dl_dtype type = chain_type(in, n_in, links, n + first);
    if (type < 0 || chain_attrs(links, n + first, attrs) != DL_OK) return DL_OK;
    return chain_program(links, n + first, type, out);
}

dl_status dl_call_fused(int32_t id, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                        const dl_attr *attr, int32_t n_attr, const dl_epilogue *chain, int32_t n) {
    dl_op *op = dl_op_at(id);
    if (!op) return dl_failf(DL_INVALID, "there is no op number %d", id);
    DL_TRY(check_chain(op, chain, n));
    dl_prog *prog = NULL;
    dl_attr attrs[DL_PROG_MAX_ATTR];
    if (may_fuse(op, in, n_in, out, n_out, chain, n)) DL_TRY(fused_program(op, in, n_in, attr, n_attr, chain, n, attrs, &prog));
    if (!prog) return call_one_by_one(op, in, n_in, out, n_out, attr, n_attr, chain, n);
    const int record = dl_must_record(in, n_in);
    uint32_t given = 0;
    for (int32_t k = 0; k < n_out; k++) given |= (uint32_t)(out[k]->storage != NULL) << k;
    int32_t enabled = dl_set_grad_enabled(0);
    dl_status status = dl_call_op(op, in, n_in, out, n_out, attr, n_attr, prog, attrs);
    dl_set_grad_enabled(enabled);
    if (status == DL_UNSUPPORTED) return call_one_by_one(op, in, n_in, out, n_out, attr, n_attr, chain, n);
    if (status == DL_OK && record) status = record_pair(op, in, n_in, out, n_out, attr, n_attr, chain);
    for (int32_t k = 0; k < n_out && status != DL_OK; k++)
        if (!(given >> k & 1)) dl_tensor_clear(out[k]);
    return status;
}
