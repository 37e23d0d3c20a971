/* demanding.c - cannot do without what came with minor 1: a host of minor 0 must refuse it, and its constructor must not run.
 */
#include "dlrun/plugin.h"

#include <stdlib.h>

DL_PLUGIN_IDENTITY_NEEDS("demanding", "1.0", 0, 0, 1);

__attribute__((constructor)) static void tell(void) { setenv("DLRUN_TEST_DEMANDING_RAN", "1", 1); }

dl_status dl_plugin_init(const dl_host *host) {
    (void)host;
    return DL_OK;
}
