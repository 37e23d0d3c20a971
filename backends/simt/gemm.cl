/* gemm.cl - products of tiles: gemm, and the three convolutions as products whose factors are read where they lie (implicit
 * im2col, so nothing is unrolled in memory).
 *
 * A work group of 16 x 16 items makes TILE x TILE results. It holds DEPTH inner places of both factors in local memory; an item
 * has EACH x EACH results, rows y + 16 i and columns x + 16 j, so that neighbours read neighbouring columns. */

#define TILE 64
#define DEPTH 16
#define EACH 4
#define SIDE 16

/* One rounding where the device has that in hardware, else two. */
#if defined(__CUDACC__) || (defined(T_IS_f64) ? defined(FP_FAST_FMA) : defined(FP_FAST_FMAF))
#define MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif

/* sums[i][j] += the products over inner places begin <= k < end. A_AT(row, k) and B_AT(k, column) read a factor, 0 outside of it;
 * row and column count from the tile's first. a_along, b_along: 1 where neighbouring items shall read neighbouring k, else they
 * read neighbouring rows or columns, and an item's row or column is always id % TILE. */
#define SUM_PRODUCTS(begin, end, a_along, A_AT, b_along, B_AT)                                                                 \
    for (i64 first = begin; first < end; first += DEPTH) {                                                                     \
        for (int t = 0; t < TILE * DEPTH / (SIDE * SIDE); t++) {                                                               \
            const int a_row = a_along ? id / DEPTH + SIDE * t : id % TILE, a_k = a_along ? id % DEPTH : id / TILE + 4 * t;     \
            const int b_column = b_along ? id / DEPTH + SIDE * t : id % TILE, b_k = b_along ? id % DEPTH : id / TILE + 4 * t;  \
            a_tile[a_k][a_row] = first + a_k < end ? A_AT(a_row, first + a_k) : (A)0;                                          \
            b_tile[b_k][b_column] = first + b_k < end ? B_AT(first + b_k, b_column) : (A)0;                                    \
        }                                                                                                                      \
        BARRIER();                                                                                                             \
        for (int k = 0; k < DEPTH; k++)                                                                                        \
            for (int i = 0; i < EACH; i++)                                                                                     \
                for (int j = 0; j < EACH; j++)                                                                                 \
                    sums[i][j] = MULTIPLY_ADD(a_tile[k][y + SIDE * i], b_tile[k][x + SIDE * j], sums[i][j]);                   \
        BARRIER();                                                                                                             \
    }

#define TILES                                                                                                                  \
    LOCAL A a_tile[DEPTH][TILE + 1];                                                                                           \
    LOCAL A b_tile[DEPTH][TILE + 1];                                                                                           \
    const int x = (int)local_id(0), y = (int)local_id(1), id = y * SIDE + x;                                                   \
    A sums[EACH][EACH];                                                                                                        \
    for (int i = 0; i < EACH; i++)                                                                                             \
        for (int j = 0; j < EACH; j++) sums[i][j] = (A)0

/* ---- gemm ---------------------------------------------------------------------------------------------------------------- */

/* gemm.c has the same struct. */
typedef struct gemm_shape {
    i64 batch, rows, inner, columns;
    i64 a_batch, a_row, a_inner;
    i64 b_batch, b_inner, b_column;
    i64 c_batch, c_row, c_column;
    i64 y_batch, y_row, y_column;
    i64 splits, split; /* the inner dimension is cut into so many parts of `split` places, whose sums lie y_split apart */
    i64 y_split;
} gemm_shape;

#define GEMM_A(row, k) (row_0 + (row) < s.rows ? LOAD(a, a_0 + (row) * s.a_row + (k) * s.a_inner) : (A)0)
#define GEMM_B(k, column) (column_0 + (column) < s.columns ? LOAD(b, b_0 + (column) * s.b_column + (k) * s.b_inner) : (A)0)

