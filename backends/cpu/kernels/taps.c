/* taps.c - see taps.h. */
#include "taps.h"
#include <math.h>
#include <string.h>

/* ---- cubic convolution ----------------------------------------------------------------------------------------------- */

/* The polynomial of coefficients c, constant first, or its derivative of that order. */
static double polynomial(const double c[4], double x, int64_t order) {
    double value = 0;
    for (int64_t power = 3; power >= order; power--) {
        double factor = c[power];
        for (int64_t k = 0; k < order; k++) factor *= (double)(power - k);
        value = value * x + factor;
    }
    return value;
}

void cpu_cubic_weights(double t, int64_t order, double weight[4]) {
    /* with a = -0.75: (a+2) d^3 - (a+3) d^2 + 1 up to a distance d of 1; a d^3 - 5a d^2 + 8a d - 4a up to 2 */
    static const double close[] = {1, 0, -2.25, 1.25}, far[] = {3, -6, 3.75, -0.75};
    const double sign = order % 2 ? -1 : 1; /* as t grows, the distances of the places behind fall */
    weight[0] = polynomial(far, t + 1, order);
    weight[1] = polynomial(close, t, order);
    weight[2] = sign * polynomial(close, 1 - t, order);
    weight[3] = sign * polynomial(far, 2 - t, order);
}

/* ---- positions ------------------------------------------------------------------------------------------------------- */

/* x as the lane holds it: rounding after each operation makes double arithmetic the lane's. */
static double in_lane(cpu_lane lane, double x) { return lane == CPU_LANE_F32 ? (double)(float)x : x; }

static double step_of(const cpu_resampling *r) {
    if (r->align_corners) return r->to > 1 ? in_lane(r->lane, (double)(r->from - 1) / (double)(r->to - 1)) : 0;
    return in_lane(r->lane, r->scale > 0 ? 1 / r->scale : (double)r->from / (double)r->to);
}

static int64_t within(int64_t place, int64_t n) { return place < 0 ? 0 : place >= n ? n - 1 : place; }

/* (i + 1/2) step - 1/2: the position of result i where places and results are seen as areas. */
static double area_position(const cpu_resampling *r, double step, int64_t i) {
    return in_lane(r->lane, in_lane(r->lane, step * ((double)i + 0.5)) - 0.5);
}

typedef struct tap {
    int64_t place[4];
    double weight[4];
} tap;

static int32_t taps_each(const cpu_resampling *r) { return r->mode[0] == 'n' ? 1 : r->mode[0] == 'l' ? 2 : 4; }

static tap taps_of(const cpu_resampling *r, double step, int64_t i) {
    tap t = {{0}, {1}};
    if (r->mode[0] == 'n') {
        const double shift = r->mode[7] ? 0.5 : 0; /* nearest-exact */
        t.place[0] = within((int64_t)floor(fmin(in_lane(r->lane, step * ((double)i + shift)), (double)r->from)), r->from);
        return t;
    }
    double at = r->align_corners ? in_lane(r->lane, step * (double)i) : area_position(r, step, i);
    at = fmin(at, (double)r->from); /* a scale that was given may lead anywhere */
    if (r->mode[0] == 'l' && at < 0) at = 0;
    const double whole = floor(at);
    const int64_t place = (int64_t)whole;
    if (r->mode[0] == 'l') {
        t.place[0] = within(place, r->from);
        t.place[1] = within(place + 1, r->from);
        t.weight[1] = fmin(in_lane(r->lane, at - (double)t.place[0]), 1);
        t.weight[0] = 1 - t.weight[1];
        return t;
    }
    for (int64_t k = 0; k < 4; k++) t.place[k] = within(place - 1 + k, r->from);
    cpu_cubic_weights(at - whole, 0, t.weight);
    return t;
}

/* ---- tables ---------------------------------------------------------------------------------------------------------- */

static int64_t results_of(const cpu_resampling *r) { return r->transposed ? r->from : r->to; }

size_t cpu_taps_bytes(const cpu_resampling *r) {
    const size_t taps = (size_t)(r->to * taps_each(r) + 1), weight = r->lane == CPU_LANE_F32 ? 4 : 8;
    return (size_t)(results_of(r) + 2) * sizeof(int64_t) + taps * weight + taps * sizeof(int32_t) + 2 * sizeof(int64_t);
}

static void put(const cpu_resampling *r, const cpu_taps *t, int64_t k, int64_t place, double weight) {
    t->place[k] = (int32_t)place;
    if (r->lane == CPU_LANE_F32)
        ((float *)t->weight)[k] = (float)weight;
    else
        ((double *)t->weight)[k] = weight;
}

void cpu_taps_make(const cpu_resampling *r, void *memory, cpu_taps *out) {
    const int32_t each = taps_each(r);
    const int64_t taps = r->to * each, results = results_of(r);
    const double step = step_of(r);
    const size_t weights = ((size_t)taps * (r->lane == CPU_LANE_F32 ? 4 : 8) + 7) & ~(size_t)7;
    *out = (cpu_taps){.size = results, .each = r->transposed ? 0 : each, .first = memory};
    out->weight = out->first + results + 2;
    out->place = (int32_t *)((char *)out->weight + weights);
    if (!r->transposed) {
        for (int64_t i = 0; i < r->to; i++) {
            const tap t = taps_of(r, step, i);
            for (int32_t k = 0; k < each; k++) put(r, out, i * each + k, t.place[k], t.weight[k]);
            out->first[i] = i * each;
        }
        out->first[r->to] = taps;
        return;
    }
    /* first[i + 2] counts, then first[i + 1] is where the next tap of i goes, and in the end where those of i end */
    memset(out->first, 0, (size_t)(results + 2) * sizeof *out->first);
    for (int64_t i = 0; i < r->to; i++) {
        const tap t = taps_of(r, step, i);
        for (int32_t k = 0; k < each; k++) out->first[t.place[k] + 2]++;
    }
    for (int64_t i = 0; i < results; i++) out->first[i + 2] += out->first[i + 1];
    for (int64_t i = 0; i < r->to; i++) {
        const tap t = taps_of(r, step, i);
        for (int32_t k = 0; k < each; k++) put(r, out, out->first[t.place[k] + 1]++, i, t.weight[k]);
    }
}
