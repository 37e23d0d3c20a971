/* internal.h - what the files of core/pointwise share: instruction types, the builder of programs, its folding. */
#ifndef DL_POINTWISE_INTERNAL_H
#define DL_POINTWISE_INTERNAL_H
#include "core/pointwise/prog.h"
#include "core/status.h"
#include <stdbool.h>

/* ---- types and values ------------------------------------------------------------------------------------------------ */

static inline bool pw_is_float(int32_t type) { return type == DL_F32 || type == DL_F64; }
static inline bool pw_is_signed(int32_t type) { return type == DL_I8 || type == DL_I16 || type == DL_I32 || type == DL_I64; }
static inline bool pw_is_unsigned(int32_t type) { return type == DL_U8 || type == DL_U32 || type == DL_BOOL; }
static inline dl_dtype pw_widen(dl_dtype type) { return type == DL_F16 || type == DL_BF16 ? DL_F32 : type; }

int32_t pw_bits(int32_t type);                   /* width; 8 for bool */
const char *pw_type_name(int32_t type);          /* "float32", "u32" */
int64_t pw_wrap(int32_t type, int64_t value);    /* into an integer type's range; bool: != 0 */
uint64_t pw_pack(int32_t type, dl_scalar value); /* dl_ins.imm of a constant: integers extended to 64 bits */
dl_scalar pw_unpack(int32_t type, uint64_t imm);

/* One opcode on values; from: the type of the operands (of b and c for sel). False: an integer was divided by zero. Floats stay
 * in double: nothing is rounded to f32 except by cast and bitcast. */
bool pw_apply(int32_t op, int32_t type, int32_t from, const dl_scalar v[3], dl_scalar *out);
double pw_digamma(double x);
double pw_trigamma(double x);

int32_t pw_operands(int32_t op); /* 0 to 3 */
const char *pw_spelling(int32_t op);

/* ---- building ---------------------------------------------------------------------------------------------------------- */

/* Instructions under construction, hash-consed: the same instruction twice is one. After a failed allocation every emit
 * returns instruction 0 of a scratch place and pw_finish reports it, so no emit needs a check. */
typedef struct pw_builder {
    dl_ins *ins;
    int32_t n, capacity;
    int32_t *bucket; /* instruction number + 1, 0 free; 2 * capacity of them, a power of two */
    bool out_of_memory;
    dl_ins small_ins[64];
    int32_t small_bucket[128];
} pw_builder;

void pw_begin(pw_builder *);
void pw_discard(pw_builder *);
/* Makes the program of what `root` needs; the builder is discarded whatever comes out. */
dl_status pw_finish(pw_builder *, int32_t root, int32_t n_in, const uint8_t *in_type, int32_t n_attr, const char *name,
                    dl_prog **out);

int32_t pw_const(pw_builder *, int32_t type, dl_scalar value);
int32_t pw_number(pw_builder *, int32_t type, double value);             /* converted to type */
int32_t pw_leaf(pw_builder *, int32_t op, int32_t type, int32_t number); /* in, attr, index */
/* Folds, simplifies, shares. Operands the opcode does not have are 0. */
int32_t pw_emit(pw_builder *, int32_t op, int32_t type, int32_t a, int32_t b, int32_t c);
int32_t pw_intern(pw_builder *, dl_ins); /* shares only */
static inline int32_t pw_emit1(pw_builder *p, int32_t op, int32_t a) { return pw_emit(p, op, p->ins[a].type, a, 0, 0); }
static inline int32_t pw_emit2(pw_builder *p, int32_t op, int32_t a, int32_t b) {
    return pw_emit(p, op, p->ins[a].type, a, b, 0);
}
static inline int32_t pw_compare(pw_builder *p, int32_t op, int32_t a, int32_t b) { return pw_emit(p, op, DL_BOOL, a, b, 0); }
static inline int32_t pw_select(pw_builder *p, int32_t c, int32_t a, int32_t b) {
    return pw_emit(p, DL_OP_SEL, p->ins[a].type, c, a, b);
}
static inline int32_t pw_cast(pw_builder *p, int32_t a, int32_t type) { return pw_emit(p, DL_OP_CAST, type, a, 0, 0); }

/* fold.c: the instruction that the given one amounts to (constants, identities that hold for every IEEE value), or -1. */
int32_t pw_simplify(pw_builder *, const dl_ins *);
/* philox.c: the u32 draw of the element, of an int64 key and call number. */
int32_t pw_philox(pw_builder *, int32_t key, int32_t call);
bool pw_is_number(const pw_builder *, int32_t ins, double value); /* is it that constant? -0 is not 0 */

/* ---- parsing ------------------------------------------------------------------------------------------------------------- */

typedef enum pw_token_kind { PW_END, PW_NAME, PW_NUMBER, PW_OPERATOR, PW_BAD } pw_token_kind;

typedef struct pw_token {
    pw_token_kind kind;
    const char *text;
    int32_t length;
    bool integral; /* numbers */
    int64_t i;
    double f;
} pw_token;

/* The token at `at` (blanks skipped), which ends before `end`. */
pw_token pw_lex(const char *at, const char *end);

/* A text with the names it may use. */
typedef struct pw_source {
    const char *name;        /* for messages */
    const char *origin;      /* columns count from here */
    const char *begin, *end; /* the expression */
    int32_t n_in, n_attr;
    const char *in_name[DL_PROG_MAX_IN + 2];
    uint8_t in_type[DL_PROG_MAX_IN + 2];
    const char *const *attr_name;
    dl_dtype compute, out_type;
} pw_source;

dl_status pw_parse(const pw_source *, dl_prog **out);

/* A typed or still untyped ("weak") number while parsing. */
typedef struct pw_operand {
    int32_t ins; /* -1: weak */
    bool integral;
    int64_t i;
    double f;
} pw_operand;

/* Brings the operands of an opcode to the type it will compute in (docs/pointwise.md, "Types") and emits it. typing.c. NULL or,
 * where the types do not fit, a sentence for the message. */
const char *pw_typed(pw_builder *, dl_dtype compute, int32_t op, pw_operand *v, pw_operand *out);
int32_t pw_strong(pw_builder *, const pw_operand *, int32_t type); /* as an instruction of that type, cast if need be */

#endif
