/* engine_support.h - short forms for tests of the engine on the CPU backend: tensors from text and values, calls by name. */
#ifndef ENGINE_SUPPORT_H
#define ENGINE_SUPPORT_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Arguments of et_call: tensors with their number, attributes with theirs. */
#define ET_COUNT(type, ...) (int32_t)(sizeof((type[]){__VA_ARGS__}) / sizeof(type))
#define IN(...) (const dl_tensor *[]){__VA_ARGS__}, ET_COUNT(const dl_tensor *, __VA_ARGS__)
#define ATTR(...) (const dl_attr[]){__VA_ARGS__}, ET_COUNT(dl_attr, __VA_ARGS__)
#define NONE NULL, 0
#define INT(x)                                                                                                                 \
    { .kind = DL_ATTR_INT, .v.i = (x) }
#define REAL(x)                                                                                                                \
    { .kind = DL_ATTR_FLOAT, .v.f = (x) }
#define INTS(...)                                                                                                              \
    {                                                                                                                          \
        .kind = DL_ATTR_INTS, .n = ET_COUNT(int64_t, __VA_ARGS__), .v.iv = (const int64_t[]) { __VA_ARGS__ }                   \
    }

/* The call fails with this status, and its message holds `words`. */
#define assert_fails(call, status, words)                                                                                      \
    do {                                                                                                                       \
        assert_int_equal(call, status);                                                                                        \
        if (!strstr(dl_last_error(), words)) fail_msg("'%s' lacks '%s'", dl_last_error(), words);                              \
    } while (0)
#define assert_ok(call)                                                                                                        \
    do {                                                                                                                       \
        dl_status ok_status_ = (call);                                                                                         \
        if (ok_status_ != DL_OK) fail_msg("%s: %s", #call, dl_last_error());                                                   \
    } while (0)

int et_start(void **state); /* a cmocka group setup: dl_init with the CPU plugin */

/* A new tensor; shape as "2,3" ("" is 0-dim). values NULL: a fixed irregular sequence in -2..2 that depends on `seed`. */
void et_make(dl_tensor *t, dl_dtype type, const char *shape, const double *values);
void et_random(dl_tensor *t, dl_dtype type, const char *shape, uint64_t seed);
void et_leaf(dl_tensor *t, const char *shape, const double *values); /* float32, requires a gradient */

/* dl_call of an op with one output. */
dl_status et_try(const char *op, dl_tensor *out, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr);
void et_call(const char *op, dl_tensor *out, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr);

void et_values(const dl_tensor *t, double *values);                  /* any dtype, logical order */
double et_value(const dl_tensor *t);                                 /* of a tensor of one element */
void et_expect(const dl_tensor *t, int32_t n, const double *values); /* within 1e-6 relative */
#define EXPECT(t, ...) et_expect(t, ET_COUNT(double, __VA_ARGS__), (const double[]){__VA_ARGS__})
void et_same_bits(const dl_tensor *a, const dl_tensor *b);

void et_backward(const dl_tensor *root);                                     /* dl_backward from one element into the leaves */
void et_expect_grad(const dl_tensor *leaf, int32_t n, const double *values); /* n 0: there is none */
#define EXPECT_GRAD(t, ...) et_expect_grad(t, ET_COUNT(double, __VA_ARGS__), (const double[]){__VA_ARGS__})
uint64_t et_live_bytes(void);

/* Clears tensors: et_clear(&a, &b). */
void et_clear_all(dl_tensor *const *t, int32_t n);
#define et_clear(...) et_clear_all((dl_tensor *[]){__VA_ARGS__}, ET_COUNT(dl_tensor *, __VA_ARGS__))
#endif
