/* copy.c - copies between any strides and dtypes: copy, cat, tril, triu.
 *
 * The dimensions of a copy may be walked in any order, so they are sorted by the destination's strides: stores are then as
 * contiguous as they can be. Where loads are not (a transpose), the two dimensions concerned are walked in tiles that pass
 * through the stack: a tile is loaded along one dimension and stored along the other, both in runs long enough to be worth
 * their page. */
#include "copy.h"
#include "loop.h"
#include "row.h"
#include "types.h"

enum { TO, FROM };
enum { TILE = 128, TILE_PITCH = TILE + 8 }; /* the pitch is no power of two, so that columns do not share cache sets */

typedef struct copy_job {
    cpu_loop loop;
    char *to;
    const char *from;
    dl_dtype to_type, from_type;
    int64_t to_size, from_size;
    /* Transposes: tiles per column dimension (the last) and per row dimension (the last but one). */
    int64_t column_tiles, row_tiles;
} copy_job;

/* n elements, converted. */
static void convert_run(dl_dtype to_type, char *to, int64_t to_stride, dl_dtype from_type, const char *from,
                        int64_t from_stride, int64_t n) {
    if (to_type == from_type) {
        cpu_row_copy(to_type, to, to_stride, from, from_stride, n);
        return;
    }
    const cpu_lane lane = cpu_lane_of(from_type);
    cpu_row_buffer buffer;
    for (int64_t i = 0; i < n; i += CPU_ROW) {
        const int64_t m = n - i < CPU_ROW ? n - i : CPU_ROW;
        const void *values =
            cpu_row_read(from_type, from + i * from_stride * cpu_size(from_type), from_stride, m, lane, &buffer);
        cpu_row_write(to_type, to + i * to_stride * cpu_size(to_type), to_stride, m, lane, values);
    }
}

static void copy_rows(void *context, int64_t begin, int64_t end) {
    const copy_job *j = context;
    const int64_t to_stride = cpu_loop_step(&j->loop, TO), from_stride = cpu_loop_step(&j->loop, FROM);
    cpu_walk w;
    cpu_walk_begin(&w, &j->loop, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, INT64_MAX)) != 0;)
        convert_run(j->to_type, j->to + w.at[TO] * j->to_size, to_stride, j->from_type, j->from + w.at[FROM] * j->from_size,
                    from_stride, n);
}

/* Tiles number begin..end of the last two dimensions, for every element of the dimensions before them. */
static void copy_tiles(void *context, int64_t begin, int64_t end) {
    const copy_job *j = context;
    const int32_t c = j->loop.ndim - 1, r = c - 1;
    const int64_t *const to = j->loop.stride[TO], *const from = j->loop.stride[FROM];
    uint64_t buffer[TILE * TILE_PITCH];
    char *const tile = (char *)buffer;
    cpu_loop outer = j->loop;
    outer.ndim = r;
    for (int64_t k = begin; k < end; k++) {
        const int64_t column = k % j->column_tiles * TILE, row = k / j->column_tiles % j->row_tiles * TILE;
        const int64_t columns = j->loop.shape[c] - column < TILE ? j->loop.shape[c] - column : TILE;
        const int64_t rows = j->loop.shape[r] - row < TILE ? j->loop.shape[r] - row : TILE;
        const int64_t slice = k / j->column_tiles / j->row_tiles;
        cpu_walk w;
        cpu_walk_begin(&w, &outer, slice, slice + 1);
        char *t = j->to + (w.at[TO] + row * to[r] + column * to[c]) * j->to_size;
        const char *f = j->from + (w.at[FROM] + row * from[r] + column * from[c]) * j->from_size;
        for (int64_t i = 0; i < columns; i++)
            convert_run(j->to_type, tile + i * j->to_size, TILE_PITCH, j->from_type, f + i * from[c] * j->from_size, from[r],
                        rows);
        for (int64_t i = 0; i < rows; i++)
            cpu_row_copy(j->to_type, t + i * to[r] * j->to_size, to[c], tile + i * TILE_PITCH * j->to_size, 1, columns);
    }
}

/* Puts the dimension along which `from` is closest to contiguous last but one; 0 if that is the last already. */
static int transposed(cpu_loop *l) {
    const int32_t last = l->ndim - 1;
    int32_t best = last;
    for (int32_t d = 0; d < last; d++)
        if (l->stride[FROM][d] > 0 && l->stride[FROM][d] < l->stride[FROM][best]) best = d;
    if (best == last || l->shape[best] < 8 || l->shape[last] < 8) return 0;
    cpu_loop_move(l, DL_MAX_DIMS, best);
    for (int32_t d = best; d < last - 1; d++) cpu_loop_move(l, d, d + 1);
    cpu_loop_move(l, last - 1, DL_MAX_DIMS);
    return 1;
}

