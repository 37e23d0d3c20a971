/* vecmath_special.h - the functions of vecmath.h that f32 and f64 do not share: f32 ones that take a detour through f64, and
 * those left to the C library in f64. */

/* ---- trigonometry --------------------------------------------------------------------------------------------------- */

/* Element k: 2^k * 2/pi mod 4 as hi + lo, hi a multiple of 2^-25 (the first: of 2^-27). vecmath_table.c. (Pointers, because
 * gcc 12 gathers through those only.) */
extern const double *const cpu_two_over_pi_hi, *const cpu_two_over_pi_lo;

typedef struct cpu_turn {
    double sin, cos;  /* of x reduced to an eighth of a turn around the nearest quarter */
    uint64_t quarter; /* number of that quarter, mod 2^32 */
} cpu_turn;

/* x * 2/pi = quarter + f exactly enough for every float (Payne and Hanek 1983): x = m * 2^k with an integer m of 24 bits once
 * |x| >= 2^24, and only 2^k * 2/pi mod 4 counts. m * hi is exact, so is its difference to the quarter. */
CPU_INLINE cpu_turn cpu_turn_f32(float x) {
    const uint32_t u = dl_bitcast_u32_f32(x);
    const int32_t exponent = u >> 23 & 255;
    const int32_t k = exponent > 150 ? exponent - 150 : 0; /* signed: gathers take signed indices */
    const double m = dl_bitcast_f32_u32(u - ((uint32_t)k << 23));
    const double hi = m * cpu_two_over_pi_hi[k], lo = cpu_two_over_pi_lo[k];
    const double shifted = cpu_mad_f64(m, lo, hi) + 0x1.8p52;
    const double f = cpu_mad_f64(m, lo, hi - (shifted - 0x1.8p52)), z = f * f;
    double s = 0x1.4bc81f3bf5f0ap-13;
    s = cpu_mad_f64(s, z, -0x1.32ca9cc04b3edp-8);
    s = cpu_mad_f64(s, z, 0x1.466bbac76c0f7p-4);
    s = cpu_mad_f64(s, z, -0x1.4abbce56ad695p-1);
    s = cpu_mad_f64(s, z, 0x1.921fb5443b585p+0);
    double c = 0x1.d9c28fbc55dfbp-11;
    c = cpu_mad_f64(c, z, -0x1.55c5781bbc702p-6);
    c = cpu_mad_f64(c, z, 0x1.03c1dc156b29ep-2);
    c = cpu_mad_f64(c, z, -0x1.3bd3cc7312888p+0);
    c = cpu_mad_f64(c, z, 0x1.ffffffff978dfp-1);
    return (cpu_turn){f * s, c, dl_bitcast_u64_f64(shifted)};
}

CPU_INLINE double cpu_turned(double even, double odd, uint64_t quarter) {
    const double y = quarter & 1 ? odd : even;
    return dl_bitcast_f64_u64(dl_bitcast_u64_f64(y) ^ (quarter >> 1 << 63));
}

CPU_INLINE float cpu_finite_only_f32(float x, double y) { return x - x == 0 ? (float)y : __builtin_nanf(""); }

CPU_INLINE float dl_sin_f32(float x) {
    const cpu_turn t = cpu_turn_f32(x);
    return cpu_finite_only_f32(x, cpu_turned(t.sin, t.cos, t.quarter));
}

CPU_INLINE float dl_cos_f32(float x) {
    const cpu_turn t = cpu_turn_f32(x);
    return cpu_finite_only_f32(x, cpu_turned(t.cos, -t.sin, t.quarter));
}

CPU_INLINE float dl_tan_f32(float x) {
    const cpu_turn t = cpu_turn_f32(x);
    const int odd = t.quarter & 1;
    return cpu_finite_only_f32(x, (odd ? -t.cos : t.sin) / (odd ? t.sin : t.cos));
}

CPU_INLINE double dl_sin_f64(double x) { return sin(x); }
CPU_INLINE double dl_cos_f64(double x) { return cos(x); }
CPU_INLINE double dl_tan_f64(double x) { return tan(x); }

