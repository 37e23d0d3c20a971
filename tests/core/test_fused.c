/* test_fused.c - core/fused.c: a fused call equals the separate calls bit for bit, recorded or not. */
#include "engine_support.h"

static const dl_attr slope = REAL(0.1), scale = REAL(1.7);

enum { MAX_LINKS = 10 };

typedef struct chain {
    dl_epilogue links[MAX_LINKS];
    int32_t n;
} chain;

/* "relu sigmoid": names of pointwise ops; leaky_relu and mul_scalar get an attribute. */
static chain links(const char *names) {
    chain c = {.n = 0};
    char name[32];
    for (int used; sscanf(names, " %31s%n", name, &used) == 1; names += used) {
        const dl_attr *attr = strcmp(name, "leaky_relu") == 0 ? &slope : strcmp(name, "mul_scalar") == 0 ? &scale : NULL;
        c.links[c.n] = (dl_epilogue){dl_op_find(name), attr != NULL, attr};
        if (c.links[c.n++].op < 0) fail_msg("there is no op '%s'", name);
    }
    return c;
}

static void separately(const char *op, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr,
                       const chain *c, dl_tensor *out) {
    dl_tensor at = {0};
    et_call(op, &at, in, n_in, attr, n_attr);
    for (int32_t k = 0; k < c->n; k++) {
        dl_tensor next = {0};
        dl_tensor *to = &next;
        assert_ok(dl_call(c->links[k].op, IN(&at), &to, 1, c->links[k].attr, c->links[k].n_attr));
        dl_tensor_clear(&at);
        assert_ok(dl_tensor_alias(&at, &next));
        dl_tensor_clear(&next);
    }
    assert_ok(dl_tensor_alias(out, &at));
    dl_tensor_clear(&at);
}

static uint64_t calls(void) {
    dl_call_stats stats;
    dl_calls(&stats);
    return stats.calls;
}

/* Compares, and says in how many calls the fused one ran. */
static uint64_t compare(const char *op, const dl_tensor *const *in, int32_t n_in, const dl_attr *attr, int32_t n_attr,
                        const char *names) {
    chain c = links(names);
    dl_tensor expected = {0}, got = {0};
    dl_tensor *out = &got;
    separately(op, in, n_in, attr, n_attr, &c, &expected);
    uint64_t before = calls();
    assert_ok(dl_call_fused(dl_op_find(op), in, n_in, &out, 1, attr, n_attr, c.links, c.n));
    uint64_t took = calls() - before;
    assert_int_equal(dl_is_recorded(&got), dl_is_recorded(&expected));
    et_same_bits(&got, &expected);
    et_clear(&got, &expected);
    return took;
}

static const struct {
    const char *names;
    int links;
} chains[] = {{"relu", 1},
              {"sigmoid", 1},
              {"tanh leaky_relu", 2},
              {"mul_scalar relu exp leaky_relu", 4},
              {"", 0},
              {"neg abs neg relu neg abs neg relu neg", 9} /* longer than one program may be */};

static void test_after_linear(void **state) {
    (void)state;
    static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t k = 0; k < sizeof chains / sizeof *chains; k++) {
            dl_tensor x, w, b;
            et_random(&x, types[t], "37,65", 1);
            et_random(&w, types[t], "50,65", 2);
            et_random(&b, types[t], "50", 3);
            uint64_t took = compare("linear", (const dl_tensor *[]){&x, &w, &b}, 3, NULL, 0, chains[k].names);
            if (types[t] != DL_F16 && chains[k].links <= 8 && took > 1)
                fail_msg("%s after linear took %d calls", chains[k].names, (int)took);
            et_clear(&x, &w, &b);
        }
}

static void test_pointwise_chains(void **state) {
    (void)state;
    static const dl_dtype types[] = {DL_F32, DL_F64};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t k = 0; k < sizeof chains / sizeof *chains; k++) {
            dl_tensor x, row, two;
            et_random(&x, types[t], "19,301", 4);
            et_random(&row, types[t], "301", 5);
            assert_ok(dl_view(dl_op_find("transpose"), &x, &two, ATTR(INT(0), INT(1))));
            uint64_t took = compare("sigmoid", IN(&x), NONE, chains[k].names);
            if (chains[k].links < 8) assert_int_equal(took, 1);
            compare("elu", IN(&two), ATTR(REAL(0.5)), chains[k].names);
            took = compare("add", (const dl_tensor *[]){&x, &row}, 2, ATTR(REAL(-0.5)), chains[k].names); /* broadcast */
            if (chains[k].links < 8) assert_int_equal(took, 1);
            et_clear(&x, &row);
        }
}

