/* no_identity.c - has an init function but no identity: any library could export that name. */
#include "dlrun/plugin.h"

#include <stdlib.h>

dl_status dl_plugin_init(const dl_host *host) {
    (void)host;
    setenv("DLRUN_TEST_NO_IDENTITY_RAN", "1", 1);
    return DL_OK;
}
