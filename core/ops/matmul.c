/* matmul.c - matrix products. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include <math.h>

/* The last two sizes of a factor; a vector is a row on the left and a column on the right. */
typedef struct matrix {
    int64_t rows, columns;
} matrix;

static matrix left_matrix(const dl_tensor *a) {
    return (matrix){a->ndim > 1 ? a->shape[a->ndim - 2] : 1, a->shape[a->ndim - 1]};
}
static matrix right_matrix(const dl_tensor *b) {
    return (matrix){b->shape[b->ndim > 1 ? b->ndim - 2 : 0], b->ndim > 1 ? b->shape[b->ndim - 1] : 1};
}
static int32_t batch_dims(const dl_tensor *t) { return t->ndim > 2 ? t->ndim - 2 : 0; }

static dl_status product_type(const dl_tensor *t) {
    if (t->type != DL_BOOL) return DL_OK;
    return dl_failf(DL_INVALID, "bool tensors cannot be multiplied: convert to float32 first");
}

/* ---- matmul -------------------------------------------------------------------------------------------------------- */

dl_status infer_matmul(dl_frame *f) {
    const dl_tensor *a = f->in[0], *b = f->in[1];
    DL_TRY(rule_same_type(a, "the first", b, "the second"));
    DL_TRY(product_type(a));
    if (a->ndim == 0 || b->ndim == 0)
        return dl_failf(DL_INVALID, "expected at least 1 dimension each, got the shapes %s and %s: use mul for scalars",
                        shape_text(a).s, shape_text(b).s);
    matrix p = left_matrix(a), q = right_matrix(b);
    if (p.columns != q.rows)
        return dl_failf(DL_INVALID, "inner sizes differ: %s x %s: expected %lld %s in the second %s", shape_text(a).s,
                        shape_text(b).s, (long long)p.columns, b->ndim > 1 ? "rows" : "elements",
                        b->ndim > 1 ? "matrix" : "vector");
    dl_shape s = {.ndim = batch_dims(a)};
    for (int32_t d = 0; d < s.ndim; d++) s.size[d] = a->shape[d];
    DL_TRY(rule_broadcast(&s, batch_dims(b), b->shape));
    if (a->ndim > 1) s.size[s.ndim++] = p.rows;
    if (b->ndim > 1) s.size[s.ndim++] = q.columns;
    return out_shape(f, 0, a->type, &s);
}

/* A factor as (batches, rows, columns), its batches broadcast to the result's: a view wherever strides allow it. */
static dl_value as_batch(dl_graph *g, dl_value x, const dl_tensor *t, matrix m, int32_t n, const int64_t *batch) {
    dl_shape s = {.ndim = n};
    for (int32_t d = 0; d < n; d++) s.size[d] = batch[d];
    s.size[s.ndim++] = m.rows;
    s.size[s.ndim++] = m.columns;
    if (t->ndim == 1) x = e_reshape(g, x, 2, (int64_t[]){m.rows, m.columns});
    x = e_expand(g, x, s.ndim, s.size);
    return e_reshape(g, x, 3, (int64_t[]){count_of(n, batch), m.rows, m.columns});
}

/* Do t's rows, batch after batch, lie in equal steps? Then all of them are one matrix without a copy. */
static int rows_in_line(const dl_tensor *t) {
    for (int32_t d = 0; d + 2 < t->ndim; d++)
        if (t->shape[d] != 1 && t->strides[d] != t->shape[d + 1] * t->strides[d + 1]) return 0;
    return 1;
}

dl_status compose_matmul(dl_graph *g, const dl_frame *f) {
    const dl_tensor *a = f->in[0], *b = f->in[1], *out = f->out[0];
    matrix p = left_matrix(a), q = right_matrix(b);
    const int32_t n = out->ndim - (a->ndim > 1) - (b->ndim > 1);
    dl_value x = dl_graph_in(g, 0), y = dl_graph_in(g, 1);
    if (batch_dims(b) == 0 && rows_in_line(a)) {
        x = e_reshape(g, x, 3, (int64_t[]){1, p.rows * count_of(n, out->shape), p.columns});
        y = e_reshape(g, y, 3, (int64_t[]){1, q.rows, q.columns});
    } else {
        x = as_batch(g, x, a, p, n, out->shape);
        y = as_batch(g, y, b, q, n, out->shape);
    }
    dl_graph_returns(g, 0, e_reshape(g, emit2(g, "gemm", x, y, NO_ATTRS), out->ndim, out->shape));
    return dl_graph_status(g);
}

