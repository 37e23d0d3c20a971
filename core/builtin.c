/* builtin.c - registers the built-in ops: ops.def and pointwise.def. */
#include "core/mem.h"
#include "core/op.h"
#include "core/status.h"
#include <stdio.h>
#include <string.h>

#include "core/ops/functions.h"

#define infer_none NULL
#define compose_none NULL
#define grad_none NULL

static const struct builtin_row {
    const char *name, *sig, *saves, *doc;
    uint32_t flags;
    dl_status (*infer)(dl_frame *);
    dl_status (*compose)(dl_graph *, const dl_frame *);
    dl_status (*grad)(dl_graph *, const dl_frame *);
} rows[] = {
#define DL_OPDEF(family, name, sig, flags, infer, compose, grad, saves, doc)                                                   \
    {#name, sig, saves, doc, flags, infer_##infer, compose_##compose, grad_##grad},
#include "core/ops.def"
#undef DL_OPDEF
};

static char signatures[sizeof rows / sizeof *rows][320];

/* "Tensor x -> Tensor" of row `name` becomes "name(Tensor x) -> Tensor". */
static const char *full_signature(size_t k) {
    const char *arrow = strstr(rows[k].sig, "->");
    int args = (int)(arrow - rows[k].sig);
    while (args > 0 && rows[k].sig[args - 1] == ' ') args--;
    snprintf(signatures[k], sizeof signatures[k], "%s(%.*s) %s", rows[k].name, args, rows[k].sig, arrow);
    return signatures[k];
}

static dl_status add_rows(void) {
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dl_op_def def = {.size = sizeof def,
                         .flags = rows[k].flags,
                         .sig = full_signature(k),
                         .doc = rows[k].doc,
                         .infer = rows[k].infer,
                         .compose = rows[k].compose,
                         .grad = rows[k].grad,
                         .saves = rows[k].saves};
        DL_TRY(dl_op_add(&def, "dlrun"));
    }
    for (int32_t k = 0; k < dl_pointwise_row_count; k++) {
        const dl_pointwise_row *row = &dl_pointwise_rows[k];
        dl_op_def def = {
            .size = sizeof def, .sig = row->sig, .doc = row->doc, .expr = row->expr, .rule = row->rule, .grads = row->grads};
        DL_TRY(dl_op_add(&def, "dlrun"));
    }
    return DL_OK;
}

dl_status dl_ops_register_builtin(void) { return add_rows(); }
