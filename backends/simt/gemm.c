/* gemm.c - gemm, and matmul, linear and addmm where their tensors are one batch of matrices. */
#include "backends/simt/gemm.h"
#include "backends/simt/tile.h"
#include "backends/simt/texts.h"

typedef struct gemm_state {
    gemm_shape shape, parts; /* parts: the first stage's, where the inner dimension is split */
    void *gemm, *sum;
    int32_t a, b, c; /* numbers of inputs; c may be -1 */
    double alpha, beta;
} gemm_state;

/* ---- tensors as batches of matrices ---------------------------------------------------------------------------------------
 */

typedef struct matrices {
    int64_t batch, rows, columns, batch_stride, row_stride, column_stride;
} matrices;

/* Dimensions first..last - 1 as one of a single stride; 0: their strides do not allow that. */
static int join(const dl_tensor *t, int32_t first, int32_t last, int64_t *size, int64_t *stride) {
    *size = 1;
    *stride = 0;
    for (int32_t d = last - 1; d >= first; d--) {
        if (t->shape[d] == 1) continue;
        if (*size > 1 && t->strides[d] != *stride * *size) return 0;
        if (*size == 1) *stride = t->strides[d];
        *size *= t->shape[d];
    }
    return 1;
}

static int as_matrices(const dl_tensor *t, matrices *m) {
    const int32_t n = t->ndim;
    if (!join(t, 0, n - 2, &m->batch, &m->batch_stride)) return 0;
    m->rows = t->shape[n - 2], m->row_stride = t->strides[n - 2];
    m->columns = t->shape[n - 1], m->column_stride = t->strides[n - 1];
    return 1;
}

/* All dimensions but the last as rows. */
static int as_rows(const dl_tensor *t, matrices *m) {
    const int32_t n = t->ndim;
    m->batch = 1, m->batch_stride = 0;
    m->columns = t->shape[n - 1], m->column_stride = t->strides[n - 1];
    return join(t, 0, n - 1, &m->rows, &m->row_stride);
}

static void set_shape(gemm_shape *s, const matrices *a, const matrices *b, const matrices *y) {
    *s = (gemm_shape){.batch = y->batch, .rows = y->rows, .inner = a->columns, .columns = y->columns};
    s->a_batch = a->batch_stride, s->a_row = a->row_stride, s->a_inner = a->column_stride;
    s->b_batch = b->batch_stride, s->b_inner = b->row_stride, s->b_column = b->column_stride;
    s->y_batch = y->batch_stride, s->y_row = y->row_stride, s->y_column = y->column_stride;
    s->splits = 1, s->split = s->inner;
}

/* ---- plans ----------------------------------------------------------------------------------------------------------------
 */

/* A first stage writes (splits, batch, rows, columns), and a second one adds that up. */
static dl_status split_inner(const dl_frame *f, gemm_state *g, dl_plan *plan) {
    const dl_dtype type = f->out[0]->type, sum_type = tile_sum_type(type);
    gemm_shape *s = &g->shape;
    const int64_t count = s->batch * s->rows * s->columns;
    s->splits = tile_splits(tile_count(s->rows, s->columns) * s->batch, s->inner);
    s->split = (s->inner + s->splits - 1) / s->splits;
    g->parts = *s;
    if (s->splits == 1) return simt_function(f, text_gemm_cl, "gemm", (dl_dtype[]){type, type}, 2, &g->gemm);
    g->parts.y_batch = s->rows * s->columns, g->parts.y_row = s->columns, g->parts.y_column = 1;
    g->parts.y_split = count;
    plan->scratch_bytes = (uint64_t)(s->splits * count * simt_type_bytes(sum_type));
    const dl_status status = simt_function(f, text_gemm_cl, "gemm", (dl_dtype[]){type, sum_type}, 2, &g->gemm);
    if (status != DL_OK) return status;
    return simt_function(f, text_gemm_cl, "gemm_sum", (dl_dtype[]){sum_type, type}, 2, &g->sum);
}

static dl_status make_plan(const dl_frame *f, gemm_state *g, dl_plan *plan) {
    const gemm_shape *s = &g->shape;
    if (!simt_floating(f->out[0]->type)) return DL_UNSUPPORTED;
    const dl_status status = split_inner(f, g, plan);
    if (status != DL_OK) return status;
    if (!tile_groups_fit(tile_count(s->rows, s->columns) * s->batch * s->splits)) return DL_UNSUPPORTED;
    return simt_keep_state(plan, g, sizeof *g);
}

