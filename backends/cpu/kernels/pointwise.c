/* pointwise.c - the kernel of every op that is an expression: brings tensors of any layout and f16/bf16 storage to the
 * contiguous elements that programs run on.
 *
 * The elements are walked in the order of the output's strides, in spans. An operand that is contiguous within a span is used
 * where it lies; others are staged, a tile at a time. With long rows a span ends with its row; with short ones it crosses
 * rows, so that a (1000, 3) broadcast does not cost 1000 calls. */
#include "backends/cpu/program.h"
#include "row.h"

enum { TILE = CPU_ROW, SHORT_ROW = 128, LOCAL_TILES = 6, MAX_OPERANDS = CPU_MAX_ARGS + 1 };

typedef struct operand {
    char *base;
    int64_t stride[DL_MAX_DIMS]; /* elements, in the walk's dimensions */
    int32_t type, bytes;         /* as stored */
    uint8_t used;
    uint8_t half;  /* f16 or bf16: converted to f32 in its tile */
    uint8_t dense; /* contiguous within every span */
    uint8_t whole; /* one value for all elements: its tile is filled once */
    int16_t tile;  /* number of its tile; -1: none, used where it lies */
} operand;

/* What a tile holds: a span's elements as the program sees them, and behind f32 ones the f16/bf16 they come from. */
typedef struct tile {
    _Alignas(64) char values[TILE * 8];
} tile;
enum { RAW = TILE * 4 };

/* Operands 0.. are the inputs, the last is the output. */
typedef struct walk {
    const cpu_program *program;
    cpu_attrs attrs;
    int32_t ndim, operands, tiles;
    int64_t shape[DL_MAX_DIMS];
    int crosses; /* do spans cross rows? */
    operand operand[MAX_OPERANDS];
    int32_t fault;
} walk;

static int is_half(int32_t type) { return type == DL_F16 || type == DL_BF16; }

static int32_t type_bytes(int32_t type) {
    static const uint8_t bytes[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) bits / 8,
#include "dlrun/dtype.def"
#undef DL_DTYPE
    };
    return bytes[type];
}

/* ---- making the walk ----------------------------------------------------------------------------------------------------- */

static void swap_dims(walk *w, int32_t a, int32_t b) {
    const int64_t size = w->shape[a];
    w->shape[a] = w->shape[b];
    w->shape[b] = size;
    for (int32_t k = 0; k < w->operands; k++) {
        int64_t *stride = w->operand[k].stride, s = stride[a];
        stride[a] = stride[b];
        stride[b] = s;
    }
}

/* Dimensions by falling stride of the output, so that its memory is written in order. */
static void sort_dims(walk *w) {
    const int64_t *stride = w->operand[w->operands - 1].stride;
    for (int32_t d = 1; d < w->ndim; d++)
        for (int32_t e = d; e > 0 && stride[e - 1] < stride[e]; e--) swap_dims(w, e - 1, e);
}

/* Joins dimension d to the one before it where every operand steps evenly through both. */
static int join(walk *w, int32_t kept, int32_t d) {
    for (int32_t k = 0; k < w->operands; k++) {
        const int64_t *stride = w->operand[k].stride;
        if (w->operand[k].used && stride[kept] != stride[d] * w->shape[d]) return 0;
    }
    w->shape[kept] *= w->shape[d];
    for (int32_t k = 0; k < w->operands; k++) w->operand[k].stride[kept] = w->operand[k].stride[d];
    return 1;
}

static void merge_dims(walk *w) {
    int32_t kept = -1;
    for (int32_t d = 0; d < w->ndim; d++)
        if (kept < 0 || !join(w, kept, d))
            if (++kept != d) swap_dims(w, kept, d);
    w->ndim = kept + 1;
}

static void add_operand(walk *w, const dl_tensor *t, const dl_tensor *out, int used) {
    operand *o = &w->operand[w->operands++];
    *o = (operand){.used = (uint8_t)used, .tile = -1};
    if (!used) {
        memset(o->stride, 0, sizeof o->stride);
        return;
    }
    o->base = cpu_data(t);
    o->type = t->type;
    o->bytes = type_bytes(t->type);
    o->half = (uint8_t)is_half(t->type);
    for (int32_t d = 0, kept = 0; d < out->ndim; d++)
        if (out->shape[d] != 1) o->stride[kept++] = t->strides[d];
}

/* Which operands lie ready and which need a tile. */
static void place_operands(walk *w) {
    const int64_t row = w->shape[w->ndim - 1];
    w->crosses = w->ndim > 1 && row < SHORT_ROW;
    for (int32_t k = 0; k < w->operands; k++) {
        operand *o = &w->operand[k];
        if (!o->used) continue;
        int64_t expected = 1;
        int contiguous = 1;
        o->whole = 1;
        for (int32_t d = w->ndim - 1; d >= 0; d--) {
            contiguous &= o->stride[d] == expected;
            o->whole &= o->stride[d] == 0;
            expected *= w->shape[d];
        }
        o->dense = (uint8_t)(w->crosses ? contiguous : o->stride[w->ndim - 1] == 1);
        if (!o->dense || o->half) o->tile = (int16_t)w->tiles++;
    }
}

