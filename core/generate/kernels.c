/* kernels.c - which generic kernels there are, and their registration for a backend. */
#include "core/generate/generate.h"

static const dl_kernel *const kernels[] = {&gen_pointwise, &gen_copy,        &gen_cat, &gen_reduce,
                                           &gen_gather,    &gen_scatter_add, &gen_gemm};
enum { COUNT = sizeof kernels / sizeof *kernels };

void dl_generate_kernels(const dl_backend_entry *backend) {
    static dl_kernel_entry entries[DL_MAX_BACKENDS][COUNT];
    const dl_backend *api = &backend->api;
    if (!api->dialect || !api->compile || !api->launch) return;
    for (int32_t k = 0; k < COUNT; k++) {
        dl_kernel_entry *entry = &entries[backend->number][k];
        *entry = (dl_kernel_entry){.kernel = *kernels[k], .plugin = "dlrun", .generated = 1};
        entry->kernel.backend = api->name;
        entry->kernel.priority = INT32_MIN;
        dl_kernel_add(entry);
    }
}
