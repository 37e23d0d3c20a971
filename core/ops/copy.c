/* copy.c - copies, conversions, concatenation, tiling, triangles. */
#include "core/mem.h"
#include "core/ops/emit.h"
#include "core/ops/functions.h"

/* ---- copy ---------------------------------------------------------------------------------------------------------- */

dl_status infer_copy(dl_frame *f) {
    const dl_tensor *x = f->in[0], *given = f->out[0];
    dl_dtype type;
    if (given && given->storage) {
        if (!broadcasts_to(x->ndim, x->shape, given->ndim, given->shape))
            return dl_failf(DL_INVALID, "%s does not broadcast to the shape %s of the tensor to copy into", shape_text(x).s,
                            shape_text(given).s);
        return out_like(f, 0, given);
    }
    DL_TRY(rule_dtype(f, 0, x->type, &type));
    return dl_set_out(f, 0, type, x->ndim, x->shape);
}

dl_status grad_copy(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, e_sum_like(g, e_cast(g, dl_graph_grad(g, 0), f->in[0]->type), f->in[0]));
    return dl_graph_status(g);
}

/* ---- cat, stack ---------------------------------------------------------------------------------------------------- */

static dl_status list_given(const dl_frame *f) {
    if (f->n_in == 0) return dl_failf(DL_INVALID, "expected at least one tensor");
    for (uint32_t k = 0; k < f->n_in; k++)
        if (!f->in[k]) return dl_failf(DL_INVALID, "tensor %u of the list is missing", k);
    return DL_OK;
}

dl_status infer_cat(dl_frame *f) {
    DL_TRY(list_given(f));
    const dl_tensor *first = f->in[0];
    dl_shape s = shape_of(first);
    dl_dtype type = first->type;
    int32_t dim;
    if (s.ndim == 0) return dl_failf(DL_INVALID, "0-dim tensors cannot be concatenated: use stack");
    DL_TRY(rule_dim(attr_int(f, 0), s.ndim, &dim));
    for (uint32_t k = 1; k < f->n_in; k++) {
        const dl_tensor *x = f->in[k];
        int fits = x->ndim == s.ndim;
        for (int32_t d = 0; fits && d < s.ndim; d++) fits = d == dim || x->shape[d] == s.size[d];
        if (!fits)
            return dl_failf(DL_INVALID, "tensor %u has shape %s, expected that of tensor 0, %s, except for dimension %d", k,
                            shape_text(x).s, shape_text(first).s, dim);
        s.size[dim] += x->shape[dim];
        type = dl_dtype_promote(type, x->type);
    }
    return out_shape(f, 0, type, &s);
}

dl_status grad_cat(dl_graph *g, const dl_frame *f) {
    int32_t dim;
    int64_t start = 0;
    DL_TRY(rule_dim(attr_int(f, 0), f->in[0]->ndim, &dim));
    for (uint32_t k = 0; k < f->n_in; k++) {
        int64_t length = f->in[k]->shape[dim];
        if (dl_graph_needs(g, k)) {
            dl_value part = emit1(g, "slice", dl_graph_grad(g, 0), ATTRS(DL_INT(dim), DL_INT(start), DL_INT(length)));
            dl_graph_returns(g, k, e_cast(g, part, f->in[k]->type));
        }
        start += length;
    }
    return dl_graph_status(g);
}

dl_status compose_cat(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    int32_t dim;
    int64_t start = 0;
    DL_TRY(rule_dim(attr_int(f, 0), out->ndim, &dim));
    dl_value y = dl_graph_empty(g, out->type, out->ndim, out->shape);
    for (uint32_t k = 0; k < f->n_in; k++) {
        const int64_t length = f->in[k]->shape[dim];
        if (length > 0) into1(g, e_slice(g, y, dim, start, length), "copy", dl_graph_in(g, k), NO_ATTRS);
        start += length;
    }
    dl_graph_returns(g, 0, y);
    return dl_graph_status(g);
}

/* The result's shape and dtype. */
static dl_status stacked(const dl_frame *f, int32_t *dim, dl_shape *s, dl_dtype *type) {
    DL_TRY(list_given(f));
    const dl_tensor *first = f->in[0];
    *type = first->type;
    s->ndim = first->ndim + 1;
    DL_TRY(rule_dim(attr_int(f, 0), s->ndim, dim));
    DL_TRY(rule_rank(s->ndim));
    for (uint32_t k = 1; k < f->n_in; k++) {
        if (!same_shape(first, f->in[k]))
            return dl_failf(DL_INVALID, "tensor %u has shape %s, expected that of tensor 0, %s", k, shape_text(f->in[k]).s,
                            shape_text(first).s);
        *type = dl_dtype_promote(*type, f->in[k]->type);
    }
    for (int32_t d = 0; d < s->ndim; d++) s->size[d] = d == *dim ? f->n_in : first->shape[d - (d > *dim)];
    return DL_OK;
}

dl_status infer_stack(dl_frame *f) {
    dl_shape s;
    dl_dtype type;
    int32_t dim;
    DL_TRY(stacked(f, &dim, &s, &type));
    return out_shape(f, 0, type, &s);
}

