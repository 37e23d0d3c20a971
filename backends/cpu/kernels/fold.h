/* fold.h - sums and maxima of contiguous lane values, for other kernels. Float lanes only. */
#ifndef CPU_FOLD_H
#define CPU_FOLD_H
#include "row.h"

double CPU_ISA(cpu_row_sum)(cpu_lane lane, const void *x, int64_t n); /* accumulated in double */
double CPU_ISA(cpu_row_max)(cpu_lane lane, const void *x, int64_t n); /* NaN wins; -infinity for n = 0 */
#define cpu_row_sum CPU_ISA(cpu_row_sum)
#define cpu_row_max CPU_ISA(cpu_row_max)

#endif
