/* dtype.c - element types: names, sizes, promotion. All facts come from dtype.def. */
#include "dtype.h"

#include <string.h>

const dl_element dl_dtype_elements[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) [number] = {code, bits, 1},
#include "dlrun/dtype.def"
#undef DL_DTYPE
};

static const char *const names[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) [number] = name,
#include "dlrun/dtype.def"
#undef DL_DTYPE
};

const char *dl_dtype_name(dl_dtype type) { return dl_dtype_valid(type) ? names[type] : "?"; }

int32_t dl_dtype_bytes(dl_dtype type) { return dl_dtype_valid(type) ? dl_dtype_elements[type].bits / 8 : 0; }

dl_dtype dl_dtype_find(const char *name) {
    for (dl_dtype type = 0; name && type < DL_DTYPE_COUNT; type++)
        if (strcmp(names[type], name) == 0) return type;
    return -1;
}

dl_dtype dl_dtype_of_element(dl_element element) {
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++) {
        dl_element known = dl_dtype_elements[type];
        if (known.code == element.code && known.bits == element.bits && known.lanes == element.lanes) return type;
    }
    return -1;
}

/* bool < integers < floating types: a higher category wins whatever the widths. */
static int category(dl_dtype type) { return dl_dtype_floating(type) ? 2 : dl_dtype_integer(type) ? 1 : 0; }

dl_dtype dl_dtype_promote(dl_dtype a, dl_dtype b) {
    if (!dl_dtype_valid(a) || !dl_dtype_valid(b)) return -1;
    if (a == b) return a;
    int category_a = category(a), category_b = category(b);
    if (category_a != category_b) return category_a > category_b ? a : b;
    int32_t bytes_a = dl_dtype_bytes(a), bytes_b = dl_dtype_bytes(b);
    if (bytes_a != bytes_b) return bytes_a > bytes_b ? a : b;
    /* Equal widths of one category: uint8 with int8, float16 with bfloat16. Neither holds the other: the next wider. */
    return category_a == 2 ? DL_F32 : DL_I16;
}
