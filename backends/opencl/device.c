/* device.c - the devices of all platforms (drivers), and one opened. */
#include "backends/opencl/opencl.h"
#include "backends/simt/simt.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 16, MAX_DEVICES = 64 };

typedef struct entry {
    cl_platform_id platform;
    cl_device_id id;
    cl_device_type kind;
} entry;

static struct {
    int32_t n;
    entry devices[MAX_DEVICES];
    cl_uint platforms;
    cl_int error; /* the first that asking for platforms, or a platform for devices, gave */
    int unusable; /* devices there are, but none is_usable */
} found;          /* constant once list_once has run */

/* ---- facts ----------------------------------------------------------------------------------------------------------------
 */

/* A text that the driver states, cut to what fits. */
static void device_text(cl_device_id id, cl_device_info what, char *text, size_t capacity) {
    char whole[1024] = "";
    if (cl.GetDeviceInfo(id, what, sizeof whole - 1, whole, NULL) != CL_SUCCESS) *whole = 0;
    snprintf(text, capacity, "%.*s", (int)capacity - 1, whole + strspn(whole, " "));
}

static void platform_text(cl_platform_id id, cl_platform_info what, char *text, size_t capacity) {
    char whole[1024] = "";
    if (cl.GetPlatformInfo(id, what, sizeof whole - 1, whole, NULL) != CL_SUCCESS) *whole = 0;
    snprintf(text, capacity, "%.*s", (int)capacity - 1, whole);
}

/* A number of the given C type; 0 where the driver does not say. */
#define DEVICE_NUMBER(type, id, what) ((type)device_number((id), (what), sizeof(type)))
static uint64_t device_number(cl_device_id id, cl_device_info what, size_t bytes) {
    union {
        cl_uint narrow;
        cl_ulong wide;
    } value = {.wide = 0};
    if (cl.GetDeviceInfo(id, what, bytes, &value, NULL) != CL_SUCCESS) return 0;
    return bytes == sizeof value.wide ? value.wide : value.narrow;
}

/* "OpenCL 3.0 ..." as 300. */
static int version_number(cl_device_id id) {
    char text[64];
    int major = 0, minor = 0;
    device_text(id, CL_DEVICE_VERSION, text, sizeof text);
    return sscanf(text, "OpenCL %d.%d", &major, &minor) == 2 ? 100 * major + 10 * minor : 0;
}

/* ---- the list -------------------------------------------------------------------------------------------------------------
 */

/* backends/simt and the core's generated kernels run in work groups of up to 256 items. */
static int is_usable(cl_device_id id) {
    enum { LARGEST_GROUP = 256 };
    return version_number(id) >= 120 && DEVICE_NUMBER(cl_bool, id, CL_DEVICE_AVAILABLE) &&
           DEVICE_NUMBER(cl_bool, id, CL_DEVICE_COMPILER_AVAILABLE) && DEVICE_NUMBER(cl_bool, id, CL_DEVICE_ENDIAN_LITTLE) &&
           DEVICE_NUMBER(size_t, id, CL_DEVICE_MAX_WORK_GROUP_SIZE) >= LARGEST_GROUP;
}

static void add_devices(cl_platform_id platform, cl_device_type kind) {
    cl_device_id ids[MAX_DEVICES];
    cl_uint n = 0;
    const cl_int error = cl.GetDeviceIDs(platform, kind, MAX_DEVICES, ids, &n);
    if (error != CL_SUCCESS) {
        if (!found.error || found.error == CL_DEVICE_NOT_FOUND) found.error = error; /* that is said of every other kind */
        return;
    }
    for (cl_uint k = 0; k < n && k < MAX_DEVICES && found.n < MAX_DEVICES; k++)
        if (is_usable(ids[k]))
            found.devices[found.n++] = (entry){platform, ids[k], kind};
        else
            found.unusable = 1;
}

/* GPUs first, so that opencl:0 is one wherever there is one; within a kind the loader's order. */
static void list_devices(void) {
    static const cl_device_type kinds[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ACCELERATOR, CL_DEVICE_TYPE_CPU};
    cl_platform_id platforms[MAX_PLATFORMS];
    found.error = cl.GetPlatformIDs(MAX_PLATFORMS, platforms, &found.platforms);
    if (found.error) found.platforms = 0;
    if (found.platforms > MAX_PLATFORMS) found.platforms = MAX_PLATFORMS;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (cl_uint p = 0; p < found.platforms; p++) add_devices(platforms[p], kinds[k]);
}

