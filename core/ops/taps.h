/* taps.h - places and weights of resampling in compositions. */
#ifndef DL_OPS_TAPS_H
#define DL_OPS_TAPS_H
#include "core/ops/emit.h"

enum { MOST_TAPS = 4 };

/* What a resampled element is a sum of, number by number: x at `place` (int64) times `weight`. */
typedef struct taps {
    int32_t n;
    dl_value place[MOST_TAPS], weight[MOST_TAPS]; /* weight: DL_NO_VALUE for 1 */
} taps;

/* Weights of the four places around a position, t behind the second of them, or their derivatives of that order: cubic
 * convolution with a = -0.75 (Keys 1981, eq. 4). */
void cubic_weights(dl_graph *, dl_value t, int64_t order, dl_value weight[4]);

#endif
