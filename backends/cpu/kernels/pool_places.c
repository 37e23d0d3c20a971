/* pool_places.c - elements at places of planes: max_pool_backward adds there, max_unpool writes there, max_unpool_backward
 * reads from there. A place is a number in the flattened plane. */
#include "copy.h"
#include "pool.h"
#include <stdatomic.h>

typedef struct places_job {
    pool_job job;  /* first, so that a pool_job* of this file is a places_job* */
    int64_t plane; /* elements */
    int linear;    /* place p lies p * stride[2] elements behind the first one */
    int adds;
    atomic_int fault;
} places_job;

enum { FINE, NEGATIVE, TOO_LARGE }; /* faults of places */

/* n elements y and their places, steps apart; x: the plane's first element in the first one's lane. */
typedef struct run_of {
    char *x, *y;
    const int64_t *index;
    int64_t n, x_step, y_step, index_step;
} run_of;

static int64_t offset_of(const places_job *p, int64_t place) {
    const pool_operand *x = &p->job.operand[POOL_X];
    if (p->linear) return place * x->stride[2];
    const int64_t n1 = p->job.axis[1].in, n2 = p->job.axis[2].in;
    return place % n2 * x->stride[2] + place / n2 % n1 * x->stride[1] + place / n2 / n1 * x->stride[0];
}

static int is_inside(places_job *p, int64_t place) {
    if ((uint64_t)place < (uint64_t)p->plane) return 1;
    atomic_store(&p->fault, place < 0 ? NEGATIVE : TOO_LARGE);
    return 0;
}

/* Adds or writes. */
#define LOOPS(LANE, T)                                                                                                         \
    static void put_##LANE(places_job *p, const run_of *r, const T *g) {                                                       \
        T *const x = (T *)(void *)r->x;                                                                                        \
        for (int64_t i = 0; i < r->n; i++) {                                                                                   \
            const int64_t place = r->index[i * r->index_step];                                                                 \
            if (!is_inside(p, place)) continue;                                                                                \
            T *const to = x + i * r->x_step + offset_of(p, place);                                                             \
            *to = p->adds ? *to + g[i] : g[i];                                                                                 \
        }                                                                                                                      \
    }
LOOPS(f32, float)
LOOPS(f64, double)

typedef void run_fn(places_job *, const run_of *);

static void put(places_job *p, const run_of *r) {
    cpu_row_buffer buffer;
    const void *g = cpu_row_read(p->job.operand[POOL_Y].type, r->y, r->y_step, r->n, p->job.lane, &buffer);
    if (p->job.lane == CPU_LANE_F32)
        put_f32(p, r, g);
    else
        put_f64(p, r, g);
}

static void take(places_job *p, const run_of *r) {
    const int64_t size = p->job.operand[POOL_Y].size;
    for (int64_t i = 0; i < r->n; i++) {
        const int64_t place = r->index[i * r->index_step];
        if (is_inside(p, place))
            memcpy(r->y + i * r->y_step * size, r->x + (i * r->x_step + offset_of(p, place)) * size, (size_t)size);
    }
}

/* Rows begin..end of the smaller side, in those lanes. */
static void each_run(places_job *p, int64_t begin, int64_t end, int64_t lane, int64_t last, run_fn *f) {
    const pool_job *j = &p->job;
    const pool_operand *x = &j->operand[POOL_X], *y = &j->operand[POOL_Y], *index = &j->operand[POOL_INDEX];
    const int by_lanes = j->lane_dim >= 0;
    const int64_t n = j->axis[2].out, outer = by_lanes ? n : 1, from = by_lanes ? lane : 0, to = by_lanes ? last : n;
    run_of r = {.x_step = by_lanes ? x->lane_stride : 0,
                .y_step = by_lanes ? y->lane_stride : y->stride[2],
                .index_step = by_lanes ? index->lane_stride : index->stride[2]};
    pool_walk w;
    pool_walk_begin(&w, j, begin, end);
    while (pool_walk_next(&w))
        for (int64_t o = 0; o < outer; o++)
            for (int64_t c = from; c < to; c += r.n) {
                const int64_t at_y = w.o[0] * y->stride[0] + w.o[1] * y->stride[1] + o * y->stride[2];
                const int64_t at_index = w.o[0] * index->stride[0] + w.o[1] * index->stride[1] + o * index->stride[2];
                r.n = to - c < CPU_ROW ? to - c : CPU_ROW;
                r.x = pool_at(x, w.plane.at[POOL_X] + c * r.x_step);
                r.y = pool_at(y, w.plane.at[POOL_Y] + at_y + c * r.y_step);
                r.index = (const int64_t *)pool_at(index, w.plane.at[POOL_INDEX] + at_index + c * r.index_step);
                f(p, &r);
            }
}

