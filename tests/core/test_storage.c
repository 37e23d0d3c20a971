/* Storages: references, versions, exposure, wrapping, resizing, derived buffers. */
#include "null_backend.h"
#include "storage.h"

#include <pthread.h>

static void references_and_bytes(void **state) {
    (void)state;
    dl_storage *s;
    assert_ok(dl_storage_new(null_device("cpu"), 100, &s));
    assert_int_equal(dl_storage_bytes(s), 100);
    assert_int_equal(dl_storage_references(s), 1);
    dl_storage_retain(s);
    assert_int_equal(dl_storage_references(s), 2);
    dl_storage_release(s);
    memset(dl_storage_data(s), 1, 100);
    dl_storage_release(s);
    dl_storage_release(NULL);
    dl_storage_retain(NULL);
}

static void empty_storage(void **state) {
    (void)state;
    dl_storage *s;
    dl_memory_stats before, after;
    dl_memory(NULL, &before);
    assert_ok(dl_storage_new(NULL, 0, &s));
    dl_memory(NULL, &after);
    assert_int_equal(before.allocations, after.allocations);
    assert_null(dl_storage_data(s));
    assert_ok(dl_storage_resize(s, 10));
    memset(dl_storage_data(s), 1, 10);
    assert_ok(dl_storage_resize(s, 0));
    assert_int_equal(dl_storage_bytes(s), 0);
    dl_storage_release(s);
}

static void count_release(void *user) { ++*(int *)user; }

static void wrapped_memory(void **state) {
    (void)state;
    dl_storage *s;
    char memory[32];
    int released = 0;
    assert_ok(dl_storage_wrap(memory, sizeof memory, count_release, &released, &s));
    assert_ptr_equal(dl_storage_data(s), memory);
    assert_fails(dl_storage_resize(s, 64), DL_INVALID, "not dlrun's");
    assert_int_equal(dl_storage_bytes(s), 32);
    dl_storage_retain(s);
    dl_storage_release(s);
    assert_int_equal(released, 0);
    dl_storage_release(s);
    assert_int_equal(released, 1);
    assert_fails(dl_storage_wrap(NULL, 8, count_release, &released, &s), DL_INVALID, "null address");
    assert_ok(dl_storage_wrap(NULL, 0, count_release, &released, &s));
    dl_storage_release(s);
    assert_int_equal(released, 2);
}

static void resize_keeps_the_prefix(void **state) {
    (void)state;
    for (int far = 0; far < 2; far++) {
        dl_device *device = null_device(far ? "far" : "cpu");
        const dl_backend *api = &dl_core_of(device)->backend->api;
        char sent[64], received[64] = {0};
        for (int k = 0; k < 64; k++) sent[k] = (char)k;
        dl_storage *s;
        assert_ok(dl_storage_new(device, 64, &s));
        api->copy(device, NULL, s->data, 0, 0, sent, 0, 1, 64);
        int64_t version = dl_storage_version(s);
        assert_ok(dl_storage_resize(s, 5000));
        assert_ok(dl_storage_resize(s, 40));
        assert_ok(dl_storage_resize(s, 64));
        assert_true(dl_storage_version(s) > version);
        api->copy(device, NULL, received, 0, 1, s->data, 0, 0, 64);
        assert_memory_equal(sent, received, 64);
        assert_fails(dl_storage_resize(s, UINT64_MAX), DL_NOMEM, "out of memory");
        assert_int_equal(dl_storage_bytes(s), 64);
        dl_storage_release(s);
    }
}

static void only_host_memory_has_an_address(void **state) {
    (void)state;
    dl_storage *s;
    assert_ok(dl_storage_new(null_device("far"), 64, &s));
    assert_null(dl_storage_data(s));
    assert_int_equal(s->exposed, 0);
    dl_storage_release(s);
}

/* ---- derived buffers ---------------------------------------------------------------------------------------------------- */

static int32_t derive_and_fill(dl_storage *s, const void *plan, uint64_t offset, dl_derived **out) {
    int32_t valid = -1;
    assert_ok(dl_storage_derive(s, plan, offset, 256, out, &valid));
    if (!valid) dl_derived_filled(s, *out);
    return valid;
}