/* y = alpha a b + beta c; with beta 0, c is not read. Groups: column tiles, then row tiles, splits, batch. */
KERNEL void gemm(GLOBAL const T *a, i64 a_at, GLOBAL const T *b, i64 b_at, GLOBAL const T *c, i64 c_at, GLOBAL T1 *out,
                 i64 out_at, gemm_shape s, A alpha, A beta) {
    TILES;
    const i64 across = (s.columns + TILE - 1) / TILE, down = (s.rows + TILE - 1) / TILE;
    const i64 group = group_id(0), split = group / (across * down) % s.splits, batch = group / (across * down) / s.splits;
    const i64 column_0 = group % across * TILE, row_0 = group / across % down * TILE;
    const i64 a_0 = a_at + batch * s.a_batch + row_0 * s.a_row, b_0 = b_at + batch * s.b_batch + column_0 * s.b_column;
    const i64 begin = split * s.split, end = begin + s.split < s.inner ? begin + s.split : s.inner;
    const int a_along = s.a_inner < s.a_row, b_along = s.b_inner < s.b_column;
    SUM_PRODUCTS(begin, end, a_along, GEMM_A, b_along, GEMM_B)
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const i64 row = row_0 + y + SIDE * i, column = column_0 + x + SIDE * j;
            if (row >= s.rows || column >= s.columns) continue;
            A v = alpha * sums[i][j];
            if (beta != (A)0) v += beta * LOAD(c, c_at + batch * s.c_batch + row * s.c_row + column * s.c_column);
            STORE1(out, out_at + batch * s.y_batch + split * s.y_split + row * s.y_row + column * s.y_column, v);
        }
}

/* The second stage where the inner dimension was split: parts (splits, batch, rows, columns) of type T are summed into out. */
KERNEL void gemm_sum(GLOBAL const T *parts, i64 parts_at, GLOBAL const T1 *c, i64 c_at, GLOBAL T1 *out, i64 out_at,
                     gemm_shape s, A alpha, A beta) {
    const i64 n = s.batch * s.rows * s.columns;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const i64 column = i % s.columns, row = i / s.columns % s.rows, batch = i / s.columns / s.rows;
        A sum = (A)0;
        for (i64 split = 0; split < s.splits; split++) sum += LOAD(parts, parts_at + split * n + i);
        sum *= alpha;
        if (beta != (A)0) sum += beta * LOAD1(c, c_at + batch * s.c_batch + row * s.c_row + column * s.c_column);
        STORE1(out, out_at + batch * s.y_batch + row * s.y_row + column * s.y_column, sum);
    }
}

/* ---- convolutions --------------------------------------------------------------------------------------------------------- */

/* conv.c has the same struct. y stands for the result or its gradient, x for the input or its gradient. */
typedef struct conv_shape {
    i64 samples, groups, channels, filters; /* channels and filters of one group */
    i64 in[3], out[3], window[3], stride[3], padding[3], dilation[3];
    i64 x_n, x_c, x_s[3], y_n, y_c, y_s[3], w_o, w_c, w_s[3];
    i64 splits, split, part; /* as gemm's; backward towards the weight */
} conv_shape;

/* Number i of a three-dimensional box of these sizes, the last running fastest. */
typedef struct place {
    int d0, d1, d2;
} place;
DEVICE place place_of(u32 i, i64 n1, i64 n2) {
    place p;
    const u32 rest = i / (u32)n2;
    p.d2 = (int)(i - rest * (u32)n2);
    p.d0 = (int)(rest / (u32)n1);
    p.d1 = (int)(rest - (u32)p.d0 * (u32)n1);
    return p;
}

/* Element of x behind its sample and channel that kernel place k of result o reads; -1: padding. */
DEVICE i64 x_element(const conv_shape *s, place o, place k) {
    const i64 d0 = o.d0 * s->stride[0] - s->padding[0] + k.d0 * s->dilation[0];
    const i64 d1 = o.d1 * s->stride[1] - s->padding[1] + k.d1 * s->dilation[1];
    const i64 d2 = o.d2 * s->stride[2] - s->padding[2] + k.d2 * s->dilation[2];
    if (d0 < 0 || d0 >= s->in[0] || d1 < 0 || d1 >= s->in[1] || d2 < 0 || d2 >= s->in[2]) return -1;
    return d0 * s->x_s[0] + d1 * s->x_s[1] + d2 * s->x_s[2];
}

/* The result along one dimension that reads place i by kernel place k; -1: none. */
DEVICE i64 result_along(i64 i, i64 k, i64 stride, i64 padding, i64 dilation, i64 out) {
    const i64 from = i + padding - k * dilation;
    if (from < 0) return -1;
    const u32 o = stride == 1 ? (u32)from : (u32)from / (u32)stride;
    return (i64)o * stride == from && o < out ? (i64)o : -1;
}

