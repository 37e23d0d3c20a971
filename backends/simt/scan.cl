/* scan.cl - what a line along a dimension has had so far: cumsum, cumprod, cummax, cummin, logcumsumexp.
 *
 * Each item of a team takes a run of the line: it folds its run, then those of the items before it, and goes over its run again
 * with what it starts from. T: the dtype of x, T1: of the result. */
#include "backends/simt/loop.h"

/* This item's run: elements begin..end of the line. */
#define RUN_OF(l, t)                                                                                                           \
    const i64 line = TEAM_NUMBER(t), item = TEAM_ITEM(t), length = line < (l).across.count ? (l).length : 0;                   \
    const i64 share = (length + (t).size - 1) / (t).size, begin = item * share;                                                \
    const i64 end = begin + share < length ? begin + share : length;                                                           \
    const i32 first = (i32)(local_id(0) - item * (t).apart), apart = (i32)(t).apart

/* Operands: x, out. Integers wrap. */
KERNEL void scan_fold(GLOBAL T *x, i64 x_at, GLOBAL T1 *out, i64 out_at, simt_lines l, simt_team t, i32 product) {
    LOCAL A1 room[SIMT_TEAM_GROUP];
    RUN_OF(l, t);
    i64 at[2];
    loop_at(&l.across, line < l.across.count ? line : 0, 2, at);
    const A1 neutral = product ? 1 : 0;
    A1 running = neutral;
    for (i64 i = begin; i < end; i++) {
        const A1 v = (A1)LOAD(x, x_at + at[0] + i * l.step[0]);
        running = product ? running * v : running + v;
    }
    room[local_id(0)] = running;
    BARRIER();
    running = neutral;
    for (i32 k = 0; k < item; k++) running = product ? running * room[first + k * apart] : running + room[first + k * apart];
    for (i64 i = begin; i < end; i++) {
        const A1 v = (A1)LOAD(x, x_at + at[0] + i * l.step[0]);
        running = product ? running * v : running + v;
        STORE1(out, out_at + at[1] + i * l.step[1], running);
    }
}

/* Does v, which comes later, take the place of best? Of equal ones the last counts; NaN stays until another NaN. */
#define TAKES_PLACE(v, best) ((v) != (v) || (largest ? (v) >= (best) : (v) <= (best)))

/* Operands: x, out, places. */
KERNEL void scan_extreme(GLOBAL T *x, i64 x_at, GLOBAL T *out, i64 out_at, GLOBAL i64 *places, i64 places_at, simt_lines l,
                         simt_team t, i32 largest) {
    LOCAL A room[SIMT_TEAM_GROUP];
    LOCAL i64 rooms[SIMT_TEAM_GROUP];
    RUN_OF(l, t);
    i64 at[3], place = -1; /* -1: nothing yet */
    loop_at(&l.across, line < l.across.count ? line : 0, 3, at);
    A best = 0;
    for (i64 i = begin; i < end; i++) {
        const A v = LOAD(x, x_at + at[0] + i * l.step[0]);
        if (place < 0 || TAKES_PLACE(v, best)) {
            best = v;
            place = i;
        }
    }
    room[local_id(0)] = best;
    rooms[local_id(0)] = place;
    BARRIER();
    place = -1;
    for (i32 k = 0; k < item; k++) {
        const A v = room[first + k * apart];
        if (rooms[first + k * apart] >= 0 && (place < 0 || TAKES_PLACE(v, best))) {
            best = v;
            place = rooms[first + k * apart];
        }
    }
    for (i64 i = begin; i < end; i++) {
        const A v = LOAD(x, x_at + at[0] + i * l.step[0]);
        if (place < 0 || TAKES_PLACE(v, best)) {
            best = v;
            place = i;
        }
        STORE(out, out_at + at[1] + i * l.step[1], best);
        places[places_at + at[2] + i * l.step[2]] = place;
    }
}

#if T_FLOATING
/* A sum of exponentials: sum * exp(most). */
typedef struct exponentials {
    A most, sum;
} exponentials;

/* Infinities have no difference: the others are 0 beside +inf, and exp(-inf) is. */
DEVICE exponentials joined(exponentials a, exponentials b) {
    exponentials s;
    s.most = JOIN_MAX(a.most, b.most);
    s.sum = (a.most == s.most ? a.sum : a.most == -(A)INF_F32 || s.most == (A)INF_F32 ? 0 : a.sum * exp(a.most - s.most)) +
            (b.most == s.most ? b.sum : b.most == -(A)INF_F32 || s.most == (A)INF_F32 ? 0 : b.sum * exp(b.most - s.most));
    return s;
}

/* Operands: x, out. */
KERNEL void scan_exponentials(GLOBAL T *x, i64 x_at, GLOBAL T *out, i64 out_at, simt_lines l, simt_team t) {
    LOCAL A most[SIMT_TEAM_GROUP];
    LOCAL A sums[SIMT_TEAM_GROUP];
    RUN_OF(l, t);
    i64 at[2];
    loop_at(&l.across, line < l.across.count ? line : 0, 2, at);
    exponentials running, v;
    running.most = -(A)INF_F32;
    running.sum = 0;
    v.sum = 1;
    for (i64 i = begin; i < end; i++) {
        v.most = LOAD(x, x_at + at[0] + i * l.step[0]);
        running = joined(running, v);
    }
    most[local_id(0)] = running.most;
    sums[local_id(0)] = running.sum;
    BARRIER();
    running.most = -(A)INF_F32;
    running.sum = 0;
    for (i32 k = 0; k < item; k++) {
        exponentials before;
        before.most = most[first + k * apart];
        before.sum = sums[first + k * apart];
        running = joined(running, before);
    }
    for (i64 i = begin; i < end; i++) {
        v.most = LOAD(x, x_at + at[0] + i * l.step[0]);
        running = joined(running, v);
        STORE(out, out_at + at[1] + i * l.step[1], running.most + log(running.sum));
    }
}
#endif
