/* copy.cl - cat, tril, triu. */
#include "backends/simt/loop.h"

/* Operands: out (T), x (T1), converted. */
KERNEL void part(GLOBAL T *out, i64 out_at, GLOBAL T1 *x, i64 x_at, simt_loop l) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[2];
        loop_at(&l, i, 2, at);
        STORE(out, out_at + at[0], (A)LOAD1(x, x_at + at[1]));
    }
}

/* The triangle of matrices, whose dimensions are the last two: columns - rows at least `diagonal` (upper) or at most. */
KERNEL void triangle(GLOBAL T *out, i64 out_at, GLOBAL T *x, i64 x_at, simt_loop l, i64 rows, i64 columns, i64 diagonal,
                     i32 upper) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        const i64 rest = i / columns, off = i - rest * columns - rest % rows;
        i64 at[2];
        loop_at(&l, i, 2, at);
        const i32 inside = upper ? off >= diagonal : off <= diagonal;
        out[out_at + at[0]] = inside ? x[x_at + at[1]] : (T)0;
    }
}
