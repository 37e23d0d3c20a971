/* old_kernel.c - ABI 1.0: an op with shape rule, composition, gradient, and a kernel for the CPU that has a plan with state. */
#include "dlrun/plugin.h"

DL_PLUGIN_IDENTITY("old_kernel", "1.0", 0);

static const dl_host *host;

/* old::outer(a, b): (n) and (m) give (n, m), products. */
static dl_status infer(dl_frame *f) {
    if (f->in[0]->ndim != 1 || f->in[1]->ndim != 1) return host->fail(DL_INVALID, "expected two vectors");
    const int64_t shape[] = {f->in[0]->shape[0], f->in[1]->shape[0]};
    return host->set_out(f, 0, f->in[0]->type, 2, shape);
}

static dl_value column(dl_graph *g, dl_value x) {
    const dl_attr last = {.kind = DL_ATTR_INT, .v.i = 1};
    return host->emit(g, "unsqueeze", &x, 1, &last, 1);
}

static dl_status compose(dl_graph *g, const dl_frame *f) {
    (void)f;
    const dl_value both[] = {column(g, host->in(g, 0)), host->in(g, 1)};
    host->returns(g, 0, host->emit(g, "mul", both, 2, NULL, 0));
    return DL_OK;
}

static dl_status grad(dl_graph *g, const dl_frame *f) {
    const int64_t dims[] = {0, 1};
    for (uint32_t k = 0; k < f->n_in; k++) {
        if (!host->needs(g, k)) continue;
        const dl_value terms[] = {host->grad_out(g, 0), k == 0 ? host->in(g, 1) : column(g, host->in(g, 0))};
        const dl_value product = host->emit(g, "mul", terms, 2, NULL, 0);
        const dl_attr over = {.kind = DL_ATTR_INTS, .n = 1, .v.iv = &dims[k == 0]};
        host->returns(g, k, host->emit(g, "sum", &product, 1, &over, 1));
    }
    return DL_OK;
}

static void destroy(void *state) { host->mem(state, 0); }

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    if (f->in[0]->type != DL_F32) return DL_UNSUPPORTED;
    int64_t *rows = host->mem(NULL, sizeof *rows);
    if (!rows) return host->fail(DL_NOMEM, "out of memory");
    *rows = f->in[0]->shape[0];
    plan->state = rows;
    plan->destroy = destroy;
    return DL_OK;
}

static const float *values(const dl_tensor *t) { return (const float *)((const char *)t->data + t->byte_offset); }

static dl_status run(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *a = f->in[0], *b = f->in[1], *out = f->out[0];
    float *y = (float *)((char *)out->data + out->byte_offset);
    for (int64_t i = 0; i < *(const int64_t *)plan->state; i++)
        for (int64_t j = 0; j < b->shape[0]; j++)
            y[i * out->strides[0] + j * out->strides[1]] = values(a)[i * a->strides[0]] * values(b)[j * b->strides[0]];
    return DL_OK;
}

dl_status dl_plugin_init(const dl_host *given) {
    static const dl_op_def outer = {.size = sizeof outer,
                                    .sig = "old::outer(Tensor a, Tensor b) -> Tensor",
                                    .doc = "Every product of two vectors' elements.",
                                    .infer = infer,
                                    .compose = compose,
                                    .grad = grad,
                                    .saves = "a b"};
    static const dl_kernel kernel = {
        .size = sizeof kernel, .priority = 5, .op = "old::outer", .backend = "cpu", .prepare = prepare, .run = run};
    host = given;
    dl_status status = host->add_op(&outer);
    return status == DL_OK ? host->add_kernel(&kernel) : status;
}
