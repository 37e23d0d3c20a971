/* numbers.h - attributes as kernel arguments, and small things that several families need. */
#ifndef SIMT_NUMBERS_H
#define SIMT_NUMBERS_H
#include "backends/simt/simt.h"

/* An int or float attribute's value. */
static inline double simt_real(const dl_attr *a) { return a->kind == DL_ATTR_INT ? (double)a->v.i : a->v.f; }

/* The place of a string attribute among n names; n: it is none of them. */
int64_t simt_name_of(const char *name, const char *const *names, size_t n);

/* The argument `T_NUMBER value` (loop.h): an int or float attribute as the dtype has it. Floats saturate in integers, NaN gives
 * 0; integers wrap. */
void simt_number(simt_args *a, dl_dtype type, const dl_attr *value);

/* The arguments `GLOBAL i32 *fault, i64 fault_at`: where kernels report bad data. */
void simt_fault(simt_args *a, const dl_frame *f);

/* A kernel that a plan needs: simt_function's arguments. */
typedef struct simt_wanted {
    const char *entry;
    int32_t n_types;
    dl_dtype types[6];
} simt_wanted;
/* A plan for all shapes of these ranks, whose state is the array of n functions (void *[n]) of one text. DL_UNSUPPORTED where a
 * tensor has more than SIMT_LOOP_DIMS dimensions. */
dl_status simt_plan(const dl_frame *f, dl_plan *plan, const char *source, const simt_wanted *wanted, int32_t n);
static inline void *simt_planned(const dl_plan *plan, int32_t k) { return ((void *const *)plan->state)[k]; }

#endif