/* Integers, which a backend's gemm may refuse: columns times rows, one inner element after another. */
dl_status compose_gemm(dl_graph *g, const dl_frame *f) {
    const dl_tensor *a = f->in[0], *out = f->out[0];
    if (is_floating(a->type)) return DL_UNSUPPORTED;
    dl_value x = dl_graph_in(g, 0), y = dl_graph_in(g, 1), sum = e_zeros(g, out->type, 3, out->shape);
    for (int64_t k = 0; k < a->shape[2]; k++)
        into3(g, sum, "addcmul", sum, e_slice(g, x, 2, k, 1), e_slice(g, y, 1, k, 1), NO_ATTRS);
    dl_graph_returns(g, 0, sum);
    return dl_graph_status(g);
}

/* A value as a stack of matrices: of the given rows and columns, all batches folded into the rows. */
static dl_value folded(dl_graph *g, dl_value x, int64_t rows, int64_t columns) {
    return e_reshape(g, x, 2, (int64_t[]){rows, columns});
}

static dl_value product(dl_graph *g, dl_value a, dl_value b) { return emit2(g, "matmul", a, b, NO_ATTRS); }

static dl_value as_matrix(dl_graph *g, dl_value x, const dl_tensor *t, int64_t dim) {
    return t->ndim > 1 ? x : emit1(g, "unsqueeze", x, ATTRS(DL_INT(dim)));
}

/* Sums over broadcast batches and drops the dimension a vector was given. */
static dl_value like_factor(dl_graph *g, dl_value grad, const dl_tensor *t, matrix m) {
    dl_shape s = {.ndim = batch_dims(t)};
    for (int32_t d = 0; d < s.ndim; d++) s.size[d] = t->shape[d];
    s.size[s.ndim++] = m.rows;
    s.size[s.ndim++] = m.columns;
    return e_reshape(g, e_sum_to(g, grad, s.ndim, s.size), t->ndim, t->shape);
}

dl_status grad_matmul(dl_graph *g, const dl_frame *f) {
    const dl_tensor *a = f->in[0], *b = f->in[1];
    matrix p = left_matrix(a), q = right_matrix(b);
    dl_value grad = dl_graph_grad(g, 0), va = as_matrix(g, dl_graph_in(g, 0), a, 0),
             vb = as_matrix(g, dl_graph_in(g, 1), b, -1);
    int64_t batches = count_of(batch_dims(a), a->shape);
    if (b->ndim == 1) grad = emit1(g, "unsqueeze", grad, ATTRS(DL_INT(-1)));
    if (a->ndim == 1) grad = emit1(g, "unsqueeze", grad, ATTRS(DL_INT(-2)));
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, like_factor(g, product(g, grad, e_transpose(g, vb)), a, p));
    if (!dl_graph_needs(g, 1)) return dl_graph_status(g);
    /* One matrix on the right of a batch: the sum over batches is a single product. */
    if (batch_dims(b) == 0 && batch_dims(a) > 0) {
        va = folded(g, va, batches * p.rows, p.columns);
        grad = folded(g, grad, batches * p.rows, q.columns);
    }
    dl_graph_returns(g, 1, like_factor(g, product(g, e_transpose(g, va), grad), b, q));
    return dl_graph_status(g);
}

/* ---- linear -------------------------------------------------------------------------------------------------------- */

dl_status infer_linear(dl_frame *f) {
    const dl_tensor *x = f->in[0], *w = f->in[1], *bias = f->in[2];
    DL_TRY(rule_same_type(x, "the input", w, "the weight"));
    DL_TRY(product_type(x));
    if (w->ndim != 2) return dl_failf(DL_INVALID, "expected a weight of shape (out, in), got %s", shape_text(w).s);
    if (x->ndim == 0 || x->shape[x->ndim - 1] != w->shape[1])
        return dl_failf(DL_INVALID, "expected %lld input features (the weight is %s), got an input of shape %s",
                        (long long)w->shape[1], shape_text(w).s, shape_text(x).s);
    if (bias) {
        DL_TRY(rule_same_type(x, "the input", bias, "the bias"));
        if (bias->ndim != 1 || bias->shape[0] != w->shape[0])
            return dl_failf(DL_INVALID, "expected a bias of shape (%lld), got %s", (long long)w->shape[0], shape_text(bias).s);
    }
    dl_shape s = shape_of(x);
    s.size[s.ndim - 1] = w->shape[0];
    return out_shape(f, 0, x->type, &s);
}

