/* expr.c - from a dl_expr (an op's row) to its program and, with the row's own gradients, to its gradient programs. */
#include "core/pointwise/internal.h"
#include <string.h>

static dl_status check(const dl_expr *e) {
    if (e->n_in < 0 || e->n_in > DL_PROG_MAX_IN || e->n_attr < 0 || e->n_attr > DL_PROG_MAX_ATTR)
        return dl_failf(DL_INVALID, "%s: an expression takes at most %d tensors and %d attributes", e->name, DL_PROG_MAX_IN,
                        DL_PROG_MAX_ATTR);
    return DL_OK;
}

static pw_source source(const dl_expr *e) {
    return (pw_source){.name = e->name,
                       .origin = e->text,
                       .begin = e->text,
                       .end = e->text + strlen(e->text),
                       .n_attr = e->n_attr,
                       .attr_name = e->attr_name,
                       .compute = pw_widen(e->compute),
                       .out_type = pw_widen(e->out_type)};
}

static void add_input(pw_source *s, const char *name, dl_dtype type) {
    s->in_name[s->n_in] = name;
    s->in_type[s->n_in++] = (uint8_t)pw_widen(type);
}

dl_status dl_prog_parse(const dl_expr *e, dl_prog **out) {
    *out = NULL;
    DL_TRY(check(e));
    pw_source s = source(e);
    for (int32_t k = 0; k < e->n_in; k++) add_input(&s, e->in_name[k], e->in_type[k]);
    return pw_parse(&s, out);
}

/* The entry "name: expression" of grads for input k, in *s's begin and end; begin stays NULL where there is none. */
static dl_status find_entry(const dl_expr *e, const char *grads, int32_t k, pw_source *s) {
    s->origin = grads;
    s->begin = NULL;
    for (const char *at = grads; *at;) {
        const char *stop = at + strcspn(at, ";"), *colon = memchr(at, ':', (size_t)(stop - at));
        pw_token name = pw_lex(at, colon ? colon : stop);
        int32_t which = 0;
        while (which < e->n_in && !(strlen(e->in_name[which]) == (size_t)name.length &&
                                    memcmp(e->in_name[which], name.text, (size_t)name.length) == 0))
            which++;
        if (!colon || which == e->n_in)
            return dl_failf(DL_INVALID, "%s: gradients, column %d: expected \"input: expression\" in \"%s\"", e->name,
                            (int)(name.text - grads) + 1, grads);
        if (which == k) {
            s->begin = colon + 1;
            s->end = stop;
        }
        at = *stop ? stop + 1 : stop;
    }
    return DL_OK;
}

dl_status dl_expr_grad(const dl_expr *e, const char *grads, int32_t k, dl_prog **out) {
    *out = NULL;
    DL_TRY(check(e));
    if (grads && !*grads) return dl_failf(DL_UNSUPPORTED, "%s is not differentiable", e->name);
    if (k < 0 || k >= e->n_in) return dl_failf(DL_INVALID, "%s: there is no input %d to differentiate by", e->name, k);
    if (!pw_is_float(pw_widen(e->in_type[k])))
        return dl_failf(DL_UNSUPPORTED, "%s: input '%s' is %s; only floating-point inputs have gradients", e->name,
                        e->in_name[k], pw_type_name(e->in_type[k]));
    pw_source s = source(e);
    s.begin = NULL;
    if (grads) DL_TRY(find_entry(e, grads, k, &s));
    if (!s.begin) {
        dl_prog *forward;
        DL_TRY(dl_prog_parse(e, &forward));
        dl_status status = dl_prog_grad(forward, k, out);
        dl_prog_free(forward);
        return status;
    }
    add_input(&s, "g", e->out_type);
    for (int32_t j = 0; j < e->n_in; j++) add_input(&s, e->in_name[j], e->in_type[j]);
    add_input(&s, "out", e->out_type);
    s.out_type = pw_widen(e->in_type[k]);
    return pw_parse(&s, out);
}
