/* norm.c - layer_norm, group_norm, batch_norm and their backward ops.
 *
 *                 a row                     within it                       weights
 *   layer_norm    the leading dimensions    the last `dims` dimensions      along the elements within
 *   group_norm    a sample and group        its channels, all places        along the channels within; by the row's group
 *   batch_norm    a channel                 samples and places              by the row */
#include "backends/simt/loop.h"
#include "backends/simt/norm.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

enum { LAYER, GROUP, BATCH };
enum { MOST = DL_MAX_DIMS + 1 };

/* A tensor's steps along the dimensions of the two loops: those of x, but for group_norm, which has its channels in two. */
typedef struct steps {
    int64_t along[MOST];
} steps;

/* x's dimensions: which loop each belongs to. Weights are elements of `kept`, over the others they do not depend. */
typedef struct view {
    int kind;
    int32_t ndim, dims; /* layer_norm: dims last ones are normalised */
    int64_t size[MOST], groups, width;
} view;

static view view_of(int kind, const dl_tensor *x, int64_t number) {
    view v = {.kind = kind, .ndim = x->ndim, .dims = (int32_t)number};
    for (int32_t d = 0; d < x->ndim; d++) v.size[d] = x->shape[d];
    if (kind != GROUP) return v;
    v.groups = number;
    v.width = x->shape[1] / number;
    v.ndim++;
    for (int32_t d = v.ndim - 1; d > 2; d--) v.size[d] = x->shape[d - 1];
    v.size[1] = v.groups, v.size[2] = v.width;
    return v;
}

static int is_row(const view *v, int32_t d) {
    return v->kind == LAYER ? d < v->ndim - v->dims : v->kind == GROUP ? d < 2 : d == 1;
}
static int is_weight(const view *v, int32_t d) {
    return v->kind == LAYER ? d >= v->ndim - v->dims : v->kind == GROUP ? d == 1 || d == 2 : d == 1;
}

/* Of a tensor of x's shape. */
static steps steps_of(const view *v, const dl_tensor *t) {
    steps s = {{0}};
    if (!t) return s;
    for (int32_t d = 0; d < t->ndim; d++) s.along[v->kind == GROUP && d > 1 ? d + 1 : d] = t->strides[d];
    if (v->kind != GROUP) return s;
    s.along[2] = t->strides[1];
    s.along[1] = t->strides[1] * v->width;
    return s;
}

/* Of mean or var: layer_norm's have x's dimensions, group_norm's samples and groups, batch_norm's channels. */
static steps statistic_steps(const view *v, const dl_tensor *t) {
    steps s = {{0}};
    for (int32_t d = 0; d < t->ndim; d++)
        if (v->kind == BATCH)
            s.along[1] = t->strides[0];
        else if (is_row(v, d))
            s.along[d] = t->strides[d];
    return s;
}

/* Of a weight: layer_norm's have the last dimensions, others the channels. */
static steps weight_steps(const view *v, const dl_tensor *t) {
    steps s = {{0}};
    if (!t) return s;
    for (int32_t d = 0; d < t->ndim && v->kind == LAYER; d++) s.along[v->ndim - v->dims + d] = t->strides[d];
    if (v->kind == BATCH) s.along[1] = t->strides[0];
    if (v->kind == GROUP) s.along[2] = t->strides[0], s.along[1] = t->strides[0] * v->width;
    return s;
}

/* The dimensions that `which` takes, or those it does not, with the n operands' steps. */
static dl_status make_loop(simt_loop *l, const view *v, int (*which)(const view *, int32_t), int taken, int32_t n,
                           const steps *operands) {
    simt_loop_begin(l);
    for (int32_t d = 0; d < v->ndim; d++) {
        int64_t at[SIMT_LOOP_OPERANDS] = {0};
        if (which(v, d) != taken) continue;
        for (int32_t k = 0; k < n; k++) at[k] = operands[k].along[d];
        simt_loop_dim(l, v->size[d], at);
    }
    return simt_loop_check(l);
}

static simt_team team_for(const simt_loop *rows, const simt_loop *within) {
    const int64_t between = rows->ndim ? rows->step[0][rows->ndim - 1] : 0;
    const int64_t along = within->ndim ? within->step[0][within->ndim - 1] : 0;
    return simt_team_of(rows->count, within->count, rows->ndim > 0 && between < along);
}

