/* conv_weight.h - the gradient of a convolution towards its weight; a template over the element type, after conv_rows.h.
 *
 * For a part of the weight, a range of the sums' depth times some panels of results, one product (unrolled x)^T * grad over
 * all places of all samples, a block of places after the other. Parts are independent, and every element is summed in the same
 * order however they are cut: so threads do not change the result. */

/* Channels column .. column + columns of the lines' gradients, one place after the other, zeros up to width. */
static void GEMM(gather_grads)(const conv_gather *g, const GEMM_T *grad, const conv_line *lines, int64_t n, int64_t columns,
                               int64_t width, GEMM_T *to) {
    for (int64_t i = 0; i < n; i++) {
        const conv_line *l = &lines[i];
        const GEMM_T *from =
            grad + l->sample * g->result_outer + l->z * g->result_at[0] + l->y * g->result_at[1] + l->x * g->result_at[2];
        for (int64_t k = 0; k < l->count; k++, from += g->result_at[2], to += width) {
            GEMM(copy)(to, from, columns);
            GEMM(clear)(to + columns, width - columns);
        }
    }
}

/* Sums of depth k0 .. k0 + rows and of some channels from `column` of a group on to where they belong. */
static void GEMM(store_weights)(const conv_gather *g, const gemm_data *d, int64_t group, int64_t k0, int64_t rows,
                                int64_t column, int64_t columns, int64_t width, const GEMM_T *sums) {
    for (int64_t k = k0; k < k0 + rows; k++, sums += width) {
        const int64_t to = group * g->weight_group + column * g->weight_result + conv_weight_at(g, k);
        for (int64_t i = 0; i < columns; i++) GEMM(store)(d->c, to + i * g->weight_result, d->type, sums[i]);
    }
}

/* Elements k0..k1 of depth and panels p0..p1 of a group. space: p->space elements. */
static void GEMM(weight_part)(const conv_weight *p, const conv_call *call, int64_t group, int64_t k0, int64_t k1, int64_t p0,
                              int64_t p1, GEMM_T *space) {
    const conv_gather *g = &p->g;
    const int64_t rows = k1 - k0, pitch = p->pitch, first = conv_share(p->vectors, p0, p->panels) * GEMM(lanes);
    GEMM_T *unrolled = space, *grads = unrolled + CONV_PIXELS * pitch, *sums = grads + CONV_PIXELS * GEMM(width);
    const GEMM_T *source = (const GEMM_T *)call->source + group * g->sources;
    const GEMM_T *grad = (const GEMM_T *)call->grad + group * g->results;
    conv_line lines[CONV_PIXELS];
    for (int64_t block = 0; block < g->blocks || block == 0; block++) { /* of no samples the sum is 0 */
        int64_t pixels, at = 0;
        const int64_t n = conv_lines(g, block, lines, &pixels);
        for (int64_t i = 0; i < n; at += lines[i++].count)
            GEMM(unroll)(g, source + lines[i].sample * g->source_outer, &lines[i], k0, k1, unrolled + at * pitch, pitch);
        for (int64_t panel = p0; panel < p1; panel++) {
            const int64_t v = conv_share(p->vectors, panel, p->panels),
                          vectors = conv_share(p->vectors, panel + 1, p->panels) - v;
            const int64_t column = v * GEMM(lanes), width = vectors * GEMM(lanes);
            const int64_t columns = smaller(width, g->results - column);
            GEMM_T *sum = sums + (column - first) * rows;
            GEMM(gather_grads)(g, grad + column, lines, n, columns, width, grads);
            GEMM(strips)(rows, vectors, pixels, unrolled, 1, pitch, grads, sum, width, block > 0);
            if (block >= g->blocks - 1) GEMM(store_weights)(g, &call->data, group, k0, rows, column, columns, width, sum);
        }
    }
}
