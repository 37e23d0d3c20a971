/* index.c - moving elements by index: gather, index_select and its backward op, scatter, scatter_add, index_add, index_copy,
 * index_fill, one_hot.
 *
 * The slice ops are the element ops with an index expanded over the other dimensions (stride 0). Every index is checked before
 * anything is written. Where indices may repeat, one thread takes all of a line along the dimension, in order: the last write
 * wins and sums are the same for any number of threads. */
#include "copy.h"
#include "loop.h"
#include "row.h"
#include "types.h"

typedef struct operand {
    char *data;
    dl_dtype type;
    int64_t size;
    int64_t strides[DL_MAX_DIMS]; /* over the dimensions of the index space */
} operand;

static operand operand_of(const dl_tensor *t) {
    operand o = {cpu_data(t), t->type, cpu_size(t->type), {0}};
    for (int32_t d = 0; d < t->ndim; d++) o.strides[d] = t->strides[d];
    return o;
}

/* A vector (or 0-dim) of indices along dim, expanded over the other dimensions. */
static operand slices_of(const dl_tensor *index, int32_t dim) {
    operand o = operand_of(index);
    const int64_t stride = index->ndim ? index->strides[0] : 1;
    memset(o.strides, 0, sizeof o.strides);
    o.strides[dim] = stride;
    return o;
}

static int32_t dim_of(const dl_frame *f) {
    const int32_t ndim = f->in[0]->ndim ? f->in[0]->ndim : 1;
    return (int32_t)(f->attr[0].v.i < 0 ? f->attr[0].v.i + ndim : f->attr[0].v.i);
}

static dl_status check_indices(const dl_tensor *index, int64_t limit) {
    cpu_loop l;
    cpu_loop_init(&l, 1);
    for (int32_t d = 0; d < index->ndim; d++) cpu_loop_dim(&l, index->shape[d], index->strides[d], 0, 0, 0);
    cpu_loop_merge(&l);
    cpu_row_buffer b;
    cpu_walk w;
    cpu_walk_begin(&w, &l, 0, l.count);
    int64_t position = 0;
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0; position += n) {
        const char *at = (const char *)cpu_data(index) + w.at[0] * cpu_size(index->type);
        const int64_t *i = cpu_row_read(index->type, at, cpu_loop_step(&l, 0), n, CPU_LANE_I64, &b);
        int outside = 0;
        for (int64_t k = 0; k < n; k++) outside |= (i[k] < 0) | (i[k] >= limit);
        for (int64_t k = 0; outside; k++)
            if (i[k] < 0 || i[k] >= limit)
                return cpu_host->fail(DL_INVALID, "index %lld at position %lld: expected 0..%lld", (long long)i[k],
                                      (long long)(position + k), (long long)limit - 1);
    }
    return DL_OK;
}

/* ---- taking: every element of the output is written once ------------------------------------------------------------ */

enum { OUT, INDEX, FROM };

typedef struct take_job {
    cpu_loop loop; /* over the output; operand FROM has stride 0 along dim, which the index steps through */
    operand out, index, from;
    int64_t along; /* stride of FROM along dim */
} take_job;

/* to[k] = from[index[k] * along + k * from_stride] */
#define TAKE(bits)                                                                                                             \
    static void take_##bits(void *to, int64_t to_stride, const void *from, int64_t from_stride, const int64_t *index,          \
                            int64_t along, int64_t n) {                                                                        \
        uint##bits##_t *restrict t = to;                                                                                       \
        const uint##bits##_t *restrict f = from;                                                                               \
        for (int64_t k = 0; k < n; k++) t[k * to_stride] = f[index[k] * along + k * from_stride];                              \
    }
TAKE(8)
TAKE(16)
TAKE(32)
TAKE(64)

static void take_range(void *context, int64_t begin, int64_t end) {
    const take_job *j = context;
    const int64_t out = cpu_loop_step(&j->loop, OUT), index = cpu_loop_step(&j->loop, INDEX),
                  from = cpu_loop_step(&j->loop, FROM);
    cpu_row_buffer b;
    cpu_walk w;
    cpu_walk_begin(&w, &j->loop, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, index ? CPU_ROW : INT64_MAX)) != 0;) {
        char *t = j->out.data + w.at[OUT] * j->out.size;
        const char *i = j->index.data + w.at[INDEX] * j->index.size, *f = j->from.data + w.at[FROM] * j->from.size;
        if (index == 0) {
            cpu_row_copy(j->out.type, t, out, f + cpu_load_i64(j->index.type, i) * j->along * j->from.size, from, n);
            continue;
        }
        const int64_t *indices = cpu_row_read(j->index.type, i, index, n, CPU_LANE_I64, &b);
        switch (j->out.size) {
        case 1: take_8(t, out, f, from, indices, j->along, n); break;
        case 2: take_16(t, out, f, from, indices, j->along, n); break;
        case 4: take_32(t, out, f, from, indices, j->along, n); break;
        default: take_64(t, out, f, from, indices, j->along, n); break;
        }
    }
}

