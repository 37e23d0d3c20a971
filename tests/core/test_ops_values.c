/* test_ops_values.c - known answers of ops that only move elements: compositions of core/ops, views and view_backward. */
#include "dlrun/dlrun.h"
#include "ops_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Element n of input k, in memory order, is 100*k + n. */
static const struct row {
    const char *op, *in, *attr, *expected;
} rows[] = {
    {"reshape", "2,3", "[3,2]", "0 1 2 3 4 5"},
    {"reshape", "2,3^", "[6]", "0 2 4 1 3 5"},
    {"reshape", "2,2,2^", "[4,-1]", "0 2 1 3 4 6 5 7"},
    {"reshape", "()", "[1]", "0"},
    {"stack", "2 2 2", "0", "0 1 100 101 200 201"},
    {"stack", "2 2 2", "1", "0 100 200 1 101 201"},
    {"stack", "2,2 2,2^", "-1", "0 100 1 102 2 101 3 103"},
    {"stack", "() ()", "0", "0 100"},
    {"repeat", "2", "[2]", "0 1 0 1"},
    {"repeat", "2,2", "[1,2]", "0 1 0 1 2 3 2 3"},
    {"repeat", "2,2^", "[2,1]", "0 2 1 3 0 2 1 3"},
    {"repeat", "2", "[2,1]", "0 1 0 1"},
    {"repeat", "1,2", "[2,2]", "0 1 0 1 0 1 0 1"},
    {"repeat", "2", "[0]", ""},
    {"sum_to", "2,3", "[3]", "3 5 7"},
    {"sum_to", "2,3", "[2,1]", "3 12"},
    {"sum_to", "2,3", "[]", "15"},
    {"sum_to", "2,3^", "[1,3]", "1 5 9"},
    {"sum_to", "2,3^", "[2,3]", "0 2 4 1 3 5"},
    {"sum_to", "0,2", "[2]", "0 0"},
    {"reduce", "2,3", "1 6", "3 12"},
    {"reduce", "2,3^", "1 8", "0 15"},
    {"reduce", "2,3", "2 13", "5"},
    {"reduce", "2,2,2", "2 14", "0 4"},
    {"reduce", "2,2", "0 6", "0 1 2 3"},
    {"reduce", "2,0", "1 8", "1 1"},
    {"gemm", "1,2,1 1,1,2", "", "0 0 100 101"},
    {"gemm", "1,1,2^ 1,2,1", "", "101"},
    {"fill", "2,2", "7", "7 7 7 7"},
    {"ramp", "2,2^", "5 2", "5 7 9 11"},
    {"view_backward", "2", "[5] [2] 1", "0 0 0 1 0"},
    {"view_backward", "2,2", "[3,3] [3,1] 4", "0 0 0 0 0 1 0 2 3"},
    {"view_backward", "2,2^", "[2,2] [2,1]", "0 2 1 3"},
    {"view_backward", "2,2", "[2,2] [1,2]", "0 2 1 3"},
    {"view_backward", "3,2", "[4] [1,1]", "0 3 7 5"},
    {"view_backward", "4", "[2] [0] 1", "0 6"},
    {"view_backward", "()", "[2,2] [] 3", "0 0 0 0"},
    {"view_backward", "0", "[2] [1]", "0 0"},
    {"pad", "2,2", "[1,0] 'constant' 7", "7 0 1 7 2 3"},
    {"pad", "2,2", "[0,1,1,0] 'constant'", "0 0 0 0 1 0 2 3 0"},
    {"pad", "2,3", "[-1,0] 'constant'", "1 2 4 5"},
    {"pad", "2,3", "[1,-2,0,-1] 'constant' 7", "7 0"},
    {"pad", "2,2^", "[1,0] 'constant'", "0 0 2 0 1 3"},
    {"pad", "3", "[5,-5] 'constant' 7", "7 7 7"},
    {"pad", "3", "[-4,2] 'constant' 7", "7"},
    {"pad", "3", "[-3,2] 'replicate'", "2 2"},
    {"pad", "0,2", "[1,0,1,0] 'constant' 7", "7 7 7"},
    {"pad", "2", "[] 'constant'", "0 1"},
    {"pad", "4", "[3,2] 'reflect'", "3 2 1 0 1 2 3 2 1"},
    {"pad", "2,3", "[1,1] 'reflect'", "1 0 1 2 1 4 3 4 5 4"},
    {"pad", "4", "[-1,2] 'reflect'", "1 2 3 2 1"},
    {"pad", "3", "[2,1] 'replicate'", "0 0 0 1 2 2"},
    {"pad", "2,2", "[0,0,1,2] 'replicate'", "0 1 0 1 2 3 2 3 2 3"},
    {"pad", "3", "[2,3] 'circular'", "1 2 0 1 2 0 1 2"},
    {"pad", "4", "[-1,2] 'circular'", "1 2 3 1 2"},
    {"select", "2,3", "0 1", "3 4 5"},
    {"slice", "2,4", "1 1 2 2", "1 3 5 7"},
    {"unfold", "4", "0 3 1", "0 1 2 1 2 3"},
    {"diagonal", "3,3", "1", "1 5"},
    {"permute", "2,1,3", "[2,0,1]", "0 3 1 4 2 5"},
    {"expand", "2,1", "[2,2,2]", "0 0 1 1 0 0 1 1"},
    {"as_strided", "5", "[2,3] [1,1] 1", "1 2 3 2 3 4"},
};

