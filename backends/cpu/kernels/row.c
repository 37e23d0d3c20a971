/* row.c - conversions between stored rows and lanes. */
#include "row.h"
#include "types.h"
#ifdef __F16C__
#include <immintrin.h>
#endif

/* Lane value of a loaded element v, by the lane and the dtype's kind. */
#define TO_F32_FLOAT(v) ((float)(v))
#define TO_F32_INT(v) ((float)(v))
#define TO_F64_FLOAT(v) ((double)(v))
#define TO_F64_INT(v) ((double)(v))
#define TO_I64_FLOAT(v) CPU_FROM_FLOAT_I64(v)
#define TO_I64_INT(v) ((int64_t)(v))
#define TO_LANE__(LANE, KIND, v) TO_##LANE##_##KIND(v)
#define TO_LANE_(LANE, KIND, v) TO_LANE__(LANE, KIND, v)
#define TO_LANE(LANE, NAME, v) TO_LANE_(LANE, CPU_KIND_##NAME, v)

#define READ(NAME, LANE, lane_type)                                                                                            \
    static void read_##NAME##_##LANE(const void *row, int64_t stride, int64_t n, void *values) {                               \
        const cpu_##NAME *restrict from = row;                                                                                 \
        lane_type *restrict to = values;                                                                                       \
        if (stride == 1)                                                                                                       \
            for (int64_t i = 0; i < n; i++) to[i] = TO_LANE(LANE, NAME, CPU_LOAD_##NAME(from[i]));                             \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) to[i] = TO_LANE(LANE, NAME, CPU_LOAD_##NAME(from[i * stride]));                    \
    }
#define WRITE(NAME, LANE, lane_type, KIND)                                                                                     \
    static void write_##NAME##_##LANE(void *row, int64_t stride, int64_t n, const void *values) {                              \
        cpu_##NAME *restrict to = row;                                                                                         \
        const lane_type *restrict from = values;                                                                               \
        if (stride == 1)                                                                                                       \
            for (int64_t i = 0; i < n; i++) to[i] = CPU_FROM_##KIND##_##NAME(from[i]);                                         \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) to[i * stride] = CPU_FROM_##KIND##_##NAME(from[i]);                                \
    }
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7)                                                                \
    READ(NAME, F32, float)                                                                                                     \
    READ(NAME, F64, double)                                                                                                    \
    READ(NAME, I64, int64_t)                                                                                                   \
    WRITE(NAME, F32, float, FLOAT)                                                                                             \
    WRITE(NAME, F64, double, FLOAT)                                                                                            \
    WRITE(NAME, I64, int64_t, INT)
#include "dlrun/dtype.def"
#undef DL_DTYPE

typedef void read_fn(const void *row, int64_t stride, int64_t n, void *values);
typedef void write_fn(void *row, int64_t stride, int64_t n, const void *values);

static read_fn *const readers[][3] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7)                                                                \
    [number] = {read_##NAME##_F32, read_##NAME##_F64, read_##NAME##_I64},
#include "dlrun/dtype.def"
#undef DL_DTYPE
};
static write_fn *const writers[][3] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7)                                                                \
    [number] = {write_##NAME##_F32, write_##NAME##_F64, write_##NAME##_I64},
#include "dlrun/dtype.def"
#undef DL_DTYPE
};

#ifdef __F16C__
/* The hardware's conversion of whole vectors; returns how many elements that were. */
static int64_t read_half(const uint16_t *from, int64_t n, float *to) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
    return i;
}
static int64_t write_half(uint16_t *to, int64_t n, const float *from) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    return i;
}
#else
static int64_t read_half(const uint16_t *from, int64_t n, float *to) { return (void)from, (void)n, (void)to, 0; }
static int64_t write_half(uint16_t *to, int64_t n, const float *from) { return (void)from, (void)n, (void)to, 0; }
#endif

const void *cpu_row_read(dl_dtype type, const void *row, int64_t stride, int64_t n, cpu_lane lane, cpu_row_buffer *buffer) {
    if (type == cpu_stored_as(lane) && (stride == 1 || n == 1)) return row;
    int64_t done = 0;
    if (type == DL_F16 && lane == CPU_LANE_F32 && stride == 1) done = read_half(row, n, buffer->f32);
    readers[type][lane]((const char *)row + done * 2, stride, n - done, (char *)buffer + done * 4);
    return buffer;
}

void cpu_row_write(dl_dtype type, void *row, int64_t stride, int64_t n, cpu_lane lane, const void *values) {
    int64_t done = 0;
    if (type == DL_F16 && lane == CPU_LANE_F32 && stride == 1) done = write_half(row, n, values);
    writers[type][lane]((char *)row + done * 2, stride, n - done, (const char *)values + done * 4);
}

#define COPY(bits)                                                                                                             \
    static void copy_##bits(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t n) {                   \
        uint##bits##_t *restrict t = to;                                                                                       \
        const uint##bits##_t *restrict f = from;                                                                               \
        if (to_stride == 1 && from_stride == 0)                                                                                \
            for (int64_t i = 0; i < n; i++) t[i] = *f;                                                                         \
        else if (to_stride == 1)                                                                                               \
            for (int64_t i = 0; i < n; i++) t[i] = f[i * from_stride];                                                         \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) t[i * to_stride] = f[i * from_stride];                                             \
    }
COPY(8)
COPY(16)
COPY(32)
COPY(64)

void cpu_row_copy(dl_dtype type, void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t n) {
    int64_t size = cpu_size(type);
    if (to_stride == 1 && from_stride == 1) {
        memcpy(to, from, (size_t)(n * size));
        return;
    }
    switch (size) {
    case 1: copy_8(to, to_stride, from, from_stride, n); break;
    case 2: copy_16(to, to_stride, from, from_stride, n); break;
    case 4: copy_32(to, to_stride, from, from_stride, n); break;
    default: copy_64(to, to_stride, from, from_stride, n); break;
    }
}
