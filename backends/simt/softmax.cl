/* softmax.cl - softmax and log_softmax along lines, a team to each, and their gradients. */
#include "backends/simt/loop.h"

/* Operands: x, out. */
KERNEL void softmax(GLOBAL T *x, i64 x_at, GLOBAL T *out, i64 out_at, simt_lines l, simt_team t, i32 logarithm) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const i64 line = TEAM_NUMBER(t), item = TEAM_ITEM(t), length = line < l.across.count ? l.length : 0;
    i64 at[2];
    loop_at(&l.across, line < l.across.count ? line : 0, 2, at);
    A most = -(A)INF_F32, sum = 0;
    for (i64 i = item; i < length; i += t.size) {
        const A v = LOAD(x, x_at + at[0] + i * l.step[0]);
        most = JOIN_MAX(most, v);
    }
    TEAM_JOIN(t, room, most, JOIN_MAX);
    for (i64 i = item; i < length; i += t.size) sum += exp(LOAD(x, x_at + at[0] + i * l.step[0]) - most);
    TEAM_JOIN(t, room, sum, JOIN_SUM);
    const A scale = logarithm ? log(sum) : 1 / sum;
    for (i64 i = item; i < length; i += t.size) {
        const A v = LOAD(x, x_at + at[0] + i * l.step[0]) - most;
        STORE(out, out_at + at[1] + i * l.step[1], logarithm ? v - scale : exp(v) * scale);
    }
}

/* Operands: grad, y (what the forward op gave), out. */
KERNEL void softmax_backward(GLOBAL T *grad, i64 grad_at, GLOBAL T *y, i64 y_at, GLOBAL T *out, i64 out_at, simt_lines l,
                             simt_team t, i32 logarithm) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const i64 line = TEAM_NUMBER(t), item = TEAM_ITEM(t), length = line < l.across.count ? l.length : 0;
    i64 at[3];
    loop_at(&l.across, line < l.across.count ? line : 0, 3, at);
    A sum = 0;
    for (i64 i = item; i < length; i += t.size) {
        const A g = LOAD(grad, grad_at + at[0] + i * l.step[0]);
        sum += logarithm ? g : g * LOAD(y, y_at + at[1] + i * l.step[1]);
    }
    TEAM_JOIN(t, room, sum, JOIN_SUM);
    for (i64 i = item; i < length; i += t.size) {
        const A g = LOAD(grad, grad_at + at[0] + i * l.step[0]), v = LOAD(y, y_at + at[1] + i * l.step[1]);
        STORE(out, out_at + at[2] + i * l.step[2], logarithm ? g - exp(v) * sum : v * (g - sum));
    }
}
