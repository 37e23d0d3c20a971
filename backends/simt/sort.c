/* sort.c - sort, topk, kthvalue, median, mode: lines are sorted in scratch memory, then what an op wants is copied from x. */
#include "backends/simt/loop.h"
#include "backends/simt/sort.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

enum { BLOCKS, MERGE, STORE }; /* kernels */
enum { ITEM = sizeof(uint64_t) + sizeof(uint32_t) };

static int64_t length_of(const dl_tensor *x, int64_t dim) { return x->ndim ? x->shape[dim < 0 ? dim + x->ndim : dim] : 1; }

/* Scratch holds the keys and places of all elements twice, each array behind the other: keys, keys, places, places. Places in a
 * line have 32 bits. */
static dl_status prepare(const dl_frame *f, dl_plan *plan, const char *store, int64_t dim) {
    const dl_dtype type = f->in[0]->type;
    if (length_of(f->in[0], dim) > UINT32_MAX || simt_count(f->in[0]) > INT64_MAX / (2 * ITEM)) return DL_UNSUPPORTED;
    const simt_wanted wanted[] = {
        [BLOCKS] = {"sort_blocks", 1, {type}}, [MERGE] = {"sort_merge", 1, {type}}, [STORE] = {store, 1, {type}}};
    const dl_status status = simt_plan(f, plan, text_sort_cl, wanted, 3);
    plan->sharing = DL_PLAN_PER_SHAPE;
    plan->scratch_bytes = 2 * ITEM * (uint64_t)simt_count(f->in[0]);
    return status;
}

/* sort, median, mode have the dimension in place 0; topk, kthvalue in place 1, behind k. */
static dl_status prepare_sort(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_store", f->attr[0].v.i); }
static dl_status prepare_topk(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_store", f->attr[1].v.i); }
static dl_status prepare_kthvalue(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_choose", f->attr[1].v.i); }
static dl_status prepare_choice(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sort_choose", f->attr[0].v.i); }

/* One of the two halves of scratch. */
static void put_half(simt_args *a, const dl_frame *f, int64_t count, int half) {
    simt_data_at(a, f->scratch, half * count);
    simt_data_at(a, f->scratch, 4 * count + half * count); /* in u32 */
}

static dl_status sort_blocks(const dl_frame *f, const dl_plan *plan, const simt_lines *l, int64_t count, int32_t descending) {
    int32_t width = 1;
    while (width < SORT_GROUP && width < l->length) width *= 2;
    const int64_t blocks = (l->length + width - 1) / width, units = l->across.count * blocks, each = SORT_GROUP / width;
    simt_args a = {0};
    simt_buffer(&a, f->in[0]);
    put_half(&a, f, count, 0);
    simt_struct(&a, l, sizeof *l);
    simt_i64(&a, blocks);
    simt_i32(&a, width);
    simt_i32(&a, descending);
    return simt_launch_groups(f, simt_planned(plan, BLOCKS), units / each + (units % each != 0), SORT_GROUP, &a);
}

/* Sorts all lines; *half says where in scratch they are then. */
static dl_status sort_lines(const dl_frame *f, const dl_plan *plan, const simt_lines *l, int64_t count, int32_t descending,
                            int *half) {
    dl_status status = sort_blocks(f, plan, l, count, descending);
    *half = 0;
    for (int64_t run = SORT_GROUP; run < l->length && status == DL_OK; run *= 2) {
        simt_args a = {0};
        put_half(&a, f, count, *half);
        put_half(&a, f, count, !*half);
        simt_i64(&a, l->length);
        simt_i64(&a, count);
        simt_i64(&a, run);
        status = simt_launch_items(f, simt_planned(plan, MERGE), count, &a);
        *half = !*half;
    }
    return status;
}

static dl_status begin(const dl_frame *f, const dl_plan *plan, int64_t dim, int32_t descending, simt_lines *l, int *half) {
    const dl_tensor *const t[] = {f->in[0], f->out[0], f->out[1]};
    const dl_status status = simt_lines_along(l, dim, 3, t);
    return status == DL_OK ? sort_lines(f, plan, l, simt_count(f->in[0]), descending, half) : status;
}

static void put_tensors(simt_args *a, const dl_frame *f) {
    simt_buffer(a, f->in[0]);
    for (int k = 0; k < 2; k++) simt_buffer(a, f->out[k]);
}

static dl_status store(const dl_frame *f, const dl_plan *plan, int64_t dim, int32_t descending, int64_t taken) {
    const int64_t count = simt_count(f->in[0]);
    simt_args a = {0};
    simt_lines l;
    int half;
    if (count == 0 || taken == 0) return DL_OK;
    const dl_status status = begin(f, plan, dim, descending, &l, &half);
    if (status != DL_OK) return status;
    put_tensors(&a, f);
    simt_data_at(&a, f->scratch, 4 * count + half * count);
    simt_struct(&a, &l, sizeof l);
    simt_i64(&a, taken);
    return simt_launch_items(f, simt_planned(plan, STORE), l.across.count * taken, &a);
}

static dl_status choose(const dl_frame *f, const dl_plan *plan, int64_t dim, int32_t which, int64_t rank) {
    const int64_t count = simt_count(f->in[0]);
    simt_args a = {0};
    simt_lines l;
    int half;
    if (count == 0) return DL_OK;
    const dl_status status = begin(f, plan, dim, 0, &l, &half);
    if (status != DL_OK) return status;
    put_tensors(&a, f);
    put_half(&a, f, count, half);
    simt_struct(&a, &l, sizeof l);
    simt_i32(&a, which);
    simt_i64(&a, rank);
    return simt_launch_items(f, simt_planned(plan, STORE), l.across.count, &a);
}

static dl_status run_sort(const dl_frame *f, const dl_plan *plan) {
    const int64_t dim = f->attr[0].v.i;
    return store(f, plan, dim, f->attr[1].v.i != 0, length_of(f->in[0], dim));
}
static dl_status run_topk(const dl_frame *f, const dl_plan *plan) {
    return store(f, plan, f->attr[1].v.i, f->attr[2].v.i != 0, f->attr[0].v.i);
}
static dl_status run_kthvalue(const dl_frame *f, const dl_plan *plan) {
    return choose(f, plan, f->attr[1].v.i, SORT_BY_RANK, f->attr[0].v.i - 1);
}
static dl_status run_median(const dl_frame *f, const dl_plan *plan) { return choose(f, plan, f->attr[0].v.i, SORT_MEDIAN, 0); }
static dl_status run_mode(const dl_frame *f, const dl_plan *plan) { return choose(f, plan, f->attr[0].v.i, SORT_MODE, 0); }

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
