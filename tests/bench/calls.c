/* calls.c - what one call of an op costs from C: a * b on vectors of four elements.
 *
 * calls FORM N prints the seconds of a call, the mean of 10,000, N times. FORM is "place" (the product written into a) or "new"
 * (a new tensor for every result). BENCH_CLOCK=cpu counts the seconds computed. */
#include "dlrun/dlrun.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS = 10000 };

static clockid_t source = CLOCK_MONOTONIC;

static double now(void) {
    struct timespec t;
    clock_gettime(source, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(dl_status status) {
    if (status == DL_OK) return;
    fprintf(stderr, "calls: %s\n", dl_last_error());
    exit(EXIT_FAILURE);
}

static void make(dl_tensor *t, float value) {
    const int64_t n = 4;
    *t = (dl_tensor){0};
    check(dl_tensor_new(t, DL_F32, 1, &n, dl_default_device()));
    float *data = dl_tensor_data(t);
    for (int i = 0; i < n; i++) data[i] = value;
}

int main(int argc, char **argv) {
    if (argc != 3 || (strcmp(argv[1], "place") != 0 && strcmp(argv[1], "new") != 0)) {
        fprintf(stderr, "usage: calls place|new N\n");
        return EXIT_FAILURE;
    }
    const char *clock = getenv("BENCH_CLOCK");
    if (clock && strcmp(clock, "cpu") == 0) source = CLOCK_THREAD_CPUTIME_ID;
    dl_tensor a, b;
    check(dl_init());
    make(&a, 1), make(&b, 1);
    const dl_tensor *in[] = {&a, &b};
    const int32_t op = dl_op_find("mul"), fresh = argv[1][0] == 'n';
    for (int s = 0; s < atoi(argv[2]); s++) {
        const double start = now();
        for (int i = 0; i < CALLS; i++) {
            dl_tensor y = {0}, *out = fresh ? &y : &a;
            check(dl_call(op, in, 2, &out, 1, NULL, 0));
            if (fresh) dl_tensor_clear(&y);
        }
        printf("%.12f\n", (now() - start) / CALLS);
    }
    dl_tensor_clear(&a), dl_tensor_clear(&b);
    return EXIT_SUCCESS;
}
