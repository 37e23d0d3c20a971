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
#include "backends/cpu/half.h"
#include <string.h>

#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) typedef ctype cpu_##NAME;
#include "dlrun/dtype.def"
#undef DL_DTYPE

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
#define CPU_LOAD_F16(s) cpu_f16_to_f32(s)
#define CPU_LOAD_BF16(s) cpu_bf16_to_f32(s)
#define CPU_LOAD_U8(s) (s)
#define CPU_LOAD_I8(s) (s)
#define CPU_LOAD_I16(s) (s)
#define CPU_LOAD_I32(s) (s)
#define CPU_LOAD_I64(s) (s)
#define CPU_LOAD_BOOL(s) ((s) != 0)

#define CPU_FROM_FLOAT_F32(v) ((float)(v))
#define CPU_FROM_FLOAT_F64(v) ((double)(v))
#define CPU_FROM_FLOAT_F16(v) cpu_f32_to_f16((float)(v))
#define CPU_FROM_FLOAT_BF16(v) cpu_f32_to_bf16((float)(v))
#define CPU_FROM_FLOAT_U8(v) CPU_SATURATE(v, uint8_t, 0, UINT8_MAX, 0x1p8f)
#define CPU_FROM_FLOAT_I8(v) CPU_SATURATE(v, int8_t, INT8_MIN, INT8_MAX, 0x1p7f)
#define CPU_FROM_FLOAT_I16(v) CPU_SATURATE(v, int16_t, INT16_MIN, INT16_MAX, 0x1p15f)
#define CPU_FROM_FLOAT_I32(v) CPU_SATURATE(v, int32_t, (float)INT32_MIN, INT32_MAX, 0x1p31f)
#define CPU_FROM_FLOAT_I64(v) CPU_SATURATE(v, int64_t, (float)INT64_MIN, INT64_MAX, 0x1p63f)
#define CPU_FROM_FLOAT_BOOL(v) ((uint8_t)((v) != 0))

#define CPU_FROM_INT_F32(v) ((float)(v))
#define CPU_FROM_INT_F64(v) ((double)(v))
#define CPU_FROM_INT_F16(v) cpu_f32_to_f16((float)(v))
#define CPU_FROM_INT_BF16(v) cpu_f32_to_bf16((float)(v))
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
