/* test_capture.c - core/capture.c: replaying a training step gives the same bits as running it again. */
#include "train_step.h"

static void test_training_step(void **state) {
    (void)state;
    enum { STEPS = 6 };
    uint64_t live = et_live_bytes();
    train_net a, b;
    dl_capture *capture;
    train_make(&a);
    train_make(&b);
    train_same(&a, &b);
    dl_seed(7);
    for (int n = 0; n < STEPS; n++) assert_ok(train_run(&a));
    uint64_t number = dl_random_call();
    assert_int_equal(number, STEPS); /* dropout takes one a step */
    dl_seed(7);
    assert_ok(dl_capture_begin());
    assert_ok(train_run(&b));
    assert_ok(dl_capture_end(&capture));
    assert_true(dl_capture_calls(capture) > 10);
    for (int n = 1; n < STEPS; n++) assert_ok(dl_capture_replay(capture));
    assert_int_equal(dl_random_call(), number);
    train_same(&a, &b);
    assert_true(et_value(&a.step) == STEPS);
    /* the calls go on from where the replays stopped */
    assert_ok(train_run(&a));
    dl_set_random_call(number);
    assert_ok(train_run(&b));
    train_same(&a, &b);
    train_free(&a);
    train_free(&b);
    assert_true(et_live_bytes() > live); /* the capture holds what it works on */
    dl_capture_free(capture);
    assert_int_equal(et_live_bytes(), live);
}

/* New contents of the captured input count. */
static void test_inputs_are_read_again(void **state) {
    (void)state;
    dl_tensor x, two, y = {0}, column;
    dl_capture *capture;
    et_make(&x, DL_F32, "2,2", (const double[]){1, 2, 3, 4});
    et_make(&two, DL_F64, "1", (const double[]){10});
    et_make(&column, DL_F32, "2,1", (const double[]){100, 200});
    assert_ok(dl_capture_begin());
    et_call("add", &y, (const dl_tensor *[]){&x, &column}, 2, ATTR(REAL(0.5)));
    et_call("mul", &y, IN(&y, &two), NONE); /* a cast and a temporary are part of it */
    assert_ok(dl_capture_end(&capture));
    EXPECT(&y, 510, 520, 1030, 1040);
    assert_ok(dl_tensor_write(&x, (const float[]){0, 0, 1, 1}, 16));
    assert_ok(dl_tensor_write(&two, (const double[]){2}, 8));
    int64_t version = dl_storage_version(y.storage);
    assert_ok(dl_capture_replay(capture));
    EXPECT(&y, 100, 100, 202, 202);
    assert_true(dl_storage_version(y.storage) > version);
    dl_capture_free(capture);
    et_clear(&x, &two, &y, &column);
}

static void refused(void (*what)(dl_tensor *x), const char *words) {
    dl_tensor x;
    dl_capture *capture = NULL;
    uint64_t live;
    et_make(&x, DL_F32, "2", (const double[]){1, 2});
    live = et_live_bytes();
    assert_ok(dl_capture_begin());
    et_call("neg", &x, IN(&x), NONE);
    what(&x);
    et_call("neg", &x, IN(&x), NONE);
    assert_fails(dl_capture_end(&capture), DL_UNSUPPORTED, words);
    assert_null(capture);
    assert_int_equal(et_live_bytes(), live);
    dl_tensor_clear(&x);
}

static void read_all(dl_tensor *x) {
    float values[2];
    assert_ok(dl_tensor_read(x, values, sizeof values));
}
static void read_one(dl_tensor *x) {
    double value;
    assert_ok(dl_element_get(x, (const int64_t[]){1}, &value));
}
static void write_all(dl_tensor *x) { assert_ok(dl_tensor_write(x, (const float[]){5, 6}, 8)); }
static void write_one(dl_tensor *x) { assert_ok(dl_element_set(x, (const int64_t[]){1}, 5)); }
static void take_address(dl_tensor *x) { assert_non_null(dl_tensor_data(x)); }
static void find_nonzero(dl_tensor *x) {
    dl_tensor found = {0};
    et_call("nonzero", &found, IN(x), NONE);
    dl_tensor_clear(&found);
}

static void test_refusals(void **state) {
    (void)state;
    refused(read_all, "the step cannot be captured: the host read a tensor");
    refused(read_one, "the host read an element");
    refused(write_all, "the host wrote a tensor");
    refused(write_one, "the host wrote an element");
    refused(take_address, "address");
    refused(find_nonzero, "depends on data");
    dl_capture *capture, *inner;
    assert_fails(dl_capture_end(&capture), DL_INVALID, "no capture is in progress");
    assert_ok(dl_capture_begin());
    assert_fails(dl_capture_begin(), DL_INVALID, "a capture is in progress");
    assert_ok(dl_capture_end(&capture));
    assert_int_equal(dl_capture_calls(capture), 0);
    assert_ok(dl_capture_replay(capture));
    assert_ok(dl_capture_begin());
    assert_fails(dl_capture_replay(capture), DL_INVALID, "cannot be replayed while another is recorded");
    assert_ok(dl_capture_end(&inner));
    dl_capture_free(inner);
    dl_capture_free(capture);
    dl_capture_free(NULL);
}

static void test_replay_is_interruptible(void **state) {
    (void)state;
    dl_tensor x;
    dl_capture *capture;
    et_make(&x, DL_F32, "1", (const double[]){1});
    assert_ok(dl_capture_begin());
    et_call("neg", &x, IN(&x), NONE);
    assert_ok(dl_capture_end(&capture));
    dl_interrupt();
    assert_fails(dl_capture_replay(capture), DL_INTERRUPTED, "interrupted");
    EXPECT(&x, -1);
    assert_ok(dl_capture_replay(capture));
    EXPECT(&x, 1);
    dl_capture_free(capture);
    dl_tensor_clear(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_training_step), cmocka_unit_test(test_inputs_are_read_again),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_replay_is_interruptible)};
    return cmocka_run_group_tests(tests, et_start, NULL);
}
