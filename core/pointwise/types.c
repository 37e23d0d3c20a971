/* types.c - what an instruction's type and opcode say about its values: widths, names, the bits of constants. */
#include "core/pointwise/internal.h"
#include <string.h>

static const struct {
    const char *name;
    int32_t bits;
} types[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) {name, bits},
#include "dlrun/dtype.def"
#undef DL_DTYPE
};

static const struct {
    const char *spelling;
    int32_t operands;
} opcodes[DL_OPCODE_COUNT] = {
#define DL_OPCODE(NAME, number, operands, spelling) {spelling, operands},
#include "dlrun/opcode.def"
#undef DL_OPCODE
};

int32_t pw_operands(int32_t op) { return opcodes[op].operands; }
const char *pw_spelling(int32_t op) { return opcodes[op].spelling; }

int32_t pw_bits(int32_t type) { return type == DL_U32 ? 32 : types[type].bits; }
const char *pw_type_name(int32_t type) { return type == DL_U32 ? "u32" : types[type].name; }

int64_t pw_wrap(int32_t type, int64_t value) {
    switch (type) {
    case DL_BOOL: return value != 0;
    case DL_U8: return (uint8_t)value;
    case DL_U32: return (uint32_t)value;
    case DL_I8: return (int8_t)value;
    case DL_I16: return (int16_t)value;
    case DL_I32: return (int32_t)value;
    default: return value;
    }
}

uint64_t pw_pack(int32_t type, dl_scalar value) {
    uint64_t bits = (uint64_t)value.i;
    if (type == DL_F32) {
        float f = (float)value.f;
        uint32_t narrow;
        memcpy(&narrow, &f, sizeof narrow);
        bits = f != f ? 0x7fc00000u : narrow; /* one NaN, so that equal programs hash equally */
    } else if (type == DL_F64) {
        memcpy(&bits, &value.f, sizeof bits);
        if (value.f != value.f) bits = 0x7ff8000000000000u;
    }
    return bits;
}

dl_scalar pw_unpack(int32_t type, uint64_t imm) {
    dl_scalar value = {.i = (int64_t)imm};
    if (type == DL_F32) {
        uint32_t narrow = (uint32_t)imm;
        float f;
        memcpy(&f, &narrow, sizeof f);
        value.f = f;
    } else if (type == DL_F64) {
        memcpy(&value.f, &imm, sizeof imm);
    }
    return value;
}
