/* other_good.c - another plugin of the name "good". */
#include "dlrun/plugin.h"

DL_PLUGIN_IDENTITY("good", "9.9.9", 0);

dl_status dl_plugin_init(const dl_host *host) {
    (void)host;
    return DL_OK;
}
