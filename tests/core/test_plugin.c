/* The loader over real files: what is taken, what is refused and why, and that nothing of a refused plugin remains or runs. */
#include "null_backend.h"
#include "op.h"
#include "plugin.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64] = "/tmp/dlrun-path-XXXXXX"; /* a search path of its own, with links to some of the plugins */
static const char *plugins;

static const char *plugin(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s.so", plugins, name);
    return path;
}

static void place(const char *name, const char *as) {
    char link[256];
    snprintf(link, sizeof link, "%s/%s", folder, as);
    if (symlink(plugin(name), link) != 0) fprintf(stderr, "cannot link %s\n", link);
}

/* dl_init() scans once in a process: lazy.so and a text file are on the path, the rest is loaded by name below. */
static int set_up(void **state) {
    plugins = getenv("DLRUN_TEST_PLUGINS");
    if (!plugins) plugins = "build/tests/plugins";
    char *absolute = realpath(plugins, NULL);
    if (!absolute || !mkdtemp(folder)) {
        fprintf(stderr, "no plugins in %s: set DLRUN_TEST_PLUGINS\n", plugins);
        return -1;
    }
    plugins = absolute; /* for the process's life */
    place("lazy", "lazy.so");
    place("no_identity", "no_identity.so");
    place("good", "good.not-so");
    char text[256];
    snprintf(text, sizeof text, "%s/text.so", folder);
    FILE *f = fopen(text, "w");
    fputs("just text", f);
    fclose(f);
    if (null_install_backends(state) != 0) return -1;
    snprintf(text, sizeof text, "::%s:.:tests:/nonexistent:%s", folder, folder);
    setenv("DLRUN_PLUGIN_PATH", text, 1);
    return dl_init() == DL_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const names[] = {"lazy.so", "no_identity.so", "good.not-so", "text.so"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        unlink(path);
    }
    rmdir(folder);
    free((char *)plugins);
    return 0;
}

/* The listed candidate whose path ends so; state -1: none. */
static dl_plugin_info listed(const char *ending) {
    dl_plugin_info info;
    for (int32_t k = 0; k < dl_plugin_count(); k++) {
        assert_ok(dl_plugin_get(k, &info));
        size_t n = strlen(info.path), m = strlen(ending);
        if (n >= m && strcmp(info.path + n - m, ending) == 0) return info;
    }
    return (dl_plugin_info){.state = -1};
}

static void candidates_are_listed_with_reasons(void **state) {
    (void)state;
    assert_int_equal(dl_plugin_count(), 3);
    dl_plugin_info info = listed("/lazy.so");
    assert_int_equal(info.state, 2);
    assert_string_equal(info.from, "DLRUN_PLUGIN_PATH");
    assert_string_equal(info.name, "lazy");
    assert_string_equal(info.version, "2.0");
    assert_non_null(strstr(info.reason, "waits until backend 'lazy' is asked for"));
    info = listed("/text.so");
    assert_int_equal(info.state, 0);
    assert_string_equal(info.name, "");
    assert_non_null(strstr(info.reason, "not a shared object: no ELF header"));
    info = listed("/no_identity.so");
    assert_int_equal(info.state, 0);
    assert_non_null(strstr(info.reason, "no identity note"));
    assert_null(getenv("DLRUN_TEST_NO_IDENTITY_RAN"));
    assert_fails(dl_plugin_get(-1, &info), DL_INVALID, "no plugin number -1");
    assert_fails(dl_plugin_get(99, &info), DL_INVALID, "no plugin number 99");
}

static void lazy_plugins_wait(void **state) {
    (void)state;
    dl_device *device;
    int32_t n = 7;
    assert_null(getenv("DLRUN_TEST_LAZY_RAN"));
    assert_null(dl_backend_find("lazy"));
    assert_fails(dl_device_open("nowhere", &device), DL_INVALID, "there is no backend 'nowhere'; there is: cpu, far, lazy");
    assert_null(getenv("DLRUN_TEST_LAZY_RAN"));
    assert_fails(dl_backend_devices("lazy", &n), DL_UNSUPPORTED, "no lazy device is plugged in");
    assert_int_equal(n, 0);
    assert_non_null(getenv("DLRUN_TEST_LAZY_RAN"));
    assert_fails(dl_device_open("lazy", &device), DL_UNSUPPORTED, "no lazy device");
    assert_int_equal(listed("/lazy.so").state, 1);
    assert_string_equal(listed("/lazy.so").reason, "");
    assert_true(dl_backend_find("lazy")->dl_type >= 12);
    assert_int_equal(dl_backend_count(), 3);
}

