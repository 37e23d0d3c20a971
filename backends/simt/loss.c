/* loss.c - nll_loss, cross_entropy and their gradients. */
#include "backends/simt/loop.h"
#include "backends/simt/loss.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

enum { SAMPLES, SUM, RESULTS }; /* kernels forward */
enum { MOST_GROUPS = 64 };
#define MOST_SAMPLES ((int64_t)1 << 40) /* of expanded tensors there may be more than memory holds parts of */

static int64_t sample_step(const dl_tensor *t, int columns) { return t->ndim > columns ? t->strides[0] : 0; }
static int64_t class_step(const dl_tensor *t) { return t->strides[t->ndim - 1]; }

/* in: scores, target, weight; table: of the scores' shape, that which is written. */
static loss_shape shape_of(const dl_frame *f, const dl_tensor *const *in, const dl_tensor *table) {
    const dl_tensor *scores = in[0], *target = in[1], *weight = in[2];
    const int probabilities = target->ndim == scores->ndim;
    return (loss_shape){.samples = scores->ndim == 2 ? scores->shape[0] : 1,
                        .classes = scores->shape[scores->ndim - 1],
                        .probabilities = probabilities,
                        .reduction = f->attr[0].v.i,
                        .ignore = f->attr[1].v.i,
                        .weighted = weight != NULL,
                        .scores_step = sample_step(scores, 1),
                        .scores_class = class_step(scores),
                        .target_step = sample_step(target, probabilities),
                        .target_class = probabilities ? class_step(target) : 0,
                        .weight_step = weight ? weight->strides[0] : 0,
                        .out_step = sample_step(table, 1),
                        .out_class = class_step(table)};
}

/* ---- forward ------------------------------------------------------------------------------------------------------------ */

static int64_t samples_of(const dl_frame *f) { return f->in[0]->ndim == 2 ? f->in[0]->shape[0] : 1; }

/* Scratch: a pair for each sample, for each of two sums' groups, and the last sum. */
static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    const dl_dtype type = f->in[0]->type, target = f->in[1]->type;
    const simt_wanted wanted[] = {[SAMPLES] = {"loss_samples", 2, {type, target}},
                                  [SUM] = {"loss_sum", 2, {type, target}},
                                  [RESULTS] = {"loss_results", 2, {type, target}}};
    if (samples_of(f) > MOST_SAMPLES) return DL_UNSUPPORTED;
    const dl_status status = simt_plan(f, plan, text_loss_cl, wanted, 3);
    plan->sharing = DL_PLAN_PER_SHAPE;
    plan->scratch_bytes = (uint64_t)(samples_of(f) + MOST_GROUPS + 1) * 2 * (type == DL_F64 ? sizeof(double) : sizeof(float));
    return status;
}

/* Sums n pairs from `from` on into pairs from `to` on; returns how many there are then. */
static dl_status sum(const dl_frame *f, const dl_plan *plan, int64_t from, int64_t n, int64_t to, int64_t groups) {
    simt_args a = {0};
    simt_data_at(&a, f->scratch, 2 * from);
    simt_i64(&a, n);
    simt_data_at(&a, f->scratch, 2 * to);
    return simt_launch(f, simt_planned(plan, SUM), (const uint32_t[]){(uint32_t)groups, 1, 1},
                       (const uint32_t[]){SIMT_TEAM_GROUP, 1, 1}, &a);
}

/* logp: where log probabilities go, if the scores are none; else NULL. */
static dl_status forward(const dl_frame *f, const dl_plan *plan, const dl_tensor *logp, const dl_tensor *total,
                         double smoothing) {
    const loss_shape s = shape_of(f, f->in, logp ? logp : f->in[0]);
    const int64_t n = s.samples, each = n / SIMT_TEAM_GROUP + 1, groups = each < MOST_GROUPS ? each : MOST_GROUPS;
    const int whole_lines = logp || s.probabilities || smoothing > 0;
    const simt_team team = simt_team_of(n, whole_lines ? s.classes : 1, s.scores_step < s.scores_class);
    simt_args a = {0}, results = {0};
    for (int k = 0; k < 3; k++) simt_buffer(&a, f->in[k]);
    simt_buffer(&a, logp);
    simt_data(&a, f->scratch);
    simt_fault(&a, f);
    simt_struct(&a, &s, sizeof s);
    simt_scalar(&a, f->in[0]->type, smoothing);
    simt_i32(&a, logp != NULL);
    simt_struct(&a, &team, sizeof team);
    dl_status status = simt_launch_teams(f, simt_planned(plan, SAMPLES), team, n, &a);
    if (status == DL_OK) status = sum(f, plan, 0, n, n, groups);
    if (status == DL_OK) status = sum(f, plan, n, groups, n + groups, 1);
    if (status != DL_OK) return status;
    simt_data(&results, f->scratch);
    simt_data_at(&results, f->scratch, 2 * (n + groups));
    simt_i64(&results, s.reduction);
    simt_i64(&results, n);
    simt_buffer(&results, f->out[0]);
    simt_i64(&results, f->out[0]->ndim ? f->out[0]->strides[0] : 0);
    simt_buffer(&results, total);
    return simt_launch_items(f, simt_planned(plan, RESULTS), s.reduction == LOSS_EACH && n ? n : 1, &results);
}

static dl_status run_nll_loss(const dl_frame *f, const dl_plan *plan) { return forward(f, plan, NULL, f->out[1], 0); }
static dl_status run_cross_entropy(const dl_frame *f, const dl_plan *plan) {
    return forward(f, plan, f->out[1], f->out[2], f->attr[2].v.f);
}

/* ---- backward ----------------------------------------------------------------------------------------------------------- */

static dl_status prepare_backward(const dl_frame *f, dl_plan *plan) {
    const simt_wanted wanted[] = {{"loss_backward", 2, {f->in[1]->type, f->in[2]->type}}};
    return simt_plan(f, plan, text_loss_cl, wanted, 1);
}

/* Inputs: grad, logp, target, weight, total. */
static dl_status backward(const dl_frame *f, const dl_plan *plan, int32_t entropy, double smoothing) {
    loss_shape s = shape_of(f, f->in + 1, f->out[0]);
    const simt_team team = simt_team_of(s.samples, s.classes, s.out_step < s.out_class);
    simt_args a = {0};
    s.grad_step = sample_step(f->in[0], 0);
    for (int k = 0; k < 5; k++) simt_buffer(&a, f->in[k]);
    simt_buffer(&a, f->out[0]);
    simt_fault(&a, f);
    simt_struct(&a, &s, sizeof s);
    simt_scalar(&a, f->out[0]->type, smoothing);
    simt_i32(&a, entropy);
    simt_struct(&a, &team, sizeof team);
    return simt_launch_teams(f, simt_planned(plan, 0), team, s.samples, &a);
}

static dl_status run_nll_loss_backward(const dl_frame *f, const dl_plan *plan) { return backward(f, plan, 0, 0); }
static dl_status run_cross_entropy_backward(const dl_frame *f, const dl_plan *plan) {
    return backward(f, plan, 1, f->attr[2].v.f);
}

dl_status simt_register_loss(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("nll_loss", prepare, run_nll_loss),
        SIMT_KERNEL("nll_loss_backward", prepare_backward, run_nll_loss_backward),
        SIMT_KERNEL("cross_entropy", prepare, run_cross_entropy),
        SIMT_KERNEL("cross_entropy_backward", prepare_backward, run_cross_entropy_backward),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
