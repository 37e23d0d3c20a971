/* conv_scatter.h - the gradient towards an x of few channels; a template over the element type, after conv_rows.h.
 *
 * As a gather its tiles would be a few columns of a vector wide. So the product runs the other way: what each place of y sends
 * to all kernel elements times channels, which is then added where it belongs. The gather of the product is the forward one,
 * from x to y; its result is the incoming gradient, whose channels lie side by side. Rows of x are cut into blocks, which
 * compute what reaches them from all rows of y, in the order of those: threads do not change the result. */

/* Packs the weights of all groups: [group][panel][results][width], a column for each element of depth. */
static void GEMM(pack_scatter)(const conv_product *p, const void *weight, dl_dtype type, GEMM_T *to) {
    const conv_gather *g = &p->g;
    for (int64_t n = 0; n < g->groups * p->panels; n++) {
        const int64_t panel = n % p->panels, column = conv_panel(p, panel) * GEMM(lanes);
        const int64_t width = conv_panel(p, panel + 1) * GEMM(lanes) - column;
        for (int64_t i = 0; i < width; i++) {
            const int64_t from = n / p->panels * g->weight_group + conv_weight_at(g, column + i);
            for (int64_t o = 0; o < g->results; o++)
                to[o * width + i] = column + i < g->depth ? GEMM(load)(weight, from + o * g->weight_result, type) : 0;
        }
        to += g->results * width;
    }
}

static inline void GEMM(add)(GEMM_T *to, const GEMM_T *from, int64_t n) {
    for (; n >= 4; n -= 4, to += 4, from += 4) *(GEMM(quad) *)to += *(const GEMM(quad) *)from;
    for (; n > 0; n--) *to++ += *from++;
}

/* Adds kernel row `row` of what `count` places of y from x on send, `pitch` apart, to a row of x. */
static void GEMM(add_kernel_row)(const conv_gather *g, int64_t x, int64_t count, const GEMM_T *sent, int64_t pitch,
                                 GEMM_T *to) {
    const int64_t channels = g->sources, end = g->source_size[2] * channels, dilation = g->dilation[2];
    const int64_t unit = dilation == 1 ? g->kernel[2] * channels : channels, step = dilation * channels;
    for (int64_t i = 0; i < count; i++, sent += pitch) {
        int64_t at = ((x + i) * g->stride[2] + g->origin[2]) * channels;
        for (int64_t k = 0; k < g->kernel[2] * channels; k += unit, at += step) {
            const int64_t before = at < 0 ? -at : 0, there = smaller(unit, end - at) - before;
            GEMM(add)(to + at + before, sent + k + before, there);
        }
    }
}

/* Block number `block` of x's rows, in one group. space: p->patch elements. */
static void GEMM(scatter)(const conv_product *p, const conv_call *call, int64_t group, int64_t block, GEMM_T *space) {
    const conv_gather *g = &p->g;
    const int64_t parts = ceil_div(g->source_size[1], p->rows), z = block / parts % g->source_size[0];
    const int64_t sample = block / parts / g->source_size[0], r0 = block % parts * p->rows;
    const int64_t r1 = smaller(r0 + p->rows, g->source_size[1]), length = g->source_size[2] * g->sources;
    const int64_t pitch = p->vectors * GEMM(lanes), reach = (g->kernel[1] - 1) * g->dilation[1];
    const int64_t from_z = z - g->origin[0], y_z = from_z / g->stride[0];
    const GEMM_T *weights = (const GEMM_T *)call->packed + group * g->results * pitch;
    const GEMM_T *grad = (const GEMM_T *)call->source + sample * g->result_outer + group * g->results;
    GEMM_T *rows = space, *sent = space + p->rows * length;
    GEMM(clear)(rows, (r1 - r0) * length);
    const int64_t low = r0 - g->origin[1] - reach, high = r1 - 1 - g->origin[1];
    const int64_t first = low > 0 ? ceil_div(low, g->stride[1]) : 0;
    int64_t last = high < 0 ? -1 : smaller(high / g->stride[1], g->size[1] - 1);
    if (from_z < 0 || from_z % g->stride[0] != 0 || y_z >= g->size[0]) last = -1;
    for (int64_t y = first; y <= last; y++)
        for (int64_t x = 0; x < g->size[2]; x += CONV_PIXELS) {
            const int64_t count = smaller(CONV_PIXELS, g->size[2] - x);
            const GEMM_T *a = grad + y_z * g->result_at[0] + y * g->result_at[1] + x * g->result_at[2];
            for (int64_t panel = 0; panel < p->panels; panel++) {
                const int64_t v = conv_panel(p, panel), column = v * GEMM(lanes);
                GEMM(strips)
                (count, conv_panel(p, panel + 1) - v, g->results, a, g->result_at[2], 1, weights + column * g->results,
                 sent + column, pitch, 0);
            }
            for (int64_t ky = 0; ky < g->kernel[1]; ky++) {
                const int64_t row = y * g->stride[1] + g->origin[1] + ky * g->dilation[1];
                if (row >= r0 && row < r1)
                    GEMM(add_kernel_row)(g, x, count, sent + ky * g->kernel[2] * g->sources, pitch, rows + (row - r0) * length);
            }
        }
    gemm_data d = call->data;
    d.c_row = g->source_at[2], d.c_col = p->source_channel;
    for (int64_t r = r0; r < r1; r++) {
        const int64_t at =
            sample * g->source_outer + group * g->sources * p->source_channel + z * g->source_at[0] + r * g->source_at[1];
        d.c = (char *)call->data.c + at * cpu_size(d.type);
        GEMM(finish)(&d, rows + (r - r0) * length, 0, g->source_size[2], 0, g->sources, g->sources);
    }
}

/* Parts begin..end of a product's packed weights, whichever way it takes. */
static void GEMM(pack)(const conv_product *p, const void *weight, dl_dtype type, GEMM_T *packed, int64_t begin, int64_t end) {
    if (p->way == CONV_DEPTHWISE && begin < end)
        GEMM(pack_depthwise)(&p->g, weight, type, packed + p->packed);
    else if (p->way == CONV_SCATTER && begin < end)
        GEMM(pack_scatter)(p, weight, type, packed + p->packed);
    else
        GEMM(pack_weights)(p, weight, type, packed, begin, end);
}

/* Task number `task` of a product. */
static void GEMM(product_task)(const conv_product *p, const conv_call *call, int64_t task, GEMM_T *space) {
    const conv_gather *g = &p->g;
    const int64_t block = task % g->blocks, split = task / g->blocks % p->splits, group = task / g->blocks / p->splits;
    if (p->way == CONV_DEPTHWISE)
        GEMM(depthwise)(p, call, task / p->splits, task % p->splits * GEMM(chunk));
    else if (p->way == CONV_SCATTER)
        GEMM(scatter)(p, call, group, block, space);
    else
        GEMM(gather)
    (p, call, group, block, conv_share(p->panels, split, p->splits), conv_share(p->panels, split + 1, p->splits), space);
}
