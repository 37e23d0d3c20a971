/* index.c - gather, scatter, scatter_add, index_select and its backward op, index_add, index_copy, index_fill, one_hot. The
 * slice ops are the element ops with an index expanded over the other dimensions (step 0). */
#include "backends/simt/loop.h"
#include "backends/simt/index.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

/* A tensor's steps over the dimensions of the index space. */
typedef struct steps {
    int64_t along[DL_MAX_DIMS];
} steps;

static steps steps_of(const dl_tensor *t) {
    steps s = {{0}};
    for (int32_t d = 0; t && d < t->ndim; d++) s.along[d] = t->strides[d];
    return s;
}

/* Of a vector (or 0-dim) of indices along dim. */
static steps slice_steps(const dl_tensor *index, int32_t dim) {
    steps s = {{0}};
    s.along[dim] = index->ndim ? index->strides[0] : 1;
    return s;
}

static int32_t dim_of(const dl_frame *f) {
    const int32_t ndim = f->in[0]->ndim ? f->in[0]->ndim : 1;
    return (int32_t)(f->attr[0].v.i < 0 ? f->attr[0].v.i + ndim : f->attr[0].v.i);
}

/* ---- taking ------------------------------------------------------------------------------------------------------------- */

static dl_status prepare_take(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{"take", 2, {f->out[0]->type, f->in[1]->type}}};
    return simt_plan(f, plan, text_index_cl, wanted, 1);
}

static dl_status take(const dl_frame *f, const dl_plan *plan, steps index) {
    const dl_tensor *x = f->in[0], *out = f->out[0];
    const int32_t dim = dim_of(f);
    simt_args a = {0};
    simt_loop l;
    simt_loop_begin(&l);
    for (int32_t d = 0; d < out->ndim; d++) {
        const int64_t at[SIMT_LOOP_OPERANDS] = {out->strides[d], index.along[d], d == dim ? 0 : x->strides[d]};
        simt_loop_dim(&l, out->shape[d], at);
    }
    const dl_status status = simt_loop_check(&l);
    if (status != DL_OK) return status;
    simt_buffer(&a, out);
    simt_buffer(&a, f->in[1]);
    simt_buffer(&a, x);
    simt_fault(&a, f);
    simt_struct(&a, &l, sizeof l);
    simt_i64(&a, x->ndim ? x->strides[dim] : 1);
    simt_i64(&a, x->ndim ? x->shape[dim] : 1);
    return simt_launch_items(f, simt_planned(plan, 0), l.count, &a);
}

static dl_status run_gather(const dl_frame *f, const dl_plan *plan) { return take(f, plan, steps_of(f->in[1])); }
static dl_status run_index_select(const dl_frame *f, const dl_plan *plan) {
    return take(f, plan, slice_steps(f->in[1], dim_of(f)));
}

/* ---- putting ------------------------------------------------------------------------------------------------------------ */

enum { START, PUT };

static dl_status prepare_put(const dl_frame *f, dl_plan *plan, const char *entry) {
    const dl_dtype type = f->out[0]->type, index = f->in[1]->type;
    const simt_wanted wanted[] = {[START] = {"start", 2, {type, index}}, [PUT] = {entry, 2, {type, index}}};
    return simt_plan(f, plan, text_index_cl, wanted, 2);
}
static dl_status prepare_set(const dl_frame *f, dl_plan *plan) { return prepare_put(f, plan, "put"); }
static dl_status prepare_sum(const dl_frame *f, dl_plan *plan) { return prepare_put(f, plan, "put_sum"); }
static dl_status prepare_fill(const dl_frame *f, dl_plan *plan) { return prepare_put(f, plan, "put_value"); }

/* The output before anything is put there: a copy of x, or zeros without one. */
static dl_status start(const dl_frame *f, const dl_plan *plan, const dl_tensor *x) {
    const dl_tensor *const t[] = {f->out[0], x};
    simt_args a = {0};
    simt_loop l;
    const dl_status status = simt_loop_over(&l, 2, t, 1);
    if (status != DL_OK) return status;
    for (int k = 0; k < 2; k++) simt_buffer(&a, t[k]);
    simt_struct(&a, &l, sizeof l);
    simt_i32(&a, x != NULL);
    return simt_launch_items(f, simt_planned(plan, START), l.count, &a);
}

/* As many work items as fill a device, where lines are few: each looks at all indices of its line, and takes some places. */
static int64_t blocks_of(int64_t lines, int64_t limit) {
    enum { ENOUGH = 2048 };
    const int64_t blocks = lines > 0 ? ENOUGH / lines : 1;
    return blocks > limit ? (limit > 1 ? limit : 1) : blocks > 1 ? blocks : 1;
}

