/* reduce.c - the primitive `reduce`: the last dimensions of x combined by an opcode. One launch, or two where rows are long and
 * few: then the first leaves a partial result for each segment of a row in scratch memory. */
#include "core/dtype.h"
#include "core/generate/generate.h"
#include <string.h>

enum { O_Y, O_X };
enum { SHORT_ROW = 32, FEW_ROWS = 32, ITEM_SEGMENT = 256, GROUP_SEGMENT = 8192, MANY_ROWS = 512, MAX_SEGMENTS = 1024 };

extern const char text_reduce_simt[];

/* One launch. */
typedef struct stage {
    void *function;
    gen_walk outputs, reduced; /* operands y, x; operand x */
    int64_t segment, segments;
    bool by_item;
    dl_dtype to, from, sum; /* dtypes of y and x as stored, and of the arithmetic */
    int32_t combine;
} stage;

typedef struct reduction {
    stage stage[2];
    int32_t stages; /* 0: no outputs */
} reduction;

/* ---- the source
 * --------------------------------------------------------------------------------------------------------------- */

static void put_neutral(gen_text *t, int32_t combine, dl_dtype sum) {
    static const char *const lowest[DL_DTYPE_COUNT] = {[DL_F32] = "-INF_F32",
                                                       [DL_F64] = "-INF_F64",
                                                       [DL_U8] = "0",
                                                       [DL_I8] = "-128",
                                                       [DL_I16] = "-32768",
                                                       [DL_I32] = "-2147483647 - 1",
                                                       [DL_I64] = "-9223372036854775807 - 1",
                                                       [DL_BOOL] = "0"};
    static const char *const highest[DL_DTYPE_COUNT] = {[DL_F32] = "INF_F32",
                                                        [DL_F64] = "INF_F64",
                                                        [DL_U8] = "255",
                                                        [DL_I8] = "127",
                                                        [DL_I16] = "32767",
                                                        [DL_I32] = "2147483647",
                                                        [DL_I64] = "9223372036854775807",
                                                        [DL_BOOL] = "1"};
    const char *value = combine == DL_OP_ADD   ? "0"
                        : combine == DL_OP_MUL ? "1"
                        : combine == DL_OP_MAX ? lowest[sum]
                                               : highest[sum];
    gen_put(t, "#define NEUTRAL (A)(%s)\n", value);
}

/* Integers wrap; on bool + and max are "or", * and min "and". */
static void put_combine(gen_text *t, int32_t combine, dl_dtype sum) {
    const char *symbol = combine == DL_OP_ADD ? "+" : "*";
    const bool extreme = combine == DL_OP_MAX || combine == DL_OP_MIN;
    if (sum == DL_BOOL)
        gen_put(t, "#define COMBINE(a, b) ((a) %s (b))\n", combine == DL_OP_ADD || combine == DL_OP_MAX ? "|" : "&");
    else if (extreme)
        gen_put(t, "#define COMBINE(a, b) %s_%s(a, b)\n", combine == DL_OP_MAX ? "max" : "min", gen_type_name(sum));
    else if (dl_dtype_floating(sum))
        gen_put(t, "#define COMBINE(a, b) ((a) %s (b))\n", symbol);
    else
        gen_put(t, "#define COMBINE(a, b) ((A)((u64)(a) %s (u64)(b)))\n", symbol);
}

static void print(gen_text *t, const void *context) {
    const stage *s = context;
    static const char *const names[] = {"y", "x"};
    gen_put_operand(t, "y", s->to);
    gen_put_operand(t, "x", s->from);
    gen_put(t, "#define A %s\n#define GROUP %d\n#define BY_ITEM %d\n", s->sum == DL_BOOL ? "i32" : gen_type_name(s->sum),
            GEN_BLOCK, s->by_item);
    put_neutral(t, s->combine, s->sum);
    put_combine(t, s->combine, s->sum);
    gen_put_walk(t, 'O', gen_walk_rank(&s->outputs, 0), s->outputs.wide, 2, names);
    gen_put_walk(t, 'R', gen_walk_rank(&s->reduced, 0), s->reduced.wide, 1, names + 1);
    gen_put(t, "#line 1 \"reduce.simt\"\n%s", text_reduce_simt);
}

static dl_status compile(stage *s, dl_device *device) {
    const int32_t outer = gen_walk_rank(&s->outputs, 0), inner = gen_walk_rank(&s->reduced, 0);
    const uint64_t wide = (uint64_t)(outer && s->outputs.wide) | (uint64_t)(inner && s->reduced.wide) << 1;
    const gen_key key = {.kind = GEN_KIND(GEN_REDUCE, outer, inner, wide, s->combine << 1 | s->by_item),
                         .types = (uint64_t)s->to << 8 | (uint64_t)s->from << 4 | (uint64_t)s->sum};
    return gen_function(device, &key, "reduce", print, s, &s->function);
}

/* ---- planning
 * ------------------------------------------------------------------------------------------------------------------- */

static int64_t divided(int64_t n, int64_t by) { return (n + by - 1) / by; }

