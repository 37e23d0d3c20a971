/* program.h - pointwise programs made ready to run on contiguous elements: a loop compiled at build time where there is one,
 * else the tile interpreter. kernels/pointwise.c brings tensors of any layout to this form; other families apply epilogues. */
#ifndef CPU_PROGRAM_H
#define CPU_PROGRAM_H
#include "backends/cpu/pointwise_loop.h"

enum { CPU_MAX_ARGS = 32 }; /* inputs, and attributes, of one program */

struct cpu_code; /* interp.h */

typedef struct cpu_program {
    cpu_loop_fn loop;      /* NULL: interpret code */
    struct cpu_code *code; /* NULL: loop */
    int32_t n_in, n_attr;
    uint8_t reads[CPU_MAX_ARGS];   /* is this input used? */
    uint8_t in_type[CPU_MAX_ARGS]; /* dl_dtype */
    uint8_t out_type;
    uint8_t uses_index;
    int64_t grain; /* elements worth a thread */
} cpu_program;

/* Scalar attributes, each as both kinds of number. */
typedef struct cpu_attrs {
    double f[CPU_MAX_ARGS];
    int64_t i[CPU_MAX_ARGS];
} cpu_attrs;

/* For prepare: DL_OK and a program, which close frees (it fits dl_plan.destroy); DL_UNSUPPORTED for what cannot run here.
 * Nothing of the dl_prog is kept. */
dl_status CPU_ISA(cpu_program_open)(const dl_prog *, cpu_program **out);
void CPU_ISA(cpu_program_close)(void *program);
void CPU_ISA(cpu_program_attrs)(const cpu_program *, const dl_attr *, cpu_attrs *out);
/* The same for an epilogue of results of a floating dtype: refused unless it maps each element by itself to the type that the
 * dtype is computed in (float for halves). */
dl_status CPU_ISA(cpu_epilogue_open)(const dl_prog *, dl_dtype, cpu_program **out);
#define cpu_program_open CPU_ISA(cpu_program_open)
#define cpu_epilogue_open CPU_ISA(cpu_epilogue_open)
#define cpu_program_close CPU_ISA(cpu_program_close)
#define cpu_program_attrs CPU_ISA(cpu_program_attrs)

void CPU_ISA(cpu_interpret)(const struct cpu_code *, int64_t n, void *out, const void *const *in, const cpu_attrs *,
                            int64_t index0, int32_t *fault);

/* Faults: why a run went wrong. The values are ordered; the worst stays. */
enum { CPU_DIVIDED_BY_ZERO = 1, CPU_NO_MEMORY = 2 };

/* n elements, all operands contiguous and of the program's types (bool: uint8_t 0 or 1). out may equal any in[k] of the same
 * element size. index0: logical number of the first element. *fault is set where something goes wrong, never cleared. */
static inline void cpu_program_run(const cpu_program *p, int64_t n, void *out, const void *const *in, const cpu_attrs *attrs,
                                   int64_t index0, int32_t *fault) {
    if (p->loop)
        p->loop(n, out, in, attrs->f, attrs->i, index0, fault);
    else
        CPU_ISA(cpu_interpret)(p->code, n, out, in, attrs, index0, fault);
}

/* A program of one f32 input and an f32 result, in place: an epilogue. */
static inline int cpu_program_is_map_f32(const cpu_program *p) {
    return p->n_in == 1 && p->in_type[0] == DL_F32 && p->out_type == DL_F32 && !p->uses_index;
}
static inline void cpu_program_map_f32(const cpu_program *p, const cpu_attrs *attrs, float *x, int64_t n, int32_t *fault) {
    const void *in = x;
    cpu_program_run(p, n, x, &in, attrs, 0, fault);
}

#endif
