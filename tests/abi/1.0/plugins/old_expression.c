/* old_expression.c - ABI 1.0: an op that is one expression, with a gradient of its own. */
#include "dlrun/plugin.h"

DL_PLUGIN_IDENTITY("old_expression", "1.0", 0);

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_op_def cube = {
        .size = sizeof cube,
        .sig = "old::cube(Tensor x, Scalar times=1) -> Tensor",
        .doc = "times * x^3.",
        .expr = "times * x * x * x",
        .rule = "arith",
        .grads = "x: g * 3 * times * x * x",
    };
    return host->add_op(&cube);
}
