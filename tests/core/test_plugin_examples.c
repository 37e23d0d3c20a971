/* The example layer plugins from C: the CPU's own kernel against the composition that other backends run. */
#include "engine_support.h"
#include "op.h"

#include <stdio.h>

static void load(const char *name) {
    const char *build = getenv("DLRUN_BUILD");
    char path[4096];
    snprintf(path, sizeof path, "%s/plugins/%s.so", build ? build : "build", name);
    assert_ok(dl_plugin_load(path));
}

/* The kernels of mingru::scan on the CPU are taken away for the first call: no plan is cached yet. */
static void kernel_and_composition_agree(void **state) {
    (void)state;
    static const dl_dtype types[] = {DL_F32, DL_F64};
    load("mingru");
    const dl_kernel **kernels = dl_op_named("mingru::scan")->kernels[dl_backend_find("cpu")->number];
    const dl_kernel *own = kernels[0];
    assert_non_null(own);
    for (int64_t reverse = 0; reverse < 2; reverse++) {
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            dl_tensor a = {0}, b = {0}, composed = {0}, computed = {0};
            et_random(&a, types[k], "3,6,5", 1);
            et_random(&b, types[k], "3,6,5", 2);
            kernels[0] = NULL;
            assert_int_equal(dl_op_coverage(dl_op_find("mingru::scan"), "cpu"), 1);
            dl_status status = et_try("mingru::scan", &composed, IN(&a, &b), ATTR(INT(reverse)));
            kernels[0] = own;
            assert_ok(status);
            assert_int_equal(dl_op_coverage(dl_op_find("mingru::scan"), "cpu"), 3);
            et_call("mingru::scan", &computed, IN(&a, &b), ATTR(INT(reverse)));
            et_same_bits(&composed, &computed);
            et_clear(&a, &b, &composed, &computed);
        }
    }
}

static void an_expression_is_generated(void **state) {
    (void)state;
    load("snake");
    assert_int_equal(dl_op_coverage(dl_op_find("snake::snake"), "cpu"), 2);
    dl_op_info info;
    assert_ok(dl_op_get(dl_op_find("snake::snake"), &info));
    assert_int_equal(info.differentiable, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_and_composition_agree),
        cmocka_unit_test(an_expression_is_generated),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