/* Element of y behind its sample and channel that reads place i of x by kernel place k; -1: none. */
DEVICE i64 y_element(const conv_shape *s, place i, place k) {
    const i64 d0 = result_along(i.d0, k.d0, s->stride[0], s->padding[0], s->dilation[0], s->out[0]);
    const i64 d1 = result_along(i.d1, k.d1, s->stride[1], s->padding[1], s->dilation[1], s->out[1]);
    const i64 d2 = result_along(i.d2, k.d2, s->stride[2], s->padding[2], s->dilation[2], s->out[2]);
    return d0 < 0 || d1 < 0 || d2 < 0 ? -1 : d0 * s->y_s[0] + d1 * s->y_s[1] + d2 * s->y_s[2];
}

DEVICE i64 w_element(const conv_shape *s, place k) { return k.d0 * s->w_s[0] + k.d1 * s->w_s[1] + k.d2 * s->w_s[2]; }
DEVICE i64 x_place(const conv_shape *s, place i) { return i.d0 * s->x_s[0] + i.d1 * s->x_s[1] + i.d2 * s->x_s[2]; }
DEVICE i64 y_place(const conv_shape *s, place o) { return o.d0 * s->y_s[0] + o.d1 * s->y_s[1] + o.d2 * s->y_s[2]; }

#define VOLUME(sizes) ((u32)((sizes)[0] * (sizes)[1] * (sizes)[2]))
#define PLACE_OF(i, sizes) place_of((u32)(i), (sizes)[1], (sizes)[2])

DEVICE A read_weight(GLOBAL const T *w, i64 at, const conv_shape *s, u32 filter, u32 channel, u32 k) {
    return LOAD(w, at + filter * s->w_o + channel * s->w_c + w_element(s, PLACE_OF(k, s->window)));
}
DEVICE A read_x(GLOBAL const T *x, i64 at, const conv_shape *s, place o, u32 k) {
    const i64 element = x_element(s, o, PLACE_OF(k, s->window));
    return element < 0 ? (A)0 : LOAD(x, at + element);
}
DEVICE A read_y(GLOBAL const T *y, i64 at, const conv_shape *s, place i, u32 k) {
    const i64 element = y_element(s, i, PLACE_OF(k, s->window));
    return element < 0 ? (A)0 : LOAD(y, at + element);
}

#define CONV_TILE(all_rows, all_columns)                                                                                       \
    TILES;                                                                                                                     \
    const u32 volume = VOLUME(s.window);                                                                                       \
    const i64 rows = (all_rows), columns = (all_columns);                                                                      \
    const i64 across = (columns + TILE - 1) / TILE, down = (rows + TILE - 1) / TILE, tile = group_id(0);                       \
    const i64 column_0 = tile % across * TILE, row_0 = tile / across % down * TILE, rest = tile / across / down

/* Rows: filters; columns: results of all samples; inner: (channel, kernel place). Groups: column tiles, row tiles, groups. */
#define FORWARD_A(row, k)                                                                                                      \
    (row_0 + (row) < rows ? read_weight(w, w_0 + (row_0 + (row)) * s.w_o, &s, 0, (u32)(k) / volume, (u32)(k) % volume) : (A)0)
#define FORWARD_B(k, column)                                                                                                   \
    (mine < columns ? read_x(in, in_0 + (u32)(k) / volume * s.x_c, &s, my_place, (u32)(k) % volume) : (A)0)
KERNEL void conv_forward(GLOBAL const T *in, i64 in_at, GLOBAL const T *w, i64 w_at, GLOBAL const T *bias, i64 bias_at,
                         i64 bias_step, GLOBAL T *out, i64 out_at, conv_shape s) {
    const i64 plane = VOLUME(s.out);
    CONV_TILE(s.filters, s.samples * plane);
    const i64 mine = column_0 + id % TILE, w_0 = w_at + rest * s.filters * s.w_o;
    const i64 in_0 = in_at + rest * s.channels * s.x_c + mine / plane * s.x_n;
    const place my_place = PLACE_OF(mine % plane, s.out);
    SUM_PRODUCTS(0, s.channels * volume, 1, FORWARD_A, 0, FORWARD_B)
    for (int j = 0; j < EACH; j++) {
        const i64 column = column_0 + x + SIDE * j;
        if (column >= columns) continue;
        const i64 to = out_at + column / plane * s.y_n + y_place(&s, PLACE_OF(column % plane, s.out));
        for (int i = 0; i < EACH; i++) {
            const i64 row = row_0 + y + SIDE * i, filter = rest * s.filters + row;
            if (row >= rows) continue;
            A v = sums[i][j];
            if (bias_step >= 0) v += LOAD(bias, bias_at + filter * bias_step);
            STORE(out, to + filter * s.y_c, v);
        }
    }
}

