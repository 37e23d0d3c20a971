/* grid.c - grid_sample and grid_sample_backward: x read at positions that a grid gives, and its transposition.
 *
 * Positions are taken in blocks. For each there are the places of x that count and their weights, the product of one weight for
 * each coordinate; derivatives towards a coordinate are the same with the derivatives of its weights. Where channels lie
 * together, the channels of a position are taken together, else the positions of a channel. Halves are computed in float: whole
 * tensors are converted before and after. */
#include "copy.h"
#include "loop.h"
#include "taps.h"
#include "types.h"
#include <math.h>

enum { OUT, GRID, X }; /* operands of the walk over positions; OUT: the tensor that has a value for each of them */
enum { MOST_TAPS = 16, BLOCK = CPU_ROW / MOST_TAPS, CHANNELS = 16, COORDINATES = 3 };
enum { HIGHEST = 3 }; /* derivatives of a higher order are 0 in every mode */

typedef enum grid_mode { NEAREST, LINEAR, CUBIC } grid_mode;
typedef enum grid_padding { ZEROS, BORDER, REFLECTION } grid_padding;

typedef struct grid_job {
    cpu_loop positions; /* over the batch and the places of the grid */
    grid_mode mode;
    grid_padding padding;
    int align_corners;
    int32_t coordinates;
    int64_t order[COORDINATES], size[COORDINATES], stride[COORDINATES]; /* by coordinate: x, y, z */
    int64_t grid_step;                                                  /* between the coordinates of one position */
    int64_t channels, x_channel, out_channel;                           /* and their strides */
    int64_t batch, each;                                                /* positions of one sample */
    void *x, *out;
    const void *grid;
    cpu_lane lane;
} grid_job;

typedef struct grid_block {
    int32_t taps;
    int64_t place[MOST_TAPS][BLOCK]; /* offset in x; 0 where the weight is 0 */
    cpu_row_buffer weight;           /* the same two dimensions */
} grid_block;

/* ---- one coordinate --------------------------------------------------------------------------------------------------- */

/* Positions far outside are as good as any other ones there. */
static double bounded(double u) { return fmax(fmin(u, 0x1p33), -0x1p33); }

static double clipped(double u, int64_t n, double *slope) {
    if (u > 0 && u < (double)(n - 1)) return u;
    *slope = 0;
    return u <= 0 ? 0 : (double)(n - 1);
}

/* Mirrored at the first and last place, or half a place outside of them where corners are not aligned. */
static double reflected(const grid_job *j, double u, int64_t n, double *slope) {
    const double low = j->align_corners ? 0 : -0.5, span = (double)(j->align_corners ? n - 1 : n);
    if (span == 0) {
        *slope = 0;
        return 0;
    }
    double at = u - low;
    if (at < 0) {
        at = -at;
        *slope = -*slope;
    }
    const double rest = fmod(at, span);
    if (fmod(floor(at / span), 2) == 0) return rest + low;
    *slope = -*slope;
    return span - rest + low;
}

/* u, or where the padding sends it; *slope is multiplied by the derivative of that. */
static double padded(const grid_job *j, double u, int64_t n, double *slope) {
    if (j->padding == REFLECTION) u = reflected(j, u, n, slope);
    return j->padding == ZEROS ? u : clipped(u, n, slope);
}

typedef struct taps1 {
    int32_t n;
    int64_t place[4]; /* -1: outside */
    double weight[4];
} taps1;

static taps1 taps_of(const grid_job *j, int32_t coordinate, double g) {
    const int64_t n = j->size[coordinate], order = j->order[coordinate];
    double slope = (double)(j->align_corners ? n - 1 : n) / 2, unused = 1;
    double u = bounded(j->align_corners ? (g + 1) * slope : (g + 1) * slope - 0.5);
    taps1 t = {0};
    if (j->mode != CUBIC) u = padded(j, u, n, &slope);
    const double whole = j->mode == NEAREST ? nearbyint(u) : floor(u), rest = u - whole;
    int64_t place = (int64_t)whole;
    switch (j->mode) {
    case NEAREST:
        t.n = 1;
        t.weight[0] = order == 0;
        break;
    case LINEAR:
        t.n = 2;
        t.weight[0] = order == 0 ? 1 - rest : order == 1 ? -1 : 0;
        t.weight[1] = order == 0 ? rest : order == 1 ? 1 : 0;
        break;
    default:
        t.n = 4;
        place--;
        cpu_cubic_weights(rest, order, t.weight);
    }
    const double scale = order == 0 ? 1 : order > HIGHEST ? 0 : pow(slope, (double)order);
    for (int32_t k = 0; k < t.n; k++) {
        const int64_t at = j->mode == CUBIC ? (int64_t)padded(j, (double)(place + k), n, &unused) : place + k;
        t.place[k] = at >= 0 && at < n ? at : -1;
        t.weight[k] *= scale;
    }
    return t;
}

