/* mask.c - moving elements by mask: masked_select, masked_scatter, nonzero. The order is the logical one, so the work is
 * serial. */
#include "copy.h"
#include "loop.h"
#include "row.h"
#include "types.h"

enum { MASK, X };

/* A walk in logical order over the mask and up to two more tensors of its shape. */
static void masked_loop(cpu_loop *l, const dl_tensor *mask, const dl_tensor *x) {
    cpu_loop_init(l, x ? 2 : 1);
    for (int32_t d = 0; d < mask->ndim; d++) cpu_loop_dim(l, mask->shape[d], mask->strides[d], x ? x->strides[d] : 0, 0, 0);
    cpu_loop_merge(l);
}

/* Is element k non-zero? Double holds whether any number is. */
static const double *flags(const cpu_loop *l, const cpu_walk *w, const dl_tensor *mask, int64_t n, cpu_row_buffer *b) {
    const char *at = (const char *)cpu_data(mask) + w->at[MASK] * cpu_size(mask->type);
    return cpu_row_read(mask->type, at, cpu_loop_step(l, MASK), n, CPU_LANE_F64, b);
}

static int64_t count_nonzero(const dl_tensor *mask) {
    cpu_loop l;
    cpu_row_buffer b;
    cpu_walk w;
    int64_t count = 0;
    masked_loop(&l, mask, NULL);
    cpu_walk_begin(&w, &l, 0, l.count);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0;) {
        const double *flag = flags(&l, &w, mask, n, &b);
        for (int64_t k = 0; k < n; k++) count += flag[k] != 0;
    }
    return count;
}

static dl_status run_masked_select(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0], *mask = f->in[1], *out = f->out[0];
    const int64_t count = count_nonzero(mask), size = cpu_size(x->type);
    const dl_status status = cpu_host->alloc_out(f, 0, x->type, 1, &count);
    if (status != DL_OK) return status;
    char *to = cpu_data(out);
    cpu_loop l;
    cpu_row_buffer b;
    cpu_walk w;
    masked_loop(&l, mask, x);
    cpu_walk_begin(&w, &l, 0, l.count);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0;) {
        const double *flag = flags(&l, &w, mask, n, &b);
        const char *from = (const char *)cpu_data(x) + w.at[X] * size;
        for (int64_t k = 0; k < n; k++) {
            if (flag[k] == 0) continue;
            memcpy(to, from + k * cpu_loop_step(&l, X) * size, (size_t)size);
            to += out->strides[0] * size;
        }
    }
    return DL_OK;
}

static dl_status run_masked_scatter(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0], *mask = f->in[1], *src = f->in[2], *out = f->out[0];
    const int64_t count = count_nonzero(mask), size = cpu_size(src->type);
    if (count > cpu_count(src))
        return cpu_host->fail(DL_INVALID, "the mask takes %lld elements, but src has only %lld", (long long)count,
                              (long long)cpu_count(src));
    cpu_copy_tensor(out, x);
    cpu_loop l, from;
    masked_loop(&l, mask, out);
    masked_loop(&from, src, NULL);
    cpu_row_buffer b;
    cpu_walk w, s;
    cpu_walk_begin(&w, &l, 0, l.count);
    cpu_walk_begin(&s, &from, 0, from.count);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0;) {
        const double *flag = flags(&l, &w, mask, n, &b);
        char *to = (char *)cpu_data(out) + w.at[X] * size;
        for (int64_t k = 0; k < n; k++) {
            if (flag[k] == 0) continue;
            cpu_walk_next(&s, 1);
            memcpy(to + k * cpu_loop_step(&l, X) * size, (const char *)cpu_data(src) + s.at[0] * size, (size_t)size);
        }
    }
    return DL_OK;
}

static dl_status run_nonzero(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0], *out = f->out[0];
    const int64_t shape[] = {count_nonzero(x), x->ndim};
    const dl_status status = cpu_host->alloc_out(f, 0, DL_I64, 2, shape);
    if (status != DL_OK) return status;
    int64_t *row = cpu_data(out), number = 0;
    cpu_loop l;
    cpu_row_buffer b;
    cpu_walk w;
    masked_loop(&l, x, NULL);
    cpu_walk_begin(&w, &l, 0, l.count);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0; number += n) {
        const double *flag = flags(&l, &w, x, n, &b);
        for (int64_t k = 0; k < n; k++) {
            if (flag[k] == 0) continue;
            int64_t rest = number + k;
            for (int32_t d = x->ndim - 1; d >= 0; d--) {
                row[d * out->strides[1]] = rest % x->shape[d];
                rest /= x->shape[d];
            }
            row += out->strides[0];
        }
    }
    return DL_OK;
}

dl_status CPU_ISA(register_mask)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("masked_select", NULL, run_masked_select),
        CPU_KERNEL("masked_scatter", NULL, run_masked_scatter),
        CPU_KERNEL("nonzero", NULL, run_nonzero),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
