/* lazy.c - a backend that is opened only when it is asked for: no device is present, and it says why. */
#include "empty_backend.h"

#include <stdlib.h>

DL_PLUGIN_IDENTITY_FLAGS("lazy", "2.0", 0, DL_PLUGIN_LAZY);

static const dl_host *host;

__attribute__((constructor)) static void tell(void) { setenv("DLRUN_TEST_LAZY_RAN", "1", 1); }

static dl_status count(int32_t *n) {
    *n = 0;
    return host->fail(DL_UNSUPPORTED, "no lazy device is plugged in");
}
dl_status dl_plugin_init(const dl_host *given) {
    static const dl_backend backend = EMPTY_BACKEND("lazy", count);
    host = given;
    return host->add_backend(&backend);
}