/* ---- a block of positions --------------------------------------------------------------------------------------------- */

static void set_tap(const grid_job *j, grid_block *b, int32_t k, int64_t p, int64_t place, double weight) {
    b->place[k][p] = place;
    if (j->lane == CPU_LANE_F32)
        b->weight.f32[k * BLOCK + p] = (float)weight;
    else
        b->weight.f64[k * BLOCK + p] = weight;
}

static double coordinate_at(const grid_job *j, int64_t offset) {
    return j->lane == CPU_LANE_F32 ? (double)((const float *)j->grid)[offset] : ((const double *)j->grid)[offset];
}

/* Position number p of a block, from the grid's element `at` on. */
static void set_position(const grid_job *j, grid_block *b, int64_t p, int64_t at) {
    taps1 t[COORDINATES] = {[1] = {.n = 1, .weight = {1}}, [2] = {.n = 1, .weight = {1}}};
    for (int32_t c = 0; c < j->coordinates; c++) t[c] = taps_of(j, c, coordinate_at(j, at + c * j->grid_step));
    b->taps = 0;
    for (int32_t z = 0; z < t[2].n; z++)
        for (int32_t y = 0; y < t[1].n; y++)
            for (int32_t x = 0; x < t[0].n; x++) {
                const int inside = t[0].place[x] >= 0 && t[1].place[y] >= 0 && t[2].place[z] >= 0;
                const int64_t place =
                    t[0].place[x] * j->stride[0] + t[1].place[y] * j->stride[1] + t[2].place[z] * j->stride[2];
                set_tap(j, b, b->taps++, p, inside ? place : 0, inside ? t[0].weight[x] * t[1].weight[y] * t[2].weight[z] : 0);
            }
}

static void set_block(const grid_job *j, const cpu_walk *w, int64_t n, grid_block *b) {
    const int64_t step = cpu_loop_step(&j->positions, GRID);
    for (int64_t p = 0; p < n; p++) set_position(j, b, p, w->at[GRID] + p * step);
}

