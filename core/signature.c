/* signature.c - parses op signatures:
 *     name(Tensor x, Tensor? bias, Tensor![] p, Tensor:bool mask, int[] dims=, float eps=1e-5) -> Tensor, Tensor
 * Tensors and attributes are numbered apart, so they may mix. No arrow means one output; an arrow with nothing behind it, none.
 */
#include "core/op.h"
#include "core/status.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *sig, *at;
} cursor;

static dl_status expected(const cursor *c, const char *what) {
    return dl_failf(DL_INVALID, "signature '%s': expected %s at column %d", c->sig, what, (int)(c->at - c->sig) + 1);
}

static void skip(cursor *c) {
    while (isspace((unsigned char)*c->at)) c->at++;
}

static int accept(cursor *c, const char *token) {
    skip(c);
    size_t n = strlen(token);
    if (strncmp(c->at, token, n) != 0) return 0;
    c->at += n;
    return 1;
}

/* Points the message at where the offending word began. */
static dl_status expected_at(cursor *c, const char *start, const char *what) {
    c->at = start;
    return expected(c, what);
}

/* A word: an op's name may hold "::" and "." besides what a C identifier may. */
static dl_status word(cursor *c, char *text, size_t capacity, const char *also, const char *what) {
    skip(c);
    size_t n = 0;
    while (isalnum((unsigned char)c->at[n]) || c->at[n] == '_' || (c->at[n] && strchr(also, c->at[n]))) n++;
    if (n == 0) return expected(c, what);
    if (n >= capacity)
        return dl_failf(DL_INVALID, "signature '%s': the name at column %d has %zu characters; at most %zu are possible",
                        c->sig, (int)(c->at - c->sig) + 1, n, capacity - 1);
    memcpy(text, c->at, n);
    text[n] = 0;
    c->at += n;
    return DL_OK;
}

/* What follows the word "Tensor". */
static dl_status tensor_type(cursor *c, dl_arg *arg) {
    arg->kind = DL_ARG_TENSOR;
    arg->written = accept(c, "!");
    if (accept(c, "[]"))
        arg->kind = DL_ARG_LIST;
    else if (accept(c, "?"))
        arg->kind = DL_ARG_OPTIONAL;
    if (accept(c, ":")) {
        char name[16];
        DL_TRY(word(c, name, sizeof name, "", "a dtype's name"));
        arg->fixed_type = dl_dtype_find(name);
        if (arg->fixed_type < 0) return expected_at(c, c->at - strlen(name), "a dtype's name");
    }
    return DL_OK;
}

static const struct {
    const char *name;
    dl_arg_kind kind;
} attr_types[] = {{"int", DL_ARG_INT},     {"float", DL_ARG_FLOAT},   {"bool", DL_ARG_BOOL},
                  {"dtype", DL_ARG_DTYPE}, {"Scalar", DL_ARG_SCALAR}, {"string", DL_ARG_STRING}};

static dl_status attr_kind(cursor *c, const char *type, dl_arg *arg) {
    for (size_t k = 0; k < sizeof attr_types / sizeof *attr_types; k++)
        if (strcmp(type, attr_types[k].name) == 0) {
            arg->kind = attr_types[k].kind;
            if (arg->kind == DL_ARG_INT && accept(c, "[]")) arg->kind = DL_ARG_INTS;
            return DL_OK;
        }
    return expected_at(c, c->at - strlen(type), "Tensor, int, int[], float, bool, dtype, Scalar or string");
}

/* A default value: a number, or nothing for an empty int[]. Strings have none. */
static dl_status default_value(cursor *c, dl_arg *arg) {
    skip(c);
    if (arg->kind == DL_ARG_INTS) {
        arg->fallback = (dl_attr){.kind = DL_ATTR_INTS, .n = 0};
        return DL_OK;
    }
    if (arg->kind == DL_ARG_STRING) return expected(c, "no default: strings have none");
    char *end, *end_of_integer;
    double f = strtod(c->at, &end);
    int64_t i = strtoll(c->at, &end_of_integer, 10);
    if (end == c->at) return expected(c, "a number as the default");
    int integral = end == end_of_integer;
    if (arg->kind == DL_ARG_FLOAT || (arg->kind == DL_ARG_SCALAR && !integral))
        arg->fallback = (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = f};
    else if (integral)
        arg->fallback = (dl_attr){.kind = DL_ATTR_INT, .v.i = i};
    else
        return expected(c, "an integer as the default");
    c->at = end;
    return DL_OK;
}

static int taken(const dl_op *op, const char *name) {
    for (int32_t k = 0; k < op->n_tensors; k++)
        if (strcmp(op->tensors[k].name, name) == 0) return 1;
    for (int32_t k = 0; k < op->n_attrs; k++)
        if (strcmp(op->attrs[k].name, name) == 0) return 1;
    return 0;
}

static dl_status argument(cursor *c, dl_op *op) {
    char type[24];
    dl_arg arg = {.fixed_type = -1};
    DL_TRY(word(c, type, sizeof type, "", "an argument's type"));
    int tensor = strcmp(type, "Tensor") == 0;
    DL_TRY(tensor ? tensor_type(c, &arg) : attr_kind(c, type, &arg));
    DL_TRY(word(c, arg.name, sizeof arg.name, "", "the argument's name"));
    const char *name_at = c->at - strlen(arg.name);
    if (taken(op, arg.name)) return expected_at(c, name_at, "another name: an earlier argument has this one");
    if (tensor) {
        if (op->n_tensors == DL_MAX_TENSORS) return expected_at(c, name_at, "at most 8 tensor arguments");
        op->n_lists += arg.kind == DL_ARG_LIST;
        op->tensors[op->n_tensors++] = arg;
        return DL_OK;
    }
    if (op->n_attrs == DL_MAX_ATTRS) return expected_at(c, name_at, "at most 16 attributes");
    if (accept(c, "=")) {
        DL_TRY(default_value(c, &arg));
    } else {
        if (op->n_required < op->n_attrs) return expected(c, "a default: an earlier attribute has one");
        op->n_required++;
    }
    op->attrs[op->n_attrs++] = arg;
    return DL_OK;
}

static dl_status outputs(cursor *c, dl_op *op) {
    op->n_outs = 1;
    if (!accept(c, "->")) return DL_OK;
    op->n_outs = 0;
    skip(c);
    if (!*c->at) return DL_OK;
    do {
        if (!accept(c, "Tensor")) return expected(c, "Tensor");
        if (op->n_outs == DL_MAX_OUTS) return expected_at(c, c->at - strlen("Tensor"), "at most 4 outputs");
        op->n_outs++;
    } while (accept(c, ","));
    return DL_OK;
}

dl_status dl_signature_parse(const char *sig, dl_op *op) {
    cursor c = {sig, sig};
    op->n_tensors = op->n_lists = op->n_attrs = op->n_outs = op->n_required = 0;
    DL_TRY(word(&c, op->name, sizeof op->name, ":.", "an op's name"));
    if (!accept(&c, "(")) return expected(&c, "'('");
    if (!accept(&c, ")")) {
        do DL_TRY(argument(&c, op));
        while (accept(&c, ","));
        if (!accept(&c, ")")) return expected(&c, "',' or ')'");
    }
    DL_TRY(outputs(&c, op));
    skip(&c);
    return *c.at ? expected(&c, "the end") : DL_OK;
}
