/* taps.c - see taps.h. */
#include "core/ops/taps.h"

/* The polynomial of coefficients c, constant first, or its derivative of that order. */
static dl_value polynomial(dl_graph *g, const double c[4], dl_value x, int64_t order) {
    dl_value value = emit1(g, "affine_scalar", x, ATTRS(DL_FLOAT(0), DL_FLOAT(0)));
    for (int64_t power = 3; power >= order; power--) {
        double factor = c[power];
        for (int64_t k = 0; k < order; k++) factor *= (double)(power - k);
        if (power < 3) value = e_mul(g, value, x);
        value = emit1(g, "add_scalar", value, ATTRS(DL_FLOAT(factor)));
    }
    return value;
}

void cubic_weights(dl_graph *g, dl_value t, int64_t order, dl_value weight[4]) {
    /* (a+2) d^3 - (a+3) d^2 + 1 up to a distance d of 1; a d^3 - 5a d^2 + 8a d - 4a up to 2 */
    static const double close[] = {1, 0, -2.25, 1.25}, far[] = {3, -6, 3.75, -0.75};
    const double sign = order % 2 ? -1 : 1; /* as t grows, the distances of the places behind fall */
    const dl_attr one = DL_FLOAT(1), two = DL_FLOAT(2);
    weight[0] = polynomial(g, far, emit1(g, "add_scalar", t, &one, 1), order);
    weight[1] = polynomial(g, close, t, order);
    weight[2] = e_scale(g, polynomial(g, close, emit1(g, "rsub_scalar", t, &one, 1), order), sign);
    weight[3] = e_scale(g, polynomial(g, far, emit1(g, "rsub_scalar", t, &two, 1), order), sign);
}
