/* prog.h - pointwise programs: parsed from an expression, differentiated, printed as C. Pure functions of text and programs:
 * nothing here knows tensors, devices or the registry. The build-time generator links the same files. */
#ifndef DL_CORE_PROG_H
#define DL_CORE_PROG_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"
#include <stddef.h>

enum { DL_PROG_MAX_IN = 8, DL_PROG_MAX_ATTR = 16 };

/* Type of an expression's results, see the rules in pointwise.def. */
typedef struct dl_expr {
    const char *name;  /* for messages and dl_prog.name */
    const char *text;
    int32_t n_in, n_attr;
    const char *in_name[DL_PROG_MAX_IN];     /* tensors */
    const char *attr_name[DL_PROG_MAX_ATTR]; /* scalar attributes */
    dl_dtype in_type[DL_PROG_MAX_IN];        /* f16/bf16 are given as F32 */
    dl_dtype compute;                        /* the type untyped constants, attributes and `T` stand for */
    dl_dtype out_type;                       /* the result is cast to this */
} dl_expr;

/* Parses, types, folds constants and shares common subexpressions. The program is one allocation, freed by dl_prog_free.
 * DL_INVALID names the expression, the column and what was expected there. */
dl_status dl_prog_parse(const dl_expr *, dl_prog **out);
void dl_prog_free(dl_prog *);

/* The program of g * d(out)/d(in[k]) with inputs (g, in..., y): forward mode, selections kept outermost. Inputs that it does not
 * read still have their numbers; dl_prog_reads tells. g and y have type `out_type` of p; the result in_type[k].
 * DL_UNSUPPORTED where the derivative does not exist (integer input). A derivative that is 0 everywhere is a constant. */
dl_status dl_prog_grad(const dl_prog *p, int32_t k, dl_prog **out);
int32_t dl_prog_reads(const dl_prog *p, int32_t k); /* is input k used? */

/* second after first: first's result becomes second's input `at`; the other inputs and the attributes are appended
 * (first's in order, then second's without `at`). */
dl_status dl_prog_chain(const dl_prog *first, const dl_prog *second, int32_t at, dl_prog **out);

/* Prints the scalar body as C: statements that read `x0..` and `a0..` (attributes, of C type of `compute`) and `idx`, and
 * assign `y0`. Opcodes that are not operators become calls dl_<opcode>_<type>(…), supplied by the includer (backends/cpu/
 * vecmath.h on the CPU). Returns the length it needs, like snprintf. */
int32_t dl_prog_print_c(const dl_prog *p, char *text, size_t capacity);

/* Evaluates the program for one element in the host's double/int64 (tests and constant folding): the reference. Values are in f64 for
 * floating types and in i64 for integers and bool. */
typedef union dl_scalar {
    double f;
    int64_t i;
} dl_scalar;
dl_status dl_prog_eval(const dl_prog *p, const dl_scalar *in, const dl_scalar *attr, int64_t index, dl_scalar *out);

/* ---- the table of built-in rows (pointwise.def), shared by the core's registration and the generator -------------------- */

typedef struct dl_pointwise_row {
    const char *sig;   /* "add(Tensor a, Tensor b, Scalar alpha=1) -> Tensor" */
    const char *rule;
    const char *expr;
    const char *grads; /* NULL derived, "" none, else "a: …; b: …" */
    const char *doc;
} dl_pointwise_row;
extern const dl_pointwise_row dl_pointwise_rows[];
extern const int32_t dl_pointwise_row_count;

/* The types a rule gives for inputs already promoted to `common`: the compute type and the result's. DL_INVALID where the rule
 * refuses the type (bitwise ops on floats). */
dl_status dl_rule_types(const char *rule, dl_dtype common, dl_dtype *compute, dl_dtype *out);
#endif
