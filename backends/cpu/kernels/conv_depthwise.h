/* conv_depthwise.h - convolutions whose groups are single channels, and their gradients: vectors run over the channels. A
 * template over the element type, after tile.h. */

enum { GEMM(chunk) = CONV_CHUNK * GEMM(lanes) }; /* channels whose sums are kept in registers */

/* Weights of every kernel element for all channels: [volume][channels]. */
static void GEMM(pack_depthwise)(const conv_gather *g, const void *weight, dl_dtype type, GEMM_T *to) {
    for (int64_t t = 0; t < conv_volume(g->kernel); t++) {
        const int64_t from = conv_weight_at(g, t);
        for (int64_t c = 0; c < g->groups; c++) *to++ = GEMM(load)(weight, from + c * g->weight_group, type);
    }
}

/* sum[c] += the sum over i < n of a[i * a_step + c] * b[i * b_step + c]. */
static inline void GEMM(add_products)(int64_t n, int64_t channels, const GEMM_T *a, int64_t a_step, const GEMM_T *b,
                                      int64_t b_step, GEMM_T *sum) {
    if (channels == GEMM(chunk)) {
        GEMM(vector) acc[CONV_CHUNK];
        GEMM_UNROLL
        for (int v = 0; v < CONV_CHUNK; v++) acc[v] = *(const GEMM(unaligned) *)(sum + v * GEMM(lanes));
        for (int64_t i = 0; i < n; i++, a += a_step, b += b_step) {
            GEMM_UNROLL
            for (int v = 0; v < CONV_CHUNK; v++)
                acc[v] = GEMM(fma)(*(const GEMM(unaligned) *)(a + v * GEMM(lanes)),
                                   *(const GEMM(unaligned) *)(b + v * GEMM(lanes)), acc[v]);
        }
        GEMM_UNROLL
        for (int v = 0; v < CONV_CHUNK; v++) *(GEMM(unaligned) *)(sum + v * GEMM(lanes)) = acc[v];
        return;
    }
    for (int64_t i = 0; i < n; i++, a += a_step, b += b_step)
        for (int64_t c = 0; c < channels; c++) sum[c] += a[c] * b[c];
}

/* The part of a line whose x-th kernel element reads within the source: places begin..end of it. */
static inline void GEMM(places_within)(const conv_gather *g, const conv_line *l, int64_t kx, int64_t *begin, int64_t *end) {
    const int64_t first = l->x * g->stride[2] + g->origin[2] + kx * g->dilation[2], stride = g->stride[2];
    const int64_t last = g->source_size[2] - 1 - first; /* of what is read, from the first on */
    *begin = first < 0 ? smaller(ceil_div(-first, stride), l->count) : 0;
    *end = last < 0 ? *begin : smaller(last / stride + 1, l->count);
    if (*end < *begin) *end = *begin;
}

/* Kernel row `weights` over a line of places: row is that of the source. */
static void GEMM(add_row)(const conv_gather *g, const conv_line *l, const GEMM_T *row, const GEMM_T *weights, int64_t channels,
                          GEMM_T *sums) {
    const int64_t dilation = g->dilation[2], step = g->source_at[2] * dilation, size = g->source_size[2];
    int64_t x = l->x * g->stride[2] + g->origin[2];
    for (int64_t k = 0; k < l->count; k++, x += g->stride[2], sums += channels) {
        int64_t begin = 0, end = g->kernel[2];
        if (x < 0) begin = ceil_div(-x, dilation);
        if (x + (end - 1) * dilation >= size) end = x < size ? (size - 1 - x) / dilation + 1 : 0;
        if (begin < end) GEMM(add_products)
        (end - begin, channels, row + x * g->source_at[2] + begin * step, step, weights + begin * g->groups, g->groups, sums);
    }
}

/* One block, channels c0 up to a chunk of them. */
static void GEMM(depthwise)(const conv_product *p, const conv_call *call, int64_t block, int64_t c0) {
    _Alignas(64) GEMM_T sums[CONV_PIXELS * GEMM(chunk)];
    conv_line lines[CONV_PIXELS];
    const conv_gather *g = &p->g;
    const int64_t channels = smaller(g->groups - c0, GEMM(chunk));
    const GEMM_T *weights = (const GEMM_T *)call->packed + p->packed + c0;
    int64_t pixels, n = conv_lines(g, block, lines, &pixels);
    GEMM_T *sum = sums;
    GEMM(clear)(sums, pixels * channels);
    for (int64_t i = 0; i < n; i++) {
        const GEMM_T *source = (const GEMM_T *)call->source + lines[i].sample * g->source_outer + c0;
        for (int64_t row = 0; row < g->kernel[0] * g->kernel[1]; row++) {
            const int64_t at = conv_kernel_row(g, &lines[i], row);
            if (at >= 0) GEMM(add_row)(g, &lines[i], source + at, weights + row * g->kernel[2] * g->groups, channels, sum);
        }
        sum += lines[i].count * channels;
    }
    gemm_data d = call->data;
    d.c_row = g->result_at[2], d.c_col = g->result_channel;
    GEMM(finish_lines)(g, &d, lines, n, sums, c0, channels, channels);
}

/* The weight's gradient for kernel row `row`, channels c0 up to a chunk of them. */
static void GEMM(depthwise_weight)(const conv_gather *g, const conv_call *call, int64_t row, int64_t c0, GEMM_T *sums) {
    const int64_t channels = smaller(g->groups - c0, GEMM(chunk));
    GEMM(clear)(sums, g->kernel[2] * channels);
    for (int64_t number = 0; number < g->lines; number++) {
        const conv_line l = conv_line_at(g, number);
        const int64_t at = conv_kernel_row(g, &l, row);
        if (at < 0) continue;
        const GEMM_T *source = (const GEMM_T *)call->source + l.sample * g->source_outer + at + c0;
        const GEMM_T *grad = (const GEMM_T *)call->grad + l.sample * g->result_outer + l.z * g->result_at[0] +
                             l.y * g->result_at[1] + l.x * g->result_at[2] + c0;
        for (int64_t kx = 0; kx < g->kernel[2]; kx++) {
            int64_t begin, end;
            GEMM(places_within)(g, &l, kx, &begin, &end);
            const int64_t x = (l.x + begin) * g->stride[2] + g->origin[2] + kx * g->dilation[2];
            if (begin < end) GEMM(add_products)
            (end - begin, channels, source + x * g->source_at[2], g->stride[2] * g->source_at[2],
             grad + begin * g->result_at[2], g->result_at[2], sums + kx * channels);
        }
    }
    for (int64_t kx = 0; kx < g->kernel[2]; kx++)
        for (int64_t c = 0; c < channels; c++) GEMM(store)
    (call->data.c, (c0 + c) * g->weight_group + conv_weight_at(g, row * g->kernel[2] + kx), call->data.type,
     sums[kx * channels + c]);
}
