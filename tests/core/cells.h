/* cells.h - tensors as numbered cells, for tests that compare kernels with naive loops: random layouts and shapes, elements as
 * doubles whatever the dtype, memory of exactly the size needed (so that AddressSanitizer sees what lies beside it). */
#ifndef CELLS_H
#define CELLS_H
#include "dlrun/dlrun.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* splitmix64, and what is made of it: 0..n-1 */
uint64_t cells_bits(uint64_t *random);
int64_t cells_below(uint64_t *random, int64_t n);

/* A tensor in its own memory. With random: permuted dimensions, gaps and an offset; NULL: contiguous. Elements are 0. */
void cells_make(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, uint64_t *random);
/* The same with random elements: integers -4..4 (0..4 unsigned, 0..1 bool), floats multiples of 1/4 in -4..4. */
void cells_random(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, uint64_t *random);
void cells_of(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, const double *values); /* contiguous */
/* Fails the test if anything but the elements of t (made above) was written. */
void cells_check_gaps(const dl_tensor *t);

double cells_get(const dl_tensor *t, int64_t number); /* logical row-major element number */
void cells_set(dl_tensor *t, int64_t number, double value);
double cells_rounded(dl_dtype type, double value); /* value as the dtype holds it: floats to nearest even; integers truncated */

/* Odometer over shape: 1 while there is a next place, 0 when it wrapped to zeros. */
int cells_next(int32_t ndim, const int64_t *shape, int64_t *place);
int64_t cells_number(int32_t ndim, const int64_t *shape, const int64_t *place);

/* dl_call by name; `call` fails the test on an error, `refuse` unless the status is DL_INVALID with exactly this message behind
 * the op's name. out: n_out consecutive descriptors. */
void cells_call(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out, const dl_attr *attr,
                int32_t n_attr);
void cells_refuse(const char *message, const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out,
                  const dl_attr *attr, int32_t n_attr);

#define A_INT(x)                                                                                                               \
    {                                                                                                                          \
        DL_ATTR_INT, 0, { .i = (x) }                                                                                           \
    }
#define A_FLOAT(x)                                                                                                             \
    {                                                                                                                          \
        DL_ATTR_FLOAT, 0, { .f = (x) }                                                                                         \
    }
#define A_INTS(list, n)                                                                                                        \
    {                                                                                                                          \
        DL_ATTR_INTS, (n), { .iv = (list) }                                                                                    \
    }

/* |got - expected| <= tolerance, or both NaN, or equal infinities. */
void cells_near(double got, double expected, double tolerance, const char *what);
double cells_epsilon(dl_dtype type); /* half a unit in the last place of 1; 0 for integers */

/* Fails unless every element of the tensors has the same bits. */
void cells_same_bits(const dl_tensor *a, const dl_tensor *b);
#endif
