/* sort.cl - stable merge sort of lines along a dimension, by unsigned keys in the order of the values, with places.
 *
 * Lines are cut into blocks that a work group sorts in LOCAL memory; then runs are merged by pairs, twice as long each time. In
 * both an element finds where it goes by its rank in the other run: the elements there that are less than it, and, from the
 * left run's, those equal to it. */
#include "backends/simt/loop.h"
#include "backends/simt/sort.h"

#define LAST_KEY (~(u64)0)

/* All NaN are one key, above every number; -0 is 0. */
#if T_FLOATING
DEVICE u64 key_of(A v) {
    if (v != v) return LAST_KEY;
#ifdef T_IS_f64
    const u64 bits = as_u64(v + 0), sign = (u64)1 << 63;
#else
    const u64 bits = as_u32(v + 0), sign = (u64)1 << 31;
#endif
    return bits & sign ? ~bits & (sign | (sign - 1)) : bits | sign;
}
#elif defined(T_IS_u8) || defined(T_IS_bool)
DEVICE u64 key_of(A v) { return v; }
#else
DEVICE u64 key_of(A v) { return (u64)(i64)v + ((u64)1 << (8 * sizeof(T) - 1)); }
#endif

/* The first of `count` keys from `from` on that is not below key; or, past: that is above it. */
#define RANK(keys, from, count, key, past, result)                                                                             \
    do {                                                                                                                       \
        i64 low_ = 0, high_ = count;                                                                                           \
        while (low_ < high_) {                                                                                                 \
            const i64 middle_ = (low_ + high_) / 2;                                                                            \
            const u64 there_ = keys[(from) + middle_];                                                                         \
            if (there_ < key || (past && there_ == key))                                                                       \
                low_ = middle_ + 1;                                                                                            \
            else                                                                                                               \
                high_ = middle_;                                                                                               \
        }                                                                                                                      \
        result = low_;                                                                                                         \
    } while (0)

/* Lines: x. `width`, a power of two, is the length of a block: a whole line where that is short, and then a group has several. */
KERNEL void sort_blocks(GLOBAL T *x, i64 x_at, GLOBAL u64 *keys, i64 keys_at, GLOBAL u32 *places, i64 places_at, simt_lines l,
                        i64 blocks, i32 width, i32 descending) {
    LOCAL u64 key_room[2 * SORT_GROUP];
    LOCAL u32 place_room[2 * SORT_GROUP];
    const i32 me = local_id(0);
    const i64 unit = GROUP_NUMBER * (SORT_GROUP / width) + me / width, line = unit / blocks;
    const i64 i = unit % blocks * width + me % width; /* in the line */
    const i32 valid = line < l.across.count && i < l.length;
    i64 at[1];
    loop_at(&l.across, valid ? line : 0, 1, at);
    u64 key = LAST_KEY; /* behind a line's end: it stays behind equal keys, since it comes later */
    u32 place = (u32)i;
    if (valid) {
        key = key_of(LOAD(x, x_at + at[0] + i * l.step[0]));
        if (descending) key = ~key;
    }
    key_room[me] = key;
    place_room[me] = place;
    BARRIER();
    i32 side = 0;
    for (i32 run = 1; run < width; run *= 2) {
        const i32 right = (me / run) & 1, from = me / run * run, sibling = side + (right ? from - run : from + run);
        i64 rank;
        key = key_room[side + me];
        place = place_room[side + me];
        RANK(key_room, sibling, run, key, right, rank);
        const i32 to = SORT_GROUP - side + (right ? from - run : from) + (me - from) + (i32)rank;
        key_room[to] = key;
        place_room[to] = place;
        side = SORT_GROUP - side;
        BARRIER();
    }
    if (!valid) return;
    keys[keys_at + line * l.length + i] = key_room[side + me];
    places[places_at + line * l.length + i] = place_room[side + me];
}

/* Runs of `run` sorted elements become runs of twice that; n: a line's length, count: of all. */
KERNEL void sort_merge(GLOBAL u64 *keys, i64 keys_at, GLOBAL u32 *places, i64 places_at, GLOBAL u64 *to_keys, i64 to_keys_at,
                       GLOBAL u32 *to_places, i64 to_places_at, i64 n, i64 count, i64 run) {
    for (i64 k = global_id(0); k < count; k += global_size(0)) {
        const i64 line = k / n * n, i = k - line, from = i / run * run, left = i / (2 * run) * (2 * run);
        const i32 right = from != left;
        const i64 sibling = right ? left : left + run, end = sibling + run < n ? sibling + run : n;
        const i64 length = end > sibling ? end - sibling : 0;
        const u64 key = keys[keys_at + k];
        i64 rank;
        RANK(keys, keys_at + line + sibling, length, key, right, rank);
        const i64 to = line + left + (i - from) + rank;
        to_keys[to_keys_at + to] = key;
        to_places[to_places_at + to] = places[places_at + k];
    }
}

/* Values keep the sign of a zero and the bits of a NaN: they are copied from x by their places. */
#define PUT(i, k)                                                                                                              \
    {                                                                                                                          \
        const i64 place = sorted[sorted_at + line * l.length + (k)];                                                           \
        values[values_at + at[1] + (i) * l.step[1]] = x[x_at + at[0] + place * l.step[0]];                                     \
        places[places_at + at[2] + (i) * l.step[2]] = place;                                                                   \
    }

/* Lines: x, values, places. The first `taken` of each line. */
KERNEL void sort_store(GLOBAL T *x, i64 x_at, GLOBAL T *values, i64 values_at, GLOBAL i64 *places, i64 places_at,
                       GLOBAL u32 *sorted, i64 sorted_at, simt_lines l, i64 taken) {
    for (i64 n = global_id(0); n < l.across.count * taken; n += global_size(0)) {
        const i64 line = n / taken, i = n - line * taken;
        i64 at[3];
        loop_at(&l.across, line, 3, at);
        PUT(i, i)
    }
}

/* Lines: x, values, places. One element of each line: number `rank`; the median; or the most frequent. */
KERNEL void sort_choose(GLOBAL T *x, i64 x_at, GLOBAL T *values, i64 values_at, GLOBAL i64 *places, i64 places_at,
                        GLOBAL u64 *keys, i64 keys_at, GLOBAL u32 *sorted, i64 sorted_at, simt_lines l, i32 which, i64 rank) {
    for (i64 line = global_id(0); line < l.across.count; line += global_size(0)) {
        const i64 from = keys_at + line * l.length;
        i64 at[3], chosen = rank;
        loop_at(&l.across, line, 3, at);
        if (which == SORT_MEDIAN) {
            const u64 last = LAST_KEY;
            chosen = (l.length - 1) / 2;
            if (T_FLOATING && keys[from + l.length - 1] == last) RANK(keys, from, l.length, last, 0, chosen);
        } else if (which == SORT_MODE) {
            i64 most = 0, first = 0;
            for (i64 i = 0; i < l.length; i++) {
                if (i + 1 < l.length && keys[from + i + 1] == keys[from + i]) continue;
                if (i + 1 - first > most) {
                    most = i + 1 - first;
                    chosen = i;
                }
                first = i + 1;
            }
        }
        PUT(0, chosen)
    }
}
