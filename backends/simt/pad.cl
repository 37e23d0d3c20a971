/* pad.cl - pad and pad_backward: an item for each element of the result. */
#include "backends/simt/loop.h"
#include "backends/simt/pad.h"

/* Places of a dimension that are left after cropping: after so many, CIRCULAR comes round again. */
DEVICE i64 period_of(const pad_shape *s, int d) {
    const i64 after = s->padded[d] - s->before[d] - s->size[d];
    return s->size[d] + (s->before[d] < 0 ? s->before[d] : 0) + (after < 0 ? after : 0);
}

/* The place that a padded place shows; -1: none. */
DEVICE i64 source_of(const pad_shape *s, int d, i64 padded) {
    const i64 at = padded - s->before[d], n = s->size[d];
    if (at >= 0 && at < n) return at;
    if (s->mode == PAD_REFLECT) return at < 0 ? -at : 2 * (n - 1) - at;
    if (s->mode == PAD_REPLICATE) return at < 0 ? 0 : n - 1;
    if (s->mode == PAD_CIRCULAR) return at < 0 ? at + period_of(s, d) : at - period_of(s, d);
    return -1;
}

KERNEL void pad(GLOBAL const T *x, i64 x_at, GLOBAL T *out, i64 out_at, pad_shape shape, i64 n, T_NUMBER value) {
    const pad_shape *s = &shape;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        i64 rest = i, from = x_at, to = out_at;
        int outside = 0;
        for (int d = (int)s->ndim - 1; d >= 0; d--) {
            const i64 next = rest / s->padded[d], place = rest - next * s->padded[d], source = source_of(s, d, place);
            rest = next;
            outside |= source < 0;
            from += source * s->stride[d];
            to += place * s->padded_stride[d];
        }
        if (outside)
            STORE(out, to, FROM_I64(value));
        else
            out[to] = x[from];
    }
}

/* The padded places that show place i: `lefts` from left on, `middles` (0 or 1) at middle, `rights` from right on. */
typedef struct copies {
    i64 left, lefts, middle, middles, right, rights;
} copies;

DEVICE copies copies_of(const pad_shape *s, int d, i64 i) {
    const i64 n = s->size[d], before = s->before[d], padded = s->padded[d];
    copies c;
    c.middle = i + before;
    c.middles = c.middle >= 0 && c.middle < padded;
    c.left = c.lefts = c.right = c.rights = 0;
    if (s->mode == PAD_REPLICATE) {
        if (i == 0 && before > 0) c.lefts = before < padded ? before : padded;
        if (i == n - 1) {
            c.right = before + n > 0 ? before + n : 0;
            c.rights = c.right < padded ? padded - c.right : 0;
        }
        return c;
    }
    const i64 period = s->mode == PAD_CIRCULAR ? period_of(s, d) : 0;
    const i64 left = s->mode == PAD_CIRCULAR ? i - period : -i, right = s->mode == PAD_CIRCULAR ? i + period : 2 * (n - 1) - i;
    c.left = left + before;
    c.lefts = s->mode != PAD_CONSTANT && left < 0 && c.left >= 0 && c.left < padded;
    c.right = right + before;
    c.rights = s->mode != PAD_CONSTANT && right >= n && c.right >= 0 && c.right < padded;
    return c;
}

KERNEL void pad_backward(GLOBAL const T *grad, i64 grad_at, GLOBAL T *out, i64 out_at, pad_shape shape, i64 n) {
    const pad_shape *s = &shape;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        i64 rest = i, to = out_at, all = 1;
        for (int d = (int)s->ndim - 1; d >= 0; d--) {
            const i64 next = rest / s->size[d], place = rest - next * s->size[d];
            const copies c = copies_of(s, d, place);
            rest = next;
            to += place * s->stride[d];
            all *= c.lefts + c.middles + c.rights;
        }
        A sum = (A)0;
        for (i64 k = 0; k < all; k++) {
            i64 choice = k, from = grad_at;
            rest = i;
            for (int d = (int)s->ndim - 1; d >= 0; d--) {
                const i64 next = rest / s->size[d];
                const copies c = copies_of(s, d, rest - next * s->size[d]);
                const i64 each = c.lefts + c.middles + c.rights, which = choice % each;
                const i64 place = which < c.lefts               ? c.left + which
                                  : which < c.lefts + c.middles ? c.middle
                                                                : c.right + which - c.lefts - c.middles;
                rest = next;
                choice /= each;
                from += place * s->padded_stride[d];
            }
            sum += LOAD(grad, from);
        }
        STORE(out, to, sum);
    }
}
