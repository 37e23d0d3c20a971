/* Old plugins in today's host, today's plugins in an old one (tests/abi/README.md). */
#include "elf_note.h"
#include "engine_support.h"
#include "op.h"
#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>

/* What the table of 1.0 ended with. */
static const size_t HOST_1_0 = offsetof(dl_host, alloc_out) + sizeof(void *);

static const char *plugin(const char *name) {
    static char path[4096];
    const char *build = getenv("DLRUN_BUILD");
    snprintf(path, sizeof path, "%s/tests/abi/%s.so", build ? build : "build", name);
    return path;
}

static void old_plugins_are_of_1_0(void **state) {
    (void)state;
    static const char *const names[] = {"1.0/plugins/old_expression", "1.0/plugins/old_kernel", "1.0/plugins/old_backend"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        dl_identity identity;
        assert_ok(dl_identity_read(plugin(names[k]), &identity));
        assert_int_equal(identity.abi_major, 1);
        assert_int_equal(identity.abi_built, 0);
        assert_int_equal(identity.abi_needs, 0);
    }
}

static void old_expression(void **state) {
    (void)state;
    dl_tensor x = {0}, y = {0}, sum = {0};
    assert_ok(dl_plugin_load(plugin("1.0/plugins/old_expression")));
    et_leaf(&x, "3", (const double[]){-1, 2, 3});
    et_call("old::cube", &y, IN(&x), ATTR(INT(2)));
    EXPECT(&y, -2, 16, 54);
    et_call("sum", &sum, IN(&y), ATTR(INTS(0)));
    et_backward(&sum);
    EXPECT_GRAD(&x, 6, 24, 54);
    et_clear(&x, &y, &sum);
}

/* float32 runs its kernel, float64 its composition. */
static void old_kernel(void **state) {
    (void)state;
    dl_tensor a = {0}, b = {0}, y = {0}, sum = {0}, wide_a = {0}, wide_b = {0}, wide = {0};
    assert_ok(dl_plugin_load(plugin("1.0/plugins/old_kernel")));
    assert_int_equal(dl_op_coverage(dl_op_find("old::outer"), "cpu"), 3);
    et_leaf(&a, "2", (const double[]){2, 3});
    et_leaf(&b, "3", (const double[]){1, 10, 100});
    et_call("old::outer", &y, IN(&a, &b), NONE);
    EXPECT(&y, 2, 20, 200, 3, 30, 300);
    et_call("sum", &sum, IN(&y), ATTR(INTS(0, 1)));
    et_backward(&sum);
    EXPECT_GRAD(&a, 111, 111);
    EXPECT_GRAD(&b, 5, 5, 5);
    et_make(&wide_a, DL_F64, "2", (const double[]){2, 3});
    et_make(&wide_b, DL_F64, "3", (const double[]){1, 10, 100});
    et_call("old::outer", &wide, IN(&wide_a, &wide_b), NONE);
    EXPECT(&wide, 2, 20, 200, 3, 30, 300);
    assert_fails(et_try("old::outer", &wide, IN(&y, &b), NONE), DL_INVALID, "old::outer: expected two vectors");
    et_clear(&a, &b, &y, &sum, &wide_a, &wide_b, &wide);
}

static void old_backend(void **state) {
    (void)state;
    dl_device *device;
    dl_device_facts facts;
    dl_tensor x = {0}, there = {0}, y = {0}, back = {0};
    assert_ok(dl_plugin_load(plugin("1.0/plugins/old_backend")));
    assert_ok(dl_device_open("old_backend", &device));
    assert_ok(dl_backend_device("old_backend", 0, &facts));
    assert_string_equal(facts.name, "a device of 1.0");
    et_make(&x, DL_F32, "2,2", (const double[]){1, 2, 3, 4});
    assert_ok(dl_tensor_to(&there, &x, device, DL_F32));
    et_call("old::add_one", &y, IN(&there), NONE);
    assert_ptr_equal(dl_device_of(&y), device);
    assert_ok(dl_tensor_to(&back, &y, dl_default_device(), DL_F32));
    EXPECT(&back, 2, 3, 4, 5);
    assert_ok(dl_synchronize(device));
    et_clear(&x, &there, &y, &back);
}

static dl_plugin_init_fn init_of(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) fail_msg("%s", dlerror());
    void *symbol = dlsym(handle, "dl_plugin_init");
    dl_plugin_init_fn init;
    memcpy(&init, &symbol, sizeof init);
    return init;
}

/* A table that ends where 1.0's did, in a block of just that size: the sanitizer sees who reads on. */
static void new_plugin_in_an_old_host(void **state) {
    (void)state;
    dl_identity identity;
    assert_ok(dl_identity_read(plugin("new/content"), &identity));
    assert_int_equal(identity.abi_built, DL_ABI_MINOR);
    assert_ok(dl_identity_check_against(&identity, 0, 0));
    struct {
        uint32_t size, abi_minor;
    } head = {(uint32_t)HOST_1_0, 0};
    dl_host *old = malloc(HOST_1_0);
    memcpy((void *)old, (const void *)dl_host_table(), HOST_1_0);
    memcpy((void *)old, &head, sizeof head);
    assert_ok(dl_host_run_init_with(init_of(plugin("new/content")), old, "content"));
    free(old);
    assert_int_equal(dl_op_find("content::later"), -1);
    dl_tensor x = {0}, y = {0};
    et_make(&x, DL_F32, "2", (const double[]){1, 2});
    et_call("content::twice", &y, IN(&x), NONE);
    EXPECT(&y, 2, 4);
    et_clear(&x, &y);
}

static void what_an_old_host_refuses(void **state) {
    (void)state;
    dl_identity identity;
    assert_ok(dl_identity_read(plugin("new/demanding"), &identity));
    assert_int_equal(identity.abi_needs, 1);
    assert_fails(dl_identity_check_against(&identity, 0, 0), DL_ABI, "needs plugin ABI 1.1, this host has 1.0: update dlrun");
    dl_status status = dl_plugin_load(plugin("new/demanding"));
    assert_int_equal(status, DL_ABI_MINOR >= 1 ? DL_OK : DL_ABI);
    assert_int_equal(getenv("DLRUN_TEST_DEMANDING_RAN") != NULL, DL_ABI_MINOR >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_plugins_are_of_1_0),
        cmocka_unit_test(old_expression),
        cmocka_unit_test(old_kernel),
        cmocka_unit_test(old_backend),
        cmocka_unit_test(new_plugin_in_an_old_host),
        cmocka_unit_test(what_an_old_host_refuses),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
