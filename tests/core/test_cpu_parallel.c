/* test_cpu_parallel.c - the CPU backend's thread pool: every element once, serial where it must be. */
#include "backends/cpu/isa.c"
#include "backends/cpu/parallel.c"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static int warnings;
static void host_log(int32_t level, const char *text) { (void)text, warnings += level == 1; }
static const dl_host host = {.size = sizeof host, .log = host_log};
const dl_host *cpu_host = &host;

enum { N = 100003 };
static unsigned char seen[N];
static int32_t chunks;

static void visit(void *context, int64_t begin, int64_t end) {
    (void)context;
    __atomic_fetch_add(&chunks, 1, __ATOMIC_RELAXED);
    for (int64_t i = begin; i < end; i++) seen[i]++;
}

/* Runs n elements and checks that each was visited once; returns the number of chunks. */
static int32_t run(int64_t n, int64_t grain) {
    memset(seen, 0, sizeof seen);
    chunks = 0;
    cpu_parallel(n, grain, visit, NULL);
    for (int64_t i = 0; i < N; i++) assert_int_equal(seen[i], i < n);
    return chunks;
}

static void every_element_once(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 5; threads++) {
        assert_int_equal(cpu_threads(threads), threads);
        assert_int_equal(run(N, 1000), cpu_threads(0));
        assert_int_equal(run(0, 1000), 0);
        assert_int_equal(run(1, 1000), 1);
        assert_int_equal(run(1999, 1000), 1);
        assert_int_equal(run(3, 1), cpu_threads(0) < 3 ? cpu_threads(0) : 3);
    }
}

/* Thousands of short regions, with pauses long enough for workers to fall asleep: none is lost, none runs twice. */
static void many_regions(void **state) {
    (void)state;
    cpu_threads(3);
    for (int k = 0; k < 3000; k++) {
        if (k % 500 == 0) usleep(2000);
        memset(seen, 0, 64);
        cpu_parallel(64, 1, visit, NULL);
        for (int i = 0; i < 64; i++) assert_int_equal(seen[i], 1);
    }
}

static void nested(void *context, int64_t begin, int64_t end) {
    (void)context;
    for (int64_t i = begin; i < end; i++) cpu_parallel(100, 1, visit, NULL);
}

static void serial_inside_a_body(void **state) {
    (void)state;
    cpu_threads(4);
    memset(seen, 0, sizeof seen);
    chunks = 0;
    cpu_parallel(1, 1, nested, NULL); /* one chunk: not in a parallel region, so this one may split */
    assert_int_equal(chunks, cpu_threads(0));
    cpu_threads(2);
    chunks = 0;
    self.busy = 1; /* as inside a region */
    cpu_parallel(100, 1, visit, NULL);
    self.busy = 0;
    assert_int_equal(chunks, 1);
}

static void *foreign(void *context) {
    (void)context;
    chunks = 0;
    cpu_parallel(N, 10, visit, NULL);
    assert_int_equal(chunks, 1);
    assert_int_equal(cpu_library_threads(), 1);
    return NULL;
}

static void serial_on_other_threads(void **state) {
    pthread_t thread;
    (void)state;
    cpu_threads(3);
    assert_int_equal(pthread_create(&thread, NULL, foreign, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(cpu_library_threads(), cpu_threads(0));
}

static void thread_count_from_the_environment(void **state) {
    const char *given = getenv("DLRUN_THREADS");
    char *kept = given ? strdup(given) : NULL;
    (void)state;
    setenv("DLRUN_THREADS", "3", 1);
    assert_int_equal(wanted_threads(), 3);
    warnings = 0;
    setenv("DLRUN_THREADS", "many", 1);
    assert_int_equal(wanted_threads(), available_cores());
    assert_int_equal(warnings, 1);
    if (kept)
        setenv("DLRUN_THREADS", kept, 1);
    else
        unsetenv("DLRUN_THREADS");
    free(kept);
}

static void instruction_set_from_the_environment(void **state) {
    const char *given = getenv("DLRUN_ISA");
    char *kept = given ? strdup(given) : NULL;
    (void)state;
    warnings = 0;
    setenv("DLRUN_ISA", "baseline", 1);
    assert_int_equal(cpu_isa(), CPU_BASELINE);
    unsetenv("DLRUN_ISA");
    assert_int_equal(cpu_isa(), best());
    assert_int_equal(warnings, 0);
    setenv("DLRUN_ISA", "mmx", 1);
    assert_int_equal(cpu_isa(), best());
    assert_int_equal(warnings, 1);
    if (kept)
        setenv("DLRUN_ISA", kept, 1);
    else
        unsetenv("DLRUN_ISA");
    free(kept);
}

static int open_pool(void **state) {
    (void)state;
    cpu_parallel_open();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_once),
        cmocka_unit_test(many_regions),
        cmocka_unit_test(serial_inside_a_body),
        cmocka_unit_test(serial_on_other_threads),
        cmocka_unit_test(thread_count_from_the_environment),
        cmocka_unit_test(instruction_set_from_the_environment),
    };
    return cmocka_run_group_tests(tests, open_pool, NULL);
}
