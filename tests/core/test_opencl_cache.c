/* The OpenCL backend's program binaries on disk: written once, used again, replaced where damaged, done without where the
 * folder cannot be written. */
#include "opencl_support.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static const char source[] = "__kernel void put(__global int *x, long at) { x[at + get_global_id(0)] = 42; }\n";
static char folder[] = "/tmp/dlrun-opencl-cache-XXXXXX";

/* Compiles on a newly opened device, which knows no programs yet, and checks that the kernel works. */
static void compile_anew(void) {
    const dl_backend *api = opencl_api();
    dl_device *d = NULL;
    assert_ok(api->open(opencl_device_here()->index, &d));
    void *x = opencl_ints(d, (int32_t[2]){0, 0}, 2);
    assert_ok(opencl_run(d, NULL, opencl_kernel(d, source, "put"), 2, &x, 1));
    opencl_expect_ints(d, NULL, x, (int32_t[2]){42, 42}, 2);
    api->close(d);
}

/* The path and facts of the one file in the cache. */
static void the_file(char path[512], struct stat *facts) {
    char below[256];
    int n = 0;
    snprintf(below, sizeof below, "%s/opencl", folder);
    DIR *dir = opendir(below);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') n++, snprintf(path, 512, "%s/%s", below, e->d_name);
    closedir(dir);
    assert_int_equal(n, 1);
    assert_int_equal(stat(path, facts), 0);
}

static void overwrite(const char *path, long at, int end_there) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    const int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 0x55, f);
    fclose(f);
    if (end_there) assert_int_equal(truncate(path, at), 0);
}

static void hits_and_damage(void **state) {
    (void)state;
    char path[512];
    struct stat first, again;
    (void)opencl_device_here();
    compile_anew();
    the_file(path, &first);
    compile_anew();
    the_file(path, &again);
    assert_int_equal(first.st_ino, again.st_ino); /* a file that is written again is another file: used as it is */
    const long size = (long)first.st_size;
    const struct {
        long at;
        int end_there;
    } damages[] = {{0, 0}, {20, 0}, {size / 2, 0}, {size - 1, 0}, {size / 2, 1}, {3, 1}, {0, 1}};
    for (size_t k = 0; k < sizeof damages / sizeof *damages; k++) {
        the_file(path, &first);
        overwrite(path, damages[k].at, damages[k].end_there);
        compile_anew();
        the_file(path, &again);
        assert_int_not_equal(first.st_ino, again.st_ino);
        assert_true(again.st_size > 64);
    }
    assert_int_equal(unlink(path), 0);
}

static void folder_that_cannot_be_written(void **state) {
    (void)state;
    (void)opencl_device_here();
    setenv("DLRUN_CACHE", "/proc/no-folder", 1);
    compile_anew();
    compile_anew();
    setenv("DLRUN_CACHE", folder, 1);
}

static int start(void **state) {
    if (!mkdtemp(folder)) return -1;
    setenv("DLRUN_CACHE", folder, 1);
    return opencl_start(state);
}

static int finish(void **state) {
    (void)state;
    char below[256];
    snprintf(below, sizeof below, "%s/opencl", folder);
    (void)rmdir(below);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_and_damage),
        cmocka_unit_test(folder_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
