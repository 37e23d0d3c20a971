/* rows.c - the table of built-in pointwise ops, and expressions from signatures. */
#include "core/pointwise/internal.h"
#include <string.h>

const dl_pointwise_row dl_pointwise_rows[] = {
#define DL_PW(sig, rule, expr, grads, doc) {sig, rule, expr, grads, doc},
#include "core/pointwise.def"
#undef DL_PW
};
const int32_t dl_pointwise_row_count = (int32_t)(sizeof dl_pointwise_rows / sizeof *dl_pointwise_rows);

/* Where names are copied to, each NUL-terminated. */
typedef struct pool {
    char *at, *end;
} pool;

static const char *keep(pool *p, const char *text, size_t length) {
    if ((size_t)(p->end - p->at) <= length) return NULL;
    char *copy = memcpy(p->at, text, length);
    p->at += length + 1;
    copy[length] = 0;
    return copy;
}

/* The dtype in "Tensor:bool", or -1 for a plain "Tensor"; -2: no tensor argument. */
static int32_t tensor_type(const char *text, size_t length) {
    if (length < 6 || memcmp(text, "Tensor", 6) != 0) return -2;
    if (length == 6) return -1;
    for (int32_t t = 0; t < DL_DTYPE_COUNT; t++)
        if (strlen(pw_type_name(t)) == length - 7 && memcmp(pw_type_name(t), text + 7, length - 7) == 0) return t;
    return -2;
}

/* One argument "type name[=default]", from at to end. */
static dl_status argument(const char *sig, const char *at, const char *end, pool *names, dl_expr *e) {
    while (at < end && *at == ' ') at++;
    size_t type_length = strcspn(at, " "), name_length = 0;
    const char *name = at + type_length;
    if (name >= end)
        return dl_failf(DL_INVALID, "signature '%s': expected \"type name\" at column %d", sig, (int)(at - sig) + 1);
    while (*name == ' ') name++;
    name_length = strcspn(name, " =,)");
    int32_t type = tensor_type(at, type_length);
    bool full = type == -2 ? e->n_attr == DL_PROG_MAX_ATTR : e->n_in == DL_PROG_MAX_IN;
    const char *kept = full ? NULL : keep(names, name, name_length);
    if (!kept) return dl_failf(DL_INVALID, "signature '%s': too many arguments for an expression", sig);
    if (type == -2) {
        e->attr_name[e->n_attr++] = kept;
    } else {
        e->in_name[e->n_in] = kept;
        e->in_type[e->n_in++] = type == -1 ? e->compute : type;
    }
    return DL_OK;
}

dl_status dl_expr_of(const char *sig, const char *rule, const char *text, dl_dtype common, char *names, dl_expr *out) {
    pool p = {names, names + DL_EXPR_NAMES};
    const char *at = strchr(sig, '('), *close = strchr(sig, ')');
    if (!at || !close || close < at) return dl_failf(DL_INVALID, "signature '%s': expected name(arguments)", sig);
    *out = (dl_expr){.name = keep(&p, sig, (size_t)(at - sig)), .text = text};
    if (!out->name) return dl_failf(DL_INVALID, "signature '%s': the name is too long", sig);
    DL_TRY(dl_rule_types(rule, common, &out->compute, &out->out_type));
    while (at++ < close) {
        const char *comma = memchr(at, ',', (size_t)(close - at)), *end = comma ? comma : close;
        DL_TRY(argument(sig, at, end, &p, out));
        at = end;
    }
    return DL_OK;
}
