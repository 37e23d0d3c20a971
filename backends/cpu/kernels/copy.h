/* copy.h - strided, converting copies for other kernels. */
#ifndef CPU_COPY_H
#define CPU_COPY_H
#include "backends/cpu/cpu.h"

/* to[i...] = from[i...] over shape, converted. Strides in elements; `to` and `from` point at element 0 and must not overlap. */
void CPU_ISA(cpu_copy)(int32_t ndim, const int64_t *shape, void *to, dl_dtype to_type, const int64_t *to_strides,
                       const void *from, dl_dtype from_type, const int64_t *from_strides);
#define cpu_copy CPU_ISA(cpu_copy)

/* x, broadcast to out's shape, into out. */
void CPU_ISA(cpu_copy_tensor)(const dl_tensor *out, const dl_tensor *x);
#define cpu_copy_tensor CPU_ISA(cpu_copy_tensor)

#endif
