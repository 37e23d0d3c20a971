/* random.c - compositions of the random ops: arithmetic on the draws of the pointwise op philox, one call number each.
 *
 * The stream is that of backends/cpu/kernels/random.c: masks and integers are equal bit for bit, floating values up to the
 * rounding of their functions. */
#include "core/mem.h"
#include "core/ops/emit.h"
#include "core/ops/functions.h"
#include "core/random.h"
#include "dlrun/philox.h"
#include <math.h>

static dl_value draws(dl_graph *g, const char *op, int32_t ndim, const int64_t *shape) {
    return emit1(g, op, dl_graph_empty(g, DL_I64, ndim, shape), NO_ATTRS);
}

/* The draw's upper bits as a whole number of dtype `type`: bits of a 32-bit draw, or 53 of a 64-bit one. */
static dl_value upper_bits(dl_graph *g, dl_value draw, int bits, dl_dtype type) {
    const int wide = bits > 32;
    if (bits != 32) draw = emit1(g, "shift_right_scalar", draw, ATTRS(DL_INT((wide ? 64 : 32) - bits)));
    if (wide) draw = emit1(g, "bit_and_scalar", draw, ATTRS(DL_INT(((int64_t)1 << bits) - 1))); /* the shift keeps the sign */
    return e_cast(g, draw, type);
}

static dl_status returned(dl_graph *g, uint32_t k, dl_value y, dl_dtype type) {
    dl_graph_returns(g, k, e_cast(g, y, type));
    return dl_graph_status(g);
}

/* ---- uniform ----------------------------------------------------------------------------------------------------------- */

/* The largest value of a floating dtype below hi: rounding must not reach it. Halves have so many bits behind the first one
 * that the next lower value is found by cutting hi off, or one step further. */
static double below(double hi, dl_dtype type) {
    const int digits = type == DL_F16 ? 11 : 8;
    int exponent;
    if (type == DL_F64) return nextafter(hi, -INFINITY);
    const double f = (float)hi;
    if (type == DL_F32) return f < hi ? f : (double)nextafterf((float)f, -INFINITY);
    if (hi == 0) return -0x1p-24;
    const double mantissa = frexp(hi, &exponent);         /* 0.5 to 1 in size */
    if (type == DL_F16 && exponent < -13) exponent = -13; /* subnormal */
    const double step = ldexp(1, exponent - digits), cut = floor(hi / step) * step;
    if (cut < hi) return cut;
    return cut - (mantissa == 0.5 && !(type == DL_F16 && exponent == -13) ? step / 2 : step);
}

dl_status compose_uniform(dl_graph *g, const dl_frame *f) {
    static const int digits[] = {[DL_F32] = 24, [DL_F64] = 53, [DL_F16] = 11, [DL_BF16] = 8};
    const dl_tensor *out = f->out[0];
    const dl_dtype type = wide_type(out->type);
    const int bits = digits[out->type];
    const double lo = attr_float(f, 1), hi = attr_float(f, 2);
    double most = hi > lo ? below(hi, out->type) : lo;
    if (most < lo) most = lo;
    dl_value x = upper_bits(g, draws(g, type == DL_F64 ? "philox64" : "philox", out->ndim, out->shape), bits, type);
    x = emit1(g, "affine_scalar", x, ATTRS(DL_FLOAT((hi - lo) * ldexp(1, -bits)), DL_FLOAT(lo)));
    return returned(g, 0, emit1(g, "clamp_max", x, ATTRS(DL_FLOAT(most))), out->type);
}

/* ---- normal: Box and Muller 1958; elements 2j and 2j + 1 share their two draws, a radius and an angle ------------------- */

static const double TURN = 6.283185307179586477;

dl_status compose_normal(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    const dl_dtype type = wide_type(out->type);
    const int wide = type == DL_F64;
    const int64_t n = count_of(out->ndim, out->shape), pairs[] = {(n + 1) / 2, 2};
    dl_value draw = draws(g, wide ? "philox64" : "philox", 2, pairs);
    dl_value u = upper_bits(g, e_select(g, draw, 1, 0), wide ? 53 : 32, type);
    dl_value angle = upper_bits(g, e_select(g, draw, 1, 1), wide ? 53 : 24, type);
    u = emit1(g, "add_scalar", u, ATTRS(DL_FLOAT(wide ? 1 : 0.5))); /* never 0 */
    u = e_scale(g, u, wide ? 0x1p-53 : 0x1p-32);
    angle = e_scale(g, angle, TURN * (wide ? 0x1p-53 : 0x1p-24));
    dl_value radius = emit1(g, "sqrt", e_scale(g, e_log(g, u), -2), NO_ATTRS);
    dl_value y = dl_graph_empty(g, type, 2, pairs);
    into2(g, e_select(g, y, 1, 0), "mul", radius, emit1(g, "cos", angle, NO_ATTRS), NO_ATTRS);
    into2(g, e_select(g, y, 1, 1), "mul", radius, emit1(g, "sin", angle, NO_ATTRS), NO_ATTRS);
    y = e_slice(g, e_flat(g, y), 0, 0, n);
    y = emit1(g, "affine_scalar", y, ATTRS(DL_FLOAT(attr_float(f, 2)), DL_FLOAT(attr_float(f, 1))));
    return returned(g, 0, e_reshape(g, y, out->ndim, out->shape), out->type);
}

