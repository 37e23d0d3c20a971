/* wild.c - whoever runs any of its code ends: the loader's refusals are tested with changed copies of it. */
#include "dlrun/plugin.h"

#include <stdlib.h>

DL_PLUGIN_IDENTITY("wild", "0.1", 0);

__attribute__((constructor)) static void first(void) { abort(); }

dl_status dl_plugin_init(const dl_host *host) {
    (void)host;
    abort();
}
