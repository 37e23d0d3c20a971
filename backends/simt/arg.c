/* arg.c - argmax, argmin, max_dim, min_dim. */
#include "backends/simt/loop.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{"extreme", 1, {f->in[0]->type}}};
    return simt_plan(f, plan, text_arg_cl, wanted, 1);
}

/* dims: the reduced ones, n of them; n 0: all. values: NULL where they are not wanted. */
static dl_status search(const dl_frame *f, const dl_plan *plan, int32_t largest, const int64_t *dims, int32_t n,
                        const dl_tensor *values, const dl_tensor *places) {
    const dl_tensor *x = f->in[0];
    const int keepdim = places->ndim == x->ndim;
    uint32_t reduced = n == 0 ? ~0u : 0;
    simt_args a = {0};
    simt_loop kept, over;
    for (int32_t k = 0; k < n && x->ndim > 0; k++) reduced |= 1u << (dims[k] < 0 ? dims[k] + x->ndim : dims[k]);
    simt_loop_begin(&kept);
    simt_loop_begin(&over);
    for (int32_t d = 0, o = 0; d < x->ndim; d++) {
        int64_t steps[SIMT_LOOP_OPERANDS] = {x->strides[d]};
        if (reduced >> d & 1) {
            simt_loop_dim(&over, x->shape[d], steps);
            o += keepdim;
            continue;
        }
        steps[1] = values ? values->strides[o] : 0;
        steps[2] = places->strides[o++];
        simt_loop_dim(&kept, x->shape[d], steps);
    }
    dl_status status = simt_loop_check(&kept);
    if (status == DL_OK) status = simt_loop_check(&over);
    if (status != DL_OK) return status;
    const int64_t between = kept.ndim ? kept.step[0][kept.ndim - 1] : 0, along = over.ndim ? over.step[0][over.ndim - 1] : 0;
    const simt_team team = simt_team_of(kept.count, over.count, kept.ndim > 0 && between < along);
    simt_buffer(&a, x);
    simt_buffer(&a, values);
    simt_buffer(&a, places);
    simt_struct(&a, &kept, sizeof kept);
    simt_struct(&a, &over, sizeof over);
    simt_struct(&a, &team, sizeof team);
    simt_i32(&a, largest);
    simt_i32(&a, values != NULL);
    return simt_launch_teams(f, simt_planned(plan, 0), team, kept.count, &a);
}

static dl_status run_argmax(const dl_frame *f, const dl_plan *plan) {
    return search(f, plan, 1, f->attr[0].v.iv, f->attr[0].n, NULL, f->out[0]);
}
static dl_status run_argmin(const dl_frame *f, const dl_plan *plan) {
    return search(f, plan, 0, f->attr[0].v.iv, f->attr[0].n, NULL, f->out[0]);
}
static dl_status run_max_dim(const dl_frame *f, const dl_plan *plan) {
    return search(f, plan, 1, &f->attr[0].v.i, 1, f->out[0], f->out[1]);
}
static dl_status run_min_dim(const dl_frame *f, const dl_plan *plan) {
    return search(f, plan, 0, &f->attr[0].v.i, 1, f->out[0], f->out[1]);
}

dl_status simt_register_arg(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("argmax", prepare, run_argmax),
        SIMT_KERNEL("argmin", prepare, run_argmin),
        SIMT_KERNEL("max_dim", prepare, run_max_dim),
        SIMT_KERNEL("min_dim", prepare, run_min_dim),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
