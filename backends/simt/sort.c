/* sort.c - sort, topk, kthvalue, median, mode: lines are sorted in scratch memory, then what an op wants is copied from x. */
#include "backends/simt/loop.h"
#include "backends/simt/sort.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

enum { BLOCKS, MERGE, STORE }; /* kernels */
enum { ITEM = sizeof(uint64_t) + sizeof(uint32_t) };

static int64_t length_of(const dl_tensor *x, int64_t dim) { return x->ndim ? x->shape[dim < 0 ? dim + x->ndim : dim] : 1; }

/* Scratch holds the keys and places of all elements twice, each array behind the other: keys, keys, places, places. Places in a
 * line have 32 bits. The frame for simt_plan has no tensors: these kernels take any number of dimensions. */
static dl_status prepare(const dl_frame *f, dl_plan *plan, const char *store, int64_t dim) {
    const dl_dtype type = f->in[0]->type;
    if (length_of(f->in[0], dim) > UINT32_MAX || simt_count(f->in[0]) > INT64_MAX / (2 * ITEM)) return DL_UNSUPPORTED;
    const dl_frame any = {.size = sizeof any, .device = f->device};
    const simt_wanted wanted[] = {
        [BLOCKS] = {"sort_blocks", 1, {type}}, [MERGE] = {"sort_merge", 1, {type}}, [STORE] = {store, 1, {type}}};
    const dl_status status = simt_plan(&any, plan, text_sort_cl, wanted, 3);
    plan->sharing = DL_PLAN_PER_SHAPE;
    plan->scratch_bytes = 2 * ITEM * (uint64_t)simt_count(f->in[0]);
    return status;
}

