/* vecmath_real.h - the functions of vecmath.h that f32 and f64 share; included by it once for each, with
 *   R(name)   the function's name for this type       REAL, BITS   the type and the unsigned integer of its size
 *   MANTISSA, BIAS of its format                      C(f32, f64)  the constant for this type
 *   LIBM(name) the C library's function */

/* Adding SHIFTER rounds a number below 2^(MANTISSA-1) to an integer n and leaves n + BIAS in the low bits of the sum. */
#define SHIFTER (C(0x1.8p23f, 0x1.8p52) + BIAS)
#define LN2_HI C(0x1.62e4p-1f, 0x1.62e42feep-1) /* few enough bits that n * LN2_HI is exact */
#define LN2_LO C(0x1.7f7d1cp-20f, 0x1.a39ef35793c76p-33)
#define LOG2_E C(0x1.715476p0f, 0x1.71547652b82fep0)
#define REAL_INF C(__builtin_inff(), __builtin_inf())
#define REAL_NAN C(__builtin_nanf(""), __builtin_nan(""))

/* ---- rounding, selection -------------------------------------------------------------------------------------------- */
CPU_INLINE REAL R(dl_fma)(REAL a, REAL b, REAL c) { return LIBM(__builtin_fma)(a, b, c); }
CPU_INLINE REAL R(dl_abs)(REAL x) { return LIBM(__builtin_fabs)(x); }
CPU_INLINE REAL R(dl_sqrt)(REAL x) { return LIBM(__builtin_sqrt)(x); }
CPU_INLINE REAL R(dl_floor)(REAL x) { return LIBM(__builtin_floor)(x); }
CPU_INLINE REAL R(dl_ceil)(REAL x) { return LIBM(__builtin_ceil)(x); }
CPU_INLINE REAL R(dl_trunc)(REAL x) { return LIBM(__builtin_trunc)(x); }
CPU_INLINE REAL R(dl_rint)(REAL x) { return LIBM(__builtin_rint)(x); }
CPU_INLINE REAL R(dl_max)(REAL a, REAL b) {
    REAL m = b >= a ? b : a; /* a where a is NaN */
    return b != b ? b : m;
}
CPU_INLINE REAL R(dl_min)(REAL a, REAL b) {
    REAL m = b <= a ? b : a; /* a where a is NaN */
    return b != b ? b : m;
}
/* The exact quotient rounded towards zero: a / b itself may have been rounded up to a whole number that a does not reach. */
CPU_INLINE REAL R(dl_idiv)(REAL a, REAL b) {
    REAL q = LIBM(__builtin_trunc)(a / b), rest = LIBM(__builtin_fma)(-q, b, a);
    int beyond = ((rest < 0) & (a > 0)) | ((rest > 0) & (a < 0)); /* not where rest is NaN: b is infinite, or a */
    return beyond ? q - LIBM(__builtin_copysign)(1, q) : q;
}
CPU_INLINE REAL R(dl_imod)(REAL a, REAL b) { return LIBM(fmod)(a, b); }

/* ---- exponentials: x = n ln 2 + r, |r| <= ln 2 / 2 ------------------------------------------------------------------ */

/* 2^n for an n that SHIFTER was added to; a normal number for 1 - BIAS <= n <= BIAS. */
CPU_INLINE REAL R(cpu_power)(REAL shifted) { return OF_BITS(TO_BITS(shifted) << MANTISSA); }

/* y * 2^n for any n within twice the range of exponents, in two steps so that results may be denormal. */
CPU_INLINE REAL R(cpu_scale)(REAL y, REAL n) {
    const REAL half = n * C(0.5f, 0.5) + SHIFTER, rest = n - (half - SHIFTER);
    return y * R(cpu_power)(half) * R(cpu_power)(rest + SHIFTER);
}

