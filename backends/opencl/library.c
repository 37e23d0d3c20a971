/* library.c - opens OpenCL's loader. dlrun is built and runs without it; the backend then has no devices and says why. */
#include "backends/opencl/opencl.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define LOADER "libOpenCL.so.1"

opencl_library cl;
static char refusal[512]; /* empty: it is open */

static const struct {
    const char *name;
    void *at; /* the pointer in cl */
} functions[] = {
#define OPENCL_FUNCTION(name) {"cl" #name, &cl.name},
#include "backends/opencl/library.def"
#undef OPENCL_FUNCTION
};

static void open_library(void) {
    void *library = dlopen(LOADER, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(refusal, sizeof refusal,
                 "OpenCL's loader %s cannot be opened (%s); `make deps-opencl` installs it, the Debian package is "
                 "ocl-icd-libopencl1",
                 LOADER, dlerror());
        return;
    }
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        void *address = dlsym(library, functions[k].name);
        if (!address) {
            snprintf(refusal, sizeof refusal, "%s has no %s; expected a loader of OpenCL 1.2 or later", LOADER,
                     functions[k].name);
            return;
        }
        memcpy(functions[k].at, &address, sizeof address); /* ISO C has no cast from object to function pointers */
    }
}

dl_status opencl_library_open(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    return *refusal ? opencl_host->fail(DL_UNSUPPORTED, "%s", refusal) : DL_OK;
}
