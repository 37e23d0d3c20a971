/* pool.h - windows over the last dimensions, and how the kernels of the pool families walk tensors.
 *
 * Shapes are brought to three spatial dimensions; the leading ones are planes. Where a leading dimension lies innermost in
 * memory (channels-last) it is the lanes: its elements are computed side by side. Else there is one lane, and kernels
 * vectorise along the last spatial dimension. */
#ifndef CPU_POOL_H
#define CPU_POOL_H
#include "loop.h"
#include "row.h"
#include "types.h"

enum { POOL_SPATIAL = 3 };
enum { POOL_X, POOL_Y, POOL_INDEX, POOL_DRAWS }; /* operands; x is the larger side, whichever is read */

/* ---- windows ------------------------------------------------------------------------------------------------------------ */

typedef enum pool_kind { POOL_SLIDING, POOL_ADAPTIVE, POOL_FRACTIONAL } pool_kind;

typedef struct pool_axis {
    pool_kind kind;
    int64_t in, out;
    int64_t kernel, stride, padding, dilation;
    double draw; /* of the plane: POOL_FRACTIONAL */
} pool_axis;

/* Elements begin, begin + step, ... below end; at least one. */
typedef struct pool_window {
    int64_t begin, end, step;
} pool_window;

static inline int64_t pool_fractional_begin(const pool_axis *a, int64_t o) {
    if (o == a->out - 1) return a->in - a->kernel;
    const double apart = (double)(a->in - a->kernel) / (double)(a->out - 1);
    return (int64_t)(((double)o + a->draw) * apart) - (int64_t)(a->draw * apart);
}

static inline pool_window pool_window_of(const pool_axis *a, int64_t o) {
    pool_window w = {.step = 1};
    if (a->kind == POOL_ADAPTIVE) {
        w.begin = o * a->in / a->out;
        w.end = ((o + 1) * a->in + a->out - 1) / a->out;
        return w;
    }
    if (a->kind == POOL_FRACTIONAL) {
        w.begin = pool_fractional_begin(a, o);
        w.end = w.begin + a->kernel;
        return w;
    }
    const int64_t first = o * a->stride - a->padding;
    w.step = a->dilation;
    w.begin = first < 0 ? first + (w.step - 1 - first) / w.step * w.step : first;
    w.end = first + a->dilation * (a->kernel - 1) + 1;
    if (w.end > a->in) w.end = a->in;
    return w;
}

static inline int64_t pool_window_count(pool_window w) {
    const int64_t length = w.end - w.begin;
    return w.step == 1 ? length : (length + w.step - 1) / w.step; /* a division takes as long as a small window */
}

/* The window's size with the padding: it does not count what ceil_mode adds behind that. */
static inline int64_t pool_padded(const pool_axis *a, int64_t o) {
    const pool_window w = pool_window_of(a, o);
    if (a->kind != POOL_SLIDING) return w.end - w.begin;
    const int64_t first = o * a->stride - a->padding, room = a->in + a->padding - first;
    return a->kernel < room ? a->kernel : room;
}

/* Outputs *from <= o < *to whose windows lie inside the input, o * stride - padding being their first elements; none for
 * windows that do not slide. */