/* (e^r - 1 - r) / r^2 */
CPU_INLINE REAL R(cpu_exp_tail)(REAL r) {
    REAL p = C(0x1.6bed86p-10f, 0x1.1ee9c0999cab7p-29);
#if MANTISSA == 52
    p = R(cpu_mad)(p, r, 0x1.af5e6f1b02003p-26);
    p = R(cpu_mad)(p, r, 0x1.27e5357124299p-22);
    p = R(cpu_mad)(p, r, 0x1.71ddf881dd009p-19);
    p = R(cpu_mad)(p, r, 0x1.a01a017c1602bp-16);
    p = R(cpu_mad)(p, r, 0x1.a01a01afd2bdcp-13);
    p = R(cpu_mad)(p, r, 0x1.6c16c16c1ef95p-10);
#endif
    p = R(cpu_mad)(p, r, C(0x1.12276cp-7f, 0x1.111111110f6ddp-7));
    p = R(cpu_mad)(p, r, C(0x1.555672p-5f, 0x1.555555555553fp-5));
    p = R(cpu_mad)(p, r, C(0x1.5554bp-3f, 0x1.5555555555559p-3));
    return R(cpu_mad)(p, r, C(0x1.fffffep-2f, 0.5));
}

CPU_INLINE REAL R(dl_exp)(REAL x) {
    x = x > C(89.0f, 710.0) ? C(89.0f, 710.0) : x; /* beyond, the result is infinite or 0 all the same */
    x = x < C(-104.0f, -746.0) ? C(-104.0f, -746.0) : x;
    const REAL n = (x * LOG2_E + SHIFTER) - SHIFTER;
    const REAL r = R(cpu_mad)(n, -LN2_LO, R(cpu_mad)(n, -LN2_HI, x));
    return R(cpu_scale)(R(cpu_mad)(r * r, R(cpu_exp_tail)(r), r) + 1, n);
}

CPU_INLINE REAL R(dl_exp2)(REAL x) {
    x = x > C(129.0f, 1025.0) ? C(129.0f, 1025.0) : x;
    x = x < C(-151.0f, -1076.0) ? C(-151.0f, -1076.0) : x;
    const REAL n = (x + SHIFTER) - SHIFTER;
    const REAL r = (x - n) * C(0x1.62e43p-1f, 0x1.62e42fefa39efp-1);
    return R(cpu_scale)(R(cpu_mad)(r * r, R(cpu_exp_tail)(r), r) + 1, n);
}

/* e^x - 1 = 2 ((e^r - 1) 2^(n-1) + (2^(n-1) - 1/2)): halved so that n = BIAS + 1 does not overflow too early. */
CPU_INLINE REAL R(dl_expm1)(REAL x) {
    REAL y = x > C(89.0f, 710.0) ? C(89.0f, 710.0) : x;
    y = y < C(-18.0f, -38.0) ? C(-18.0f, -38.0) : y;
    const REAL n = (y * LOG2_E + SHIFTER) - SHIFTER;
    const REAL r = R(cpu_mad)(n, -LN2_LO, R(cpu_mad)(n, -LN2_HI, y));
    const REAL e = R(cpu_mad)(r * r, R(cpu_exp_tail)(r), r), s = R(cpu_power)((n - 1) + SHIFTER);
    const REAL scaled = 2 * R(cpu_mad)(e, s, s - C(0.5f, 0.5));
    return x == 0 ? x : n == 0 ? e : scaled;
}

/* tanh x = t / (t + 2) with t = e^2x - 1 */
CPU_INLINE REAL R(dl_tanh)(REAL x) {
    REAL y = R(dl_abs)(x);
    y = y > C(10.0f, 20.0) ? C(10.0f, 20.0) : y;
    const REAL t = R(dl_expm1)(2 * y);
    return LIBM(__builtin_copysign)(t / (t + 2), x);
}

/* ---- logarithms: x = 2^e (1 + f), 1 + f in [2/3, 4/3) --------------------------------------------------------------- */

typedef struct R(cpu_log_parts) {
    REAL e, f;
} R(cpu_log_parts);

/* For 0 < x < inf; anything in between for others. */
CPU_INLINE R(cpu_log_parts) R(cpu_log_split)(REAL x) {
    const BITS two_thirds = C(0x3f2aaaabu, 0x3fe5555555555555u), one = (BITS)BIAS << MANTISSA;
    const REAL small = C(0x1p-126f, 0x1p-1022);
    const BITS u = TO_BITS(x < small ? x * C(0x1p24f, 0x1p53) : x) + (one - two_thirds);
    /* The exponent as a number: its bits under the exponent of 2^MANTISSA. */
    const REAL e = OF_BITS((u >> MANTISSA) | ((BITS)(BIAS + MANTISSA) << MANTISSA)) - (C(0x1p23f, 0x1p52) + BIAS);
    const REAL m = OF_BITS((u & (((BITS)1 << MANTISSA) - 1)) + two_thirds);
    return (R(cpu_log_parts)){x < small ? e - (MANTISSA + 1) : e, m - 1};
}

