/* conv_gather.h - gathers (conv.h) as matrix products of whole kernel rows; a template over the element type, after
 * conv_rows.h.
 *
 * The channels of neighbouring columns lie side by side, so what neighbouring places of a result read from one row of the
 * source are overlapping runs of kernel width times channels: a matrix whose rows are a stride's columns apart. It is
 * multiplied as it stands, one kernel row after the other, and nothing is unrolled but a copy of the few rows that a block
 * needs, with zeros around. Where runs would be short or have holes, the block is unrolled. */

/* Packs the weights of panels begin..end, counted over groups: [panel][depth][width], zeros behind the last result. */
static inline __attribute__((always_inline)) void GEMM(pack_panel_as)(const conv_gather *g, const void *weight, dl_dtype type,
                                                                      int64_t results, int64_t width, GEMM_T *to) {
    const int64_t volume = conv_volume(g->kernel);
    for (int64_t c = 0; c < g->sources; c++)
        for (int64_t t = 0; t < volume; t++) {
            const int64_t x = t % g->kernel[2], y = t / g->kernel[2] % g->kernel[1], z = t / g->kernel[2] / g->kernel[1];
            const int64_t from = c * g->weight_source + x * g->weight_at[2] + y * g->weight_at[1] + z * g->weight_at[0];
            GEMM_T *row = to + (t * g->sources + c) * width;
            for (int64_t i = 0; i < results; i++) row[i] = GEMM(load)(weight, from + i * g->weight_result, type);
            for (int64_t i = results; i < width; i++) row[i] = 0;
        }
}
static void GEMM(pack_weights)(const conv_product *p, const void *weight, dl_dtype type, GEMM_T *packed, int64_t begin,
                               int64_t end) {
    const conv_gather *g = &p->g;
    for (int64_t n = begin; n < end; n++) {
        const int64_t group = n / p->panels, v = conv_panel(p, n % p->panels), column = v * GEMM(lanes);
        const int64_t width = conv_panel(p, n % p->panels + 1) * GEMM(lanes) - column;
        const int64_t first = g->weight_first + group * g->weight_group + column * g->weight_result;
        const int64_t results = smaller(width, g->results - column);
        const void *from = (const char *)weight + first * cpu_size(type);
        GEMM_T *to = packed + p->packed + (group * p->vectors * GEMM(lanes) + column) * g->depth;
#if GEMM_BYTES == 4
        if (type == DL_F16)
            GEMM(pack_panel_as)(g, from, DL_F16, results, width, to);
        else if (type == DL_BF16)
            GEMM(pack_panel_as)(g, from, DL_BF16, results, width, to);
        else
#endif
            GEMM(pack_panel_as)(g, from, GEMM_TYPE, results, width, to);
    }
}

/* What the tiles of one line read: its first place's first element, and how far kernel slices and rows lie apart. */
typedef struct GEMM(view) {
    const GEMM_T *first;
    int64_t slice, row;
} GEMM(view);

/* Copies what lines 0..n read into patch, rows that neighbouring lines share once. */
static void GEMM(share_rows)(const conv_gather *g, const GEMM_T *source, const conv_line *lines, int64_t n, GEMM_T *patch,
                             GEMM(view) * views) {
    for (int64_t i = 0, last; i < n; i = last) {
        const conv_line *l = &lines[i];
        for (last = i + 1; last < n && lines[last].y == l->y + last - i;) last++;
        const int64_t rows = (last - i - 1) * g->stride[1] + g->kernel[1];
        const int64_t columns = (l->count - 1) * g->stride[2] + g->kernel[2], pitch = columns * g->sources;
        const int64_t x = l->x * g->stride[2] + g->origin[2], y = l->y * g->stride[1] + g->origin[1];
        for (int64_t k = i; k < last; k++) views[k] = (GEMM(view)){patch + (k - i) * g->stride[1] * pitch, rows * pitch, pitch};
        for (int64_t kz = 0; kz < g->kernel[0]; kz++)
            for (int64_t r = 0; r < rows; r++, patch += pitch) GEMM(source_row)
        (g, source + l->sample * g->source_outer, l->z * g->stride[0] + g->origin[0] + kz * g->dilation[0], y + r, x, columns,
         patch);
    }
}

