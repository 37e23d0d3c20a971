/* arg.cl - where the extremes are: a team to each result. The first of equal ones counts; NaN is more extreme than any number. */
#include "backends/simt/loop.h"

/* Is (v, i) to be preferred to (best, place)? place < 0: nothing yet. */
#define BETTER(v, i, best, place)                                                                                              \
    ((place) < 0 || ((v) != (v) ? (best) == (best) || (i) < (place)                                                            \
                                : (largest ? (v) > (best) : (v) < (best)) || ((v) == (best) && (i) < (place))))

/* kept: x, values, places; over: x, its elements in the order in which they are counted. values: not everywhere wanted. */
KERNEL void extreme(GLOBAL T *x, i64 x_at, GLOBAL T *values, i64 values_at, GLOBAL i64 *places, i64 places_at, simt_loop kept,
                    simt_loop over, simt_team t, i32 largest, i32 has_values) {
    LOCAL A room[SIMT_TEAM_GROUP];
    LOCAL i64 rooms[SIMT_TEAM_GROUP];
    const i64 number = TEAM_NUMBER(t), item = TEAM_ITEM(t), count = number < kept.count ? over.count : 0;
    const i32 here = local_id(0), apart = (i32)t.apart;
    i64 start[3], at[1], place = -1;
    loop_at(&kept, number < kept.count ? number : 0, 3, start);
    A best = 0;
    for (i64 i = item; i < count; i += t.size) {
        loop_at(&over, i, 1, at);
        const A v = LOAD(x, x_at + start[0] + at[0]);
        if (BETTER(v, i, best, place)) {
            best = v;
            place = i;
        }
    }
    room[here] = best;
    rooms[here] = place;
    BARRIER();
    for (i32 half_team = (i32)t.size / 2; half_team > 0; half_team /= 2) {
        const i32 there = here + half_team * apart;
        if (item < half_team && rooms[there] >= 0 && BETTER(room[there], rooms[there], room[here], rooms[here])) {
            room[here] = room[there];
            rooms[here] = rooms[there];
        }
        BARRIER();
    }
    if (count == 0 || item != 0) return;
    place = rooms[here];
    places[places_at + start[2]] = place;
    if (!has_values) return;
    loop_at(&over, place, 1, at);
    values[values_at + start[1]] = x[x_at + start[0] + at[0]];
}