static dl_status none_found(void) {
    const unsigned n = (unsigned)found.platforms;
    if (!n)
        return opencl_host->fail(DL_UNSUPPORTED,
                                 "OpenCL's loader found no driver (ICD); install the GPU's, or PoCL for the CPU with `make "
                                 "deps-opencl` (Debian package pocl-opencl-icd); clGetPlatformIDs: %s (%d)",
                                 opencl_error_name(found.error), (int)found.error);
    if (!found.unusable)
        return opencl_host->fail(DL_UNSUPPORTED, "OpenCL's %u driver%s no device; clGetDeviceIDs: %s (%d)", n,
                                 n == 1 ? " lists" : "s list", opencl_error_name(found.error), (int)found.error);
    return opencl_host->fail(DL_UNSUPPORTED,
                             "OpenCL's %u driver%s no device with OpenCL 1.2, a compiler and work groups of 256 items", n,
                             n == 1 ? " has" : "s have");
}

dl_status opencl_count(int32_t *n) {
    static pthread_once_t list_once = PTHREAD_ONCE_INIT;
    *n = 0;
    CL_TRY(opencl_library_open());
    pthread_once(&list_once, list_devices);
    *n = found.n;
    if (found.n) return DL_OK;
    return none_found();
}

static dl_status find(int32_t index, const entry **out) {
    int32_t n;
    CL_TRY(opencl_count(&n));
    if (index < 0 || index >= n)
        return opencl_host->fail(DL_INVALID, "there are %d OpenCL devices; number %d was asked for", (int)n, (int)index);
    *out = &found.devices[index];
    return DL_OK;
}

dl_status opencl_info(int32_t index, dl_device_info *out) {
    const entry *e = NULL;
    char platform[128], version[128], driver[64];
    CL_TRY(find(index, &e));
    device_text(e->id, CL_DEVICE_NAME, out->name, sizeof out->name);
    platform_text(e->platform, CL_PLATFORM_NAME, platform, sizeof platform);
    device_text(e->id, CL_DEVICE_VERSION, version, sizeof version);
    device_text(e->id, CL_DRIVER_VERSION, driver, sizeof driver);
    int length = snprintf(out->detail, sizeof out->detail, "%.40s, %.48s, driver %.24s", platform, version, driver);
    while (length > 0 && length < (int)sizeof out->detail && out->detail[length - 1] == ' ') out->detail[--length] = 0;
    out->index = index;
    out->memory_total = DEVICE_NUMBER(cl_ulong, e->id, CL_DEVICE_GLOBAL_MEM_SIZE);
    out->memory_free = out->memory_total; /* OpenCL has no question for it */
    out->alignment = DEVICE_NUMBER(cl_uint, e->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
    return DL_OK;
}

/* ---- opening --------------------------------------------------------------------------------------------------------------
 */

static void read_facts(opencl_device *d, const entry *e) {
    char version[128], driver[64];
    d->id = e->id;
    d->kind = e->kind;
    d->largest_buffer = DEVICE_NUMBER(cl_ulong, e->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    device_text(e->id, CL_DEVICE_NAME, d->name, sizeof d->name);
    device_text(e->id, CL_DEVICE_VERSION, version, sizeof version);
    device_text(e->id, CL_DRIVER_VERSION, driver, sizeof driver);
    snprintf(d->identity, sizeof d->identity, "%s\n%s\n%s", d->name, version, driver);
    const uint64_t single = DEVICE_NUMBER(cl_ulong, e->id, CL_DEVICE_SINGLE_FP_CONFIG);
    snprintf(d->options, sizeof d->options, "-cl-std=CL1.2%s",
             single & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT ? " -cl-fp32-correctly-rounded-divide-sqrt" : "");
}

static dl_status create(opencl_device *d) {
    cl_int error;
    d->context = cl.CreateContext(NULL, 1, &d->id, NULL, NULL, &error);
    if (!d->context) return opencl_fail(error, "opening the OpenCL device %s", d->name);
    CL_TRY(opencl_queue_new(d, &d->own.queue));
    return opencl_fault_new(d);
}

dl_status opencl_open(int32_t index, dl_device **out) {
    const entry *e = NULL;
    CL_TRY(find(index, &e));
    opencl_device *d = opencl_host->mem(NULL, sizeof *d);
    if (!d) return opencl_host->fail(DL_NOMEM, "out of memory opening an OpenCL device");
    memset(d, 0, sizeof *d);
    d->head.size = sizeof d->head;
    d->head.index = index;
    d->head.state = d;
    pthread_mutex_init(&d->lock, NULL);
    read_facts(d, e);
    const dl_status status = create(d);
    if (status == DL_OK)
        *out = &d->head;
    else
        opencl_close(&d->head);
    return status;
}

void opencl_close(dl_device *device) {
    opencl_device *d = opencl_of(device);
    simt_close(device);
    opencl_programs_free(d);
    if (d->fault) cl.ReleaseMemObject(d->fault);
    opencl_pace_end(&d->own);
    if (d->own.queue) cl.ReleaseCommandQueue(d->own.queue);
    if (d->context) cl.ReleaseContext(d->context);
    pthread_mutex_destroy(&d->lock);
    opencl_host->mem(d, 0);
}
