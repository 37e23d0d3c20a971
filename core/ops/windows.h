/* windows.h - pooling's windows in a composition: views of a padded input, or gathered side by side. */
#ifndef DL_OPS_WINDOWS_H
#define DL_OPS_WINDOWS_H
#include "core/ops/emit.h"

/* How windows lie along one dimension: element k of window o is place first + o stride + k dilation of x, where that is inside
 * of it. */
typedef struct sliding_axis {
    int64_t in, out, kernel, stride, padding, dilation;
    int64_t padded; /* places from -padding to the end of the last window, or of x */
} sliding_axis;

typedef struct sliding_windows {
    int32_t spatial;
    sliding_axis axis[DL_MAX_SPATIAL];
    int padding; /* does a window reach over a border? */
} sliding_windows;

/* From kernel, stride, padding in attributes first to first + 2 and, where dilated, dilation; x and y are the larger and the
 * smaller side. */
dl_status sliding_windows_of(const dl_frame *, const dl_tensor *x, const dl_tensor *y, uint32_t first, int dilated,
                             sliding_windows *);
/* x with `value` around, so that all windows lie inside. */
dl_value windows_padded(dl_graph *, const sliding_windows *, dl_value x, double value);
/* The view (leading..., windows..., kernel...) of a tensor of these strides that windows_padded gave, and its strides. */
dl_shape windows_view(const sliding_windows *, const dl_tensor *padded, const int64_t *padded_strides, int64_t *strides);
/* The view of element number k of every window's kernel, counted in row-major order. */
dl_value windows_element(dl_graph *, const sliding_windows *, dl_value padded, int64_t k);
/* Elements of a window's kernel. */
int64_t windows_elements(const sliding_windows *);

/* Windows from sizes: number o of `out` reaches from floor(o in / out) to ceil((o + 1) in / out). */
typedef struct adaptive_axis {
    int64_t in, out;
    int64_t longest; /* window */
} adaptive_axis;

adaptive_axis adaptive_axis_of(int64_t in, int64_t out);
/* The places of all windows side by side, `longest` for each, the last one repeated; int64. *outside: bool, which are such
 * repetitions; NULL: not wanted. */
dl_value adaptive_places(dl_graph *, const adaptive_axis *, dl_value *outside);

#endif