/* ---- bernoulli, random_int ---------------------------------------------------------------------------------------------- */

/* Draws below p * 2^32. */
static dl_value events(dl_graph *g, double p, int32_t ndim, const int64_t *shape) {
    const int64_t threshold = (int64_t)dl_random_threshold(p);
    return emit1(g, "lt_scalar", draws(g, "philox", ndim, shape), ATTRS(DL_INT(threshold)));
}

dl_status compose_bernoulli(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    return returned(g, 0, events(g, attr_float(f, 1), out->ndim, out->shape), out->type);
}

static dl_value shifted_down(dl_graph *g, dl_value x) { /* an unsigned shift by 32 bits */
    x = emit1(g, "shift_right_scalar", x, ATTRS(DL_INT(32)));
    return emit1(g, "bit_and_scalar", x, ATTRS(DL_INT(0xffffffff)));
}
static dl_value lower_word(dl_graph *g, dl_value x) { return emit1(g, "bit_and_scalar", x, ATTRS(DL_INT(0xffffffff))); }
static dl_value times(dl_graph *g, dl_value x, int64_t by) { return emit1(g, "mul_scalar", x, ATTRS(DL_INT(by))); }

/* The upper 64 bits of a 64-bit draw times range, both unsigned, from the four products of their words. */
static dl_value scaled(dl_graph *g, dl_value draw, uint64_t range) {
    const int64_t r0 = (int64_t)(range & 0xffffffffu), r1 = (int64_t)(range >> 32);
    dl_value high = shifted_down(g, draw), low = lower_word(g, draw);
    dl_value middle = e_add(g, shifted_down(g, times(g, low, r0)), times(g, high, r0)); /* below 2^64 */
    dl_value top = shifted_down(g, middle);
    if (r1 == 0) return top;
    middle = e_add(g, lower_word(g, middle), times(g, low, r1));
    return e_add(g, e_add(g, top, shifted_down(g, middle)), times(g, high, r1));
}

dl_status compose_random_int(dl_graph *g, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    const int64_t lo = attr_int(f, 1);
    const uint64_t range = (uint64_t)attr_int(f, 2) - (uint64_t)lo + 1; /* 0 means 2^64 */
    const int narrow = range && range <= 1 << 16;
    dl_value x = draws(g, narrow ? "philox" : "philox64", out->ndim, out->shape);
    if (narrow)
        x = emit1(g, "shift_right_scalar", times(g, x, (int64_t)range), ATTRS(DL_INT(32)));
    else if (range)
        x = scaled(g, x, range);
    return returned(g, 0, emit1(g, "add_scalar", x, ATTRS(DL_INT(lo))), out->type);
}

/* ---- randperm: one exchange depends on all before it, so the host makes it (Durstenfeld, CACM 1964) ---------------------- */

__extension__ typedef unsigned __int128 uint128;

static uint64_t draw64(uint64_t key, uint64_t call, int64_t element) {
    uint32_t high[4], low[4];
    dl_philox_block(key, call, (uint64_t)element / 4, high);
    dl_philox_block(key, dl_philox_low_call(call), (uint64_t)element / 4, low);
    return (uint64_t)high[element % 4] << 32 | low[element % 4];
}

/* Position i, from the last down, is exchanged with one of 0..i. */
dl_status compose_randperm(dl_graph *g, const dl_frame *f) {
    const int64_t n = f->out[0]->shape[0];
    uint64_t key, call;
    int64_t *order = dl_mem(NULL, (size_t)(n + 1) * sizeof *order);
    if (!order) return dl_failf(DL_NOMEM, "out of memory for %lld numbers", (long long)n);
    dl_random_take(&key, &call);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)((uint128)draw64(key, call, i) * (uint64_t)(i + 1) >> 64), last = order[i];
        order[i] = order[j];
        order[j] = last;
    }
    dl_value y = dl_graph_vector(g, n, order);
    dl_mem(order, 0);
    return returned(g, 0, y, f->out[0]->type);
}

/* ---- dropout ------------------------------------------------------------------------------------------------------------ */

dl_status compose_dropout(dl_graph *g, const dl_frame *f) {
    const dl_tensor *x = f->in[0];
    const double p = attr_float(f, 0);
    dl_value dropped = events(g, p, x->ndim, x->shape);
    dl_graph_returns(g, 0, e_fill(g, e_scale(g, dl_graph_in(g, 0), p < 1 ? 1 / (1 - p) : 0), dropped, 0));
    return returned(g, 1, emit1(g, "logical_not", dropped, NO_ATTRS), DL_U8);
}
