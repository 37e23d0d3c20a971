/* softmax.c - softmax, log_softmax and their backward ops. */
#include "backends/simt/loop.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{f->n_in == 1 ? "softmax" : "softmax_backward", 1, {f->out[0]->type}}};
    return simt_plan(f, plan, text_softmax_cl, wanted, 1);
}

static dl_status run(const dl_frame *f, const dl_plan *plan, int32_t logarithm) {
    const dl_tensor *t[3] = {f->in[0], f->out[0]};
    int32_t n = 2;
    if (f->n_in > 1) t[1] = f->in[1], t[2] = f->out[0], n = 3;
    simt_args a = {0};
    simt_lines l;
    const dl_status status = simt_lines_along(&l, f->attr[0].v.i, n, t);
    if (status != DL_OK || l.length == 0) return status;
    const simt_team team = simt_team_for(&l);
    for (int32_t k = 0; k < n; k++) simt_buffer(&a, t[k]);
    simt_struct(&a, &l, sizeof l);
    simt_struct(&a, &team, sizeof team);
    simt_i32(&a, logarithm);
    return simt_launch_teams(f, simt_planned(plan, 0), team, l.across.count, &a);
}

static dl_status run_softmax(const dl_frame *f, const dl_plan *plan) { return run(f, plan, 0); }
static dl_status run_log_softmax(const dl_frame *f, const dl_plan *plan) { return run(f, plan, 1); }

dl_status simt_register_softmax(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("softmax", prepare, run_softmax),
        SIMT_KERNEL("log_softmax", prepare, run_log_softmax),
        SIMT_KERNEL("softmax_backward", prepare, run_softmax),
        SIMT_KERNEL("log_softmax_backward", prepare, run_log_softmax),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
