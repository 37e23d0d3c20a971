/* isa.c - chooses the instruction set the kernels are taken from: the machine's best, or what DLRUN_ISA asks for. */
#include "backends/cpu/cpu.h"
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"baseline", "avx2", "avx512"};

const char *cpu_isa_name(cpu_isa_level level) { return names[level]; }

static cpu_isa_level best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return CPU_BASELINE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl"))
        return CPU_AVX2;
    return CPU_AVX512;
#else
    return CPU_BASELINE;
#endif
}

cpu_isa_level cpu_isa(void) {
    const cpu_isa_level machine = best();
    const char *wanted = getenv("DLRUN_ISA");
    if (!wanted || !*wanted) return machine;
    for (int32_t k = CPU_BASELINE; k <= CPU_AVX512; k++) {
        if (strcmp(wanted, names[k]) != 0) continue;
        if (k <= (int32_t)machine) return (cpu_isa_level)k;
        cpu_host->log(1, "DLRUN_ISA asks for more than this machine has; its best instruction set is used");
        return machine;
    }
    cpu_host->log(1, "DLRUN_ISA is none of baseline, avx2, avx512; the machine's best instruction set is used");
    return machine;
}
