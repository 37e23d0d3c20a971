/* The OpenCL backend's memory: copies with offsets, exhaustion, opening and closing. */
#include "opencl_support.h"
#include <unistd.h>

enum { N = 1000 };

static void fill(unsigned char *bytes, int seed) {
    for (int k = 0; k < N; k++) bytes[k] = (unsigned char)(k * 7 + seed);
}

static void copies_with_offsets(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    unsigned char x[N], y[N] = {0};
    void *a, *b;
    fill(x, 3);
    assert_ok(api->alloc(d, d->stream, N, &a));
    assert_ok(api->alloc(d, d->stream, N, &b));
    assert_ok(api->copy(d, d->stream, a, 0, 0, x, 0, 1, N));
    assert_ok(api->copy(d, d->stream, b, 11, 0, a, 101, 0, 333)); /* between buffers */
    assert_ok(api->copy(d, d->stream, y, 5, 1, b, 12, 0, 300));   /* to the host */
    assert_memory_equal(y + 5, x + 102, 300);
    assert_int_equal(y[4], 0);
    assert_int_equal(y[305], 0);
    assert_ok(api->copy(d, d->stream, b, 500, 0, x, 50, 1, 3)); /* from the host */
    assert_ok(api->copy(d, d->stream, y, 0, 1, b, 500, 0, 3));
    assert_memory_equal(y, x + 50, 3);
    assert_ok(api->copy(d, d->stream, y, 0, 1, b, 0, 0, 0)); /* nothing */
    api->free(d, d->stream, a, N);
    api->free(d, d->stream, b, N);
}

static void copies_that_overlap(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    unsigned char x[N], y[N];
    void *a;
    fill(x, 5);
    assert_ok(api->alloc(d, d->stream, N, &a));
    assert_ok(api->copy(d, d->stream, a, 0, 0, x, 0, 1, N));
    assert_ok(api->copy(d, d->stream, a, 10, 0, a, 0, 0, 900));
    assert_ok(api->copy(d, d->stream, a, 0, 0, a, 0, 0, N)); /* onto itself */
    assert_ok(api->copy(d, d->stream, y, 0, 1, a, 0, 0, N));
    memmove(x + 10, x, 900);
    assert_memory_equal(y, x, N);
    assert_ok(api->copy(d, d->stream, a, 100, 0, a, 150, 0, 800));
    assert_ok(api->copy(d, d->stream, y, 0, 1, a, 0, 0, N));
    memmove(x + 100, x + 150, 800);
    assert_memory_equal(y, x, N);
    api->free(d, d->stream, a, N);
}

static void copies_out_of_bounds(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    const dl_backend *api = opencl_api();
    unsigned char x[N] = {0};
    void *a;
    assert_ok(api->alloc(d, d->stream, 10, &a));
    assert_fails(api->copy(d, d->stream, x, 0, 1, a, 0, 0, N), DL_INTERNAL, "CL_INVALID_VALUE");
    assert_ok(api->copy(d, d->stream, x, 0, 1, a, 0, 0, 10)); /* the queue goes on */
    api->free(d, d->stream, a, 10);
}

static void exhaustion(void **state) {
    (void)state;
    dl_device *d = opencl_device_here();
    void *a = &a;
    dl_tensor t = {0};
    assert_fails(opencl_api()->alloc(d, d->stream, (uint64_t)1 << 46, &a), DL_NOMEM, "bytes left for a buffer");
    assert_null(a);
    assert_fails(dl_tensor_new(&t, DL_F32, 1, (int64_t[]){(int64_t)1 << 44}, d), DL_NOMEM, "out of memory on opencl");
    assert_ok(opencl_api()->alloc(d, d->stream, 64, &a));
    opencl_api()->free(d, d->stream, a, 64);
}

static long resident_pages(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages;
}

static void open_use_close(int index) {
    static const char source[] = "__kernel void put(__global int *x, long at) { x[at] = 7; }\n";
    const dl_backend *api = opencl_api();
    dl_device *d = NULL;
    dl_stream *s = NULL;
    dl_event *e = NULL;
    assert_ok(api->open(index, &d));
    assert_ok(api->stream_new(d, &s));
    d->stream = s;
    void *x = opencl_ints(d, (int32_t[1]){0}, 1);
    assert_ok(opencl_run(d, s, opencl_kernel(d, source, "put"), 1, &x, 1));
    assert_ok(api->event_record(d, s, &e));
    assert_ok(api->event_wait(d, NULL, e));
    opencl_expect_ints(d, s, x, (int32_t[1]){7}, 1);
    api->event_free(d, e);
    api->stream_free(d, s);
    api->close(d);
}

/* A bound on gross leaks: of a program or a large buffer a round. */
static void open_close_100_times(void **state) {
    (void)state;
    if (getenv("DLRUN_SANITIZE")) skip(); /* the sanitizer keeps what is freed */
    const int index = opencl_device_here()->index;
    for (int k = 0; k < 20; k++) open_use_close(index);
    const long before = resident_pages();
    for (int k = 0; k < 100; k++) open_use_close(index);
    const long grown = (resident_pages() - before) * sysconf(_SC_PAGESIZE);
    if (grown > 16 << 20) fail_msg("resident memory grew by %ld bytes in 100 times", grown);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_with_offsets), cmocka_unit_test(copies_that_overlap),  cmocka_unit_test(copies_out_of_bounds),
        cmocka_unit_test(exhaustion),          cmocka_unit_test(open_close_100_times),
    };
    return cmocka_run_group_tests(tests, opencl_start, NULL);
}
