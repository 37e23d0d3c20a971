/* mingru.c - a layer plugin with everything that one can have: an op with shape rule, gradient and composition, and a kernel of
 * its own for the CPU. mingru.lua beside it makes the layer nn.MinGRU of the op.
 *
 *     mingru::scan(a, b):   h[t] = a[t] * h[t-1] + b[t],  h[-1] = 0
 *
 * for each sequence and channel of tensors (N, T, C): the recurrence of gated linear networks (Martin & Cundy, Parallelizing
 * Linear Recurrent Neural Nets, ICLR 2018; Feng et al., Were RNNs All We Needed?, 2024). As single ops it is T rounds of small
 * calls, hence the kernel; where a backend has none, those calls are the composition. */
#include <dlrun/plugin.h>

DL_PLUGIN_IDENTITY("mingru", "1.0", 0);

static const dl_host *host;

enum { BATCH, TIME, CHANNEL, DIMS };

static int is_reverse(const dl_frame *f) { return f->attr[0].v.i != 0; }

/* ---- shapes --------------------------------------------------------------------------------------------------------- */

static dl_status infer(dl_frame *f) {
    const dl_tensor *a = f->in[0], *b = f->in[1];
    if (a->ndim != DIMS || b->ndim != DIMS)
        return host->fail(DL_INVALID, "expected a and b of shape (N, T, C), got %d and %d dimensions", a->ndim, b->ndim);
    for (int d = 0; d < DIMS; d++)
        if (a->shape[d] != b->shape[d])
            return host->fail(DL_INVALID, "expected a and b of one shape, got sizes %lld and %lld in dimension %d",
                              (long long)a->shape[d], (long long)b->shape[d], d);
    if (a->type != b->type || (a->type != DL_F32 && a->type != DL_F64 && a->type != DL_F16 && a->type != DL_BF16))
        return host->fail(DL_INVALID, "expected a and b of one floating dtype: convert them first");
    return host->set_out(f, 0, a->type, DIMS, a->shape);
}

/* ---- the composition: T rounds of select and addcmul ------------------------------------------------------------------ */

static dl_value at_time(dl_graph *g, dl_value x, int64_t t) {
    const dl_attr attr[] = {{.kind = DL_ATTR_INT, .v.i = TIME}, {.kind = DL_ATTR_INT, .v.i = t}};
    return host->emit(g, "select", &x, 1, attr, 2);
}

static dl_status compose(dl_graph *g, const dl_frame *f) {
    const int64_t steps = f->in[0]->shape[TIME];
    const dl_value a = host->in(g, 0), b = host->in(g, 1);
    const dl_attr time = {.kind = DL_ATTR_INT, .v.i = TIME};
    if (steps == 0) { /* nothing to compute, and nothing to stack */
        host->returns(g, 0, host->emit(g, "copy", &b, 1, NULL, 0));
        return DL_OK;
    }
    dl_value *h = host->mem(NULL, (size_t)steps * sizeof *h);
    if (!h) return host->fail(DL_NOMEM, "out of memory for a sequence of %lld steps", (long long)steps);
    for (int64_t k = 0; k < steps; k++) {
        const int64_t t = is_reverse(f) ? steps - 1 - k : k, before = is_reverse(f) ? t + 1 : t - 1;
        h[t] = at_time(g, b, t);
        if (k == 0) continue;
        const dl_value terms[] = {h[t], at_time(g, a, t), h[before]};
        h[t] = host->emit(g, "addcmul", terms, 3, NULL, 0);
    }
    host->returns(g, 0, host->emit(g, "stack", h, (uint32_t)steps, &time, 1));
    host->mem(h, 0);
    return DL_OK;
}

/* ---- the gradient, an op of the same kind that runs the other way ------------------------------------------------------ */

/* y[t] = x[t - by], 0 where there is no such step. */
static dl_value shift(dl_graph *g, dl_value x, int64_t by) {
    const int64_t pads[] = {0, 0, by, -by}; /* the last dimension's first */
    const dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = 4, .v.iv = pads}, {.kind = DL_ATTR_STRING, .v.s = "constant"}};
    return host->emit(g, "pad", &x, 1, attr, 2);
}

