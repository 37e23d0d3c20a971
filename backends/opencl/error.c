/* error.c - OpenCL's error codes as statuses and sentences. */
#include "backends/opencl/opencl.h"
#include <stdarg.h>
#include <stdio.h>

typedef struct error_row {
    cl_int code;
    dl_status status;
    const char *name;
} error_row;

static const error_row rows[] = {
#define OPENCL_ERROR(code, name, status) {code, DL_##status, "CL_" #name},
#include "backends/opencl/error.def"
#undef OPENCL_ERROR
};

static error_row find(cl_int code) {
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (rows[k].code == code) return rows[k];
    return (error_row){code, DL_INTERNAL, "an error without a name here"};
}

const char *opencl_error_name(cl_int code) { return find(code).name; }

static const char *advice(dl_status status) {
    switch (status) {
    case DL_DEVICE_LOST:
        return "; the device stopped answering or ran out of resources: start the program anew, with less work";
    case DL_NOMEM: return "; there is no memory left: try smaller batches";
    default: return "";
    }
}

dl_status opencl_fail(cl_int code, const char *format, ...) {
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const error_row row = find(code);
    return opencl_host->fail(row.status, "%s: %s (%d)%s", what, row.name, (int)code, advice(row.status));
}
