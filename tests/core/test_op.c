/* test_op.c - core/op.c: registration, its conflicts, attributes, kernels that wait and their order. On the null backend. */
#include "core/op.h"
#include "null_backend.h"
#include <math.h>

static dl_status infer_copy(dl_frame *f) { return dl_failf(DL_INTERNAL, "%u inputs", f->n_in); }

static dl_status never_run(const dl_frame *f, const dl_plan *p) {
    (void)f, (void)p;
    return DL_OK;
}

static dl_op_def definition(const char *sig) { return (dl_op_def){.size = sizeof(dl_op_def), .sig = sig, .infer = infer_copy}; }

static void test_conflict_names_both(void **state) {
    (void)state;
    dl_op_def def = definition("acme::twice(Tensor x)");
    assert_ok(dl_op_add(&def, "acme"));
    int32_t n = dl_op_count();
    assert_fails(dl_op_add(&def, "emca"), DL_INVALID, "op 'acme::twice' of emca is already registered by acme");
    dl_op_def relu = definition("relu(Tensor x)");
    assert_fails(dl_op_add(&relu, "emca"), DL_INVALID, "op 'relu' of emca is already registered by dlrun");
    assert_int_equal(dl_op_count(), n);
}

static void test_bad_definitions(void **state) {
    (void)state;
    dl_op_def def = definition("acme::bad1(Tensor x)");
    def.infer = NULL;
    assert_fails(dl_op_add(&def, "acme"), DL_INVALID, "needs either an expression or an infer function");
    def = definition("acme::bad2(Tensor x)");
    def.saves = "x y";
    assert_fails(dl_op_add(&def, "acme"), DL_INVALID, "saves names 'y', which is no tensor of it");
    def.saves = "x out1";
    assert_fails(dl_op_add(&def, "acme"), DL_INVALID, "saves names 'out1', but it has 1 outputs");
    def = (dl_op_def){.size = sizeof def, .sig = "acme::bad3(Tensor[] xs)", .expr = "xs", .rule = "arith"};
    assert_fails(dl_op_add(&def, "acme"), DL_INVALID, "an expression needs single tensors");
    def = definition("acme::bad4(Tenso x)");
    assert_fails(dl_op_add(&def, "acme"), DL_INVALID, "column 12");
    assert_int_equal(dl_op_find("acme::bad1"), -1);
    assert_int_equal(dl_op_find("acme::bad4"), -1);
}

/* A plugin built with an older header: its shorter definition counts as far as it goes. */
static void test_older_definition(void **state) {
    (void)state;
    dl_op_def def = definition("acme::old(Tensor x)");
    def.size = (uint32_t)offsetof(dl_op_def, saves);
    def.saves = "nonsense";
    assert_ok(dl_op_add(&def, "acme"));
    assert_null(dl_op_named("acme::old")->def.saves);
}

static void test_define(void **state) {
    (void)state;
    int32_t id = -1;
    assert_ok(dl_op_define("cube_plus(Tensor x, Scalar c=1)", "x*x*x + c", "arith", &id));
    assert_string_equal(dl_op_at(id)->name, "cube_plus");
    dl_op_info info;
    assert_ok(dl_op_get(id, &info));
    assert_true(info.flags & DL_OP_POINTWISE);
    assert_int_equal(info.differentiable, 1);
    assert_fails(dl_op_define("cube_plus(Tensor x)", "x", "arith", &id), DL_INVALID, "already registered by this program");
    assert_fails(dl_op_define("broken(Tensor x)", "x +", "arith", &id), DL_INVALID, "column");
    assert_fails(dl_op_define("broken(Tensor x)", "x + y", "arith", &id), DL_INVALID, "y");
    assert_fails(dl_op_define("broken(Tensor x)", "x", "sideways", &id), DL_INVALID, "sideways");
    assert_fails(dl_op_define(NULL, "x", "arith", &id), DL_INVALID, "signature");
    assert_fails(dl_op_define("broken(Tensor x)", NULL, "arith", &id), DL_INVALID, "expression");
    assert_fails(dl_op_define("broken(Tensor x)", "x", NULL, &id), DL_INVALID, "rule");
    assert_int_equal(dl_op_find("broken"), -1);
    assert_fails(dl_op_get(1 << 20, &info), DL_INVALID, "there is no op number");
    assert_fails(dl_op_get(-1, &info), DL_INVALID, "there is no op number");
}

static dl_attr filled(const char *name, dl_attr given, int32_t k) {
    dl_attr all[DL_MAX_ATTRS] = {0}, full[DL_MAX_ATTRS];
    all[k] = given;
    assert_ok(dl_op_attrs(dl_op_named(name), all, k + 1, full));
    return full[k];
}