static void loading(void **state) {
    (void)state;
    assert_null(getenv("DLRUN_TEST_GOOD_RAN"));
    assert_int_equal(dl_op_find("good::twice"), -1);
    assert_ok(dl_plugin_load(plugin("good")));
    assert_non_null(getenv("DLRUN_TEST_GOOD_RAN"));
    assert_true(dl_op_find("good::twice") >= 0);
    assert_string_equal(dl_op_named("good::twice")->plugin, "good");
    int32_t n = dl_plugin_count();
    assert_ok(dl_plugin_load(plugin("good"))); /* again: nothing happens */
    assert_int_equal(dl_plugin_count(), n);
    assert_int_equal(listed("/good.so").state, 1);
    assert_string_equal(listed("/good.so").from, "asked for");
}

static void nothing_of_a_failed_init_remains(void **state) {
    (void)state;
    int32_t ops = dl_op_count(), backends = dl_backend_count();
    dl_device *device;
    assert_true(dl_op_find("good::twice") >= 0); /* from the test before */
    assert_fails(dl_plugin_load(plugin("fails")), DL_UNSUPPORTED, "fails.so refused: the hardware is missing");
    assert_int_equal(dl_op_count(), ops);
    assert_int_equal(dl_op_find("fails::op"), -1);
    assert_int_equal(dl_backend_count(), backends);
    assert_null(dl_backend_find("ghost"));
    int32_t late; /* a kernel for it would have waited */
    assert_ok(dl_op_define("late_op(Tensor x)", "x + 1", "arith", &late));
    assert_int_equal(dl_op_coverage(late, "far"), 0);
    assert_int_equal(dl_op_coverage(dl_op_find("good::twice"), "far"), 0);
    assert_fails(dl_device_open("fails", &device), DL_INVALID, "the hardware is missing"); /* says why it is not there */
    dl_plugin_info info = listed("/fails.so");
    assert_int_equal(info.state, 0);
    assert_string_equal(info.reason, "the hardware is missing");
}

static void conflicts_name_both(void **state) {
    (void)state;
    int32_t ops = dl_op_count();
    assert_fails(dl_plugin_load(plugin("rival")), DL_INVALID, "op 'good::twice' of rival is already registered by good");
    assert_int_equal(dl_op_count(), ops);
    assert_int_equal(dl_op_find("rival::new"), -1);
    assert_fails(dl_plugin_load(plugin("other_good")), DL_INVALID, "the plugin name 'good' is already taken by");
    assert_fails(dl_plugin_load(plugin("other_good")), DL_INVALID, "good.so");
}

static void refused_files(void **state) {
    (void)state;
    assert_fails(dl_plugin_load("/nonexistent/x.so"), DL_IO, "plugin /nonexistent/x.so cannot be opened");
    assert_fails(dl_plugin_load(plugin("no_identity")), DL_ABI, "no_identity.so refused: not a dlrun plugin");
    assert_null(getenv("DLRUN_TEST_NO_IDENTITY_RAN"));
    assert_fails(dl_plugin_load(plugin("no_init")), DL_ABI, "exports no dl_plugin_init");
    assert_fails(dl_plugin_load(folder), DL_ABI, "not a regular file");
}

/* ---- refusals run no code: wild.so aborts the process as soon as any of it runs --------------------------------------- */

typedef struct bytes {
    unsigned char *at;
    size_t n;
} bytes;

static bytes read_file(const char *path) {
    enum { MOST = 1 << 22 };
    bytes all = {malloc(MOST), 0};
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot read %s", path);
    all.n = fread(all.at, 1, MOST, f);
    fclose(f);
    return all;
}

static dl_status load_bytes(bytes b) {
    char path[256];
    snprintf(path, sizeof path, "%s/wild-copy.so", folder);
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(b.at, 1, b.n, f), b.n);
    fclose(f);
    dl_status status = dl_plugin_load(path);
    unlink(path);
    return status;
}

/* What the loader says of wild.so with one field of its identity changed. */
#define LOAD_WITH(field, ...) load_changed(offsetof(dl_identity, field), __VA_ARGS__)
static dl_status load_changed(size_t field, const void *value, size_t n) {
    bytes b = read_file(plugin("wild"));
    unsigned char *identity = memmem(b.at, b.n, "DLPLUG\0\1", 8);
    assert_non_null(identity);
    memcpy(identity + field, value, n);
    dl_status status = load_bytes(b);
    free(b.at);
    return status;
}