dl_status compose_linear(dl_graph *g, const dl_frame *f) {
    dl_value y = product(g, dl_graph_in(g, 0), e_transpose(g, dl_graph_in(g, 1)));
    dl_graph_returns(g, 0, f->in[2] ? e_add(g, y, dl_graph_in(g, 2)) : y);
    return dl_graph_status(g);
}

dl_status grad_linear(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0], *w = f->in[1];
    dl_value grad = dl_graph_grad(g, 0);
    int64_t rows = count_of(x->ndim - 1, x->shape);
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, product(g, grad, dl_graph_in(g, 1)));
    if (dl_graph_needs(g, 1)) {
        dl_value by_row = folded(g, grad, rows, w->shape[0]);
        dl_graph_returns(g, 1, product(g, e_transpose(g, by_row), folded(g, dl_graph_in(g, 0), rows, w->shape[1])));
    }
    if (f->in[2] && dl_graph_needs(g, 2)) dl_graph_returns(g, 2, e_sum_like(g, grad, f->in[2]));
    return dl_graph_status(g);
}

/* ---- addmm --------------------------------------------------------------------------------------------------------- */

/* Integers have no fraction of themselves to give, and their factors are int64. */
static dl_status whole_factor(const dl_frame *f, uint32_t k, const char *name) {
    const double x = attr_float(f, k);
    if (is_floating(f->in[1]->type) || (x == floor(x) && fabs(x) < 0x1p63)) return DL_OK;
    return dl_failf(DL_INVALID, "expected a whole %s between -2^63 and 2^63 for %s, got %g", name,
                    dl_dtype_name(f->in[1]->type), x);
}

dl_status infer_addmm(dl_frame *f) {
    const dl_tensor *c = f->in[0], *a = f->in[1], *b = f->in[2];
    DL_TRY(rule_same_type(a, "a", b, "b"));
    DL_TRY(rule_same_type(a, "a", c, "c"));
    DL_TRY(product_type(a));
    DL_TRY(whole_factor(f, 0, "beta"));
    DL_TRY(whole_factor(f, 1, "alpha"));
    int32_t n = a->ndim;
    if ((n != 2 && n != 3) || b->ndim != n || (n == 3 && a->shape[0] != b->shape[0]) || a->shape[n - 1] != b->shape[n - 2])
        return dl_failf(DL_INVALID, "expected a of (n, k) and b of (k, m), or a batch of such, got %s and %s", shape_text(a).s,
                        shape_text(b).s);
    dl_shape s = shape_of(a);
    s.size[n - 1] = b->shape[n - 1];
    if (!broadcasts_to(c->ndim, c->shape, s.ndim, s.size))
        return dl_failf(DL_INVALID, "c of shape %s does not broadcast to the product's shape %s", shape_text(c).s,
                        sizes_text(s.ndim, s.size).s);
    return out_shape(f, 0, a->type, &s);
}

/* Integers stay what they are and wrap: a floating factor would promote them to float32. */
static dl_value times(dl_graph *g, dl_value x, dl_dtype type, double factor) {
    if (is_floating(type) || factor == 1) return e_scale(g, x, factor);
    return emit1(g, "mul_scalar", x, ATTRS(DL_INT((int64_t)factor)));
}

dl_status compose_addmm(dl_graph *g, const dl_frame *f) {
    const double beta = attr_float(f, 0);
    const dl_dtype type = f->out[0]->type;
    dl_value y = times(g, product(g, dl_graph_in(g, 1), dl_graph_in(g, 2)), type, attr_float(f, 1));
    dl_graph_returns(g, 0, beta == 0 ? y : e_add(g, y, times(g, dl_graph_in(g, 0), type, beta)));
    return dl_graph_status(g);
}

dl_status grad_addmm(dl_graph *g, const dl_frame *f) {
    dl_value grad = dl_graph_grad(g, 0), scaled = DL_NO_VALUE;
    if (dl_graph_needs(g, 0)) dl_graph_returns(g, 0, e_sum_like(g, e_scale(g, grad, attr_float(f, 0)), f->in[0]));
    if (dl_graph_needs(g, 1) || dl_graph_needs(g, 2)) scaled = e_scale(g, grad, attr_float(f, 1));
    if (dl_graph_needs(g, 1)) dl_graph_returns(g, 1, product(g, scaled, e_transpose(g, dl_graph_in(g, 2))));
    if (dl_graph_needs(g, 2)) dl_graph_returns(g, 2, product(g, e_transpose(g, dl_graph_in(g, 1)), scaled));
    return dl_graph_status(g);
}