static void derived_follows_the_version(void **state) {
    (void)state;
    dl_storage *s;
    dl_derived *first, *again, *other;
    int plan_a, plan_b;
    assert_ok(dl_storage_new(null_device("cpu"), 64, &s));
    assert_int_equal(derive_and_fill(s, &plan_a, 0, &first), 0);
    assert_int_equal(derive_and_fill(s, &plan_a, 0, &again), 1);
    assert_ptr_equal(first, again);
    assert_int_equal(derive_and_fill(s, &plan_b, 0, &other), 0);
    assert_ptr_not_equal(first, other);
    assert_int_equal(derive_and_fill(s, &plan_a, 16, &other), 0);
    assert_ptr_not_equal(first, other);
    dl_storage_touch(s);
    assert_int_equal(derive_and_fill(s, &plan_a, 0, &again), 0);
    assert_ptr_equal(first, again);
    assert_int_equal(derive_and_fill(s, &plan_a, 0, &again), 1);
    dl_storage_data(s); /* exposed: anyone may write at any time */
    assert_int_equal(derive_and_fill(s, &plan_a, 0, &again), 0);
    assert_int_equal(derive_and_fill(s, &plan_a, 0, &again), 0);
    dl_storage_release(s);
}

static void forgotten_plans_lose_their_buffers(void **state) {
    (void)state;
    dl_storage *s[3];
    dl_derived *d;
    int plan_a, plan_b;
    dl_memory_stats before, after;
    for (int k = 0; k < 3; k++) assert_ok(dl_storage_new(null_device("cpu"), 64, &s[k]));
    dl_memory(NULL, &before);
    for (int k = 0; k < 3; k++) {
        derive_and_fill(s[k], &plan_a, 0, &d);
        derive_and_fill(s[k], &plan_b, 0, &d);
    }
    dl_storage_release(s[1]);
    dl_storage_forget_plan(&plan_a);
    dl_memory(NULL, &after);
    assert_int_equal(after.live_blocks, before.live_blocks - 1 + 2);
    assert_int_equal(derive_and_fill(s[0], &plan_b, 0, &d), 1);
    assert_int_equal(derive_and_fill(s[0], &plan_a, 0, &d), 0);
    dl_storage_forget_plan(&plan_b);
    dl_storage_forget_plan(&plan_a);
    dl_memory(NULL, &after);
    assert_int_equal(after.live_blocks, before.live_blocks - 1);
    dl_storage_release(s[0]);
    dl_storage_release(s[2]);
}

static const char shared_plan;

static void *derive_elsewhere(void *storage) {
    dl_derived *d;
    int32_t valid;
    return dl_storage_derive(storage, &shared_plan, 0, 256, &d, &valid) == DL_OK ? d : NULL;
}

static dl_derived *derived_of_another_thread(dl_storage *s) {
    pthread_t thread;
    void *theirs;
    pthread_create(&thread, NULL, derive_elsewhere, s);
    pthread_join(thread, &theirs);
    return theirs;
}

/* Two threads that share weights must not pack into one buffer at once; a packed one is shared. */
static void threads_fill_their_own(void **state) {
    (void)state;
    dl_storage *s;
    dl_derived *mine;
    int32_t valid;
    assert_ok(dl_storage_new(null_device("cpu"), 64, &s));
    assert_ok(dl_storage_derive(s, &shared_plan, 0, 256, &mine, &valid));
    assert_ptr_not_equal(derived_of_another_thread(s), mine);
    dl_storage_release(s);
    assert_ok(dl_storage_new(null_device("cpu"), 64, &s));
    assert_int_equal(derive_and_fill(s, &shared_plan, 0, &mine), 0);
    assert_ptr_equal(derived_of_another_thread(s), mine);
    dl_storage_data(s);
    assert_int_equal(derive_and_fill(s, &shared_plan, 0, &mine), 0);
    assert_ptr_not_equal(derived_of_another_thread(s), mine);
    dl_storage_release(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_and_bytes),
        cmocka_unit_test(empty_storage),
        cmocka_unit_test(wrapped_memory),
        cmocka_unit_test(resize_keeps_the_prefix),
        cmocka_unit_test(only_host_memory_has_an_address),
        cmocka_unit_test(derived_follows_the_version),
        cmocka_unit_test(forgotten_plans_lose_their_buffers),
        cmocka_unit_test(threads_fill_their_own),
    };
    return cmocka_run_group_tests(tests, null_install, NULL);
}
