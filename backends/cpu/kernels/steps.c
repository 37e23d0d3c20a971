/* steps.c - the interpreter's loops: one for every opcode and type, made from the functions of vecmath.h. What is C's own here
 * is printed the same way by core/pointwise/print_c.c. */
#include "backends/cpu/pointwise_loop.h"
#include "backends/cpu/vecmath.h"
#include "interp.h"

#define STEP(name, T, O, expression)                                                                                           \
    static void name(int64_t n, void *out, const void *a, const void *b, const void *c, int32_t *fault) {                      \
        const T *x = a, *y = b, *z = c;                                                                                        \
        O *o = out;                                                                                                            \
        (void)x, (void)y, (void)z, (void)fault;                                                                                \
        CPU_LOOP_FOR(int64_t i = 0; i < n; i++) o[i] = (O)(expression);                                                        \
    }

/* X(opcode, suffix, operand type, result type, expression over x[i], y[i], z[i]) */
#define ANY_OPS(X, sfx, T)                                                                                                     \
    X(LT, sfx, T, uint8_t, x[i] < y[i])                                                                                        \
    X(LE, sfx, T, uint8_t, x[i] <= y[i])                                                                                       \
    X(EQ, sfx, T, uint8_t, x[i] == y[i])                                                                                       \
    X(SEL, sfx, T, T, ((const uint8_t *)a)[i] ? y[i] : z[i])
