/* The OpenCL backend's compiler, launches, streams, events and fault word. */
#include "opencl_support.h"
#include <pthread.h>

extern const char text_simt_h[]; /* the dialect: dlrun/simt.h */

static const char kernels[] = "__kernel void add_one(__global int *x, long x_at) { x[x_at + get_global_id(0)] += 1; }\n"
                              "__kernel void twice(__global int *y, long y_at, __global const int *x, long x_at) {\n"
                              "    y[y_at + get_global_id(0)] = 2 * x[x_at + get_global_id(0)];\n"
                              "}\n";

/* ---- compiling ------------------------------------------------------------------------------------------------------------
 */

static void build_errors(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    void *f = &f;
    const char *wrong = "__kernel void good(__global int *x) { x[0] = 1; }\n"
                        "\n"
                        "__kernel void bad(__global int *x) { x[0] = no_such_name; }\n";
    assert_fails(opencl_api()->compile(d, wrong, "bad", &f), DL_INVALID, "kernel bad does not compile for ");
    assert_null(f);
    assert_non_null(strstr(dl_last_error(), "source line 3: __kernel void bad(__global int *x) { x[0] = no_such_name; }\n"));
    const char *marked = "/* a dialect */\n#line 1 \"part\"\n__kernel void good(__global int *x) { x[0] = 1; }\n"
                         "__kernel void bad(__global int *x) { x[0] = no_such_name; }\n";
    assert_fails(opencl_api()->compile(d, marked, "bad", &f), DL_INVALID, "source line 2: __kernel void bad(");
    assert_non_null(strstr(dl_last_error(), "undeclared identifier")); /* clang's log, which all drivers here have */
    assert_fails(opencl_api()->compile(d, kernels, "no_such_kernel", &f), DL_INVALID, "no kernel 'no_such_kernel'");
    assert_null(f);
}

static void wrong_arguments(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    void *f = opencl_kernel(d, kernels, "add_one"), *x = opencl_ints(d, (int32_t[1]){0}, 1);
    const uint32_t one[3] = {1, 1, 1}, bytes[2] = {8, 3};
    int64_t at = 0;
    void *args[2] = {&x, &at};
    assert_fails(opencl_api()->launch(d, d->stream, f, one, one, 0, args, bytes, 2), DL_INTERNAL, "kernel add_one: argument 1");
    assert_fails(opencl_api()->launch(d, d->stream, f, one, one, 4, args, bytes, 2), DL_UNSUPPORTED, "local_bytes must be 0");
    assert_ok(opencl_api()->launch(d, d->stream, f, (uint32_t[3]){1, 0, 1}, one, 0, args, bytes, 0)); /* no groups */
    assert_fails(opencl_api()->launch(d, d->stream, f, one, (uint32_t[3]){1 << 20, 1, 1}, 0, args, (uint32_t[]){8, 8}, 2),
                 DL_INTERNAL, "launching kernel add_one on ");
    opencl_expect_ints(d, d->stream, x, (int32_t[1]){0}, 1);
    opencl_api()->function_free(d, f);
}

/* ---- streams --------------------------------------------------------------------------------------------------------------
 */

static void streams_and_events(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    dl_stream *first, *second;
    dl_event *done;
    void *add = opencl_kernel(d, kernels, "add_one"), *twice = opencl_kernel(d, kernels, "twice");
    void *x = opencl_ints(d, (int32_t[4]){0, 10, 20, 30}, 4), *y = opencl_ints(d, (int32_t[4]){0}, 4);
    assert_ok(api->stream_new(d, &first));
    assert_ok(api->stream_new(d, &second));
    for (int k = 0; k < 50; k++) assert_ok(opencl_run(d, first, add, 4, &x, 1));
    assert_ok(api->event_record(d, first, &done));
    assert_ok(api->event_wait(d, second, done));
    assert_ok(opencl_run(d, second, twice, 4, (void *[]){y, x}, 2));
    opencl_expect_ints(d, second, y, (int32_t[4]){100, 120, 140, 160}, 4);
    assert_ok(api->event_wait(d, NULL, done)); /* the host */
    api->event_free(d, done);
    assert_ok(api->synchronize(d, first));
    opencl_expect_ints(d, first, x, (int32_t[4]){50, 60, 70, 80}, 4);
    api->stream_free(d, first);
    api->stream_free(d, second);
    api->function_free(d, add);
    api->function_free(d, twice);
}