dl_status compose_stack(dl_graph *g, const dl_frame *f) {
    dl_shape s;
    dl_dtype type;
    int32_t dim;
    DL_TRY(stacked(f, &dim, &s, &type));
    dl_value *parts = dl_mem(NULL, f->n_in * sizeof *parts);
    if (!parts) return dl_failf(DL_NOMEM, "out of memory stacking %u tensors", f->n_in);
    for (uint32_t k = 0; k < f->n_in; k++) parts[k] = emit1(g, "unsqueeze", dl_graph_in(g, k), ATTRS(DL_INT(dim)));
    dl_graph_returns(g, 0, dl_emit(g, "cat", parts, f->n_in, ATTRS(DL_INT(dim))));
    dl_mem(parts, 0);
    return dl_graph_status(g);
}

/* ---- repeat -------------------------------------------------------------------------------------------------------- */

static dl_status repeated(const dl_frame *f, dl_shape *from, dl_shape *times, dl_shape *to) {
    const dl_tensor *x = f->in[0];
    const int64_t *given;
    int32_t n = attr_ints(f, 0, &given);
    if (n < x->ndim)
        return dl_failf(DL_INVALID, "expected a count for each of the %d dimensions of %s, got %s", x->ndim, shape_text(x).s,
                        sizes_text(n, given).s);
    DL_TRY(rule_rank(n));
    from->ndim = times->ndim = to->ndim = n;
    for (int32_t d = 0; d < n; d++) {
        from->size[d] = d < n - x->ndim ? 1 : x->shape[d - (n - x->ndim)];
        times->size[d] = given[d];
        if (given[d] < 0 || __builtin_mul_overflow(from->size[d], given[d], &to->size[d]))
            return dl_failf(DL_INVALID, "%s is no list of counts for the shape %s", sizes_text(n, given).s, shape_text(x).s);
    }
    return DL_OK;
}

dl_status infer_repeat(dl_frame *f) {
    dl_shape from, times, to;
    DL_TRY(repeated(f, &from, &times, &to));
    return out_shape(f, 0, f->in[0]->type, &to);
}

/* (a, b) -> (1, a, 1, b) -> expanded to (s, a, t, b) -> copied -> (s*a, t*b); only tiled dimensions get a partner. */
dl_status compose_repeat(dl_graph *g, const dl_frame *f) {
    dl_shape from, times, to, apart = {0}, tiled = {0};
    DL_TRY(repeated(f, &from, &times, &to));
    for (int32_t d = 0; d < from.ndim; d++) {
        if (times.size[d] != 1 && from.size[d] != 1) {
            DL_TRY(rule_rank(apart.ndim + 1));
            apart.size[apart.ndim++] = 1;
            tiled.size[tiled.ndim++] = times.size[d];
        }
        DL_TRY(rule_rank(apart.ndim + 1));
        apart.size[apart.ndim++] = from.size[d];
        tiled.size[tiled.ndim++] = from.size[d] == 1 ? times.size[d] : from.size[d];
    }
    dl_value x = emit1(g, "reshape", dl_graph_in(g, 0), ATTRS(DL_INTS(apart.size, apart.ndim)));
    x = emit1(g, "copy", e_expand(g, x, tiled.ndim, tiled.size), NO_ATTRS);
    dl_graph_returns(g, 0, emit1(g, "view", x, ATTRS(DL_INTS(to.size, to.ndim))));
    return dl_graph_status(g);
}

/* ---- tril, triu ----------------------------------------------------------------------------------------------------- */

dl_status infer_tril(dl_frame *f) {
    if (f->in[0]->ndim < 2)
        return dl_failf(DL_INVALID, "expected a matrix or a batch of them, got the shape %s", shape_text(f->in[0]).s);
    return out_like(f, 0, f->in[0]);
}

/* Zero where column - diagonal compares so with row. */
static dl_status cleared_where(dl_graph *g, const dl_frame *f, const char *comparison) {
    const dl_tensor *x = f->in[0];
    const int64_t rows = x->shape[x->ndim - 2], columns = x->shape[x->ndim - 1], given = attr_int(f, 0);
    const int64_t diagonal = given < -rows ? -rows : given > columns ? columns : given; /* beyond, nothing changes */
    dl_value row = e_ramp(g, 0, 1, rows, 0, 2), column = e_ramp(g, -diagonal, 1, columns, 1, 2);
    dl_graph_returns(g, 0, e_fill(g, dl_graph_in(g, 0), emit2(g, comparison, column, row, NO_ATTRS), 0));
    return dl_graph_status(g);
}

dl_status compose_tril(dl_graph *g, const dl_frame *f) { return cleared_where(g, f, "gt"); }
dl_status compose_triu(dl_graph *g, const dl_frame *f) { return cleared_where(g, f, "lt"); }

dl_status grad_tril(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, emit1(g, "tril", dl_graph_grad(g, 0), f->attr, 1));
    return dl_graph_status(g);
}

dl_status grad_triu(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, emit1(g, "triu", dl_graph_grad(g, 0), f->attr, 1));
    return dl_graph_status(g);
}
