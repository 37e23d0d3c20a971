/* nvrtc.c - see nvrtc.h. */
#include "nvrtc.h"
#include "backends/simt/simt.h"
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int nvrtc_compiled, nvrtc_failed;
static const dl_host *host;

/* ---- NVRTC: its few functions, declared here so that the build needs no CUDA
 * ------------------------------------------------- */

typedef struct nvrtc_program nvrtc_program;
static struct {
    int (*nvrtcCreateProgram)(nvrtc_program **, const char *source, const char *name, int n_headers, const char *const *headers,
                              const char *const *names);
    int (*nvrtcCompileProgram)(nvrtc_program *, int n_options, const char *const *options);
    int (*nvrtcGetProgramLogSize)(nvrtc_program *, size_t *);
    int (*nvrtcGetProgramLog)(nvrtc_program *, char *);
    int (*nvrtcGetPTXSize)(nvrtc_program *, size_t *);
    int (*nvrtcGetPTX)(nvrtc_program *, char *);
    int (*nvrtcDestroyProgram)(nvrtc_program **);
} nvrtc;

static void *open_library(void) {
    static const char *const patterns[] = {"/usr/local/cuda*/lib*/libnvrtc.so.1*",
                                           "/usr/local/cuda*/targets/*/lib/libnvrtc.so.1*", "/usr/lib/*/libnvrtc.so.1*"};
    void *library = dlopen("libnvrtc.so", RTLD_NOW | RTLD_LOCAL);
    for (size_t k = 0; k < sizeof patterns / sizeof *patterns && !library; k++) {
        glob_t found;
        if (glob(patterns[k], 0, NULL, &found) != 0) continue;
        for (size_t j = 0; j < found.gl_pathc && !library; j++) library = dlopen(found.gl_pathv[j], RTLD_NOW | RTLD_LOCAL);
        globfree(&found);
    }
    return library;
}

static int find_functions(void) {
    void *library = open_library();
    if (!library) return 0;
#define FIND(name)                                                                                                             \
    {                                                                                                                          \
        void *address = dlsym(library, #name);                                                                                 \
        if (!address) return 0;                                                                                                \
        memcpy(&nvrtc.name, &address, sizeof address);                                                                         \
    }
    FIND(nvrtcCreateProgram)
    FIND(nvrtcCompileProgram)
    FIND(nvrtcGetProgramLogSize)
    FIND(nvrtcGetProgramLog)
    FIND(nvrtcGetPTXSize)
    FIND(nvrtcGetPTX)
    FIND(nvrtcDestroyProgram)
#undef FIND
    return 1;
}

/* ---- compiling --------------------------------------------------------------------------------------------------------------
 */

static int has_entry(nvrtc_program *program, const char *entry) {
    size_t bytes = 0;
    char wanted[160];
    if (nvrtc.nvrtcGetPTXSize(program, &bytes) != 0) return 0;
    char *ptx = calloc(bytes + 1, 1);
    snprintf(wanted, sizeof wanted, ".entry %s(", entry);
    const int found = ptx && nvrtc.nvrtcGetPTX(program, ptx) == 0 && strstr(ptx, wanted);
    free(ptx);
    return found;
}

static void print_log(nvrtc_program *program, const char *source, const char *entry) {
    size_t bytes = 0;
    (void)nvrtc.nvrtcGetProgramLogSize(program, &bytes);
    char *log = calloc(bytes + 1, 1);
    if (log) (void)nvrtc.nvrtcGetProgramLog(program, log);
    printf("# kernel %s does not compile as CUDA C: %s\n", entry, log && *log ? log : "it is not in the output");
    int line = 1;
    for (const char *p = getenv("CHECK_SIMT_SOURCE") ? source : ""; *p; line++) {
        const int n = (int)strcspn(p, "\n");
        printf("# %4d %.*s\n", line, n, p);
        p += n + (p[n] != 0);
    }
    free(log);
}

static dl_status compile(dl_device *device, const char *source, const char *entry, void **function) {
    (void)device;
    static const char *const options[] = {"--gpu-architecture=compute_80", "-fmad=false", "--disable-warnings"};
    nvrtc_program *program;
    if (nvrtc.nvrtcCreateProgram(&program, source, "kernel.cu", 0, NULL, NULL) != 0)
        return host->fail(DL_INTERNAL, "NVRTC makes no program");
    const int good = nvrtc.nvrtcCompileProgram(program, 3, options) == 0 && has_entry(program, entry);
    if (!good) print_log(program, source, entry);
    nvrtc_compiled++;
    nvrtc_failed += !good;
    nvrtc.nvrtcDestroyProgram(&program);
    *function = &nvrtc_compiled; /* any address: launches do not look at it */
    return good ? DL_OK : host->fail(DL_INVALID, "kernel %s does not compile as CUDA C", entry);
}

/* ---- a device whose memory is the host's
 * -------------------------------------------------------------------------------------- */

static int32_t fault_word[4];

static dl_status count(int32_t *n) {
    *n = 1;
    return DL_OK;
}
static dl_status info(int32_t index, dl_device_info *out) {
    out->index = index;
    snprintf(out->name, sizeof out->name, "NVRTC");
    return DL_OK;
}
static dl_status open_device(int32_t index, dl_device **device) {
    static dl_device the_device = {.size = sizeof the_device};
    the_device.index = index;
    *device = &the_device;
    return DL_OK;
}
static dl_status alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data) {
    (void)device, (void)stream;
    *data = calloc(1, bytes);
    return *data ? DL_OK : host->fail(DL_NOMEM, "out of memory");
}
static void free_data(dl_device *device, dl_stream *stream, void *data, uint64_t bytes) {
    (void)device, (void)stream, (void)bytes;
    free(data);
}
static dl_status copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                      uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)device, (void)stream, (void)dst_host, (void)src_host;
    memmove((char *)dst + dst_offset, (const char *)src + src_offset, bytes);
    return DL_OK;
}
static dl_status synchronize(dl_device *device, dl_stream *stream) {
    (void)device, (void)stream;
    return DL_OK;
}
static dl_status launch(dl_device *device, dl_stream *stream, void *function, const uint32_t grid[3], const uint32_t block[3],
                        uint32_t local_bytes, void *const *args, const uint32_t *arg_bytes, uint32_t n_args) {
    (void)device, (void)stream, (void)function, (void)grid, (void)block;
    (void)local_bytes, (void)args, (void)arg_bytes, (void)n_args;
    return DL_OK;
}
static void function_free(dl_device *device, void *function) { (void)device, (void)function; }
static void *fault(dl_device *device) {
    (void)device;
    return fault_word;
}

dl_status nvrtc_init(const dl_host *table) {
    static const dl_backend backend = {
        .size = sizeof backend,
        .name = "nvrtc",
        .count = count,
        .info = info,
        .open = open_device,
        .alloc = alloc,
        .free = free_data,
        .copy = copy,
        .synchronize = synchronize,
        .dialect = "cuda",
        .compile = compile,
        .launch = launch,
        .function_free = function_free,
        .fault = fault,
    };
    host = table;
    if (!find_functions()) return host->fail(DL_UNSUPPORTED, "there is no NVRTC (libnvrtc.so) on this machine");
    const dl_status status = host->add_backend(&backend);
    return status == DL_OK ? simt_register(host, &backend) : status;
}
