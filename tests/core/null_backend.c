/* null_backend.c - see null_backend.h. */
#include "null_backend.h"
#include "op.h"

#include <pthread.h>

int64_t null_live_blocks;
uint64_t null_live_bytes, null_limit;

typedef struct null_block { /* what a "far" handle points to */
    char *memory;
} null_block;

static dl_status null_count(int32_t *n) {
    *n = 2;
    return DL_OK;
}

static dl_status null_info(int32_t index, dl_device_info *out) {
    out->index = index;
    strcpy(out->name, "null");
    strcpy(out->detail, "no arithmetic");
    out->memory_total = out->memory_free = 1 << 30;
    out->alignment = 16;
    return DL_OK;
}

static dl_status null_open(int32_t index, dl_device **device) {
    static dl_device cpus[2] = {{.size = sizeof(dl_device)}, {.size = sizeof(dl_device)}};
    *device = &cpus[index];
    return DL_OK;
}

static dl_status far_open(int32_t index, dl_device **device) {
    static dl_device fars[2] = {{.size = sizeof(dl_device)}, {.size = sizeof(dl_device)}};
    *device = &fars[index];
    return DL_OK;
}

static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;

static dl_status null_take(uint64_t bytes) {
    pthread_mutex_lock(&count_lock);
    int full = null_limit && null_live_bytes + bytes > null_limit;
    if (!full) null_live_bytes += bytes, null_live_blocks++;
    pthread_mutex_unlock(&count_lock);
    return full ? dl_failf(DL_NOMEM, "the null backend is full") : DL_OK;
}

static void null_give(uint64_t bytes) {
    pthread_mutex_lock(&count_lock);
    null_live_bytes -= bytes, null_live_blocks--;
    pthread_mutex_unlock(&count_lock);
}

static dl_status null_alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data) {
    (void)device, (void)stream;
    DL_TRY(null_take(bytes));
    *data = malloc(bytes);
    return *data ? DL_OK : dl_failf(DL_NOMEM, "malloc failed");
}

static void null_free(dl_device *device, dl_stream *stream, void *data, uint64_t bytes) {
    (void)device, (void)stream;
    null_give(bytes);
    free(data);
}

static dl_status far_alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data) {
    (void)device, (void)stream;
    DL_TRY(null_take(bytes));
    null_block *block = malloc(sizeof *block);
    block->memory = malloc(bytes);
    *data = block;
    return DL_OK;
}

static void far_free(dl_device *device, dl_stream *stream, void *data, uint64_t bytes) {
    (void)device, (void)stream;
    null_give(bytes);
    free(((null_block *)data)->memory);
    free(data);
}

static dl_status null_copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                           uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)device, (void)stream, (void)dst_host, (void)src_host;
    memcpy((char *)dst + dst_offset, (const char *)src + src_offset, bytes);
    return DL_OK;
}

static dl_status far_copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                          uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)device, (void)stream;
    char *to = dst_host ? dst : ((null_block *)dst)->memory;
    const char *from = src_host ? src : ((const null_block *)src)->memory;
    memcpy(to + dst_offset, from + src_offset, bytes);
    return DL_OK;
}

static dl_status null_synchronize(dl_device *device, dl_stream *stream) {
    (void)device, (void)stream;
    return DL_OK;
}

static char *null_base(const dl_tensor *t) {
    char *base = t->device.type == DL_HOST_TYPE ? t->data : ((null_block *)t->data)->memory;
    return base + t->byte_offset;
}

/* op copy between tensors of one dtype, any strides. */
static dl_status null_copy_prepare(const dl_frame *frame, dl_plan *plan) {
    plan->sharing = DL_PLAN_PER_TYPE;
    return frame->in[0]->type == frame->out[0]->type ? DL_OK : DL_UNSUPPORTED;
}

static dl_status null_copy_run(const dl_frame *frame, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *in = frame->in[0], *out = frame->out[0];
    size_t bytes = (size_t)dl_dtype_bytes(in->type);
    for (int64_t k = 0; k < dl_tensor_count(out); k++) {
        int64_t rest = k, from = 0, to = 0;
        for (int32_t d = out->ndim - 1; d >= 0; rest /= out->shape[d--]) {
            from += rest % out->shape[d] * in->strides[d];
            to += rest % out->shape[d] * out->strides[d];
        }
        memcpy(null_base(out) + (size_t)to * bytes, null_base(in) + (size_t)from * bytes, bytes);
    }
    return DL_OK;
}

static const dl_backend cpu = {.size = sizeof cpu,
                               .dl_device_type = DL_HOST_TYPE,
                               .name = "cpu",
                               .count = null_count,
                               .info = null_info,
                               .open = null_open,
                               .alloc = null_alloc,
                               .free = null_free,
                               .copy = null_copy,
                               .synchronize = null_synchronize};

static dl_kernel_entry copies[] = {
    {.kernel = {.size = sizeof(dl_kernel), .op = "copy", .backend = "cpu", .prepare = null_copy_prepare, .run = null_copy_run}},
    {.kernel = {.size = sizeof(dl_kernel), .op = "copy", .backend = "far", .prepare = null_copy_prepare, .run = null_copy_run}},
};

static int add_far(void) {
    dl_backend far = cpu;
    far.dl_device_type = 0, far.name = "far", far.open = far_open;
    far.alloc = far_alloc, far.free = far_free, far.copy = far_copy;
    if (dl_backend_add(&far, "tests") != DL_OK) return -1;
    dl_kernel_add(&copies[1]);
    return 0;
}

int null_install_far(void **state) {
    (void)state;
    return add_far() == 0 && dl_init() == DL_OK && dl_default_device() ? 0 : -1;
}

int null_install_backends(void **state) {
    (void)state;
    setenv("XDG_DATA_HOME", "/nonexistent", 1);
    unsetenv("DLRUN_PLUGIN_PATH");
    if (dl_backend_add(&cpu, "tests") != DL_OK) return -1;
    dl_kernel_add(&copies[0]);
    return add_far();
}

int null_install(void **state) { return null_install_backends(state) == 0 && dl_init() == DL_OK ? 0 : -1; }

dl_device *null_device(const char *spec) {
    dl_device *device = NULL;
    assert_int_equal(dl_device_open(spec, &device), DL_OK);
    return device;
}
