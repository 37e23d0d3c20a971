/* index.c - gather and scatter_add. */
#include "core/dtype.h"
#include "core/generate/generate.h"
#include <string.h>

extern const char text_index_simt[];

/* gather: walk over y, x and index. scatter_add: y, src and index, without the dimension; y is first a copy of x. */
typedef struct indexing {
    void *function; /* NULL: no elements */
    gen_walk walk;
    int64_t length, limit; /* of a line along the dimension; of indices */
    int64_t step[3];       /* of the walk's operands along the dimension */
    gen_map copy;
    dl_dtype type, index_type;
} indexing;

static int32_t dim_of(const dl_frame *f) {
    const int32_t ndim = f->in[0]->ndim ? f->in[0]->ndim : 1;
    return (int32_t)(f->attr[0].v.i < 0 ? f->attr[0].v.i + ndim : f->attr[0].v.i);
}

/* A 0-dim tensor counts as one of a single element. */
static int64_t size_of(const dl_tensor *t, int32_t d) { return t->ndim ? t->shape[d] : 1; }
static int64_t stride_of(const dl_tensor *t, int32_t d) { return t->ndim ? t->strides[d] : 0; }

/* Walks `space` without (lines) or with the dimension; the operand `stepped` has stride 0 in it. */
static void fill_walk(indexing *x, const dl_frame *f, const dl_tensor *space, const dl_tensor *const operand[3],
                      int32_t stepped, bool lines) {
    const int32_t dim = dim_of(f);
    gen_walk_init(&x->walk, 3);
    for (int32_t d = 0; d < space->ndim; d++) {
        int64_t strides[3];
        for (int32_t k = 0; k < 3; k++) strides[k] = k == stepped && d == dim ? 0 : stride_of(operand[k], d);
        if (!lines || d != dim) gen_walk_dim(&x->walk, space->shape[d], strides);
    }
    for (int32_t k = 0; k < 3; k++) x->step[k] = stride_of(operand[k], dim);
    gen_walk_sort(&x->walk, 0);
    gen_walk_merge(&x->walk);
}

static gen_key key_of(const indexing *x, uint64_t source) {
    const int32_t rank = gen_walk_rank(&x->walk, 0);
    return (gen_key){.kind = GEN_KIND(source, rank, 0, rank && x->walk.wide, 0),
                     .types = (uint64_t)x->type << 4 | (uint64_t)x->index_type};
}

/* ---- gather
 * --------------------------------------------------------------------------------------------------------------------- */

static void put_kernel(gen_text *t, const indexing *x, const char *const names[3]) {
    for (int32_t k = 0; k < 3; k++) gen_put_operand(t, names[k], k < 2 ? x->type : x->index_type);
    gen_put_walk(t, 'E', gen_walk_rank(&x->walk, 0), x->walk.wide, 3, names);
    gen_put(t, "#line 1 \"index.simt\"\n%s", text_index_simt);
}

static void print_gather(gen_text *t, const void *context) {
    put_kernel(t, context, (const char *const[3]){"y", "x", "index"});
}

static dl_status fill_gather(indexing *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0], *index = f->in[1], *y = f->out[0];
    fill_walk(g, f, y, (const dl_tensor *const[]){y, x, index}, 1, false);
    g->limit = size_of(x, dim_of(f));
    g->type = gen_raw(x->type);
    g->index_type = index->type;
    if (gen_walk_count(&g->walk) == 0) return DL_OK;
    const gen_key key = key_of(g, GEN_GATHER);
    return gen_function(f->device, &key, "gather", print_gather, g, &g->function);
}

static dl_status prepare_gather(const dl_frame *f, dl_plan *plan) {
    indexing *g;
    if (!gen_fault(f->device)) return DL_UNSUPPORTED;
    DL_TRY(gen_plan_state(plan, sizeof *g, (void **)&g));
    return gen_plan_ready(plan, fill_gather(g, f));
}

static dl_status run_gather(const dl_frame *f, const dl_plan *plan) {
    const indexing *g = plan->state;
    if (!g->function) return DL_OK;
    const int64_t count = gen_walk_count(&g->walk);
    gen_args a;
    a.n = 0;
    gen_buffer(&a, f->out[0], 0);
    gen_buffer(&a, f->in[0], 0);
    gen_buffer(&a, f->in[1], 0);
    gen_memory(&a, gen_fault(f->device));
    gen_i64(&a, count);
    gen_i64(&a, g->limit);
    gen_i64(&a, g->step[1]);
    gen_push_walk(&a, &g->walk, 0);
    return gen_launch_items(f, g->function, count, &a);
}

/* ---- scatter_add
 * ------------------------------------------------------------------------------------------------------------------ */

static void print_scatter_add(gen_text *t, const void *context) {
    const indexing *s = context;
    const dl_dtype sum = gen_widened(s->type);
    const char *form = sum == DL_BOOL ? "((a) | (b))" : dl_dtype_floating(sum) ? "((a) + (b))" : "((A)((u64)(a) + (u64)(b)))";
    gen_put(t, "#define A %s\n#define SUM(a, b) %s\n", sum == DL_BOOL ? "i32" : gen_type_name(sum), form);
    put_kernel(t, s, (const char *const[3]){"y", "src", "index"});
}

static dl_status fill_scatter_add(indexing *s, const dl_frame *f) {
    const dl_tensor *x = f->in[0], *index = f->in[1], *src = f->in[2], *y = f->out[0];
    const int32_t dim = dim_of(f);
    DL_TRY(gen_copy_init(&s->copy, f->device, y, x));
    fill_walk(s, f, index, (const dl_tensor *const[]){y, src, index}, -1, true);
    s->length = size_of(index, dim);
    s->limit = size_of(y, dim);
    s->type = y->type;
    s->index_type = index->type;
    if (gen_walk_count(&s->walk) * s->length == 0) return DL_OK;
    const gen_key key = key_of(s, GEN_SCATTER_ADD);
    return gen_function(f->device, &key, "scatter_add", print_scatter_add, s, &s->function);
}

static dl_status prepare_scatter_add(const dl_frame *f, dl_plan *plan) {
    indexing *s;
    if (!gen_fault(f->device)) return DL_UNSUPPORTED;
    DL_TRY(gen_plan_state(plan, sizeof *s, (void **)&s));
    return gen_plan_ready(plan, fill_scatter_add(s, f));
}

static dl_status run_scatter_add(const dl_frame *f, const dl_plan *plan) {
    const indexing *s = plan->state;
    DL_TRY(gen_map_run(&s->copy, f, NULL, f->out[0], 0, f->in));
    if (!s->function) return DL_OK;
    const int64_t lines = gen_walk_count(&s->walk);
    gen_args a;
    a.n = 0;
    gen_buffer(&a, f->out[0], 0);
    gen_buffer(&a, f->in[2], 0);
    gen_buffer(&a, f->in[1], 0);
    gen_memory(&a, gen_fault(f->device));
    gen_i64(&a, lines);
    gen_i64(&a, s->length);
    gen_i64(&a, s->limit);
    for (int32_t k = 0; k < 3; k++) gen_i64(&a, s->step[k]);
    gen_push_walk(&a, &s->walk, 0);
    return gen_launch_items(f, s->function, lines, &a);
}

const dl_kernel gen_gather = {.size = sizeof gen_gather, .op = "gather", .prepare = prepare_gather, .run = run_gather};
const dl_kernel gen_scatter_add = {
    .size = sizeof gen_scatter_add, .op = "scatter_add", .prepare = prepare_scatter_add, .run = run_scatter_add};