/* Weights that depend on the row. */
static norm_options options_of(const view *v, const dl_tensor *weight, const dl_tensor *bias) {
    norm_options o = {.weighted = weight != NULL, .biased = bias != NULL, .weight_rows = 1};
    if (v->kind == LAYER) return o;
    const int64_t width = v->kind == GROUP ? v->width : 1, rows = v->kind == GROUP ? v->groups : v->size[1];
    o.weight_rows = rows > 0 ? rows : 1;
    if (weight) o.weight_step = weight->strides[0] * width;
    if (bias) o.bias_step = bias->strides[0] * width;
    return o;
}

/* ---- forward ------------------------------------------------------------------------------------------------------------ */

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    const dl_dtype mean = f->out[1]->type;
    const dl_tensor *running_mean = f->n_in > 3 ? f->in[3] : NULL, *running_var = f->n_in > 3 ? f->in[4] : NULL;
    const simt_wanted wanted[] = {
        {"norm_forward",
         4,
         {f->in[0]->type, mean, running_mean ? running_mean->type : mean, running_var ? running_var->type : mean}}};
    return simt_plan(f, plan, text_norm_cl, wanted, 1);
}

/* A running statistic of batch_norm: its step, and whether it moves. */
static void follow(const dl_tensor *t, int moving, int64_t *step, int64_t *moves) {
    *step = t ? t->strides[0] : 0;
    *moves = t && moving;
}

static dl_status forward(const dl_frame *f, const dl_plan *plan, const view *v, norm_options o, double momentum) {
    const dl_tensor *x = f->in[0], *out = f->out[0];
    const dl_tensor *running_mean = v->kind == BATCH ? f->in[3] : NULL, *running_var = v->kind == BATCH ? f->in[4] : NULL;
    const steps of_rows[] = {steps_of(v, x), steps_of(v, out), statistic_steps(v, f->out[1]), statistic_steps(v, f->out[2])};
    const steps of_elements[] = {of_rows[0], of_rows[1], weight_steps(v, f->in[1]), weight_steps(v, f->in[2])};
    simt_loop rows, within;
    simt_args a = {0};
    dl_status status = make_loop(&rows, v, is_row, 1, 4, of_rows);
    if (status == DL_OK) status = make_loop(&within, v, is_row, 0, 4, of_elements);
    if (status != DL_OK) return status;
    follow(running_mean, momentum > 0, &o.mean_step, &o.moves_mean);
    follow(running_var, momentum > 0, &o.var_step, &o.moves_var);
    const simt_team team = team_for(&rows, &within);
    const double n = (double)within.count;
    const dl_tensor *const buffers[] = {x, f->in[1], f->in[2], running_mean, running_var, out, f->out[1], f->out[2]};
    for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++) simt_buffer(&a, buffers[k]);
    simt_struct(&a, &rows, sizeof rows);
    simt_struct(&a, &within, sizeof within);
    simt_struct(&a, &o, sizeof o);
    simt_scalar(&a, x->type, f->attr[1].v.f);
    simt_scalar(&a, x->type, momentum);
    simt_scalar(&a, x->type, n / (n - 1)); /* as of a sample, not of all there is */
    simt_struct(&a, &team, sizeof team);
    return simt_launch_teams(f, simt_planned(plan, 0), team, rows.count, &a);
}

static dl_status run_layer_norm(const dl_frame *f, const dl_plan *plan) {
    const view v = view_of(LAYER, f->in[0], f->attr[0].v.i);
    norm_options o = options_of(&v, f->in[1], f->in[2]);
    o.rms = f->attr[2].v.i != 0;
    return forward(f, plan, &v, o, 0);
}
static dl_status run_group_norm(const dl_frame *f, const dl_plan *plan) {
    const view v = view_of(GROUP, f->in[0], f->attr[0].v.i);
    return forward(f, plan, &v, options_of(&v, f->in[1], f->in[2]), 0);
}
static dl_status run_batch_norm(const dl_frame *f, const dl_plan *plan) {
    const view v = view_of(BATCH, f->in[0], 0);
    norm_options o = options_of(&v, f->in[1], f->in[2]);
    o.fixed = f->attr[0].v.i == 0;
    return forward(f, plan, &v, o, o.fixed ? 0 : f->attr[2].v.f);
}

/* ---- backward ----------------------------------------------------------------------------------------------------------- */

enum { TOWARDS_X, TOWARDS_WEIGHTS };

