/* types.h - one element of every dtype: how it is stored, loaded and stored back.
 *
 * Kernels compute in three lanes: float (f32, f16, bf16), double (f64) and int64_t (every integer and bool). For each dtype
 * of dtype.def NAME there are
 *   cpu_NAME                   the C type of a stored element
 *   CPU_KIND_NAME              FLOAT or INT
 *   CPU_LOAD_NAME(s)           stored element -> float, double or integer
 *   CPU_FROM_FLOAT_NAME(v)     float or double -> stored element; integers saturate, NaN gives 0; bool: v != 0
 *   CPU_FROM_INT_NAME(v)       int64_t -> stored element; narrower integers wrap
 * All are branch free, so that loops over them vectorise. */
#ifndef CPU_TYPES_H
#define CPU_TYPES_H
#include "backends/cpu/cpu.h"
#include <string.h>

#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) typedef ctype cpu_##NAME;
#include "dlrun/dtype.def"
#undef DL_DTYPE

static inline uint32_t cpu_bits(float v) {
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}
static inline float cpu_float(uint32_t u) {
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

/* IEEE binary16. The exponent is moved by a multiplication, which also normalises subnormals. */
static inline float cpu_half_to_float(uint16_t h) {
    uint32_t magnitude = h & 0x7fffu;
    uint32_t u = cpu_bits(cpu_float(magnitude << 13) * 0x1p112f);
    u |= magnitude >= 0x7c00u ? 0x7f800000u : 0u; /* infinity and NaN */
    return cpu_float(u | (uint32_t)(h & 0x8000u) << 16);
}

/* Rounds to nearest, ties to even. Below 2^-14 the addition of 0.5 does the rounding: there one ulp is a half's 2^-24. */
static inline uint16_t cpu_float_to_half(float v) {
    uint32_t u = cpu_bits(v), magnitude = u & 0x7fffffffu;
    uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    uint32_t subnormal = cpu_bits(cpu_float(magnitude) + 0.5f) - cpu_bits(0.5f);
    uint32_t h = magnitude < 0x38800000u ? subnormal : normal;
    h = magnitude >= 0x477ff000u ? 0x7c00u : h; /* 65520 and above round to infinity */
    h = magnitude > 0x7f800000u ? 0x7e00u : h;
    return (uint16_t)(h | ((u >> 16) & 0x8000u));
}

static inline float cpu_bfloat_to_float(uint16_t b) { return cpu_float((uint32_t)b << 16); }
static inline uint16_t cpu_float_to_bfloat(float v) {
    uint32_t u = cpu_bits(v);
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
}

/* above: the smallest power of two that T cannot hold; exact in float, unlike T's largest value. */
#define CPU_SATURATE(v, T, lowest, highest, above)                                                                             \
    ((v) != (v) ? (T)0 : (v) <= (lowest) ? (T)(lowest) : (v) >= (above) ? (T)(highest) : (T)(v))

#define CPU_KIND_F32 FLOAT
#define CPU_KIND_F64 FLOAT
#define CPU_KIND_F16 FLOAT
#define CPU_KIND_BF16 FLOAT
#define CPU_KIND_U8 INT
#define CPU_KIND_I8 INT
#define CPU_KIND_I16 INT
#define CPU_KIND_I32 INT
#define CPU_KIND_I64 INT
#define CPU_KIND_BOOL INT

#define CPU_LOAD_F32(s) (s)
#define CPU_LOAD_F64(s) (s)
#define CPU_LOAD_F16(s) cpu_half_to_float(s)
#define CPU_LOAD_BF16(s) cpu_bfloat_to_float(s)
#define CPU_LOAD_U8(s) (s)
#define CPU_LOAD_I8(s) (s)
#define CPU_LOAD_I16(s) (s)
#define CPU_LOAD_I32(s) (s)
#define CPU_LOAD_I64(s) (s)
#define CPU_LOAD_BOOL(s) ((s) != 0)

#define CPU_FROM_FLOAT_F32(v) ((float)(v))
#define CPU_FROM_FLOAT_F64(v) ((double)(v))
#define CPU_FROM_FLOAT_F16(v) cpu_float_to_half((float)(v))
#define CPU_FROM_FLOAT_BF16(v) cpu_float_to_bfloat((float)(v))
#define CPU_FROM_FLOAT_U8(v) CPU_SATURATE(v, uint8_t, 0, UINT8_MAX, 0x1p8f)
#define CPU_FROM_FLOAT_I8(v) CPU_SATURATE(v, int8_t, INT8_MIN, INT8_MAX, 0x1p7f)
#define CPU_FROM_FLOAT_I16(v) CPU_SATURATE(v, int16_t, INT16_MIN, INT16_MAX, 0x1p15f)
#define CPU_FROM_FLOAT_I32(v) CPU_SATURATE(v, int32_t, (float)INT32_MIN, INT32_MAX, 0x1p31f)
#define CPU_FROM_FLOAT_I64(v) CPU_SATURATE(v, int64_t, (float)INT64_MIN, INT64_MAX, 0x1p63f)
#define CPU_FROM_FLOAT_BOOL(v) ((uint8_t)((v) != 0))

#define CPU_FROM_INT_F32(v) ((float)(v))
#define CPU_FROM_INT_F64(v) ((double)(v))
#define CPU_FROM_INT_F16(v) cpu_float_to_half((float)(v))
#define CPU_FROM_INT_BF16(v) cpu_float_to_bfloat((float)(v))
#define CPU_FROM_INT_U8(v) ((uint8_t)(v))
#define CPU_FROM_INT_I8(v) ((int8_t)(v))
#define CPU_FROM_INT_I16(v) ((int16_t)(v))
#define CPU_FROM_INT_I32(v) ((int32_t)(v))
#define CPU_FROM_INT_I64(v) (v)
#define CPU_FROM_INT_BOOL(v) ((uint8_t)((v) != 0))

static inline int64_t cpu_size(dl_dtype type) {
    static const uint8_t bytes[] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) [number] = sizeof(ctype),
#include "dlrun/dtype.def"
#undef DL_DTYPE
    };
    return bytes[type];
}

#endif