static dl_status take(const dl_frame *f, operand index) {
    const dl_tensor *x = f->in[0], *out = f->out[0];
    const int32_t dim = dim_of(f);
    const dl_status status = check_indices(f->in[1], x->ndim ? x->shape[dim] : 1);
    if (status != DL_OK) return status;
    take_job j = {.out = operand_of(out), .index = index, .from = operand_of(x)};
    j.along = x->ndim ? x->strides[dim] : 1;
    cpu_loop_init(&j.loop, 3);
    for (int32_t d = 0; d < out->ndim; d++)
        cpu_loop_dim(&j.loop, out->shape[d], out->strides[d], index.strides[d], d == dim ? 0 : x->strides[d], 0);
    cpu_loop_merge(&j.loop);
    cpu_parallel(j.loop.count, CPU_GRAIN / 2, take_range, &j);
    return DL_OK;
}

static dl_status run_gather(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return take(f, operand_of(f->in[1]));
}
static dl_status run_index_select(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return take(f, slices_of(f->in[1], dim_of(f)));
}

/* ---- putting: places may repeat ------------------------------------------------------------------------------------- */

enum { TO, AT, SRC };
enum { LINES = 256 }; /* neighbouring lines taken together, so that either direction is friendly to the cache */

/* to[index[k] * along + k * to_stride] = (or +=) src[k * src_stride]; index_step 0: one index for all. */
typedef void put_fn(void *to, int64_t to_stride, const int64_t *index, int64_t index_step, int64_t along, const void *src,
                    int64_t src_stride, int64_t n);

/* Additions of integers wrap. */
#define SUM_FLOAT(NAME, a, b) CPU_FROM_FLOAT_##NAME(CPU_LOAD_##NAME(a) + CPU_LOAD_##NAME(b))
#define SUM_INT(NAME, a, b) CPU_FROM_INT_##NAME((int64_t)((uint64_t)CPU_LOAD_##NAME(a) + (uint64_t)CPU_LOAD_##NAME(b)))
#define SUM__(KIND, NAME, a, b) SUM_##KIND(NAME, a, b)
#define SUM_(KIND, NAME, a, b) SUM__(KIND, NAME, a, b)
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7)                                                                \
    static void set_##NAME(void *to, int64_t to_stride, const int64_t *index, int64_t index_step, int64_t along,               \
                           const void *src, int64_t src_stride, int64_t n) {                                                   \
        cpu_##NAME *restrict t = to;                                                                                           \
        const cpu_##NAME *restrict s = src;                                                                                    \
        for (int64_t k = 0; k < n; k++) t[index[k * index_step] * along + k * to_stride] = s[k * src_stride];                  \
    }                                                                                                                          \
    static void add_##NAME(void *to, int64_t to_stride, const int64_t *index, int64_t index_step, int64_t along,               \
                           const void *src, int64_t src_stride, int64_t n) {                                                   \
        cpu_##NAME *restrict t = to;                                                                                           \
        const cpu_##NAME *restrict s = src;                                                                                    \
        if (index_step == 0 && to_stride == 1 && src_stride == 1) {                                                            \
            t += *index * along;                                                                                               \
            for (int64_t k = 0; k < n; k++) t[k] = SUM_(CPU_KIND_##NAME, NAME, t[k], s[k]);                                    \
            return;                                                                                                            \
        }                                                                                                                      \
        for (int64_t k = 0; k < n; k++) {                                                                                      \
            cpu_##NAME *at = t + index[k * index_step] * along + k * to_stride;                                                \
            *at = SUM_(CPU_KIND_##NAME, NAME, *at, s[k * src_stride]);                                                         \
        }                                                                                                                      \
    }
#include "dlrun/dtype.def"
#undef DL_DTYPE

static put_fn *const setters[] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) [number] = set_##NAME,
#include "dlrun/dtype.def"
#undef DL_DTYPE
};
static put_fn *const adders[] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) [number] = add_##NAME,
#include "dlrun/dtype.def"
#undef DL_DTYPE
};

typedef struct put_job {
    cpu_loop across; /* over the index space without dim */
    operand to, index, src;
    int64_t length, along, index_step, src_step; /* of a line along dim; along: of the output */
    put_fn *put;
} put_job;

static void put_lines(void *context, int64_t begin, int64_t end) {
    const put_job *j = context;
    const int64_t to = cpu_loop_step(&j->across, TO), at = cpu_loop_step(&j->across, AT), src = cpu_loop_step(&j->across, SRC);
    cpu_row_buffer b;
    cpu_walk w;
    cpu_walk_begin(&w, &j->across, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, at ? LINES : INT64_MAX)) != 0;) {
        char *t = j->to.data + w.at[TO] * j->to.size;
        for (int64_t k = 0; k < j->length; k++) {
            const char *i = j->index.data + (w.at[AT] + k * j->index_step) * j->index.size;
            const char *s = j->src.data + (w.at[SRC] + k * j->src_step) * j->src.size;
            const int64_t *indices = cpu_row_read(j->index.type, i, at, at ? n : 1, CPU_LANE_I64, &b);
            j->put(t, to, indices, at != 0, j->along, s, src, n);
        }
    }
}

