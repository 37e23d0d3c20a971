/* build.c - makes programs: hash-consed instructions, dead code removed, the hash. */
#include "core/mem.h"
#include "core/pointwise/internal.h"
#include <string.h>

void pw_begin(pw_builder *p) {
    p->ins = p->small_ins;
    p->bucket = p->small_bucket;
    p->n = 0;
    p->capacity = sizeof p->small_ins / sizeof *p->small_ins;
    p->out_of_memory = false;
    memset(p->small_bucket, 0, sizeof p->small_bucket);
}

void pw_discard(pw_builder *p) {
    if (p->ins != p->small_ins) dl_mem(p->ins, 0);
    if (p->bucket != p->small_bucket) dl_mem(p->bucket, 0);
}

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_ins(uint64_t h, const dl_ins *i) {
    h = mix(h, (uint64_t)i->op | (uint64_t)i->type << 8 | (uint64_t)(uint32_t)i->a << 32);
    h = mix(h, (uint64_t)(uint32_t)i->b | (uint64_t)(uint32_t)i->c << 32);
    return mix(h, i->imm);
}

static bool same(const dl_ins *x, const dl_ins *y) {
    return x->op == y->op && x->type == y->type && x->a == y->a && x->b == y->b && x->c == y->c && x->imm == y->imm;
}

static int32_t *find_bucket(const pw_builder *p, const dl_ins *ins) {
    uint32_t mask = 2 * (uint32_t)p->capacity - 1;
    for (uint32_t k = (uint32_t)(hash_ins(0, ins) >> 20) & mask;; k = (k + 1) & mask)
        if (p->bucket[k] == 0 || same(&p->ins[p->bucket[k] - 1], ins)) return &p->bucket[k];
}

static bool grow(pw_builder *p) {
    int32_t capacity = 2 * p->capacity;
    dl_ins *ins = dl_mem(NULL, (size_t)capacity * sizeof *ins);
    int32_t *bucket = dl_mem(NULL, 2 * (size_t)capacity * sizeof *bucket);
    if (!ins || !bucket) {
        dl_mem(ins, 0);
        dl_mem(bucket, 0);
        return false;
    }
    memcpy(ins, p->ins, (size_t)p->n * sizeof *ins);
    memset(bucket, 0, 2 * (size_t)capacity * sizeof *bucket);
    pw_discard(p);
    p->ins = ins;
    p->bucket = bucket;
    p->capacity = capacity;
    for (int32_t k = 0; k < p->n; k++) *find_bucket(p, &ins[k]) = k + 1;
    return true;
}

int32_t pw_intern(pw_builder *p, dl_ins ins) {
    int32_t *bucket = find_bucket(p, &ins);
    if (*bucket) return *bucket - 1;
    if (p->n == p->capacity) {
        if (p->out_of_memory || !grow(p)) {
            p->out_of_memory = true;
            return 0;
        }
        bucket = find_bucket(p, &ins);
    }
    p->ins[p->n] = ins;
    *bucket = ++p->n;
    return p->n - 1;
}

int32_t pw_const(pw_builder *p, int32_t type, dl_scalar value) {
    return pw_intern(p, (dl_ins){.op = DL_OP_CONST, .type = (uint8_t)type, .imm = pw_pack(type, value)});
}

int32_t pw_number(pw_builder *p, int32_t type, double value) {
    dl_scalar v = {.f = value};
    if (!pw_is_float(type)) v.i = pw_wrap(type, (int64_t)value);
    return pw_const(p, type, v);
}

int32_t pw_leaf(pw_builder *p, int32_t op, int32_t type, int32_t number) {
    return pw_intern(p, (dl_ins){.op = (uint8_t)op, .type = (uint8_t)type, .a = number});
}

static bool commutes(int32_t op) {
    return op == DL_OP_ADD || op == DL_OP_MUL || op == DL_OP_EQ || op == DL_OP_AND || op == DL_OP_OR || op == DL_OP_XOR;
}

int32_t pw_emit(pw_builder *p, int32_t op, int32_t type, int32_t a, int32_t b, int32_t c) {
    dl_ins ins = {.op = (uint8_t)op, .type = (uint8_t)type, .a = a, .b = b, .c = c};
    if (commutes(op) && a > b) ins.a = b, ins.b = a;
    int32_t simpler = pw_simplify(p, &ins);
    return simpler >= 0 ? simpler : pw_intern(p, ins);
}

