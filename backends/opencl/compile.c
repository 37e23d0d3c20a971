/* compile.c - programs from source, each built once per device: found in this process's list, else as a binary on disk
 * (cache.c), else built. */
#include "backends/opencl/opencl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opencl_program {
    opencl_program *next;
    cl_program program;
    char *key; /* options, device and driver, source: all that the binary depends on */
};

/* ---- messages of a failed build -------------------------------------------------------------------------------------------
 */

/* The first line of a compiler's log that tells of an error. */
typedef struct message {
    const char *text;
    int length; /* 0: there is none */
} message;

static message first_error(const char *log) {
    const char *start = strstr(log, "error");
    if (!start) return (message){log, 0};
    while (start > log && start[-1] != '\n') start--;
    return (message){start, (int)strcspn(start, "\n")};
}

/* The source line that a message means; 0: none. Drivers' compilers write clang's "name:line:column:", the error before it or
 * behind it; some have a number for the name, or no column: of numbers in a row it is the last but one, or the only one. */
static long error_line(message m) {
    for (int k = 0; k < m.length; k++) {
        if (k > 0 && m.text[k - 1] != ':') continue;
        long line = 0, last = 0;
        char *behind = NULL;
        for (const char *p = m.text + k; *p >= '0' && *p <= '9'; p = behind + 1) {
            const long number = strtol(p, &behind, 10);
            if (*behind != ':') break;
            line = last ? last : number;
            last = number;
        }
        if (line) return line;
    }
    return 0;
}

/* Where a line of the text, counted from 1, begins, and how long it is; "" past its end. */
static const char *nth_line(const char *text, long line, int *length) {
    while (--line > 0 && *text) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    *length = (int)strcspn(text, "\n");
    return text;
}

/* Where the message's lines count from: generated sources name their own part by a #line, behind the dialect's text. A message
 * that begins with another name means what stands before that. */
static const char *first_line(const char *source, message m) {
    static const char directive[] = "\n#line 1 \"";
    const char *mark = strstr(source, directive);
    if (!mark) return source;
    const char *name = mark + sizeof directive - 1;
    const int n = (int)strcspn(name, "\"");
    for (int k = 0; k + n < m.length; k++)
        if (memcmp(m.text + k, name, (size_t)n) == 0 && m.text[k + n] == ':') {
            name += strcspn(name, "\n");
            return name + (*name == '\n');
        }
    return source;
}

static dl_status build_failed(opencl_device *d, cl_program program, const char *source, const char *entry, cl_int error) {
    if (error != CL_BUILD_PROGRAM_FAILURE) return opencl_fail(error, "building kernel %s for %s", entry, d->name);
    size_t bytes = 0;
    cl.GetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes);
    char *log = opencl_host->mem(NULL, bytes + 1);
    if (!log) return opencl_host->fail(DL_NOMEM, "out of memory reading OpenCL's build log");
    log[0] = log[bytes] = 0;
    cl.GetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL);
    const message m = first_error(log);
    const long line = error_line(m);
    int length = 0;
    const char *text = line ? nth_line(first_line(source, m), line, &length) : "";
    if (line)
        opencl_host->fail(DL_INVALID, "kernel %s does not compile for %s, source line %ld: %.*s\n%.1200s", entry, d->name, line,
                          length < 200 ? length : 200, text, log);
    else
        opencl_host->fail(DL_INVALID, "kernel %s does not compile for %s:\n%.1200s", entry, d->name, log);
    opencl_host->mem(log, 0);
    return DL_INVALID;
}

/* ---- binaries -------------------------------------------------------------------------------------------------------------
 */

static cl_program from_binary(opencl_device *d, const unsigned char *binary, size_t bytes) {
    cl_int error, per_device;
    cl_program program = cl.CreateProgramWithBinary(d->context, 1, &d->id, &bytes, &binary, &per_device, &error);
    if (!program) return NULL;
    if (per_device == CL_SUCCESS && cl.BuildProgram(program, 1, &d->id, d->options, NULL, NULL) == CL_SUCCESS) return program;
    cl.ReleaseProgram(program);
    return NULL;
}

static cl_program from_disk(opencl_device *d, const char *key) {
    size_t bytes;
    unsigned char *binary = opencl_cache_read(key, &bytes);
    if (!binary) return NULL;
    cl_program program = from_binary(d, binary, bytes);
    opencl_host->mem(binary, 0);
    return program;
}

