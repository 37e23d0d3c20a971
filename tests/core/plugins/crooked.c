/* crooked.c - plugins/plain under another name, with a fault in each of four kernels and a compiler whose kernels do nothing:
 * what the conformance kit must find. */
#include "dlrun/plugin.h"

#undef DL_PLUGIN_IDENTITY_FLAGS
#define DL_PLUGIN_IDENTITY_FLAGS(name, version, minor, flags) struct no_identity
#define dl_plugin_init plain_init
#include "plugins/plain/plain.c"
#undef dl_plugin_init

DL_PLUGIN_IDENTITY("crooked", "1.0", 0);

static const dl_host *engine;

/* Not every dtype, and not every layout of those it has. */
static dl_status prepare_some(const dl_frame *f, dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0];
    return x->type == DL_I64 || (x->type == DL_F64 && x->byte_offset) ? DL_UNSUPPORTED : DL_OK;
}

/* int64 passes through 8 bits. */
static dl_status copy_narrow(const dl_frame *f, const dl_plan *plan) {
    const dl_status status = run_copy(f, plan);
    const view x = view_of(f->in[0]), y = view_of(f->out[0]);
    for (int64_t k = 0; status == DL_OK && x.type == DL_I64 && y.type == DL_I64 && k < y.count; k++) {
        lane v;
        load(&y, k, 1, &v);
        v.i = (signed char)v.i;
        store(&y, k, 1, &v);
    }
    return status;
}

/* Indices are not looked at: those out of range are left out. */
static dl_status add_silently(const dl_frame *f, const dl_plan *plan) {
    const dl_status status = run_indexed(f, plan);
    return status == DL_INVALID ? DL_OK : status;
}

/* Products of more than 256 terms end there. */
static dl_status multiply_some(const dl_frame *f, const dl_plan *plan) {
    dl_tensor a = *f->in[0];
    const dl_tensor *in[] = {&a, f->in[1]};
    dl_frame shorter = *f;
    if (a.shape[2] > 256) a.shape[2] = 256;
    shorter.in = in;
    return run_gemm(&shorter, plan);
}

static dl_status compile(dl_device *device, const char *source, const char *entry, void **function) {
    (void)device, (void)source, (void)entry;
    return *function = NULL, DL_OK;
}

static dl_status launch(dl_device *device, dl_stream *stream, void *function, const uint32_t grid[3], const uint32_t block[3],
                        uint32_t local_bytes, void *const *args, const uint32_t *arg_bytes, uint32_t n_args) {
    (void)device, (void)stream, (void)function, (void)grid, (void)block;
    (void)local_bytes, (void)args, (void)arg_bytes, (void)n_args;
    return DL_OK;
}

static dl_status add_backend(const dl_backend *b) {
    dl_backend own = *b;
    own.name = "crooked";
    own.compile = compile;
    own.launch = launch;
    return engine->add_backend(&own);
}

static dl_status add_kernel(const dl_kernel *k) {
    dl_kernel own = *k;
    own.backend = "crooked";
    if (strcmp(k->op, "gather") == 0) own.prepare = prepare_some;
    if (strcmp(k->op, "copy") == 0) own.run = copy_narrow;
    if (strcmp(k->op, "scatter_add") == 0) own.run = add_silently;
    if (strcmp(k->op, "gemm") == 0) own.run = multiply_some;
    return engine->add_kernel(&own);
}

dl_status dl_plugin_init(const dl_host *h) {
    static dl_host between;
    engine = h;
    between = *h;
    between.add_backend = add_backend;
    between.add_kernel = add_kernel;
    return plain_init(&between);
}
