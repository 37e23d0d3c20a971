/* reduce.c - geometry, threads and passes of reductions. */
#include "reduce.h"
#include <string.h>

enum { SEGMENTS = 32, FEW_OUTPUTS = 64, SEGMENT_ELEMENTS = 65536 };

typedef struct reduce_job {
    const cpu_reduction *r;
    dl_tensor *const *out;
    uint32_t n_out;
    int index_only, pass;
    int64_t segments;
    reduce_state partial; /* segments times all outputs */
} reduce_job;

static reduce_state advance(reduce_state s, int64_t n) { return (reduce_state){s.value + n, s.index + n, s.param + n}; }

static void write(const reduce_job *j, const cpu_walk *w, int64_t n, reduce_state s) {
    for (uint32_t k = 0; k < j->n_out; k++) {
        const int indices = k == 1 || j->index_only;
        const dl_tensor *out = j->out[k];
        char *to = (char *)cpu_data(out) + w->at[REDUCE_OUT + k] * (out->element.bits / 8);
        cpu_row_write(out->type, to, cpu_loop_step(&j->r->kept, REDUCE_OUT + (int32_t)k), n,
                      indices ? CPU_LANE_I64 : j->r->result, indices ? (const void *)s.index : s.value);
    }
}

/* Outputs [begin, end), each over all reduced elements. */
static void reduce_outputs(void *context, int64_t begin, int64_t end) {
    const reduce_job *j = context;
    const cpu_reduction *r = j->r;
    reduce_value value[REDUCE_BLOCK];
    int64_t index[REDUCE_BLOCK];
    double param[REDUCE_BLOCK];
    const reduce_state s = {value, index, param};
    cpu_walk w;
    cpu_walk_begin(&w, &r->kept, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, r->block)) != 0;) {
        for (int pass = 0; pass < r->reducer->passes; pass++) {
            r->reducer->begin(r, pass, n, s);
            r->reducer->take(r, pass, n, s, w.at[REDUCE_X], cpu_loop_step(&r->kept, REDUCE_X), 0, r->reduced.count);
            r->reducer->end(r, pass, n, s);
        }
        write(j, &w, n, s);
    }
}

/* Segments [begin, end) of the reduced elements, for every output. */
static void reduce_segments(void *context, int64_t begin, int64_t end) {
    const reduce_job *j = context;
    const cpu_reduction *r = j->r;
    for (int64_t segment = begin; segment < end; segment++) {
        const int64_t from = r->reduced.count * segment / j->segments, to = r->reduced.count * (segment + 1) / j->segments;
        reduce_state s = advance(j->partial, segment * r->kept.count);
        r->reducer->begin(r, j->pass, r->kept.count, s);
        cpu_walk w;
        cpu_walk_begin(&w, &r->kept, 0, r->kept.count);
        for (int64_t n; (n = cpu_walk_next(&w, r->block)) != 0; s = advance(s, n))
            r->reducer->take(r, j->pass, n, s, w.at[REDUCE_X], cpu_loop_step(&r->kept, REDUCE_X), from, to);
    }
}

static void reduce_by_segments(reduce_job *j) {
    const cpu_reduction *r = j->r;
    const int64_t outputs = r->kept.count;
    reduce_value value[SEGMENTS * FEW_OUTPUTS];
    int64_t index[SEGMENTS * FEW_OUTPUTS];
    double param[SEGMENTS * FEW_OUTPUTS];
    j->partial = (reduce_state){value, index, param};
    for (j->pass = 0; j->pass < r->reducer->passes; j->pass++) {
        cpu_parallel(j->segments, 1, reduce_segments, j);
        for (int64_t k = 1; k < j->segments; k++)
            r->reducer->merge(r, j->pass, outputs, j->partial, advance(j->partial, k * outputs));
        r->reducer->end(r, j->pass, outputs, j->partial);
        for (int64_t k = 1; k < j->segments; k++) memcpy(param + k * outputs, param, (size_t)outputs * sizeof *param);
    }
    reduce_state s = j->partial;
    cpu_walk w;
    cpu_walk_begin(&w, &r->kept, 0, outputs);
    for (int64_t n; (n = cpu_walk_next(&w, r->block)) != 0; s = advance(s, n)) write(j, &w, n, s);
}

static void split_dims(cpu_reduction *r, const dl_tensor *x, uint32_t reduced, dl_tensor *const *out, uint32_t n_out) {
    const int keepdim = out[0]->ndim == x->ndim;
    int64_t number[DL_MAX_DIMS], after = 1;
    for (int32_t d = x->ndim - 1; d >= 0; d--) {
        number[d] = after;
        if (reduced >> d & 1) after *= x->shape[d];
    }
    cpu_loop_init(&r->kept, 1 + (int32_t)n_out);
    cpu_loop_init(&r->reduced, 2);
    for (int32_t d = 0, o = 0; d < x->ndim; d++) {
        if (reduced >> d & 1) {
            cpu_loop_dim(&r->reduced, x->shape[d], x->strides[d], r->reducer->ordered ? number[d] : 0, 0, 0);
            o += keepdim;
        } else {
            cpu_loop_dim(&r->kept, x->shape[d], x->strides[d], out[0]->strides[o], out[n_out - 1]->strides[o], 0);
            o++;
        }
    }
    if (!r->reducer->ordered) {
        r->reduced.operands = 1;
        cpu_loop_sort(&r->reduced, REDUCE_X);
    }
    cpu_loop_sort(&r->kept, REDUCE_X);
    cpu_loop_merge(&r->reduced);
    cpu_loop_merge(&r->kept);
    const int64_t across = cpu_loop_step(&r->kept, REDUCE_X), along = cpu_loop_step(&r->reduced, REDUCE_X);
    r->block = r->type == cpu_stored_as(r->lane) && across == 1 ? REDUCE_BLOCK : CPU_ROW;
    r->by_columns = r->kept.count > 1 && across > 0 && (across < along || r->reduced.count == 1);
}

void cpu_reduce(cpu_reduction *r, const dl_tensor *x, const int64_t *dims, int32_t n_dims, dl_tensor *const *out,
                uint32_t n_out, int index_only) {
    uint32_t reduced = 0;
    for (int32_t k = 0; k < n_dims; k++)
        if (x->ndim > 0) reduced |= 1u << (dims[k] < 0 ? dims[k] + x->ndim : dims[k]);
    if (n_dims == 0) reduced = ~0u;
    r->x = cpu_data(x);
    r->type = x->type;
    r->size = x->element.bits / 8;
    split_dims(r, x, reduced, out, n_out);
    if (r->kept.count == 0) return;
    reduce_job j = {.r = r, .out = out, .n_out = n_out, .index_only = index_only};
    const int64_t segments = r->reduced.count / (SEGMENT_ELEMENTS / r->kept.count + 1);
    j.segments = segments < SEGMENTS ? segments : SEGMENTS;
    if (r->kept.count <= FEW_OUTPUTS && j.segments > 1) {
        reduce_by_segments(&j);
        return;
    }
    const int64_t grain = CPU_GRAIN / (r->reduced.count + 1);
    cpu_parallel(r->kept.count, grain > 1 ? grain : 1, reduce_outputs, &j);
}
