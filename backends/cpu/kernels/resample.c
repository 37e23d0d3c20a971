/* resample.c - upsample and upsample_backward: the last dimensions resampled by tables of taps.
 *
 * Rows along the result's innermost dimension in memory are made one by one. First the rows of the input that the outer
 * resampled dimensions name are summed; where the innermost dimension is resampled too, the result is made of that sum. So
 * both layouts run over neighbouring elements. The backward op has the same loops and transposed tables: every element gathers,
 * none is written twice. */
#include "loop.h"
#include "row.h"
#include "taps.h"
#include "types.h"

enum { OUT, IN };
enum { AXES = 3, TOGETHER = 4, MOST_PARTS = 64, ALIGN = 64 };

typedef struct resample_state {
    cpu_loop rows;      /* over the result; operand IN has stride 0 along resampled dimensions */
    int32_t axis_of[3]; /* dimensions of rows that are resampled along outer axes */
    int32_t axes;       /* outer ones */
    int64_t in_stride[AXES];
    cpu_taps taps[AXES];
    int32_t along; /* is the innermost dimension resampled? */
    cpu_taps inner;
    int64_t in_length, in_step; /* of an input row, if so */
    int64_t parts;
    cpu_lane lane;
} resample_state;

static int64_t lane_size(cpu_lane lane) { return lane == CPU_LANE_F32 ? sizeof(float) : sizeof(double); }

/* Scratch of one part. */
static int64_t row_bytes(const resample_state *s) {
    return (s->in_length * lane_size(s->lane) + ALIGN - 1) & ~(int64_t)(ALIGN - 1);
}

typedef struct resample_job {
    const resample_state *s;
    char *out, *scratch; /* a row of in_length lane values for every part */
    const char *in;
    dl_dtype type;
    int64_t element;
} resample_job;

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

/* sum = (or +=) the weighted sum of `taps` rows, 1 to TOGETHER; y_i: the sum of the taps of result i over the row t. */
#define SUM_ROWS(expression)                                                                                                   \
    if (add)                                                                                                                   \
        for (int64_t i = 0; i < n; i++) sum[i] += (expression);                                                                \
    else                                                                                                                       \
        for (int64_t i = 0; i < n; i++) sum[i] = (expression)
#define ROWS(LANE, T)                                                                                                          \
    static void weigh_##LANE(const void *const *rows, const double *weights, int32_t taps, int64_t n, int add,                 \
                             T *restrict sum) {                                                                                \
        const T w0 = (T)weights[0], w1 = (T)weights[1], w2 = (T)weights[2], w3 = (T)weights[3];                                \
        const T *x0 = rows[0], *x1 = rows[1], *x2 = rows[2], *x3 = rows[3];                                                    \
        switch (taps) {                                                                                                        \
        case 1: SUM_ROWS(w0 *x0[i]); break;                                                                                    \
        case 2: SUM_ROWS(w0 *x0[i] + w1 * x1[i]); break;                                                                       \
        case 3: SUM_ROWS(w0 *x0[i] + w1 * x1[i] + w2 * x2[i]); break;                                                          \
        default: SUM_ROWS(w0 *x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]);                                                   \
        }                                                                                                                      \
    }                                                                                                                          \
    static void along_##LANE(const cpu_taps *taps, const T *t, int64_t i, int64_t n, T *restrict y) {                          \
        const T *weight = taps->weight;                                                                                        \
        const int32_t *place = taps->place;                                                                                    \
        if (taps->each) place += i * taps->each, weight += i * taps->each;                                                     \
        switch (taps->each) {                                                                                                  \
        case 1:                                                                                                                \
            for (int64_t k = 0; k < n; k++) y[k] = t[place[k]];                                                                \
            break;                                                                                                             \
        case 2:                                                                                                                \
            for (int64_t k = 0; k < n; k++) y[k] = weight[2 * k] * t[place[2 * k]] + weight[2 * k + 1] * t[place[2 * k + 1]];  \
            break;                                                                                                             \
        case 4:                                                                                                                \
            for (int64_t k = 0; k < n; k++)                                                                                    \
                y[k] = weight[4 * k] * t[place[4 * k]] + weight[4 * k + 1] * t[place[4 * k + 1]] +                             \
                       weight[4 * k + 2] * t[place[4 * k + 2]] + weight[4 * k + 3] * t[place[4 * k + 3]];                      \
            break;                                                                                                             \
        default:                                                                                                               \
            for (int64_t k = 0; k < n; k++) {                                                                                  \
                T sum = 0;                                                                                                     \
                for (int64_t j = taps->first[i + k]; j < taps->first[i + k + 1]; j++) sum += weight[j] * t[place[j]];          \
                y[k] = sum;                                                                                                    \
            }                                                                                                                  \
        }                                                                                                                      \
    }
ROWS(F32, float)
ROWS(F64, double)

static double weight_at(const resample_state *s, const cpu_taps *t, int64_t k) {
    return s->lane == CPU_LANE_F32 ? (double)((const float *)t->weight)[k] : ((const double *)t->weight)[k];
}

