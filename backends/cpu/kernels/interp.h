/* interp.h - pointwise programs unknown at build time: a list of steps, each a vectorised loop over a tile that stays in L1. */
#ifndef CPU_INTERP_H
#define CPU_INTERP_H
#include "backends/cpu/cpu.h"

enum { CPU_TILE = 256 };

/* Runs one instruction over a tile: operands and result are arrays of the instruction's types. */
typedef void (*cpu_step)(int64_t n, void *out, const void *a, const void *b, const void *c, int32_t *fault);

/* The step of an instruction whose first operand has type `from`; NULL: there is none for these types. steps.c */
cpu_step CPU_ISA(cpu_step_of)(int32_t op, int32_t type, int32_t from);
#define cpu_step_of CPU_ISA(cpu_step_of)
/* Copies a tile of this type; from bool also makes every value 0 or 1. */
cpu_step CPU_ISA(cpu_step_move)(int32_t type);
#define cpu_step_move CPU_ISA(cpu_step_move)

/* Translates a program; NULL with *status DL_UNSUPPORTED or DL_NOMEM. Freed with host->mem(code, 0). interp.c */
struct cpu_code *CPU_ISA(cpu_translate)(const dl_prog *, dl_status *status);
#define cpu_translate CPU_ISA(cpu_translate)

#endif