static void make_walk(walk *w, const dl_frame *f) {
    const dl_tensor *out = f->out[0];
    w->ndim = w->operands = w->tiles = 0;
    for (int32_t d = 0; d < out->ndim; d++)
        if (out->shape[d] != 1) w->shape[w->ndim++] = out->shape[d];
    for (uint32_t k = 0; k < f->n_in; k++) add_operand(w, f->in[k], out, w->program->reads[k]);
    add_operand(w, out, out, 1);
    if (w->ndim == 0) {
        w->ndim = 1;
        w->shape[0] = 1;
        for (int32_t k = 0; k < w->operands; k++) w->operand[k].stride[0] = 1;
    }
    if (!w->program->uses_index) sort_dims(w);
    merge_dims(w);
    place_operands(w);
}

/* ---- running a part of it ------------------------------------------------------------------------------------------------ */

typedef struct part {
    const walk *w;
    tile *tiles;
    int64_t at[DL_MAX_DIMS]; /* coordinates of the span's first element */
} part;

static void seek(part *p, int64_t element) {
    for (int32_t d = p->w->ndim - 1; d >= 0; d--) {
        p->at[d] = element % p->w->shape[d];
        element /= p->w->shape[d];
    }
}

/* Moves coordinates to the start of the next row. */
static void next_row(const walk *w, int64_t *at) {
    int32_t d = w->ndim - 1;
    at[d] = 0;
    while (--d >= 0 && ++at[d] == w->shape[d]) at[d] = 0;
}

static char *address(const walk *w, const operand *o, const int64_t *at) {
    int64_t offset = 0;
    for (int32_t d = 0; d < w->ndim; d++) offset += at[d] * o->stride[d];
    return o->base + offset * o->bytes;
}

static char *tile_of(const part *p, const operand *o) { return p->tiles[o->tile].values; }

/* Copies a span of n <= TILE stored elements between an operand and `packed`, row by row. */
static void copy_span(const part *p, const operand *o, int64_t n, char *packed, int store) {
    const walk *w = p->w;
    const int32_t inner = w->ndim - 1;
    const int64_t stride = o->stride[inner];
    int64_t at[DL_MAX_DIMS];
    memcpy(at, p->at, sizeof at);
    for (int64_t done = 0; done < n; next_row(w, at)) {
        const int64_t left = w->shape[inner] - at[inner], run = left < n - done ? left : n - done;
        char *there = address(w, o, at), *here = packed + done * o->bytes;
        if (store)
            cpu_row_copy(o->type, there, stride, here, 1, run);
        else
            cpu_row_copy(o->type, here, 1, there, stride, run);
        done += run;
    }
}

/* The span's elements of an input as the program reads them. */
static const void *load(const part *p, const operand *o, int64_t n) {
    if (o->tile < 0) return address(p->w, o, p->at);
    char *values = tile_of(p, o);
    if (o->whole) return values;
    char *stored = o->dense ? address(p->w, o, p->at) : o->half ? values + RAW : values;
    if (!o->dense) copy_span(p, o, n, stored, 0);
    if (o->half) cpu_row_read(o->type, stored, 1, n, CPU_LANE_F32, (cpu_row_buffer *)values);
    return values;
}

static void save(const part *p, const operand *o, int64_t n) {
    if (o->tile < 0) return;
    char *values = tile_of(p, o);
    char *stored = o->dense ? address(p->w, o, p->at) : o->half ? values + RAW : values;
    if (o->half) cpu_row_write(o->type, stored, 1, n, CPU_LANE_F32, values);
    if (!o->dense) copy_span(p, o, n, stored, 1);
}

/* Inputs that are one value for all elements. */
static void fill_whole(const part *p, int64_t n) {
    for (int32_t k = 0; k < p->w->operands - 1; k++) {
        const operand *o = &p->w->operand[k];
        if (!o->used || o->tile < 0 || !o->whole) continue;
        char *values = tile_of(p, o);
        cpu_row_copy(o->type, o->half ? values + RAW : values, 1, o->base, 0, n);
        if (o->half) cpu_row_read(o->type, values + RAW, 1, n, CPU_LANE_F32, (cpu_row_buffer *)values);
    }
}

static void run_span(part *p, int64_t begin, int64_t n, int32_t *fault) {
    const walk *w = p->w;
    const operand *out = &w->operand[w->operands - 1];
    const void *in[CPU_MAX_ARGS];
    for (int32_t k = 0; k < w->operands - 1; k++) in[k] = w->operand[k].used ? load(p, &w->operand[k], n) : NULL;
    void *to = out->tile < 0 ? address(w, out, p->at) : tile_of(p, out);
    cpu_program_run(w->program, n, to, in, &w->attrs, begin, fault);
    save(p, out, n);
}

