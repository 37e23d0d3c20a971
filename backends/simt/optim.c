/* optim.c - sgd, adam (AdamW) and rmsprop. Coefficients are computed in double and rounded once to the parameter's arithmetic.
 */
#include "backends/simt/loop.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"
#include <math.h>

enum { FLOATING = DL_BF16 + 1 }; /* the floating dtypes have the first numbers; a plan has a kernel for each that occurs */
enum { COUNT_STEP = FLOATING, FUNCTIONS };
enum { LISTS = 4 };

static const dl_tensor *counter_of(const dl_frame *f) { return f->in[f->n_in - 1]; }

/* lists: of tensors, each with one for every parameter. */
static dl_status prepare(const dl_frame *f, dl_plan *plan, const char *entry, uint32_t lists) {
    const dl_dtype counter = counter_of(f)->type, fallback = f->n_in > 1 ? f->in[0]->type : DL_F32;
    simt_wanted wanted[FUNCTIONS];
    if (counter != DL_F32 && counter != DL_F64) return DL_UNSUPPORTED;
    for (int k = 0; k < FLOATING; k++) wanted[k] = (simt_wanted){entry, 2, {fallback, counter}};
    for (uint32_t k = 0; k < (f->n_in - 1) / lists; k++) wanted[f->in[k]->type].types[0] = f->in[k]->type;
    wanted[COUNT_STEP] = (simt_wanted){"count_step", 2, {fallback, counter}};
    return simt_plan(f, plan, text_optim_cl, wanted, FUNCTIONS);
}

static dl_status count_step(const dl_frame *f, const dl_plan *plan) {
    simt_args a = {0};
    simt_buffer(&a, counter_of(f));
    return simt_launch(f, simt_planned(plan, COUNT_STEP), (const uint32_t[]){1, 1, 1}, (const uint32_t[]){1, 1, 1}, &a);
}

/* Every parameter, with the rule's n coefficients behind the common arguments, and then a flag if it is not negative. */
static dl_status update(const dl_frame *f, const dl_plan *plan, uint32_t lists, const double *coefficients, int n, int flag) {
    const uint32_t count = (f->n_in - 1) / lists;
    dl_status status = count_step(f, plan);
    for (uint32_t k = 0; k < count && status == DL_OK; k++) {
        const dl_tensor *t[LISTS] = {NULL};
        simt_args a = {0};
        simt_loop l;
        for (uint32_t i = 0; i < lists; i++) t[i] = f->in[i * count + k];
        status = simt_loop_over(&l, LISTS, t, 1);
        if (status != DL_OK) return status;
        for (int i = 0; i < LISTS; i++) simt_buffer(&a, t[i]);
        simt_buffer(&a, counter_of(f));
        simt_struct(&a, &l, sizeof l);
        for (int i = 0; i < n; i++) simt_scalar(&a, t[0]->type, coefficients[i]);
        if (flag >= 0) simt_i32(&a, flag);
        status = simt_launch_items(f, simt_planned(plan, t[0]->type), l.count, &a);
    }
    return status;
}

static dl_status prepare_sgd(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "sgd", 3); }
static dl_status run_sgd(const dl_frame *f, const dl_plan *plan) {
    const dl_attr *a = f->attr;
    const double c[] = {simt_real(&a[0]), simt_real(&a[1]), 1 - simt_real(&a[2]), simt_real(&a[3])};
    return update(f, plan, 3, c, 4, simt_real(&a[4]) != 0);
}

static dl_status prepare_adam(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "adam", 4); }
static dl_status run_adam(const dl_frame *f, const dl_plan *plan) {
    const dl_attr *a = f->attr;
    const double rate = simt_real(&a[0]), beta1 = simt_real(&a[1]), beta2 = simt_real(&a[2]), decay = simt_real(&a[4]);
    const int decoupled = simt_real(&a[5]) != 0;
    const double c[] = {rate,
                        log(beta1),
                        log(beta2),
                        1 - beta1,
                        beta2,
                        1 - beta2,
                        simt_real(&a[3]),
                        decoupled ? 1 - rate * decay : 1,
                        decoupled ? 0 : decay};
    return update(f, plan, 4, c, 9, -1);
}

static dl_status prepare_rmsprop(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, "rmsprop", 4); }
static dl_status run_rmsprop(const dl_frame *f, const dl_plan *plan) {
    const dl_attr *a = f->attr;
    const double alpha = simt_real(&a[1]);
    const double c[] = {simt_real(&a[0]), alpha, 1 - alpha, simt_real(&a[2]), simt_real(&a[3]), simt_real(&a[4])};
    return update(f, plan, 4, c, 6, -1);
}

dl_status simt_register_optim(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("sgd", prepare_sgd, run_sgd),
        SIMT_KERNEL("adam", prepare_adam, run_adam),
        SIMT_KERNEL("rmsprop", prepare_rmsprop, run_rmsprop),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
