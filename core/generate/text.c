/* text.c - the text of generated sources. */
#include "core/dtype.h"
#include "core/generate/generate.h"
#include "core/mem.h"
#include <stdarg.h>
#include <stdio.h>

static bool make_room(gen_text *t, size_t more) {
    if (t->length + more < t->capacity) return true;
    const size_t capacity = 2 * (t->length + more) + 1024;
    char *grown = t->failed ? NULL : dl_mem(t->data, capacity);
    if (!grown) {
        t->failed = true;
        return false;
    }
    t->data = grown;
    t->capacity = capacity;
    return true;
}

void gen_put(gen_text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0 || !make_room(t, (size_t)n)) return;
    va_start(arguments, format);
    vsnprintf(t->data + t->length, (size_t)n + 1, format, arguments);
    va_end(arguments);
    t->length += (size_t)n;
}

static const struct {
    const char *stored, *computed;
    dl_dtype raw;
} types[DL_DTYPE_COUNT] = {
    [DL_F32] = {"f32", "f32", DL_I32},  [DL_F64] = {"f64", "f64", DL_I64}, [DL_F16] = {"u16", "f32", DL_I16},
    [DL_BF16] = {"u16", "f32", DL_I16}, [DL_U8] = {"u8", "u8", DL_U8},     [DL_I8] = {"i8", "i8", DL_U8},
    [DL_I16] = {"i16", "i16", DL_I16},  [DL_I32] = {"i32", "i32", DL_I32}, [DL_I64] = {"i64", "i64", DL_I64},
    [DL_BOOL] = {"u8", "bool", DL_U8},
};

const char *gen_type_name(dl_dtype type) { return types[type].stored; }
const char *gen_program_type(dl_dtype type) { return types[type].computed; }
dl_dtype gen_raw(dl_dtype type) { return types[type].raw; }
bool gen_is_half(dl_dtype type) { return type == DL_F16 || type == DL_BF16; }
dl_dtype gen_widened(dl_dtype type) { return gen_is_half(type) ? DL_F32 : type; }

void gen_put_operand(gen_text *t, const char *name, dl_dtype type) {
    gen_put(t, "#define T_%s %s\n", name, gen_type_name(type));
    if (gen_is_half(type)) {
        const char *half = type == DL_F16 ? "f16" : "bf16";
        gen_put(t, "#define LOAD_%s(p, i) load_%s(p, i)\n#define STORE_%s(p, i, v) store_%s(p, i, v)\n", name, half, name,
                half);
    } else {
        const char *test = type == DL_BOOL ? " != 0" : "";
        gen_put(t, "#define LOAD_%s(p, i) ((p)[i]%s)\n#define STORE_%s(p, i, v) ((p)[i] = (v)%s)\n", name, test, name, test);
    }
}