static void run_part(void *context, int64_t begin, int64_t end) {
    walk *w = context;
    tile local[LOCAL_TILES];
    part p = {.w = w, .tiles = local};
    int32_t fault = 0;
    if (w->tiles > LOCAL_TILES) p.tiles = cpu_host->mem(NULL, (size_t)w->tiles * sizeof(tile));
    if (!p.tiles) {
        __atomic_store_n(&w->fault, CPU_NO_MEMORY, __ATOMIC_RELAXED);
        return;
    }
    fill_whole(&p, end - begin < TILE ? end - begin : TILE);
    seek(&p, begin);
    while (begin < end) {
        int64_t n = end - begin;
        const int64_t row = w->shape[w->ndim - 1] - p.at[w->ndim - 1];
        if (w->tiles && n > TILE) n = TILE;
        if (!w->crosses && n > row) n = row;
        run_span(&p, begin, n, &fault);
        begin += n;
        if (n == row)
            next_row(w, p.at);
        else if (n < row)
            p.at[w->ndim - 1] += n;
        else
            seek(&p, begin);
    }
    if (p.tiles != local) cpu_host->mem(p.tiles, 0);
    if (fault) __atomic_store_n(&w->fault, fault, __ATOMIC_RELAXED);
}

/* ---- everything contiguous: no walk -------------------------------------------------------------------------------------- */

typedef struct flat {
    const cpu_program *program;
    const void *in[CPU_MAX_ARGS];
    char *out;
    cpu_attrs attrs;
    int32_t fault;
} flat;

static void run_flat(void *context, int64_t begin, int64_t end) {
    flat *r = context;
    const cpu_program *p = r->program;
    const void *in[CPU_MAX_ARGS];
    int32_t fault = 0;
    for (int32_t k = 0; k < p->n_in; k++)
        in[k] = p->reads[k] ? (const char *)r->in[k] + begin * type_bytes(p->in_type[k]) : NULL;
    cpu_program_run(p, end - begin, r->out + begin * type_bytes(p->out_type), in, &r->attrs, begin, &fault);
    if (fault) __atomic_store_n(&r->fault, fault, __ATOMIC_RELAXED);
}

static int is_flat(const dl_frame *f, const cpu_program *p) {
    if (is_half(f->out[0]->type) || !cpu_contiguous(f->out[0])) return 0;
    for (int32_t k = 0; k < p->n_in; k++)
        if (p->reads[k] && (is_half(f->in[k]->type) || !cpu_contiguous(f->in[k]))) return 0;
    return 1;
}

/* ---- the kernel ---------------------------------------------------------------------------------------------------------- */

/* Does a tensor of type `stored` hold what a program calls `type`? */
static int holds(int32_t stored, int32_t type) { return stored == type || (is_half(stored) && type == DL_F32); }

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    const dl_prog *prog = f->prog;
    cpu_program *p;
    if (!prog || f->n_in != prog->n_in || f->n_out != 1 || prog->n_out != 1) return DL_UNSUPPORTED;
    if (!holds(f->out[0]->type, prog->ins[prog->out[0]].type)) return DL_UNSUPPORTED;
    for (uint32_t k = 0; k < f->n_in; k++)
        if (f->in[k] && !holds(f->in[k]->type, prog->in_type[k])) return DL_UNSUPPORTED;
    const dl_status status = cpu_program_open(prog, &p);
    if (status != DL_OK) return status;
    plan->state = p;
    plan->destroy = cpu_program_close;
    plan->sharing = DL_PLAN_PER_TYPE;
    return DL_OK;
}

static dl_status report(int32_t fault) {
    if (fault == 0) return DL_OK;
    if (fault == CPU_NO_MEMORY) return cpu_host->fail(DL_NOMEM, "out of memory in a pointwise op");
    return cpu_host->fail(DL_INVALID, "integer division by zero: mask the divisor, or convert to a floating dtype first");
}

static dl_status run(const dl_frame *f, const dl_plan *plan) {
    const cpu_program *p = plan->state;
    const int64_t n = cpu_count(f->out[0]);
    if (n == 0) return DL_OK;
    if (is_flat(f, p)) {
        flat r;
        r.program = p;
        r.out = cpu_data(f->out[0]);
        r.fault = 0;
        for (int32_t k = 0; k < p->n_in; k++) r.in[k] = p->reads[k] ? cpu_data(f->in[k]) : NULL;
        cpu_program_attrs(p, f->prog_attr, &r.attrs);
        cpu_parallel(n, p->grain, run_flat, &r);
        return report(r.fault);
    }
    walk w;
    w.program = p;
    w.fault = 0;
    cpu_program_attrs(p, f->prog_attr, &w.attrs);
    make_walk(&w, f);
    cpu_parallel(n, p->grain, run_part, &w);
    return report(w.fault);
}

dl_status CPU_ISA(register_pointwise)(void) {
    static const dl_kernel kernels[] = {CPU_KERNEL("pointwise", prepare, run)};
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
