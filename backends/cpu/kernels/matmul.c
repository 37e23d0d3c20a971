/* matmul.c - matmul, linear and addmm: one problem, C = epilogue(alpha * A * B + beta * D) for every matrix of a batch.
 *
 * prepare reads shapes and strides once and decides: which operand is loaded as vectors (the product may be computed as
 * C^T = B^T * A^T), what is packed, how the work is cut between threads. run only computes. Each element is summed in one
 * fixed order, so results do not depend on the number of threads. */
#include "backends/cpu/kernels/tile_types.h"
#include "backends/cpu/onednn.h"

/* ---- one product, as gemm.h computes it -------------------------------------------------------------------------------- */

typedef struct gemm { /* sizes and strides, in elements */
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col;
    dl_dtype type; /* of A and B in memory; halves are packed as float */
    int pack_a;
    int64_t strips, panels, vectors; /* B's columns are `vectors` vectors wide */
    int64_t first_packed;            /* panels from here on are packed */
} gemm;

/* First row of strip s, first vector of panel p: even shares, so that no tile is much smaller than the others. */
static inline int64_t gemm_strip(const gemm *g, int64_t s) { return g->m * s / g->strips; }
static inline int64_t gemm_panel(const gemm *g, int64_t p) { return g->vectors * p / g->panels; }

#define GEMM(name) CPU_PASTE(name, f32)
#define GEMM_T float
#define GEMM_BYTES 4
#define GEMM_TYPE DL_F32
#include "backends/cpu/kernels/tile.h"
#include "backends/cpu/kernels/gemm.h"

#define GEMM(name) CPU_PASTE(name, f64)
#define GEMM_T double
#define GEMM_BYTES 8
#define GEMM_TYPE DL_F64
#include "backends/cpu/kernels/tile.h"
#include "backends/cpu/kernels/gemm.h"

/* ---- integers: a plain loop that wraps around -------------------------------------------------------------------------- */

static inline uint64_t integer_at(const void *p, int64_t i, dl_dtype type) {
    switch (type) {
    case DL_U8: return ((const uint8_t *)p)[i];
    case DL_I8: return (uint64_t)((const int8_t *)p)[i];
    case DL_I16: return (uint64_t)((const int16_t *)p)[i];
    case DL_I32: return (uint64_t)((const int32_t *)p)[i];
    default: return ((const uint64_t *)p)[i];
    }
}

static inline void integer_put(void *p, int64_t i, dl_dtype type, uint64_t x) {
    switch (cpu_size(type)) {
    case 1: ((uint8_t *)p)[i] = (uint8_t)x; break;
    case 2: ((uint16_t *)p)[i] = (uint16_t)x; break;
    case 4: ((uint32_t *)p)[i] = (uint32_t)x; break;
    default: ((uint64_t *)p)[i] = x; break;
    }
}

/* Rows s0..s1, columns p0..p1. */
static void multiply_integers(const gemm *g, const gemm_data *d, int64_t s0, int64_t s1, int64_t p0, int64_t p1) {
    const uint64_t alpha = (uint64_t)(int64_t)d->alpha, beta = (uint64_t)(int64_t)d->beta;
    for (int64_t i = s0; i < s1; i++)
        for (int64_t j = p0; j < p1; j++) {
            uint64_t sum = 0;
            for (int64_t k = 0; k < g->k; k++)
                sum += integer_at(d->a, i * g->a_row + k * g->a_col, g->type) *
                       integer_at(d->b, k * g->b_row + j * g->b_col, g->type);
            sum *= alpha;
            if (d->add) sum += beta * integer_at(d->add, i * d->add_row + j * d->add_col, d->type);
            integer_put(d->c, i * d->c_row + j * d->c_col, d->type, sum);
        }
}

static void multiply(const gemm *g, const gemm_data *d, int64_t s0, int64_t s1, int64_t p0, int64_t p1) {
    switch (g->type) {
    case DL_F32:
    case DL_F16:
    case DL_BF16: multiply_f32(g, d, s0, s1, p0, p1); break;
    case DL_F64: multiply_f64(g, d, s0, s1, p0, p1); break;
    default: multiply_integers(g, d, s0, s1, p0, p1); break;
    }
}

