/* create.c - tensors made from numbers alone: full, arange, eye. */
#include "loop.h"
#include "row.h"
#include "types.h"

enum { OUT, NUMBER }; /* operands of a filling loop: offsets in the output, logical element numbers */

typedef struct fill_job {
    cpu_loop loop;
    char *to;
    dl_dtype type;
    int64_t size;
    /* full: one element; arange: the sequence, in integers or not; eye: columns, to know the diagonal by the element number */
    uint64_t element;
    int integral;
    int64_t start, step, columns;
    double start_f, step_f;
} fill_job;

static void fill_begin(fill_job *j, const dl_tensor *out) {
    j->to = cpu_data(out);
    j->type = out->type;
    j->size = cpu_size(out->type);
    cpu_loop_init(&j->loop, 2);
    int64_t number[DL_MAX_DIMS], after = 1;
    for (int32_t d = out->ndim - 1; d >= 0; d--) {
        number[d] = after;
        after *= out->shape[d];
    }
    for (int32_t d = 0; d < out->ndim; d++) cpu_loop_dim(&j->loop, out->shape[d], out->strides[d], number[d], 0, 0);
    cpu_loop_merge(&j->loop);
}

static void fill_full(void *context, int64_t begin, int64_t end) {
    const fill_job *j = context;
    const int64_t stride = cpu_loop_step(&j->loop, OUT);
    cpu_walk w;
    cpu_walk_begin(&w, &j->loop, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, INT64_MAX)) != 0;)
        cpu_row_copy(j->type, j->to + w.at[OUT] * j->size, stride, &j->element, 0, n);
}

static double number_of(const dl_attr *a) { return a->kind == DL_ATTR_FLOAT ? a->v.f : (double)a->v.i; }

/* One element of the dtype with an int or float attribute's value. */
static uint64_t element_of(dl_dtype type, const dl_attr *a) {
    uint64_t element = 0;
    if (a->kind == DL_ATTR_FLOAT)
        cpu_row_write(type, &element, 1, 1, CPU_LANE_F64, &a->v.f);
    else
        cpu_row_write(type, &element, 1, 1, CPU_LANE_I64, &a->v.i);
    return element;
}

static dl_status run_full(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    fill_job j;
    fill_begin(&j, f->out[0]);
    j.element = element_of(j.type, &f->attr[1]);
    cpu_parallel(j.loop.count, CPU_GRAIN, fill_full, &j);
    return DL_OK;
}

static void fill_arange(void *context, int64_t begin, int64_t end) {
    const fill_job *j = context;
    const int64_t stride = cpu_loop_step(&j->loop, OUT);
    cpu_row_buffer b;
    cpu_walk w;
    cpu_walk_begin(&w, &j->loop, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0;) {
        const int64_t first = w.at[NUMBER];
        if (j->integral) /* unsigned, because the sequence may wrap */
            for (int64_t i = 0; i < n; i++)
                b.i64[i] = (int64_t)((uint64_t)j->start + (uint64_t)j->step * (uint64_t)(first + i));
        else
            for (int64_t i = 0; i < n; i++) b.f64[i] = j->start_f + j->step_f * (double)(first + i);
        cpu_row_write(j->type, j->to + w.at[OUT] * j->size, stride, n, j->integral ? CPU_LANE_I64 : CPU_LANE_F64, &b);
    }
}

static dl_status run_arange(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_attr *start = &f->attr[0], *step = &f->attr[1];
    fill_job j;
    fill_begin(&j, f->out[0]);
    j.integral = start->kind == DL_ATTR_INT && step->kind == DL_ATTR_INT && cpu_lane_of(j.type) == CPU_LANE_I64;
    if (j.integral) {
        j.start = start->v.i;
        j.step = step->v.i;
    } else {
        j.start_f = number_of(start);
        j.step_f = number_of(step);
    }
    cpu_parallel(j.loop.count, CPU_GRAIN, fill_arange, &j);
    return DL_OK;
}

static void fill_eye(void *context, int64_t begin, int64_t end) {
    const fill_job *j = context;
    const int64_t stride = cpu_loop_step(&j->loop, OUT), period = j->columns + 1;
    cpu_row_buffer b;
    cpu_walk w;
    cpu_walk_begin(&w, &j->loop, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0;) {
        memset(b.f32, 0, sizeof b.f32);
        for (int64_t i = (period - w.at[NUMBER] % period) % period; i < n; i += period)
            if (w.at[NUMBER] + i < j->columns * period) b.f32[i] = 1;
        cpu_row_write(j->type, j->to + w.at[OUT] * j->size, stride, n, CPU_LANE_F32, &b);
    }
}

static dl_status run_eye(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    fill_job j;
    fill_begin(&j, f->out[0]);
    j.columns = f->out[0]->shape[1];
    cpu_parallel(j.loop.count, CPU_GRAIN, fill_eye, &j);
    return DL_OK;
}

dl_status CPU_ISA(register_create)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("full", NULL, run_full),
        CPU_KERNEL("arange", NULL, run_arange),
        CPU_KERNEL("eye", NULL, run_eye),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
