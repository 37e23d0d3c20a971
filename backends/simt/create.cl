/* create.cl - tensors made from numbers alone. Loops over the output in logical order; operand 0 is the output. */
#include "backends/simt/loop.h"

KERNEL void full(GLOBAL T *out, i64 out_at, simt_loop l, T_NUMBER value) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[1];
        loop_at(&l, i, 1, at);
        STORE(out, out_at + at[0], FROM_I64(value));
    }
}

KERNEL void eye(GLOBAL T *out, i64 out_at, simt_loop l, i64 columns) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[1];
        loop_at(&l, i, 1, at);
        STORE(out, out_at + at[0], FROM_I64(i / columns == i % columns));
    }
}

/* The sequence in integers. */
KERNEL void arange_whole(GLOBAL T *out, i64 out_at, simt_loop l, i64 start, i64 step) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[1];
        loop_at(&l, i, 1, at);
        STORE(out, out_at + at[0], FROM_I64((i64)((u64)start + (u64)step * (u64)i)));
    }
}

/* The widest floating type of the device. */
#if DL_F64
#define REAL f64
#else
#define REAL f32
#endif

#if T_FLOATING
#define FROM_REAL(v) ((A)(v))
#elif defined(T_IS_bool)
#define FROM_REAL(v) ((A)((v) != 0))
#else
DEVICE i64 saturated(REAL v, i64 lowest, i64 highest) {
    if (v != v) return 0;
    if (v <= (REAL)lowest) return lowest;
    return v >= (REAL)highest ? highest : (i64)v;
}
#if defined(T_IS_u8)
#define FROM_REAL(v) ((A)saturated(v, 0, 255))
#else
#define LOWEST (-1 - HIGHEST)
#define HIGHEST (0x7fffffffffffffff >> (64 - 8 * sizeof(T)))
#define FROM_REAL(v) ((A)saturated(v, LOWEST, HIGHEST))
#endif
#endif

/* The sequence in floating point; start and step twice: the bits of float64, and as float32 for devices without it. */
KERNEL void arange(GLOBAL T *out, i64 out_at, simt_loop l, i64 start_bits, i64 step_bits, f32 start32, f32 step32) {
#if DL_F64
    const REAL start = as_f64(start_bits), step = as_f64(step_bits);
#else
    const REAL start = start32, step = step32;
#endif
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[1];
        loop_at(&l, i, 1, at);
        STORE(out, out_at + at[0], FROM_REAL(start + step * (REAL)i));
    }
}
