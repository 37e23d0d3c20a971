/* resample.c - upsample and upsample_backward. */
#include "backends/simt/box.h"
#include "backends/simt/numbers.h"
#include "backends/simt/resample.h"
#include "backends/simt/texts.h"

/* The op's rule has seen to it that it is one of them. */
static int64_t mode_of(const char *name) {
    static const char *const modes[] = {[RESAMPLE_NEAREST] = "nearest",
                                        [RESAMPLE_NEAREST_EXACT] = "nearest-exact",
                                        [RESAMPLE_LINEAR] = "linear",
                                        [RESAMPLE_CUBIC] = "cubic"};
    return simt_name_of(name, modes, sizeof modes / sizeof *modes);
}

/* The frame's attributes are size, mode, align_corners and a scale for each dimension. */
static resample_shape shape_of(const dl_frame *f, const dl_tensor *x, const dl_tensor *y) {
    resample_shape s = {.samples = x->shape[0], .channels = x->shape[1]};
    s.x_n = x->strides[0], s.x_c = x->strides[1], s.y_n = y->strides[0], s.y_c = y->strides[1];
    s.mode = mode_of(f->attr[1].v.s);
    s.align_corners = f->attr[2].v.i != 0;
    box_of(x, 2, s.from, s.x_s);
    box_of(y, 2, s.to, s.y_s);
    return s;
}

static double step_of(const dl_frame *f, const resample_shape *s, int32_t d) {
    const int32_t missing = SPATIAL - (f->in[0]->ndim - 2);
    const double scale = d < missing ? 0 : f->attr[3 + d - missing].v.f;
    if (s->align_corners) return s->to[d] > 1 ? (double)(s->from[d] - 1) / (double)(s->to[d] - 1) : 0;
    return scale > 0 ? 1 / scale : (double)s->from[d] / (double)s->to[d];
}

static dl_status run(const dl_frame *f, const dl_plan *plan, const resample_shape *s) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const int64_t n = simt_count(out);
    simt_args a = {0};
    simt_buffer(&a, in);
    simt_buffer(&a, out);
    simt_struct(&a, s, sizeof *s);
    simt_i64(&a, n);
    for (int32_t d = 0; d < SPATIAL; d++) simt_scalar(&a, out->type, step_of(f, s, d));
    return simt_launch_items(f, simt_planned(plan, 0), n, &a);
}

static dl_status prepare_upsample(const dl_frame *f, dl_plan *plan) {
    return simt_plan(f, plan, text_resample_cl, &(simt_wanted){"resample", 1, {f->out[0]->type}}, 1);
}

static dl_status run_upsample(const dl_frame *f, const dl_plan *plan) {
    const resample_shape s = shape_of(f, f->in[0], f->out[0]);
    return run(f, plan, &s);
}

static dl_status prepare_backward(const dl_frame *f, dl_plan *plan) {
    return simt_plan(f, plan, text_resample_cl, &(simt_wanted){"resample_backward", 1, {f->out[0]->type}}, 1);
}

static dl_status run_backward(const dl_frame *f, const dl_plan *plan) {
    const resample_shape s = shape_of(f, f->out[0], f->in[0]);
    return run(f, plan, &s);
}

dl_status simt_register_resample(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("upsample", prepare_upsample, run_upsample),
        SIMT_KERNEL("upsample_backward", prepare_backward, run_backward),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
