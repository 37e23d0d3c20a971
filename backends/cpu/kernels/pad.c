/* pad.c - pad and pad_backward.
 *
 * Each dimension has a table of where its padded places come from. Rows along the innermost dimension of the result are walked:
 * the middle of a row is a copy (a sum, backward), its ends are looked up. Backward gathers: every element of the result sums
 * what came from it, in the order of the padded places, so that no two threads write one element. */
#include "loop.h"
#include "row.h"
#include "types.h"

typedef enum pad_mode { CONSTANT, REFLECT, REPLICATE, CIRCULAR } pad_mode;

static pad_mode mode_of(const char *name) {
    return name[0] == 'c' ? name[1] == 'o' ? CONSTANT : CIRCULAR : name[2] == 'f' ? REFLECT : REPLICATE;
}

typedef struct pad_dim {
    int64_t size, padded, before; /* places without pads, with them; pads in front */
    int64_t stride, padded_stride;
    int64_t *source; /* [padded], CONSTANT: may be -1 */
    int64_t *first;  /* [size + 2], backward only: place i became the padded places[first[i]] to places[first[i + 1] - 1] */
    int64_t *places;
} pad_dim;

/* The place that a padded place shows; -1: none. */
static int64_t source(pad_mode mode, const pad_dim *dim, int64_t padded) {
    const int64_t at = padded - dim->before, n = dim->size, after = dim->padded - dim->before - n;
    if (at >= 0 && at < n) return at;
    switch (mode) {
    case REFLECT: return at < 0 ? -at : 2 * (n - 1) - at;
    case REPLICATE: return at < 0 ? 0 : n - 1;
    case CIRCULAR: {
        const int64_t first = dim->before < 0 ? -dim->before : 0, period = n - first + (after < 0 ? after : 0);
        return at < first ? at + period : at - period;
    }
    default: return -1;
    }
}

typedef struct pad_job {
    int32_t ndim; /* at least 1 */
    pad_dim dim[DL_MAX_DIMS + 1];
    cpu_loop rows; /* over the result, innermost dimension included; operand 0: the result */
    char *out;
    const char *in;
    dl_dtype type;
    int64_t element;
    uint64_t value; /* the constant, as stored */
    cpu_lane lane;
} pad_job;

/* The dimensions with the result's largest stride outermost; neighbours without pads joined. */
static void arrange(pad_job *j, const dl_tensor *plain, const dl_tensor *padded, const dl_attr *pads, int backward) {
    pad_dim sorted[DL_MAX_DIMS + 1];
    const int32_t n = plain->ndim;
    for (int32_t d = 0; d < n; d++) {
        const int32_t pair = 2 * (n - 1 - d);
        const pad_dim next = {plain->shape[d],
                              padded->shape[d],
                              pair < pads->n ? pads->v.iv[pair] : 0,
                              plain->strides[d],
                              padded->strides[d],
                              NULL,
                              NULL,
                              NULL};
        int32_t p = d;
        for (; p > 0; p--) {
            const pad_dim *other = &sorted[p - 1];
            if (backward ? other->stride >= next.stride : other->padded_stride >= next.padded_stride) break;
            sorted[p] = sorted[p - 1];
        }
        sorted[p] = next;
    }
    for (int32_t d = 0; d < n; d++) {
        const pad_dim *next = &sorted[d];
        pad_dim *last = j->ndim ? &j->dim[j->ndim - 1] : NULL;
        const int plain_dim = next->size == next->padded && next->before == 0;
        if (plain_dim && next->size == 1) continue;
        if (plain_dim && last && last->size == last->padded && last->before == 0 && last->stride == next->stride * next->size &&
            last->padded_stride == next->padded_stride * next->size) {
            last->size *= next->size;
            last->padded = last->size;
            last->stride = next->stride;
            last->padded_stride = next->padded_stride;
        } else {
            j->dim[j->ndim++] = *next;
        }
    }
    if (j->ndim == 0) j->dim[j->ndim++] = (pad_dim){.size = 1, .padded = 1};
}