/* Rows that wait to be summed in one pass. */
typedef struct pending {
    int32_t n;
    int add; /* is there a sum already? */
    const void *row[TOGETHER];
    double weight[TOGETHER];
    cpu_row_buffer buffer[TOGETHER];
} pending;

static void flush(const resample_state *s, pending *p, int64_t n, void *sum) {
    if (p->n == 0) return;
    if (s->lane == CPU_LANE_F32)
        weigh_F32(p->row, p->weight, p->n, n, p->add, sum);
    else
        weigh_F64(p->row, p->weight, p->n, n, p->add, sum);
    p->add = 1;
    p->n = 0;
}

/* The sum over the outer taps at `index` of n elements from x on, `step` apart. */
static void sum_outer(const resample_job *j, const int64_t *index, const char *x, int64_t step, int64_t n, void *sum) {
    const resample_state *s = j->s;
    int64_t begin[AXES] = {0}, end[AXES] = {1, 1, 1}, k[AXES];
    const int as_stored = step == 1 && j->type == cpu_stored_as(s->lane); /* spares short rows a call */
    pending p;
    p.n = p.add = 0;
    for (int32_t t = 0; t < TOGETHER; t++) p.row[t] = NULL, p.weight[t] = 0;
    for (int32_t a = 0; a < s->axes; a++) {
        begin[a] = s->taps[a].first[index[s->axis_of[a]]];
        end[a] = s->taps[a].first[index[s->axis_of[a]] + 1];
    }
    for (k[0] = begin[0]; k[0] < end[0]; k[0]++)
        for (k[1] = begin[1]; k[1] < end[1]; k[1]++)
            for (k[2] = begin[2]; k[2] < end[2]; k[2]++) {
                const char *from = x;
                double weight = 1;
                for (int32_t a = 0; a < s->axes; a++) {
                    weight *= weight_at(s, &s->taps[a], k[a]);
                    from += s->taps[a].place[k[a]] * s->in_stride[a] * j->element;
                }
                p.row[p.n] = as_stored ? from : cpu_row_read(j->type, from, step, n, s->lane, &p.buffer[p.n]);
                p.weight[p.n++] = weight;
                if (p.n == TOGETHER) flush(s, &p, n, sum);
            }
    flush(s, &p, n, sum);
    if (!p.add) memset(sum, 0, (size_t)(n * lane_size(s->lane)));
}

/* Where n results can be computed in place: their own memory if they are stored as the lane's values, one behind another. */
static void *in_place(const resample_job *j, char *out, int64_t step, cpu_row_buffer *buffer) {
    return step == 1 && j->type == cpu_stored_as(j->s->lane) ? (void *)out : buffer;
}

static void make_row_along(const resample_job *j, const cpu_walk *w, int64_t n, char *scratch) {
    const resample_state *s = j->s;
    const int64_t size = lane_size(s->lane), step = cpu_loop_step(&s->rows, OUT);
    const char *x = j->in + w->at[IN] * j->element;
    const void *const sums = scratch;
    cpu_row_buffer buffer;
    for (int64_t i = 0; i < s->in_length; i += CPU_ROW) {
        const int64_t m = s->in_length - i < CPU_ROW ? s->in_length - i : CPU_ROW;
        sum_outer(j, w->index, x + i * s->in_step * j->element, s->in_step, m, scratch + i * size);
    }
    for (int64_t i = 0; i < n; i += CPU_ROW) {
        const int64_t m = n - i < CPU_ROW ? n - i : CPU_ROW;
        char *const out = j->out + (w->at[OUT] + i * step) * j->element;
        void *const y = in_place(j, out, step, &buffer);
        if (s->lane == CPU_LANE_F32)
            along_F32(&s->inner, sums, i, m, y);
        else
            along_F64(&s->inner, sums, i, m, y);
        if (y != out) cpu_row_write(j->type, out, step, m, s->lane, y);
    }
}

/* The result is divided into parts whose borders do not depend on the number of threads, each with scratch of its own. */
static void make_parts(void *context, int64_t begin, int64_t end) {
    const resample_job *j = context;
    const resample_state *s = j->s;
    const int64_t inner = cpu_loop_inner(&s->rows), rows = s->rows.count / inner;
    const int64_t out = cpu_loop_step(&s->rows, OUT), in = cpu_loop_step(&s->rows, IN);
    cpu_row_buffer buffer;
    cpu_walk w;
    for (int64_t part = begin; part < end; part++) {
        cpu_walk_begin(&w, &s->rows, rows * part / s->parts * inner, rows * (part + 1) / s->parts * inner);
        for (int64_t n; (n = cpu_walk_next(&w, s->along ? INT64_MAX : CPU_ROW)) != 0;) {
            if (s->along) {
                make_row_along(j, &w, n, j->scratch + part * row_bytes(s));
                continue;
            }
            char *const to = j->out + w.at[OUT] * j->element;
            void *const sum = in_place(j, to, out, &buffer);
            sum_outer(j, w.index, j->in + w.at[IN] * j->element, in, n, sum);
            if (sum != to) cpu_row_write(j->type, to, out, n, s->lane, sum);
        }
    }
}

