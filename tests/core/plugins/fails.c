/* fails.c - registers a backend and an op, then fails: nothing of it may remain. */
#include "empty_backend.h"

DL_PLUGIN_IDENTITY("fails", "0.1", 0);

static dl_status count(int32_t *n) {
    *n = 0;
    return DL_OK;
}
dl_status dl_plugin_init(const dl_host *host) {
    static const dl_backend backend = EMPTY_BACKEND("ghost", count);
    static const dl_op_def op = {.size = sizeof op, .sig = "fails::op(Tensor x) -> Tensor", .expr = "x + 1", .rule = "arith"};
    dl_status status = host->add_backend(&backend);
    if (status == DL_OK) status = host->add_op(&op);
    return status == DL_OK ? host->fail(DL_UNSUPPORTED, "the %s is missing", "hardware") : status;
}
