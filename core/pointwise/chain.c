/* chain.c - one program after another as one. */
#include "core/mem.h"
#include "core/pointwise/internal.h"
#include <stdio.h>

/* Copies p's instructions; input j becomes instruction feed[j], attribute j number j + attr0. Returns p's result. */
static int32_t splice(pw_builder *b, const dl_prog *p, const int32_t *feed, int32_t attr0, int32_t *value) {
    for (uint32_t k = 0; k < p->n_ins; k++) {
        const dl_ins *i = &p->ins[k];
        int32_t n = pw_operands(i->op);
        if (i->op == DL_OP_IN)
            value[k] = feed[i->a];
        else if (i->op == DL_OP_ATTR)
            value[k] = pw_leaf(b, DL_OP_ATTR, i->type, i->a + attr0);
        else if (n == 0)
            value[k] = pw_intern(b, *i);
        else
            value[k] = pw_emit(b, i->op, i->type, value[i->a], n > 1 ? value[i->b] : 0, n > 2 ? value[i->c] : 0);
    }
    return value[p->out[0]];
}

/* Both programs in one builder; in_type: of the inputs of the whole. Returns the result. */
static int32_t join(pw_builder *b, const dl_prog *first, const dl_prog *second, int32_t at, int32_t *value, uint8_t *in_type) {
    int32_t feed[DL_PROG_MAX_ARGS], n = 0;
    for (uint32_t k = 0; k < first->n_in; k++, n++) {
        in_type[n] = first->in_type[k];
        feed[k] = pw_leaf(b, DL_OP_IN, in_type[n], n);
    }
    int32_t middle = pw_cast(b, splice(b, first, feed, 0, value), second->in_type[at]);
    for (uint32_t k = 0; k < second->n_in; k++) {
        if ((int32_t)k == at) {
            feed[k] = middle;
            continue;
        }
        in_type[n] = second->in_type[k];
        feed[k] = pw_leaf(b, DL_OP_IN, in_type[n], n);
        n++;
    }
    return splice(b, second, feed, (int32_t)first->n_attr, value);
}

dl_status dl_prog_chain(const dl_prog *first, const dl_prog *second, int32_t at, dl_prog **out) {
    *out = NULL;
    if (at < 0 || at >= (int32_t)second->n_in)
        return dl_failf(DL_INVALID, "chaining %s and %s: there is no input %d", first->name, second->name, at);
    uint32_t n_in = first->n_in + second->n_in - 1, n_attr = first->n_attr + second->n_attr;
    if (n_in > DL_PROG_MAX_ARGS || n_attr > DL_PROG_MAX_ARGS)
        return dl_failf(DL_UNSUPPORTED, "chaining %s and %s: more than %d inputs or attributes", first->name, second->name,
                        DL_PROG_MAX_ARGS);
    int32_t *value = dl_mem(NULL, (size_t)(first->n_ins + second->n_ins) * sizeof *value);
    if (!value) return dl_failf(DL_NOMEM, "out of memory chaining %s and %s", first->name, second->name);
    pw_builder b;
    pw_begin(&b);
    uint8_t in_type[DL_PROG_MAX_ARGS];
    int32_t root = join(&b, first, second, at, value, in_type);
    dl_mem(value, 0);
    char name[96];
    snprintf(name, sizeof name, "%s, %s", first->name, second->name);
    return pw_finish(&b, root, (int32_t)n_in, in_type, (int32_t)n_attr, name, out);
}
