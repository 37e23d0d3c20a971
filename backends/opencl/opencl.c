/* opencl.c - the OpenCL backend's plugin: identity and registration. */
#include "backends/opencl/clblast.h"
#include "backends/opencl/opencl.h"
#include "backends/simt/simt.h"

DL_PLUGIN_IDENTITY_FLAGS("opencl", "0.1.0", 0, DL_PLUGIN_LAZY);

const dl_host *opencl_host;

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_backend backend = {
        .size = sizeof backend,
        .dl_device_type = 4,
        .name = "opencl",
        .count = opencl_count,
        .info = opencl_info,
        .open = opencl_open,
        .close = opencl_close,
        .alloc = opencl_alloc,
        .free = opencl_free,
        .copy = opencl_copy,
        .synchronize = opencl_synchronize,
        .stream_new = opencl_stream_new,
        .stream_free = opencl_stream_free,
        .event_record = opencl_event_record,
        .event_wait = opencl_event_wait,
        .event_free = opencl_event_free,
        .dialect = "opencl",
        .compile = opencl_compile,
        .launch = opencl_launch,
        .function_free = opencl_function_free,
        .fault = opencl_fault,
    };
    opencl_host = host;
    CL_TRY(host->add_backend(&backend));
    CL_TRY(opencl_register_clblast(host));
    return simt_register(host, &backend);
}