static void pack_parts(const gemm *g, const gemm_data *d, int64_t s0, int64_t s1, int64_t p0, int64_t p1) {
    if (g->type == DL_F64)
        pack_parts_f64(g, d, s0, s1, p0, p1);
    else
        pack_parts_f32(g, d, s0, s1, p0, p1);
}

/* ---- the plan ---------------------------------------------------------------------------------------------------------- */

enum { A, B, C, D, OPERANDS };

typedef struct batch_dim {
    int64_t size, stride[OPERANDS];
} batch_dim;

typedef struct matmul_plan {
    gemm g;
    gemm_data d; /* strides and dtype; addresses and factors are filled in by run */
    int swapped; /* computed as C^T = B^T * A^T */
    int has_add;
    int32_t batch_dims;
    batch_dim batch[DL_MAX_DIMS];
    int64_t batches;
    int32_t strip_shares, panel_shares; /* one product is cut strip_shares x panel_shares */
    int32_t batch_shares;               /* or the batch is, each share with packing space of its own */
    uint64_t packed_a, packed_b;        /* bytes of packing space */
    cpu_program *epilogue;
    cpu_onednn *library; /* computes the product instead, as float, into scratch; NULL: not */
} matmul_plan;

/* A matrix or a batch of them as one operand: the last two dimensions, or one where `vector` says which is missing. */
typedef struct operand {
    const dl_tensor *tensor;
    int64_t rows, cols, row, col; /* sizes and strides */
    int32_t batch_dims;           /* leading dimensions of the tensor */
} operand;

enum { MATRIX, ROW_VECTOR, COLUMN_VECTOR, NUMBER };

static operand operand_of(const dl_tensor *t, int kind) {
    operand o = {t, 1, 1, 1, 1, t->ndim};
    if (kind == MATRIX || kind == ROW_VECTOR) {
        o.batch_dims--;
        o.cols = t->shape[o.batch_dims], o.col = t->strides[o.batch_dims];
    }
    if (kind == MATRIX || kind == COLUMN_VECTOR) {
        o.batch_dims--;
        o.rows = t->shape[o.batch_dims], o.row = t->strides[o.batch_dims];
    }
    return o;
}

static void transpose(operand *o) {
    const operand t = *o;
    o->rows = t.cols, o->cols = t.rows, o->row = t.col, o->col = t.row;
}

/* The stride of dimension `dim` of `dims` batch dimensions, aligned at the right; 0 where the operand repeats. */
static int64_t batch_stride(const operand *o, int32_t dim, int32_t dims) {
    const int32_t own = dim - (dims - o->batch_dims);
    return !o->tensor || own < 0 || o->tensor->shape[own] == 1 ? 0 : o->tensor->strides[own];
}

static void set_batch(matmul_plan *p, const operand o[OPERANDS]) {
    const dl_tensor *c = o[C].tensor;
    p->batches = 1;
    for (int32_t i = 0; i < o[C].batch_dims; i++) {
        p->batches *= c->shape[i];
        if (c->shape[i] == 1) continue;
        batch_dim *b = &p->batch[p->batch_dims++];
        b->size = c->shape[i];
        for (int k = 0; k < OPERANDS; k++) b->stride[k] = batch_stride(&o[k], i, o[C].batch_dims);
    }
}

/* Makes batch dimensions that all matrices of one B share into further rows of A, C and D where the strides allow it. */
static void fold_batch(matmul_plan *p) {
    gemm *g = &p->g;
    gemm_data *d = &p->d;
    while (p->batch_dims > 0) {
        const batch_dim *b = &p->batch[p->batch_dims - 1];
        if (b->stride[B] != 0) return;
        if (g->m == 1) {
            g->a_row = b->stride[A], d->c_row = b->stride[C], d->add_row = b->stride[D];
        } else if (b->stride[A] != g->m * g->a_row || b->stride[C] != g->m * d->c_row || b->stride[D] != g->m * d->add_row) {
            return;
        }
        g->m *= b->size;
        p->batches /= b->size;
        p->batch_dims--;
    }
}