/* How the rows are taken, from sizes and strides alone. */
static void cut(stage *s, int64_t rows, int64_t length, bool may_split) {
    const int64_t across = s->outputs.stride[O_X][s->outputs.ndim - 1], along = s->reduced.stride[0][s->reduced.ndim - 1];
    s->by_item = length <= SHORT_ROW || (rows >= FEW_ROWS && across < along);
    const int64_t wanted = s->by_item ? ITEM_SEGMENT : GROUP_SEGMENT;
    s->segments = 1;
    if (may_split && length > wanted && (s->by_item || rows < MANY_ROWS)) s->segments = divided(length, wanted);
    if (s->segments > MAX_SEGMENTS) s->segments = MAX_SEGMENTS;
    s->segment = length ? divided(length, s->segments) : 1;
    if (s->segments > 1) s->segments = divided(length, s->segment);
}

static void make_walks(stage *s, const dl_tensor *y, const dl_tensor *x) {
    gen_walk_init(&s->outputs, 2);
    gen_walk_init(&s->reduced, 1);
    for (int32_t d = 0; d < y->ndim; d++) gen_walk_dim(&s->outputs, y->shape[d], (int64_t[]){y->strides[d], x->strides[d]});
    for (int32_t d = y->ndim; d < x->ndim; d++) gen_walk_dim(&s->reduced, x->shape[d], &x->strides[d]);
    gen_walk_sort(&s->outputs, O_X);
    gen_walk_sort(&s->reduced, 0);
    gen_walk_merge(&s->outputs);
    gen_walk_merge(&s->reduced);
}

/* The operand's strides become those of scratch memory: the walk's elements in order. */
static void in_order(gen_walk *w, int32_t operand) {
    int64_t stride = 1;
    for (int32_t d = w->ndim - 1; d >= 0; stride *= w->shape[d--]) w->stride[operand][d] = stride;
}

/* The first stage's partial results, a row of all outputs for each segment, become the second's x. */
static void add_stage(reduction *r, int64_t rows) {
    stage *first = &r->stage[0], *second = &r->stage[1];
    *second = *first;
    first->to = second->from = first->sum;
    in_order(&first->outputs, O_Y);
    in_order(&second->outputs, O_X);
    gen_walk_init(&second->reduced, 1);
    gen_walk_dim(&second->reduced, first->segments, &rows);
    gen_walk_merge(&second->reduced);
    cut(second, rows, first->segments, false);
    r->stages = 2;
}

static dl_status fill(reduction *r, const dl_frame *f, uint64_t *scratch_bytes) {
    const dl_tensor *x = f->in[0], *y = f->out[0];
    stage *first = &r->stage[0];
    make_walks(first, y, x);
    const int64_t rows = gen_walk_count(&first->outputs);
    if (rows == 0) return DL_OK;
    first->to = first->from = x->type;
    first->sum = gen_widened(x->type);
    first->combine = (int32_t)f->attr[1].v.i;
    r->stages = 1;
    cut(first, rows, gen_walk_count(&first->reduced), true);
    if (first->segments > 1) {
        add_stage(r, rows);
        *scratch_bytes = (uint64_t)(rows * first->segments) * (uint64_t)dl_dtype_bytes(first->sum);
    }
    for (int32_t k = 0; k < r->stages; k++) DL_TRY(compile(&r->stage[k], f->device));
    return DL_OK;
}

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    reduction *r;
    DL_TRY(gen_plan_state(plan, sizeof *r, (void **)&r));
    return gen_plan_ready(plan, fill(r, f, &plan->scratch_bytes));
}

/* ---- running
 * -------------------------------------------------------------------------------------------------------------------- */

static dl_status run_stage(const stage *s, const dl_frame *f, bool first, bool last) {
    const int64_t rows = gen_walk_count(&s->outputs);
    const uint32_t grid[3] = {(uint32_t)(s->by_item ? divided(rows, GEN_BLOCK) : rows), (uint32_t)s->segments, 1};
    const uint32_t block[3] = {GEN_BLOCK, 1, 1};
    gen_args a;
    a.n = 0;
    if (last)
        gen_buffer(&a, f->out[0], 0);
    else
        gen_memory(&a, f->scratch);
    if (first)
        gen_buffer(&a, f->in[0], 0);
    else
        gen_memory(&a, f->scratch);
    gen_i64(&a, rows);
    gen_i64(&a, gen_walk_count(&s->reduced));
    gen_i64(&a, s->segment);
    gen_i64(&a, rows);
    gen_push_walk(&a, &s->outputs, 0);
    gen_push_walk(&a, &s->reduced, 0);
    return gen_launch(f, s->function, grid, block, &a);
}

static dl_status run(const dl_frame *f, const dl_plan *plan) {
    const reduction *r = plan->state;
    for (int32_t k = 0; k < r->stages; k++) DL_TRY(run_stage(&r->stage[k], f, k == 0, k == r->stages - 1));
    return DL_OK;
}

const dl_kernel gen_reduce = {.size = sizeof gen_reduce, .op = "reduce", .prepare = prepare, .run = run};
