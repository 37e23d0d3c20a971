/* test_dispatch.c - core/dispatch.c, infer.c, pointwise_call.c: promotion, broadcasting, outputs given and new, views,
 * refusals. */
#include "engine_support.h"
#include "storage.h"
#include <pthread.h>

/* ---- promotion: what torch.result_type says (PyTorch 2), for add ---------------------------------------------------- */

/* A tensor by letters: dtype letter, then shape. "f32:2" or "i64:" (0-dim). */
static void typed(dl_tensor *t, const char *text) {
    char name[16];
    size_t n = strcspn(text, ":");
    memcpy(name, text, n);
    name[n] = 0;
    static const struct {
        const char *name;
        dl_dtype type;
    } names[] = {{"f32", DL_F32}, {"f64", DL_F64}, {"f16", DL_F16}, {"bf16", DL_BF16}, {"u8", DL_U8},
                 {"i8", DL_I8},   {"i16", DL_I16}, {"i32", DL_I32}, {"i64", DL_I64},   {"bool", DL_BOOL}};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(names[k].name, name) == 0) {
            et_make(t, names[k].type, text + n + 1, (const double[]){1, 1, 1, 1});
            return;
        }
    fail_msg("no dtype '%s'", name);
}

static void test_tensors_promote(void **state) {
    (void)state;
    static const struct {
        const char *a, *b, *result;
    } rows[] = {
        {"f32:2", "f32:2", "float32"},
        {"f32:2", "f64:2", "float64"},
        {"f16:2", "bf16:2", "float32"},
        {"f16:2", "f32:2", "float32"},
        {"u8:2", "i8:2", "int16"},
        {"i16:2", "u8:2", "int16"},
        {"i32:2", "i64:2", "int64"},
        {"bool:2", "u8:2", "uint8"},
        {"i64:2", "f16:2", "float16"},
        {"i64:2", "f32:2", "float32"},
        {"bool:2", "bf16:2", "bfloat16"},
        /* a 0-dim tensor joins only with a higher category */
        {"f32:2", "f64:", "float32"},
        {"f64:", "f32:2", "float32"},
        {"i32:2", "f64:", "float64"},
        {"i32:2", "f16:", "float16"},
        {"u8:2", "i64:", "uint8"},
        {"bool:2", "i16:", "int16"},
        {"bool:2", "f16:", "float16"},
        {"f16:2", "f64:", "float16"},
        {"i64:", "f32:", "float32"},
        {"f32:", "f64:", "float64"},
        {"u8:", "i8:", "int16"},
        {"u8:1", "i64:", "uint8"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dl_tensor a, b, out = {0};
        typed(&a, rows[k].a);
        typed(&b, rows[k].b);
        et_call("add", &out, IN(&a, &b), NONE);
        if (strcmp(dl_dtype_name(out.type), rows[k].result) != 0)
            fail_msg("%s + %s: %s, expected %s", rows[k].a, rows[k].b, dl_dtype_name(out.type), rows[k].result);
        et_clear(&a, &b, &out);
    }
}

static void test_scalars_promote(void **state) {
    (void)state;
    static const struct {
        const char *x;
        dl_attr value;
        const char *result;
    } rows[] = {
        {"f32:2", INT(2), "float32"},  {"f32:2", REAL(2), "float32"}, {"f64:2", REAL(2), "float64"},
        {"f16:2", REAL(2), "float16"}, {"u8:2", INT(2), "uint8"},     {"u8:2", REAL(2), "float32"},
        {"i64:2", REAL(2), "float32"}, {"bool:2", INT(2), "int64"},   {"bool:2", REAL(2), "float32"},
        {"i32:", INT(2), "int32"},     {"f64:", REAL(2), "float64"},  {"f16:", REAL(2), "float16"},
        {"i16:", REAL(2), "float32"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dl_tensor x, out = {0};
        typed(&x, rows[k].x);
        et_call("mul_scalar", &out, IN(&x), &rows[k].value, 1);
        if (strcmp(dl_dtype_name(out.type), rows[k].result) != 0)
            fail_msg("%s * scalar of kind %d: %s, expected %s", rows[k].x, rows[k].value.kind, dl_dtype_name(out.type),
                     rows[k].result);
        et_clear(&x, &out);
    }
}

static void test_rules(void **state) {
    (void)state;
    dl_tensor i, b, out = {0};
    typed(&i, "i32:2");
    typed(&b, "bool:2");
    et_call("div", &out, IN(&i, &i), NONE); /* true division */
    assert_int_equal(out.type, DL_F32);
    dl_tensor_clear(&out);
    et_call("lt", &out, IN(&i, &i), NONE);
    assert_int_equal(out.type, DL_BOOL);
    dl_tensor_clear(&out);
    et_call("exp", &out, IN(&b), NONE);
    assert_int_equal(out.type, DL_F32);
    dl_tensor_clear(&out);
    assert_fails(et_try("sub", &out, IN(&b, &b), NONE), DL_INVALID, "sub");
    assert_null(out.storage);
    et_clear(&i, &b);
}

/* Where the result has the first input's type, a number beyond it becomes the nearest it can hold. */
static void test_numbers_beyond_integers(void **state) {
    (void)state;
    static const struct {
        dl_dtype type;
        double low, high;
    } rows[] = {{DL_U8, 0, 255}, {DL_I8, -128, 127}, {DL_I16, -32768, 32767}, {DL_I32, -2147483648.0, 2147483647}};
    static const double numbers[] = {-INFINITY, -1e30, 1e30, INFINITY};
    dl_tensor mask;
    et_make(&mask, DL_BOOL, "2", (const double[]){0, 1});
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (int j = 0; j < 4; j++) {
            dl_tensor x, out = {0};
            et_make(&x, rows[k].type, "2", (const double[]){3, 3});
            et_call("masked_fill", &out, IN(&x, &mask), ATTR(REAL(numbers[j])));
            assert_int_equal(out.type, rows[k].type);
            EXPECT(&out, 3, j < 2 ? rows[k].low : rows[k].high);
            et_clear(&x, &out);
        }
    dl_tensor_clear(&mask);
}

/* ---- broadcasting --------------------------------------------------------------------------------------------------- */

static void test_broadcast(void **state) {
    (void)state;
    dl_tensor column, row, scalar, out = {0}, empty, big;
    et_make(&column, DL_F32, "2,1", (const double[]){10, 20});
    et_make(&row, DL_F32, "3", (const double[]){1, 2, 3});
    et_make(&scalar, DL_F32, "", (const double[]){100});
    et_make(&empty, DL_F32, "0,1", NULL);
    et_make(&big, DL_F32, "4", NULL);
    et_call("add", &out, IN(&column, &row), NONE);
    assert_int_equal(out.ndim, 2);
    EXPECT(&out, 11, 12, 13, 21, 22, 23);
    dl_tensor_clear(&out);
    et_call("add", &out, IN(&row, &scalar), NONE);
    assert_int_equal(out.ndim, 1);
    EXPECT(&out, 101, 102, 103);
    dl_tensor_clear(&out);
    et_call("add", &out, IN(&empty, &row), NONE);
    assert_int_equal(out.ndim, 2);
    assert_int_equal(out.shape[0], 0);
    assert_int_equal(out.shape[1], 3);
    dl_tensor_clear(&out);
    assert_fails(et_try("add", &out, IN(&row, &big), NONE), DL_INVALID,
                 "add: shapes float32 (3) and float32 (4) cannot be broadcast: sizes must be equal or 1, counted from the last "
                 "dimension");
    assert_null(out.storage);
    assert_int_equal(out.ndim, 0);
    et_clear(&column, &row, &scalar, &empty, &big);
}

/* ---- given outputs -------------------------------------------------------------------------------------------------- */

static void test_in_place(void **state) {
    (void)state;
    dl_tensor x, y;
    et_make(&x, DL_F32, "2,2", (const double[]){1, 2, 3, 4});
    et_make(&y, DL_F32, "2,2", (const double[]){10, 20, 30, 40});
    const void *storage = x.storage;
    int64_t version = dl_storage_version(x.storage), other = dl_storage_version(y.storage);
    et_call("add", &x, IN(&x, &y), NONE);
    EXPECT(&x, 11, 22, 33, 44);
    assert_ptr_equal(x.storage, storage);
    assert_true(dl_storage_version(x.storage) > version);
    assert_int_equal(dl_storage_version(y.storage), other);
    et_call("mul", &x, IN(&x, &x), NONE); /* both inputs are the output */
    EXPECT(&x, 121, 484, 1089, 1936);
    et_clear(&x, &y);
}

static void view(const char *op, dl_tensor *out, const dl_tensor *x, const dl_attr *attr, int32_t n) {
    assert_ok(dl_view(dl_op_find(op), x, out, attr, n));
}

static void test_overlap_is_computed_aside(void **state) {
    (void)state;
    dl_tensor x, head, tail, t, matrix, first;
    et_make(&x, DL_F32, "5", (const double[]){1, 2, 3, 4, 5});
    view("slice", &head, &x, ATTR(INT(0), INT(0), INT(4)));
    view("slice", &tail, &x, ATTR(INT(0), INT(1), INT(4)));
    et_call("add", &tail, IN(&tail, &head), NONE); /* every sum sees the old neighbours */
    EXPECT(&x, 1, 3, 5, 7, 9);
    et_make(&matrix, DL_F32, "2,2", (const double[]){1, 2, 3, 4});
    view("transpose", &t, &matrix, ATTR(INT(0), INT(1)));
    et_call("add", &matrix, IN(&matrix, &t), NONE);
    EXPECT(&matrix, 2, 5, 5, 8);
    view("select", &first, &matrix, ATTR(INT(0), INT(0)));
    et_call("add", &matrix, IN(&matrix, &first), NONE); /* an overlapping row, broadcast */
    EXPECT(&matrix, 4, 10, 7, 13);
    et_call("matmul", &matrix, IN(&matrix, &matrix), NONE); /* no kernel may read what it writes */
    EXPECT(&matrix, 4 * 4 + 10 * 7, 4 * 10 + 10 * 13, 7 * 4 + 13 * 7, 7 * 10 + 13 * 13);
    et_call("copy", &tail, IN(&head), NONE);
    EXPECT(&x, 1, 1, 3, 5, 7);
    et_clear(&x, &matrix);
}

/* Parts of one storage that do not meet need no temporary. */
static void test_disjoint_parts(void **state) {
    (void)state;
    dl_tensor x, a, b;
    et_make(&x, DL_F32, "2,2", (const double[]){1, 2, 3, 4});
    view("select", &a, &x, ATTR(INT(0), INT(0)));
    view("select", &b, &x, ATTR(INT(0), INT(1)));
    dl_memory_stats before, after;
    assert_ok(dl_memory(NULL, &before));
    et_call("add", &a, IN(&a, &b), NONE);
    assert_ok(dl_memory(NULL, &after));
    assert_int_equal(after.allocations, before.allocations);
    EXPECT(&x, 4, 6, 3, 4);
    dl_tensor_clear(&x);
}

static void test_given_dtype(void **state) {
    (void)state;
    dl_tensor x, wide, whole, flags, half, out64, bytes;
    et_make(&x, DL_F32, "2", (const double[]){1.5, 2.5});
    et_make(&wide, DL_F64, "2", (const double[]){1, 2});
    et_make(&whole, DL_I32, "2", (const double[]){3, 4});
    et_make(&flags, DL_BOOL, "2", (const double[]){0, 1});
    et_make(&half, DL_F16, "2", (const double[]){0, 0});
    et_make(&out64, DL_F64, "2", (const double[]){0, 0});
    et_call("add", &x, IN(&x, &wide), NONE); /* computed in f64, stored as f32 */
    assert_int_equal(x.type, DL_F32);
    EXPECT(&x, 2.5, 4.5);
    et_call("mul", &out64, IN(&x, &whole), NONE);
    EXPECT(&out64, 7.5, 18);
    et_call("add", &half, IN(&x, &x), NONE);
    EXPECT(&half, 5, 9);
    assert_fails(et_try("add", &whole, IN(&whole, &x), NONE), DL_INVALID,
                 "add: a float32 result cannot be stored in a int32 tensor; convert it first");
    EXPECT(&whole, 3, 4);
    assert_fails(et_try("add", &flags, IN(&flags, &whole), NONE), DL_INVALID, "cannot be stored in a bool tensor");
    et_call("lt", &half, IN(&x, &wide), NONE);
    EXPECT(&half, 0, 0);
    et_make(&bytes, DL_U8, "2", (const double[]){7, 7});
    et_call("lt", &bytes, IN(&whole, &wide), NONE);
    EXPECT(&bytes, 0, 0);
    et_call("ge", &bytes, IN(&whole, &wide), NONE);
    EXPECT(&bytes, 1, 1);
    et_call("logical_not", &bytes, IN(&bytes), NONE);
    EXPECT(&bytes, 0, 0);
    et_clear(&x, &wide, &whole, &flags, &half, &out64, &bytes);
}

static void test_given_shape(void **state) {
    (void)state;
    dl_tensor x, small, expanded, one;
    et_make(&x, DL_F32, "2,3", NULL);
    et_make(&small, DL_F32, "3", (const double[]){1, 2, 3});
    et_make(&one, DL_F32, "1", (const double[]){5});
    assert_fails(et_try("add", &small, IN(&small, &x), NONE), DL_INVALID,
                 "add: the result has shape float32 (2, 3), but the tensor given for it is float32 (3)");
    EXPECT(&small, 1, 2, 3);
    view("expand", &expanded, &one, ATTR(INTS(3)));
    assert_fails(et_try("add", &expanded, IN(&small, &small), NONE), DL_INVALID, "add: cannot write into an expanded tensor");
    assert_fails(et_try("copy", &expanded, IN(&small), NONE), DL_INVALID, "cannot write into an expanded tensor");
    EXPECT(&one, 5);
    dl_tensor flat;
    et_make(&flat, DL_F32, "6", NULL);
    assert_fails(et_try("reshape", &flat, IN(&x), ATTR(INTS(3, 2))), DL_INVALID,
                 "reshape: the result has shape float32 (3, 2)");
    et_call("reshape", &flat, IN(&x), ATTR(INTS(6)));
    dl_tensor again = {0};
    et_call("reshape", &again, IN(&x), ATTR(INTS(-1)));
    et_same_bits(&flat, &again);
    et_clear(&x, &small, &one, &flat, &again);
}

/* ---- views ---------------------------------------------------------------------------------------------------------- */

static void test_views(void **state) {
    (void)state;
    dl_tensor x, v, owned = {0}, bad;
    et_make(&x, DL_F32, "2,3", (const double[]){1, 2, 3, 4, 5, 6});
    int32_t references = dl_storage_references(x.storage);
    view("transpose", &v, &x, ATTR(INT(0), INT(1)));
    assert_true(v.flags & DL_TENSOR_BORROWED);
    assert_int_equal(dl_storage_references(x.storage), references);
    EXPECT(&v, 1, 4, 2, 5, 3, 6);
    et_call("transpose", &owned, IN(&x), ATTR(INT(0), INT(1)));
    assert_false(owned.flags & DL_TENSOR_BORROWED);
    assert_int_equal(dl_storage_references(x.storage), references + 1);
    assert_fails(dl_view(dl_op_find("select"), &x, &bad, ATTR(INT(0), INT(2))), DL_INVALID, "select");
    assert_null(bad.storage);
    assert_int_equal(bad.ndim, 0);
    assert_fails(dl_view(dl_op_find("add"), &x, &bad, NONE), DL_INVALID, "no view");
    dl_tensor empty = {0};
    assert_fails(dl_view(dl_op_find("select"), &empty, &bad, ATTR(INT(0), INT(0))), DL_INVALID, "empty");
    assert_fails(et_try("transpose", &owned, IN(&x), ATTR(INT(0), INT(1))), DL_INVALID,
                 "a view cannot be written into a given tensor");
    assert_ok(dl_requires_grad(&x, 1));
    assert_fails(dl_view(dl_op_find("transpose"), &x, &bad, ATTR(INT(0), INT(1))), DL_UNSUPPORTED, "dl_call");
    dl_tensor_clear(&owned);
    dl_tensor_clear(&x);
}

/* A borrowed view that becomes a parameter owns its storage from then on. */
static void test_borrowed_leaf(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    dl_tensor x, v;
    et_make(&x, DL_F32, "4", NULL);
    view("slice", &v, &x, ATTR(INT(0), INT(0), INT(2)));
    assert_ok(dl_requires_grad(&v, 1));
    assert_int_equal(dl_is_recorded(&v), 1);
    dl_tensor_clear(&x);
    dl_tensor y = {0}, s = {0};
    et_call("mul", &y, IN(&v, &v), NONE);
    et_call("sum", &s, IN(&y), ATTR({.kind = DL_ATTR_INTS}));
    et_backward(&s);
    et_clear(&y, &s, &v);
    assert_int_equal(et_live_bytes(), live);
}

/* ---- refusals ------------------------------------------------------------------------------------------------------- */

static void test_bad_calls(void **state) {
    (void)state;
    dl_tensor x, out = {0}, empty = {0};
    et_make(&x, DL_F32, "2", NULL);
    assert_fails(et_try("add", &out, IN(&x), NONE), DL_INVALID, "add: expected 2 tensors, got 1; signature: add(");
    assert_fails(et_try("add", &out, IN(&x, NULL), NONE), DL_INVALID, "add: tensor 'b' is missing");
    assert_fails(et_try("add", &out, IN(&empty, &x), NONE), DL_INVALID, "add: tensor 'a' is empty (it has no storage)");
    assert_fails(dl_call(dl_op_find("add"), IN(&x, &x), NULL, 0, NULL, 0), DL_INVALID, "add: expected 1 outputs, got 0");
    assert_fails(dl_call(-1, IN(&x), NULL, 0, NULL, 0), DL_INVALID, "there is no op number -1");
    assert_fails(et_try("sum", &out, IN(&x), ATTR(INTS(1))), DL_INVALID, "sum");
    assert_fails(et_try("cat", &out, IN(&x, NULL), ATTR(INT(0))), DL_INVALID, "cat: tensor 'xs' is missing");
    assert_null(out.storage);
    dl_tensor g = {0}; /* a gradient op called by hand: what its program reads must be there */
    et_make(&g, DL_F32, "2", (const double[]){1, 1});
    assert_ok(dl_requires_grad(&x, 1));
    et_call("mul", &out, IN(&x, &x), NONE); /* makes mul.d0 */
    assert_true(dl_op_find("mul.d0") >= 0);
    dl_tensor r = {0};
    assert_fails(et_try("mul.d0", &r, IN(NULL, &x, &x, NULL), NONE), DL_INVALID, "tensor 'g' is missing");
    assert_fails(et_try("mul.d0", &r, IN(&g, &x, NULL, NULL), NONE), DL_INVALID, "tensor 'b' is missing");
    et_clear(&x, &out, &g);
}

/* A data-dependent refusal comes from the kernel, when the output has been made already. */
static void test_failure_leaves_outputs_empty(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    dl_tensor x, index, out = {0}, ten, zero, given;
    et_make(&x, DL_F32, "3", NULL);
    et_make(&index, DL_I64, "2", (const double[]){0, 3});
    assert_fails(et_try("index_select", &out, IN(&x, &index), ATTR(INT(0))), DL_INVALID, "index_select");
    assert_null(out.storage);
    assert_int_equal(out.ndim, 0);
    et_make(&ten, DL_I32, "2", (const double[]){10, 10});
    et_make(&zero, DL_I32, "2", (const double[]){0, 5});
    assert_fails(et_try("idiv", &out, IN(&ten, &zero), NONE), DL_INVALID, "idiv");
    assert_null(out.storage);
    et_make(&given, DL_F32, "2", (const double[]){7, 8});
    assert_fails(et_try("index_select", &given, IN(&x, &index), ATTR(INT(0))), DL_INVALID, "index_select");
    assert_non_null(given.storage);
    et_clear(&x, &index, &ten, &zero, &given);
    assert_int_equal(et_live_bytes(), live);
}

static void test_interrupt(void **state) {
    (void)state;
    dl_tensor x, out = {0};
    et_make(&x, DL_F32, "2", (const double[]){1, 2});
    dl_interrupt();
    assert_int_equal(dl_interrupted(), 1);
    assert_fails(et_try("neg", &out, IN(&x), NONE), DL_INTERRUPTED, "interrupted");
    assert_null(out.storage);
    et_call("neg", &out, IN(&x), NONE); /* once */
    EXPECT(&out, -1, -2);
    et_clear(&x, &out);
}

static void test_random_calls_are_numbered(void **state) {
    (void)state;
    dl_tensor a = {0}, b = {0}, again = {0};
    dl_seed(5);
    et_call("uniform", &a, NONE, ATTR(INTS(8)));
    assert_int_equal(dl_random_call(), 1);
    et_call("uniform", &b, NONE, ATTR(INTS(8)));
    dl_set_random_call(0);
    et_call("uniform", &again, NONE, ATTR(INTS(8)));
    et_same_bits(&a, &again);
    double x[8], y[8];
    et_values(&a, x);
    et_values(&b, y);
    assert_memory_not_equal(x, y, sizeof x);
    et_clear(&a, &b, &again);
}

static void test_storage_that_moved(void **state) {
    (void)state;
    dl_tensor x, out = {0};
    et_make(&x, DL_F32, "2", (const double[]){1, 2});
    assert_ok(dl_storage_resize(x.storage, 1 << 20));
    et_call("neg", &out, IN(&x), NONE);
    EXPECT(&out, -1, -2);
    et_clear(&x, &out);
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

enum { ROUNDS = 300 };

static void *work(void *user) {
    double offset = *(const double *)user;
    for (int k = 0; k < ROUNDS; k++) {
        dl_tensor w, y = {0}, s = {0};
        et_make(&w, DL_F32, k % 2 ? "4" : "2,3", (const double[]){offset, 1, 2, 3, 4, 5});
        assert_ok(dl_requires_grad(&w, 1));
        et_call("mul", &y, IN(&w, &w), NONE);
        et_call("sum", &s, IN(&y), ATTR({.kind = DL_ATTR_INTS}));
        et_backward(&s);
        if (k % 2)
            EXPECT_GRAD(&w, 2 * offset, 2, 4, 6);
        else
            EXPECT_GRAD(&w, 2 * offset, 2, 4, 6, 8, 10);
        et_clear(&w, &y, &s);
    }
    return NULL;
}

static void test_two_threads(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    pthread_t threads[2];
    static const double offsets[] = {3, 8};
    for (int k = 0; k < 2; k++) assert_int_equal(pthread_create(&threads[k], NULL, work, (void *)&offsets[k]), 0);
    for (int k = 0; k < 2; k++) pthread_join(threads[k], NULL);
    assert_int_equal(et_live_bytes(), live);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_promote),
        cmocka_unit_test(test_scalars_promote),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_numbers_beyond_integers),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_overlap_is_computed_aside),
        cmocka_unit_test(test_disjoint_parts),
        cmocka_unit_test(test_given_dtype),
        cmocka_unit_test(test_given_shape),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_borrowed_leaf),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_failure_leaves_outputs_empty),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_random_calls_are_numbered),
        cmocka_unit_test(test_storage_that_moved),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
