/* dtype.h - facts about element types that the core needs inline. */
#ifndef DL_CORE_DTYPE_H
#define DL_CORE_DTYPE_H
#include "dlrun/dlrun.h"

extern const dl_element dl_dtype_elements[DL_DTYPE_COUNT]; /* DLPack's description, by dl_dtype */

static inline int dl_dtype_valid(dl_dtype type) { return type >= 0 && type < DL_DTYPE_COUNT; }
static inline int dl_dtype_floating(dl_dtype type) {
    return type == DL_F32 || type == DL_F64 || type == DL_F16 || type == DL_BF16;
}
static inline int dl_dtype_integer(dl_dtype type) { return type >= DL_U8 && type <= DL_I64; } /* bool is not one */

dl_dtype dl_dtype_of_element(dl_element element); /* -1: no such dtype */
#endif
