/* prog.h - pointwise programs: parsed from an expression, differentiated, printed as C. Pure functions of text and programs:
 * nothing here knows tensors, devices or the registry. The build-time generator links the same files. */
#ifndef DL_CORE_PROG_H
#define DL_CORE_PROG_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"
#include <stddef.h>

/* Limits of one expression, and of any program (gradients add g and out, chains append). */
enum { DL_PROG_MAX_IN = 8, DL_PROG_MAX_ATTR = 16, DL_PROG_MAX_ARGS = 32 };

/* An expression and the types it is compiled for. f16 and bf16 are taken as F32 wherever they occur. */
typedef struct dl_expr {
    const char *name; /* for messages and dl_prog.name */
    const char *text; /* docs/pointwise.md has the grammar */
    int32_t n_in, n_attr;
    const char *in_name[DL_PROG_MAX_IN];     /* tensors */
    const char *attr_name[DL_PROG_MAX_ATTR]; /* scalar attributes */
    dl_dtype in_type[DL_PROG_MAX_IN];
    dl_dtype compute;  /* what untyped numbers, attributes and the cast `T` stand for */
    dl_dtype out_type; /* the result is cast to this */
} dl_expr;

/* Parses, types, folds constants and shares common subexpressions. The program is one allocation, freed by dl_prog_free.
 * DL_INVALID names the expression, the column and what was expected there. */
dl_status dl_prog_parse(const dl_expr *, dl_prog **out);
void dl_prog_free(dl_prog *);

/* The program of g * d(out)/d(in[k]) with inputs (g, in..., out): forward mode, selections kept outermost. g and out have p's
 * result type, the gradient has in_type[k]; attributes are p's. Where the derivative is a function of the result (exp, sqrt,
 * tanh) it reads out, not the inputs. Inputs that it does not read still have their numbers; dl_prog_reads tells. A derivative
 * that is 0 everywhere is a constant. DL_UNSUPPORTED where there is none: integer input or result, no opcode for it. */
dl_status dl_prog_grad(const dl_prog *p, int32_t k, dl_prog **out);
int32_t dl_prog_reads(const dl_prog *p, int32_t k); /* is input k used? */

/* The gradient of an expression towards input k as its row defines it: the text after "name:" in grads, else (grads NULL, or
 * silent about k) derived by dl_prog_grad. Same inputs and result as dl_prog_grad's program, and differentiable like any
 * other. DL_UNSUPPORTED where grads is "" or the input is an integer. */
dl_status dl_expr_grad(const dl_expr *, const char *grads, int32_t k, dl_prog **out);

/* second after first: first's result becomes second's input `at`; the other inputs and the attributes are appended
 * (first's in order, then second's without `at`). */
dl_status dl_prog_chain(const dl_prog *first, const dl_prog *second, int32_t at, dl_prog **out);

/* Prints the scalar body as C: statements that read the inputs x0.. (in_type; bool as _Bool), the attributes a0.. (each of the
 * type of its `attr` instructions: `compute`), idx (int64_t) and fault (int32_t *), and define y0 (the result, as a constant).
 * Only what is read is named: dl_prog_reads and dl_prog_attr_type tell. Returns the length it needs, like snprintf.
 *
 * What is not a C operator is a call that the includer supplies (backends/cpu/vecmath.h on the CPU), named
 * dl_<opcode>_<suffix>, with suffixes f32 f64 u8 i8 i16 i32 i64 u32; arguments and result in that type:
 *   f32 f64        fma max min abs sqrt exp exp2 expm1 log log2 log1p sin cos tan asin acos atan atan2 sinh cosh tanh erf
 *                  erfc lgamma digamma trigamma pow floor ceil trunc rint idiv imod (C's fmod;
 *                  idiv is the quotient that goes with it, exactly: (a - imod(a, b)) / b)
 *   integers       max min pow shl shr mulhi; abs (signed ones); pow by squaring, wrapping; a negative exponent gives what
 *                  truncation of the true result gives (0, 1 or -1), and 0 for base 0
 *                  idiv(a, b, fault) imod(a, b, fault): b == 0 sets *fault = 1 and gives 0; INT_MIN / -1 wraps
 *   dl_cast_<to>_<from>     float to integer (to: u8 i8 i16 i32 i64 u32; from: f32 f64), saturating, NaN gives 0
 *   dl_bitcast_<to>_<from>  between f32 i32 u32, between f64 i64
 * Bool needs none: max min + * on it print as | and &. */
int32_t dl_prog_print_c(const dl_prog *p, char *text, size_t capacity);
/* The same in the kernel dialect (dlrun/simt.h): types f32, i64, bool ...; idiv and imod of integers have no fault argument and
 * give 0 where b is 0. core/generate/math.simt has the functions. */
int32_t dl_prog_print_simt(const dl_prog *p, char *text, size_t capacity);
int32_t dl_prog_attr_type(const dl_prog *p, int32_t k); /* dl_dtype that attribute k is read in; -1: not read */

/* Evaluates the program for one element in the host's double/int64 (tests and constant folding): the reference. Values are in
 * f64 for floating types and in i64 for integers and bool. */
typedef union dl_scalar {
    double f;
    int64_t i;
} dl_scalar;
dl_status dl_prog_eval(const dl_prog *p, const dl_scalar *in, const dl_scalar *attr, int64_t index, dl_scalar *out);

/* ---- the table of built-in rows (pointwise.def), shared by the core's registration and the generator -------------------- */

typedef struct dl_pointwise_row {
    const char *sig; /* "add(Tensor a, Tensor b, Scalar alpha=1) -> Tensor" */
    const char *rule;
    const char *expr;
    const char *grads; /* NULL derived, "" none, else "a: …; b: …" */
    const char *doc;
} dl_pointwise_row;
extern const dl_pointwise_row dl_pointwise_rows[];
extern const int32_t dl_pointwise_row_count;

/* The types a rule gives for inputs already promoted to `common` ("same": the first input's type): the compute type, which is
 * never f16 or bf16, and the result tensor's. DL_INVALID where the rule refuses the type (bitwise ops on floats). */
dl_status dl_rule_types(const char *rule, dl_dtype common, dl_dtype *compute, dl_dtype *out);

/* Fills *out (name, text, names, types) for a signature, rule and expression at inputs promoted to `common`. An input declared
 * `Tensor:bool c` has that dtype always and takes no part in promotion; every other one has the compute type, so the
 * dispatcher casts inputs to dl_prog.in_type. out's names point into `names` (DL_EXPR_NAMES bytes, the caller's). */
enum { DL_EXPR_NAMES = 512 };
dl_status dl_expr_of(const char *sig, const char *rule, const char *text, dl_dtype common, char *names, dl_expr *out);
#endif