/* Memory of all tables, to be freed; NULL: none left. */
static int64_t *make_tables(pad_job *j, pad_mode mode, int backward) {
    int64_t numbers = 0;
    for (int32_t d = 0; d < j->ndim; d++) numbers += j->dim[d].padded * (backward ? 2 : 1) + j->dim[d].size + 2;
    int64_t *const memory = cpu_host->mem(NULL, (size_t)numbers * sizeof *memory), *at = memory;
    if (!memory) return NULL;
    for (int32_t d = 0; d < j->ndim; d++) {
        pad_dim *dim = &j->dim[d];
        dim->source = at;
        at += dim->padded;
        for (int64_t i = 0; i < dim->padded; i++) dim->source[i] = source(mode, dim, i);
        if (!backward) continue;
        dim->first = at;
        at += dim->size + 2;
        dim->places = at;
        at += dim->padded;
        /* first[i + 1] counts, then points at the next free place of i, and in the end at that of i + 1 */
        memset(dim->first, 0, (size_t)(dim->size + 2) * sizeof *dim->first);
        for (int64_t i = 0; i < dim->padded; i++)
            if (dim->source[i] >= 0) dim->first[dim->source[i] + 2]++;
        for (int64_t i = 0; i < dim->size; i++) dim->first[i + 2] += dim->first[i + 1];
        for (int64_t i = 0; i < dim->padded; i++)
            if (dim->source[i] >= 0) dim->places[dim->first[dim->source[i] + 1]++] = i;
    }
    return memory;
}

/* ---- pad ------------------------------------------------------------------------------------------------------------ */

/* Places i..i + n of the innermost dimension; from: the row's first source, NULL where the row lies outside. */
static void pad_run(const pad_job *j, char *to, const char *from, int64_t i, int64_t n) {
    const pad_dim *dim = &j->dim[j->ndim - 1];
    const int64_t step = dim->padded_stride, size = j->element;
    if (!from) {
        cpu_row_copy(j->type, to, step, &j->value, 0, n);
        return;
    }
    for (int64_t end = i + n, m; i < end; i += m, to += m * step * size) {
        const int64_t place = i - dim->before;
        if (place >= 0 && place < dim->size) { /* up to the end of the middle */
            m = dim->size - place < end - i ? dim->size - place : end - i;
            cpu_row_copy(j->type, to, step, from + place * dim->stride * size, dim->stride, m);
        } else if (dim->source[i] < 0) { /* constants, up to the middle or the end */
            m = place < 0 && -place < end - i ? -place : end - i;
            cpu_row_copy(j->type, to, step, &j->value, 0, m);
        } else {
            m = 1;
            cpu_row_copy(j->type, to, step, from + dim->source[i] * dim->stride * size, 1, 1);
        }
    }
}

static void pad_rows(void *context, int64_t begin, int64_t end) {
    const pad_job *j = context;
    const int32_t last = j->ndim - 1;
    cpu_walk w;
    cpu_walk_begin(&w, &j->rows, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, INT64_MAX)) != 0;) {
        const char *from = j->in;
        for (int32_t d = 0; from && d < last; d++) {
            const int64_t place = j->dim[d].source[w.index[d]];
            from = place < 0 ? NULL : from + place * j->dim[d].stride * j->element;
        }
        pad_run(j, j->out + w.at[0] * j->element, from, w.index[last], n);
    }
}

static dl_status run_tables(pad_job *j, pad_mode mode, int backward, void (*body)(void *, int64_t, int64_t)) {
    cpu_loop_init(&j->rows, 1);
    for (int32_t d = 0; d < j->ndim; d++) {
        const pad_dim *dim = &j->dim[d];
        cpu_loop_dim(&j->rows, backward ? dim->size : dim->padded, backward ? dim->stride : dim->padded_stride, 0, 0, 0);
    }
    if (j->rows.count == 0) return DL_OK;
    int64_t *const tables = make_tables(j, mode, backward);
    if (!tables) return cpu_host->fail(DL_NOMEM, "out of memory");
    cpu_parallel(j->rows.count, CPU_GRAIN, body, j);
    cpu_host->mem(tables, 0);
    return DL_OK;
}

static dl_status run_pad(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0], *out = f->out[0];
    pad_job j = {.out = cpu_data(out), .in = cpu_data(x), .type = x->type, .element = cpu_size(x->type)};
    cpu_row_write(x->type, &j.value, 1, 1, CPU_LANE_F64, &f->attr[2].v.f);
    arrange(&j, x, out, &f->attr[0], 0);
    return run_tables(&j, mode_of(f->attr[1].v.s), 0, pad_rows);
}

