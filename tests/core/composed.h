/* composed.h - an op's composition against its own kernel on the CPU: tests of core/ops/compose_*.c. */
#ifndef COMPOSED_H
#define COMPOSED_H
#include "tests/core/cells.h"

/* Calls the op twice, by its kernel and by primitive ops alone, and fails the test unless shapes and dtypes of all results are
 * equal and elements differ by at most `tolerance` times (1 + |element|), in units of the dtype's epsilon; two NaN are equal.
 * Both must refuse where one does. `what` is for messages. */
void composed_check(const char *op, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr,
                    double tolerance, const char *what);

/* A floating dtype: float32, float64, float16, bfloat16. */
dl_dtype composed_type(uint64_t *random);
/* Makes some elements NaN, infinite, or equal to another one. */
void composed_spoil(dl_tensor *, uint64_t *random);
#endif