/* A tap of weight 0 counts for nothing, whatever lies there. */
#define BLOCKS(LANE, T, member)                                                                                                \
    static void sample_positions_##LANE(const grid_block *b, const T *x, int64_t n, T *out, int64_t step) {                    \
        T sum[BLOCK] = {0};                                                                                                    \
        for (int32_t k = 0; k < b->taps; k++) {                                                                                \
            const T *weight = b->weight.member + k * BLOCK;                                                                    \
            const int64_t *place = b->place[k];                                                                                \
            for (int64_t p = 0; p < n; p++) {                                                                                  \
                const T product = weight[p] * x[place[p]];                                                                     \
                sum[p] += weight[p] != 0 ? product : 0;                                                                        \
            }                                                                                                                  \
        }                                                                                                                      \
        for (int64_t p = 0; p < n; p++) out[p * step] = sum[p];                                                                \
    }                                                                                                                          \
    static void sample_channels_##LANE(const grid_block *b, int64_t p, const T *x, int64_t x_step, int64_t n, T *out,          \
                                       int64_t step) {                                                                         \
        for (int64_t c = 0; c < n; c += CPU_ROW) {                                                                             \
            const int64_t m = n - c < CPU_ROW ? n - c : CPU_ROW;                                                               \
            T sum[CPU_ROW];                                                                                                    \
            for (int64_t i = 0; i < m; i++) sum[i] = 0;                                                                        \
            for (int32_t k = 0; k < b->taps; k++) {                                                                            \
                const T weight = b->weight.member[k * BLOCK + p], *from = x + b->place[k][p] + c * x_step;                     \
                if (weight != 0 && x_step == 1)                                                                                \
                    for (int64_t i = 0; i < m; i++) sum[i] += weight * from[i];                                                \
                else if (weight != 0)                                                                                          \
                    for (int64_t i = 0; i < m; i++) sum[i] += weight * from[i * x_step];                                       \
            }                                                                                                                  \
            for (int64_t i = 0; i < m; i++) out[(c + i) * step] = sum[i];                                                      \
        }                                                                                                                      \
    }                                                                                                                          \
    static void spread_positions_##LANE(const grid_block *b, T *x, int64_t n, const T *grad, int64_t step) {                   \
        for (int32_t k = 0; k < b->taps; k++) {                                                                                \
            const T *weight = b->weight.member + k * BLOCK;                                                                    \
            for (int64_t p = 0; p < n; p++)                                                                                    \
                if (weight[p] != 0) x[b->place[k][p]] += weight[p] * grad[p * step];                                           \
        }                                                                                                                      \
    }                                                                                                                          \
    static void spread_channels_##LANE(const grid_block *b, int64_t p, T *x, int64_t x_step, int64_t n, const T *grad,         \
                                       int64_t step) {                                                                         \
        for (int32_t k = 0; k < b->taps; k++) {                                                                                \
            const T weight = b->weight.member[k * BLOCK + p];                                                                  \
            T *restrict to = x + b->place[k][p];                                                                               \
            if (weight == 0) continue;                                                                                         \
            if (x_step == 1 && step == 1)                                                                                      \
                for (int64_t c = 0; c < n; c++) to[c] += weight * grad[c];                                                     \
            else                                                                                                               \
                for (int64_t c = 0; c < n; c++) to[c * x_step] += weight * grad[c * step];                                     \
        }                                                                                                                      \
    }                                                                                                                          \
    /* Both directions for one block: channels first..first + n. */                                                            \
    static void run_block_##LANE(const grid_job *j, const grid_block *b, const cpu_walk *w, int64_t n, int backward,           \
                                 int64_t first, int64_t channels) {                                                            \
        const int64_t step = cpu_loop_step(&j->positions, OUT);                                                                \
        T *const x = (T *)j->x + w->at[X] + first * j->x_channel, *const out =                                                 \
                                                                      (T *)j->out + w->at[OUT] + first * j->out_channel;       \
        if (j->x_channel < j->stride[0]) {                                                                                     \
            for (int64_t p = 0; p < n; p++)                                                                                    \
                if (backward)                                                                                                  \
                    spread_channels_##LANE(b, p, x, j->x_channel, channels, out + p * step, j->out_channel);                   \
                else                                                                                                           \
                    sample_channels_##LANE(b, p, x, j->x_channel, channels, out + p * step, j->out_channel);                   \
            return;                                                                                                            \
        }                                                                                                                      \
        for (int64_t c = 0; c < channels; c++)                                                                                 \
            if (backward)                                                                                                      \
                spread_positions_##LANE(b, x + c * j->x_channel, n, out + c * j->out_channel, step);                           \
            else                                                                                                               \
                sample_positions_##LANE(b, x + c * j->x_channel, n, out + c * j->out_channel, step);                           \
    }
BLOCKS(F32, float, f32)
BLOCKS(F64, double, f64)

/* Positions begin..end; channels first..first + n. */
static void run_positions(const grid_job *j, int64_t begin, int64_t end, int backward, int64_t first, int64_t n) {
    const int64_t most = cpu_loop_step(&j->positions, X) == 0 ? BLOCK : 1; /* a block lies within one sample */
    grid_block b;
    cpu_walk w;
    cpu_walk_begin(&w, &j->positions, begin, end);
    for (int64_t m; (m = cpu_walk_next(&w, most)) != 0;) {
        set_block(j, &w, m, &b);
        (j->lane == CPU_LANE_F32 ? run_block_F32 : run_block_F64)(j, &b, &w, m, backward, first, n);
    }
}

static void sample(void *context, int64_t begin, int64_t end) {
    const grid_job *j = context;
    run_positions(j, begin, end, 0, 0, j->channels);
}

