/* pad.c - pad and pad_backward. */
#include "backends/simt/numbers.h"
#include "backends/simt/pad.h"
#include "backends/simt/texts.h"

_Static_assert(PAD_DIMS == DL_MAX_DIMS, "pad.h");

/* The op's rule has seen to it that it is one of them. */
static int64_t mode_of(const char *name) {
    static const char *const modes[] = {
        [PAD_CONSTANT] = "constant", [PAD_REFLECT] = "reflect", [PAD_REPLICATE] = "replicate", [PAD_CIRCULAR] = "circular"};
    return simt_name_of(name, modes, sizeof modes / sizeof *modes);
}

static pad_shape shape_of(const dl_tensor *plain, const dl_tensor *padded, const dl_attr *pads, const char *mode) {
    pad_shape s = {.ndim = plain->ndim, .mode = mode_of(mode)};
    for (int32_t d = 0; d < plain->ndim; d++) {
        const int32_t pair = 2 * (plain->ndim - 1 - d);
        s.size[d] = plain->shape[d], s.stride[d] = plain->strides[d];
        s.padded[d] = padded->shape[d], s.padded_stride[d] = padded->strides[d];
        s.before[d] = pair < pads->n ? pads->v.iv[pair] : 0;
    }
    return s;
}

static dl_status prepare_pad(const dl_frame *f, dl_plan *plan) {
    return simt_plan(f, plan, text_pad_cl, &(simt_wanted){"pad", 1, {f->out[0]->type}}, 1);
}

static dl_status run_pad(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *x = f->in[0], *out = f->out[0];
    const pad_shape s = shape_of(x, out, &f->attr[0], f->attr[1].v.s);
    const int64_t n = simt_count(out);
    simt_args a = {0};
    simt_buffer(&a, x);
    simt_buffer(&a, out);
    simt_struct(&a, &s, sizeof s);
    simt_i64(&a, n);
    simt_number(&a, out->type, &f->attr[2]);
    return simt_launch_items(f, simt_planned(plan, 0), n, &a);
}

static dl_status prepare_pad_backward(const dl_frame *f, dl_plan *plan) {
    return simt_plan(f, plan, text_pad_cl, &(simt_wanted){"pad_backward", 1, {f->out[0]->type}}, 1);
}

static dl_status run_pad_backward(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *grad = f->in[0], *out = f->out[0];
    const pad_shape s = shape_of(out, grad, &f->attr[1], f->attr[2].v.s);
    const int64_t n = simt_count(out);
    simt_args a = {0};
    simt_buffer(&a, grad);
    simt_buffer(&a, out);
    simt_struct(&a, &s, sizeof s);
    simt_i64(&a, n);
    return simt_launch_items(f, simt_planned(plan, 0), n, &a);
}

dl_status simt_register_pad(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("pad", prepare_pad, run_pad),
        SIMT_KERNEL("pad_backward", prepare_pad_backward, run_pad_backward),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
