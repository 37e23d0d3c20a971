/* fails.c - registers a backend, an op, a kernel for another plugin's op and one for an op to come, then fails: nothing of it
 * may remain. */
#include "empty_backend.h"

DL_PLUGIN_IDENTITY("fails", "0.1", 0);

static dl_status count(int32_t *n) {
    *n = 0;
    return DL_OK;
}

static dl_status run(const dl_frame *frame, const dl_plan *plan) {
    (void)frame, (void)plan;
    return DL_OK;
}

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_backend backend = EMPTY_BACKEND("ghost", count);
    static const dl_op_def op = {.size = sizeof op, .sig = "fails::op(Tensor x) -> Tensor", .expr = "x + 1", .rule = "arith"};
    static const dl_kernel kernels[] = {
        {.size = sizeof(dl_kernel), .priority = 9, .op = "good::twice", .backend = "far", .run = run},
        {.size = sizeof(dl_kernel), .priority = 9, .op = "late_op", .backend = "far", .run = run},
    };
    dl_status status = host->add_backend(&backend);
    if (status == DL_OK) status = host->add_op(&op);
    for (int k = 0; status == DL_OK && k < 2; k++) status = host->add_kernel(&kernels[k]);
    return status == DL_OK ? host->fail(DL_UNSUPPORTED, "the %s is missing", "hardware") : status;
}
