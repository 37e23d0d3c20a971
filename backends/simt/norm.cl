/* norm.cl - layer_norm, group_norm and batch_norm, and their gradients, all in one form: rows with statistics of their own, and
 * the elements within a row. norm.c says what the rows of each op are.
 *
 * T: the dtype of x; T1: of mean and var (float32 for halves); T2, T3: of the running mean and variance. */
#include "backends/simt/loop.h"
#include "backends/simt/norm.h"


/* rows: x, out, mean, var; within: x, out, weight, bias. running = (1 - momentum) running + momentum factor batch. */
KERNEL void norm_forward(GLOBAL T *x, i64 x_at, GLOBAL T *weight, i64 weight_at, GLOBAL T *bias, i64 bias_at,
                         GLOBAL T2 *running_mean, i64 running_mean_at, GLOBAL T3 *running_var, i64 running_var_at,
                         GLOBAL T *out, i64 out_at, GLOBAL T1 *mean, i64 mean_at, GLOBAL T1 *var, i64 var_at, simt_loop rows,
                         simt_loop within, norm_options o, A eps, A momentum, A factor, simt_team t) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const i64 row = TEAM_NUMBER(t), item = TEAM_ITEM(t);
    const i32 active = row < rows.count;
    const i64 count = active ? within.count : 0, weights = row % o.weight_rows;
    i64 start[4], at[4];
    loop_at(&rows, active ? row : 0, 4, start);
    const i64 own = o.fixed ? 0 : count; /* barriers stand outside conditions, which some compilers need */
    A m = 0, v = 0, sum = 0, squares = 0;
    for (i64 i = item; !o.rms && i < own; i += t.size) {
        loop_at(&within, i, 1, at);
        sum += LOAD(x, x_at + start[0] + at[0]);
    }
    TEAM_JOIN(t, room, sum, JOIN_SUM);
    if (!o.rms) m = sum / (A)within.count;
    sum = 0;
    for (i64 i = item; i < own; i += t.size) {
        loop_at(&within, i, 1, at);
        const A d = LOAD(x, x_at + start[0] + at[0]) - m;
        sum += d;
        squares += d * d;
    }
    TEAM_JOIN(t, room, sum, JOIN_SUM);
    TEAM_JOIN(t, room, squares, JOIN_SUM);
    v = squares / (A)within.count;
    if (!o.rms) { /* what rounding has left of the sum of deviations belongs to the mean */
        const A off = sum / (A)within.count;
        m += off;
        v -= off * off;
        if (v < 0) v = 0;
    }
    if (o.fixed && active) {
        m = (A)LOAD2(running_mean, running_mean_at + row * o.mean_step);
        v = (A)LOAD3(running_var, running_var_at + row * o.var_step);
    }
    const A rstd = 1 / sqrt(v + eps);
    for (i64 i = item; i < count; i += t.size) {
        loop_at(&within, i, 4, at);
        A y = (LOAD(x, x_at + start[0] + at[0]) - m) * rstd;
        if (o.weighted) y *= LOAD(weight, weight_at + weights * o.weight_step + at[2]);
        if (o.biased) y += LOAD(bias, bias_at + weights * o.bias_step + at[3]);
        STORE(out, out_at + start[1] + at[1], y);
    }
    if (!active || item != 0) return;
    STORE1(mean, mean_at + start[2], m);
    STORE1(var, var_at + start[3], v);
    if (o.moves_mean) {
        const i64 place = running_mean_at + row * o.mean_step;
        STORE2(running_mean, place, (A2)((1 - momentum) * (A)LOAD2(running_mean, place) + momentum * m));
    }
    if (o.moves_var) {
        const i64 place = running_var_at + row * o.var_step;
        STORE3(running_var, place, (A3)((1 - momentum) * (A)LOAD3(running_var, place) + momentum * factor * v));
    }
}