/* ---- plans ----------------------------------------------------------------------------------------------------------- */

/* The result's dimensions by falling strides. */
static void order_dims(const dl_tensor *out, int32_t *order) {
    for (int32_t d = 0; d < out->ndim; d++) {
        int32_t p = d;
        for (; p > 0 && out->strides[order[p - 1]] < out->strides[d]; p--) order[p] = order[p - 1];
        order[p] = d;
    }
}

/* Appends the result's dimension d to the rows, resampled ones without the input's stride. The batch and the channels become
 * one dimension where nothing resampled lies between them. */
static void add_dim(resample_state *s, const dl_tensor *in, const dl_tensor *out, int32_t d, int32_t last) {
    const int64_t size = out->shape[d], in_stride = d >= 2 ? 0 : in->strides[d], out_stride = out->strides[d];
    cpu_loop *l = &s->rows;
    const int32_t p = l->ndim - 1;
    const int joins =
        d < 2 && p >= 0 && l->stride[IN][p] == in_stride * size && l->stride[OUT][p] == out_stride * size && in_stride > 0;
    if (joins) {
        l->count *= size;
        l->shape[p] *= size;
        l->stride[IN][p] = in_stride;
        l->stride[OUT][p] = out_stride;
        return;
    }
    if (d >= 2 && !last) {
        s->axis_of[s->axes] = l->ndim;
        s->in_stride[s->axes++] = in->strides[d];
    }
    cpu_loop_dim(l, size, out_stride, in_stride, 0, 0);
}

static void destroy_state(void *state) { cpu_host->mem(state, 0); }

static cpu_resampling resampling_of(const dl_frame *f, int32_t d, int backward, cpu_lane lane) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    cpu_resampling r = {.mode = f->attr[1].v.s, .align_corners = f->attr[2].v.i != 0, .scale = f->attr[1 + d].v.f};
    r.from = backward ? out->shape[d] : in->shape[d];
    r.to = backward ? in->shape[d] : out->shape[d];
    r.transposed = backward;
    r.lane = lane;
    return r;
}

static dl_status prepare(const dl_frame *f, dl_plan *plan, int backward) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    const cpu_lane lane = out->type == DL_F64 ? CPU_LANE_F64 : CPU_LANE_F32;
    int32_t order[DL_MAX_DIMS] = {0};
    size_t bytes = sizeof(resample_state) + ALIGN;
    for (int32_t d = 2; d < out->ndim; d++) {
        const cpu_resampling r = resampling_of(f, d, backward, lane);
        bytes += cpu_taps_bytes(&r) + ALIGN;
    }
    resample_state *s = cpu_host->mem(NULL, bytes);
    if (!s) return cpu_host->fail(DL_NOMEM, "out of memory for the tables of %d resampled dimensions", (int)out->ndim - 2);
    *s = (resample_state){.lane = lane};
    char *memory = (char *)(s + 1);
    order_dims(out, order);
    const int32_t innermost = order[out->ndim - 1];
    s->along = innermost >= 2;
    cpu_loop_init(&s->rows, 2);
    for (int32_t k = 0; k < out->ndim; k++) {
        const int32_t d = order[k], last = k == out->ndim - 1, axis = s->axes;
        add_dim(s, in, out, d, last);
        if (d < 2) continue;
        const cpu_resampling r = resampling_of(f, d, backward, lane);
        cpu_taps_make(&r, memory, last ? &s->inner : &s->taps[axis]);
        memory += (cpu_taps_bytes(&r) + 7) & ~(size_t)7;
    }
    s->in_length = s->along ? in->shape[innermost] : 0;
    s->in_step = s->along ? in->strides[innermost] : 0;
    const int64_t rows = s->rows.count ? s->rows.count / cpu_loop_inner(&s->rows) : 0,
                  grains = s->rows.count / CPU_GRAIN * 4 + 1;
    s->parts = rows < MOST_PARTS ? rows : MOST_PARTS;
    if (s->parts > grains) s->parts = grains;
    plan->state = s;
    plan->destroy = destroy_state;
    plan->scratch_bytes = (uint64_t)(s->parts * row_bytes(s));
    return DL_OK;
}

static dl_status prepare_upsample(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, 0); }
static dl_status prepare_upsample_backward(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, 1); }

static dl_status run_resample(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *in = f->in[0], *out = f->out[0];
    resample_job j = {.s = plan->state, .out = cpu_data(out), .scratch = f->scratch, .in = cpu_data(in), .type = out->type};
    j.element = cpu_size(out->type);
    cpu_parallel(j.s->parts, 1, make_parts, &j);
    return DL_OK;
}

dl_status CPU_ISA(register_resample)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("upsample", prepare_upsample, run_resample),
        CPU_KERNEL("upsample_backward", prepare_upsample_backward, run_resample),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
