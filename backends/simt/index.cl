/* index.cl - moving elements by index. T: the elements' dtype, T1: the index's.
 *
 * An index out of range is reported and its element is 0 (taking) or not written (putting). Where indices may repeat, one work
 * item takes all of a line along the dimension in order, so the last write wins and sums do not depend on the device. */
#include "backends/simt/loop.h"
#include "backends/simt/index.h"

#define OUTSIDE(index, limit, fault, fault_at)                                                                                 \
    ((index) < 0 || (index) >= (limit) ? (fault_set(fault + fault_at, DL_FAULT_INDEX, index), 1) : 0)

/* Operands: out, index, x with step 0 along the dimension that the index steps through, `along` apart. */
KERNEL void take(GLOBAL T *out, i64 out_at, GLOBAL T1 *index, i64 index_at, GLOBAL T *x, i64 x_at, GLOBAL i32 *fault,
                 i64 fault_at, simt_loop l, i64 along, i64 limit) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[3];
        loop_at(&l, i, 3, at);
        const i64 from = (i64)LOAD1(index, index_at + at[1]);
        out[out_at + at[0]] = OUTSIDE(from, limit, fault, fault_at) ? (T)0 : x[x_at + at[2] + from * along];
    }
}

/* Operands: out, x. has_x 0: zeros. */
KERNEL void start(GLOBAL T *out, i64 out_at, GLOBAL T *x, i64 x_at, simt_loop l, i32 has_x) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[2];
        loop_at(&l, i, 2, at);
        out[out_at + at[0]] = has_x ? x[x_at + at[1]] : (T)0;
    }
}

/* Lines: out, index, src. */
#define EACH_PLACE(BODY)                                                                                                       \
    for (i64 n = global_id(0); n < across.count * s.blocks; n += global_size(0)) {                                             \
        const i64 block = n / across.count, share = (s.limit + s.blocks - 1) / s.blocks, low = block * share;                  \
        const i64 high = low + share < s.limit ? low + share : s.limit;                                                        \
        i64 at[3];                                                                                                             \
        loop_at(&across, n - block * across.count, 3, at);                                                                     \
        for (i64 k = 0; k < s.length; k++) {                                                                                   \
            const i64 place = (i64)LOAD1(index, index_at + at[1] + k * s.index_step);                                          \
            if (block == 0 && OUTSIDE(place, s.limit, fault, fault_at)) continue;                                              \
            if (place < low || place >= high) continue;                                                                        \
            const i64 to = out_at + at[0] + place * s.out_step;                                                                \
            BODY                                                                                                               \
        }                                                                                                                      \
    }

KERNEL void put(GLOBAL T *out, i64 out_at, GLOBAL T1 *index, i64 index_at, GLOBAL T *src, i64 src_at, GLOBAL i32 *fault,
                i64 fault_at, simt_loop across, put_shape s) {
    EACH_PLACE(out[to] = src[src_at + at[2] + k * s.src_step];)
}

KERNEL void put_sum(GLOBAL T *out, i64 out_at, GLOBAL T1 *index, i64 index_at, GLOBAL T *src, i64 src_at, GLOBAL i32 *fault,
                    i64 fault_at, simt_loop across, put_shape s) {
    EACH_PLACE(STORE(out, to, (A)(LOAD(out, to) + LOAD(src, src_at + at[2] + k * s.src_step)));)
}

KERNEL void put_value(GLOBAL T *out, i64 out_at, GLOBAL T1 *index, i64 index_at, GLOBAL i32 *fault, i64 fault_at,
                      simt_loop across, put_shape s, T_NUMBER value) {
    EACH_PLACE(STORE(out, to, FROM_I64(value));)
}

/* Operands: out, index with step 0 along the classes, which are the last dimension. */
KERNEL void one_hot(GLOBAL T *out, i64 out_at, GLOBAL T1 *index, i64 index_at, GLOBAL i32 *fault, i64 fault_at, simt_loop l,
                    i64 classes) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[2];
        loop_at(&l, i, 2, at);
        const i64 hot = (i64)LOAD1(index, index_at + at[1]), number = i % classes;
        if (number == 0 && OUTSIDE(hot, classes, fault, fault_at)) { /* reported once; no place is hot */
        }
        STORE(out, out_at + at[0], FROM_I64(hot == number));
    }
}
