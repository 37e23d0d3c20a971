/* pointwise_loop.h - the loops that tools/gen_pointwise.c prints and kernels/pointwise.c calls: one per program known at build
 * time, found by dl_prog.hash. Included by the generated file and by its caller, once per instruction set. */
#ifndef CPU_POINTWISE_LOOP_H
#define CPU_POINTWISE_LOOP_H
#include "backends/cpu/cpu.h"
#include <string.h>

/* Runs a program over n elements. out is contiguous, in elements of the program's result type (bool: uint8_t 0 or 1); in[k] steps by in_step[k]
 * elements (1 is fast; 0 and anything else are staged through a small buffer). out may equal in[k] where in_step[k] is 1
 * and the element types are the same; no other overlap. attr_f and attr_i hold each scalar attribute both ways. index0 is the
 * logical number of the first element. *fault becomes 1 if an integer was divided by zero and is never cleared. Pointers and steps
 * of inputs the program does not read (dl_prog_reads) are not looked at. */
#define CPU_LOOP_PARAMETERS                                                                                                    \
    int64_t n, void *out, const void *const *in, const int64_t *in_step, const double *attr_f, const int64_t *attr_i,          \
        int64_t index0, int32_t *fault
#define CPU_LOOP_PASS n, out, in, in_step, attr_f, attr_i, index0, fault
#define CPU_LOOP_UNUSED ((void)in, (void)attr_f, (void)attr_i, (void)index0, (void)fault)
typedef void (*cpu_loop)(CPU_LOOP_PARAMETERS);

typedef struct cpu_loop_entry {
    uint64_t hash; /* dl_prog.hash */
    const char *name;
    cpu_loop loop;
} cpu_loop_entry;

/* Sorted by hash. */
extern const cpu_loop_entry CPU_ISA(cpu_loops)[];
extern const int32_t CPU_ISA(cpu_loop_count);

/* For the generated file: no dependence between iterations other than out[i] overwriting in[k][i]. (`restrict` would be
 * a lie there; without a hint the compilers' overlap test sends the in-place case to the scalar loop.) */
#ifdef __clang__
#define CPU_LOOP_FOR _Pragma("clang loop vectorize(assume_safety)") for
#else
#define CPU_LOOP_FOR _Pragma("GCC ivdep") for
#endif

enum { CPU_STAGE = 256, CPU_STAGE_INPUTS = 32 };

/* A gather of n elements of `bytes` each, `step` elements apart. */
static inline void cpu_stage_in(void *to, const void *from, int64_t step, int64_t n, uint32_t bytes) {
#define CPU_GATHER(type)                                                                                                       \
    typedef type __attribute__((may_alias)) element;                                                                           \
    for (int64_t i = 0; i < n; i++) ((element *)to)[i] = ((const element *)from)[i * step]
    switch (bytes) {
    case 1: {
        CPU_GATHER(uint8_t);
    } break;
    case 2: {
        CPU_GATHER(uint16_t);
    } break;
    case 4: {
        CPU_GATHER(uint32_t);
    } break;
    default: {
        CPU_GATHER(uint64_t);
    } break;
    }
#undef CPU_GATHER
}

/* Does every input that is read (bytes[k] not 0) step by 1? */
static inline int cpu_loop_unit_steps(int32_t n_in, const uint8_t *bytes, const int64_t *in_step) {
    int unit = 1;
    for (int32_t k = 0; k < n_in; k++) unit &= !bytes[k] || in_step[k] == 1;
    return unit;
}

/* Runs `loop` block by block with every input of step 1: the others are copied into buffers first. bytes[k]: element size, 0 for
 * inputs that are not read. */
static inline void cpu_loop_staged(cpu_loop loop, int32_t n_in, const uint8_t *bytes, uint32_t out_bytes, CPU_LOOP_PARAMETERS) {
    _Alignas(64) char buffer[CPU_STAGE_INPUTS][CPU_STAGE * 8];
    const void *block[CPU_STAGE_INPUTS];
    int64_t ones[CPU_STAGE_INPUTS];
    for (int32_t k = 0; k < n_in; k++) ones[k] = 1;
    for (int64_t done = 0; done < n; done += CPU_STAGE) {
        int64_t m = n - done < CPU_STAGE ? n - done : CPU_STAGE;
        for (int32_t k = 0; k < n_in; k++) {
            if (!bytes[k]) continue;
            const char *from = (const char *)in[k] + done * in_step[k] * bytes[k];
            block[k] = in_step[k] == 1 ? (const void *)from : buffer[k];
            if (in_step[k] != 1 && (in_step[k] != 0 || done == 0)) cpu_stage_in(buffer[k], from, in_step[k], m, bytes[k]);
        }
        loop(m, (char *)out + done * out_bytes, block, ones, attr_f, attr_i, index0 + done, fault);
    }
}
#endif
