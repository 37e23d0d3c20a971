/* The OpenCL backend's waits: interrupts end them, and commands that nobody waits for do not pile up. */
#include "opencl_support.h"

extern const char text_simt_h[]; /* the dialect: dlrun/simt.h */

enum { LONG = 400000000, SHORT = 8000000 }; /* rounds of the kernel below: about half a second, and a hundredth of one */

/* x[1] becomes x[0] rounds later; the fault word is written behind that. */
static const char slow[] = "KERNEL void slow(GLOBAL i32 *x, i64 x_at, GLOBAL i32 *fault, i64 fault_at) {\n"
                           "    u32 v = 1;\n"
                           "    for (i32 k = 0; k < x[x_at]; k++) v = v * 1664525u + 1013904223u + (v >> 16);\n"
                           "    x[x_at + 1] = v ? 7 : 8;\n"
                           "    if (x[x_at + 2]) fault_set(fault, DL_FAULT_INDEX, x[x_at + 2]);\n"
                           "}\n";

static void *slow_kernel(dl_device *d) {
    char *source = malloc(strlen(text_simt_h) + sizeof slow);
    void *function = opencl_kernel(d, strcat(strcpy(source, text_simt_h), slow), "slow");
    free(source);
    return function;
}

static dl_status launch(dl_device *d, dl_stream *s, void *function, void *x) {
    return opencl_run(d, s, function, 1, (void *[]){x, opencl_api()->fault(d)}, 2);
}

#define ASSERT_INTERRUPTED(call)                                                                                               \
    do {                                                                                                                       \
        dl_interrupt();                                                                                                        \
        assert_fails(call, DL_INTERRUPTED, "interrupted");                                                                     \
        assert_false(dl_interrupted()); /* it is reported once */                                                              \
    } while (0)

static void waits_are_interrupted(void **state) {
    (void)state;
    enum { MANY = 1 << 18 };
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    dl_stream *s;
    dl_event *done;
    void *f = slow_kernel(d), *x = opencl_ints(d, (int32_t[3]){LONG}, 3), *y = NULL;
    int32_t got[3] = {5, 5, 5};
    char *many = calloc(MANY, 1);
    assert_ok(api->stream_new(d, &s));
    assert_ok(api->alloc(d, s, MANY, &y));
    assert_ok(launch(d, s, f, x));
    assert_ok(api->event_record(d, s, &done));
    ASSERT_INTERRUPTED(api->copy(d, s, got, 0, 1, x, 0, 0, sizeof got));
    ASSERT_INTERRUPTED(api->copy(d, s, many, 0, 1, y, 0, 0, MANY));
    ASSERT_INTERRUPTED(api->copy(d, s, y, 0, 0, many, 0, 1, MANY));
    ASSERT_INTERRUPTED(api->synchronize(d, s));
    ASSERT_INTERRUPTED(api->event_wait(d, NULL, done));
    assert_ok(api->event_wait(d, NULL, done));
    assert_ok(api->synchronize(d, s));
    assert_int_equal(got[1], 5); /* what was interrupted wrote nothing later */
    assert_ok(api->copy(d, s, got, 0, 1, x, 0, 0, sizeof got));
    assert_int_equal(got[1], 7);
    api->event_free(d, done);
    api->free(d, s, x, sizeof got);
    api->free(d, s, y, MANY);
    api->stream_free(d, s);
    api->function_free(d, f);
    free(many);
}

/* A fault that an interrupted wait would have reported is reported by the next. */
static void faults_survive(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    void *f = slow_kernel(d), *x = opencl_ints(d, (int32_t[3]){LONG, 0, 12}, 3);
    int32_t got[3];
    assert_ok(launch(d, d->stream, f, x));
    ASSERT_INTERRUPTED(api->copy(d, d->stream, got, 0, 1, x, 0, 0, sizeof got));
    ASSERT_INTERRUPTED(api->synchronize(d, d->stream));
    assert_fails(api->synchronize(d, d->stream), DL_INVALID, "index 12 (counted from 0) is out of range");
    assert_ok(api->synchronize(d, d->stream));
    api->free(d, d->stream, x, sizeof got);
    api->function_free(d, f);
}

/* Small numbers are sent without a wait, from memory of their own. */
static void sending_does_not_wait(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    void *f = slow_kernel(d), *x = opencl_ints(d, (int32_t[3]){LONG}, 3), *y = opencl_ints(d, (int32_t[1]){1}, 1);
    assert_ok(launch(d, d->stream, f, x));
    dl_interrupt(); /* a wait would notice */
    for (int32_t k = 0; k < 20; k++) assert_ok(api->copy(d, d->stream, y, 0, 0, &k, 0, 1, sizeof k));
    assert_true(dl_take_interrupt());
    opencl_expect_ints(d, d->stream, y, (int32_t[1]){19}, 1);
    opencl_expect_ints(d, d->stream, x, (int32_t[3]){LONG, 7, 0}, 3);
    api->function_free(d, f);
}

static void the_queue_is_bounded(void **state) {
    (void)state;
    enum { MOST = 128 };
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    dl_stream *s;
    void *f = slow_kernel(d), *x = opencl_ints(d, (int32_t[3]){SHORT}, 3);
    int launched = 0;
    assert_ok(api->stream_new(d, &s));
    dl_interrupt(); /* the first wait will notice */
    while (launched <= MOST && launch(d, s, f, x) == DL_OK) launched++;
    assert_false(dl_interrupted());
    assert_in_range(launched, MOST / 2, MOST);
    for (int k = 0; k < 2 * MOST; k++) assert_ok(launch(d, s, f, x)); /* with waits, in the end all are run */
    opencl_expect_ints(d, s, x, (int32_t[3]){SHORT, 7, 0}, 3);
    api->stream_free(d, s);
    api->function_free(d, f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_are_interrupted),
        cmocka_unit_test(faults_survive),
        cmocka_unit_test(sending_does_not_wait),
        cmocka_unit_test(the_queue_is_bounded),
    };
    return cmocka_run_group_tests(tests, opencl_start, NULL);
}