static void swap(int64_t *a, int64_t *b) {
    const int64_t t = *a;
    *a = *b, *b = t;
}

static void swap_operands(matmul_plan *p) {
    gemm *g = &p->g;
    p->swapped = !p->swapped;
    swap(&g->m, &g->n);
    swap(&g->a_row, &g->b_col);
    swap(&g->a_col, &g->b_row);
    swap(&p->d.c_row, &p->d.c_col);
    swap(&p->d.add_row, &p->d.add_col);
    for (int32_t i = 0; i < p->batch_dims; i++) swap(&p->batch[i].stride[A], &p->batch[i].stride[B]);
}

/* Must B be packed for tiles to run well? */
static int must_pack_b(const gemm *g) {
    enum { cache = 512 << 10 };
    if (cpu_is_half(g->type) || g->b_col != 1) return 1;
    return g->m >= 64 && g->k * g->n * cpu_size(g->type) > cache;
}

/* Is A worth packing though tiles could read it? Where its rows are long they lie in few sets of the caches; where its columns
 * are contiguous a strip uses little of each line. It must be used often enough. */
static int pays_pack_a(const gemm *g) {
    enum { l1 = 32 << 10, l2 = 256 << 10, uses = 4 * GEMM_VECTORS };
    const int64_t bytes = g->m * g->k * cpu_size(g->type);
    return g->vectors >= uses && bytes > (g->a_row == 1 ? l1 : l2);
}

/* Rough cycles of one product as it stands: vector multiplications, elements packed, elements stored against the grain. */
static double cost(const matmul_plan *p) {
    const gemm *g = &p->g;
    const double product = (double)g->m * (double)ceil_div(g->n, cpu_lanes(g->type)) * (double)g->k;
    return product + (must_pack_b(g) ? (double)g->k * (double)g->n : 0) + (p->d.c_col == 1 ? 0 : (double)g->m * (double)g->n);
}

static void choose_orientation(matmul_plan *p) {
    const double straight = cost(p);
    swap_operands(p);
    if (cost(p) >= straight) swap_operands(p);
}

static void choose_tiles(matmul_plan *p) {
    gemm *g = &p->g;
    if (!cpu_is_floating(g->type)) {
        g->strips = g->m, g->panels = g->vectors = g->first_packed = g->n;
        return;
    }
    g->vectors = ceil_div(g->n, cpu_lanes(g->type));
    g->panels = ceil_div(g->vectors, GEMM_VECTORS);
    g->strips = ceil_div(g->m, GEMM_ROWS);
    g->first_packed = must_pack_b(g) ? 0 : g->n % cpu_lanes(g->type) != 0 ? g->panels - 1 : g->panels;
    g->pack_a = cpu_is_half(g->type) || (g->a_row != 1 && g->a_col != 1) || pays_pack_a(g);
    const uint64_t bytes = g->type == DL_F64 ? 8 : 4, line = 64;
    const uint64_t width = (uint64_t)((g->vectors - gemm_panel(g, g->first_packed)) * cpu_lanes(g->type));
    if (g->first_packed < g->panels) p->packed_b = ((uint64_t)g->k * width * bytes + line - 1) / line * line;
    if (g->pack_a) p->packed_a = ((uint64_t)(g->m * g->k) * bytes + line - 1) / line * line;
}

/* Cuts the work for the threads: the batch where it is long enough, else C into a grid whose largest part is smallest. */
static void choose_shares(matmul_plan *p) {
    enum { worth = 2 * 1000 * 1000 }; /* floating-point operations that pay for waking the pool */
    const gemm *g = &p->g;
    const double work = 2.0 * (double)g->m * (double)g->n * (double)g->k * (double)p->batches;
    const int32_t threads = work < worth ? 1 : cpu_threads(0);
    p->batch_shares = p->strip_shares = p->panel_shares = 1;
    if (threads == 1) return;
    if (p->batches >= threads) {
        p->batch_shares = threads;
        return;
    }
    int64_t best = INT64_MAX;
    for (int32_t s = 1; s <= threads; s++) {
        const int32_t columns = threads / s;
        const int64_t largest = ceil_div(g->strips, s) * ceil_div(g->panels, columns);
        if (largest < best) best = largest, p->strip_shares = s, p->panel_shares = columns;
    }
    p->strip_shares = (int32_t)smaller(p->strip_shares, g->strips);
    p->panel_shares = (int32_t)smaller(p->panel_shares, g->panels);
}

