/* nvrtc.h - a backend "nvrtc" for `make check-simt`: it compiles kernels as CUDA C with NVRTC, and runs nothing. Memory is the
 * host's, launches do nothing, so every kernel text that an op asks for in prepare is compiled, and no GPU is needed. */
#ifndef CHECK_NVRTC_H
#define CHECK_NVRTC_H
#include "dlrun/plugin.h"

/* dl_plugin_init of the backend, with the kernels of backends/simt. */
dl_status nvrtc_init(const dl_host *host);

extern int nvrtc_compiled, nvrtc_failed; /* how many kernels so far; failures are printed as they come */
#endif