/* Every block of channels of every sample belongs to one thread, which takes the positions in order. */
static void spread(void *context, int64_t begin, int64_t end) {
    const grid_job *j = context;
    const int64_t blocks = (j->channels + CHANNELS - 1) / CHANNELS;
    for (int64_t k = begin; k < end; k++) {
        const int64_t sample = k / blocks, first = k % blocks * CHANNELS;
        const int64_t n = j->channels - first < CHANNELS ? j->channels - first : CHANNELS;
        run_positions(j, sample * j->each, (sample + 1) * j->each, 1, first, n);
    }
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

/* x and the tensor with a value for every position, of the lane's type; attr: mode, padding, align_corners, order. */
static void describe(grid_job *j, const dl_tensor *x, const dl_tensor *out, const dl_tensor *grid, const dl_attr *attr) {
    const char mode = attr[0].v.s[0], padding = attr[1].v.s[0];
    j->mode = mode == 'n' ? NEAREST : mode == 'l' ? LINEAR : CUBIC;
    j->padding = padding == 'z' ? ZEROS : padding == 'b' ? BORDER : REFLECTION;
    j->align_corners = attr[2].v.i != 0;
    j->coordinates = x->ndim - 2;
    for (int32_t c = 0; c < j->coordinates; c++) {
        j->order[c] = c < attr[3].n ? attr[3].v.iv[c] : 0;
        j->size[c] = x->shape[x->ndim - 1 - c];
        j->stride[c] = x->strides[x->ndim - 1 - c];
    }
    j->grid_step = grid->strides[grid->ndim - 1];
    j->channels = x->shape[1];
    j->x_channel = x->strides[1];
    j->out_channel = out->strides[1];
    j->x = cpu_data(x);
    j->out = cpu_data(out);
    j->grid = cpu_data(grid);
    j->lane = x->type == DL_F64 ? CPU_LANE_F64 : CPU_LANE_F32;
    cpu_loop_init(&j->positions, 3);
    cpu_loop_dim(&j->positions, out->shape[0], out->strides[0], grid->strides[0], x->strides[0], 0);
    for (int32_t d = 2; d < out->ndim; d++)
        cpu_loop_dim(&j->positions, out->shape[d], out->strides[d], grid->strides[d - 1], 0, 0);
    j->batch = out->shape[0];
    j->each = j->batch ? j->positions.count / j->batch : 0;
    cpu_loop_merge(&j->positions);
}

/* A contiguous float tensor of t's shape in scratch, whose next free place is *memory. */
static void widen(dl_tensor *wide, const dl_tensor *t, char **memory, int fill) {
    wide->type = DL_F32;
    wide->ndim = t->ndim;
    wide->shape = wide->dims;
    wide->strides = wide->dims + DL_MAX_DIMS;
    int64_t step = 1;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        wide->shape[d] = t->shape[d];
        wide->strides[d] = step;
        step *= t->shape[d];
    }
    wide->data = *memory;
    *memory += step * (int64_t)sizeof(float);
    if (fill) cpu_copy_tensor(wide, t);
}

static int is_half(const dl_tensor *t) { return t->type == DL_F16 || t->type == DL_BF16; }

static dl_status prepare_grid(const dl_frame *f, dl_plan *plan) {
    if (is_half(f->out[0]))
        plan->scratch_bytes = (uint64_t)(cpu_count(f->in[0]) + cpu_count(f->in[1]) + cpu_count(f->out[0])) * sizeof(float);
    return DL_OK;
}

static void run_sample(const dl_tensor *x, const dl_tensor *grid, const dl_tensor *out, const dl_attr *attr) {
    grid_job j = {0};
    describe(&j, x, out, grid, attr);
    const int64_t cost = j.channels * (1 << 2 * j.coordinates), grain = CPU_GRAIN / (cost ? cost : 1);
    cpu_parallel(j.positions.count, grain > BLOCK ? grain : BLOCK, sample, &j);
}

static void run_spread(const dl_tensor *grad, const dl_tensor *grid, const dl_tensor *out, const dl_attr *attr) {
    static const int64_t zero_strides[DL_MAX_DIMS];
    static const double zero;
    cpu_copy(out->ndim, out->shape, cpu_data(out), out->type, out->strides, &zero, out->type, zero_strides);
    grid_job j = {0};
    describe(&j, out, grad, grid, attr);
    const int64_t cost = j.each * CHANNELS * (1 << 2 * j.coordinates), grain = CPU_GRAIN / (cost ? cost : 1);
    cpu_parallel(j.batch * ((j.channels + CHANNELS - 1) / CHANNELS), grain > 1 ? grain : 1, spread, &j);
}

/* in[0] and the grid to out[0], through float where they are halves. */
static dl_status run_wide(const dl_frame *f, const dl_attr *attr,
                          void (*body)(const dl_tensor *, const dl_tensor *, const dl_tensor *, const dl_attr *)) {
    if (!is_half(f->out[0])) {
        body(f->in[0], f->in[1], f->out[0], attr);
        return DL_OK;
    }
    dl_tensor in = {0}, grid = {0}, out = {0};
    char *memory = f->scratch;
    widen(&in, f->in[0], &memory, 1);
    widen(&grid, f->in[1], &memory, 1);
    widen(&out, f->out[0], &memory, 0);
    body(&in, &grid, &out, attr);
    cpu_copy_tensor(f->out[0], &out);
    return DL_OK;
}

static dl_status run_grid_sample(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return run_wide(f, f->attr, run_sample);
}
static dl_status run_grid_sample_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return run_wide(f, f->attr + 1, run_spread);
}

dl_status CPU_ISA(register_grid)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("grid_sample", prepare_grid, run_grid_sample),
        CPU_KERNEL("grid_sample_backward", prepare_grid, run_grid_sample_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