/* bfloat16 of some size goes to oneDNN where that has instructions for it. */
static void choose_library(matmul_plan *p, dl_plan *plan) {
    enum { worth = 500 * 1000 }; /* multiplications; below, its call costs more than it gains */
    const gemm *g = &p->g;
    if (g->type != DL_BF16 || p->batches != 1 || (double)g->m * (double)g->n * (double)g->k < worth) return;
    const int plain_a = (g->a_col == 1 && g->a_row >= g->k) || (g->a_row == 1 && g->a_col >= g->m);
    const int plain_b = (g->b_col == 1 && g->b_row >= g->n) || (g->b_row == 1 && g->b_col >= g->k);
    if (plain_a && plain_b) p->library = cpu_onednn_matmul(g->m, g->n, g->k, g->a_row, g->a_col, g->b_row, g->b_col);
    if (p->library) plan->scratch_bytes = (uint64_t)(g->m * g->n) * sizeof(float);
}

/* ---- run --------------------------------------------------------------------------------------------------------------- */

typedef struct product { /* one matrix of the batch */
    const matmul_plan *plan;
    gemm_data d;
} product;

/* Parts begin..end of the grid, row by row. */
static void share_of(const product *w, int64_t part, int64_t at[4]) {
    const matmul_plan *p = w->plan;
    const int64_t row = part / p->panel_shares, column = part % p->panel_shares;
    at[0] = p->g.strips * row / p->strip_shares, at[1] = p->g.strips * (row + 1) / p->strip_shares;
    at[2] = p->g.panels * column / p->panel_shares, at[3] = p->g.panels * (column + 1) / p->panel_shares;
}
static void multiply_shares(void *context, int64_t begin, int64_t end) {
    const product *w = (const product *)context;
    for (int64_t part = begin; part < end; part++) {
        int64_t at[4];
        share_of(w, part, at);
        multiply(&w->plan->g, &w->d, at[0], at[1], at[2], at[3]);
    }
}
static void pack_shares(void *context, int64_t begin, int64_t end) {
    const product *w = (const product *)context;
    const gemm *g = &w->plan->g;
    const int64_t shares = w->plan->strip_shares * w->plan->panel_shares;
    pack_parts(g, &w->d, g->strips * begin / shares, g->strips * end / shares, g->panels * begin / shares,
               g->panels * end / shares);
}

typedef struct batch_run {
    const matmul_plan *plan;
    gemm_data d; /* of the first matrix of the batch */
    void *scratch;
} batch_run;

/* Matrices begin..end of the batch. */
static void run_batch(void *context, int64_t share, int64_t begin, int64_t end) {
    const batch_run *r = (const batch_run *)context;
    const matmul_plan *p = r->plan;
    const int64_t bytes = cpu_size(p->g.type), shares = p->strip_shares * p->panel_shares;
    for (int64_t i = begin; i < end; i++) {
        product w = {p, r->d};
        int64_t rest = i, offset[OPERANDS] = {0};
        for (int32_t k = p->batch_dims - 1; k >= 0; k--) {
            for (int o = 0; o < OPERANDS; o++) offset[o] += rest % p->batch[k].size * p->batch[k].stride[o];
            rest /= p->batch[k].size;
        }
        w.d.a = (const char *)r->d.a + offset[A] * bytes;
        w.d.b = (const char *)r->d.b + offset[B] * bytes;
        w.d.c = (char *)r->d.c + offset[C] * bytes;
        if (r->d.add) w.d.add = (const char *)r->d.add + offset[D] * bytes;
        w.d.packed_a = (char *)r->scratch + (uint64_t)share * (p->packed_a + p->packed_b);
        w.d.packed_b = (char *)w.d.packed_a + p->packed_a;
        if (p->packed_a + p->packed_b) cpu_parallel(shares, 1, pack_shares, &w);
        cpu_parallel(shares, 1, multiply_shares, &w);
    }
}
static void run_batch_shares(void *context, int64_t begin, int64_t end) {
    const matmul_plan *p = ((const batch_run *)context)->plan;
    for (int64_t s = begin; s < end; s++)
        run_batch(context, s, p->batches * s / p->batch_shares, p->batches * (s + 1) / p->batch_shares);
}