static const char letters[] = "dfhinu";

/* The call with every input in the dtype of `letter`. */
static void make(ops_call *c, const struct row *r, char letter) {
    char in[128];
    size_t at = 0;
    for (const char *s = r->in; *s; s++) {
        if (s == r->in || s[-1] == ' ') at += (size_t)snprintf(in + at, sizeof in - at, "%c:", letter);
        in[at++] = *s;
    }
    in[at] = 0;
    ops_make(c, r->op, in, r->attr, 1);
    for (int32_t k = 0; k < c->n_in; k++) { /* through a contiguous view of the same memory */
        const int64_t n = dl_tensor_count(c->in[k]);
        double x[32];
        dl_tensor flat = {0}, values = {0}, *to = &flat;
        for (int64_t i = 0; i < n; i++) x[i] = (double)(100 * k + i);
        assert_int_equal(dl_tensor_on(&flat, c->tensors[k].storage, c->tensors[k].type, 0, 1, &n, NULL), DL_OK);
        assert_int_equal(dl_tensor_new(&values, DL_F64, 1, &n, dl_default_device()), DL_OK);
        assert_int_equal(dl_tensor_write(&values, x, (uint64_t)n * sizeof *x), DL_OK);
        assert_int_equal(dl_call(dl_op_find("copy"), (const dl_tensor *[]){&values}, 1, &to, 1, NULL, 0), DL_OK);
        dl_tensor_clear(&values);
        dl_tensor_clear(&flat);
    }
}

static void describe(const dl_tensor *t, char *text, size_t capacity) {
    dl_tensor values = {0};
    double x[64];
    size_t at = 0;
    assert_true(dl_tensor_count(t) <= 64);
    assert_int_equal(dl_tensor_to(&values, t, dl_default_device(), DL_F64), DL_OK);
    assert_int_equal(dl_tensor_read(&values, x, (uint64_t)dl_tensor_count(t) * sizeof *x), DL_OK);
    text[0] = 0;
    for (int64_t i = 0; i < dl_tensor_count(t); i++) at += (size_t)snprintf(text + at, capacity - at, i ? " %g" : "%g", x[i]);
    dl_tensor_clear(&values);
}

static int check(const struct row *r, char letter) {
    ops_call c;
    char got[512];
    make(&c, r, letter);
    if (ops_run(&c) == DL_OK)
        describe(&c.results[0], got, sizeof got);
    else
        snprintf(got, sizeof got, "%s", dl_last_error());
    ops_free(&c);
    if (strcmp(got, r->expected) == 0) return 0;
    print_error("%s(%s | %s) of dtype '%c': expected %s, got %s\n", r->op, r->in, r->attr, letter, r->expected, got);
    return 1;
}

static void test_values(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (const char *letter = letters; *letter; letter++) wrong += check(&rows[k], *letter);
    assert_int_equal(wrong, 0);
}

/* Into a given tensor whose elements do not lie in order. */
static void test_view_backward_into_strides(void **state) {
    (void)state;
    ops_call c;
    dl_tensor t = {0}, *out = &t;
    char got[64];
    const int64_t shape[] = {2, 3}, strides[] = {1, 2};
    const struct row r = {"view_backward", "3", "[2,3] [2] 1", NULL};
    dl_storage *storage;
    make(&c, &r, 'd');
    assert_int_equal(dl_storage_new(dl_default_device(), 6 * sizeof(double), &storage), DL_OK);
    assert_int_equal(dl_tensor_on(&t, storage, DL_F64, 0, 2, shape, strides), DL_OK);
    dl_storage_release(storage);
    assert_int_equal(dl_call(c.op, c.in, 1, &out, 1, c.attr, c.n_attr), DL_OK);
    describe(&t, got, sizeof got);
    assert_string_equal(got, "0 0 0 1 0 2");
    dl_tensor_clear(&t);
    ops_free(&c);
}

static int start(void **state) {
    (void)state;
    return dl_init();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_view_backward_into_strides),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