typedef struct worker {
    dl_device *device;
    void *function, *buffer;
} worker;

static void *add_100(void *context) {
    const worker *w = context;
    void *buffer = w->buffer;
    for (int k = 0; k < 100; k++)
        if (opencl_run(w->device, w->device->stream, w->function, 2, &buffer, 1) != DL_OK) return context;
    return NULL;
}

/* Two threads with one kernel: neither's arguments reach the other's launches. */
static void two_threads(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    void *f = opencl_kernel(d, kernels, "add_one"), *failed[2];
    worker w[2] = {{d, f, opencl_ints(d, (int32_t[2]){0, 1}, 2)}, {d, f, opencl_ints(d, (int32_t[2]){5, 6}, 2)}};
    pthread_t threads[2];
    for (int k = 0; k < 2; k++) pthread_create(&threads[k], NULL, add_100, &w[k]);
    for (int k = 0; k < 2; k++) pthread_join(threads[k], &failed[k]);
    assert_null(failed[0]);
    assert_null(failed[1]);
    opencl_expect_ints(d, d->stream, w[0].buffer, (int32_t[2]){100, 101}, 2);
    opencl_expect_ints(d, d->stream, w[1].buffer, (int32_t[2]){105, 106}, 2);
    opencl_api()->function_free(d, f);
}

/* ---- the fault word -------------------------------------------------------------------------------------------------------
 */

static void faults(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    static const char check[] = "KERNEL void check(GLOBAL i32 *fault, i64 fault_at, GLOBAL const i32 *x, i64 x_at) {\n"
                                "    const i64 i = global_id(0);\n"
                                "    const i64 v = x[x_at + i] < 0 ? x[x_at + i] * ((i64)1 << 33) : x[x_at + i];\n"
                                "    if (v > 9 || v < 0) fault_set(fault, i ? DL_FAULT_LABEL : DL_FAULT_INDEX, v);\n"
                                "}\n";
    char *source = malloc(strlen(text_simt_h) + sizeof check);
    strcat(strcpy(source, text_simt_h), check);
    void *f = opencl_kernel(d, source, "check"), *word = api->fault(d);
    const int32_t cases[4][2] = {{1, 2}, {12, 2}, {1, 12}, {-3, 2}};
    const char *const words[4] = {NULL, "index 12 (counted from 0) is out of range",
                                  "label 12 (counted from 0) is out of range or no whole number",
                                  "index -25769803776 (counted from 0) is out of range"};
    for (int k = 0; k < 4; k++) {
        int32_t y[2];
        void *x = opencl_ints(d, cases[k], 2);
        assert_ok(opencl_run(d, d->stream, f, 2, (void *[]){word, x}, 2));
        if (words[k]) assert_fails(api->copy(d, d->stream, y, 0, 1, x, 0, 0, sizeof y), DL_INVALID, words[k]);
        assert_ok(api->synchronize(d, d->stream)); /* it was cleared */
        assert_ok(opencl_run(d, d->stream, f, 2, (void *[]){word, x}, 2));
        if (words[k]) assert_fails(api->synchronize(d, d->stream), DL_INVALID, words[k]);
        opencl_expect_ints(d, d->stream, x, cases[k], 2);
    }
    api->function_free(d, f);
    free(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build_errors), cmocka_unit_test(wrong_arguments), cmocka_unit_test(streams_and_events),
        cmocka_unit_test(two_threads),  cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, opencl_start, NULL);
}
