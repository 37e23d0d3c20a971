/* windows.c - see windows.h. */
#include "core/ops/windows.h"

/* ---- windows that slide --------------------------------------------------------------------------------------------- */

dl_status sliding_windows_of(const dl_frame *f, const dl_tensor *x, const dl_tensor *y, uint32_t first, int dilated,
                             sliding_windows *w) {
    static const int64_t zeros[DL_MAX_SPATIAL] = {0}, ones[DL_MAX_SPATIAL] = {1, 1, 1};
    const int64_t *given;
    int64_t kernel[DL_MAX_SPATIAL], stride[DL_MAX_SPATIAL], padding[DL_MAX_SPATIAL], dilation[DL_MAX_SPATIAL] = {1, 1, 1};
    *w = (sliding_windows){.spatial = attr_ints(f, first, &given)};
    DL_TRY(rule_spatial(f, first, "kernel", w->spatial, given, 1, kernel));
    DL_TRY(rule_spatial(f, first + 1, "stride", w->spatial, kernel, 1, stride));
    DL_TRY(rule_spatial(f, first + 2, "padding", w->spatial, zeros, 0, padding));
    if (dilated) DL_TRY(rule_spatial(f, first + 3, "dilation", w->spatial, ones, 1, dilation));
    for (int32_t d = 0; d < w->spatial; d++) {
        const int32_t own = x->ndim - w->spatial + d;
        sliding_axis *a = &w->axis[d];
        *a = (sliding_axis){x->shape[own], y->shape[own], kernel[d], stride[d], padding[d], dilation[d], 0};
        const int64_t end = (a->out - 1) * a->stride + (a->kernel - 1) * a->dilation + 1;
        w->padding |= a->padding > 0 || end > a->in;
        a->padded = end > a->in + a->padding ? end : a->in + a->padding;
    }
    return DL_OK;
}

dl_value windows_padded(dl_graph *g, const sliding_windows *w, dl_value x, double value) {
    int64_t pads[2 * DL_MAX_SPATIAL];
    const dl_attr constant = {.kind = DL_ATTR_STRING, .v.s = "constant"};
    for (int32_t d = 0; d < w->spatial; d++) {
        const sliding_axis *a = &w->axis[w->spatial - 1 - d];
        pads[2 * d] = a->padding;
        pads[2 * d + 1] = a->padded - a->padding - a->in;
    }
    return w->padding ? emit1(g, "pad", x, ATTRS(DL_INTS(pads, 2 * w->spatial), constant, DL_FLOAT(value))) : x;
}

dl_shape windows_view(const sliding_windows *w, const dl_tensor *padded, const int64_t *padded_strides, int64_t *strides) {
    const int32_t leading = padded->ndim - w->spatial;
    dl_shape s = {.ndim = padded->ndim + w->spatial};
    for (int32_t d = 0; d < leading; d++) s.size[d] = padded->shape[d], strides[d] = padded_strides[d];
    for (int32_t d = 0; d < w->spatial; d++) {
        const sliding_axis *a = &w->axis[d];
        s.size[leading + d] = a->out;
        strides[leading + d] = padded_strides[leading + d] * a->stride;
        s.size[padded->ndim + d] = a->kernel;
        strides[padded->ndim + d] = padded_strides[leading + d] * a->dilation;
    }
    return s;
}

dl_value windows_element(dl_graph *g, const sliding_windows *w, dl_value padded, int64_t k) {
    const dl_tensor *t = e_plain(g, padded);
    int64_t strides[DL_MAX_DIMS], offset = 0;
    if (!t) return DL_NO_VALUE;
    const dl_shape s = windows_view(w, t, t->strides, strides);
    for (int32_t d = w->spatial - 1; d >= 0; d--) {
        offset += k % w->axis[d].kernel * strides[t->ndim + d];
        k /= w->axis[d].kernel;
    }
    return e_strided(g, padded, t->ndim, s.size, strides, offset);
}

int64_t windows_elements(const sliding_windows *w) {
    int64_t n = 1;
    for (int32_t d = 0; d < w->spatial; d++) n *= w->axis[d].kernel;
    return n;
}

/* ---- windows from sizes --------------------------------------------------------------------------------------------- */

adaptive_axis adaptive_axis_of(int64_t in, int64_t out) {
    adaptive_axis a = {in, out, 0};
    for (int64_t o = 0; o < out; o++) {
        const int64_t length = ((o + 1) * in + out - 1) / out - o * in / out;
        if (length > a.longest) a.longest = length;
    }
    return a;
}

dl_value adaptive_places(dl_graph *g, const adaptive_axis *a, dl_value *outside) {
    const int64_t column[] = {a->out, 1}, n = a->out * a->longest;
    const dl_attr out = DL_INT(a->out);
    dl_value begin = emit1(g, "idiv_scalar", e_ramp(g, 0, a->in, a->out, 0, 1), &out, 1);
    dl_value last = e_ramp(g, a->in + a->out - 1, a->in, a->out, 0, 1);
    last = emit1(g, "sub_scalar", emit1(g, "idiv_scalar", last, &out, 1), ATTRS(DL_INT(1)));
    dl_value place = e_add(g, e_reshape(g, begin, 2, column), e_ramp(g, 0, 1, a->longest, 0, 1));
    last = e_reshape(g, last, 2, column);
    if (outside) *outside = e_reshape(g, emit2(g, "gt", place, last, NO_ATTRS), 1, &n);
    return e_reshape(g, emit2(g, "minimum", place, last, NO_ATTRS), 1, &n);
}