/* Numbers what `root` needs in order; place[k] is the new number of instruction k, -1 if it is not needed. */
static int32_t number_live(const pw_builder *p, int32_t root, int32_t *place) {
    for (int32_t k = 0; k < p->n; k++) place[k] = -1;
    place[root] = 0;
    for (int32_t k = root; k >= 0; k--) {
        if (place[k] < 0) continue;
        const int32_t operand[3] = {p->ins[k].a, p->ins[k].b, p->ins[k].c};
        for (int32_t j = 0; j < pw_operands(p->ins[k].op); j++) place[operand[j]] = 0;
    }
    int32_t n = 0;
    for (int32_t k = 0; k <= root; k++)
        if (place[k] == 0) place[k] = n++;
    return n;
}

static uint64_t hash_prog(const dl_prog *p) {
    uint64_t h = mix(0x646c72756e70770a, (uint64_t)p->n_in << 32 | p->n_attr);
    for (uint32_t k = 0; k < p->n_in; k++) h = mix(h, p->in_type[k]);
    for (uint32_t k = 0; k < p->n_out; k++) h = mix(h, (uint64_t)p->out[k]);
    for (uint32_t k = 0; k < p->n_ins; k++) h = hash_ins(h, &p->ins[k]);
    return h;
}

/* The program of n instructions with everything behind the struct in the same block. */
static dl_prog *allocate(int32_t n, int32_t n_in, const char *name) {
    size_t length = strlen(name) + 1;
    char *block = dl_mem_zero(sizeof(dl_prog) + (size_t)n * sizeof(dl_ins) + sizeof(int32_t) + (size_t)n_in + length);
    if (!block) return NULL;
    dl_prog *p = (dl_prog *)block;
    dl_ins *ins = (dl_ins *)(p + 1);
    int32_t *out = (int32_t *)(ins + n);
    uint8_t *in_type = (uint8_t *)(out + 1);
    memcpy(in_type + n_in, name, length);
    *p = (dl_prog){.size = sizeof *p,
                   .ins_size = sizeof *ins,
                   .n_ins = (uint32_t)n,
                   .n_in = (uint32_t)n_in,
                   .n_out = 1,
                   .ins = ins,
                   .out = out,
                   .in_type = in_type,
                   .name = (char *)in_type + n_in};
    return p;
}

static void fill(dl_prog *to, const pw_builder *p, int32_t root, const int32_t *place) {
    dl_ins *ins = (dl_ins *)to->ins;
    for (int32_t k = 0; k <= root; k++) {
        if (place[k] < 0) continue;
        dl_ins *i = &ins[place[k]];
        *i = p->ins[k];
        int32_t *operand[3] = {&i->a, &i->b, &i->c};
        for (int32_t j = 0; j < pw_operands(i->op); j++) *operand[j] = place[*operand[j]];
    }
    *(int32_t *)to->out = place[root];
}

dl_status pw_finish(pw_builder *p, int32_t root, int32_t n_in, const uint8_t *in_type, int32_t n_attr, const char *name,
                    dl_prog **out) {
    int32_t *place = p->out_of_memory ? NULL : dl_mem(NULL, (size_t)p->n * sizeof *place);
    dl_prog *made = place ? allocate(number_live(p, root, place), n_in, name) : NULL;
    if (made) {
        fill(made, p, root, place);
        memcpy((uint8_t *)made->in_type, in_type, (size_t)n_in);
        made->n_attr = (uint32_t)n_attr;
        made->hash = hash_prog(made);
    }
    dl_mem(place, 0);
    pw_discard(p);
    *out = made;
    return made ? DL_OK : dl_failf(DL_NOMEM, "out of memory making the program of '%s'", name);
}

void dl_prog_free(dl_prog *p) { dl_mem(p, 0); }

int32_t dl_prog_reads(const dl_prog *p, int32_t k) {
    for (uint32_t j = 0; j < p->n_ins; j++)
        if (p->ins[j].op == DL_OP_IN && p->ins[j].a == k) return 1;
    return 0;
}

int32_t dl_prog_attr_type(const dl_prog *p, int32_t k) {
    for (uint32_t j = 0; j < p->n_ins; j++)
        if (p->ins[j].op == DL_OP_ATTR && p->ins[j].a == k) return p->ins[j].type;
    return -1;
}