/* log(1 + f) + e ln 2 */
CPU_INLINE REAL R(cpu_log_sum)(REAL e, REAL f) {
#if MANTISSA == 52
    /* With s = f / (2 + f): log(1 + f) = 2 s + s z P(z), z = s^2, and 2 s = f - f^2/2 + s f^2/2. */
    const REAL s = f / (2 + f), z = s * s, h = 0.5 * f * f;
    REAL p = 0x1.1b87bb481ae17p-3;
    p = R(cpu_mad)(p, z, 0x1.0dcaa432429a4p-3);
    p = R(cpu_mad)(p, z, 0x1.3b35cfd299015p-3);
    p = R(cpu_mad)(p, z, 0x1.745c4a5f24c0fp-3);
    p = R(cpu_mad)(p, z, 0x1.c71c7491f8fccp-3);
    p = R(cpu_mad)(p, z, 0x1.24924921e1905p-2);
    p = R(cpu_mad)(p, z, 0x1.999999999c1adp-2);
    p = R(cpu_mad)(p, z, 0x1.555555555554fp-1);
    const REAL tail = R(cpu_mad)(s, R(cpu_mad)(z, p, h), e * LN2_LO);
    return R(cpu_mad)(e, LN2_HI, f - (h - tail));
#else
    const REAL z = f * f;
    REAL p = -0x1.080336p-3f;
    p = R(cpu_mad)(p, f, 0x1.1e667cp-3f);
    p = R(cpu_mad)(p, f, -0x1.f3125cp-4f);
    p = R(cpu_mad)(p, f, 0x1.1ed722p-3f);
    p = R(cpu_mad)(p, f, -0x1.559dcp-3f);
    p = R(cpu_mad)(p, f, 0x1.99d028p-3f);
    p = R(cpu_mad)(p, f, -0x1.fffefp-3f);
    p = R(cpu_mad)(p, f, 0x1.555506p-2f);
    const REAL tail = R(cpu_mad)(z * f, p, e * LN2_LO);
    return R(cpu_mad)(e, LN2_HI, f + R(cpu_mad)(-0.5f, z, tail));
#endif
}

/* y where the logarithm of x is an ordinary number, its limits elsewhere. */
CPU_INLINE REAL R(cpu_log_limits)(REAL x, REAL y) {
    const REAL low = x == 0 ? -REAL_INF : REAL_NAN;
    return x > 0 ? (x < REAL_INF ? y : x) : low;
}

CPU_INLINE REAL R(dl_log)(REAL x) {
    const R(cpu_log_parts) p = R(cpu_log_split)(x);
    return R(cpu_log_limits)(x, R(cpu_log_sum)(p.e, p.f));
}

CPU_INLINE REAL R(dl_log2)(REAL x) {
    const R(cpu_log_parts) p = R(cpu_log_split)(x);
    return R(cpu_log_limits)(x, R(cpu_mad)(R(cpu_log_sum)(0, p.f), LOG2_E, p.e));
}

/* log(u) + (what rounding 1 + x to u lost) / u */
CPU_INLINE REAL R(dl_log1p)(REAL x) {
    const REAL u = 1 + x, lost = (x - (u - 1)) / u;
    const R(cpu_log_parts) p = R(cpu_log_split)(u);
    const REAL y = R(cpu_log_limits)(u, R(cpu_log_sum)(p.e, p.f) + lost);
    return x == 0 ? x : y;
}

/* ---- the C library's ------------------------------------------------------------------------------------------------ */
CPU_INLINE REAL R(dl_asin)(REAL x) { return LIBM(asin)(x); }
CPU_INLINE REAL R(dl_acos)(REAL x) { return LIBM(acos)(x); }
CPU_INLINE REAL R(dl_atan)(REAL x) { return LIBM(atan)(x); }
CPU_INLINE REAL R(dl_atan2)(REAL y, REAL x) { return LIBM(atan2)(y, x); }
CPU_INLINE REAL R(dl_erfc)(REAL x) { return LIBM(erfc)(x); }

#undef SHIFTER
#undef LN2_HI
#undef LN2_LO
#undef LOG2_E
#undef REAL_INF
#undef REAL_NAN
