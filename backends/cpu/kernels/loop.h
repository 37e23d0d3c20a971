/* loop.h - loops over any number of dimensions and up to four operands, each with its own strides.
 *
 * Build one with cpu_loop_dim, outermost first; cpu_loop_sort where the order is free; cpu_loop_merge; then walk any part of
 * it in runs of the innermost dimension:
 *     cpu_walk w;
 *     cpu_walk_begin(&w, &loop, begin, end);
 *     for (int64_t n; (n = cpu_walk_next(&w, most)) != 0;) ...   n elements from offsets w.at[k], loop.stride[k][loop.ndim - 1]
 * apart All strides and offsets are in elements of the operand. */
#ifndef CPU_LOOP_H
#define CPU_LOOP_H
#include "backends/cpu/cpu.h"

enum { CPU_OPERANDS = 4 };

typedef struct cpu_loop {
    int32_t ndim, operands;
    int64_t count; /* elements */
    int64_t shape[DL_MAX_DIMS + 1];
    int64_t stride[CPU_OPERANDS][DL_MAX_DIMS + 1];
} cpu_loop;

static inline void cpu_loop_init(cpu_loop *l, int32_t operands) {
    l->ndim = 0;
    l->operands = operands;
    l->count = 1;
}

/* Appends an inner dimension. */
static inline void cpu_loop_dim(cpu_loop *l, int64_t size, int64_t stride0, int64_t stride1, int64_t stride2, int64_t stride3) {
    const int64_t stride[CPU_OPERANDS] = {stride0, stride1, stride2, stride3};
    for (int32_t k = 0; k < l->operands; k++) l->stride[k][l->ndim] = stride[k];
    l->shape[l->ndim++] = size;
    l->count *= size;
}

static inline void cpu_loop_move(cpu_loop *l, int32_t to, int32_t from) {
    l->shape[to] = l->shape[from];
    for (int32_t k = 0; k < l->operands; k++) l->stride[k][to] = l->stride[k][from];
}

/* Largest stride of operand `by` outermost; stable. */
static inline void cpu_loop_sort(cpu_loop *l, int32_t by) {
    enum { SPARE = DL_MAX_DIMS };
    for (int32_t d = 1; d < l->ndim; d++) {
        cpu_loop_move(l, SPARE, d);
        int32_t p = d;
        for (; p > 0 && l->stride[by][p - 1] < l->stride[by][SPARE]; p--) cpu_loop_move(l, p, p - 1);
        cpu_loop_move(l, p, SPARE);
    }
}

/* Drops dimensions of size 1, joins neighbours that every operand steps through evenly; leaves at least one dimension. */
static inline void cpu_loop_merge(cpu_loop *l) {
    int32_t kept = 0;
    for (int32_t d = 0; d < l->ndim; d++) {
        if (l->shape[d] == 1) continue;
        int even = kept > 0;
        for (int32_t k = 0; even && k < l->operands; k++) even = l->stride[k][kept - 1] == l->stride[k][d] * l->shape[d];
        if (even) {
            int64_t outer = l->shape[kept - 1];
            cpu_loop_move(l, kept - 1, d);
            l->shape[kept - 1] *= outer;
        } else {
            cpu_loop_move(l, kept++, d);
        }
    }
    l->ndim = kept;
    if (kept == 0) cpu_loop_dim(l, 1, 1, 1, 1, 1);
}

static inline int64_t cpu_loop_inner(const cpu_loop *l) { return l->shape[l->ndim - 1]; }
static inline int64_t cpu_loop_step(const cpu_loop *l, int32_t operand) { return l->stride[operand][l->ndim - 1]; }

typedef struct cpu_walk {
    const cpu_loop *loop;
    int64_t left, run; /* elements still to come; length of the present run */
    int64_t index[DL_MAX_DIMS];
    int64_t at[CPU_OPERANDS];
} cpu_walk;

static inline void cpu_walk_begin(cpu_walk *w, const cpu_loop *l, int64_t begin, int64_t end) {
    w->loop = l;
    w->left = end - begin;
    w->run = 0;
    for (int32_t k = 0; k < l->operands; k++) w->at[k] = 0;
    if (w->left <= 0) return;
    for (int32_t d = l->ndim - 1; d >= 0; d--) {
        w->index[d] = begin % l->shape[d];
        begin /= l->shape[d];
        for (int32_t k = 0; k < l->operands; k++) w->at[k] += w->index[d] * l->stride[k][d];
    }
}

/* Length of the next run, at most `most`; 0 at the end. */
static inline int64_t cpu_walk_next(cpu_walk *w, int64_t most) {
    const cpu_loop *l = w->loop;
    if (w->left <= 0) return 0;
    int32_t d = l->ndim - 1;
    if (w->run) {
        w->index[d] += w->run;
        for (int32_t k = 0; k < l->operands; k++) w->at[k] += w->run * l->stride[k][d];
        for (; d > 0 && w->index[d] == l->shape[d]; d--) {
            w->index[d] = 0;
            w->index[d - 1]++;
            for (int32_t k = 0; k < l->operands; k++) w->at[k] += l->stride[k][d - 1] - l->shape[d] * l->stride[k][d];
        }
    }
    d = l->ndim - 1;
    int64_t run = l->shape[d] - w->index[d];
    if (run > w->left) run = w->left;
    if (run > most) run = most;
    w->run = run;
    w->left -= run;
    return run;
}

/* Lines of tensors along one dimension: a loop over the other dimensions (offsets of each line's first element), and each
 * operand's stride along the line. All tensors have the first one's number of dimensions; sizes are the first one's. */
typedef struct cpu_lines {
    cpu_loop across;
    int64_t length, step[CPU_OPERANDS];
} cpu_lines;

static inline void cpu_lines_init(cpu_lines *l, int64_t dim, int32_t tensors, const dl_tensor *const *t) {
    const int32_t ndim = t[0]->ndim;
    if (dim < 0) dim += ndim ? ndim : 1;
    cpu_loop_init(&l->across, tensors);
    l->length = ndim ? t[0]->shape[dim] : 1;
    for (int32_t k = 0; k < tensors; k++) l->step[k] = ndim ? t[k]->strides[dim] : 1;
    for (int32_t d = 0; d < ndim; d++) {
        if (d == dim) continue;
        cpu_loop_dim(&l->across, t[0]->shape[d], t[0]->strides[d], tensors > 1 ? t[1]->strides[d] : 0,
                     tensors > 2 ? t[2]->strides[d] : 0, tensors > 3 ? t[3]->strides[d] : 0);
    }
    cpu_loop_merge(&l->across);
}

#endif