/* Rows begin..end of a product that oneDNN left in scratch. */
static void finish_rows(void *context, int64_t begin, int64_t end) {
    const batch_run *r = (const batch_run *)context;
    const int64_t n = r->plan->g.n;
    finish_f32(&r->d, (float *)r->scratch + begin * n, begin, end - begin, 0, n, n);
}

static dl_status run_plan(const dl_frame *f, const dl_plan *plan, const dl_tensor *a, const dl_tensor *b, const dl_tensor *add,
                          double alpha, double beta) {
    const matmul_plan *p = (const matmul_plan *)plan->state;
    if (!p) return DL_OK;
    batch_run r = {p, p->d, f->scratch};
    r.d.a = cpu_data(p->swapped ? b : a);
    r.d.b = cpu_data(p->swapped ? a : b);
    r.d.c = cpu_data(f->out[0]);
    r.d.add = add && beta != 0 ? cpu_data(add) : NULL;
    r.d.alpha = alpha, r.d.beta = beta;
    cpu_attrs attrs;
    int32_t fault = 0;
    if (p->epilogue) cpu_program_attrs(p->epilogue, f->epilogue_attr, &attrs);
    r.d.epilogue = p->epilogue, r.d.attrs = &attrs, r.d.fault = &fault;
    if (p->library) {
        if (!cpu_onednn_run(p->library, r.d.a, r.d.b, (float *)f->scratch))
            return cpu_host->fail(DL_NOMEM, "oneDNN had no memory for a matrix product");
        cpu_parallel(p->g.m, CPU_GRAIN / p->g.n + 1, finish_rows, &r);
    } else {
        cpu_parallel(p->batch_shares, 1, run_batch_shares, &r);
    }
    return fault ? cpu_host->fail(DL_NOMEM, "no memory to apply what follows the product") : DL_OK;
}

/* ---- prepare ----------------------------------------------------------------------------------------------------------- */

static void destroy_plan(void *state) {
    matmul_plan *p = (matmul_plan *)state;
    cpu_onednn_free(p->library);
    if (p->epilogue) cpu_program_close(p->epilogue);
    cpu_host->mem(p, 0);
}

/* o: A, B, C and, where there is one, D already expanded to C's rows and columns (stride 0). */
static dl_status make_plan(const dl_frame *f, const operand o[OPERANDS], dl_plan *plan) {
    const dl_dtype type = o[C].tensor->type;
    if (o[A].tensor->type != type || o[B].tensor->type != type || (o[D].tensor && o[D].tensor->type != type) || type == DL_BOOL)
        return DL_UNSUPPORTED;
    if (cpu_count(o[C].tensor) == 0) return DL_OK; /* nothing to compute: no state */
    cpu_program *epilogue = NULL;
    if (f->epilogue) {
        const dl_status status = cpu_epilogue_open(f->epilogue, type, &epilogue);
        if (status != DL_OK) return status;
    }
    matmul_plan *p = (matmul_plan *)cpu_host->mem(NULL, sizeof *p);
    if (!p) {
        if (epilogue) cpu_program_close(epilogue);
        return cpu_host->fail(DL_NOMEM, "no memory for the plan of a matrix product");
    }
    *p = (matmul_plan){
        .g = {.m = o[C].rows,
              .n = o[C].cols,
              .k = o[A].cols,
              .a_row = o[A].row,
              .a_col = o[A].col,
              .b_row = o[B].row,
              .b_col = o[B].col,
              .type = type},
        .epilogue = epilogue,
        .d = {.c_row = o[C].row, .c_col = o[C].col, .add_row = o[D].row, .add_col = o[D].col, .type = type},
    };
    set_batch(p, o);
    fold_batch(p);
    if (p->g.m == 1) p->g.a_row = p->d.c_row = 1; /* strides of single rows and columns say nothing: let them be good */
    if (p->g.n == 1) p->g.b_col = p->d.c_col = 1;
    if (p->g.k == 1) p->g.a_col = 1;
    plan->state = p;
    plan->destroy = destroy_plan;
    plan->sharing = DL_PLAN_PER_SHAPE;
    choose_library(p, plan);
    if (p->library) return DL_OK;
    if (cpu_is_floating(type)) choose_orientation(p);
    choose_tiles(p);
    choose_shares(p);
    plan->scratch_bytes = (p->packed_a + p->packed_b) * (uint64_t)p->batch_shares;
    return DL_OK;
}

