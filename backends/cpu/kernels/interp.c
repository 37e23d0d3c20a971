/* interp.c - translation of programs into steps over registers, and the tile loop that runs them.
 *
 * A register is a tile of CPU_TILE elements. Constants and attributes are filled once per run; every other value lives from
 * the step that makes it to its last use, after which its register is free again, so that a long chain stays in L1. */
#include "interp.h"
#include "backends/cpu/program.h"

typedef struct cpu_op {
    cpu_step run;       /* NULL: the elements' numbers (index) */
    int32_t out;        /* register; RESULT: the caller's array */
    int32_t operand[3]; /* register, or -1 - k for input k */
} cpu_op;
enum { RESULT = -1, REGISTER_BYTES = CPU_TILE * 8, LOCAL_REGISTERS = 24 };

/* A register that holds one value for the whole run. */
typedef struct uniform {
    int32_t reg, attr; /* attr: number of the attribute, or -1: imm */
    uint8_t type;
    uint64_t imm;
} uniform;

struct cpu_code {
    int32_t n_ops, n_uniform, n_registers, n_in;
    uint8_t in_bytes[CPU_MAX_ARGS], out_bytes;
    cpu_op *ops;
    uniform *uniforms;
};

static int32_t type_bytes(int32_t type) {
    static const uint8_t bytes[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) bits / 8,
#include "dlrun/dtype.def"
#undef DL_DTYPE
    };
    return type == DL_U32 ? 4 : bytes[type];
}

/* ---- translation --------------------------------------------------------------------------------------------------------- */

typedef struct translator {
    const dl_prog *prog;
    struct cpu_code *code;
    int32_t *place;    /* of each instruction's value: register, or -1 - k */
    int32_t *last_use; /* of each instruction's value: number of an instruction */
    int32_t *free;     /* stack of free registers */
    int32_t n_free;
} translator;

static int32_t operands_of(const dl_ins *i) {
    static const uint8_t operands[] = {
#define DL_OPCODE(NAME, number, operands, spelling) operands,
#include "dlrun/opcode.def"
#undef DL_OPCODE
    };
    return operands[i->op];
}

static int32_t operand_at(const dl_ins *i, int32_t k) { return k == 0 ? i->a : k == 1 ? i->b : i->c; }

static int is_uniform(const dl_ins *i) { return i->op == DL_OP_CONST || i->op == DL_OP_ATTR; }

static int32_t take_register(translator *t) { return t->n_free ? t->free[--t->n_free] : t->code->n_registers++; }

static void find_last_uses(translator *t) {
    for (int32_t k = 0; k < (int32_t)t->prog->n_ins; k++) {
        t->last_use[k] = k;
        for (int32_t j = 0; j < operands_of(&t->prog->ins[k]); j++) t->last_use[operand_at(&t->prog->ins[k], j)] = k;
    }
    t->last_use[t->prog->out[0]] = (int32_t)t->prog->n_ins;
}

/* Registers of operands that die in instruction k. A step may write where it reads, element for element, if the element sizes
 * are equal; so only such a register may become this instruction's result. */
static void release_operands(translator *t, int32_t k, int same_size) {
    const dl_ins *i = &t->prog->ins[k];
    for (int32_t j = 0; j < operands_of(i); j++) {
        const int32_t v = operand_at(i, j);
        const dl_ins *made = &t->prog->ins[v];
        if (t->last_use[v] != k || t->place[v] < 0 || is_uniform(made)) continue;
        if ((type_bytes(made->type) == type_bytes(i->type)) != same_size) continue;
        t->free[t->n_free++] = t->place[v];
        t->last_use[v] = -1; /* an operand that occurs twice is released once */
    }
}

static void emit(translator *t, cpu_step run, int32_t out, const int32_t operand[3]) {
    cpu_op *op = &t->code->ops[t->code->n_ops++];
    op->run = run;
    op->out = out;
    for (int32_t j = 0; j < 3; j++) op->operand[j] = operand[j];
}

static dl_status translate_leaf(translator *t, int32_t k) {
    const dl_ins *i = &t->prog->ins[k];
    const int32_t input[3] = {-1 - i->a, 0, 0};
    if (i->op == DL_OP_IN) {
        t->place[k] = input[0];
        if (i->type == DL_BOOL) emit(t, cpu_step_move(DL_BOOL), t->place[k] = take_register(t), input);
        return DL_OK;
    }
    t->place[k] = take_register(t);
    if (i->op == DL_OP_INDEX)
        emit(t, NULL, t->place[k], input);
    else
        t->code->uniforms[t->code->n_uniform++] =
            (uniform){t->place[k], i->op == DL_OP_ATTR ? i->a : -1, i->type, i->op == DL_OP_CONST ? i->imm : 0};
    return DL_OK;
}

static dl_status translate_one(translator *t, int32_t k) {
    const dl_ins *i = &t->prog->ins[k];
    const int32_t n = operands_of(i);
    if (n == 0) return translate_leaf(t, k);
    const cpu_step run = cpu_step_of(i->op, i->type, t->prog->ins[i->a].type);
    if (!run) return DL_UNSUPPORTED;
    int32_t operand[3] = {0, 0, 0};
    for (int32_t j = 0; j < n; j++) operand[j] = t->place[operand_at(i, j)];
    release_operands(t, k, 1);
    const int last = k == t->prog->out[0] && k == (int32_t)t->prog->n_ins - 1;
    t->place[k] = last ? RESULT : take_register(t);
    emit(t, run, t->place[k], operand);
    release_operands(t, k, 0);
    return DL_OK;
}

