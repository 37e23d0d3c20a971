/* op_rows.c - the rows of core/cases.def. */
#include "op_rows.h"

const op_row op_rows[] = {
#define DL_CASE(op, in, attr, flags) {op, in, attr, flags},
#include "core/cases.def"
#undef DL_CASE
};
const int op_row_count = sizeof op_rows / sizeof *op_rows;
