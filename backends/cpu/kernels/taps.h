/* taps.h - one dimension resampled as weighted sums of places: the tables behind upsample and upsample_backward. */
#ifndef CPU_TAPS_H
#define CPU_TAPS_H
#include "row.h"

/* Result i is the sum over k from first[i] to first[i + 1] - 1 of weight[k] times place[k]. */
typedef struct cpu_taps {
    int64_t size; /* results */
    int32_t each; /* taps of every result, where all have as many and that is at most 4; else 0 */
    int64_t *first;
    int32_t *place;
    void *weight; /* of the lane's type */
} cpu_taps;

/* How positions between places are made of them; see upsample in core/ops.def. */
typedef struct cpu_resampling {
    const char *mode;
    int align_corners;
    double scale; /* 0: the ratio of the sizes */
    int64_t from, to;
    int transposed; /* from results to places: the gradient */
    cpu_lane lane;  /* F32 or F64; positions are computed in it, as PyTorch does */
} cpu_resampling;

/* Bytes of the tables; then the tables themselves, in memory of that size, aligned for int64_t. */
size_t CPU_ISA(cpu_taps_bytes)(const cpu_resampling *);
void CPU_ISA(cpu_taps_make)(const cpu_resampling *, void *memory, cpu_taps *out);
#define cpu_taps_bytes CPU_ISA(cpu_taps_bytes)
#define cpu_taps_make CPU_ISA(cpu_taps_make)

/* Weights of the four places around a position, `t` behind the second of them, or their derivatives of that order: cubic
 * convolution with a = -0.75 (Keys 1981, eq. 4). */
void CPU_ISA(cpu_cubic_weights)(double t, int64_t order, double weight[4]);
#define cpu_cubic_weights CPU_ISA(cpu_cubic_weights)

#endif
