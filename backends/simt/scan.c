/* scan.c - cumsum, cumprod, cummax, cummin, logcumsumexp. */
#include "backends/simt/loop.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

static dl_status prepare(const dl_frame *f, dl_plan *plan, const char *entry) {
    const simt_wanted wanted[] = {{entry, 2, {f->in[0]->type, f->out[0]->type}}};
    return simt_plan(f, plan, text_scan_cl, wanted, 1);
}
static dl_status prepare_fold(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "scan_fold"); }
static dl_status prepare_extreme(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "scan_extreme"); }
static dl_status prepare_exponentials(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "scan_exponentials"); }

/* flag: the kernel's last argument, -1: it has none. */
static dl_status run(const dl_frame *f, const dl_plan *plan, int32_t flag) {
    const dl_tensor *t[3] = {f->in[0], f->out[0], f->n_out > 1 ? f->out[1] : NULL};
    const int32_t n = 1 + (int32_t)f->n_out;
    simt_args a = {0};
    simt_lines l;
    const dl_status status = simt_lines_along(&l, f->attr[0].v.i, n, t);
    if (status != DL_OK || l.length == 0) return status;
    const simt_team team = simt_team_for(&l);
    for (int32_t k = 0; k < n; k++) simt_buffer(&a, t[k]);
    simt_struct(&a, &l, sizeof l);
    simt_struct(&a, &team, sizeof team);
    if (flag >= 0) simt_i32(&a, flag);
    return simt_launch_teams(f, simt_planned(plan, 0), team, l.across.count, &a);
}

static dl_status run_cumsum(const dl_frame *f, const dl_plan *plan) { return run(f, plan, 0); }
static dl_status run_cumprod(const dl_frame *f, const dl_plan *plan) { return run(f, plan, 1); }
static dl_status run_cummax(const dl_frame *f, const dl_plan *plan) { return run(f, plan, 1); }
static dl_status run_cummin(const dl_frame *f, const dl_plan *plan) { return run(f, plan, 0); }
static dl_status run_logcumsumexp(const dl_frame *f, const dl_plan *plan) { return run(f, plan, -1); }

dl_status simt_register_scan(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("cumsum", prepare_fold, run_cumsum),
        SIMT_KERNEL("cumprod", prepare_fold, run_cumprod),
        SIMT_KERNEL("cummax", prepare_extreme, run_cummax),
        SIMT_KERNEL("cummin", prepare_extreme, run_cummin),
        SIMT_KERNEL("logcumsumexp", prepare_exponentials, run_logcumsumexp),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
