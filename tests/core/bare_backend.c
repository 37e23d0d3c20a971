/* bare_backend.c - see bare_backend.h. */
#include "tests/core/bare_backend.h"
#include "core/device.h"
#include "core/plugin.h"
#include "tests/core/mirror.h"

static dl_backend bare;

static dl_status add(const dl_host *host) { return host->add_backend(&bare); }

int bare_start(void **state) {
    if (mirror_start(state) != 0) return -1;
    const char *name = getenv("DLRUN_TEST_DEVICE");
    if (mirror_device()) {
        bare = dl_backend_find(name ? name : "opencl")->api;
        bare.name = "bare";
        bare.dl_device_type = 0;
        if (dl_host_run_init(add, "bare") != DL_OK) {
            print_error("%s\n", dl_last_error());
            return -1;
        }
    }
    return setenv("DLRUN_TEST_DEVICE", "bare", 1);
}
