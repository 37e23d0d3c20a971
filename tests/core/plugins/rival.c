/* rival.c - registers a new op and then one that another plugin has: neither may remain. */
#include "dlrun/plugin.h"

DL_PLUGIN_IDENTITY("rival", "0.1", 0);

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_op_def fresh = {
        .size = sizeof fresh, .sig = "rival::new(Tensor x) -> Tensor", .expr = "x", .rule = "arith"};
    static const dl_op_def taken = {
        .size = sizeof taken, .sig = "good::twice(Tensor x) -> Tensor", .expr = "x + x", .rule = "arith"};
    dl_status status = host->add_op(&fresh);
    return status == DL_OK ? host->add_op(&taken) : status;
}
