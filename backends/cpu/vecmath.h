/* vecmath.h - the scalar functions of pointwise programs, dl_<opcode>_<type>, written so that loops over them vectorise at any
 * instruction set: no branches, no tables but one, no library calls where the table below says "vector".
 *
 * Largest errors in units in the last place, over all arguments (tests/core/test_vecmath.c measures them at each
 * instruction set). "vector": inline code; "libm": a call of the C library, which stops a loop from vectorising.
 *
 *              f32                    f64
 *   exp        1.1  vector            1.0  vector
 *   exp2       1.2  vector            1.2  vector
 *   expm1      1.8  vector            2.0  vector
 *   log        1.0  vector            1.0  vector
 *   log2       2.2  vector            2.2  vector
 *   log1p      1.5  vector            1.5  vector
 *   tanh       2.5  vector            2.5  vector
 *   sinh cosh  0.6  vector, via f64   libm
 *   sin cos    0.6  vector, via f64   libm
 *   tan        0.6  vector, via f64   libm
 *   pow        0.6  vector, via f64   libm
 *   erf        1.25 vector            libm
 *   asin acos atan atan2 erfc: libm. floor ceil trunc rint: libm on the baseline, instructions from AVX2 on
 *   lgamma     libm; digamma trigamma: recurrence and asymptotic series in f64, 1e-13 relative away from their zeros
 *
 * NaN gives NaN (but pow(NaN, 0) and pow(1, NaN) are 1, as in C), infinities and denormals are exact limits, -0 is kept by odd
 * functions. The polynomials are tools/minimax.py's. */
#ifndef CPU_VECMATH_H
#define CPU_VECMATH_H
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Past a file's growth limit gcc stops inlining what is merely `inline`, and such a loop is not vectorised. */
#define CPU_INLINE static inline __attribute__((always_inline))

/* ---- bits ----------------------------------------------------------------------------------------------------------- */
#define CPU_BITCAST(to, to_type, from, from_type)                                                                              \
    CPU_INLINE to_type dl_bitcast_##to##_##from(from_type x) {                                                                 \
        to_type y;                                                                                                             \
        memcpy(&y, &x, sizeof y);                                                                                              \
        return y;                                                                                                              \
    }
CPU_BITCAST(f32, float, u32, uint32_t)
CPU_BITCAST(f32, float, i32, int32_t)
CPU_BITCAST(u32, uint32_t, f32, float)
CPU_BITCAST(i32, int32_t, f32, float)
CPU_BITCAST(i32, int32_t, u32, uint32_t)
CPU_BITCAST(u32, uint32_t, i32, int32_t)
CPU_BITCAST(f64, double, i64, int64_t)
CPU_BITCAST(i64, int64_t, f64, double)
CPU_BITCAST(f64, double, u64, uint64_t)
CPU_BITCAST(u64, uint64_t, f64, double)
#undef CPU_BITCAST

/* a * b + c in one rounding where the instruction exists, in two elsewhere. */
#ifdef __FMA__
CPU_INLINE float cpu_mad_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
CPU_INLINE double cpu_mad_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
CPU_INLINE float cpu_mad_f32(float a, float b, float c) { return a * b + c; }
CPU_INLINE double cpu_mad_f64(double a, double b, double c) { return a * b + c; }
#endif

/* ---- f32 ------------------------------------------------------------------------------------------------------------ */
#define R(name) name##_f32
#define REAL float
#define BITS uint32_t
#define TO_BITS dl_bitcast_u32_f32
#define OF_BITS dl_bitcast_f32_u32
#define MANTISSA 23
#define BIAS 127
#define C(f32, f64) f32
#define LIBM(name) name##f
#include "backends/cpu/vecmath_real.h"
#undef R
#undef REAL
#undef BITS
#undef TO_BITS
#undef OF_BITS
#undef MANTISSA
#undef BIAS
#undef C
#undef LIBM

/* ---- f64 ------------------------------------------------------------------------------------------------------------ */
#define R(name) name##_f64
#define REAL double
#define BITS uint64_t
#define TO_BITS dl_bitcast_u64_f64
#define OF_BITS dl_bitcast_f64_u64
#define MANTISSA 52
#define BIAS 1023
#define C(f32, f64) f64
#define LIBM(name) name
#include "backends/cpu/vecmath_real.h"
#undef R
#undef REAL
#undef BITS
#undef TO_BITS
#undef OF_BITS
#undef MANTISSA
#undef BIAS
#undef C
#undef LIBM

#include "backends/cpu/vecmath_special.h"
#include "backends/cpu/vecmath_int.h"
#endif
