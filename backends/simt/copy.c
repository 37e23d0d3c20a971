/* copy.c - cat, tril, triu. */
#include "backends/simt/loop.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

/* ---- cat: one launch for each part, a kernel for each dtype that occurs ---------------------------------------------------
 */

static dl_status prepare_cat(const dl_frame *f, dl_plan *plan) {
    const dl_dtype out = f->out[0]->type;
    simt_wanted wanted[DL_DTYPE_COUNT];
    for (int k = 0; k < DL_DTYPE_COUNT; k++) wanted[k] = (simt_wanted){"part", 2, {out, f->in[0]->type}};
    for (uint32_t k = 0; k < f->n_in; k++) wanted[f->in[k]->type].types[1] = f->in[k]->type;
    return simt_plan(f, plan, text_copy_cl, wanted, DL_DTYPE_COUNT);
}

static dl_status put_part(const dl_frame *f, const dl_plan *plan, const dl_tensor *x, int64_t at) {
    const dl_tensor *out = f->out[0];
    const int64_t start = (int64_t)out->byte_offset / simt_type_bytes(out->type) + at;
    int64_t steps[SIMT_LOOP_OPERANDS] = {0};
    simt_args a = {0};
    simt_loop l;
    simt_loop_begin(&l);
    for (int32_t d = 0; d < x->ndim; d++) {
        steps[0] = out->strides[d], steps[1] = x->strides[d];
        simt_loop_dim(&l, x->shape[d], steps);
    }
    const dl_status status = simt_loop_check(&l);
    if (status != DL_OK) return status;
    simt_data_at(&a, out->data, start);
    simt_buffer(&a, x);
    simt_struct(&a, &l, sizeof l);
    return simt_launch_items(f, simt_planned(plan, x->type), l.count, &a);
}

static dl_status run_cat(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *out = f->out[0];
    const int64_t dim = f->attr[0].v.i < 0 ? f->attr[0].v.i + out->ndim : f->attr[0].v.i;
    dl_status status = DL_OK;
    int64_t at = 0;
    for (uint32_t k = 0; k < f->n_in && status == DL_OK; k++) {
        status = put_part(f, plan, f->in[k], at);
        at += f->in[k]->shape[dim] * out->strides[dim];
    }
    return status;
}

/* ---- tril, triu -----------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_triangle(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{"triangle", 2, {f->out[0]->type, f->out[0]->type}}};
    return simt_plan(f, plan, text_copy_cl, wanted, 1);
}

static dl_status triangle(const dl_frame *f, const dl_plan *plan, int32_t upper) {
    const dl_tensor *const t[] = {f->out[0], f->in[0]}, *const out = f->out[0];
    simt_args a = {0};
    simt_loop l;
    const dl_status status = simt_loop_over(&l, 2, t, 0);
    if (status != DL_OK) return status;
    for (int k = 0; k < 2; k++) simt_buffer(&a, t[k]);
    simt_struct(&a, &l, sizeof l);
    simt_i64(&a, out->shape[out->ndim - 2]);
    simt_i64(&a, out->shape[out->ndim - 1]);
    simt_i64(&a, f->attr[0].v.i);
    simt_i32(&a, upper);
    return simt_launch_items(f, simt_planned(plan, 0), l.count, &a);
}

static dl_status run_tril(const dl_frame *f, const dl_plan *plan) { return triangle(f, plan, 0); }
static dl_status run_triu(const dl_frame *f, const dl_plan *plan) { return triangle(f, plan, 1); }

dl_status simt_register_copy(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("cat", prepare_cat, run_cat),
        SIMT_KERNEL("tril", prepare_triangle, run_tril),
        SIMT_KERNEL("triu", prepare_triangle, run_triu),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
