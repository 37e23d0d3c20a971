/* cpu.h - what the files of the CPU backend share.
 *
 * backends/cpu/kernels/<family>.c is compiled once per instruction set (baseline, AVX2+FMA, AVX-512), with CPU_ISA naming its
 * one external function, `dl_status CPU_ISA(register_<family>)(void)`. Everything else in such a file is static, or named
 * with CPU_ISA too. backends/cpu/<file>.c is compiled once. families.def lists the families; cpu.c registers those of the
 * instruction set chosen at start. */
#ifndef CPU_H
#define CPU_H
#include "dlrun/plugin.h"

#define CPU_PASTE_(a, b) a##_##b
#define CPU_PASTE(a, b) CPU_PASTE_(a, b)
/* The build defines CPU_ISA_SUFFIX as baseline, avx2 or avx512 for each compilation of kernels/. */
#ifdef CPU_ISA_SUFFIX
#define CPU_ISA(name) CPU_PASTE(name, CPU_ISA_SUFFIX)
#endif

extern const dl_host *cpu_host; /* set first thing in dl_plugin_init */

/* ---- instruction set (isa.c) --------------------------------------------------------------------------------------------- */
typedef enum cpu_isa_level { CPU_BASELINE, CPU_AVX2, CPU_AVX512 } cpu_isa_level;
cpu_isa_level cpu_isa(void); /* the best this machine has, or lower if DLRUN_ISA=baseline|avx2|avx512 says so */
const char *cpu_isa_name(cpu_isa_level);

/* ---- threads (parallel.c) ------------------------------------------------------------------------------------------------ */
int32_t cpu_threads(int32_t n); /* sets (n > 0); returns the number in force */
/* Calls body(context, begin, end) over [0, n) in chunks of at least `grain`, on the pool if more than one chunk comes out and
 * this is the thread that owns the pool (the one that loaded the backend), else serially. Chunk borders depend only on n, grain
 * and the thread count. A call from inside a body runs serially. */
void cpu_parallel(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context);
enum { CPU_GRAIN = 32768 }; /* elements of cheap pointwise work worth a thread */
/* To be called before a library that uses libgomp by itself (oneDNN, OpenBLAS): keeps it serial on threads that do not own the
 * pool. Returns the number of threads it will use. */
int32_t cpu_library_threads(void);
void cpu_library_serial(void); /* the same where the caller cuts the work itself: always one thread */

/* ---- registration (cpu.c) ------------------------------------------------------------------------------------------------ */
#define CPU_KERNEL(op, prepare, run)                                                                                           \
    { sizeof(dl_kernel), 0, op, "cpu", prepare, run, NULL, 0 }
#define CPU_KERNEL_EPILOGUE(op, prepare, run)                                                                                  \
    { sizeof(dl_kernel), 0, op, "cpu", prepare, run, NULL, DL_KERNEL_EPILOGUE }
dl_status cpu_add_kernels(const dl_kernel *kernels, size_t n); /* static tables of CPU_KERNEL rows */

/* ---- tensors ------------------------------------------------------------------------------------------------------------- */
static inline void *cpu_data(const dl_tensor *t) { return (char *)t->data + t->byte_offset; }
static inline int64_t cpu_count(const dl_tensor *t) {
    int64_t n = 1;
    for (int32_t d = 0; d < t->ndim; d++) n *= t->shape[d];
    return n;
}
static inline int cpu_contiguous(const dl_tensor *t) {
    int64_t expected = 1;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        if (t->shape[d] != 1 && t->strides[d] != expected) return 0;
        expected *= t->shape[d];
    }
    return 1;
}

#endif
