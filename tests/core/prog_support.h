/* prog_support.h - what the tests of core/pointwise share. */
#ifndef PROG_SUPPORT_H
#define PROG_SUPPORT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/pointwise/prog.h"

/* Calls this often have DL_OK as the only right answer: shows the message where it is not. */
#define assert_ok(call)                                                                                                        \
    do {                                                                                                                       \
        if ((call) != DL_OK) fail_msg("%s: %s", #call, dl_last_error());                                                       \
    } while (0)

/* The expression over inputs a, b, c of type `in` and the attributes p, q, computed and returned in `in`. */
dl_expr prog_expr(const char *text, dl_dtype in);
dl_prog *prog_parse(const char *text, dl_dtype in); /* fails the test where it does not parse */
/* Evaluates with one to four floating-point inputs and no attributes. */
double prog_value(const dl_prog *p, const double *in, int32_t n);
double prog_value_attr(const dl_prog *p, const double *in, int32_t n, const double *attr, int32_t n_attr);

/* The row of that name; fails the test where there is none. */
const dl_pointwise_row *prog_row(const char *name);
/* A number as what an input or attribute of this type takes. */
dl_scalar prog_scalar(int32_t type, double value);
#endif
