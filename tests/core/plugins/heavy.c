/* heavy.c - registers something of every kind: a backend, ops, kernels for its own op and the core's, a kernel whose op comes
 * only with the next registration, and kernels for what is never registered. */
#include "empty_backend.h"

DL_PLUGIN_IDENTITY("heavy", "0.1", 0);

static dl_status count(int32_t *n) {
    *n = 0;
    return DL_OK;
}

static dl_status run(const dl_frame *frame, const dl_plan *plan) {
    (void)frame, (void)plan;
    return DL_OK;
}

#define KERNEL(op_name, backend_name)                                                                                          \
    { .size = sizeof(dl_kernel), .op = op_name, .backend = backend_name, .run = run }

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_backend backend = EMPTY_BACKEND("heavy", count);
    static const dl_op_def ops[] = {
        {.size = sizeof(dl_op_def), .sig = "heavy::a(Tensor x) -> Tensor", .expr = "x + 1", .rule = "arith"},
        {.size = sizeof(dl_op_def), .sig = "heavy::b(Tensor x, float k=2) -> Tensor", .expr = "x * k", .rule = "arith"},
        {.size = sizeof(dl_op_def), .sig = "heavy::c(Tensor x, Tensor y) -> Tensor", .expr = "x * y", .rule = "arith"},
    };
    static const dl_kernel kernels[] = {
        KERNEL("heavy::c", "heavy"), KERNEL("copy", "heavy"),   KERNEL("heavy::a", "nowhere"),
        KERNEL("nothing", "heavy"),  KERNEL("heavy::b", "cpu"),
    };
    dl_status status = host->add_backend(&backend);
    for (int k = 0; status == DL_OK && k < 5; k++) status = host->add_kernel(&kernels[k]);
    for (int k = 0; status == DL_OK && k < 3; k++) status = host->add_op(&ops[k]);
    return status;
}
