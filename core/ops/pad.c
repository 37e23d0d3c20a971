/* pad.c - padding and cropping at the borders: shape rules and gradients. */
#include "core/ops/emit.h"
#include "core/ops/functions.h"

enum { CONSTANT, REFLECT, REPLICATE, CIRCULAR, MODES };
static const char *const modes[MODES] = {"constant", "reflect", "replicate", "circular"};

static const int64_t MOST_PAD = 1LL << 30, MOST_CROP = 1LL << 61;

/* Can `pad` places be made before or behind a dimension of n elements? What is cropped does not come round again: it does not
 * count in n of CIRCULAR. */
static int may_pad(int32_t mode, int64_t pad, int64_t n) {
    switch (mode) {
    case REFLECT: return pad <= 0 || pad < n;
    case REPLICATE: return pad <= 0 || n > 0;
    case CIRCULAR: return pad <= n;
    default: return 1;
    }
}

/* s, the shape before padding, becomes the one after it. */
static dl_status padded(const dl_frame *f, uint32_t k, int32_t mode, dl_shape *s) {
    static const char *const limits[MODES] = {"", "less than its size", "nothing, since it is empty", "what is left of it"};
    const dl_shape before = *s;
    const int64_t *pads;
    const int32_t n = attr_ints(f, k, &pads);
    if (n % 2 || n / 2 > s->ndim)
        return dl_failf(DL_INVALID, "expected two pads for each of at most %d dimensions of %s, got %s", (int)s->ndim,
                        sizes_text(s->ndim, s->size).s, sizes_text(n, pads).s);
    for (int32_t i = 0; i < n / 2; i++) {
        const int32_t d = s->ndim - 1 - i;
        const int64_t *pad = pads + 2 * i;
        if (pad[0] > MOST_PAD || pad[1] > MOST_PAD || pad[0] < -MOST_CROP || pad[1] < -MOST_CROP)
            return dl_failf(DL_INVALID, "the pads %lld and %lld are too large", (long long)pad[0], (long long)pad[1]);
        const int64_t size = s->size[d] + pad[0] + pad[1];
        if (size < 0 || (mode != CONSTANT && (s->size[d] < -pad[0] || s->size[d] < -pad[1])))
            return dl_failf(DL_INVALID, "the pads %lld and %lld remove more than dimension %d of %s has", (long long)pad[0],
                            (long long)pad[1], (int)d, sizes_text(before.ndim, before.size).s);
        const int64_t whole = s->size[d], cropped = whole + (pad[0] < 0 ? pad[0] : 0) + (pad[1] < 0 ? pad[1] : 0);
        for (int side = 0; side < 2; side++)
            if (!may_pad(mode, pad[side], mode == CIRCULAR ? cropped : whole))
                return dl_failf(DL_INVALID, "mode '%s' can add to dimension %d of %s at most %s, got %lld", modes[mode], (int)d,
                                sizes_text(before.ndim, before.size).s, limits[mode], (long long)pad[side]);
        s->size[d] = size;
    }
    return DL_OK;
}

dl_status infer_pad(dl_frame *f) {
    const dl_tensor *x = f->in[0];
    dl_shape s = shape_of(x);
    int32_t mode;
    DL_TRY(rule_choice(f, 1, "mode", modes, MODES, &mode));
    DL_TRY(padded(f, 0, mode, &s));
    return out_shape(f, 0, x->type, &s);
}

/* The gradient of added constants is dropped, and what was cropped gets none: pads of the opposite sign. */
dl_status grad_pad(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const int64_t *pads;
    int64_t opposite[2 * DL_MAX_DIMS];
    const int32_t n = attr_ints(f, 0, &pads);
    int32_t mode;
    DL_TRY(rule_choice(f, 1, "mode", modes, MODES, &mode));
    if (mode == CONSTANT) {
        for (int32_t k = 0; k < n; k++) opposite[k] = -pads[k];
        dl_graph_returns(g, 0, emit1(g, "pad", dl_graph_grad(g, 0), ATTRS(DL_INTS(opposite, n), f->attr[1])));
    } else {
        dl_graph_returns(
            g, 0,
            emit1(g, "pad_backward", dl_graph_grad(g, 0), ATTRS(DL_INTS(x->shape, x->ndim), DL_INTS(pads, n), f->attr[1])));
    }
    return dl_graph_status(g);
}

dl_status infer_pad_backward(dl_frame *f) {
    const dl_tensor *grad = f->in[0];
    dl_shape x, s;
    int32_t mode;
    DL_TRY(rule_floating(grad));
    DL_TRY(rule_choice(f, 2, "mode", modes, MODES, &mode));
    DL_TRY(rule_shape(f, 0, &x));
    s = x;
    DL_TRY(padded(f, 1, mode, &s));
    if (grad->ndim != s.ndim || !broadcasts_to(grad->ndim, grad->shape, s.ndim, s.size) ||
        !broadcasts_to(s.ndim, s.size, grad->ndim, grad->shape))
        return dl_failf(DL_INVALID, "expected a gradient of shape %s, got %s", sizes_text(s.ndim, s.size).s,
                        shape_text(grad).s);
    return out_shape(f, 0, grad->type, &x);
}

dl_status grad_pad_backward(dl_graph *g, const dl_frame *f) {
    dl_graph_returns(g, 0, emit1(g, "pad", dl_graph_grad(g, 0), ATTRS(f->attr[1], f->attr[2])));
    return dl_graph_status(g);
}
