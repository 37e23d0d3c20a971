/* vecmath_int.h - integer functions and value conversions of vecmath.h. Arithmetic wraps, shift counts are masked. */

/* CPU_INTEGER(suffix, type, unsigned type to compute in, type for products, bits, is it signed) */
#define CPU_INTEGERS(X)                                                                                                        \
    X(u8, uint8_t, uint32_t, uint32_t, 8, 0)                                                                                   \
    X(i8, int8_t, uint32_t, int32_t, 8, 1)                                                                                     \
    X(i16, int16_t, uint32_t, int32_t, 16, 1)                                                                                  \
    X(i32, int32_t, uint32_t, int64_t, 32, 1)                                                                                  \
    X(u32, uint32_t, uint32_t, uint64_t, 32, 0)                                                                                \
    X(i64, int64_t, uint64_t, cpu_int128, 64, 1)

__extension__ typedef __int128 cpu_int128;

/* idiv and imod: a zero divisor sets *fault and gives 0. A divisor of -1 is done by negation, which wraps. */
#define CPU_INTEGER(sfx, type, wide, product, bits, is_signed)                                                                 \
    CPU_INLINE type dl_max_##sfx(type a, type b) { return a > b ? a : b; }                                                     \
    CPU_INLINE type dl_min_##sfx(type a, type b) { return a < b ? a : b; }                                                     \
    CPU_INLINE type dl_abs_##sfx(type a) { return is_signed && a < (type)1 ? (type)(0 - (wide)a) : a; }                        \
    CPU_INLINE type dl_shl_##sfx(type a, type b) { return (type)((wide)a << ((wide)b & (bits - 1))); }                         \
    CPU_INLINE type dl_shr_##sfx(type a, type b) { return (type)(a >> ((wide)b & (bits - 1))); }                               \
    CPU_INLINE type dl_mulhi_##sfx(type a, type b) { return (type)((product)a * (product)b >> bits); }                         \
    CPU_INLINE type dl_idiv_##sfx(type a, type b, int32_t *fault) {                                                            \
        if (b == 0) {                                                                                                          \
            *fault = 1;                                                                                                        \
            return 0;                                                                                                          \
        }                                                                                                                      \
        return is_signed && b == (type)-1 ? (type)(0 - (wide)a) : (type)(a / b);                                               \
    }                                                                                                                          \
    CPU_INLINE type dl_imod_##sfx(type a, type b, int32_t *fault) {                                                            \
        if (b == 0) {                                                                                                          \
            *fault = 1;                                                                                                        \
            return 0;                                                                                                          \
        }                                                                                                                      \
        return is_signed && b == (type)-1 ? 0 : (type)(a % b);                                                                 \
    }                                                                                                                          \
    /* By squaring. A negative exponent gives the truncated true result, and 0 for base 0. */                                  \
    static inline type dl_pow_##sfx(type a, type b) {                                                                          \
        if (is_signed && b < (type)1 && b != 0) return a == 1 ? 1 : a == (type)-1 ? (type)(b & 1 ? -1 : 1) : 0;                \
        wide y = 1;                                                                                                            \
        for (wide x = (wide)a, n = (wide)b; n; n >>= 1, x *= x)                                                                \
            if (n & 1) y *= x;                                                                                                 \
        return (type)y;                                                                                                        \
    }
CPU_INTEGERS(CPU_INTEGER)
#undef CPU_INTEGER

/* Float to integer: towards zero, saturating, NaN gives 0. `above` is the first value too large. */
#define CPU_CAST(to, type, from, real, lowest, highest, above)                                                                 \
    CPU_INLINE type dl_cast_##to##_##from(real x) {                                                                            \
        return x != x ? 0 : x >= (real)(above) ? highest : x <= (real)(lowest) ? lowest : (type)x;                             \
    }
#define CPU_CASTS(from, real)                                                                                                  \
    CPU_CAST(u8, uint8_t, from, real, 0, UINT8_MAX, 0x1p8)                                                                     \
    CPU_CAST(i8, int8_t, from, real, INT8_MIN, INT8_MAX, 0x1p7)                                                                \
    CPU_CAST(i16, int16_t, from, real, INT16_MIN, INT16_MAX, 0x1p15)                                                           \
    CPU_CAST(i32, int32_t, from, real, INT32_MIN, INT32_MAX, 0x1p31)                                                           \
    CPU_CAST(u32, uint32_t, from, real, 0, UINT32_MAX, 0x1p32)                                                                 \
    CPU_CAST(i64, int64_t, from, real, INT64_MIN, INT64_MAX, 0x1p63)
CPU_CASTS(f32, float)
CPU_CASTS(f64, double)
#undef CPU_CASTS
#undef CPU_CAST