static inline void pool_inside(const pool_axis *a, int64_t *from, int64_t *to) {
    *from = *to = 0;
    if (a->kind != POOL_SLIDING) return;
    const int64_t last = a->in + a->padding - a->dilation * (a->kernel - 1) - 1;
    *from = (a->padding + a->stride - 1) / a->stride;
    *to = last < 0 ? 0 : last / a->stride + 1;
    if (*to > a->out) *to = a->out;
    if (*from > *to) *from = *to;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------ */

typedef struct pool_operand {
    char *data; /* NULL: absent */
    dl_dtype type;
    int64_t size; /* bytes of an element */
    int64_t stride[POOL_SPATIAL], lane_stride;
} pool_operand;

typedef struct pool_job {
    pool_axis axis[POOL_SPATIAL];
    pool_operand operand[CPU_OPERANDS];
    cpu_loop planes; /* leading dimensions without the lanes, over the operands */
    int64_t lanes;
    int32_t spatial;
    int32_t lane_dim; /* a leading dimension, or -1 */
    cpu_lane lane;
} pool_job;

static inline char *pool_at(const pool_operand *o, int64_t element) { return o->data + element * o->size; }

/* The leading dimension that lies innermost in memory in front of the spatial ones, or -1. */
static inline int32_t pool_lane_dim(const dl_tensor *t, int32_t spatial) {
    const int32_t last = t->ndim - 1;
    if (t->shape[last] > 1 && t->strides[last] == 1) return -1;
    for (int32_t d = 0; d < t->ndim - spatial; d++)
        if (t->shape[d] > 1 && t->strides[d] == 1) return d;
    return -1;
}

/* Sets everything but the windows' sizes; x and y are the sides before and after pooling; index and draws may be NULL. */
static inline void pool_init(pool_job *j, int32_t spatial, const dl_tensor *x, const dl_tensor *y, const dl_tensor *index,
                             const dl_tensor *draws) {
    const dl_tensor *const t[CPU_OPERANDS] = {x, y, index, draws};
    const int32_t leading = x->ndim - spatial, missing = POOL_SPATIAL - spatial;
    j->spatial = spatial;
    j->lane = cpu_lane_of(x->type);
    j->lane_dim = draws ? -1 : pool_lane_dim(x, spatial);
    j->lanes = j->lane_dim < 0 ? 1 : x->shape[j->lane_dim];
    for (int k = 0; k < CPU_OPERANDS; k++) {
        pool_operand *o = &j->operand[k];
        *o = (pool_operand){0};
        if (!t[k]) continue;
        *o = (pool_operand){.data = cpu_data(t[k]), .type = t[k]->type, .size = cpu_size(t[k]->type)};
        for (int32_t d = missing; k != POOL_DRAWS && d < POOL_SPATIAL; d++) o->stride[d] = t[k]->strides[leading + d - missing];
        if (k == POOL_DRAWS) o->stride[0] = t[k]->strides[leading];
        if (j->lane_dim >= 0) o->lane_stride = t[k]->strides[j->lane_dim];
    }
    cpu_loop_init(&j->planes, CPU_OPERANDS);
    for (int32_t d = 0; d < leading; d++)
        if (d != j->lane_dim)
            cpu_loop_dim(&j->planes, x->shape[d], x->strides[d], y->strides[d], index ? index->strides[d] : 0,
                         draws ? draws->strides[d] : 0);
    cpu_loop_merge(&j->planes);
    for (int32_t d = 0; d < POOL_SPATIAL; d++) {
        const int32_t own = leading + d - missing;
        j->axis[d] = (pool_axis){.in = d < missing ? 1 : x->shape[own],
                                 .out = d < missing ? 1 : y->shape[own],
                                 .kernel = 1,
                                 .stride = 1,
                                 .dilation = 1};
    }
}

static inline int64_t pool_value(const dl_attr *a, int32_t d, int64_t otherwise) {
    return a->kind == DL_ATTR_INTS && a->n > 0 ? a->v.iv[a->n == 1 ? 0 : d] : otherwise;
}

/* Windows that slide; attr: kernel, stride, padding, and, unless NULL, dilation. */
static inline void pool_slide(pool_job *j, const dl_attr *attr, const dl_attr *dilation) {
    const int32_t missing = POOL_SPATIAL - attr[0].n;
    for (int32_t d = missing; d < POOL_SPATIAL; d++) {
        pool_axis *a = &j->axis[d];
        a->kernel = pool_value(&attr[0], d - missing, 1);
        a->stride = pool_value(&attr[1], d - missing, a->kernel);
        a->padding = pool_value(&attr[2], d - missing, 0);
        if (dilation) a->dilation = pool_value(dilation, d - missing, 1);
    }
}

/* Windows from sizes. A dimension that they divide evenly slides; those that are one window each and lie one behind the other
 * in every operand become one. */
static inline void pool_adapt(pool_job *j) {
    for (int32_t d = 0; d < POOL_SPATIAL; d++) {
        pool_axis *a = &j->axis[d];
        a->kind = POOL_ADAPTIVE;
        if (a->out == 0 || a->in % a->out) continue;
        a->kind = POOL_SLIDING;
        a->kernel = a->stride = a->in / a->out;
    }
    pool_operand *x = &j->operand[POOL_X];
    for (int32_t d = POOL_SPATIAL - 2; d >= 0; d--) {
        pool_axis *outer = &j->axis[d], *inner = &j->axis[POOL_SPATIAL - 1];
        if (outer->out != 1 || inner->out != 1) return;
        if (outer->in > 1 && x->stride[d] != x->stride[POOL_SPATIAL - 1] * inner->in) return;
        inner->in *= outer->in;
        inner->kernel = inner->stride = inner->in;
        outer->in = outer->kernel = outer->stride = 1;
    }
}

/* Output rows, (plane, o0, o1) in order. */
static inline int64_t pool_rows(const pool_job *j) { return j->planes.count * j->axis[0].out * j->axis[1].out; }

/* A walk over output rows begin..end. */
typedef struct pool_walk {
    cpu_walk plane;
    int64_t o[2], left;
    const pool_job *job;
} pool_walk;

static inline void pool_walk_begin(pool_walk *w, const pool_job *j, int64_t begin, int64_t end) {
    const int64_t each = j->axis[0].out * j->axis[1].out;
    *w = (pool_walk){.job = j, .left = end - begin};
    if (w->left <= 0) return;
    cpu_walk_begin(&w->plane, &j->planes, begin / each, j->planes.count);
    cpu_walk_next(&w->plane, 1);
    w->o[0] = begin % each / j->axis[1].out;
    w->o[1] = begin % j->axis[1].out - 1;
}

/* 1 while there is a next row: of plane w->plane.at, at w->o. */
static inline int pool_walk_next(pool_walk *w) {
    if (w->left-- <= 0) return 0;
    if (++w->o[1] < w->job->axis[1].out) return 1;
    w->o[1] = 0;
    if (++w->o[0] < w->job->axis[0].out) return 1;
    w->o[0] = 0;
    cpu_walk_next(&w->plane, 1);
    return 1;
}

/* ---- patches ------------------------------------------------------------------------------------------------------------ */

/* The windows of n outputs, all of count elements in each dimension. Between outputs x, y and index advance by their steps. */
typedef struct pool_patch {
    char *x; /* the first output's first element */
    int64_t y, index;
    int64_t n, x_step, y_step, index_step;
    int64_t place, place_step; /* of that element in the flattened plane */
    int64_t count[POOL_SPATIAL], step[POOL_SPATIAL], places[POOL_SPATIAL];
    int64_t padded; /* elements of a window with those of the padding */
} pool_patch;

typedef void pool_fold_fn(const pool_job *, const pool_patch *);

static inline char *pool_element(const pool_job *j, const pool_patch *p, int64_t k0, int64_t k1, int64_t k2) {
    return p->x + (k0 * p->step[0] + k1 * p->step[1] + k2 * p->step[2]) * j->operand[POOL_X].size;
}
static inline int64_t pool_place(const pool_patch *p, int64_t k0, int64_t k1, int64_t k2) {
    return p->place + k0 * p->places[0] + k1 * p->places[1] + k2 * p->places[2];
}
static inline int64_t pool_size(const pool_patch *p) { return p->count[0] * p->count[1] * p->count[2]; }

/* Over the elements of a patch's windows, in the order of their places. */
#define POOL_FOR_WINDOW(p, k0, k1, k2)                                                                                         \
    for (int64_t k0 = 0; k0 < (p)->count[0]; k0++)                                                                             \
        for (int64_t k1 = 0; k1 < (p)->count[1]; k1++)                                                                         \
            for (int64_t k2 = 0; k2 < (p)->count[2]; k2++)

/* Lets the patch's windows start at output o of dimension d. */
static inline void pool_enter(const pool_job *j, const pool_axis *a, int d, int64_t o, pool_patch *p) {
    const pool_operand *x = &j->operand[POOL_X];
    const pool_window window = pool_window_of(a, o);
    p->count[d] = pool_window_count(window);
    p->step[d] = x->stride[d] * window.step;
    p->x += window.begin * x->stride[d] * x->size;
    p->place += window.begin * p->places[d];
    p->places[d] *= window.step;
    p->padded *= pool_padded(a, o);
    p->y += o * j->operand[POOL_Y].stride[d];
    p->index += o * j->operand[POOL_INDEX].stride[d];
}

/* A plane's draw for a dimension, brought into 0..1. */
static inline double pool_draw(const pool_job *j, int64_t plane, int d) {
    const pool_operand *draws = &j->operand[POOL_DRAWS];
    const int64_t at = plane + (d - (POOL_SPATIAL - j->spatial)) * draws->stride[0];
    const double u = cpu_load_f64(draws->type, pool_at(draws, at));
    return u > 0 ? u < 1 ? u : 1 : 0;
}

/* Output o of a row, or n that lie inside the input, for all lanes. `row` stands at the row's windows. */
static inline void pool_along(const pool_job *j, const pool_axis *a, const pool_patch *row, int64_t o, int64_t n,
                              int64_t first_lane, int64_t last_lane, pool_fold_fn *fold) {
    const pool_operand *x = &j->operand[POOL_X], *y = &j->operand[POOL_Y], *index = &j->operand[POOL_INDEX];
    pool_patch p = *row;
    pool_enter(j, a, POOL_SPATIAL - 1, o, &p);
    if (j->lane_dim < 0) {
        p.n = n;
        p.x_step = n == 1 ? 1 : a->stride * x->stride[POOL_SPATIAL - 1];
        p.y_step = y->stride[POOL_SPATIAL - 1];
        p.index_step = index->stride[POOL_SPATIAL - 1];
        p.place_step = a->stride;
        fold(j, &p);
        return;
    }
    p.x_step = x->lane_stride;
    p.y_step = y->lane_stride;
    p.index_step = index->lane_stride;
    p.place_step = 0;
    for (int64_t c = first_lane; c < last_lane; c += p.n) {
        p.n = last_lane - c < CPU_ROW ? last_lane - c : CPU_ROW;
        pool_patch block = p;
        block.x += c * p.x_step * x->size;
        block.y += c * p.y_step;
        block.index += c * p.index_step;
        fold(j, &block);
    }
}

/* Folds output rows begin..end of those lanes. */
static inline void pool_fold_rows(const pool_job *j, int64_t begin, int64_t end, int64_t first_lane, int64_t last_lane,
                                  pool_fold_fn *fold) {
    pool_axis axis[POOL_SPATIAL];
    memcpy(axis, j->axis, sizeof axis);
    const pool_axis *inner = &axis[POOL_SPATIAL - 1];
    int64_t from = 0, to = 0;
    pool_walk w;
    if (j->lane_dim < 0) pool_inside(inner, &from, &to);
    pool_walk_begin(&w, j, begin, end);
    while (pool_walk_next(&w)) {
        pool_patch row = {.x = pool_at(&j->operand[POOL_X], w.plane.at[POOL_X]),
                          .y = w.plane.at[POOL_Y],
                          .index = w.plane.at[POOL_INDEX],
                          .places = {axis[1].in * axis[2].in, axis[2].in, 1},
                          .padded = 1};
        for (int d = 0; d < POOL_SPATIAL; d++)
            if (axis[d].kind == POOL_FRACTIONAL) axis[d].draw = pool_draw(j, w.plane.at[POOL_DRAWS], d);
        for (int d = 0; d < POOL_SPATIAL - 1; d++) pool_enter(j, &axis[d], d, w.o[d], &row);
        for (int64_t o = 0, n; o < inner->out; o += n) {
            n = o < from || o >= to ? 1 : to - o < CPU_ROW ? to - o : CPU_ROW;
            pool_along(j, inner, &row, o, n, first_lane, last_lane, fold);
        }
    }
}

/* ---- operand x written by adding ---------------------------------------------------------------------------------------- */

/* Stands for a half tensor while it is summed: float32 in scratch memory, the lanes innermost. */
typedef struct pool_aside {
    dl_tensor tensor;
    int64_t strides[DL_MAX_DIMS];
} pool_aside;

static inline int64_t pool_aside_bytes(const dl_tensor *out) {
    return out->type == cpu_stored_as(cpu_lane_of(out->type)) ? 0 : cpu_count(out) * (int64_t)sizeof(float);
}

/* What to add to: out itself, or what stands for it. */
static inline const dl_tensor *pool_set_aside(pool_aside *aside, const dl_tensor *out, int32_t spatial, void *scratch) {
    if (pool_aside_bytes(out) == 0) return out;
    const int32_t lane_dim = pool_lane_dim(out, spatial);
    int64_t stride = 1;
    aside->tensor = *out;
    aside->tensor.data = scratch;
    aside->tensor.byte_offset = 0;
    aside->tensor.type = DL_F32;
    aside->tensor.strides = aside->strides;
    if (lane_dim >= 0) {
        aside->strides[lane_dim] = 1;
        stride = out->shape[lane_dim];
    }
    for (int32_t d = out->ndim - 1; d >= 0; d--) {
        if (d == lane_dim) continue;
        aside->strides[d] = stride;
        stride *= out->shape[d];
    }
    return &aside->tensor;
}

enum { POOL_LANES = 64 }; /* that one task adds for: a few lines of the cache */

/* Tasks that add to different elements: planes by runs of lanes. */
static inline int64_t pool_tasks(const pool_job *j) { return j->planes.count * ((j->lanes + POOL_LANES - 1) / POOL_LANES); }
static inline void pool_task(const pool_job *j, int64_t task, int64_t *plane, int64_t *lane, int64_t *last) {
    const int64_t blocks = (j->lanes + POOL_LANES - 1) / POOL_LANES;
    *plane = task / blocks;
    *lane = task % blocks * POOL_LANES;
    *last = *lane + POOL_LANES < j->lanes ? *lane + POOL_LANES : j->lanes;
}
static inline int64_t pool_task_grain(const pool_job *j) {
    const int64_t lanes = j->lanes < POOL_LANES ? j->lanes : POOL_LANES;
    const int64_t task = lanes * j->axis[0].in * j->axis[1].in * j->axis[2].in, grain = CPU_GRAIN / 4 / (task > 0 ? task : 1);
    return grain > 1 ? grain : 1;
}

/* Zeroes x in those lanes of the plane that starts at element `at`; x is stored as the lane's values. */
static inline void pool_clear(const pool_job *j, int64_t at, int64_t lane, int64_t last) {
    const pool_operand *x = &j->operand[POOL_X];
    const int along_lanes = j->lane_dim >= 0;
    const int64_t run = along_lanes ? last - lane : j->axis[2].in, step = along_lanes ? x->lane_stride : x->stride[2];
    const int64_t columns = along_lanes ? j->axis[2].in : 1;
    for (int64_t i = 0; i < j->axis[0].in; i++)
        for (int64_t k = 0; k < j->axis[1].in; k++)
            for (int64_t c = 0; c < columns; c++) {
                char *to = pool_at(x, at + i * x->stride[0] + k * x->stride[1] + c * x->stride[2] + lane * x->lane_stride);
                if (step == 1) {
                    memset(to, 0, (size_t)(run * x->size));
                    continue;
                }
                for (int64_t l = 0; l < run; l++) memset(to + l * step * x->size, 0, (size_t)x->size);
            }
}

/* Rows of a chunk that is worth a thread. */
static inline int64_t pool_grain(const pool_job *j) {
    const int64_t row = j->lanes * j->axis[2].out * j->axis[0].kernel * j->axis[1].kernel * j->axis[2].kernel;
    const int64_t grain = CPU_GRAIN / 4 / (row > 0 ? row : 1);
    return grain > 1 ? grain : 1;
}

#endif
