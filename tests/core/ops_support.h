/* ops_support.h - calls of ops written as text, for tests that go through the op table.
 *
 * Tensors are separated by spaces: an optional dtype letter and colon, a shape, an optional range of values.
 *     2,3         float64 of shape (2, 3), random values in -2..2 that keep away from whole and half numbers
 *     f:()        float32, 0-dim (d float64, c the same for what is held constant, f float32, h float16, i int64, n int32, u
 * uint8, b bool; integers draw whole numbers) i:4@0:5     int64 of shape (4), values 0..4 2,3@0.1:3   float64 in 0.1..3 2,3^
 * the same shape, seen through a transposition of the last two dimensions
 *     -           an absent optional
 * Attributes likewise: 3   0.5   [1,-1]   []   'reflect'   _ (the default). */
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
