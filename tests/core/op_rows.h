/* op_rows.h - calls of every op, as core/cases.def writes them: what test_gradients.c differentiates and test_op_layouts.c
 * calls with its inputs laid out in other ways. */
#ifndef OP_ROWS_H
#define OP_ROWS_H

enum { DL_CASE_FIRST_ONLY = 1, DL_CASE_NO_GRADIENT = 2, DL_CASE_WRITES = 4, DL_CASE_NAN_SPREADS = 8, DL_CASE_LONG = 16 };

typedef struct op_row {
    const char *op, *in, *attr;
    int flags;
} op_row;

extern const op_row op_rows[];
extern const int op_row_count;
#endif