static dl_status prepare_backward(const dl_frame *f, dl_plan *plan) {
    const dl_dtype type = f->in[1]->type, mean = f->in[3]->type;
    const simt_wanted wanted[] = {[TOWARDS_X] = {"norm_backward", 4, {type, mean, mean, mean}},
                                  [TOWARDS_WEIGHTS] = {"norm_affine", 4, {type, mean, mean, mean}}};
    return simt_plan(f, plan, text_norm_cl, wanted, 2);
}

static dl_status towards_weights(const dl_frame *f, const dl_plan *plan, const view *v) {
    const dl_tensor *grad = f->in[0], *x = f->in[1];
    const steps operands[] = {steps_of(v, x),
                              steps_of(v, grad),
                              statistic_steps(v, f->in[3]),
                              statistic_steps(v, f->in[4]),
                              weight_steps(v, f->out[1]),
                              weight_steps(v, f->out[2])};
    simt_loop kept, over;
    simt_args a = {0};
    dl_status status = make_loop(&kept, v, is_weight, 1, 6, operands);
    if (status == DL_OK) status = make_loop(&over, v, is_weight, 0, 4, operands);
    if (status != DL_OK) return status;
    const simt_team team = team_for(&kept, &over);
    const dl_tensor *const buffers[] = {grad, x, f->in[3], f->in[4], f->out[1], f->out[2]};
    for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++) simt_buffer(&a, buffers[k]);
    simt_struct(&a, &kept, sizeof kept);
    simt_struct(&a, &over, sizeof over);
    simt_scalar(&a, x->type, f->attr[1].v.f);
    simt_struct(&a, &team, sizeof team);
    return simt_launch_teams(f, simt_planned(plan, TOWARDS_WEIGHTS), team, kept.count, &a);
}

static dl_status backward(const dl_frame *f, const dl_plan *plan, const view *v, int rms, int fixed) {
    const dl_tensor *grad = f->in[0], *x = f->in[1], *weight = f->in[2];
    const steps of_rows[] = {steps_of(v, x), steps_of(v, grad), steps_of(v, f->out[0]), statistic_steps(v, f->in[3]),
                             statistic_steps(v, f->in[4])};
    const steps of_elements[] = {of_rows[0], of_rows[1], of_rows[2], weight_steps(v, weight)};
    norm_options o = options_of(v, weight, NULL);
    simt_loop rows, within;
    simt_args a = {0};
    o.rms = rms, o.fixed = fixed;
    dl_status status = make_loop(&rows, v, is_row, 1, 5, of_rows);
    if (status == DL_OK) status = make_loop(&within, v, is_row, 0, 4, of_elements);
    if (status != DL_OK) return status;
    const simt_team team = team_for(&rows, &within);
    for (int k = 0; k < 5; k++) simt_buffer(&a, f->in[k]);
    simt_buffer(&a, f->out[0]);
    simt_struct(&a, &rows, sizeof rows);
    simt_struct(&a, &within, sizeof within);
    simt_struct(&a, &o, sizeof o);
    simt_scalar(&a, x->type, f->attr[1].v.f);
    simt_struct(&a, &team, sizeof team);
    status = simt_launch_teams(f, simt_planned(plan, TOWARDS_X), team, rows.count, &a);
    return status == DL_OK && f->attr[2].v.i != 0 ? towards_weights(f, plan, v) : status;
}

static dl_status run_layer_norm_backward(const dl_frame *f, const dl_plan *plan) {
    const view v = view_of(LAYER, f->in[1], f->attr[0].v.i);
    return backward(f, plan, &v, f->attr[3].v.i != 0, 0);
}
static dl_status run_group_norm_backward(const dl_frame *f, const dl_plan *plan) {
    const view v = view_of(GROUP, f->in[1], f->attr[0].v.i);
    return backward(f, plan, &v, 0, 0);
}
static dl_status run_batch_norm_backward(const dl_frame *f, const dl_plan *plan) {
    const view v = view_of(BATCH, f->in[1], 0);
    return backward(f, plan, &v, 0, f->attr[0].v.i == 0);
}

dl_status simt_register_norm(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("layer_norm", prepare, run_layer_norm),
        SIMT_KERNEL("group_norm", prepare, run_group_norm),
        SIMT_KERNEL("batch_norm", prepare, run_batch_norm),
        SIMT_KERNEL("layer_norm_backward", prepare_backward, run_layer_norm_backward),
        SIMT_KERNEL("group_norm_backward", prepare_backward, run_group_norm_backward),
        SIMT_KERNEL("batch_norm_backward", prepare_backward, run_batch_norm_backward),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
