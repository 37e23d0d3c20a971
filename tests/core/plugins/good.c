/* good.c - a well-made plugin: one pointwise op from its expression. Its constructor tells the tests that code of it ran. */
#include "dlrun/plugin.h"

#include <stdlib.h>

DL_PLUGIN_IDENTITY("good", "1.2.3", 0);

__attribute__((constructor)) static void tell(void) { setenv("DLRUN_TEST_GOOD_RAN", "1", 1); }

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_op_def twice = {
        .size = sizeof twice,
        .sig = "good::twice(Tensor x) -> Tensor",
        .doc = "2 x.",
        .expr = "x * 2",
        .rule = "arith",
    };
    return host->add_op(&twice);
}