#define UNARY(X, OP, op, sfx, T) X(OP, sfx, T, T, dl_##op##_##sfx(x[i]))
#define BINARY(X, OP, op, sfx, T) X(OP, sfx, T, T, dl_##op##_##sfx(x[i], y[i]))
/* clang-format off */
#define FLOAT_OPS(X, sfx, T)                                                                                                   \
    ANY_OPS(X, sfx, T)                                                                                                         \
    X(ADD, sfx, T, T, x[i] + y[i])                                                                                             \
    X(SUB, sfx, T, T, x[i] - y[i])                                                                                             \
    X(MUL, sfx, T, T, x[i] * y[i])                                                                                             \
    X(DIV, sfx, T, T, x[i] / y[i])                                                                                             \
    X(RECIP, sfx, T, T, 1 / x[i])                                                                                              \
    X(NEG, sfx, T, T, -x[i])                                                                                                   \
    X(FMA, sfx, T, T, dl_fma_##sfx(x[i], y[i], z[i]))                                                                          \
    BINARY(X, MAX, max, sfx, T) BINARY(X, MIN, min, sfx, T) BINARY(X, ATAN2, atan2, sfx, T)                                    \
    BINARY(X, POW, pow, sfx, T) BINARY(X, IDIV, idiv, sfx, T) BINARY(X, IMOD, imod, sfx, T)                                    \
    UNARY(X, ABS, abs, sfx, T) UNARY(X, SQRT, sqrt, sfx, T) UNARY(X, EXP, exp, sfx, T)                                         \
    UNARY(X, EXP2, exp2, sfx, T) UNARY(X, EXPM1, expm1, sfx, T) UNARY(X, LOG, log, sfx, T)                                     \
    UNARY(X, LOG2, log2, sfx, T) UNARY(X, LOG1P, log1p, sfx, T) UNARY(X, SIN, sin, sfx, T)                                     \
    UNARY(X, COS, cos, sfx, T) UNARY(X, TAN, tan, sfx, T) UNARY(X, ASIN, asin, sfx, T)                                         \
    UNARY(X, ACOS, acos, sfx, T) UNARY(X, ATAN, atan, sfx, T) UNARY(X, SINH, sinh, sfx, T)                                     \
    UNARY(X, COSH, cosh, sfx, T) UNARY(X, TANH, tanh, sfx, T) UNARY(X, ERF, erf, sfx, T)                                       \
    UNARY(X, ERFC, erfc, sfx, T) UNARY(X, LGAMMA, lgamma, sfx, T) UNARY(X, DIGAMMA, digamma, sfx, T)                           \
    UNARY(X, TRIGAMMA, trigamma, sfx, T) UNARY(X, FLOOR, floor, sfx, T) UNARY(X, CEIL, ceil, sfx, T)                           \
    UNARY(X, TRUNC, trunc, sfx, T) UNARY(X, RINT, rint, sfx, T)
/* U: the unsigned type in which arithmetic wraps */
#define INTEGER_OPS(X, sfx, T, U)                                                                                              \
    ANY_OPS(X, sfx, T)                                                                                                         \
    X(ADD, sfx, T, T, (U)x[i] + (U)y[i])                                                                                       \
    X(SUB, sfx, T, T, (U)x[i] - (U)y[i])                                                                                       \
    X(MUL, sfx, T, T, (U)x[i] * (U)y[i])                                                                                       \
    X(NEG, sfx, T, T, 0 - (U)x[i])                                                                                             \
    X(AND, sfx, T, T, x[i] & y[i])                                                                                             \
    X(OR, sfx, T, T, x[i] | y[i])                                                                                              \
    X(XOR, sfx, T, T, x[i] ^ y[i])                                                                                             \
    X(NOT, sfx, T, T, ~x[i])                                                                                                   \
    BINARY(X, MAX, max, sfx, T) BINARY(X, MIN, min, sfx, T) BINARY(X, POW, pow, sfx, T)                                        \
    BINARY(X, SHL, shl, sfx, T) BINARY(X, SHR, shr, sfx, T) BINARY(X, MULHI, mulhi, sfx, T)                                    \
    UNARY(X, ABS, abs, sfx, T)                                                                                                 \
    X(IDIV, sfx, T, T, dl_idiv_##sfx(x[i], y[i], fault))                                                                       \
    X(IMOD, sfx, T, T, dl_imod_##sfx(x[i], y[i], fault))
/* clang-format on */
#define BOOL_OPS(X, sfx, T)                                                                                                    \
    ANY_OPS(X, sfx, T)                                                                                                         \
    X(ADD, sfx, T, T, x[i] | y[i])                                                                                             \
    X(MUL, sfx, T, T, x[i] & y[i])                                                                                             \
    X(MAX, sfx, T, T, x[i] | y[i])                                                                                             \
    X(MIN, sfx, T, T, x[i] & y[i])                                                                                             \
    X(AND, sfx, T, T, x[i] & y[i])                                                                                             \
    X(OR, sfx, T, T, x[i] | y[i])                                                                                              \
    X(XOR, sfx, T, T, x[i] ^ y[i])                                                                                             \
    X(NOT, sfx, T, T, !x[i])
#define ALL_OPS(X)                                                                                                             \
    FLOAT_OPS(X, f32, float)                                                                                                   \
    FLOAT_OPS(X, f64, double)                                                                                                  \
    INTEGER_OPS(X, u8, uint8_t, uint32_t)                                                                                      \
    INTEGER_OPS(X, i8, int8_t, uint32_t)                                                                                       \
    INTEGER_OPS(X, i16, int16_t, uint32_t)                                                                                     \
    INTEGER_OPS(X, i32, int32_t, uint32_t)                                                                                     \
    INTEGER_OPS(X, u32, uint32_t, uint32_t)                                                                                    \
    INTEGER_OPS(X, i64, int64_t, uint64_t)                                                                                     \
    BOOL_OPS(X, b8, uint8_t)

/* Columns of the tables: every type that occurs in programs. */
enum { f32, f64, u8, i8, i16, i32, i64, b8, u32, TYPES };
static int column(int32_t type) {
    static const int8_t columns[DL_DTYPE_COUNT] = {
        [DL_F32] = f32, [DL_F64] = f64, [DL_F16] = -1,  [DL_BF16] = -1, [DL_U8] = u8,
        [DL_I8] = i8,   [DL_I16] = i16, [DL_I32] = i32, [DL_I64] = i64, [DL_BOOL] = b8};
    return type == DL_U32 ? u32 : type >= 0 && type < DL_DTYPE_COUNT ? columns[type] : -1;
}

#define DEFINE(OP, sfx, T, O, expression) STEP(OP##_##sfx, T, O, expression)
ALL_OPS(DEFINE)

#define ENTRY(OP, sfx, T, O, expression) [DL_OP_##OP][sfx] = OP##_##sfx,
static const cpu_step steps[DL_OPCODE_COUNT][TYPES] = {ALL_OPS(ENTRY)};

/* ---- conversions --------------------------------------------------------------------------------------------------------- */
#define CAST_PLAIN(to, TO, from, FROM) STEP(cast_##to##_##from, FROM, TO, x[i])
#define CAST_SATURATING(to, TO, from, FROM) STEP(cast_##to##_##from, FROM, TO, dl_cast_##to##_##from(x[i]))
#define CAST_TRUTH(from, FROM) STEP(cast_b8_##from, FROM, uint8_t, x[i] != 0)
#define CASTS_FROM(from, FROM, TO_INTEGER)                                                                                     \
    CAST_PLAIN(f32, float, from, FROM)                                                                                         \
    CAST_PLAIN(f64, double, from, FROM)                                                                                        \
    TO_INTEGER(u8, uint8_t, from, FROM)                                                                                        \
    TO_INTEGER(i8, int8_t, from, FROM)                                                                                         \
    TO_INTEGER(i16, int16_t, from, FROM)                                                                                       \
    TO_INTEGER(i32, int32_t, from, FROM)                                                                                       \
    TO_INTEGER(i64, int64_t, from, FROM)                                                                                       \
    TO_INTEGER(u32, uint32_t, from, FROM)                                                                                      \
    CAST_TRUTH(from, FROM)
CASTS_FROM(f32, float, CAST_SATURATING)
CASTS_FROM(f64, double, CAST_SATURATING)
CASTS_FROM(u8, uint8_t, CAST_PLAIN)
CASTS_FROM(i8, int8_t, CAST_PLAIN)
CASTS_FROM(i16, int16_t, CAST_PLAIN)
CASTS_FROM(i32, int32_t, CAST_PLAIN)
CASTS_FROM(i64, int64_t, CAST_PLAIN)
CASTS_FROM(u32, uint32_t, CAST_PLAIN)
CASTS_FROM(b8, uint8_t, CAST_PLAIN)

#define CAST_ROW(from)                                                                                                         \
    {                                                                                                                          \
        cast_f32_##from, cast_f64_##from, cast_u8_##from, cast_i8_##from, cast_i16_##from, cast_i32_##from, cast_i64_##from,   \
            cast_b8_##from, cast_u32_##from                                                                                    \
    }
static const cpu_step casts[TYPES][TYPES] = {/* [from][to] */
                                             CAST_ROW(f32), CAST_ROW(f64), CAST_ROW(u8), CAST_ROW(i8), CAST_ROW(i16),
                                             CAST_ROW(i32), CAST_ROW(i64), CAST_ROW(b8), CAST_ROW(u32)};

STEP(move_8, uint8_t, uint8_t, x[i])
STEP(move_16, uint16_t, uint16_t, x[i])
STEP(move_32, uint32_t, uint32_t, x[i])
STEP(move_64, uint64_t, uint64_t, x[i])

cpu_step cpu_step_move(int32_t type) {
    static const cpu_step moves[TYPES] = {move_32, move_64, move_8, move_8, move_16, move_32, move_64, cast_b8_b8, move_32};
    const int to = column(type);
    return to < 0 ? NULL : moves[to];
}

cpu_step cpu_step_of(int32_t op, int32_t type, int32_t from) {
    const int to = column(type), operand = column(from);
    if (op < 0 || op >= DL_OPCODE_COUNT || to < 0) return NULL;
    if (op == DL_OP_CAST) return operand < 0 ? NULL : casts[operand][to];
    if (op == DL_OP_BITCAST) return cpu_step_move(type);
    if (op == DL_OP_LT || op == DL_OP_LE || op == DL_OP_EQ) return operand < 0 ? NULL : steps[op][operand];
    return steps[op][to];
}