/* sort, median, mode have the dimension in place 0; topk, kthvalue in place 1, behind k. */
static dl_status prepare_sort(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_store", f->attr[0].v.i); }
static dl_status prepare_topk(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_store", f->attr[1].v.i); }
static dl_status prepare_kthvalue(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_choose", f->attr[1].v.i); }
static dl_status prepare_choice(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_choose", f->attr[0].v.i); }

/* ---- parts: as many lines as one loop goes over ----------------------------------------------------------------------------
 */

enum { X, VALUES, PLACES, TENSORS };

/* Lines along dim over the dimensions from `first` on, those before it standing still. */
typedef struct part {
    const dl_frame *f;
    const dl_plan *plan;
    const dl_tensor *t[TENSORS];
    int32_t dim, first;
    simt_lines l;
    int64_t count, at[TENSORS]; /* x's elements; where each tensor's begin */
} part;

/* The results may lack dim. */
static int64_t step_of(const part *p, int k, int32_t d) {
    const dl_tensor *t = p->t[k];
    if (t->ndim == p->t[X]->ndim) return t->strides[d];
    return d == p->dim ? 0 : t->strides[d < p->dim ? d : d - 1];
}

/* Do the lines from `first` on fit a loop? */
static int lines_from(part *p, int32_t first) {
    const dl_tensor *x = p->t[X];
    p->first = first;
    p->l = (simt_lines){.length = x->ndim ? x->shape[p->dim] : 1};
    simt_loop_begin(&p->l.across);
    for (int32_t d = 0; d < x->ndim; d++) {
        int64_t steps[SIMT_LOOP_OPERANDS] = {0};
        for (int k = 0; k < TENSORS; k++) steps[k] = step_of(p, k, d);
        if (d == p->dim)
            for (int k = 0; k < TENSORS; k++) p->l.step[k] = steps[k];
        else if (d >= first)
            simt_loop_dim(&p->l.across, x->shape[d], steps);
    }
    p->count = p->l.across.count * p->l.length;
    return p->l.across.ndim >= 0;
}

/* The next part in row-major order of the dimensions before `first`; 0: that was the last. */
static int next_part(part *p, int64_t place[DL_MAX_DIMS]) {
    for (int32_t d = p->first - 1; d >= 0; d--) {
        if (d == p->dim) continue;
        const int64_t back = ++place[d] < p->t[X]->shape[d] ? 0 : place[d];
        for (int k = 0; k < TENSORS; k++) p->at[k] += (1 - back) * step_of(p, k, d);
        if (!back) return 1;
        place[d] = 0;
    }
    return 0;
}

static dl_status each_part(const dl_frame *f, const dl_plan *plan, int64_t dim,
                           dl_status (*run)(const part *, int64_t, int64_t), int64_t option, int64_t number) {
    const dl_tensor *x = f->in[0];
    int64_t place[DL_MAX_DIMS] = {0};
    part p = {.f = f, .plan = plan, .t = {x, f->out[0], f->out[1]}, .dim = (int32_t)(dim < 0 && x->ndim ? dim + x->ndim : dim)};
    if (simt_count(x) == 0) return DL_OK;
    for (int32_t first = 0; !lines_from(&p, first);) first++;
    dl_status status;
    do status = run(&p, option, number);
    while (status == DL_OK && next_part(&p, place));
    return status;
}

/* ---- sorting a part -------------------------------------------------------------------------------------------------------
 */

/* One of the two halves of scratch. */
static void put_half(simt_args *a, const part *p, int half) {
    simt_data_at(a, p->f->scratch, half * p->count);
    simt_data_at(a, p->f->scratch, 4 * p->count + half * p->count); /* in u32 */
}

static void put_tensor(simt_args *a, const part *p, int k) {
    const dl_tensor *t = p->t[k];
    simt_data_at(a, t->data, (int64_t)t->byte_offset / simt_type_bytes(t->type) + p->at[k]);
}

static dl_status sort_blocks(const part *p, int32_t descending) {
    int32_t width = 1;
    while (width < SORT_GROUP && width < p->l.length) width *= 2;
    const int64_t blocks = (p->l.length + width - 1) / width, units = p->l.across.count * blocks, each = SORT_GROUP / width;
    simt_args a = {0};
    put_tensor(&a, p, X);
    put_half(&a, p, 0);
    simt_struct(&a, &p->l, sizeof p->l);
    simt_i64(&a, blocks);
    simt_i32(&a, width);
    simt_i32(&a, descending);
    return simt_launch_groups(p->f, simt_planned(p->plan, BLOCKS), units / each + (units % each != 0), SORT_GROUP, &a);
}

/* Sorts all lines; *half says where in scratch they are then. */
static dl_status sort_lines(const part *p, int32_t descending, int *half) {
    dl_status status = sort_blocks(p, descending);
    *half = 0;
    for (int64_t run = SORT_GROUP; run < p->l.length && status == DL_OK; run *= 2) {
        simt_args a = {0};
        put_half(&a, p, *half);
        put_half(&a, p, !*half);
        simt_i64(&a, p->l.length);
        simt_i64(&a, p->count);
        simt_i64(&a, run);
        status = simt_launch_items(p->f, simt_planned(p->plan, MERGE), p->count, &a);
        *half = !*half;
    }
    return status;
}

/* The first `taken` of each line. */
static dl_status store(const part *p, int64_t descending, int64_t taken) {
    simt_args a = {0};
    int half;
    if (taken == 0) return DL_OK;
    const dl_status status = sort_lines(p, descending != 0, &half);
    if (status != DL_OK) return status;
    for (int k = 0; k < TENSORS; k++) put_tensor(&a, p, k);
    simt_data_at(&a, p->f->scratch, 4 * p->count + half * p->count);
    simt_struct(&a, &p->l, sizeof p->l);
    simt_i64(&a, taken);
    return simt_launch_items(p->f, simt_planned(p->plan, STORE), p->l.across.count * taken, &a);
}

/* One element of each line. */
static dl_status choose(const part *p, int64_t which, int64_t rank) {
    simt_args a = {0};
    int half;
    const dl_status status = sort_lines(p, 0, &half);
    if (status != DL_OK) return status;
    for (int k = 0; k < TENSORS; k++) put_tensor(&a, p, k);
    put_half(&a, p, half);
    simt_struct(&a, &p->l, sizeof p->l);
    simt_i32(&a, (int32_t)which);
    simt_i64(&a, rank);
    return simt_launch_items(p->f, simt_planned(p->plan, STORE), p->l.across.count, &a);
}

/* ---- ops ------------------------------------------------------------------------------------------------------------------
 */

static dl_status run_sort(const dl_frame *f, const dl_plan *plan) {
    const int64_t dim = f->attr[0].v.i;
    return each_part(f, plan, dim, store, f->attr[1].v.i, length_of(f->in[0], dim));
}
static dl_status run_topk(const dl_frame *f, const dl_plan *plan) {
    return each_part(f, plan, f->attr[1].v.i, store, f->attr[2].v.i, f->attr[0].v.i);
}
static dl_status run_kthvalue(const dl_frame *f, const dl_plan *plan) {
    return each_part(f, plan, f->attr[1].v.i, choose, SORT_BY_RANK, f->attr[0].v.i - 1);
}
static dl_status run_median(const dl_frame *f, const dl_plan *plan) {
    return each_part(f, plan, f->attr[0].v.i, choose, SORT_MEDIAN, 0);
}
static dl_status run_mode(const dl_frame *f, const dl_plan *plan) {
    return each_part(f, plan, f->attr[0].v.i, choose, SORT_MODE, 0);
}

dl_status simt_register_sort(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("sort", prepare_sort, run_sort),
        SIMT_KERNEL("topk", prepare_topk, run_topk),
        SIMT_KERNEL("kthvalue", prepare_kthvalue, run_kthvalue),
        SIMT_KERNEL("median", prepare_choice, run_median),
        SIMT_KERNEL("mode", prepare_choice, run_mode),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
