/* reduce.h - the frame that every reduction runs in: geometry, threads and passes (reduce.c); its arithmetic is a
 * cpu_reducer (fold.c, arg.c).
 *
 * x's dimensions are split into kept and reduced ones. Work is cut by outputs; where there are too few of them the reduced
 * elements are cut too, at borders that depend on the shape alone, so no result depends on the number of threads. */
#ifndef CPU_REDUCE_H
#define CPU_REDUCE_H
#include "loop.h"
#include "row.h"

enum { REDUCE_X, REDUCE_OUT, REDUCE_OUT1 }; /* operands of the loop over kept dimensions */
enum { REDUCE_NUMBER = 1 };                 /* operand 1 of the loop over reduced ones: logical element number */
enum { REDUCE_BLOCK = 1024 };               /* outputs in work at a time, at most */

typedef union reduce_value {
    double f;  /* of float and double lanes */
    int64_t i; /* of the integer lane */
} reduce_value;

/* The state of some outputs: running value and element number, and what the pass before left. */
typedef struct reduce_state {
    reduce_value *value;
    int64_t *index;
    double *param;
} reduce_state;

struct cpu_reducer;
typedef struct cpu_reduction {
    const struct cpu_reducer *reducer;
    const char *x;
    dl_dtype type;
    int64_t size;          /* bytes of an element of x */
    cpu_lane lane, result; /* what elements are read as; what values hold in the end: double or integers */
    cpu_loop kept, reduced;
    int64_t block;      /* outputs in work at a time: CPU_ROW where x has to be converted */
    int by_columns;     /* neighbouring outputs lie closer together in x than neighbours in a reduction */
    double p;           /* norm */
    int64_t correction; /* var */
} cpu_reduction;

typedef struct cpu_reducer {
    int passes, ordered; /* ordered: reduced elements must come in logical order, and REDUCE_NUMBER is needed */
    void (*begin)(const cpu_reduction *, int pass, int64_t n, reduce_state);
    /* Takes in reduced elements [from, to) of n outputs whose first starts at x + at, step elements apart. */
    void (*take)(const cpu_reduction *, int pass, int64_t n, reduce_state, int64_t at, int64_t step, int64_t from, int64_t to);
    void (*merge)(const cpu_reduction *, int pass, int64_t n, reduce_state into, reduce_state later);
    void (*end)(const cpu_reduction *, int pass, int64_t n, reduce_state); /* after the last pass: result in value and index */
} cpu_reducer;

/* Runs a reduction of x over dims (none: all) into out[0] and, if n_out is 2, indices into out[1]. index_only: out[0] gets the
 * indices instead. Sets r's geometry; the caller has set reducer,
 * lanes and parameters. */
void CPU_ISA(cpu_reduce)(cpu_reduction *r, const dl_tensor *x, const int64_t *dims, int32_t n_dims, dl_tensor *const *out,
                         uint32_t n_out, int index_only);
#define cpu_reduce CPU_ISA(cpu_reduce)

#endif
