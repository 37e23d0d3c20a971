/* Which OpenCL devices there are: chosen by number and by name; what is said where the driver is missing. */
#include "opencl_support.h"
#include <ctype.h>

static void by_name(void **state) {
    (void)state;
    dl_device *d = opencl_device_here(), *again = NULL;
    dl_device_facts facts;
    char spec[96];
    assert_ok(dl_backend_device("opencl", 0, &facts));
    assert_true(facts.memory_total > 0);
    snprintf(spec, sizeof spec, "opencl:%s", facts.name);
    for (char *p = spec + 7; *p; p++) *p = (char)toupper((unsigned char)*p);
    assert_ok(dl_device_open(spec, &again));
    assert_ptr_equal(again, d);
    assert_ok(dl_device_open("opencl:driver", &again)); /* a word of every device's detail: the first */
    assert_ptr_equal(again, d);
    assert_fails(dl_device_open("opencl:no such device", &again), DL_INVALID,
                 "backend 'opencl' has no device with 'no such device' in its name; there is: opencl:0 ");
    assert_non_null(strstr(dl_last_error(), facts.name));
    assert_fails(dl_device_open("opencl:4711", &again), DL_INVALID, "number 4711 was asked for");
    assert_int_equal(d->id.type, 4);
}

/* What dlrun prints when it is started with this environment. */
static void output_of(const char *environment, char *text, size_t capacity) {
    char command[1024];
    snprintf(command, sizeof command, "%s \"$DLRUN_BIN\" --backend=opencl -e 1 2>&1", environment);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    text[fread(text, 1, capacity - 1, f)] = 0;
    assert_int_not_equal(pclose(f), 0);
}

static void no_driver(void **state) {
    (void)state;
    char text[4096];
    (void)opencl_device_here(); /* the backend is built and there is a loader */
    if (!getenv("DLRUN_BIN")) skip();
    output_of("OCL_ICD_VENDORS=/nonexistent OPENCL_VENDOR_PATH=/nonexistent", text, sizeof text);
    if (!strstr(text, "--backend=opencl: OpenCL's loader found no driver (ICD); install the GPU's, or PoCL"))
        fail_msg("dlrun said: %s", text);
    assert_non_null(strstr(text, "clGetPlatformIDs: CL_PLATFORM_NOT_FOUND_KHR (-1001)"));
}

/* PoCL can be told to have only devices that it does not know. */
static void no_device(void **state) {
    (void)state;
    char text[4096];
    dl_device_facts facts;
    (void)opencl_device_here();
    assert_ok(dl_backend_device("opencl", 0, &facts));
    if (!getenv("DLRUN_BIN") || !strstr(facts.detail, "PoCL")) skip();
    output_of("POCL_DEVICES=nosuch", text, sizeof text);
    if (!strstr(text, "no device; clGetDeviceIDs: CL_DEVICE_NOT_FOUND (-1)\n")) fail_msg("dlrun said: %s", text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name),
        cmocka_unit_test(no_driver),
        cmocka_unit_test(no_device),
    };
    return cmocka_run_group_tests(tests, opencl_start, NULL);
}