void cpu_copy(int32_t ndim, const int64_t *shape, void *to, dl_dtype to_type, const int64_t *to_strides, const void *from,
              dl_dtype from_type, const int64_t *from_strides) {
    copy_job j = {.to = to, .from = from, .to_type = to_type, .from_type = from_type};
    j.to_size = cpu_size(to_type);
    j.from_size = cpu_size(from_type);
    cpu_loop_init(&j.loop, 2);
    for (int32_t d = 0; d < ndim; d++) cpu_loop_dim(&j.loop, shape[d], to_strides[d], from_strides[d], 0, 0);
    if (j.loop.count == 0) return;
    cpu_loop_sort(&j.loop, TO);
    cpu_loop_merge(&j.loop);
    if (transposed(&j.loop)) {
        j.column_tiles = (j.loop.shape[j.loop.ndim - 1] + TILE - 1) / TILE;
        j.row_tiles = (j.loop.shape[j.loop.ndim - 2] + TILE - 1) / TILE;
        int64_t slices = 1;
        for (int32_t d = 0; d < j.loop.ndim - 2; d++) slices *= j.loop.shape[d];
        cpu_parallel(slices * j.row_tiles * j.column_tiles, 2, copy_tiles, &j);
        return;
    }
    cpu_parallel(j.loop.count, CPU_GRAIN, copy_rows, &j);
}

void cpu_copy_tensor(const dl_tensor *out, const dl_tensor *x) {
    int64_t strides[DL_MAX_DIMS];
    const int32_t added = out->ndim - x->ndim;
    for (int32_t d = 0; d < out->ndim; d++) strides[d] = d < added || x->shape[d - added] == 1 ? 0 : x->strides[d - added];
    cpu_copy(out->ndim, out->shape, cpu_data(out), out->type, out->strides, cpu_data(x), x->type, strides);
}

static dl_status run_copy(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    cpu_copy_tensor(f->out[0], f->in[0]);
    return DL_OK;
}

static dl_status run_cat(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *out = f->out[0];
    const int32_t dim = (int32_t)(f->attr[0].v.i < 0 ? f->attr[0].v.i + out->ndim : f->attr[0].v.i);
    char *to = cpu_data(out);
    for (uint32_t k = 0; k < f->n_in; k++) {
        const dl_tensor *x = f->in[k];
        cpu_copy(x->ndim, x->shape, to, out->type, out->strides, cpu_data(x), x->type, x->strides);
        to += x->shape[dim] * out->strides[dim] * cpu_size(out->type);
    }
    return DL_OK;
}

/* Zeroes every row of the last two dimensions right of the diagonal (lower) or left of it. */
static void clear_outside(const dl_tensor *out, int64_t diagonal, int lower) {
    static const uint64_t zero;
    const int32_t r = out->ndim - 2, c = out->ndim - 1;
    const int64_t columns = out->shape[c], size = cpu_size(out->type);
    cpu_loop rows;
    cpu_loop_init(&rows, 2); /* operand 0: offsets in out; operand 1: row numbers */
    for (int32_t d = 0; d <= r; d++) cpu_loop_dim(&rows, out->shape[d], out->strides[d], d == r, 0, 0);
    cpu_walk w;
    cpu_walk_begin(&w, &rows, 0, columns > 0 ? rows.count : 0);
    while (cpu_walk_next(&w, 1)) {
        int64_t border = w.at[1] + diagonal + lower; /* lower: first column to clear; else: first one to keep */
        border = border < 0 ? 0 : border > columns ? columns : border;
        const int64_t begin = lower ? border : 0, end = lower ? columns : border;
        char *at = (char *)cpu_data(out) + (w.at[0] + begin * out->strides[c]) * size;
        if (out->strides[c] == 1)
            memset(at, 0, (size_t)((end - begin) * size));
        else
            cpu_row_copy(out->type, at, out->strides[c], &zero, 0, end - begin);
    }
}

static dl_status run_tril(const dl_frame *f, const dl_plan *plan) {
    run_copy(f, plan);
    clear_outside(f->out[0], f->attr[0].v.i, 1);
    return DL_OK;
}

static dl_status run_triu(const dl_frame *f, const dl_plan *plan) {
    run_copy(f, plan);
    clear_outside(f->out[0], f->attr[0].v.i, 0);
    return DL_OK;
}

dl_status CPU_ISA(register_copy)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("copy", NULL, run_copy),
        CPU_KERNEL("cat", NULL, run_cat),
        CPU_KERNEL("tril", NULL, run_tril),
        CPU_KERNEL("triu", NULL, run_triu),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
