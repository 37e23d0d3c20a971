/* rules.c - the type rules of pointwise rows. */
#include "core/pointwise/internal.h"
#include <string.h>

dl_status dl_rule_types(const char *rule, dl_dtype common, dl_dtype *compute, dl_dtype *out) {
    dl_dtype wide = pw_widen(common), result = common;
    if (common < 0 || common >= DL_DTYPE_COUNT) return dl_failf(DL_INVALID, "type rule '%s': %d is no dtype", rule, common);
    if (strcmp(rule, "float") == 0) {
        if (!pw_is_float(wide)) wide = result = DL_F32;
    } else if (strcmp(rule, "compare") == 0) {
        result = DL_BOOL;
    } else if (strcmp(rule, "logic") == 0) {
        wide = result = DL_BOOL;
    } else if (strcmp(rule, "int") == 0) {
        if (pw_is_float(wide))
            return dl_failf(DL_INVALID, "expected integers or bool, got %s; convert the tensor first", pw_type_name(common));
    } else if (strcmp(rule, "random") == 0) {
        if (common != DL_I64) return dl_failf(DL_INVALID, "expected int64, got %s", pw_type_name(common));
    } else if (strcmp(rule, "arith") != 0 && strcmp(rule, "same") != 0) {
        return dl_failf(DL_INVALID, "unknown type rule '%s'; there are arith, float, compare, logic, int, same and random",
                        rule);
    }
    *compute = wide;
    *out = result;
    return DL_OK;
}