/* The gradient towards x. rows: x, grad, out, mean, var; within: x, grad, out, weight. */
KERNEL void norm_backward(GLOBAL T *grad, i64 grad_at, GLOBAL T *x, i64 x_at, GLOBAL T *weight, i64 weight_at, GLOBAL T1 *mean,
                          i64 mean_at, GLOBAL T1 *var, i64 var_at, GLOBAL T *out, i64 out_at, simt_loop rows, simt_loop within,
                          norm_options o, A eps, simt_team t) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const i64 row = TEAM_NUMBER(t), item = TEAM_ITEM(t);
    const i32 active = row < rows.count;
    const i64 count = active ? within.count : 0, weights = weight_at + row % o.weight_rows * o.weight_step;
    i64 start[5], at[4];
    loop_at(&rows, active ? row : 0, 5, start);
    A m = 0, rstd = 0, of_g = 0, of_gx = 0;
    if (active) {
        m = (A)LOAD1(mean, mean_at + start[3]);
        rstd = 1 / sqrt((A)LOAD1(var, var_at + start[4]) + eps);
    }
    for (i64 i = item; !o.fixed && i < count; i += t.size) {
        loop_at(&within, i, 4, at);
        A g = LOAD(grad, grad_at + start[1] + at[1]);
        if (o.weighted) g *= LOAD(weight, weights + at[3]);
        of_g += g;
        of_gx += g * (LOAD(x, x_at + start[0] + at[0]) - m);
    }
    TEAM_JOIN(t, room, of_g, JOIN_SUM);
    TEAM_JOIN(t, room, of_gx, JOIN_SUM);
    const A n = (A)within.count, shift = o.fixed || o.rms ? 0 : rstd * of_g / n;
    const A slope = o.fixed ? 0 : rstd * rstd * rstd * of_gx / n;
    for (i64 i = item; i < count; i += t.size) {
        loop_at(&within, i, 4, at);
        A g = LOAD(grad, grad_at + start[1] + at[1]);
        if (o.weighted) g *= LOAD(weight, weights + at[3]);
        STORE(out, out_at + start[2] + at[2], g * rstd - shift - (LOAD(x, x_at + start[0] + at[0]) - m) * slope);
    }
}

/* The gradients towards weight and bias, a team to each of their elements. kept: x, grad, mean, var, to_weight, to_bias; over:
 * x, grad, mean, var. */
KERNEL void norm_affine(GLOBAL T *grad, i64 grad_at, GLOBAL T *x, i64 x_at, GLOBAL T1 *mean, i64 mean_at, GLOBAL T1 *var,
                        i64 var_at, GLOBAL T *to_weight, i64 to_weight_at, GLOBAL T *to_bias, i64 to_bias_at, simt_loop kept,
                        simt_loop over, A eps, simt_team t) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const i64 number = TEAM_NUMBER(t), item = TEAM_ITEM(t);
    const i32 active = number < kept.count;
    const i64 count = active ? over.count : 0;
    i64 start[6], at[4];
    loop_at(&kept, active ? number : 0, 6, start);
    A of_g = 0, of_gx = 0;
    for (i64 i = item; i < count; i += t.size) {
        loop_at(&over, i, 4, at);
        const A g = LOAD(grad, grad_at + start[1] + at[1]), m = (A)LOAD1(mean, mean_at + start[2] + at[2]);
        const A rstd = 1 / sqrt((A)LOAD1(var, var_at + start[3] + at[3]) + eps);
        of_g += g;
        of_gx += g * (LOAD(x, x_at + start[0] + at[0]) - m) * rstd;
    }
    TEAM_JOIN(t, room, of_g, JOIN_SUM);
    TEAM_JOIN(t, room, of_gx, JOIN_SUM);
    if (!active || item != 0) return;
    STORE(to_weight, to_weight_at + start[4], of_gx);
    STORE(to_bias, to_bias_at + start[5], of_g);
}