static dl_status run(const dl_frame *f, const dl_plan *plan) {
    const gemm_state *g = plan->state;
    const gemm_shape *s = &g->parts;
    const int split = s->splits > 1;
    const dl_tensor *c = g->c >= 0 ? f->in[g->c] : NULL;
    const dl_dtype type = f->out[0]->type, sum_type = split ? tile_sum_type(type) : type;
    const int64_t tiles = tile_count(s->rows, s->columns) * s->batch * s->splits;
    simt_args a = {0};
    simt_buffer(&a, f->in[g->a]);
    simt_buffer(&a, f->in[g->b]);
    simt_buffer(&a, split ? NULL : c);
    if (split)
        simt_data(&a, f->scratch);
    else
        simt_buffer(&a, f->out[0]);
    simt_struct(&a, s, sizeof *s);
    simt_scalar(&a, type, split ? 1 : g->alpha);
    simt_scalar(&a, type, split || !c ? 0 : g->beta);
    const dl_status status = tile_launch(f, g->gemm, tiles, &a);
    if (status != DL_OK || !split) return status;
    simt_args sum = {0};
    simt_data(&sum, f->scratch);
    simt_buffer(&sum, c);
    simt_buffer(&sum, f->out[0]);
    simt_struct(&sum, &g->shape, sizeof g->shape);
    simt_scalar(&sum, sum_type, g->alpha);
    simt_scalar(&sum, sum_type, c ? g->beta : 0);
    return simt_launch_items(f, g->sum, s->batch * s->rows * s->columns, &sum);
}

/* ---- ops ------------------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_gemm(const dl_frame *f, dl_plan *plan) {
    matrices a, b, y;
    gemm_state g = {.a = 0, .b = 1, .c = -1, .alpha = 1};
    if (!as_matrices(f->in[0], &a) || !as_matrices(f->in[1], &b) || !as_matrices(f->out[0], &y)) return DL_UNSUPPORTED;
    set_shape(&g.shape, &a, &b, &y);
    return make_plan(f, &g, plan);
}

/* a (..., n, k) times a matrix b is one product of a's rows where their strides allow it; else batches must be alike. */
static dl_status prepare_matmul(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *a_t = f->in[0], *b_t = f->in[1], *y_t = f->out[0];
    matrices a, b, y;
    gemm_state g = {.a = 0, .b = 1, .c = -1, .alpha = 1};
    if (a_t->ndim < 2 || b_t->ndim < 2 || !as_matrices(b_t, &b)) return DL_UNSUPPORTED;
    const int rows = b_t->ndim == 2 && as_rows(a_t, &a) && as_rows(y_t, &y);
    if (!rows) {
        if (!as_matrices(a_t, &a) || !as_matrices(y_t, &y)) return DL_UNSUPPORTED;
        if ((a.batch != y.batch && a.batch != 1) || (b.batch != y.batch && b.batch != 1)) return DL_UNSUPPORTED;
    }
    set_shape(&g.shape, &a, &b, &y);
    return make_plan(f, &g, plan);
}

static dl_status prepare_linear(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *weight = f->in[1], *bias = f->in[2];
    matrices x, y;
    gemm_state g = {.a = 0, .b = 1, .c = bias ? 2 : -1, .alpha = 1, .beta = bias != NULL};
    if (!as_rows(f->in[0], &x) || !as_rows(f->out[0], &y)) return DL_UNSUPPORTED;
    const matrices transposed = {.batch = 1, .row_stride = weight->strides[1], .column_stride = weight->strides[0]};
    set_shape(&g.shape, &x, &transposed, &y);
    g.shape.c_column = bias ? bias->strides[0] : 0;
    return make_plan(f, &g, plan);
}

static dl_status prepare_addmm(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *c = f->in[0];
    matrices a, b, y;
    gemm_state g = {.a = 1, .b = 2, .c = 0, .beta = f->attr[0].v.f, .alpha = f->attr[1].v.f};
    if (!as_matrices(f->in[1], &a) || !as_matrices(f->in[2], &b) || !as_matrices(f->out[0], &y)) return DL_UNSUPPORTED;
    set_shape(&g.shape, &a, &b, &y);
    int64_t *const stride[] = {&g.shape.c_column, &g.shape.c_row, &g.shape.c_batch};
    for (int32_t d = 0; d < c->ndim && d < 3; d++)
        *stride[d] = c->shape[c->ndim - 1 - d] == 1 ? 0 : c->strides[c->ndim - 1 - d];
    return make_plan(f, &g, plan);
}

dl_status simt_register_gemm(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("gemm", prepare_gemm, run),
        SIMT_KERNEL("matmul", prepare_matmul, run),
        SIMT_KERNEL("linear", prepare_linear, run),
        SIMT_KERNEL("addmm", prepare_addmm, run),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