/* Uniforms are filled before the first tile, so their registers must not have served others: they come first. */
static dl_status translate(translator *t) {
    const dl_prog *p = t->prog;
    dl_status status = DL_OK;
    find_last_uses(t);
    for (int32_t k = 0; k < (int32_t)p->n_ins; k++)
        if (is_uniform(&p->ins[k])) translate_leaf(t, k);
    for (int32_t k = 0; k < (int32_t)p->n_ins && status == DL_OK; k++)
        if (!is_uniform(&p->ins[k])) status = translate_one(t, k);
    const int32_t result[3] = {t->place[p->out[0]], 0, 0};
    const int32_t last = (int32_t)p->n_ins - 1;
    if (status == DL_OK && (p->out[0] != last || operands_of(&p->ins[last]) == 0))
        emit(t, cpu_step_move(p->ins[p->out[0]].type), RESULT, result);
    return status;
}

struct cpu_code *cpu_translate(const dl_prog *p, dl_status *status) {
    const size_t n = p->n_ins;
    struct cpu_code *code = cpu_host->mem(NULL, sizeof *code + (n + 1) * sizeof(cpu_op) + n * sizeof(uniform));
    int32_t *work = cpu_host->mem(NULL, (3 * n + 1) * sizeof *work);
    if (code && work) {
        *code = (struct cpu_code){.n_in = (int32_t)p->n_in, .out_bytes = (uint8_t)type_bytes(p->ins[p->out[0]].type)};
        code->uniforms = (uniform *)(code + 1);
        code->ops = (cpu_op *)(code->uniforms + n);
        for (uint32_t k = 0; k < p->n_in; k++) code->in_bytes[k] = (uint8_t)type_bytes(p->in_type[k]);
        translator t = {p, code, work, work + n, work + 2 * n, 0};
        *status = translate(&t);
    } else {
        *status = DL_NOMEM;
    }
    cpu_host->mem(work, 0);
    if (*status == DL_OK) return code;
    cpu_host->mem(code, 0);
    return NULL;
}

/* ---- running ------------------------------------------------------------------------------------------------------------- */

/* The bits of attribute k in an element of `type`. */
static uint64_t attr_bits(const cpu_attrs *attrs, int32_t k, int32_t type) {
    const float f = (float)attrs->f[k];
    uint64_t bits = (uint64_t)attrs->i[k];
    if (type == DL_F32) memcpy(&bits, &f, sizeof f);
    if (type == DL_F64) memcpy(&bits, &attrs->f[k], sizeof bits);
    if (type == DL_BOOL) bits = attrs->i[k] != 0;
    return bits;
}

static void fill(void *tile, uint64_t bits, int32_t bytes, int64_t n) {
    switch (bytes) {
    case 1: memset(tile, (int)(bits & 255), (size_t)n); break;
    case 2:
        for (int64_t i = 0; i < n; i++) ((uint16_t *)tile)[i] = (uint16_t)bits;
        break;
    case 4:
        for (int64_t i = 0; i < n; i++) ((uint32_t *)tile)[i] = (uint32_t)bits;
        break;
    default:
        for (int64_t i = 0; i < n; i++) ((uint64_t *)tile)[i] = bits;
        break;
    }
}

typedef struct tile_run {
    const struct cpu_code *code;
    char *registers;
    const void *const *in;
    char *out;
    int64_t done;
} tile_run;

static const void *operand(const tile_run *r, int32_t place) {
    if (place >= 0) return r->registers + (int64_t)place * REGISTER_BYTES;
    const int32_t k = -1 - place;
    return (const char *)r->in[k] + r->done * r->code->in_bytes[k];
}

static void run_tile(const tile_run *r, int64_t n, int64_t index, int32_t *fault) {
    for (int32_t k = 0; k < r->code->n_ops; k++) {
        const cpu_op *op = &r->code->ops[k];
        void *out =
            op->out == RESULT ? r->out + r->done * r->code->out_bytes : r->registers + (int64_t)op->out * REGISTER_BYTES;
        if (op->run)
            op->run(n, out, operand(r, op->operand[0]), operand(r, op->operand[1]), operand(r, op->operand[2]), fault);
        else
            for (int64_t i = 0; i < n; i++) ((int64_t *)out)[i] = index + i;
    }
}

void CPU_ISA(cpu_interpret)(const struct cpu_code *code, int64_t n, void *out, const void *const *in, const cpu_attrs *attrs,
                            int64_t index0, int32_t *fault) {
    _Alignas(64) char local[LOCAL_REGISTERS * REGISTER_BYTES];
    char *registers = local;
    if (code->n_registers > LOCAL_REGISTERS) registers = cpu_host->mem(NULL, (size_t)code->n_registers * REGISTER_BYTES);
    if (!registers) {
        *fault = CPU_NO_MEMORY;
        return;
    }
    for (int32_t k = 0; k < code->n_uniform; k++) {
        const uniform *u = &code->uniforms[k];
        fill(registers + (int64_t)u->reg * REGISTER_BYTES, u->attr < 0 ? u->imm : attr_bits(attrs, u->attr, u->type),
             type_bytes(u->type), n < CPU_TILE ? n : CPU_TILE);
    }
    tile_run r = {code, registers, in, out, 0};
    for (; r.done < n; r.done += CPU_TILE) run_tile(&r, n - r.done < CPU_TILE ? n - r.done : CPU_TILE, index0 + r.done, fault);
    if (registers != local) cpu_host->mem(registers, 0);
}