static void refusals_run_no_code(void **state) {
    (void)state;
    const uint32_t next_major = DL_ABI_MAJOR + 1, next_minor = DL_ABI_MINOR + 1, huge = 1u << 20;
    const uint64_t isa = (uint64_t)1 << 40;
    assert_fails(LOAD_WITH(abi_major, &next_major, 4), DL_ABI, "built for plugin ABI 2, this host has 1");
    assert_fails(LOAD_WITH(abi_needs, &next_minor, 4), DL_ABI, "needs plugin ABI 1.");
    assert_fails(LOAD_WITH(isa, &isa, 8), DL_ABI, "requires instruction-set bits");
    assert_fails(LOAD_WITH(size, &huge, 4), DL_ABI, "malformed identity: it states 1048576 bytes");
    assert_fails(LOAD_WITH(magic, "X", 1), DL_ABI, "malformed identity: wrong magic");
    assert_fails(LOAD_WITH(name, "", 1), DL_ABI, "its name is empty");
    assert_fails(LOAD_WITH(name, "good", 5), DL_INVALID, "the plugin name 'good' is already taken by");
    assert_fails(LOAD_WITH(target, "other", 6), DL_ABI, "built for other, this host is");
    bytes b = read_file(plugin("wild"));
    const size_t whole = b.n;
    b.n = whole - 1; /* past the note and everything that a loader maps */
    assert_fails(load_bytes(b), DL_ABI, "truncated");
    b.n = whole / 2;
    assert_fails(load_bytes(b), DL_ABI, "truncated");
    b.n = whole;
    b.at[0] = '#';
    assert_fails(load_bytes(b), DL_ABI, "not a shared object: no ELF header");
    free(b.at);
}

/* The proof that the above can fail: unchanged, it does abort. */
static void wild_is_wild(void **state) {
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        (void)dl_plugin_load(plugin("wild"));
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* Memory may run out at any point of loading: the plugin is then refused and nothing of it remains; later it loads. */
static void all_or_nothing_when_memory_runs_out(void **state) {
    (void)state;
    int32_t ops = dl_op_count();
    int failures = 0;
    for (long n = 1; n < 1000; n++) {
        dl_mem_fail_after(n, n % 2);
        dl_status status = dl_plugin_load(plugin("heavy"));
        dl_mem_fail_after(0, 0);
        if (status == DL_OK) break;
        failures++;
        assert_int_equal(status, DL_NOMEM);
        assert_int_equal(dl_op_count(), ops);
        assert_null(dl_backend_find("heavy"));
    }
    assert_true(failures > 8);
    const dl_backend_entry *backend = dl_backend_find("heavy");
    assert_int_equal(dl_op_count(), ops + 3);
    assert_int_equal(dl_op_coverage(dl_op_find("heavy::c"), "heavy"), 3);
    assert_int_equal(dl_op_coverage(dl_op_find("copy"), "heavy"), 3);
    assert_int_equal(dl_op_coverage(dl_op_find("heavy::b"), "cpu"), 3);
    assert_int_equal(dl_op_coverage(dl_op_find("heavy::a"), "heavy"), 0);
    assert_non_null(dl_op_named("copy")->kernels[backend->number][0]);
    assert_int_equal(listed("/heavy.so").state, 1);
    assert_string_equal(listed("/heavy.so").reason, "");
}

static void registration_outside_init(void **state) {
    (void)state;
    const dl_host *host = dl_host_table();
    dl_op_def op = {.size = sizeof op, .sig = "late::op(Tensor x) -> Tensor", .expr = "x", .rule = "arith"};
    assert_fails(host->add_op(&op), DL_INVALID, "from dl_plugin_init only");
    assert_int_equal(dl_op_find("late::op"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_are_listed_with_reasons),
        cmocka_unit_test(lazy_plugins_wait),
        cmocka_unit_test(loading),
        cmocka_unit_test(nothing_of_a_failed_init_remains),
        cmocka_unit_test(conflicts_name_both),
        cmocka_unit_test(refused_files),
        cmocka_unit_test(refusals_run_no_code),
        cmocka_unit_test(wild_is_wild),
        cmocka_unit_test(all_or_nothing_when_memory_runs_out),
        cmocka_unit_test(registration_outside_init),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
