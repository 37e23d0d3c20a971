/* mask.cl - masked_select, masked_scatter, nonzero: elements in logical order. A tensor is cut into segments, a work item to
 * each, which counts its elements; a scan of the counts says where each segment's go.
 *
 * T: the elements' dtype, T1: the mask's. */
#include "backends/simt/loop.h"
#include "backends/simt/mask.h"

/* First element behind segment s of n. */
#define SEGMENT(s, n, segments) ((n) / (segments) * (s) + ((s) < (n) % (segments) ? (s) : (n) % (segments)))

/* Operands: mask. */
KERNEL void mask_count(GLOBAL T1 *mask, i64 mask_at, GLOBAL i64 *counts, i64 counts_at, simt_loop l, i64 segments) {
    for (i64 s = global_id(0); s < segments; s += global_size(0)) {
        const i64 end = SEGMENT(s + 1, l.count, segments);
        i64 count = 0;
        for (i64 i = SEGMENT(s, l.count, segments); i < end; i++) {
            i64 at[1];
            loop_at(&l, i, 1, at);
            count += LOAD1(mask, mask_at + at[0]) != 0;
        }
        counts[counts_at + s] = count;
    }
}

/* One work group: counts become the sums of those before them, and counts[segments] the sum of all. A sum above `most` is
 * reported. */
KERNEL void mask_scan(GLOBAL i64 *counts, i64 counts_at, i64 segments, GLOBAL i32 *fault, i64 fault_at, i64 most) {
    LOCAL i64 sums[SIMT_TEAM_GROUP];
    const i64 item = local_id(0), begin = SEGMENT(item, segments, SIMT_TEAM_GROUP);
    const i64 end = SEGMENT(item + 1, segments, SIMT_TEAM_GROUP);
    i64 sum = 0, before = 0;
    for (i64 s = begin; s < end; s++) sum += counts[counts_at + s];
    sums[item] = sum;
    BARRIER();
    for (i64 k = 0; k < item; k++) before += sums[k];
    for (i64 s = begin; s < end; s++) {
        const i64 count = counts[counts_at + s];
        counts[counts_at + s] = before;
        before += count;
    }
    if (item != SIMT_TEAM_GROUP - 1) return;
    counts[counts_at + segments] = before;
    if (before > most) fault_set(fault + fault_at, DL_FAULT_LENGTH, before);
}

/* Operands: mask, x. The chosen elements one behind the other. */
KERNEL void mask_select(GLOBAL T1 *mask, i64 mask_at, GLOBAL T *x, i64 x_at, GLOBAL T *out, i64 out_at, i64 out_step,
                        GLOBAL i64 *counts, i64 counts_at, simt_loop l, i64 segments) {
    for (i64 s = global_id(0); s < segments; s += global_size(0)) {
        const i64 end = SEGMENT(s + 1, l.count, segments);
        i64 number = counts[counts_at + s];
        for (i64 i = SEGMENT(s, l.count, segments); i < end; i++) {
            i64 at[2];
            loop_at(&l, i, 2, at);
            if (LOAD1(mask, mask_at + at[0]) != 0) out[out_at + number++ * out_step] = x[x_at + at[1]];
        }
    }
}

/* Operands: mask, x, out; src's elements by `from`. Elements that src lacks are 0. */
KERNEL void mask_scatter(GLOBAL T1 *mask, i64 mask_at, GLOBAL T *x, i64 x_at, GLOBAL T *src, i64 src_at, GLOBAL T *out,
                         i64 out_at, GLOBAL i64 *counts, i64 counts_at, simt_loop l, simt_loop from, i64 segments) {
    for (i64 s = global_id(0); s < segments; s += global_size(0)) {
        const i64 end = SEGMENT(s + 1, l.count, segments);
        i64 number = counts[counts_at + s];
        for (i64 i = SEGMENT(s, l.count, segments); i < end; i++) {
            i64 at[3], place[1];
            loop_at(&l, i, 3, at);
            T v = x[x_at + at[1]];
            if (LOAD1(mask, mask_at + at[0]) != 0) {
                v = (T)0;
                if (number < from.count) {
                    loop_at(&from, number, 1, place);
                    v = src[src_at + place[0]];
                }
                number++;
            }
            out[out_at + at[2]] = v;
        }
    }
}

/* Operands: x. A row of indices for each element that is not 0. */
KERNEL void mask_places(GLOBAL T1 *x, i64 x_at, GLOBAL i64 *out, i64 out_at, i64 row_step, i64 column_step, GLOBAL i64 *counts,
                        i64 counts_at, simt_loop l, mask_shape shape, i64 segments) {
    for (i64 s = global_id(0); s < segments; s += global_size(0)) {
        const i64 end = SEGMENT(s + 1, l.count, segments);
        i64 row = out_at + counts[counts_at + s] * row_step;
        for (i64 i = SEGMENT(s, l.count, segments); i < end; i++) {
            i64 at[1], rest = i;
            loop_at(&l, i, 1, at);
            if (LOAD1(x, x_at + at[0]) == 0) continue;
            for (i32 d = (i32)shape.ndim - 1; d >= 0; d--) {
                out[row + d * column_step] = rest % shape.size[d];
                rest /= shape.size[d];
            }
            row += row_step;
        }
    }
}