/* With s[t] = a[t+1]: db[t] = g[t] + s[t] * db[t+1], which is the op in reverse, and da[t] = db[t] * h[t-1]. */
static dl_status grad(dl_graph *g, const dl_frame *f) {
    const int64_t forward = is_reverse(f) ? -1 : 1;
    const dl_attr other_way = {.kind = DL_ATTR_INT, .v.i = !is_reverse(f)};
    const dl_value terms[] = {shift(g, host->in(g, 0), -forward), host->grad_out(g, 0)};
    const dl_value db = host->emit(g, "mingru::scan", terms, 2, &other_way, 1);
    if (host->needs(g, 0)) {
        const dl_value product[] = {db, shift(g, host->out(g, 0), forward)};
        host->returns(g, 0, host->emit(g, "mul", product, 2, NULL, 0));
    }
    if (host->needs(g, 1)) host->returns(g, 1, db);
    return DL_OK;
}

/* ---- the CPU's kernel ---------------------------------------------------------------------------------------------------- */

/* Tensors may have any strides, so rows are addressed by them. The channels lie innermost and are independent of each other. */
#define SCAN(name, type)                                                                                                       \
    static void name(const dl_tensor *out, const dl_tensor *a, const dl_tensor *b, int reverse) {                              \
        const int64_t steps = out->shape[TIME], channels = out->shape[CHANNEL];                                                \
        const int64_t forward = reverse ? -1 : 1, first = reverse ? steps - 1 : 0;                                             \
        const int64_t ha = a->strides[CHANNEL], hb = b->strides[CHANNEL], ho = out->strides[CHANNEL];                          \
        if (channels == 0) return; /* there may be no memory to point into */                                                  \
        type *const y = (void *)((char *)out->data + out->byte_offset);                                                        \
        const type *const p = (const void *)((const char *)a->data + a->byte_offset);                                          \
        const type *const q = (const void *)((const char *)b->data + b->byte_offset);                                          \
        for (int64_t n = 0; n < out->shape[BATCH]; n++) {                                                                      \
            for (int64_t k = 0; k < steps; k++) {                                                                              \
                const int64_t t = first + k * forward;                                                                         \
                const type *const pt = p + n * a->strides[BATCH] + t * a->strides[TIME];                                       \
                const type *const qt = q + n * b->strides[BATCH] + t * b->strides[TIME];                                       \
                type *const yt = y + n * out->strides[BATCH] + t * out->strides[TIME];                                         \
                const type *const before = k == 0 ? yt : yt - forward * out->strides[TIME];                                    \
                for (int64_t c = 0; c < channels; c++)                                                                         \
                    yt[c * ho] = k == 0 ? qt[c * hb] : pt[c * ha] * before[c * ho] + qt[c * hb];                               \
            }                                                                                                                  \
        }                                                                                                                      \
    }
SCAN(scan_f32, float)
SCAN(scan_f64, double)
#undef SCAN

/* float16 and bfloat16 are left to the composition. */
static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    plan->sharing = DL_PLAN_PER_TYPE; /* shapes, strides and attributes are read in run */
    return f->in[0]->type == DL_F32 || f->in[0]->type == DL_F64 ? DL_OK : DL_UNSUPPORTED;
}

static dl_status run(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    (f->in[0]->type == DL_F32 ? scan_f32 : scan_f64)(f->out[0], f->in[0], f->in[1], is_reverse(f));
    return DL_OK;
}

/* ---- registration ----------------------------------------------------------------------------------------------------------
 */

dl_status dl_plugin_init(const dl_host *given) {
    static const dl_op_def scan = {
        .size = sizeof scan,
        .sig = "mingru::scan(Tensor a, Tensor b, bool reverse=0) -> Tensor",
        .doc = "h[t] = a[t]*h[t-1] + b[t] along the middle dimension of (N, T, C), h[-1] = 0; with reverse h[t] = a[t]*h[t+1] "
               "+ b[t]. "
               "a and b have one shape and one floating dtype.",
        .infer = infer,
        .compose = compose,
        .grad = grad,
        .saves = "a out",
    };
    static const dl_kernel kernel = {
        .size = sizeof kernel, .op = "mingru::scan", .backend = "cpu", .prepare = prepare, .run = run};
    host = given;
    dl_status status = host->add_op(&scan);
    return status == DL_OK ? host->add_kernel(&kernel) : status;
}