/* Rows: channels; columns: places of x in all samples; inner: (filter, kernel place). */
#define DATA_A(row, k)                                                                                                         \
    (row_0 + (row) < rows ? read_weight(w, w_0 + (row_0 + (row)) * s.w_c, &s, (u32)(k) / volume, 0, (u32)(k) % volume) : (A)0)
#define DATA_B(k, column)                                                                                                      \
    (mine < columns ? read_y(grad, grad_0 + (u32)(k) / volume * s.y_c, &s, my_place, (u32)(k) % volume) : (A)0)
KERNEL void conv_backward_data(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *w, i64 w_at, GLOBAL T *out, i64 out_at,
                               conv_shape s) {
    const i64 plane = VOLUME(s.in);
    CONV_TILE(s.channels, s.samples * plane);
    const i64 mine = column_0 + id % TILE, w_0 = w_at + rest * s.filters * s.w_o;
    const i64 grad_0 = grad_at + rest * s.filters * s.y_c + mine / plane * s.y_n;
    const place my_place = PLACE_OF(mine % plane, s.in);
    SUM_PRODUCTS(0, s.filters * volume, 0, DATA_A, 0, DATA_B)
    for (int j = 0; j < EACH; j++) {
        const i64 column = column_0 + x + SIDE * j;
        if (column >= columns) continue;
        const i64 to = out_at + column / plane * s.x_n + x_place(&s, PLACE_OF(column % plane, s.in));
        for (int i = 0; i < EACH; i++) {
            const i64 row = row_0 + y + SIDE * i;
            if (row < rows) STORE(out, to + (rest * s.channels + row) * s.x_c, sums[i][j]);
        }
    }
}

/* Rows: filters; columns: (channel, kernel place); inner: results of all samples, cut into splits. Groups: column tiles, row
 * tiles, splits, groups. T1 is T, or A where there are parts to be summed by conv_sum: (splits, groups, filters, columns). */
#define WEIGHT_A(row, k)                                                                                                       \
    (row_0 + (row) < rows ? LOAD(grad, grad_0 + (row_0 + (row)) * s.y_c + (k) / plane * s.y_n +                                \
                                           y_place(&s, PLACE_OF((k) % plane, s.out)))                                          \
                          : (A)0)
#define WEIGHT_B(k, column)                                                                                                    \
    (mine < columns ? read_x(in, in_0 + (k) / plane * s.x_n, &s, PLACE_OF((k) % plane, s.out), (u32)mine % volume) : (A)0)
KERNEL void conv_backward_weight(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *in, i64 in_at, GLOBAL T1 *out, i64 out_at,
                                 conv_shape s) {
    const i64 plane = VOLUME(s.out);
    CONV_TILE(s.filters, s.channels * volume);
    const i64 split = rest % s.splits, g = rest / s.splits, mine = column_0 + id % TILE;
    const i64 grad_0 = grad_at + g * s.filters * s.y_c;
    const i64 in_0 = in_at + (g * s.channels + (u32)mine / volume) * s.x_c;
    const i64 begin = split * s.split, all = s.samples * plane, end = begin + s.split < all ? begin + s.split : all;
    SUM_PRODUCTS(begin, end, 1, WEIGHT_A, 0, WEIGHT_B)
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const i64 row = row_0 + y + SIDE * i, column = column_0 + x + SIDE * j, filter = g * s.filters + row;
            if (row >= rows || column >= columns) continue;
            const i64 at = s.splits > 1 ? split * s.part + filter * columns + column
                                        : filter * s.w_o + (u32)column / volume * s.w_c +
                                              w_element(&s, PLACE_OF((u32)column % volume, s.window));
            STORE1(out, out_at + at, sums[i][j]);
        }
}

/* The sums of parts of type T, (splits, filters of all groups, columns), to a weight of type T1. */
KERNEL void conv_sum(GLOBAL const T *parts, i64 parts_at, GLOBAL T1 *out, i64 out_at, conv_shape s) {
    const u32 volume = VOLUME(s.window);
    const i64 columns = s.channels * volume;
    for (i64 i = global_id(0); i < s.part; i += global_size(0)) {
        const u32 column = (u32)(i % columns);
        A sum = (A)0;
        for (i64 split = 0; split < s.splits; split++) sum += LOAD(parts, parts_at + split * s.part + i);
        STORE1(out,
               out_at + i / columns * s.w_o + column / volume * s.w_c + w_element(&s, PLACE_OF(column % volume, s.window)), sum);
    }
}

