/* pointwise.c - any program over tensors of any layout: printed around the program's own text (core/pointwise/print_c.c).
 *
 * One work item an element. Dimensions are walked in the order of the output's strides, unless the program reads element
 * numbers, and joined where all operands allow it: what is contiguous, in any one layout, is a flat loop. */
#include "core/generate/generate.h"
#include "core/mem.h"
#include <string.h>

enum { NOT_READ = 255 };

extern const char text_math_simt[];

typedef struct source {
    const dl_prog *prog;
    const gen_map *map;
    int32_t operands;
    dl_dtype type[GEN_MAX_OPERANDS]; /* as stored */
} source;

/* ---- the source
 * --------------------------------------------------------------------------------------------------------------- */

static const char *const names[GEN_MAX_OPERANDS] = {"y", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"};

static const char *attr_name(int32_t type) { return type == DL_U32 ? "u32" : gen_program_type(type); }
static bool is_real(int32_t type) { return type == DL_F32 || type == DL_F64; }

/* The program's statements; freed by the caller. NULL: no memory. */
static char *body_of(const dl_prog *p) {
    const int32_t length = dl_prog_print_simt(p, NULL, 0);
    char *text = dl_mem(NULL, (size_t)length + 1);
    if (text) dl_prog_print_simt(p, text, (size_t)length + 1);
    return text;
}

static void put_parameters(gen_text *t, const source *s) {
    gen_put(t, "KERNEL void pointwise(GLOBAL T_y *y, i64 y_at");
    for (int32_t k = 1; k < s->operands; k++)
        gen_put(t, ", GLOBAL const T_%s *p%d, i64 at%d", names[k], s->map->input[k], s->map->input[k]);
    for (int32_t k = 0; k < s->map->n_attr; k++) {
        const int32_t type = s->map->attr_type[k];
        if (type != NOT_READ) gen_put(t, ", %s b%d", is_real(type) ? gen_type_name(type) : "i64", k);
    }
    gen_put(t, ", i64 base, i64 count E_SIZES) {\n");
}

static void put_values(gen_text *t, const source *s) {
    for (int32_t k = 1; k < s->operands; k++) {
        const int32_t n = s->map->input[k];
        gen_put(t, "const %s x%d = LOAD_%s(p%d, at%d + E_AT_%s);\n", gen_program_type(s->type[k]), n, names[k], n, n, names[k]);
    }
    for (int32_t k = 0; k < s->map->n_attr; k++) {
        const int32_t type = s->map->attr_type[k];
        if (type != NOT_READ) gen_put(t, "const %s a%d = (%s)b%d;\n", attr_name(type), k, attr_name(type), k);
    }
}

static void print(gen_text *t, const void *context) {
    const source *s = context;
    const gen_map *m = s->map;
    char *body = body_of(s->prog);
    if (!body) {
        t->failed = true;
        return;
    }
    if (strstr(body, "dl_")) gen_put(t, "%s", text_math_simt); /* a fifth of a simple kernel's compile time */
    for (int32_t k = 0; k < s->operands; k++) gen_put_operand(t, names[k], s->type[k]);
    gen_put_walk(t, 'E', gen_walk_rank(&m->walk, m->outer), m->walk.wide, s->operands, names);
    gen_put(t, "/* %s */\n#line 1 \"pointwise\"\n", s->prog->name);
    put_parameters(t, s);
    gen_put(t, "const i64 i = global_id(0)%s;\nif (i >= count) return;\nE_SPLIT(i)\n", m->uses_index ? ", idx = base + i" : "");
    put_values(t, s);
    gen_put(t, "%sSTORE_y(y, y_at + E_AT_y, y0);\n}\n", body);
    dl_mem(body, 0);
}

/* ---- laying a program over tensors
 * ---------------------------------------------------------------------------------------------- */

static void fill_walk(gen_map *m, int32_t operands, const dl_tensor *out, const dl_tensor *const *in) {
    gen_walk_init(&m->walk, operands);
    for (int32_t d = 0; d < out->ndim; d++) {
        int64_t strides[GEN_MAX_OPERANDS] = {out->strides[d]};
        for (int32_t k = 1; k < operands; k++) strides[k] = in[m->input[k]]->strides[d];
        gen_walk_dim(&m->walk, out->shape[d], strides);
    }
    if (!m->uses_index) gen_walk_sort(&m->walk, 0);
    gen_walk_merge(&m->walk);
    m->outer = m->walk.ndim > GEN_MAX_RANK ? m->walk.ndim - GEN_MAX_RANK : 0;
}

static gen_key key_of(const source *s) {
    const gen_walk *w = &s->map->walk;
    const int32_t rank = gen_walk_rank(w, s->map->outer);
    gen_key key = {.kind = GEN_KIND(GEN_POINTWISE, rank, 0, rank && w->wide, 0), .program = s->prog->hash};
    for (int32_t k = 0; k < s->operands; k++) key.types = key.types << 4 | (uint64_t)s->type[k];
    for (int32_t k = 1; k < s->operands; k++) key.reads |= UINT64_C(1) << s->map->input[k];
    return key;
}

/* Bytes of the kernel's arguments, none smaller than 8 but a narrow walk's sizes and strides. */
static int32_t argument_bytes(const source *s) {
    const gen_walk *w = &s->map->walk;
    int32_t numbers = 2 * s->operands + 2, rank = gen_walk_rank(w, s->map->outer);
    for (int32_t k = 0; k < s->map->n_attr; k++) numbers += s->map->attr_type[k] != NOT_READ;
    return 8 * numbers + (w->wide ? 8 : 4) * rank * (1 + s->operands);
}

dl_status gen_map_init(gen_map *m, dl_device *device, const dl_prog *p, bool raw, const dl_tensor *out,
                       const dl_tensor *const *in) {
    source s = {.prog = p, .map = m, .operands = 1};
    memset(m, 0, sizeof *m);
    if (p->n_attr > DL_PROG_MAX_ARGS) return DL_UNSUPPORTED;
    s.type[0] = raw ? gen_raw(out->type) : out->type;
    for (uint32_t k = 0; k < p->n_in; k++) {
        if (!dl_prog_reads(p, (int32_t)k)) continue;
        if (s.operands == GEN_MAX_OPERANDS) return DL_UNSUPPORTED;
        s.type[s.operands] = raw ? gen_raw(in[k]->type) : in[k]->type;
        m->input[s.operands++] = (uint8_t)k;
    }
    m->n_attr = (int32_t)p->n_attr;
    for (int32_t k = 0; k < m->n_attr; k++) {
        const int32_t type = dl_prog_attr_type(p, k);
        m->attr_type[k] = type < 0 ? NOT_READ : (uint8_t)type;
    }
    for (uint32_t k = 0; k < p->n_ins; k++) m->uses_index |= p->ins[k].op == DL_OP_INDEX;
    fill_walk(m, s.operands, out, in);
    if (gen_walk_count(&m->walk) == 0) return DL_OK;
    if (argument_bytes(&s) > GEN_MAX_BYTES) return DL_UNSUPPORTED;
    const gen_key key = key_of(&s);
    return gen_function(device, &key, "pointwise", print, &s, &m->function);
}

/* ---- running
 * --------------------------------------------------------------------------------------------------------------------- */

static void push_attr(gen_args *a, int32_t type, const dl_attr *attr) {
    const double real = attr->kind == DL_ATTR_INT ? (double)attr->v.i : attr->v.f;
    if (type == DL_F32)
        gen_f32(a, real);
    else if (type == DL_F64)
        gen_f64(a, real);
    else
        gen_i64(a, attr->v.i); /* the dispatcher made an integer of it */
}

/* The launch for element number `element` of the outer dimensions. */
static dl_status launch(const gen_map *m, const dl_frame *f, const dl_attr *attr, const dl_tensor *out, int64_t out_beyond,
                        const dl_tensor *const *in, int64_t element, int64_t count) {
    const gen_walk *w = &m->walk;
    gen_args a;
    a.n = 0;
    for (int32_t k = 0; k < w->operands; k++) {
        int64_t beyond = k ? 0 : out_beyond, rest = element;
        for (int32_t d = m->outer - 1; d >= 0; rest /= w->shape[d--]) beyond += rest % w->shape[d] * w->stride[k][d];
        gen_buffer(&a, k ? in[m->input[k]] : out, beyond);
    }
    for (int32_t k = 0; k < m->n_attr; k++)
        if (m->attr_type[k] != NOT_READ) push_attr(&a, m->attr_type[k], &attr[k]);
    gen_i64(&a, element * count);
    gen_i64(&a, count);
    gen_push_walk(&a, w, m->outer);
    return gen_launch_items(f, m->function, count, &a);
}

dl_status gen_map_run(const gen_map *m, const dl_frame *f, const dl_attr *attr, const dl_tensor *out, int64_t out_beyond,
                      const dl_tensor *const *in) {
    if (!m->function) return DL_OK;
    int64_t launches = 1;
    for (int32_t d = 0; d < m->outer; d++) launches *= m->walk.shape[d];
    const int64_t count = gen_walk_count(&m->walk) / launches;
    for (int64_t k = 0; k < launches; k++) DL_TRY(launch(m, f, attr, out, out_beyond, in, k, count));
    return DL_OK;
}

/* ---- the kernel
 * ------------------------------------------------------------------------------------------------------------------ */

/* Does a tensor of dtype `stored` hold what a program calls `type`? */
static bool holds(dl_dtype stored, int32_t type) { return gen_widened(stored) == type; }

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    const dl_prog *p = f->prog;
    if (!p || f->n_in != p->n_in || f->n_out != 1 || p->n_out != 1 || p->ins_size != sizeof(dl_ins)) return DL_UNSUPPORTED;
    if (!holds(f->out[0]->type, p->ins[p->out[0]].type)) return DL_UNSUPPORTED;
    for (uint32_t k = 0; k < f->n_in; k++)
        if (dl_prog_reads(p, (int32_t)k) && (!f->in[k] || !holds(f->in[k]->type, p->in_type[k]))) return DL_UNSUPPORTED;
    gen_map *m;
    DL_TRY(gen_plan_state(plan, sizeof *m, (void **)&m));
    return gen_plan_ready(plan, gen_map_init(m, f->device, p, false, f->out[0], f->in));
}

static dl_status run(const dl_frame *f, const dl_plan *plan) {
    return gen_map_run(plan->state, f, f->prog_attr, f->out[0], 0, f->in);
}

const dl_kernel gen_pointwise = {.size = sizeof gen_pointwise, .op = "pointwise", .prepare = prepare, .run = run};
