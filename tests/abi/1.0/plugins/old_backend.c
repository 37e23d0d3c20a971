/* old_backend.c - ABI 1.0: a small backend, opened when it is asked for. Its memory is the host's; its kernels add 1 to packed
 * float32 tensors ("old::add_one") and copy packed tensors of one dtype. */
#include "dlrun/plugin.h"

#include <string.h>

DL_PLUGIN_IDENTITY_FLAGS("old_backend", "1.0", 0, DL_PLUGIN_LAZY);

static const dl_host *host;
static dl_device the_device = {.size = sizeof the_device};

static dl_status count(int32_t *n) {
    *n = 1;
    return DL_OK;
}

static dl_status info(int32_t index, dl_device_info *out) {
    out->index = index;
    strcpy(out->name, "a device of 1.0");
    strcpy(out->detail, "host memory");
    out->alignment = 64;
    return DL_OK;
}

static dl_status open_device(int32_t index, dl_device **device) {
    (void)index;
    *device = &the_device;
    return DL_OK;
}

static void close_device(dl_device *d) { (void)d; }

static dl_status alloc(dl_device *d, dl_stream *s, uint64_t bytes, void **data) {
    (void)d, (void)s;
    *data = host->mem(NULL, bytes);
    return *data ? DL_OK : host->fail(DL_NOMEM, "out of memory");
}

static void release(dl_device *d, dl_stream *s, void *data, uint64_t bytes) {
    (void)d, (void)s, (void)bytes;
    host->mem(data, 0);
}

static dl_status copy(dl_device *d, dl_stream *s, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                      uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)d, (void)s, (void)dst_host, (void)src_host;
    memmove((char *)dst + dst_offset, (const char *)src + src_offset, bytes);
    return DL_OK;
}

static dl_status synchronize(dl_device *d, dl_stream *s) {
    (void)d, (void)s;
    return DL_OK;
}

static int is_packed(const dl_tensor *t) {
    int64_t stride = 1;
    for (int32_t k = t->ndim - 1; k >= 0; k--) {
        if (t->shape[k] != 1 && t->strides[k] != stride) return 0;
        stride *= t->shape[k];
    }
    return 1;
}

static int64_t elements(const dl_tensor *t) {
    int64_t n = 1;
    for (int32_t k = 0; k < t->ndim; k++) n *= t->shape[k];
    return n;
}

static void *memory(const dl_tensor *t) { return (char *)t->data + t->byte_offset; }

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0], *y = f->out[0];
    return x->type == y->type && is_packed(x) && is_packed(y) ? DL_OK : DL_UNSUPPORTED;
}

static dl_status run_copy(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    memmove(memory(f->out[0]), memory(f->in[0]), (size_t)(elements(f->in[0]) * f->in[0]->element.bits / 8));
    return DL_OK;
}

static dl_status infer_add_one(dl_frame *f) { return host->set_out(f, 0, f->in[0]->type, f->in[0]->ndim, f->in[0]->shape); }

static dl_status run_add_one(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const float *x = memory(f->in[0]);
    float *y = memory(f->out[0]);
    for (int64_t k = 0; k < elements(f->in[0]); k++) y[k] = x[k] + 1;
    return DL_OK;
}

dl_status dl_plugin_init(const dl_host *given) {
    static const dl_backend backend = {.size = sizeof backend,
                                       .name = "old_backend",
                                       .count = count,
                                       .info = info,
                                       .open = open_device,
                                       .close = close_device,
                                       .alloc = alloc,
                                       .free = release,
                                       .copy = copy,
                                       .synchronize = synchronize};
    static const dl_op_def add_one = {
        .size = sizeof add_one, .sig = "old::add_one(Tensor x) -> Tensor", .doc = "x + 1.", .infer = infer_add_one};
    static const dl_kernel kernels[] = {
        {.size = sizeof(dl_kernel), .op = "copy", .backend = "old_backend", .prepare = prepare, .run = run_copy},
        {.size = sizeof(dl_kernel), .op = "old::add_one", .backend = "old_backend", .prepare = prepare, .run = run_add_one},
    };
    host = given;
    dl_status status = host->add_backend(&backend);
    if (status == DL_OK) status = host->add_op(&add_one);
    for (int k = 0; status == DL_OK && k < 2; k++) status = host->add_kernel(&kernels[k]);
    return status;
}
