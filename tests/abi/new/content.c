/* content.c - built with today's headers, content with a host of minor 0: what came later it only uses where it is. */
#include "dlrun/plugin.h"

DL_PLUGIN_IDENTITY("content", "1.0", 0);

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_op_def twice = {
        .size = sizeof twice, .sig = "content::twice(Tensor x) -> Tensor", .doc = "2 x.", .expr = "2 * x", .rule = "arith"};
    static const dl_op_def later = {
        .size = sizeof later, .sig = "content::later(Tensor x) -> Tensor", .doc = "x.", .expr = "x", .rule = "arith"};
    dl_status status = host->add_op(&twice);
    if (status == DL_OK && host->abi_minor >= 1) status = host->add_op(&later);
    return status;
}
