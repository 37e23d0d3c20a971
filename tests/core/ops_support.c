/* ops_support.c - see ops_support.h. */
#include "ops_support.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

dl_dtype ops_float_type = DL_F64;

uint64_t ops_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double ops_uniform(uint64_t *state, double lo, double hi) {
    double x;
    do x = lo + (hi - lo) * (double)(ops_random(state) >> 11) * 0x1p-53;
    while (fabs(2 * x - round(2 * x)) < 0.04);
    return x;
}

typedef struct cursor {
    const char *at, *all;
} cursor;

static int more(cursor *c) {
    while (*c->at == ' ') c->at++;
    return *c->at != 0;
}

static int accept(cursor *c, char token) {
    if (*c->at != token) return 0;
    c->at++;
    return 1;
}

static double number(cursor *c) {
    char *end;
    double x = strtod(c->at, &end);
    if (end == c->at) fail_msg("'%s': expected a number at '%s'", c->all, c->at);
    c->at = end;
    return x;
}

static dl_dtype type_letter(cursor *c) {
    static const char letters[] = "dcwfhixnub";
    static const dl_dtype types[] = {DL_F64, DL_F64, DL_F64, DL_F32, DL_F16, DL_I64, DL_I64, DL_I32, DL_U8, DL_BOOL};
    const char *letter = *c->at ? strchr(letters, *c->at) : NULL;
    if (!letter || c->at[1] != ':') return ops_float_type;
    c->at += 2;
    return types[letter - letters];
}

static int32_t sizes(cursor *c, int64_t *shape) {
    int32_t n = 0;
    if (accept(c, '(')) {
        assert_true(accept(c, ')'));
        return 0;
    }
    do shape[n++] = (int64_t)number(c);
    while (accept(c, ','));
    return n;
}

static void swap(int64_t *a, int64_t *b) {
    int64_t x = *a;
    *a = *b;
    *b = x;
}

static void make_tensor(cursor *c, dl_tensor *t, uint64_t *state) {
    int64_t shape[DL_MAX_DIMS];
    dl_dtype type = type_letter(c);
    int32_t n = sizes(c, shape);
    int floating = type == DL_F64 || type == DL_F32 || type == DL_F16, transposed = accept(c, '^');
    double lo = floating ? -2 : 0, hi = 2;
    if (accept(c, '@')) {
        lo = number(c);
        assert_true(accept(c, ':'));
        hi = number(c);
    }
    if (transposed) swap(&shape[n - 1], &shape[n - 2]);
    dl_tensor values = {0}, made = {0};
    assert_int_equal(dl_tensor_new(&values, DL_F64, n, shape, dl_default_device()), DL_OK);
    double *x = dl_tensor_data(&values);
    for (int64_t k = 0; k < dl_tensor_count(&values); k++)
        x[k] = floating ? ops_uniform(state, lo, hi) : lo + (double)(ops_random(state) % (uint64_t)(hi - lo));
    assert_int_equal(dl_tensor_to(&made, &values, dl_default_device(), type), DL_OK);
    if (transposed) {
        swap(&made.shape[n - 1], &made.shape[n - 2]);
        swap(&made.strides[n - 1], &made.strides[n - 2]);
    }
    assert_int_equal(dl_tensor_alias(t, &made), DL_OK);
    dl_tensor_clear(&made);
    dl_tensor_clear(&values);
}

static void make_attr(cursor *c, dl_attr *a, int64_t *ints, char *word) {
    if (accept(c, '_')) return;
    if (accept(c, 'T')) {
        *a = (dl_attr){.kind = DL_ATTR_INT, .v.i = ops_float_type};
        return;
    }
    if (accept(c, '\'')) {
        *a = (dl_attr){.kind = DL_ATTR_STRING, .v.s = word};
        for (size_t n = 0; !accept(c, '\''); word[n] = 0) {
            assert_true(*c->at && n + 1 < OPS_WORD);
            word[n++] = *c->at++;
        }
        return;
    }
    if (accept(c, '[')) {
        *a = (dl_attr){.kind = DL_ATTR_INTS, .v.iv = ints};
        while (!accept(c, ']')) {
            ints[a->n++] = (int64_t)number(c);
            accept(c, ',');
        }
        return;
    }
    const char *start = c->at;
    double x = number(c);
    int whole = strcspn(start, ".ein") >= (size_t)(c->at - start);
    *a = whole ? (dl_attr){.kind = DL_ATTR_INT, .v.i = (int64_t)x} : (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = x};
}

void ops_make(ops_call *call, const char *op, const char *in, const char *attr, uint64_t seed) {
    uint64_t state = seed;
    memset(call, 0, sizeof *call);
    call->op = dl_op_find(op);
    if (call->op < 0) fail_msg("there is no op '%s'", op);
    assert_int_equal(dl_op_get(call->op, &call->info), DL_OK);
    call->n_out = call->info.n_outputs;
    for (int32_t k = 0; k < call->n_out; k++) call->out[k] = &call->results[k];
    for (cursor c = {in, in}; more(&c); call->n_in++) {
        assert_true(call->n_in < OPS_TENSORS);
        if (accept(&c, '-')) continue;
        make_tensor(&c, &call->tensors[call->n_in], &state);
        call->in[call->n_in] = &call->tensors[call->n_in];
    }
    for (cursor c = {attr, attr}; more(&c); call->n_attr++) {
        assert_true(call->n_attr < OPS_ATTRS);
        make_attr(&c, &call->attr[call->n_attr], call->ints[call->n_attr], call->words[call->n_attr]);
    }
}

dl_status ops_run(ops_call *call) {
    ops_forget(call);
    return dl_call(call->op, call->in, call->n_in, call->out, call->n_out, call->attr, call->n_attr);
}

void ops_forget(ops_call *call) {
    for (int32_t k = 0; k < call->n_out; k++) dl_tensor_clear(&call->results[k]);
}

void ops_free(ops_call *call) {
    ops_forget(call);
    for (int32_t k = 0; k < call->n_in; k++) dl_tensor_clear(&call->tensors[k]);
}