/* Puts src at index into out, which is a copy of x, or zeros without one. shape: the index space. */
static dl_status put(const dl_frame *f, const dl_tensor *x, operand index, operand src, const int64_t *shape,
                     put_fn *const by_type[]) {
    static const int64_t zero_strides[DL_MAX_DIMS];
    static const uint64_t zero;
    const dl_tensor *out = f->out[0];
    const int32_t dim = dim_of(f);
    const dl_status status = check_indices(f->in[1], out->ndim ? out->shape[dim] : 1);
    if (status != DL_OK) return status;
    if (x)
        cpu_copy_tensor(out, x);
    else
        cpu_copy(out->ndim, out->shape, cpu_data(out), out->type, out->strides, &zero, out->type, zero_strides);
    put_job j = {.to = operand_of(out), .index = index, .src = src, .put = by_type[out->type]};
    j.length = out->ndim ? shape[dim] : cpu_count(f->in[1]);
    j.along = out->ndim ? out->strides[dim] : 1;
    j.index_step = index.strides[dim];
    j.src_step = src.strides[dim];
    cpu_loop_init(&j.across, 3);
    for (int32_t d = 0; d < out->ndim; d++)
        if (d != dim) cpu_loop_dim(&j.across, shape[d], out->strides[d], index.strides[d], src.strides[d], 0);
    cpu_loop_merge(&j.across);
    if (j.length == 0) return DL_OK;
    const int64_t grain = CPU_GRAIN / 2 / j.length;
    cpu_parallel(j.across.count, grain > 1 ? grain : 1, put_lines, &j);
    return DL_OK;
}

static dl_status run_scatter(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return put(f, f->in[0], operand_of(f->in[1]), operand_of(f->in[2]), f->in[1]->shape, setters);
}
static dl_status run_scatter_add(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return put(f, f->in[0], operand_of(f->in[1]), operand_of(f->in[2]), f->in[1]->shape, adders);
}
static dl_status run_index_copy(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return put(f, f->in[0], slices_of(f->in[1], dim_of(f)), operand_of(f->in[2]), f->in[2]->shape, setters);
}
static dl_status run_index_add(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return put(f, f->in[0], slices_of(f->in[1], dim_of(f)), operand_of(f->in[2]), f->in[2]->shape, adders);
}

static dl_status run_index_select_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return put(f, NULL, slices_of(f->in[1], dim_of(f)), operand_of(f->in[0]), f->in[0]->shape, adders);
}

static dl_status run_index_fill(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0];
    const int32_t dim = dim_of(f);
    int64_t shape[DL_MAX_DIMS];
    uint64_t element = 0;
    for (int32_t d = 0; d < x->ndim; d++) shape[d] = d == dim ? cpu_count(f->in[1]) : x->shape[d];
    cpu_row_write(x->type, &element, 1, 1, CPU_LANE_F64, &f->attr[1].v.f);
    const operand value = {(char *)&element, x->type, cpu_size(x->type), {0}};
    return put(f, x, slices_of(f->in[1], dim), value, shape, setters);
}

/* ---- one_hot -------------------------------------------------------------------------------------------------------- */

static dl_status run_one_hot(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    static const int64_t one = 1;
    static const uint64_t zero;
    const dl_tensor *index = f->in[0], *out = f->out[0];
    const int32_t last = out->ndim - 1;
    const int64_t classes = out->shape[last], size = cpu_size(out->type);
    const dl_status status = check_indices(index, classes);
    if (status != DL_OK) return status;
    cpu_loop l;
    cpu_loop_init(&l, 2);
    for (int32_t d = 0; d < index->ndim; d++) cpu_loop_dim(&l, index->shape[d], out->strides[d], index->strides[d], 0, 0);
    cpu_loop_merge(&l);
    cpu_walk w;
    cpu_walk_begin(&w, &l, 0, l.count);
    while (cpu_walk_next(&w, 1)) {
        char *row = (char *)cpu_data(out) + w.at[0] * size;
        const int64_t hot = cpu_load_i64(index->type, (const char *)cpu_data(index) + w.at[1] * cpu_size(index->type));
        cpu_row_copy(out->type, row, out->strides[last], &zero, 0, classes);
        cpu_row_write(out->type, row + hot * out->strides[last] * size, 1, 1, CPU_LANE_I64, &one);
    }
    return DL_OK;
}

dl_status CPU_ISA(register_index)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("gather", NULL, run_gather),
        CPU_KERNEL("index_select", NULL, run_index_select),
        CPU_KERNEL("scatter", NULL, run_scatter),
        CPU_KERNEL("scatter_add", NULL, run_scatter_add),
        CPU_KERNEL("index_copy", NULL, run_index_copy),
        CPU_KERNEL("index_add", NULL, run_index_add),
        CPU_KERNEL("index_fill", NULL, run_index_fill),
        CPU_KERNEL("one_hot", NULL, run_one_hot),
        CPU_KERNEL("index_select_backward", NULL, run_index_select_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