static void put_planes(void *context, int64_t begin, int64_t end) {
    places_job *p = context;
    const pool_job *j = &p->job;
    const int64_t rows = j->axis[0].out * j->axis[1].out;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane, lane, last;
        cpu_walk at;
        pool_task(j, task, &plane, &lane, &last);
        cpu_walk_begin(&at, &j->planes, plane, plane + 1);
        pool_clear(j, at.at[POOL_X], lane, last);
        each_run(p, plane * rows, (plane + 1) * rows, lane, last, put);
    }
}

static void take_rows(void *context, int64_t begin, int64_t end) {
    places_job *p = context;
    each_run(p, begin, end, 0, p->job.lanes, take);
}

static void init(places_job *p, int32_t spatial, const dl_tensor *x, const dl_tensor *y, const dl_tensor *index) {
    pool_job *j = &p->job;
    const int64_t *stride = j->operand[POOL_X].stride;
    pool_init(j, spatial, x, y, index, NULL);
    p->plane = j->axis[0].in * j->axis[1].in * j->axis[2].in;
    p->linear = (j->axis[1].in == 1 || stride[1] == stride[2] * j->axis[2].in) &&
                (j->axis[0].in == 1 || stride[0] == stride[2] * j->axis[2].in * j->axis[1].in);
}

static dl_status finish(const places_job *p) {
    if (p->fault == FINE) return DL_OK;
    return cpu_host->fail(DL_INVALID, "%s index: expected places 0..%lld in planes of %lld elements",
                          p->fault == NEGATIVE ? "a negative" : "too large an", (long long)p->plane - 1, (long long)p->plane);
}

static dl_status prepare_put(const dl_frame *f, dl_plan *plan) {
    plan->scratch_bytes = (uint64_t)pool_aside_bytes(f->out[0]);
    return DL_OK;
}

static dl_status run_put(const dl_frame *f, int adds) {
    const dl_tensor *out = f->out[0];
    pool_aside aside;
    const dl_tensor *x = pool_set_aside(&aside, out, f->attr[0].n, f->scratch);
    places_job p = {.adds = adds};
    init(&p, f->attr[0].n, x, f->in[0], f->in[1]);
    cpu_parallel(pool_tasks(&p.job), pool_task_grain(&p.job), put_planes, &p);
    if (x != out) cpu_copy_tensor(out, x);
    return finish(&p);
}

static dl_status run_max_pool_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return run_put(f, 1);
}

static dl_status run_max_unpool(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return run_put(f, 0);
}

static dl_status run_max_unpool_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    places_job p = {0};
    init(&p, (int32_t)f->attr[0].v.i, f->in[0], f->out[0], f->in[1]);
    cpu_parallel(pool_rows(&p.job), pool_grain(&p.job), take_rows, &p);
    return finish(&p);
}

dl_status CPU_ISA(register_pool_places)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("max_pool_backward", prepare_put, run_max_pool_backward),
        CPU_KERNEL("max_unpool", prepare_put, run_max_unpool),
        CPU_KERNEL("max_unpool_backward", NULL, run_max_unpool_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