/* src at index into out. src NULL: the op's value. shape: the index space. */
static dl_status put(const dl_frame *f, const dl_plan *plan, const dl_tensor *x, const dl_tensor *src, steps index,
                     const int64_t *shape) {
    const dl_tensor *out = f->out[0];
    const int32_t dim = dim_of(f);
    const steps to = steps_of(out), from = steps_of(src);
    simt_args a = {0};
    simt_loop across;
    put_shape s = {.length = out->ndim ? shape[dim] : simt_count(f->in[1]),
                   .limit = out->ndim ? out->shape[dim] : 1,
                   .out_step = to.along[dim],
                   .index_step = index.along[dim],
                   .src_step = from.along[dim]};
    dl_status status = start(f, plan, x);
    simt_loop_begin(&across);
    for (int32_t d = 0; d < out->ndim; d++) {
        const int64_t at[SIMT_LOOP_OPERANDS] = {to.along[d], index.along[d], from.along[d]};
        if (d != dim) simt_loop_dim(&across, shape[d], at);
    }
    if (status == DL_OK) status = simt_loop_check(&across);
    if (status != DL_OK) return status;
    s.blocks = blocks_of(across.count, s.limit);
    simt_buffer(&a, out);
    simt_buffer(&a, f->in[1]);
    if (src) simt_buffer(&a, src);
    simt_fault(&a, f);
    simt_struct(&a, &across, sizeof across);
    simt_struct(&a, &s, sizeof s);
    if (!src) simt_number(&a, out->type, &f->attr[1]);
    return simt_launch_items(f, simt_planned(plan, PUT), s.length > 0 ? across.count * s.blocks : 0, &a);
}

static dl_status run_scatter(const dl_frame *f, const dl_plan *plan) {
    return put(f, plan, f->in[0], f->in[2], steps_of(f->in[1]), f->in[1]->shape);
}
static dl_status run_index_put(const dl_frame *f, const dl_plan *plan) {
    return put(f, plan, f->in[0], f->in[2], slice_steps(f->in[1], dim_of(f)), f->in[2]->shape);
}
static dl_status run_index_select_backward(const dl_frame *f, const dl_plan *plan) {
    return put(f, plan, NULL, f->in[0], slice_steps(f->in[1], dim_of(f)), f->in[0]->shape);
}
static dl_status run_index_fill(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *x = f->in[0];
    const int32_t dim = dim_of(f);
    int64_t shape[DL_MAX_DIMS];
    for (int32_t d = 0; d < x->ndim; d++) shape[d] = d == dim ? simt_count(f->in[1]) : x->shape[d];
    return put(f, plan, x, NULL, slice_steps(f->in[1], dim), shape);
}

/* ---- one_hot ------------------------------------------------------------------------------------------------------------ */

static dl_status prepare_one_hot(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{"one_hot", 2, {f->out[0]->type, f->in[0]->type}}};
    return simt_plan(f, plan, text_index_cl, wanted, 1);
}

static dl_status run_one_hot(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *index = f->in[0], *out = f->out[0];
    simt_args a = {0};
    simt_loop l;
    simt_loop_begin(&l);
    for (int32_t d = 0; d < out->ndim; d++) {
        const int64_t at[SIMT_LOOP_OPERANDS] = {out->strides[d], d < index->ndim ? index->strides[d] : 0};
        simt_loop_dim(&l, out->shape[d], at);
    }
    const dl_status status = simt_loop_check(&l);
    if (status != DL_OK) return status;
    simt_buffer(&a, out);
    simt_buffer(&a, index);
    simt_fault(&a, f);
    simt_struct(&a, &l, sizeof l);
    simt_i64(&a, out->shape[out->ndim - 1]);
    return simt_launch_items(f, simt_planned(plan, 0), l.count, &a);
}

dl_status simt_register_index(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("gather", prepare_take, run_gather),
        SIMT_KERNEL("index_select", prepare_take, run_index_select),
        SIMT_KERNEL("scatter", prepare_set, run_scatter),
        SIMT_KERNEL("scatter_add", prepare_sum, run_scatter),
        SIMT_KERNEL("index_copy", prepare_set, run_index_put),
        SIMT_KERNEL("index_add", prepare_sum, run_index_put),
        SIMT_KERNEL("index_select_backward", prepare_sum, run_index_select_backward),
        SIMT_KERNEL("index_fill", prepare_fill, run_index_fill),
        SIMT_KERNEL("one_hot", prepare_one_hot, run_one_hot),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
