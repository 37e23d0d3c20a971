/* Products by CLBlast (DLRUN_CLBLAST=1 asks for it on CPUs too) against the CPU backend's: transposed, with leading dimensions
 * and offsets, and what CLBlast refuses. */
#include "opencl_support.h"
#include <dlfcn.h>

static int is_loaded(void) {
    void *library = dlopen("libclblast.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (library) dlclose(library);
    return library != NULL;
}

/* A skipped test where the library is not installed. Opening it here would hide whether the backend does. */
static void need_clblast(void) {
    (void)opencl_device_here();
    FILE *f = popen("ls /usr/lib/*/libclblast.so.1 /usr/local/lib/libclblast.so.1 2>/dev/null", "r");
    const int there = f && fgetc(f) != EOF;
    if (f) pclose(f);
    if (there) return;
    print_message("no libclblast.so.1\n");
    skip();
}

/* t, or its rows and columns from 1 on, or its transposition, or both. */
static void seen(dl_tensor *out, const dl_tensor *t, int sliced, int transposed) {
    dl_tensor part[2] = {0}, *o = &part[0];
    const dl_tensor *in = t;
    for (int d = 0; d < 2 && sliced; d++) {
        o = &part[d];
        assert_ok(dl_call(dl_op_find("slice"), &in, 1, &o, 1, ATTR(INT(d), INT(1), INT(t->shape[d] - 1), INT(1))));
        in = o;
    }
    o = out;
    if (transposed)
        assert_ok(dl_call(dl_op_find("transpose"), &in, 1, &o, 1, ATTR(INT(0), INT(1))));
    else
        dl_tensor_alias(out, in);
    et_clear(&part[0], &part[1]);
}

static void check_product(const dl_tensor *a, const dl_tensor *b, int how) {
    dl_device *devices[2] = {dl_default_device(), opencl_device_here()};
    double values[2][4096];
    int64_t count = 0;
    for (int k = 0; k < 2; k++) {
        dl_tensor x = {0}, y = {0}, xs = {0}, ys = {0}, product = {0};
        assert_ok(dl_tensor_to(&x, a, devices[k], a->type));
        assert_ok(dl_tensor_to(&y, b, devices[k], b->type));
        seen(&xs, &x, how & 1, how & 2);
        seen(&ys, &y, how & 1, how & 4);
        et_call("matmul", &product, IN(&xs, &ys), NONE);
        count = dl_tensor_count(&product);
        assert_true(count <= 4096);
        et_values(&product, values[k]);
        et_clear(&x, &y, &xs, &ys, &product);
    }
    for (int64_t k = 0; k < count; k++)
        if (fabs(values[0][k] - values[1][k]) > (a->type == DL_F64 ? 1e-12 : 1e-4))
            fail_msg("%s, variant %d, element %d: %g, expected %g", dl_dtype_name(a->type), how, (int)k, values[1][k],
                     values[0][k]);
}

static void products(void **state) {
    (void)state;
    static const dl_dtype types[] = {DL_F32, DL_F64};
    need_clblast();
    assert_false(is_loaded());
    for (int t = 0; t < 2; t++)
        for (int how = 0; how < 8; how++) {
            dl_tensor a = {0}, b = {0};
            et_random(&a, types[t], how & 2 ? "23,14" : "14,23", 1); /* (14, 23) times (23, 9), or one less everywhere */
            et_random(&b, types[t], how & 4 ? "9,23" : "23,9", 2);
            check_product(&a, &b, how);
            et_clear(&a, &b);
        }
    assert_true(is_loaded());
}

static void vectors_as_matrices(void **state) {
    (void)state;
    static const char *const shapes[][2] = {{"1,7", "7,1"}, {"5,1", "1,6"}, {"1,1", "1,9"}, {"3,1", "1,1"}};
    need_clblast();
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        dl_tensor a = {0}, b = {0};
        et_random(&a, DL_F32, shapes[k][0], 3);
        et_random(&b, DL_F32, shapes[k][1], 4);
        check_product(&a, &b, 0);
        et_clear(&a, &b);
    }
}

/* An expanded row, halves, a batch, nothing at all: the other kernels take them. */
static void refused_products(void **state) {
    (void)state;
    static const struct {
        dl_dtype type;
        const char *a, *b;
    } cases[] = {{DL_BF16, "4,5", "5,6"}, {DL_F32, "3,4,5", "3,5,2"}, {DL_F32, "4,0", "0,5"}, {DL_F32, "0,4", "4,5"}};
    need_clblast();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        dl_tensor a = {0}, b = {0};
        et_random(&a, cases[k].type, cases[k].a, 5);
        et_random(&b, cases[k].type, cases[k].b, 6);
        check_product(&a, &b, 0);
        et_clear(&a, &b);
    }
    dl_tensor row = {0}, moved = {0}, wide = {0}, b = {0}, product = {0}, *out = &wide;
    const dl_tensor *in = &moved;
    et_make(&row, DL_F32, "1,3", (double[]){1, 2, 3});
    et_make(&product, DL_F32, "3,1", (double[]){1, 10, 100});
    assert_ok(dl_tensor_to(&moved, &row, opencl_device_here(), DL_F32));
    assert_ok(dl_tensor_to(&b, &product, opencl_device_here(), DL_F32));
    dl_tensor_clear(&product);
    assert_ok(dl_call(dl_op_find("expand"), &in, 1, &out, 1, ATTR(INTS(2, 3))));
    et_call("matmul", &product, IN(&wide, &b), NONE);
    EXPECT(&product, 321, 321);
    et_clear(&row, &moved, &wide, &b, &product);
}

static int start(void **state) {
    setenv("DLRUN_CLBLAST", "1", 1);
    return opencl_start(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(vectors_as_matrices),
        cmocka_unit_test(refused_products),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
