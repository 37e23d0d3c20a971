/* fold.h - sums and extremes of contiguous lane values, for other kernels. */
#ifndef CPU_FOLD_H
#define CPU_FOLD_H
#include "reduce.h"

/* Of float lanes: the sum, accumulated in double; the maximum, NaN winning, -infinity for n = 0. */
double CPU_ISA(cpu_row_sum)(cpu_lane lane, const void *x, int64_t n);
double CPU_ISA(cpu_row_max)(cpu_lane lane, const void *x, int64_t n);
/* Of any lane: the largest or smallest value, NaN winning; n > 0. */
reduce_value CPU_ISA(cpu_row_extreme)(cpu_lane lane, int largest, const void *x, int64_t n);
#define cpu_row_sum CPU_ISA(cpu_row_sum)
#define cpu_row_max CPU_ISA(cpu_row_max)
#define cpu_row_extreme CPU_ISA(cpu_row_extreme)

#endif
