/* gen_pointwise.c - prints backends/cpu's pointwise loops: one C function for every program that the rows of pointwise.def
 * give, and for the gradient programs of those rows, then a table of them by hash. Runs on the build machine.
 *
 *     gen_pointwise [OUTPUT.c]          standard output without an argument */
#include "core/mem.h"
#include "core/pointwise/prog.h"
#include "core/status.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* f16 and bf16 run the f32 programs. Gradients exist for the floating types. */
static const dl_dtype types[] = {DL_F32, DL_F64, DL_U8, DL_I8, DL_I16, DL_I32, DL_I64, DL_BOOL};
enum { TYPES = sizeof types / sizeof *types, FLOAT_TYPES = 2 };

static const struct {
    const char *name, *stored, *computed; /* as in memory, as in a program */
} c_types[DL_DTYPE_COUNT] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) {name, #ctype, DL_##NAME == DL_BOOL ? "_Bool" : #ctype},
#include "dlrun/dtype.def"
#undef DL_DTYPE
};

/* Every program to print, once. */
typedef struct entry {
    dl_prog *prog;
    char title[160];
} entry;
static entry *entries;
static int n_entries, capacity;

static int is_known(const dl_prog *p) {
    for (int k = 0; k < n_entries; k++)
        if (entries[k].prog->hash == p->hash) return 1;
    return 0;
}

static dl_status add(dl_prog *p, const char *title) {
    if (is_known(p)) {
        dl_prog_free(p);
        return DL_OK;
    }
    if (n_entries == capacity) {
        capacity = capacity ? 2 * capacity : 256;
        entry *grown = dl_mem(entries, (size_t)capacity * sizeof *entries);
        if (!grown) return dl_failf(DL_NOMEM, "out of memory");
        entries = grown;
    }
    entries[n_entries].prog = p;
    snprintf(entries[n_entries++].title, sizeof entries->title, "%s", title);
    return DL_OK;
}

static dl_status add_gradients(const dl_pointwise_row *row, const dl_expr *e, dl_dtype type) {
    for (int32_t k = 0; k < e->n_in; k++) {
        dl_prog *p;
        if (e->in_type[k] != type || e->out_type != type || (row->grads && !*row->grads)) continue;
        DL_TRY(dl_expr_grad(e, row->grads, k, &p));
        char title[160];
        snprintf(title, sizeof title, "%s by %s, %s", e->name, e->in_name[k], c_types[type].name);
        DL_TRY(add(p, title));
    }
    return DL_OK;
}

/* Rows that mean nothing for bool (its subtraction, say) are refused there by the parser, at build time as at run time. */
static dl_status add_row(const dl_pointwise_row *row, int t) {
    char names[DL_EXPR_NAMES], title[160];
    dl_expr e;
    dl_prog *p;
    dl_dtype compute, out;
    if (dl_rule_types(row->rule, types[t], &compute, &out) != DL_OK) return DL_OK; /* integer rows at float types */
    DL_TRY(dl_expr_of(row->sig, row->rule, row->expr, types[t], names, &e));
    dl_status status = dl_prog_parse(&e, &p);
    if (status != DL_OK) return types[t] == DL_BOOL && status == DL_INVALID ? DL_OK : status;
    snprintf(title, sizeof title, "%s, %s", e.name, c_types[types[t]].name);
    DL_TRY(add(p, title));
    return t < FLOAT_TYPES ? add_gradients(row, &e, types[t]) : DL_OK;
}

static dl_status collect(void) {
    for (int32_t k = 0; k < dl_pointwise_row_count; k++)
        for (int t = 0; t < TYPES; t++) DL_TRY(add_row(&dl_pointwise_rows[k], t));
    return DL_OK;
}

static int by_hash(const void *a, const void *b) {
    uint64_t x = ((const entry *)a)->prog->hash, y = ((const entry *)b)->prog->hash;
    return x < y ? -1 : x > y;
}

/* ---- printing ------------------------------------------------------------------------------------------------------------ */

