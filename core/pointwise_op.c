/* pointwise_op.c - ops that are one expression: their programs by dtype, their gradients as ops, ops defined at run time. */
#include "core/graph.h"
#include "core/mem.h"
#include "core/op.h"
#include "core/status.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t programs_lock = PTHREAD_MUTEX_INITIALIZER;

/* The expression of a root op (one with text) at a common dtype. */
static dl_status expression(const dl_op *op, dl_dtype common, dl_expr *e) {
    *e = (dl_expr){.name = op->name, .text = op->def.expr, .n_in = op->n_tensors, .n_attr = op->n_attrs};
    DL_TRY(dl_rule_types(op->def.rule, common, &e->compute, &e->out_type));
    for (int32_t k = 0; k < op->n_tensors; k++) {
        e->in_name[k] = op->tensors[k].name;
        e->in_type[k] = op->tensors[k].fixed_type >= 0 ? op->tensors[k].fixed_type : e->compute;
    }
    for (int32_t k = 0; k < op->n_attrs; k++) e->attr_name[k] = op->attrs[k].name;
    return DL_OK;
}

/* A gradient op's program: from the row's own text where its forward op is a row, else by differentiating the program. */
static dl_status make_program(dl_op *op, dl_dtype common, dl_prog **out) {
    dl_expr e;
    if (!op->grad_of) {
        DL_TRY(expression(op, common, &e));
        return dl_prog_parse(&e, out);
    }
    if (!op->grad_of->grad_of) {
        DL_TRY(expression(op->grad_of, common, &e));
        return dl_expr_grad(&e, op->grad_of->def.grads, op->grad_input, out);
    }
    const dl_prog *forward;
    DL_TRY(dl_op_program((dl_op *)op->grad_of, common, &forward));
    return dl_prog_grad(forward, op->grad_input, out);
}

dl_status dl_op_program(dl_op *op, dl_dtype common, const dl_prog **out) {
    dl_prog *p = atomic_load_explicit(&op->progs[common], memory_order_acquire);
    if (!p) {
        DL_TRY(make_program(op, common, &p));
        dl_prog *expected = NULL;
        if (!atomic_compare_exchange_strong(&op->progs[common], &expected, p)) {
            dl_prog_free(p); /* another thread was first */
            p = expected;
        }
    }
    *out = p;
    return DL_OK;
}

dl_status dl_op_types(dl_op *op, dl_dtype common, dl_dtype *compute, dl_dtype *out) {
    uint16_t kept = atomic_load_explicit(&op->types[common], memory_order_relaxed);
    if (!kept) {
        DL_TRY(dl_rule_types(op->def.rule, common, compute, out));
        kept = (uint16_t)((*compute + 1) << 8 | *out);
        atomic_store_explicit(&op->types[common], kept, memory_order_relaxed);
    }
    *compute = (kept >> 8) - 1;
    *out = kept & 255;
    return DL_OK;
}

/* Which of (g, in..., out) the gradient reads: asked of the f32 program, whose structure every float dtype shares. */
static dl_status note_reads(dl_op *gradient) {
    const dl_prog *p;
    DL_TRY(dl_op_program(gradient, DL_F32, &p));
    for (int32_t k = 0; k < gradient->n_tensors; k++)
        if (dl_prog_reads(p, k)) gradient->saved_in |= 1u << k;
    return DL_OK;
}

static dl_status make_gradient(dl_op *op, int32_t k, dl_op **out) {
    if (op->n_tensors + 2 > DL_MAX_TENSORS)
        return dl_failf(DL_UNSUPPORTED, "%s: too many tensors for a further derivative (%d)", op->name, op->n_tensors);
    dl_op *g = dl_mem_zero(sizeof *g);
    if (!g) return dl_failf(DL_NOMEM, "out of memory making the gradient of %s", op->name);
    g->def =
        (dl_op_def){.size = sizeof g->def, .flags = DL_OP_POINTWISE, .sig = op->def.sig, .rule = "float", .doc = op->def.doc};
    snprintf(g->name, sizeof g->name, "%.40s.d%d", op->name, k);
    g->plugin = op->plugin;
    g->n_outs = 1;
    g->primitive = 1;
    g->n_tensors = op->n_tensors + 2;
    g->tensors[0] = (dl_arg){.name = "g", .fixed_type = -1};
    memcpy(&g->tensors[1], op->tensors, (size_t)op->n_tensors * sizeof *op->tensors);
    g->tensors[op->n_tensors + 1] = (dl_arg){.name = "out", .fixed_type = -1};
    g->n_attrs = op->n_attrs;
    g->n_required = op->n_required;
    memcpy(g->attrs, op->attrs, sizeof g->attrs);
    g->grad_of = op;
    g->grad_input = k;
    dl_status status = note_reads(g);
    if (status == DL_OK) status = dl_op_publish(g);
    if (status != DL_OK) {
        for (int32_t t = 0; t < DL_DTYPE_COUNT; t++) dl_prog_free(g->progs[t]);
        dl_mem(g, 0);
        return status;
    }
    *out = g;
    return DL_OK;
}

dl_status dl_op_gradient(dl_op *op, int32_t k, dl_op **out) {
    *out = atomic_load_explicit(&op->grad_ops[k], memory_order_acquire);
    if (*out) return DL_OK;
    pthread_mutex_lock(&programs_lock);
    dl_status status = DL_OK;
    *out = op->grad_ops[k];
    if (!*out) {
        status = make_gradient(op, k, out);
        if (status == DL_OK) atomic_store_explicit(&op->grad_ops[k], *out, memory_order_release);
    }
    pthread_mutex_unlock(&programs_lock);
    return status;
}

