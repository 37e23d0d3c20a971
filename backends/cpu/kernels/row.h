/* row.h - rows of any dtype as lanes: the one place where kernels meet dtypes.
 *
 * A row is n elements, `stride` elements apart (0: one element repeated). Reading gives contiguous lane values; a row that is
 * stored that way already is not copied. Kernels read blocks of CPU_ROW elements into buffers on their stack. */
#ifndef CPU_ROW_H
#define CPU_ROW_H
#include "backends/cpu/cpu.h"

typedef enum cpu_lane { CPU_LANE_F32, CPU_LANE_F64, CPU_LANE_I64 } cpu_lane;

enum { CPU_ROW = 512 };

typedef union cpu_row_buffer {
    float f32[CPU_ROW];
    double f64[CPU_ROW];
    int64_t i64[CPU_ROW];
} cpu_row_buffer;

/* The lane that holds every value of the dtype exactly. */
static inline cpu_lane cpu_lane_of(dl_dtype type) {
    switch (type) {
    case DL_F32:
    case DL_F16:
    case DL_BF16: return CPU_LANE_F32;
    case DL_F64: return CPU_LANE_F64;
    default: return CPU_LANE_I64;
    }
}

/* The dtype whose elements are stored as the lane's values. */
static inline dl_dtype cpu_stored_as(cpu_lane lane) {
    return lane == CPU_LANE_F32 ? DL_F32 : lane == CPU_LANE_F64 ? DL_F64 : DL_I64;
}

/* n <= CPU_ROW elements as lane values: `row` itself where it is stored so, else `buffer`, filled. */
const void *CPU_ISA(cpu_row_read)(dl_dtype type, const void *row, int64_t stride, int64_t n, cpu_lane lane,
                                  cpu_row_buffer *buffer);
/* Stores n lane values, converted. */
void CPU_ISA(cpu_row_write)(dl_dtype type, void *row, int64_t stride, int64_t n, cpu_lane lane, const void *values);
/* Copies n elements of one dtype. */
void CPU_ISA(cpu_row_copy)(dl_dtype type, void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t n);

#define cpu_row_read CPU_ISA(cpu_row_read)
#define cpu_row_write CPU_ISA(cpu_row_write)
#define cpu_row_copy CPU_ISA(cpu_row_copy)

/* One element. */
static inline double cpu_load_f64(dl_dtype type, const void *element) {
    cpu_row_buffer b;
    return *(const double *)cpu_row_read(type, element, 1, 1, CPU_LANE_F64, &b);
}
static inline int64_t cpu_load_i64(dl_dtype type, const void *element) {
    cpu_row_buffer b;
    return *(const int64_t *)cpu_row_read(type, element, 1, 1, CPU_LANE_I64, &b);
}

#endif