/* ---- pad_backward --------------------------------------------------------------------------------------------------- */

static void add_to(cpu_lane lane, cpu_row_buffer *sums, int64_t at, const void *values, int64_t n) {
    if (lane == CPU_LANE_F32)
        for (int64_t i = 0; i < n; i++) sums->f32[at + i] += ((const float *)values)[i];
    else
        for (int64_t i = 0; i < n; i++) sums->f64[at + i] += ((const double *)values)[i];
}

/* Adds what places i..i + n of the innermost dimension became in one padded row. */
static void add_row(const pad_job *j, const char *row, int64_t i, int64_t n, cpu_row_buffer *sums) {
    const pad_dim *dim = &j->dim[j->ndim - 1];
    const int64_t step = dim->padded_stride;
    cpu_row_buffer b;
    /* the middle: where place p became p + before, if that was not cropped */
    const int64_t from = -dim->before > i ? -dim->before : i;
    const int64_t to = dim->padded - dim->before < i + n ? dim->padded - dim->before : i + n;
    if (from < to)
        add_to(j->lane, sums, from - i,
               cpu_row_read(j->type, row + (from + dim->before) * step * j->element, step, to - from, j->lane, &b), to - from);
    /* the ends */
    for (int side = 0; side < 2; side++) {
        const int64_t behind = dim->before + dim->size;
        int64_t p = side == 0 ? 0 : behind > 0 ? behind : 0;
        const int64_t stop = side == 1 ? dim->padded : dim->before < dim->padded ? dim->before : dim->padded;
        for (; p < stop; p++) {
            const int64_t at = dim->source[p] - i;
            if (at < 0 || at >= n) continue;
            add_to(j->lane, sums, at, cpu_row_read(j->type, row + p * step * j->element, 1, 1, j->lane, &b), 1);
        }
    }
}

/* The rows that the row at w.index became: one padded place for each outer dimension, the last one turning fastest. */
static void sum_rows(const pad_job *j, const int64_t *index, int64_t n, cpu_row_buffer *sums) {
    const int32_t last = j->ndim - 1;
    int64_t turn[DL_MAX_DIMS + 1];
    for (int32_t d = 0; d < last; d++) {
        const pad_dim *dim = &j->dim[d];
        turn[d] = dim->first[index[d]];
        if (turn[d] == dim->first[index[d] + 1]) return; /* cropped */
    }
    for (;;) {
        const char *row = j->in;
        for (int32_t d = 0; d < last; d++) row += j->dim[d].places[turn[d]] * j->dim[d].padded_stride * j->element;
        add_row(j, row, index[last], n, sums);
        int32_t d = last - 1;
        for (; d >= 0 && ++turn[d] == j->dim[d].first[index[d] + 1]; d--) turn[d] = j->dim[d].first[index[d]];
        if (d < 0) return;
    }
}

static void pad_backward_rows(void *context, int64_t begin, int64_t end) {
    const pad_job *j = context;
    const int64_t step = j->dim[j->ndim - 1].stride;
    cpu_row_buffer sums;
    cpu_walk w;
    cpu_walk_begin(&w, &j->rows, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, CPU_ROW)) != 0;) {
        memset(&sums, 0, (size_t)n * (j->lane == CPU_LANE_F32 ? sizeof(float) : sizeof(double)));
        sum_rows(j, w.index, n, &sums);
        cpu_row_write(j->type, j->out + w.at[0] * j->element, step, n, j->lane, &sums);
    }
}

static dl_status run_pad_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *grad = f->in[0], *out = f->out[0];
    pad_job j = {.out = cpu_data(out), .in = cpu_data(grad), .type = out->type, .element = cpu_size(out->type)};
    j.lane = cpu_lane_of(out->type);
    arrange(&j, out, grad, &f->attr[1], 1);
    return run_tables(&j, mode_of(f->attr[2].v.s), 1, pad_backward_rows);
}

dl_status CPU_ISA(register_pad)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("pad", NULL, run_pad),
        CPU_KERNEL("pad_backward", NULL, run_pad_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