/* ---- hyperbolic functions ------------------------------------------------------------------------------------------- */
CPU_INLINE float dl_cosh_f32(float x) {
    const double e = dl_exp_f64(x);
    return (float)(0.5 * (e + 1 / e));
}

CPU_INLINE float dl_sinh_f32(float x) {
    const double e = dl_exp_f64(x), y = x;
    return (float)(y * y < 0x1p-24 ? y + y * y * y * (1.0 / 6) : 0.5 * (e - 1 / e));
}

CPU_INLINE double dl_cosh_f64(double x) { return cosh(x); }
CPU_INLINE double dl_sinh_f64(double x) { return sinh(x); }

/* ---- powers: |x|^y = 2^(y log2 |x|), log2 to 2^-41 relative so that 150 of it are good to 2^-33 --------------------- */
CPU_INLINE double cpu_log2_short(double x) {
    const cpu_log_parts_f64 p = cpu_log_split_f64(x);
    const double s = p.f / (2 + p.f), z = s * s;
    double q = 0x1.29df6de4fdd4dp-2;
    q = cpu_mad_f64(q, z, 0x1.46f131a9110a7p-2);
    q = cpu_mad_f64(q, z, 0x1.a61eaa4f5e993p-2);
    q = cpu_mad_f64(q, z, 0x1.2776bc3ac03dbp-1);
    q = cpu_mad_f64(q, z, 0x1.ec709dcb71dbfp-1);
    q = cpu_mad_f64(q, z, 0x1.71547652b7e82p+1);
    return cpu_log_limits_f64(x, cpu_mad_f64(s, q, p.e));
}

CPU_INLINE double cpu_exp2_short(double x) {
    const double shifter = 0x1.8p52 + 1023;
    x = x > 200 ? 200 : x;
    x = x < -200 ? -200 : x;
    const double shifted = x + shifter, r = x - (shifted - shifter);
    double q = 0x1.41d3648982c69p-13;
    q = cpu_mad_f64(q, r, 0x1.5f456973377bep-10);
    q = cpu_mad_f64(q, r, 0x1.3b2dbb7172e74p-7);
    q = cpu_mad_f64(q, r, 0x1.c6aed4bc58a49p-5);
    q = cpu_mad_f64(q, r, 0x1.ebfbdadd3bb1cp-3);
    q = cpu_mad_f64(q, r, 0x1.62e430c7e3a4bp-1);
    q = cpu_mad_f64(q, r, 0x1.0000000260b21p+0);
    return q * cpu_power_f64(shifted);
}

/* C's pow, special cases included. Floats from 2^24 on are even integers. */
CPU_INLINE float dl_pow_f32(float x, float y) {
    const double shifted = (double)y + 0x1.8p52;
    const float a = __builtin_fabsf(x), size = __builtin_fabsf(y);
    const int whole = (size >= 0x1p24f) | (shifted - 0x1.8p52 == (double)y);
    const uint32_t odd = (size < 0x1p24f) & whole & (int)dl_bitcast_u64_f64(shifted);
    const int one = (x == 1) | (y == 0) | ((a == 1) & (y == y)); /* also 1^NaN, NaN^0 and (-1)^inf */
    const int undefined = (x < 0) & (a < __builtin_inff()) & !whole & (y == y) & !(y == 0);
    const double power = cpu_exp2_short((double)y * cpu_log2_short(a));
    const float magnitude = undefined ? __builtin_nanf("") : one ? 1 : (float)power;
    return dl_bitcast_f32_u32(dl_bitcast_u32_f32(magnitude) ^ (dl_bitcast_u32_f32(x) & odd << 31));
}

CPU_INLINE double dl_pow_f64(double x, double y) { return pow(x, y); }

/* ---- error function ------------------------------------------------------------------------------------------------- */

/* Below 1.21 x + x P(x^2 - 1), above 1 - P(x - 2.375)^4, which is 1 from 3.93 on. Both sides share one Horner scheme whose
 * coefficients are selected, and w is small on both, so that little is lost where terms cancel. */