/* ---- convolutions of few channels: an item for each result ------------------------------------------------------------------ */

KERNEL void direct_forward(GLOBAL const T *in, i64 in_at, GLOBAL const T *w, i64 w_at, GLOBAL const T *bias, i64 bias_at,
                           i64 bias_step, GLOBAL T *out, i64 out_at, conv_shape s) {
    const i64 plane = VOLUME(s.out), filters = s.groups * s.filters, n = s.samples * filters * plane;
    const u32 volume = VOLUME(s.window);
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const place o = PLACE_OF(i % plane, s.out);
        const i64 filter = i / plane % filters, sample = i / plane / filters, channel = filter / s.filters * s.channels;
        A sum = (A)0;
        for (i64 c = 0; c < s.channels; c++) {
            const i64 x_0 = in_at + sample * s.x_n + (channel + c) * s.x_c, w_0 = w_at + filter * s.w_o + c * s.w_c;
            for (u32 k = 0; k < volume; k++)
                sum = MULTIPLY_ADD(read_x(in, x_0, &s, o, k), LOAD(w, w_0 + w_element(&s, PLACE_OF(k, s.window))), sum);
        }
        if (bias_step >= 0) sum += LOAD(bias, bias_at + filter * bias_step);
        STORE(out, out_at + sample * s.y_n + filter * s.y_c + y_place(&s, o), sum);
    }
}

KERNEL void direct_backward_data(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *w, i64 w_at, GLOBAL T *out, i64 out_at,
                                 conv_shape s) {
    const i64 plane = VOLUME(s.in), channels = s.groups * s.channels, n = s.samples * channels * plane;
    const u32 volume = VOLUME(s.window);
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        const place at = PLACE_OF(i % plane, s.in);
        const i64 channel = i / plane % channels, sample = i / plane / channels, filter = channel / s.channels * s.filters;
        A sum = (A)0;
        for (i64 f = filter; f < filter + s.filters; f++) {
            const i64 y_0 = grad_at + sample * s.y_n + f * s.y_c, w_0 = w_at + f * s.w_o + channel % s.channels * s.w_c;
            for (u32 k = 0; k < volume; k++)
                sum = MULTIPLY_ADD(read_y(grad, y_0, &s, at, k), LOAD(w, w_0 + w_element(&s, PLACE_OF(k, s.window))), sum);
        }
        STORE(out, out_at + sample * s.x_n + channel * s.x_c + x_place(&s, at), sum);
    }
}

/* A group of SIDE * SIDE items for each element of the weight; their sums are added in a tree. */
KERNEL void direct_backward_weight(GLOBAL const T *grad, i64 grad_at, GLOBAL const T *in, i64 in_at, GLOBAL T *out, i64 out_at,
                                   conv_shape s) {
    LOCAL A sums[SIDE * SIDE];
    const u32 volume = VOLUME(s.window), plane = VOLUME(s.out);
    const i64 group = group_id(0), channel = group / volume % s.channels, filter = group / volume / s.channels;
    const place k = PLACE_OF(group % volume, s.window);
    const i64 y_0 = grad_at + filter * s.y_c, x_0 = in_at + (filter / s.filters * s.channels + channel) * s.x_c;
    const int id = (int)local_id(0);
    A sum = (A)0;
    for (i64 sample = 0; sample < s.samples; sample++)
        for (u32 i = (u32)id; i < plane; i += SIDE * SIDE) {
            const place o = PLACE_OF(i, s.out);
            const i64 element = x_element(&s, o, k);
            if (element >= 0)
                sum = MULTIPLY_ADD(LOAD(grad, y_0 + sample * s.y_n + y_place(&s, o)),
                                   LOAD(in, x_0 + sample * s.x_n + element), sum);
        }
    sums[id] = sum;
    BARRIER();
    for (int step = SIDE * SIDE / 2; step > 0; step /= 2) {
        if (id < step) sums[id] += sums[id + step];
        BARRIER();
    }
    if (id == 0) STORE(out, out_at + filter * s.w_o + channel * s.w_c + w_element(&s, k), sums[0]);
}