/* Kernel row after kernel row, each in parts whose weights stay in the cache. */
static void GEMM(multiply_rows)(const conv_product *p, const conv_line *lines, const GEMM(view) * views, int64_t n,
                                const GEMM_T *weights, int64_t vectors, GEMM_T *sums) {
    enum { depth = 2048 / GEMM_BYTES };
    const conv_gather *g = &p->g;
    const int64_t length = g->kernel[2] * g->sources, width = vectors * GEMM(lanes), a_row = p->place_step;
    int accumulate = 0;
    for (int64_t row = 0; row < g->kernel[0] * g->kernel[1]; row++)
        for (int64_t k = 0, deep; k < length; k += deep, weights += deep * width, accumulate = 1) {
            deep = smaller(length - k, depth);
            const int64_t slice = row / g->kernel[1], within = row % g->kernel[1];
            GEMM_T *c = sums;
            for (int64_t i = 0; i < n; i++) {
                const GEMM_T *a = views[i].first + slice * views[i].slice + within * views[i].row + k;
                GEMM(strips)(lines[i].count, vectors, deep, a, a_row, 1, weights, c, width, accumulate);
                c += lines[i].count * width;
            }
        }
}

static void GEMM(multiply_unrolled)(const conv_product *p, int64_t pixels, const GEMM_T *patch, const GEMM_T *weights,
                                    int64_t vectors, GEMM_T *sums) {
    enum { depth = 2048 / GEMM_BYTES };
    int64_t k = 0;
    do { /* a sum of nothing is 0 */
        const int64_t deep = smaller(p->g.depth - k, depth), width = vectors * GEMM(lanes);
        GEMM(strips)(pixels, vectors, deep, patch + k, p->g.depth, 1, weights + k * width, sums, width, k > 0);
        k += deep;
    } while (k < p->g.depth);
}

/* Sums of a panel to where they belong. */
static void GEMM(finish_lines)(const conv_gather *g, const gemm_data *data, const conv_line *lines, int64_t n, GEMM_T *sums,
                               int64_t channel, int64_t columns, int64_t width) {
    gemm_data d = *data;
    if (d.add) d.add = (const char *)d.add + channel * d.add_col * cpu_size(d.type);
    for (int64_t i = 0; i < n; i++) {
        const conv_line *l = &lines[i];
        const int64_t at = g->result_first + l->sample * g->result_outer + channel * g->result_channel +
                           l->z * g->result_at[0] + l->y * g->result_at[1] + l->x * g->result_at[2];
        d.c = (char *)data->c + at * cpu_size(d.type);
        GEMM(finish)(&d, sums, 0, l->count, 0, columns, width);
        sums += l->count * width;
    }
}

/* One block of one group, panels p0..p1. patch: p->patch elements. */
static void GEMM(gather)(const conv_product *p, const conv_call *call, int64_t group, int64_t block, int64_t p0, int64_t p1,
                         GEMM_T *patch) {
    _Alignas(64) GEMM_T sums[CONV_PIXELS * GEMM(width)];
    conv_line lines[CONV_PIXELS];
    GEMM(view) views[CONV_PIXELS];
    const conv_gather *g = &p->g;
    const GEMM_T *source = (const GEMM_T *)call->source + group * g->sources;
    int64_t pixels, n = conv_lines(g, block, lines, &pixels), unrolled = 0;
    switch (p->way) {
    case CONV_DIRECT:
        for (int64_t i = 0; i < n; i++) {
            const conv_line *l = &lines[i];
            const int64_t z = l->z * g->stride[0] + g->origin[0], y = l->y * g->stride[1] + g->origin[1];
            const int64_t x = l->x * g->stride[2] + g->origin[2];
            views[i].first =
                source + l->sample * g->source_outer + z * g->source_at[0] + y * g->source_at[1] + x * g->source_at[2];
            views[i].slice = views[i].row = 0;
        }
        break;
    case CONV_ROWS: GEMM(share_rows)(g, source, lines, n, patch, views); break;
    default:
        for (int64_t i = 0; i < n; i++) {
            GEMM(unroll)
            (g, source + lines[i].sample * g->source_outer, &lines[i], 0, g->depth, patch + unrolled * g->depth, g->depth);
            unrolled += lines[i].count;
        }
    }
    gemm_data d = call->data;
    d.c_row = g->result_at[2], d.c_col = g->result_channel;
    for (int64_t panel = p0; panel < p1; panel++) {
        const int64_t v = conv_panel(p, panel), vectors = conv_panel(p, panel + 1) - v, column = v * GEMM(lanes);
        const GEMM_T *weights =
            (const GEMM_T *)call->packed + p->packed + (group * p->vectors * GEMM(lanes) + column) * g->depth;
        if (p->way == CONV_UNROLLED)
            GEMM(multiply_unrolled)(p, pixels, patch, weights, vectors, sums);
        else
            GEMM(multiply_rows)(p, lines, views, n, weights, vectors, sums);
        GEMM(finish_lines)
        (g, &d, lines, n, sums, group * g->results + column, smaller(vectors * GEMM(lanes), g->results - column),
         vectors * GEMM(lanes));
    }
}
