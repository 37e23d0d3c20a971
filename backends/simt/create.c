/* create.c - full, arange, eye. */
#include "backends/simt/loop.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"
#include <string.h>

/* The output and its loop, the first arguments. */
static dl_status begin(const dl_frame *f, simt_args *a, simt_loop *l) {
    const dl_tensor *const t[] = {f->out[0]};
    simt_buffer(a, t[0]);
    simt_struct(a, l, sizeof *l);
    return simt_loop_over(l, 1, t, 0);
}

/* ---- full --------------------------------------------------------------------------------------------------------------- */

static dl_status prepare_full(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{"full", 1, {f->out[0]->type}}};
    return simt_plan(f, plan, text_create_cl, wanted, 1);
}

static dl_status run_full(const dl_frame *f, const dl_plan *plan) {
    simt_args a = {0};
    simt_loop l;
    const dl_status status = begin(f, &a, &l);
    if (status != DL_OK) return status;
    simt_number(&a, f->out[0]->type, &f->attr[1]);
    return simt_launch_items(f, simt_planned(plan, 0), l.count, &a);
}

/* ---- arange ------------------------------------------------------------------------------------------------------------- */

enum { WHOLE, REAL }; /* the kernels: which one is needed depends on the attributes */

static dl_status prepare_arange(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {[WHOLE] = {"arange_whole", 1, {f->out[0]->type}}, [REAL] = {"arange", 1, {f->out[0]->type}}};
    return simt_plan(f, plan, text_create_cl, wanted, 2);
}

static int64_t bits_of(double v) {
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static dl_status run_arange(const dl_frame *f, const dl_plan *plan) {
    const dl_attr *start = &f->attr[0], *step = &f->attr[1];
    simt_args a = {0};
    simt_loop l;
    const dl_status status = begin(f, &a, &l);
    if (status != DL_OK) return status;
    if (start->kind == DL_ATTR_INT && step->kind == DL_ATTR_INT && !simt_floating(f->out[0]->type)) {
        simt_i64(&a, start->v.i);
        simt_i64(&a, step->v.i);
        return simt_launch_items(f, simt_planned(plan, WHOLE), l.count, &a);
    }
    const double from = simt_real(start), by = simt_real(step);
    simt_i64(&a, bits_of(from));
    simt_i64(&a, bits_of(by));
    simt_f32(&a, (float)from);
    simt_f32(&a, (float)by);
    return simt_launch_items(f, simt_planned(plan, REAL), l.count, &a);
}

/* ---- eye ---------------------------------------------------------------------------------------------------------------- */

static dl_status prepare_eye(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{"eye", 1, {f->out[0]->type}}};
    return simt_plan(f, plan, text_create_cl, wanted, 1);
}

static dl_status run_eye(const dl_frame *f, const dl_plan *plan) {
    simt_args a = {0};
    simt_loop l;
    const dl_status status = begin(f, &a, &l);
    if (status != DL_OK) return status;
    simt_i64(&a, f->out[0]->shape[1]);
    return simt_launch_items(f, simt_planned(plan, 0), l.count, &a);
}

dl_status simt_register_create(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("full", prepare_full, run_full),
        SIMT_KERNEL("arange", prepare_arange, run_arange),
        SIMT_KERNEL("eye", prepare_eye, run_eye),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
