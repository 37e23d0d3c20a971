/* tile_types.h - what the register tiles of tile.h need once, for both element types: sizes of a tile on this instruction set,
 * and what becomes of a finished block. */
#ifndef CPU_TILE_TYPES_H
#define CPU_TILE_TYPES_H
#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels/types.h"
#include "backends/cpu/program.h"
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Where operands lie and what is done with results; strides in elements. finish() reads all but a, b and the packing space. */
typedef struct gemm_data {
    const void *a, *b, *add; /* add is D, NULL for none */
    void *c, *packed_a, *packed_b;
    int64_t c_row, c_col, add_row, add_col;
    double alpha, beta;
    dl_dtype type;               /* of C and D */
    const cpu_program *epilogue; /* NULL: none */
    const cpu_attrs *attrs;      /* its attributes */
    int32_t *fault;              /* it failed if this is not 0; written atomically */
} gemm_data;

#if defined(__clang__)
#define GEMM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GEMM_UNROLL _Pragma("GCC unroll 8")
#endif
#define GEMM_4_ROWS(F, V) F(1, V) F(2, V) F(3, V) F(4, V)
#define GEMM_8_ROWS(F, V) GEMM_4_ROWS(F, V) F(5, V) F(6, V) F(7, V) F(8, V)
#if defined(__AVX512F__)
#define CPU_VECTOR 64
#define GEMM_ROWS 8
#define GEMM_VECTORS 3
#define GEMM_EVERY_TILE(F) GEMM_8_ROWS(F, 1) GEMM_8_ROWS(F, 2) GEMM_8_ROWS(F, 3)
#elif defined(__AVX2__)
#define CPU_VECTOR 32
#define GEMM_ROWS 4
#define GEMM_VECTORS 3
#define GEMM_EVERY_TILE(F) GEMM_4_ROWS(F, 1) GEMM_4_ROWS(F, 2) GEMM_4_ROWS(F, 3)
#else
#define CPU_VECTOR 16
#define GEMM_ROWS 4
#define GEMM_VECTORS 2
#define GEMM_EVERY_TILE(F) GEMM_4_ROWS(F, 1) GEMM_4_ROWS(F, 2)
#endif

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline int cpu_is_floating(dl_dtype type) { return type <= DL_BF16; }
static inline int cpu_is_half(dl_dtype type) { return type == DL_F16 || type == DL_BF16; }
/* The type that products of a floating type are computed in. */
static inline dl_dtype cpu_computed(dl_dtype type) { return cpu_is_half(type) ? DL_F32 : type; }
/* Elements of a vector of that type. */
static inline int64_t cpu_lanes(dl_dtype type) { return CPU_VECTOR / (type == DL_F64 ? 8 : 4); }

#endif