static void to_disk(cl_program program, const char *key) {
    size_t bytes = 0;
    if (cl.GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS || bytes == 0) return;
    unsigned char *binary = opencl_host->mem(NULL, bytes);
    if (!binary) return;
    if (cl.GetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        opencl_cache_write(key, binary, bytes);
    opencl_host->mem(binary, 0);
}

/* ---- programs: all of these with the device's lock held -------------------------------------------------------------------
 */

static dl_status from_source(opencl_device *d, const char *source, const char *entry, cl_program *out) {
    cl_int error;
    cl_program program = cl.CreateProgramWithSource(d->context, 1, &source, NULL, &error);
    if (!program) return opencl_fail(error, "building kernel %s for %s", entry, d->name);
    error = cl.BuildProgram(program, 1, &d->id, d->options, NULL, NULL);
    if (error != CL_SUCCESS) {
        const dl_status status = build_failed(d, program, source, entry, error);
        cl.ReleaseProgram(program);
        return status;
    }
    *out = program;
    return DL_OK;
}

static dl_status build(opencl_device *d, opencl_program *p, const char *source, const char *entry) {
    if ((p->program = from_disk(d, p->key))) return DL_OK;
    CL_TRY(from_source(d, source, entry, &p->program));
    to_disk(p->program, p->key);
    return DL_OK;
}

static void free_program(opencl_program *p) {
    if (p->program) cl.ReleaseProgram(p->program);
    opencl_host->mem(p->key, 0);
    opencl_host->mem(p, 0);
}

static char *make_key(const opencl_device *d, const char *source) {
    const size_t bytes = strlen(d->options) + strlen(d->identity) + strlen(source) + 3;
    char *key = opencl_host->mem(NULL, bytes);
    if (key) snprintf(key, bytes, "%s\n%s\n%s", d->options, d->identity, source);
    return key;
}

static dl_status new_program(opencl_device *d, char *key, const char *source, const char *entry, opencl_program **out) {
    opencl_program *p = opencl_host->mem(NULL, sizeof *p);
    if (!p) {
        opencl_host->mem(key, 0);
        return opencl_host->fail(DL_NOMEM, "out of memory building kernel %s", entry);
    }
    *p = (opencl_program){.next = d->programs, .key = key};
    const dl_status status = build(d, p, source, entry);
    if (status != DL_OK) {
        free_program(p);
        return status;
    }
    *out = d->programs = p;
    return DL_OK;
}

static dl_status need_program(opencl_device *d, const char *source, const char *entry, opencl_program **out) {
    char *key = make_key(d, source);
    if (!key) return opencl_host->fail(DL_NOMEM, "out of memory building kernel %s", entry);
    for (opencl_program *p = d->programs; p; p = p->next)
        if (strcmp(p->key, key) == 0) {
            opencl_host->mem(key, 0);
            *out = p;
            return DL_OK;
        }
    return new_program(d, key, source, entry, out);
}

/* ---- functions ------------------------------------------------------------------------------------------------------------
 */

static dl_status new_function(opencl_device *d, const opencl_program *p, const char *entry, void **out) {
    cl_int error;
    cl_kernel kernel = cl.CreateKernel(p->program, entry, &error);
    if (!kernel) return opencl_fail(error, "the source built for %s has no kernel '%s'", d->name, entry);
    opencl_function *f = opencl_host->mem(NULL, sizeof *f);
    if (!f) {
        cl.ReleaseKernel(kernel);
        return opencl_host->fail(DL_NOMEM, "out of memory building kernel %s", entry);
    }
    memset(f, 0, sizeof *f);
    f->kernel = kernel;
    f->next = d->functions;
    pthread_mutex_init(&f->lock, NULL);
    snprintf(f->entry, sizeof f->entry, "%s", entry);
    *out = d->functions = f;
    return DL_OK;
}

static void free_function(opencl_function *f) {
    cl.ReleaseKernel(f->kernel);
    pthread_mutex_destroy(&f->lock);
    opencl_host->mem(f, 0);
}

dl_status opencl_compile(dl_device *device, const char *source, const char *entry, void **function) {
    opencl_device *d = opencl_of(device);
    opencl_program *p = NULL;
    *function = NULL;
    pthread_mutex_lock(&d->lock);
    dl_status status = need_program(d, source, entry, &p);
    if (status == DL_OK) status = new_function(d, p, entry, function);
    pthread_mutex_unlock(&d->lock);
    return status;
}

void opencl_function_free(dl_device *device, void *function) {
    opencl_device *d = opencl_of(device);
    if (!function) return;
    pthread_mutex_lock(&d->lock);
    opencl_function **at = &d->functions;
    while (*at && *at != function) at = &(*at)->next;
    opencl_function *f = *at;
    if (f) *at = f->next;
    pthread_mutex_unlock(&d->lock);
    if (f) free_function(f);
}

void opencl_programs_free(opencl_device *d) {
    for (opencl_function *f = d->functions, *next; f; f = next) {
        next = f->next;
        free_function(f);
    }
    for (opencl_program *p = d->programs, *next; p; p = next) {
        next = p->next;
        free_program(p);
    }
    d->functions = NULL;
    d->programs = NULL;
}
