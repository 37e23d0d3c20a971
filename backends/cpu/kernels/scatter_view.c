/* scatter_view.c - view_backward: zeros to which a tensor is added through a view. */
#include "loop.h"
#include "row.h"
#include "types.h"

enum { PLACE, GRAD }; /* operands: elements of the contiguous result, offsets in grad */

typedef struct scatter_job {
    cpu_loop loop;
    const dl_tensor *out;
    const char *grad;
    int64_t offset; /* of the view in the result */
    int contiguous;
} scatter_job;

/* The address of logical element p of the result. */
static char *element(const scatter_job *j, int64_t p) {
    const dl_tensor *out = j->out;
    int64_t at = j->contiguous ? p : 0;
    for (int32_t d = out->ndim - 1; d >= 0 && !j->contiguous; d--) {
        at += p % out->shape[d] * out->strides[d];
        p /= out->shape[d];
    }
    return (char *)cpu_data(out) + at * cpu_size(out->type);
}

static void add_lanes(cpu_lane lane, cpu_row_buffer *sum, const void *a, const void *b, int64_t n) {
    if (lane == CPU_LANE_F32)
        for (int64_t i = 0; i < n; i++) sum->f32[i] = ((const float *)a)[i] + ((const float *)b)[i];
    else if (lane == CPU_LANE_F64)
        for (int64_t i = 0; i < n; i++) sum->f64[i] = ((const double *)a)[i] + ((const double *)b)[i];
    else
        for (int64_t i = 0; i < n; i++)
            sum->i64[i] = (int64_t)((uint64_t)((const int64_t *)a)[i] + (uint64_t)((const int64_t *)b)[i]);
}

/* Adds n elements of grad to places `step` apart from place p on. */
static void add_row(const scatter_job *j, int64_t p, int64_t step, const char *grad, int64_t grad_step, int64_t n) {
    const dl_dtype type = j->out->type;
    const cpu_lane lane = cpu_lane_of(type);
    cpu_row_buffer have, more, sum;
    char *to = element(j, p);
    const void *a = cpu_row_read(type, to, step, n, lane, &have), *b = cpu_row_read(type, grad, grad_step, n, lane, &more);
    add_lanes(lane, &sum, a, b, n);
    cpu_row_write(type, to, step, n, lane, &sum);
}

static void add_range(void *context, int64_t begin, int64_t end) {
    const scatter_job *j = context;
    const int64_t step = cpu_loop_step(&j->loop, PLACE), grad_step = cpu_loop_step(&j->loop, GRAD),
                  size = cpu_size(j->out->type);
    const int rows = j->contiguous && step != 0; /* places of one run lie evenly apart and differ */
    cpu_walk w;
    cpu_walk_begin(&w, &j->loop, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, rows ? CPU_ROW : 1)) != 0;)
        add_row(j, j->offset + w.at[PLACE], step, j->grad + w.at[GRAD] * size, grad_step, n);
}

/* May two elements of the view have one place? The loop is sorted by the places' strides, largest first. */
static int overlaps(const cpu_loop *l) {
    int64_t reach = 0;
    for (int32_t d = l->ndim - 1; d >= 0; d--) {
        if (l->shape[d] > 1 && l->stride[PLACE][d] <= reach) return 1;
        reach += (l->shape[d] - 1) * l->stride[PLACE][d];
    }
    return 0;
}

static void zero_range(void *context, int64_t begin, int64_t end) {
    const scatter_job *j = context;
    const int64_t size = cpu_size(j->out->type);
    if (j->contiguous) {
        memset((char *)cpu_data(j->out) + begin * size, 0, (size_t)((end - begin) * size));
        return;
    }
    for (int64_t p = begin; p < end; p++) memset(element(j, p), 0, (size_t)size);
}

static dl_status run_view_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *grad = f->in[0];
    scatter_job j = {
        .out = f->out[0], .grad = cpu_data(grad), .offset = f->attr[2].v.i, .contiguous = cpu_contiguous(f->out[0])};
    cpu_loop_init(&j.loop, 2);
    for (int32_t d = 0; d < grad->ndim; d++) cpu_loop_dim(&j.loop, grad->shape[d], f->attr[1].v.iv[d], grad->strides[d], 0, 0);
    cpu_loop_sort(&j.loop, PLACE);
    cpu_loop_merge(&j.loop);
    cpu_parallel(cpu_count(j.out), CPU_GRAIN, zero_range, &j);
    if (overlaps(&j.loop))
        add_range(&j, 0, j.loop.count);
    else
        cpu_parallel(j.loop.count, CPU_GRAIN, add_range, &j);
    return DL_OK;
}

dl_status CPU_ISA(register_scatter_view)(void) {
    static const dl_kernel kernels[] = {CPU_KERNEL("view_backward", NULL, run_view_backward)};
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