static dl_status prepare_matmul(const dl_frame *f, dl_plan *plan) {
    const int row = f->in[0]->ndim == 1, column = f->in[1]->ndim == 1;
    const operand o[OPERANDS] = {operand_of(f->in[0], row ? ROW_VECTOR : MATRIX),
                                 operand_of(f->in[1], column ? COLUMN_VECTOR : MATRIX),
                                 operand_of(f->out[0], row && column ? NUMBER
                                                       : row         ? ROW_VECTOR
                                                       : column      ? COLUMN_VECTOR
                                                                     : MATRIX)};
    return make_plan(f, o, plan);
}
static dl_status run_matmul(const dl_frame *f, const dl_plan *plan) {
    return run_plan(f, plan, f->in[0], f->in[1], NULL, 1, 0);
}

static dl_status prepare_linear(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *x = f->in[0], *weight = f->in[1], *bias = f->in[2];
    const int row = x->ndim == 1, column = weight->ndim == 1;
    operand o[OPERANDS] = {operand_of(x, row ? ROW_VECTOR : MATRIX), operand_of(weight, column ? ROW_VECTOR : MATRIX),
                           operand_of(f->out[0], row && column ? NUMBER
                                                 : row         ? ROW_VECTOR
                                                 : column      ? COLUMN_VECTOR
                                                               : MATRIX)};
    transpose(&o[B]);
    if (bias) o[D] = (operand){bias, 1, 1, 0, bias->ndim && bias->shape[0] != 1 ? bias->strides[0] : 0, 0};
    return make_plan(f, o, plan);
}
static dl_status run_linear(const dl_frame *f, const dl_plan *plan) {
    return run_plan(f, plan, f->in[0], f->in[1], f->in[2], 1, 1);
}

static double number(const dl_attr *a) { return a->kind == DL_ATTR_INT ? (double)a->v.i : a->v.f; }

static dl_status prepare_addmm(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *c = f->in[0];
    operand o[OPERANDS] = {operand_of(f->in[1], MATRIX), operand_of(f->in[2], MATRIX), operand_of(f->out[0], MATRIX)};
    o[D] = operand_of(c, c->ndim >= 2 ? MATRIX : c->ndim == 1 ? ROW_VECTOR : NUMBER);
    if (o[D].rows == 1) o[D].row = 0;
    if (o[D].cols == 1) o[D].col = 0;
    return make_plan(f, o, plan);
}
static dl_status run_addmm(const dl_frame *f, const dl_plan *plan) {
    return run_plan(f, plan, f->in[1], f->in[2], f->in[0], number(&f->attr[1]), number(&f->attr[0]));
}

dl_status CPU_ISA(register_matmul)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL_EPILOGUE("matmul", prepare_matmul, run_matmul),
        CPU_KERNEL_EPILOGUE("gemm", prepare_matmul, run_matmul),
        CPU_KERNEL_EPILOGUE("linear", prepare_linear, run_linear),
        CPU_KERNEL_EPILOGUE("addmm", prepare_addmm, run_addmm),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
