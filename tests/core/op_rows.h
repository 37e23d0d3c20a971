/* op_rows.h - calls of every differentiable op, as ops_support.h writes them: what test_gradients.c differentiates and
 * test_op_layouts.c calls with its inputs laid out in other ways. */
#ifndef OP_ROWS_H
#define OP_ROWS_H

enum { OP_FIRST_ONLY = 1 /* its gradient is not differentiable, and says so */ };

typedef struct op_row {
    const char *op, *in, *attr; /* an input marked "c:" is float64 and held constant while differentiating */
    int flags;
} op_row;

extern const op_row op_rows[];
extern const int op_row_count;
#endif
