/* program.c - finds the compiled loop of a program, or translates it for the interpreter. */
#include "backends/cpu/program.h"
#include "backends/cpu/vecmath.h"
#include "interp.h"
#include "row.h"

static cpu_loop_fn compiled_loop(uint64_t hash) {
    const cpu_loop_entry *table = CPU_ISA(cpu_loops);
    int32_t low = 0, high = CPU_ISA(cpu_loop_count);
    while (low < high) {
        const int32_t middle = (low + high) / 2;
        if (table[middle].hash == hash) return table[middle].loop;
        if (table[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Rough cost of an instruction, in additions. */
static int64_t cost_of(int32_t op) {
    if (op >= DL_OP_LGAMMA && op <= DL_OP_DIGAMMA) return 100;
    if ((op >= DL_OP_EXP && op <= DL_OP_ERF) || op == DL_OP_POW || op == DL_OP_IDIV || op == DL_OP_IMOD) return 12;
    return op == DL_OP_ERFC || op == DL_OP_TRIGAMMA ? 100 : 1;
}

static void describe(cpu_program *c, const dl_prog *p) {
    int64_t cost = 4;
    c->n_in = (int32_t)p->n_in;
    c->n_attr = (int32_t)p->n_attr;
    c->out_type = p->ins[p->out[0]].type;
    for (uint32_t k = 0; k < p->n_in; k++) c->in_type[k] = p->in_type[k];
    for (uint32_t k = 0; k < p->n_ins; k++) {
        const dl_ins *i = &p->ins[k];
        if (i->op == DL_OP_IN) c->reads[i->a] = 1;
        if (i->op == DL_OP_INDEX) c->uses_index = 1;
        cost += cost_of(i->op);
    }
    c->grain = CPU_GRAIN * 8 / cost;
    if (c->grain > CPU_GRAIN) c->grain = CPU_GRAIN;
    if (c->grain < 1024) c->grain = 1024;
}

dl_status cpu_program_open(const dl_prog *p, cpu_program **out) {
    if (p->n_out != 1 || p->n_in > CPU_MAX_ARGS || p->n_attr > CPU_MAX_ARGS || p->ins_size != sizeof(dl_ins))
        return DL_UNSUPPORTED;
    dl_status status = DL_OK;
    cpu_program *c = cpu_host->mem(NULL, sizeof *c);
    if (!c) return cpu_host->fail(DL_NOMEM, "out of memory while preparing %s", p->name);
    memset(c, 0, sizeof *c);
    describe(c, p);
    c->loop = compiled_loop(p->hash);
    if (!c->loop) c->code = cpu_translate(p, &status);
    if (status == DL_OK) {
        *out = c;
        return DL_OK;
    }
    cpu_program_close(c);
    return status == DL_NOMEM ? cpu_host->fail(DL_NOMEM, "out of memory while preparing %s", p->name) : status;
}

dl_status cpu_epilogue_open(const dl_prog *p, dl_dtype type, cpu_program **out) {
    const dl_dtype computed = type == DL_F64 ? DL_F64 : DL_F32;
    *out = NULL;
    if (cpu_lane_of(type) == CPU_LANE_I64) return DL_UNSUPPORTED;
    cpu_program *c;
    const dl_status status = cpu_program_open(p, &c);
    if (status != DL_OK) return status;
    if (c->n_in != 1 || c->in_type[0] != computed || c->out_type != computed || c->uses_index) {
        cpu_program_close(c);
        return DL_UNSUPPORTED;
    }
    *out = c;
    return DL_OK;
}

void cpu_program_close(void *program) {
    cpu_program *c = program;
    cpu_host->mem(c->code, 0);
    cpu_host->mem(c, 0);
}

void cpu_program_attrs(const cpu_program *p, const dl_attr *attr, cpu_attrs *out) {
    for (int32_t k = 0; k < p->n_attr; k++) {
        const int whole = attr[k].kind == DL_ATTR_INT;
        out->f[k] = whole ? (double)attr[k].v.i : attr[k].v.f;
        out->i[k] = whole ? attr[k].v.i : dl_cast_i64_f64(attr[k].v.f);
    }
}