static void test_types_that_cannot(void **state) {
    (void)state;
    dl_tensor i, f, h, d;
    et_make(&i, DL_I32, "3", (const double[]){-1, 2, 3});
    et_make(&f, DL_F32, "3", (const double[]){-1, 2, 3});
    et_make(&h, DL_F16, "3", (const double[]){-1, 2, 3});
    et_make(&d, DL_F64, "3", (const double[]){-1, 2, 3});
    compare("neg", IN(&i), NONE, "relu exp");
    compare("neg", IN(&h), NONE, "relu exp");
    compare("add", (const dl_tensor *[]){&f, &d}, 2, NONE, "relu exp");
    compare("argmax", IN(&f), ATTR({.kind = DL_ATTR_INTS}), "neg");
    compare("sum", IN(&f), ATTR({.kind = DL_ATTR_INTS}), "relu exp");
    compare("view", IN(&f), ATTR(INTS(3, 1)), "relu exp");
    et_clear(&i, &f, &h, &d);
}

static void test_gradients(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof chains / sizeof *chains; k++)
        for (int fused = 0; fused < 2; fused++) {
            static dl_tensor kept[4];
            dl_tensor x, w, b, y = {0}, s = {0}, g[3] = {{0}};
            et_random(&x, DL_F32, "7,9", 1);
            et_random(&w, DL_F32, "5,9", 2);
            et_random(&b, DL_F32, "5", 3);
            dl_tensor *leaves[] = {&x, &w, &b}, *out = &y;
            for (int j = 0; j < 3; j++) assert_ok(dl_requires_grad(leaves[j], 1));
            chain c = links(chains[k].names);
            if (fused)
                assert_ok(
                    dl_call_fused(dl_op_find("linear"), (const dl_tensor *[]){&x, &w, &b}, 3, &out, 1, NULL, 0, c.links, c.n));
            else
                separately("linear", (const dl_tensor *[]){&x, &w, &b}, 3, NULL, 0, &c, &y);
            et_call("sum", &s, IN(&y), ATTR({.kind = DL_ATTR_INTS}));
            et_backward(&s);
            for (int j = 0; j < 3; j++) {
                assert_ok(dl_grad(leaves[j], &g[j]));
                if (fused) et_same_bits(&g[j], &kept[j]);
                dl_tensor_clear(&kept[j]);
                if (!fused) assert_ok(dl_tensor_alias(&kept[j], &g[j]));
            }
            et_clear(&x, &w, &b, &y, &s, &g[0], &g[1], &g[2]);
        }
}

static void test_recorded_relu_is_one_call(void **state) {
    (void)state;
    dl_tensor x, w, y = {0};
    et_random(&x, DL_F32, "8,8", 1);
    et_random(&w, DL_F32, "8,8", 2);
    assert_ok(dl_requires_grad(&w, 1));
    assert_int_equal(compare("linear", (const dl_tensor *[]){&x, &w, NULL}, 3, NULL, 0, "relu"), 1);
    et_clear(&x, &w, &y);
}

static void test_given_outputs(void **state) {
    (void)state;
    dl_tensor x, y, expected = {0}, wrong;
    et_random(&x, DL_F32, "30", 1);
    et_make(&y, DL_F32, "30", NULL);
    et_make(&wrong, DL_F32, "29", NULL);
    chain c = links("exp mul_scalar");
    separately("neg", IN(&x), NONE, &c, &expected);
    dl_tensor *out[] = {&y}, *in_place[] = {&x}, *bad[] = {&wrong};
    const void *storage = y.storage;
    assert_ok(dl_call_fused(dl_op_find("neg"), IN(&x), out, 1, NULL, 0, c.links, c.n));
    assert_ptr_equal(y.storage, storage);
    et_same_bits(&y, &expected);
    assert_int_equal(dl_call_fused(dl_op_find("neg"), IN(&x), bad, 1, NULL, 0, c.links, c.n), DL_INVALID);
    assert_non_null(wrong.storage);
    assert_ok(dl_call_fused(dl_op_find("neg"), IN(&x), in_place, 1, NULL, 0, c.links, c.n));
    et_same_bits(&x, &expected);
    et_clear(&x, &y, &expected, &wrong);
}

static void test_refusals(void **state) {
    (void)state;
    dl_tensor x, y = {0};
    dl_tensor *out[] = {&y};
    et_random(&x, DL_F32, "3", 1);
    dl_epilogue binary = {dl_op_find("add"), 0, NULL}, none = {-1, 0, NULL},
                bad = {dl_op_find("leaky_relu"), 1, &(dl_attr){.kind = DL_ATTR_STRING, .v.s = "x"}};
    assert_fails(dl_call_fused(dl_op_find("neg"), IN(&x), out, 1, NULL, 0, &binary, 1), DL_INVALID, "add is none");
    assert_fails(dl_call_fused(dl_op_find("neg"), IN(&x), out, 1, NULL, 0, &none, 1), DL_INVALID, "that number is none");
    assert_fails(dl_call_fused(-1, IN(&x), out, 1, NULL, 0, NULL, 0), DL_INVALID, "no op number -1");
    assert_fails(dl_call_fused(dl_op_find("neg"), IN(&x), out, 1, NULL, 0, &bad, 1), DL_INVALID, "expected a number");
    assert_null(y.storage);
    dl_tensor_clear(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_linear),
        cmocka_unit_test(test_pointwise_chains),
        cmocka_unit_test(test_types_that_cannot),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_recorded_relu_is_one_call),
        cmocka_unit_test(test_given_outputs),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
