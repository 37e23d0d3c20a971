/* ops_support.h - calls of ops written as text, for tests that go through the op table.
 *
 * Tensors and attributes are written as core/cases.def explains; a tensor without a letter is float64 (ops_float_type). */
#ifndef OPS_SUPPORT_H
#define OPS_SUPPORT_H
#include "dlrun/dlrun.h"

enum { OPS_TENSORS = 12, OPS_ATTRS = 12, OPS_OUTS = 4, OPS_LIST = 12, OPS_WORD = 16 };

typedef struct ops_call {
    int32_t op, n_in, n_attr, n_out;
    dl_op_info info;
    dl_tensor tensors[OPS_TENSORS];
    const dl_tensor *in[OPS_TENSORS];
    dl_attr attr[OPS_ATTRS];
    int64_t ints[OPS_ATTRS][OPS_LIST];
    char words[OPS_ATTRS][OPS_WORD];
    dl_tensor results[OPS_OUTS];
    dl_tensor *out[OPS_OUTS];
} ops_call;

/* Builds the inputs and attributes; fails the test on bad text. Values depend on seed alone. Free with ops_free. */
void ops_make(ops_call *, const char *op, const char *in, const char *attr, uint64_t seed);
dl_status ops_run(ops_call *); /* replaces the results */
void ops_forget(ops_call *);   /* clears the results */
void ops_free(ops_call *);

/* The dtype of tensors written without a letter; float64 unless a test sets it. */
extern dl_dtype ops_float_type;

uint64_t ops_random(uint64_t *state);                      /* splitmix64 */
double ops_uniform(uint64_t *state, double lo, double hi); /* keeps 0.02 away from whole and half numbers */
#endif
