/* conv_weight.h - the gradient of a convolution towards its weight; a template over the element type, after conv_rows.h.
 *
 * For a part of the weight, a range of the sums' depth times some panels of results, one product (unrolled x)^T * grad over
 * all places of all samples, a block of places after the other. Parts are independent, and every element is summed in the same
 * order however they are cut: so threads do not change the result. */

/* Elements k0..k1 of depth and panels p0..p1 of a group. space: p->space elements. */
static void GEMM(weight_part)(const conv_weight *p, const conv_call *call, int64_t group, int64_t k0, int64_t k1, int64_t p0,
                              int64_t p1, GEMM_T *space) {
    const conv_gather *g = &p->g;
    const int64_t rows = k1 - k0, v0 = conv_share(p->vectors, p0, p->panels), v1 = conv_share(p->vectors, p1, p->panels);
    const int64_t column0 = v0 * GEMM(lanes), columns = smaller(v1 * GEMM(lanes), g->results) - column0;
    const int64_t all = (v1 - v0) * GEMM(lanes), pitch = p->pitch;
    GEMM_T *sums = space, *unrolled = sums + rows * all, *grads = unrolled + CONV_PIXELS * pitch;
    const GEMM_T *source = (const GEMM_T *)call->source + group * g->sources;
    const GEMM_T *grad = (const GEMM_T *)call->grad + group * g->results + column0;
    conv_line lines[CONV_PIXELS];
    GEMM(clear)(sums, rows * all);
    for (int64_t block = 0; block < g->blocks; block++) {
        int64_t pixels, at = 0;
        const int64_t n = conv_lines(g, block, lines, &pixels);
        for (int64_t i = 0; i < n; i++) {
            const conv_line *l = &lines[i];
            GEMM(unroll)(g, source + l->sample * g->source_outer, l, k0, k1, unrolled + at * pitch, pitch);
            const GEMM_T *from =
                grad + l->sample * g->result_outer + l->z * g->result_at[0] + l->y * g->result_at[1] + l->x * g->result_at[2];
            for (int64_t k = 0; k < l->count; k++, at++, from += g->result_at[2])
                for (int64_t panel = p0; panel < p1; panel++) {
                    const int64_t v = conv_share(p->vectors, panel, p->panels);
                    const int64_t width = (conv_share(p->vectors, panel + 1, p->panels) - v) * GEMM(lanes);
                    const int64_t column = v * GEMM(lanes) - column0, there = smaller(width, columns - column);
                    GEMM_T *to = grads + column * pixels + at * width;
                    GEMM(copy)(to, from + column, there);
                    GEMM(clear)(to + there, width - there);
                }
        }
        for (int64_t panel = p0; panel < p1; panel++) {
            const int64_t v = conv_share(p->vectors, panel, p->panels), column = v * GEMM(lanes) - column0;
            GEMM(strips)
            (rows, conv_share(p->vectors, panel + 1, p->panels) - v, pixels, unrolled, 1, pitch, grads + column * pixels,
             sums + column * rows, 1);
        }
    }
    for (int64_t panel = p0; panel < p1; panel++) {
        const int64_t v = conv_share(p->vectors, panel, p->panels), column = v * GEMM(lanes) - column0;
        const int64_t width = (conv_share(p->vectors, panel + 1, p->panels) - v) * GEMM(lanes);
        for (int64_t k = 0; k < rows; k++) {
            const int64_t c = (k0 + k) % g->sources, t = (k0 + k) / g->sources;
            const int64_t x = t % g->kernel[2], y = t / g->kernel[2] % g->kernel[1], z = t / g->kernel[2] / g->kernel[1];
            const int64_t to = g->weight_first + group * g->weight_group + (column0 + column) * g->weight_result +
                               c * g->weight_source + z * g->weight_at[0] + y * g->weight_at[1] + x * g->weight_at[2];
            for (int64_t i = 0; i < smaller(width, columns - column); i++)
                GEMM(store)(call->data.c, to + i * g->weight_result, call->data.type, sums[column * rows + k * width + i]);
        }
    }
}
