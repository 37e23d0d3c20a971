/* test_example.c - runs examples/xor.c as a user would, from the build folder that tools/run_tests names. */
#include "engine_support.h"
#include <sys/wait.h>

static void test_xor_learns(void **state) {
    (void)state;
    const char *build = getenv("DLRUN_BUILD");
    if (!build) skip();
    char command[600], line[200];
    double first = -1, last = -1;
    int lines = 0;
    snprintf(command, sizeof command, "%s/examples/xor", build);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    for (; fgets(line, sizeof line, out); lines++) {
        int n;
        if (sscanf(line, "step %d loss %lf", &n, &last) != 2) fail_msg("'%s'", line);
        if (lines == 0) first = last;
    }
    int status = pclose(out);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(lines > 2 && first > 0.5 && last < 0.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_xor_learns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
