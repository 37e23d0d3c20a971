/* philox.c - random draws inside expressions: Philox 4x32-10 as instructions, the stream of dlrun/philox.h. */
#include "core/pointwise/internal.h"

static int32_t u32(pw_builder *p, uint32_t value) { return pw_const(p, DL_U32, (dl_scalar){.i = value}); }

/* Bits [shift, shift + 32) of an int64. */
static int32_t word(pw_builder *p, int32_t x, int32_t shift) {
    if (shift) x = pw_emit2(p, DL_OP_SHR, x, pw_number(p, DL_I64, shift));
    return pw_cast(p, x, DL_U32);
}

int32_t pw_philox(pw_builder *p, int32_t key, int32_t call) {
    const int32_t index = pw_leaf(p, DL_OP_INDEX, DL_I64, 0);
    int32_t c[4] = {word(p, index, 2), word(p, index, 34), word(p, call, 0), word(p, call, 32)};
    int32_t k[2] = {word(p, key, 0), word(p, key, 32)};
    const int32_t m0 = u32(p, 0xD2511F53u), m1 = u32(p, 0xCD9E8D57u);
    for (int round = 0; round < 10; round++) {
        const int32_t low0 = pw_emit2(p, DL_OP_MUL, c[0], m0), high0 = pw_emit2(p, DL_OP_MULHI, c[0], m0);
        const int32_t low1 = pw_emit2(p, DL_OP_MUL, c[2], m1), high1 = pw_emit2(p, DL_OP_MULHI, c[2], m1);
        c[0] = pw_emit2(p, DL_OP_XOR, pw_emit2(p, DL_OP_XOR, high1, c[1]), k[0]);
        c[2] = pw_emit2(p, DL_OP_XOR, pw_emit2(p, DL_OP_XOR, high0, c[3]), k[1]);
        c[1] = low1;
        c[3] = low0;
        k[0] = pw_emit2(p, DL_OP_ADD, k[0], u32(p, 0x9E3779B9u));
        k[1] = pw_emit2(p, DL_OP_ADD, k[1], u32(p, 0xBB67AE85u));
    }
    const int32_t lane = pw_emit2(p, DL_OP_AND, index, pw_number(p, DL_I64, 3));
    int32_t draw = c[3];
    for (int k4 = 2; k4 >= 0; k4--) draw = pw_select(p, pw_compare(p, DL_OP_EQ, lane, pw_number(p, DL_I64, k4)), c[k4], draw);
    return draw;
}