static void test_attributes(void **state) {
    (void)state;
    dl_op_def def = definition("acme::attrs(Tensor x, int n=3, float f=0.5, Scalar s=1, int[] l=, dtype t=-1, bool b=0)");
    dl_op_def text = definition("acme::text(Tensor x, string s, int n)");
    assert_ok(dl_op_add(&def, "acme"));
    assert_ok(dl_op_add(&text, "acme"));
    const char *name = "acme::attrs";
    dl_attr a = filled(name, (dl_attr){.kind = DL_ATTR_NONE}, 0);
    assert_int_equal(a.v.i, 3);
    a = filled(name, (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = 7}, 0); /* Lua's numbers are floats */
    assert_int_equal(a.kind, DL_ATTR_INT);
    assert_int_equal(a.v.i, 7);
    a = filled(name, (dl_attr){.kind = DL_ATTR_INT, .v.i = 2}, 1);
    assert_int_equal(a.kind, DL_ATTR_FLOAT);
    assert_true(a.v.f == 2);
    assert_int_equal(filled(name, (dl_attr){.kind = DL_ATTR_INT, .v.i = 2}, 2).kind, DL_ATTR_INT);
    assert_int_equal(filled(name, (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = 2}, 2).kind, DL_ATTR_FLOAT);

    dl_attr full[DL_MAX_ATTRS];
    const dl_op *op = dl_op_named(name);
    assert_ok(dl_op_attrs(op, NULL, 0, full));
    assert_true(full[1].v.f == 0.5);
    static const struct {
        dl_attr given;
        int32_t place;
        const char *message;
    } rows[] = {
        {{.kind = DL_ATTR_FLOAT, .v.f = 2.5}, 0, "acme::attrs: argument 'n': expected an integer, got a number"},
        {{.kind = DL_ATTR_FLOAT, .v.f = 1e300}, 0, "argument 'n': expected an integer"},
        {{.kind = DL_ATTR_FLOAT, .v.f = NAN}, 0, "argument 'n': expected an integer"},
        {{.kind = DL_ATTR_STRING, .v.s = "x"}, 0, "argument 'n': expected an integer, got a string"},
        {{.kind = DL_ATTR_INTS}, 1, "argument 'f': expected a number, got a list of integers"},
        {{.kind = DL_ATTR_STRING, .v.s = "x"}, 2, "argument 's': expected a number"},
        {{.kind = DL_ATTR_INT}, 3, "argument 'l': expected a list of integers, got an integer"},
        {{.kind = DL_ATTR_INT, .v.i = DL_DTYPE_COUNT}, 4, "argument 't': 10 is no dtype"},
        {{.kind = DL_ATTR_INT, .v.i = -2}, 4, "argument 't': -2 is no dtype"},
        {{.kind = 77}, 0, "got an unknown kind"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dl_attr all[DL_MAX_ATTRS] = {0};
        all[rows[k].place] = rows[k].given;
        assert_fails(dl_op_attrs(op, all, rows[k].place + 1, full), DL_INVALID, rows[k].message);
    }
    dl_attr many[7] = {{0}};
    assert_fails(dl_op_attrs(op, many, 7, full), DL_INVALID, "expected at most 6 attributes, got 7");
    dl_attr one = {.kind = DL_ATTR_STRING, .v.s = "words"};
    assert_fails(dl_op_attrs(dl_op_named("acme::text"), &one, 1, full), DL_INVALID,
                 "argument 'n' is missing; signature: acme::text(");
    assert_fails(dl_op_attrs(dl_op_named("acme::text"), NULL, 0, full), DL_INVALID, "argument 's' is missing");
}

static void test_kernels_wait_and_rank(void **state) {
    (void)state;
    static dl_kernel_entry kernels[DL_MAX_KERNELS + 2];
    static const char *const sig = "acme::ranked(Tensor x)";
    for (int32_t k = 0; k < DL_MAX_KERNELS + 2; k++) {
        kernels[k].kernel =
            (dl_kernel){.size = sizeof(dl_kernel), .priority = k % 5, .op = "acme::ranked", .backend = "cpu", .run = never_run};
        if (k == 1) { /* the op comes after its first kernel */
            dl_op_def def = definition(sig);
            assert_ok(dl_op_add(&def, "acme"));
        }
        dl_kernel_add(&kernels[k]);
    }
    const dl_kernel *const *row = dl_op_named("acme::ranked")->kernels[dl_backend_find("cpu")->number];
    int32_t n = 0;
    for (; row[n]; n++)
        if (n) assert_true(row[n - 1]->priority >= row[n]->priority);
    assert_int_equal(n, DL_MAX_KERNELS - 1); /* the lowest three fell off */
    assert_int_equal(row[0]->priority, 4);
    assert_int_equal(row[n - 1]->priority, 1);
    assert_ptr_equal(row[0], &kernels[4].kernel); /* among equals, who came first */
    int32_t id = dl_op_find("acme::ranked");
    assert_int_equal(dl_op_coverage(id, "cpu"), 3);
    assert_int_equal(dl_op_coverage(id, "far"), 0);
    assert_int_equal(dl_op_coverage(id, "nowhere"), 0);
    assert_int_equal(dl_op_coverage(dl_op_find("linear"), "far"), 1);
    assert_int_equal(dl_op_coverage(dl_op_find("select"), "far"), 3);
}

static void test_every_builtin_op_is_whole(void **state) {
    (void)state;
    for (int32_t id = 0; id < dl_op_count(); id++) {
        dl_op_info info;
        assert_ok(dl_op_get(id, &info));
        assert_int_equal(dl_op_find(info.name), id);
        assert_int_equal(info.id, id);
        assert_true(strncmp(info.signature, info.name, strlen(info.name)) == 0);
        if (strncmp(info.name, "acme::", 6) != 0) assert_true(info.doc[0] != 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conflict_names_both),
                                       cmocka_unit_test(test_bad_definitions),
                                       cmocka_unit_test(test_older_definition),
                                       cmocka_unit_test(test_define),
                                       cmocka_unit_test(test_attributes),
                                       cmocka_unit_test(test_kernels_wait_and_rank),
                                       cmocka_unit_test(test_every_builtin_op_is_whole)};
    return cmocka_run_group_tests(tests, null_install, NULL);
}