dl_status dl_pointwise_grad(dl_graph *graph, const dl_frame *frame) {
    dl_op *op = frame->user;
    for (int32_t k = 0; k < op->n_tensors; k++) {
        if (!dl_graph_needs(graph, (uint32_t)k)) continue;
        dl_op *gradient;
        DL_TRY(dl_op_gradient(op, k, &gradient));
        dl_value in[DL_MAX_TENSORS];
        /* what the program does not read is not passed: it may not have been saved */
        in[0] = dl_graph_grad(graph, 0);
        for (int32_t j = 0; j <= op->n_tensors; j++) {
            int read = gradient->saved_in >> (j + 1) & 1;
            in[j + 1] = !read ? DL_NO_VALUE : j < op->n_tensors ? dl_graph_in(graph, (uint32_t)j) : dl_graph_out(graph, 0);
        }
        dl_graph_returns(graph, (uint32_t)k,
                         dl_emit(graph, gradient->name, in, (uint32_t)gradient->n_tensors, frame->attr, frame->n_attr));
    }
    return dl_graph_status(graph);
}

/* Programs compute in no other floating types. */
static int is_real(int32_t type) { return type == DL_F32 || type == DL_F64; }

/* A value as programs have it in that type. */
static dl_scalar scalar_of(int32_t type, double x) {
    if (is_real(type)) return (dl_scalar){.f = x};
    return (dl_scalar){.i = type == DL_BOOL ? x != 0 : (int64_t)x};
}

/* An attribute as programs have it that compute in that type: fractions do not reach integers and bool. */
static dl_scalar attribute_of(int32_t compute, const dl_attr *a) {
    dl_scalar value;
    if (a->kind == DL_ATTR_INT && !is_real(compute)) {
        value.i = a->v.i;
        return value;
    }
    const double x = a->kind == DL_ATTR_INT ? (double)a->v.i : a->v.f;
    return scalar_of(compute, is_real(compute) ? x : trunc(x));
}

dl_status dl_op_evaluate(int32_t id, dl_dtype type, const double *in, const dl_attr *attr, int32_t n_attr, int64_t index,
                         double *out) {
    dl_op *op = dl_op_at(id);
    const dl_prog *p;
    dl_dtype compute, result;
    dl_attr full[DL_MAX_ATTRS];
    dl_scalar values[DL_PROG_MAX_IN], attrs[DL_PROG_MAX_ATTR], y;
    if (!op || !(op->def.flags & DL_OP_POINTWISE)) return dl_failf(DL_INVALID, "op number %d is no expression", id);
    DL_TRY(dl_op_attrs(op, attr, n_attr, full));
    type = dl_pointwise_with_scalars(op, type, full);
    DL_TRY(dl_op_types(op, type, &compute, &result));
    DL_TRY(dl_op_program(op, type, &p));
    for (uint32_t k = 0; k < p->n_in; k++) values[k] = scalar_of(p->in_type[k], in[k]);
    for (uint32_t k = 0; k < p->n_attr; k++) attrs[k] = attribute_of(compute, &full[k]);
    DL_TRY(dl_prog_eval(p, values, attrs, index, &y));
    *out = is_real(p->ins[p->out[0]].type) ? y.f : (double)y.i;
    return DL_OK;
}

/* A dtype that every expression of a rule can be parsed at. */
static dl_dtype usual_type(const char *rule) {
    return strcmp(rule, "int") == 0 ? DL_I32 : strcmp(rule, "random") == 0 ? DL_I64 : DL_F32;
}

dl_status dl_op_check_text(const dl_op *op) {
    const dl_dtype type = usual_type(op->def.rule);
    dl_expr e;
    dl_prog *p = NULL;
    DL_TRY(expression(op, type, &e));
    DL_TRY(dl_prog_parse(&e, &p));
    dl_prog_free(p);
    for (int32_t k = 0; type == DL_F32 && op->def.grads && *op->def.grads && k < op->n_tensors; k++) {
        dl_status status = dl_expr_grad(&e, op->def.grads, k, &p);
        if (status != DL_OK) return dl_fail_context(status, "its gradients");
        dl_prog_free(p);
    }
    return DL_OK;
}

dl_status dl_op_define(const char *signature, const char *expression_text, const char *rule, int32_t *id) {
    if (!signature || !expression_text || !rule)
        return dl_failf(DL_INVALID, "an op needs a signature, an expression and a type rule");
    char *sig = dl_mem_string(signature), *text = dl_mem_string(expression_text), *kind = dl_mem_string(rule);
    dl_op_def def = {.size = sizeof def, .sig = sig, .expr = text, .rule = kind, .doc = sig};
    dl_op probe = {.def = def};
    dl_status status = sig && text && kind ? DL_OK : dl_failf(DL_NOMEM, "out of memory defining an op");
    if (status == DL_OK) status = dl_signature_parse(sig, &probe);
    if (status == DL_OK) status = dl_op_check_text(&probe);
    if (status == DL_OK) status = dl_op_add(&def, "this program");
    if (status != DL_OK) {
        dl_mem(sig, 0);
        dl_mem(text, 0);
        dl_mem(kind, 0);
        return status;
    }
    *id = dl_op_find(probe.name);
    return DL_OK;
}
