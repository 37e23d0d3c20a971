/* test_failing_memory.c - every allocation of a training step fails once: each time the call says so, leaks nothing and leaves
 * a state from which the step succeeds. */
#include "mem.h"
#include "train_step.h"

static void test_training_step(void **state) {
    (void)state;
    train_net net, reference;
    uint64_t live = et_live_bytes();
    train_make(&reference);
    dl_seed(3);
    assert_ok(train_run(&reference)); /* warm: plans and programs are made */
    long n = 1;
    for (;; n++) {
        train_make(&net);
        uint64_t before = et_live_bytes();
        dl_seed(3);
        dl_mem_fail_after(n, 0);
        dl_status status = train_run(&net);
        dl_mem_fail_after(0, 0);
        assert_int_equal(dl_grad_enabled(), 1);
        if (status == DL_OK) break;
        if (status != DL_NOMEM) fail_msg("allocation %ld: status %d, %s", n, status, dl_last_error());
        if (!strstr(dl_last_error(), "memory")) fail_msg("allocation %ld: '%s'", n, dl_last_error());
        assert_int_equal(et_live_bytes(), before);
        train_free(&net);
        train_make(&net); /* the moments and parameters may be half a step ahead: start from the same values */
        dl_seed(3);
        assert_ok(train_run(&net));
        train_same(&net, &reference);
        train_free(&net);
    }
    assert_true(n > 50);
    train_same(&net, &reference);
    train_free(&net);
    train_free(&reference);
    assert_int_equal(et_live_bytes(), live);
}

/* A failure before the optimizer changes nothing but gradients, so the same network can go on. */
static void test_same_network_goes_on(void **state) {
    (void)state;
    train_net net, reference;
    train_make(&reference);
    train_make(&net);
    dl_seed(3);
    assert_ok(train_run(&reference));
    for (long n = 1;; n++) {
        dl_seed(3);
        dl_mem_fail_after(n, 0);
        dl_status status = train_run(&net);
        dl_mem_fail_after(0, 0);
        if (status == DL_OK) break;
        assert_true(et_value(&net.step) == 0);
    }
    train_same(&net, &reference);
    train_free(&net);
    train_free(&reference);
}

static void test_capture_and_segment(void **state) {
    (void)state;
    uint64_t live = et_live_bytes();
    dl_tensor x, w;
    et_random(&x, DL_F32, "3,4", 1);
    et_random(&w, DL_F32, "2,4", 2);
    uint64_t start = et_live_bytes();
    for (long n = 1;; n++) {
        dl_tensor proxy = {0}, y = {0}, g[2] = {{0}}, ones = {0};
        dl_tensor *proxies[] = {&proxy}, *params[] = {&w}, *outs[] = {&y}, *grads[] = {&g[0], &g[1]};
        dl_segment *segment = NULL;
        dl_capture *capture = NULL;
        dl_backward_run *run;
        const dl_tensor *in[] = {&x}, *seed = &ones;
        dl_mem_fail_after(n, 0);
        dl_status status = dl_capture_begin();
        int capturing = status == DL_OK;
        if (status == DL_OK) status = dl_segment_begin(in, proxies, 1, params, 1, &segment);
        if (status == DL_OK) status = et_try("linear", &y, (const dl_tensor *[]){&proxy, &w, NULL}, 3, NONE);
        if (segment) {
            dl_status end = dl_segment_end(segment, outs, status == DL_OK);
            if (status == DL_OK) status = end;
        }
        if (status == DL_OK) status = et_try("full", &ones, NONE, ATTR(INTS(3, 2), REAL(1)));
        if (status == DL_OK)
            status = dl_segment_backward_begin(segment, NULL, NULL, &seed, DL_WANT_INPUTS | DL_WANT_PARAMS, &run);
        if (status == DL_OK) {
            status = dl_backward_step(run);
            dl_status end = dl_backward_end(run, grads);
            if (status == DL_OK) status = end;
        }
        if (capturing) {
            dl_status end = dl_capture_end(&capture);
            if (status == DL_OK) status = end;
        }
        dl_mem_fail_after(0, 0);
        if (status != DL_OK && status != DL_NOMEM) fail_msg("allocation %ld: status %d, %s", n, status, dl_last_error());
        dl_capture_free(capture);
        dl_segment_free(segment);
        et_clear(&proxy, &y, &g[0], &g[1], &ones);
        assert_int_equal(dl_is_recorded(&w), 0);
        assert_int_equal(et_live_bytes(), start);
        if (status == DL_OK) break;
    }
    et_clear(&x, &w);
    assert_int_equal(et_live_bytes(), live);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_training_step), cmocka_unit_test(test_same_network_goes_on),
                                       cmocka_unit_test(test_capture_and_segment)};
    return cmocka_run_group_tests(tests, et_start, NULL);
}
