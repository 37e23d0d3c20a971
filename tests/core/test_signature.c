/* test_signature.c - core/signature.c: every form of a signature, and every refusal with its column. */
#include "core/op.h"
#include "engine_support.h"

static dl_op parsed(const char *sig) {
    dl_op op = {0};
    if (dl_signature_parse(sig, &op) != DL_OK) fail_msg("%s", dl_last_error());
    return op;
}

static void test_tensors(void **state) {
    (void)state;
    dl_op op =
        parsed("acme::f.x( Tensor x , Tensor? bias, Tensor[] xs, Tensor! p, Tensor![] ps, Tensor:bool mask) -> Tensor, Tensor");
    static const dl_arg_kind kinds[] = {DL_ARG_TENSOR, DL_ARG_OPTIONAL, DL_ARG_LIST, DL_ARG_TENSOR, DL_ARG_LIST, DL_ARG_TENSOR};
    static const char *const names[] = {"x", "bias", "xs", "p", "ps", "mask"};
    assert_string_equal(op.name, "acme::f.x");
    assert_int_equal(op.n_tensors, 6);
    assert_int_equal(op.n_lists, 2);
    assert_int_equal(op.n_outs, 2);
    for (int k = 0; k < 6; k++) {
        assert_string_equal(op.tensors[k].name, names[k]);
        assert_int_equal(op.tensors[k].kind, kinds[k]);
        assert_int_equal(op.tensors[k].written, k == 3 || k == 4);
        assert_int_equal(op.tensors[k].fixed_type, k == 5 ? DL_BOOL : -1);
    }
}

static void test_attributes(void **state) {
    (void)state;
    dl_op op = parsed("f(int n, int[] dims=, float eps=1e-5, Scalar a=1, Scalar b=-inf, bool c=1, dtype t=-1, Scalar d=1.5, "
                      "Tensor x, float e=2, float nothing=nan)");
    assert_int_equal(op.n_tensors, 1);
    assert_int_equal(op.n_attrs, 10);
    assert_int_equal(op.n_required, 1);
    assert_int_equal(op.attrs[0].fallback.kind, DL_ATTR_NONE);
    assert_int_equal(op.attrs[1].fallback.kind, DL_ATTR_INTS);
    assert_int_equal(op.attrs[1].fallback.n, 0);
    assert_true(op.attrs[2].fallback.v.f == 1e-5);
    assert_int_equal(op.attrs[3].fallback.kind, DL_ATTR_INT);
    assert_int_equal(op.attrs[3].fallback.v.i, 1);
    assert_int_equal(op.attrs[4].fallback.kind, DL_ATTR_FLOAT);
    assert_true(op.attrs[4].fallback.v.f == -INFINITY);
    assert_int_equal(op.attrs[5].fallback.v.i, 1);
    assert_int_equal(op.attrs[6].fallback.v.i, -1);
    assert_int_equal(op.attrs[7].fallback.kind, DL_ATTR_FLOAT);
    assert_int_equal(op.attrs[8].fallback.kind, DL_ATTR_FLOAT);
    assert_true(op.attrs[8].fallback.v.f == 2);
    assert_true(isnan(op.attrs[9].fallback.v.f));
}

static void test_outputs(void **state) {
    (void)state;
    assert_int_equal(parsed("f()").n_outs, 1);
    assert_int_equal(parsed("f(Tensor x)").n_outs, 1);
    assert_int_equal(parsed("f() -> ").n_outs, 0);
    assert_int_equal(parsed("f() -> Tensor").n_outs, 1);
    assert_int_equal(parsed("f()->Tensor,Tensor,Tensor,Tensor").n_outs, 4);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *sig, *message;
    } rows[] = {
        {"", "expected an op's name at column 1"},
        {"  (Tensor x)", "expected an op's name at column 3"},
        {"f", "expected '(' at column 2"},
        {"f Tensor x", "expected '(' at column 3"},
        {"f(", "expected an argument's type at column 3"},
        {"f(,", "expected an argument's type at column 3"},
        {"f(Tensor x,)", "expected an argument's type at column 12"},
        {"f(Tensor)", "expected the argument's name at column 9"},
        {"f(Tensor x", "expected ',' or ')' at column 11"},
        {"f(Tensor x y)", "expected ',' or ')' at column 12"},
        {"f(Tensr x)", "expected Tensor, int, int[], float, bool, dtype, Scalar or string at column 3"},
        {"f(Tensor:half x)", "expected a dtype's name at column 10"},
        {"f(Tensor: )", "expected a dtype's name at column 11"},
        {"f(Tensor x, int x)", "expected another name: an earlier argument has this one at column 17"},
        {"f(int a=, int b)", "expected a number as the default at column 9"},
        {"f(int a=x)", "expected a number as the default at column 9"},
        {"f(int a=2.5)", "expected an integer as the default at column 9"},
        {"f(int a=inf)", "expected an integer as the default at column 9"},
        {"f(bool a=1e0)", "expected an integer as the default at column 10"},
        {"f(string s=x)", "expected no default: strings have none at column 12"},
        {"f(int a=1, int b)", "expected a default: an earlier attribute has one at column 17"},
        {"f() Tensor", "expected the end at column 5"},
        {"f() -> int", "expected Tensor at column 8"},
        {"f() -> Tensor,", "expected Tensor at column 15"},
        {"f() -> Tensor Tensor", "expected the end at column 15"},
        {"f() -> Tensor, Tensor, Tensor, Tensor, Tensor", "expected at most 4 outputs at column 40"},
        {"f(Tensor a, Tensor b, Tensor c, Tensor d, Tensor e, Tensor f, Tensor g, Tensor h, Tensor i)",
         "expected at most 8 tensor arguments at column 90"},
        {"f(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l, int m, int n, int o, int p, "
         "int q)",
         "expected at most 16 attributes at column 119"},
        {"f(Tensor abcdefghijklmnopqrstuvwxyz)", "the name at column 10 has 26 characters; at most 23 are possible"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dl_op op = {0};
        assert_fails(dl_signature_parse(rows[k].sig, &op), DL_INVALID, rows[k].message);
        assert_non_null(strstr(dl_last_error(), rows[k].sig));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tensors), cmocka_unit_test(test_attributes),
                                       cmocka_unit_test(test_outputs), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