static void print_attributes(FILE *f, const dl_prog *p) {
    for (int32_t k = 0; k < (int32_t)p->n_attr; k++) {
        int32_t type = dl_prog_attr_type(p, k);
        if (type < 0) continue;
        int floating = type == DL_F32 || type == DL_F64;
        fprintf(f, "    const %s a%d = (%s)attr_%c[%d];\n", c_types[type].computed, k, c_types[type].computed,
                floating ? 'f' : 'i', k);
    }
}

static int uses(const dl_prog *p, int op) {
    for (uint32_t k = 0; k < p->n_ins; k++)
        if (p->ins[k].op == op) return 1;
    return 0;
}

static dl_status print_body(FILE *f, const dl_prog *p) {
    int32_t length = dl_prog_print_c(p, NULL, 0);
    char *text = dl_mem(NULL, (size_t)length + 1);
    if (!text) return dl_failf(DL_NOMEM, "out of memory");
    dl_prog_print_c(p, text, (size_t)length + 1);
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        fprintf(f, "        %.*s\n", (int)n, line);
        line += n + (line[n] != 0);
    }
    dl_mem(text, 0);
    return DL_OK;
}

static dl_status print_loop(FILE *f, const entry *e, int number) {
    const dl_prog *p = e->prog;
    int32_t out = p->ins[p->out[0]].type;
    fprintf(f, "\n/* %s */\nstatic void loop_%d(CPU_LOOP_PARAMETERS) {\n    CPU_LOOP_UNUSED;\n", e->title, number);
    print_attributes(f, p);
    for (int32_t k = 0; k < (int32_t)p->n_in; k++)
        if (dl_prog_reads(p, k)) fprintf(f, "    const %s *p%d = in[%d];\n", c_types[p->in_type[k]].stored, k, k);
    fprintf(f, "    %s *q = out;\n    CPU_LOOP_FOR(int64_t i = 0; i < n; i++) {\n", c_types[out].stored);
    if (uses(p, DL_OP_INDEX)) fprintf(f, "        const int64_t idx = index0 + i;\n");
    for (int32_t k = 0; k < (int32_t)p->n_in; k++)
        if (dl_prog_reads(p, k))
            fprintf(f, "        const %s x%d = p%d[i]%s;\n", c_types[p->in_type[k]].computed, k, k,
                    p->in_type[k] == DL_BOOL ? " != 0" : "");
    DL_TRY(print_body(f, p));
    fprintf(f, "        q[i] = y0;\n    }\n}\n");
    return DL_OK;
}

static dl_status print(FILE *f) {
    fprintf(f, "/* Printed by tools/gen_pointwise.c from core/pointwise.def. */\n#include \"backends/cpu/pointwise_loop.h\"\n"
               "#include \"backends/cpu/vecmath.h\"\n#include <math.h>\n");
    qsort(entries, (size_t)n_entries, sizeof *entries, by_hash);
    for (int k = 0; k < n_entries; k++) DL_TRY(print_loop(f, &entries[k], k));
    fprintf(f, "\nconst cpu_loop_entry CPU_ISA(cpu_loops)[] = {\n");
    for (int k = 0; k < n_entries; k++)
        fprintf(f, "    {UINT64_C(0x%016llx), \"%s\", loop_%d},\n", (unsigned long long)entries[k].prog->hash, entries[k].title,
                k);
    fprintf(f, "};\nconst int32_t CPU_ISA(cpu_loop_count) = %d;\n", n_entries);
    return DL_OK;
}

int main(int argc, char **argv) {
    FILE *f = argc > 1 ? fopen(argv[1], "w") : stdout;
    if (!f) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    dl_status status = collect();
    if (status == DL_OK) status = print(f);
    int written = !ferror(f);
    if (fclose(f) != 0 || !written) {
        perror("gen_pointwise: writing");
        return EXIT_FAILURE;
    }
    if (status != DL_OK) fprintf(stderr, "gen_pointwise: %s\n", dl_last_error());
    for (int k = 0; k < n_entries; k++) dl_prog_free(entries[k].prog);
    dl_mem(entries, 0);
    return status == DL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
