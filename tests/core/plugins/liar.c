/* liar.c - ops whose kernels for the CPU are wrong, each in its own way, beside compositions that are right: what the
 * conformance kit must find. */
#include "dlrun/plugin.h"

DL_PLUGIN_IDENTITY("liar", "1.0", 0);

static const dl_host *host;

static dl_status infer(dl_frame *f) { return host->set_out(f, 0, f->in[0]->type, f->in[0]->ndim, f->in[0]->shape); }

static dl_status compose(dl_graph *g, const dl_frame *f) {
    (void)f;
    const dl_value x = host->in(g, 0);
    host->returns(g, 0, host->emit(g, "add", (dl_value[]){x, x}, 2, NULL, 0));
    return DL_OK;
}

/* Twice x, but of whatever lies in memory behind the first element. */
static dl_status run_blind(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const float *x = (const float *)(const void *)((const char *)f->in[0]->data + f->in[0]->byte_offset);
    float *y = (float *)(void *)((char *)f->out[0]->data + f->out[0]->byte_offset);
    int64_t n = 1;
    for (int32_t d = 0; d < f->out[0]->ndim; d++) n *= f->out[0]->shape[d];
    for (int64_t k = 0; k < n; k++) y[k] = 2 * x[k];
    return DL_OK;
}

static dl_status prepare_f32(const dl_frame *f, dl_plan *plan) {
    (void)plan;
    return f->in[0]->type == DL_F32 ? DL_OK : DL_UNSUPPORTED;
}

static dl_status run_nothing(const dl_frame *f, const dl_plan *plan) {
    (void)f, (void)plan;
    return host->fail(DL_UNSUPPORTED, "after all not");
}

/* A hundred thousandth of x, so that who looks at differences alone takes 0 for it. */
static dl_status compose_faint(dl_graph *g, const dl_frame *f) {
    (void)f;
    const dl_value x = host->in(g, 0);
    const dl_attr factor = {.kind = DL_ATTR_FLOAT, .v.f = 1e-5};
    host->returns(g, 0, host->emit(g, "mul_scalar", &x, 1, &factor, 1));
    return DL_OK;
}

static dl_status run_zero(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    float *y = (float *)(void *)((char *)f->out[0]->data + f->out[0]->byte_offset);
    for (int64_t k = 0; k < f->out[0]->shape[0]; k++) y[k * f->out[0]->strides[0]] = 0;
    return DL_OK;
}

/* Integers are refused, by the kernel with the status of a defect. */
static dl_status compose_floats(dl_graph *g, const dl_frame *f) {
    if (f->in[0]->type != DL_F32) return host->fail(DL_INVALID, "float32 is expected");
    return compose(g, f);
}

static dl_status prepare_others(const dl_frame *f, dl_plan *plan) {
    (void)plan;
    return f->in[0]->type == DL_F32 ? DL_UNSUPPORTED : DL_OK;
}

static dl_status run_defect(const dl_frame *f, const dl_plan *plan) {
    (void)f, (void)plan;
    return host->fail(DL_INTERNAL, "never thought of that");
}

dl_status dl_plugin_init(const dl_host *h) {
    static const dl_op_def ops[] = {
        {.size = sizeof(dl_op_def), .sig = "liar::blind(Tensor x) -> Tensor", .infer = infer, .compose = compose},
        {.size = sizeof(dl_op_def), .sig = "liar::promises(Tensor x) -> Tensor", .infer = infer, .compose = compose},
        {.size = sizeof(dl_op_def), .sig = "liar::honest(Tensor x) -> Tensor", .infer = infer, .compose = compose},
        {.size = sizeof(dl_op_def), .sig = "liar::faint(Tensor x) -> Tensor", .infer = infer, .compose = compose_faint},
        {.size = sizeof(dl_op_def), .sig = "liar::harsh(Tensor x) -> Tensor", .infer = infer, .compose = compose_floats},
    };
    static const dl_kernel kernels[] = {
        {.size = sizeof(dl_kernel), .op = "liar::blind", .backend = "cpu", .prepare = prepare_f32, .run = run_blind},
        {.size = sizeof(dl_kernel), .op = "liar::promises", .backend = "cpu", .prepare = prepare_f32, .run = run_nothing},
        {.size = sizeof(dl_kernel), .op = "liar::faint", .backend = "cpu", .prepare = prepare_f32, .run = run_zero},
        {.size = sizeof(dl_kernel), .op = "liar::harsh", .backend = "cpu", .prepare = prepare_others, .run = run_defect},
    };
    host = h;
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        const dl_status status = h->add_op(&ops[k]);
        if (status != DL_OK) return status;
    }
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        const dl_status status = h->add_kernel(&kernels[k]);
        if (status != DL_OK) return status;
    }
    return DL_OK;
}
