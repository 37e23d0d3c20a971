/* pointwise_loop.h - the loops that tools/gen_pointwise.c prints and kernels/pointwise.c calls: one per program known at build
 * time, found by dl_prog.hash. Included by the generated file and by its caller, once per instruction set. */
#ifndef CPU_POINTWISE_LOOP_H
#define CPU_POINTWISE_LOOP_H
#include "backends/cpu/cpu.h"
#include <string.h>

/* Runs a program over n elements. out and in[k] are contiguous, in elements of the program's types (bool: uint8_t 0 or 1);
 * kernels/pointwise.c stages what is not. out may equal in[k] where the element sizes are equal; no other overlap. attr_f and
 * attr_i hold each scalar attribute both ways. index0 is the logical number of the first element. *fault becomes 1 if an
 * integer was divided by zero and is never cleared. Pointers of inputs the program does not read (dl_prog_reads) are not
 * looked at. */
#define CPU_LOOP_PARAMETERS                                                                                                    \
    int64_t n, void *out, const void *const *in, const double *attr_f, const int64_t *attr_i, int64_t index0, int32_t *fault
#define CPU_LOOP_UNUSED ((void)in, (void)attr_f, (void)attr_i, (void)index0, (void)fault)
typedef void (*cpu_loop_fn)(CPU_LOOP_PARAMETERS);

typedef struct cpu_loop_entry {
    uint64_t hash; /* dl_prog.hash */
    const char *name;
    cpu_loop_fn loop;
} cpu_loop_entry;

/* Sorted by hash. */
extern const cpu_loop_entry CPU_ISA(cpu_loops)[];
extern const int32_t CPU_ISA(cpu_loop_count);

/* For the generated file: no dependence between iterations other than out[i] overwriting in[k][i]. (`restrict` would be
 * a lie there; without a hint the compilers' overlap test sends the in-place case to the scalar loop.) */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* loops that call the C library stay scalar */
#define CPU_LOOP_FOR _Pragma("clang loop vectorize(assume_safety)") for
#else
#define CPU_LOOP_FOR _Pragma("GCC ivdep") for
#endif
#endif