CPU_INLINE float dl_erf_f32(float x) {
    const float size = __builtin_fabsf(x), t = size > 3.93f ? 3.93f : size;
    const int small = t < 1.21f;
    const float unit = small ? t : 1, w = cpu_mad_f32(t, unit, small ? -1 : -2.375f);
    float p = small ? -0x1.09012ep-17f : -0x1.90026cp-13f;
    p = cpu_mad_f32(p, w, small ? 0x1.a5b6dp-15f : 0x1.d2be96p-13f);
    p = cpu_mad_f32(p, w, small ? -0x1.8394b8p-12f : 0x1.5517f8p-9f);
    p = cpu_mad_f32(p, w, small ? 0x1.31d8a6p-9f : -0x1.0b59bep-7f);
    p = cpu_mad_f32(p, w, small ? -0x1.9b3c76p-7f : -0x1.1aa2dap-7f);
    p = cpu_mad_f32(p, w, small ? 0x1.cf6d1ap-5f : 0x1.8fbc1cp-4f);
    p = cpu_mad_f32(p, w, small ? -0x1.b5db04p-3f : -0x1.b642eep-3f);
    p = cpu_mad_f32(p, w, small ? -0x1.422616p-3f : 0x1.569486p-3f);
    const float square = p * p;
    const float y = cpu_mad_f32(small ? t : -square, small ? p : square, unit);
    return __builtin_copysignf(y, x);
}

CPU_INLINE double dl_erf_f64(double x) { return erf(x); }

/* ---- gamma ---------------------------------------------------------------------------------------------------------- */

/* lgamma() itself writes the global signgam. */
CPU_INLINE float dl_lgamma_f32(float x) {
    int sign;
    return lgammaf_r(x, &sign);
}

CPU_INLINE double dl_lgamma_f64(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

/* psi(x): reflection for x < 0, recurrence up to 10, then the asymptotic series (Abramowitz & Stegun 6.3.18). PyTorch's
 * conventions at the poles: psi(+-0) = -+inf, NaN at negative integers. */
static inline double dl_digamma_f64(double x) {
    if (x == 0) return copysign(INFINITY, -x);
    if (x < 0) {
        if (x == floor(x)) return NAN;
        const double turn = x - rint(x); /* exact, also just below 0 */
        return dl_digamma_f64(1 - x) - M_PI / tan(M_PI * turn);
    }
    double shift = 0;
    for (; x < 10; x++) shift += 1 / x;
    const double z = 1 / (x * x);
    double p = 1.0 / 12;
    p = p * z - 691.0 / 32760;
    p = p * z + 1.0 / 132;
    p = p * z - 1.0 / 240;
    p = p * z + 1.0 / 252;
    p = p * z - 1.0 / 120;
    p = p * z + 1.0 / 12;
    return log(x) - 0.5 / x - z * p - shift;
}

static inline float dl_digamma_f32(float x) { return (float)dl_digamma_f64(x); }

/* psi'(x), likewise (Abramowitz & Stegun 6.4.7, 6.4.12); +inf at 0 and the negative integers. */
static inline double dl_trigamma_f64(double x) {
    if (x <= 0) {
        if (x == floor(x)) return x == -INFINITY ? NAN : INFINITY;
        const double s = M_PI / sin(M_PI * (x - rint(x)));
        return s * s - dl_trigamma_f64(1 - x);
    }
    double shift = 0;
    for (; x < 10; x++) shift += 1 / (x * x);
    const double z = 1 / (x * x);
    double p = 7.0 / 6;
    p = p * z - 691.0 / 2730;
    p = p * z + 5.0 / 66;
    p = p * z - 1.0 / 30;
    p = p * z + 1.0 / 42;
    p = p * z - 1.0 / 30;
    p = p * z + 1.0 / 6;
    return 1 / x + 0.5 * z + z * p / x + shift;
}

static inline float dl_trigamma_f32(float x) { return (float)dl_trigamma_f64(x); }
