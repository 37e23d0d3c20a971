/* softmax.h - log_softmax for other kernels. */
#ifndef CPU_SOFTMAX_H
#define CPU_SOFTMAX_H
#include "backends/cpu/cpu.h"

void CPU_ISA(cpu_log_softmax)(const dl_tensor *out, const dl_tensor *x, int64_t dim);
#define cpu_log_softmax CPU_ISA(cpu_log_softmax)

#endif
