/* Backends and devices: specs, names, facts, defaults per thread, refused registrations. */
#include "null_backend.h"

#include <pthread.h>

static void specs(void **state) {
    (void)state;
    static const char *const bad[] = {"", ":", ":0", "cpu:", "a-name-that-is-longer-than-any-backend:0"};
    static const char *const unnamed[] = {"cpu:-1", "cpu:+1", "cpu:1x", "cpu: 1"}; /* words that no device's name holds */
    dl_device *device, *again;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_fails(dl_device_open(bad[k], &device), DL_INVALID, "names no device");
        assert_null(device);
    }
    for (size_t k = 0; k < sizeof unnamed / sizeof *unnamed; k++)
        assert_fails(dl_device_open(unnamed[k], &device), DL_INVALID,
                     "in its name; there is: cpu:0 null (no arithmetic); cpu:1");
    assert_fails(dl_device_open("cpu:99999999999999999999", &device), DL_INVALID,
                 "backend 'cpu' has 2 devices; number 99999999999999999999 was asked for");
    assert_ok(dl_device_open("cpu", &device));
    assert_ok(dl_device_open("cpu:0", &again));
    assert_ptr_equal(device, again);
    assert_string_equal(dl_device_name(device), "cpu");
    assert_ok(dl_device_open("far:1", &device));
    assert_string_equal(dl_device_name(device), "far:1");
    assert_int_equal(device->id.index, 1);
    assert_int_equal(device->id.type, 12);
    assert_ok(dl_device_by_id(device->id, &again));
    assert_ptr_equal(device, again);
    assert_ok(dl_device_open("far:NULL", &device)); /* a part of the name, in any case: the first that has it */
    assert_string_equal(dl_device_name(device), "far");
    assert_ok(dl_device_open("far:Arithm", &device)); /* or of the detail */
    assert_fails(dl_device_open("cpu:2", &device), DL_INVALID, "backend 'cpu' has 2 devices; number 2 was asked for");
    assert_fails(dl_device_open("gpu", &device), DL_INVALID, "there is no backend 'gpu'; there is: cpu, far");
    assert_fails(dl_device_by_id((dl_device_id){12, -1}, &device), DL_INVALID, "number -1");
}

static void facts(void **state) {
    (void)state;
    int32_t n;
    dl_device_facts facts;
    assert_int_equal(dl_backend_count(), 2);
    assert_string_equal(dl_backend_name(0), "cpu");
    assert_string_equal(dl_backend_name(1), "far");
    assert_null(dl_backend_name(2));
    assert_null(dl_backend_name(-1));
    assert_ok(dl_backend_devices("far", &n));
    assert_int_equal(n, 2);
    assert_ok(dl_backend_device("far", 1, &facts));
    assert_string_equal(facts.backend, "far");
    assert_string_equal(facts.name, "null");
    assert_string_equal(facts.detail, "no arithmetic");
    assert_int_equal(facts.index, 1);
    assert_int_equal(facts.memory_total, 1 << 30);
    assert_fails(dl_backend_device("far", 2, &facts), DL_INVALID, "has 2 devices");
    assert_fails(dl_backend_devices("gpu", &n), DL_INVALID, "there is no backend 'gpu'");
    assert_int_equal(dl_threads(0), 1);
    assert_ok(dl_synchronize(NULL));
    assert_ok(dl_synchronize(null_device("far")));
}

static void *default_elsewhere(void *unused) {
    (void)unused;
    return dl_default_device();
}

static void default_is_per_thread(void **state) {
    (void)state;
    pthread_t thread;
    void *theirs;
    assert_ptr_equal(dl_default_device(), null_device("cpu"));
    assert_ok(dl_set_default_device(null_device("far")));
    assert_ptr_equal(dl_default_device(), null_device("far"));
    pthread_create(&thread, NULL, default_elsewhere, NULL);
    pthread_join(thread, &theirs);
    assert_ptr_equal(theirs, null_device("cpu"));
    assert_fails(dl_set_default_device(NULL), DL_INVALID, "cannot be none");
    assert_ptr_equal(dl_default_device(), null_device("far"));
    assert_ok(dl_set_default_device(null_device("cpu")));
}

static void refused_backends(void **state) {
    (void)state;
    dl_backend b = dl_backend_find("far")->api;
    b.name = "cpu";
    assert_fails(dl_backend_add(&b, "second"), DL_INVALID, "second: backend 'cpu' is already registered by tests");
    b.name = "other";
    b.dl_device_type = DL_HOST_TYPE;
    assert_fails(dl_backend_add(&b, "second"), DL_INVALID, "device type 1 already belongs to backend 'cpu' of tests");
    b.dl_device_type = 0;
    b.alloc = NULL;
    assert_fails(dl_backend_add(&b, "second"), DL_INVALID, "backend 'other' lacks the function 'alloc'");
    b = dl_backend_find("far")->api;
    b.name = "old";
    b.size = offsetof(dl_backend, synchronize); /* built when there was no such field */
    assert_fails(dl_backend_add(&b, "second"), DL_INVALID, "lacks the function 'synchronize'");
    b.size = sizeof b;
    static const char *const bad[] = {"", "a:b", "a b", "a-name-of-more-than-31-characters"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        b.name = bad[k];
        assert_fails(dl_backend_add(&b, "second"), DL_INVALID, "needs a name");
    }
    assert_int_equal(dl_backend_count(), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs),
        cmocka_unit_test(facts),
        cmocka_unit_test(default_is_per_thread),
        cmocka_unit_test(refused_backends),
    };
    return cmocka_run_group_tests(tests, null_install, NULL);
}
