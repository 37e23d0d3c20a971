/* conv.h - how a convolution is described to the templates that compute it (conv_gather.h, conv_weight.h, conv_depthwise.h).
 *
 * Everything has three spatial dimensions; fewer are preceded by sizes of 1. Strides are in elements. */
#ifndef CPU_CONV_H
#define CPU_CONV_H
#include "tile_types.h"

enum { CONV_DIMS = 3 };
enum { CONV_PIXELS = 128 }; /* places of a result that are computed together, at most */
enum { CONV_CHUNK = 4 };    /* vectors of channels that a depthwise convolution computes together */

/* A tensor (outer, channels, sizes). */
typedef struct conv_tensor {
    dl_dtype type;
    int64_t outer, channels, size[CONV_DIMS];
    int64_t outer_stride, channel_stride, stride[CONV_DIMS];
} conv_tensor;

/* One gather: for every sample, group and place j
 *     result[o][j] = sum over c and t of source[c][j * stride + origin + t * dilation] * weight[o][c][t]
 * where the source is 0 outside its sizes. A convolution is one gather; its gradient towards x is one for each phase of the
 * stride, with a turned kernel. The source's channels lie side by side. */
typedef struct conv_gather {
    int64_t samples, groups, sources, results; /* channels: of one group */
    int64_t size[CONV_DIMS], source_size[CONV_DIMS], kernel[CONV_DIMS];
    int64_t stride[CONV_DIMS], origin[CONV_DIMS], dilation[CONV_DIMS];
    int64_t source_outer, source_at[CONV_DIMS];
    int64_t result_first, result_outer, result_channel, result_at[CONV_DIMS];
    int64_t weight_first, weight_group, weight_result, weight_source, weight_at[CONV_DIMS];
    int64_t depth; /* length of every sum: kernel elements times sources */
    /* Places are computed in lines along the last dimension, cut into pieces where they are long; block_lines of them make a
     * block. */
    int64_t pieces, lines, block_lines, blocks;
} conv_gather;

/* A line: `count` places from x on. */
typedef struct conv_line {
    int64_t sample, z, y, x, count;
} conv_line;

static inline int64_t conv_volume(const int64_t size[CONV_DIMS]) { return size[0] * size[1] * size[2]; }

static inline int64_t conv_piece(const conv_gather *g) { return ceil_div(g->size[2], g->pieces); } /* the longest */

/* Lines of one piece follow each other along y: neighbours share rows of the source. */
static inline conv_line conv_line_at(const conv_gather *g, int64_t number) {
    conv_line l;
    l.y = number % g->size[1];
    number /= g->size[1];
    const int64_t piece = number % g->pieces;
    number /= g->pieces;
    l.z = number % g->size[0];
    l.sample = number / g->size[0];
    l.x = g->size[2] * piece / g->pieces;
    l.count = g->size[2] * (piece + 1) / g->pieces - l.x;
    return l;
}

/* The lines of block number `block`; returns how many, and in *pixels their places together. */
static inline int64_t conv_lines(const conv_gather *g, int64_t block, conv_line lines[CONV_PIXELS], int64_t *pixels) {
    const int64_t first = block * g->block_lines, count = smaller(g->block_lines, g->lines - first);
    *pixels = 0;
    for (int64_t i = 0; i < count; i++) {
        lines[i] = conv_line_at(g, first + i);
        *pixels += lines[i].count;
    }
    return count;
}

/* The source's row that kernel row (kz, ky) of a line reads, or -1 outside. */
static inline int64_t conv_source_row(const conv_gather *g, int64_t z, int64_t y) {
    if (z < 0 || z >= g->source_size[0] || y < 0 || y >= g->source_size[1]) return -1;
    return z * g->source_at[0] + y * g->source_at[1];
}

/* The source's row that kernel row number `row` (z, y) of a line reads, or -1. */
static inline int64_t conv_kernel_row(const conv_gather *g, const conv_line *l, int64_t row) {
    return conv_source_row(g, l->z * g->stride[0] + g->origin[0] + row / g->kernel[1] * g->dilation[0],
                           l->y * g->stride[1] + g->origin[1] + row % g->kernel[1] * g->dilation[1]);
}

/* Elements of the weight before kernel element and channel number k of depth. */
static inline int64_t conv_weight_at(const conv_gather *g, int64_t k) {
    const int64_t c = k % g->sources, t = k / g->sources;
    const int64_t x = t % g->kernel[2], y = t / g->kernel[2] % g->kernel[1], z = t / g->kernel[2] / g->kernel[1];
    return g->weight_first + c * g->weight_source + z * g->weight_at[0] + y * g->weight_at[1] + x * g->weight_at[2];
}

/* How the tiles get at the source: as it lies (kernels of one element); copied, rows shared; copied for every place. Groups of
 * one channel need no tiles; gradients towards few channels are scattered instead. */
typedef enum conv_way { CONV_DIRECT, CONV_ROWS, CONV_UNROLLED, CONV_DEPTHWISE, CONV_SCATTER } conv_way;

/* A gather as matrix products. Panel p of a group's results begins at vector conv_share(vectors, p, panels). */
typedef struct conv_product {
    conv_gather g;
    conv_way way;
    int64_t place_step;                     /* elements between what neighbouring places read; not for CONV_UNROLLED */
    int64_t vectors, panels, splits;        /* panels are dealt to `splits` tasks */
    int64_t packed;                         /* elements before its weights in the packed buffer */
    int64_t packed_elements, packing_parts; /* what they take there; into how many parts packing can be cut */
    int64_t patch;                          /* elements that a block's copy takes at most */
    int64_t tasks;
    double work;                  /* multiplications */
    int64_t rows, source_channel; /* CONV_SCATTER: rows of x in a block; the stride of x's channels */
} conv_product;

/* The gradient towards the weight, cut in parts of depth and of panels. The gather's result is the incoming gradient, whose
 * channels lie side by side. */
typedef struct conv_weight {
    conv_gather g;
    int64_t vectors, panels, depth_parts, panel_parts;
    int64_t pitch; /* elements between places of the unrolled source */
    int64_t space; /* elements that a part needs */
    int64_t tasks;
    double work;
    int depthwise; /* groups of one channel: in parts of channels and of kernel rows instead */
} conv_weight;

/* What a run adds to a plan: addresses. data: where results go and what is added and applied to them. */
typedef struct conv_call {
    const void *source, *grad, *packed;
    gemm_data data;
} conv_call;

/* Where share k of `shares` even ones of n begins. */
static inline int64_t conv_share(int64_t n, int64_t k, int64_t shares) { return n * k / shares; }
static inline int64_t conv_panel(const conv_product *p, int64_t panel) { return conv_share(p->vectors, panel, p->panels); }

#endif
