/* bench_pointwise.c - nanoseconds an element of pointwise ops through dl_call, and their memory traffic as a share of what
 * memcpy moves in the same run.
 *
 * bench_pointwise [threads]. Columns: one call on 1 element; 4096 elements (in L1); 2^18 (in L2); 2^24 (in memory); a (256, 64)
 * matrix with a broadcast second operand. The best of many short runs counts: other work on the machine only ever slows one
 * down. */
#include "dlrun/dlrun.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { LARGE = 1 << 24, ROWS = 256, COLUMNS = 64, MAX_RUNS = 2000 };

static dl_tensor operand[2], result;

static void check(dl_status status) {
    if (status == DL_OK) return;
    fprintf(stderr, "bench_pointwise: %s\n", dl_last_error());
    exit(EXIT_FAILURE);
}

/* The first n elements of a large tensor, as a vector or (ROWS, COLUMNS). */
static void part(dl_tensor *view, const dl_tensor *of, int64_t n, const int64_t *strides) {
    const int64_t shape[2] = {strides ? ROWS : n, COLUMNS};
    *view = (dl_tensor){0};
    check(dl_tensor_on(view, of->storage, of->type, 0, strides ? 2 : 1, shape, strides));
}

/* Seconds of the fastest call in about 40 ms. */
static double best(int32_t op, int32_t inputs, int64_t n, const int64_t *second_strides) {
    static const int64_t rows[] = {COLUMNS, 1};
    dl_tensor a, b, y, *out = &y;
    const dl_tensor *in[2] = {&a, &b};
    double fastest = 1e9, start = now();
    part(&a, &operand[0], n, second_strides ? rows : NULL);
    part(&b, &operand[1], n, second_strides);
    part(&y, &result, n, second_strides ? rows : NULL);
    const int batch = n < 64 ? 256 : 1; /* the clock is too coarse for one small call */
    for (int run = 0; run < MAX_RUNS && (run < 3 || now() - start < 0.04); run++) {
        const double before = now();
        for (int k = 0; k < batch; k++) check(dl_call(op, in, inputs, &out, 1, NULL, 0));
        const double took = (now() - before) / batch;
        if (took < fastest) fastest = took;
    }
    dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&y);
    return fastest;
}

static double best_copy(void) {
    double fastest = 1e9;
    char *to = dl_tensor_data(&result);
    const char *from = dl_tensor_data(&operand[0]);
    for (int run = 0; run < 5; run++) {
        const double before = now();
        memcpy(to, from, (size_t)LARGE * sizeof(float));
        if (now() - before < fastest) fastest = now() - before;
    }
    return 2.0 * sizeof(float) * LARGE / fastest * 1e-9;
}

int main(int argc, char **argv) {
    static const struct {
        const char *op;
        int inputs;
    } ops[] = {{"add", 2}, {"mul", 2},  {"div", 2},     {"pow", 2},  {"maximum", 2},  {"relu", 1}, {"sqrt", 1}, {"exp", 1},
               {"log", 1}, {"tanh", 1}, {"sigmoid", 1}, {"gelu", 1}, {"softplus", 1}, {"sin", 1},  {"erf", 1},  {"square", 1}};
    static const int64_t n[] = {1, 4096, 1 << 18, LARGE}, along_rows[] = {0, 1}, along_columns[] = {1, 0};
    const int64_t large = LARGE;
    check(dl_init());
    dl_device *device = dl_default_device();
    if (!device) check(DL_UNSUPPORTED);
    dl_threads(argc > 1 ? atoi(argv[1]) : 0);
    dl_tensor *all[] = {&operand[0], &operand[1], &result};
    for (int k = 0; k < 3; k++) {
        check(dl_tensor_new(all[k], DL_F32, 1, &large, device));
        float *x = dl_tensor_data(all[k]);
        for (int64_t i = 0; i < LARGE; i++) x[i] = (float)(i % 1000) * 0.005f + 0.1f;
    }
    const double copy = best_copy();
    printf("%d threads; memcpy %.1f GB/s\n%-10s %9s %9s %9s %9s %9s %9s %9s\n", (int)dl_threads(0), copy, "", "1: ns",
           "4k: ns/el", "256k", "16M", "/memcpy", "+ row", "+ column");
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        const int32_t op = dl_op_find(ops[k].op);
        const int inputs = ops[k].inputs;
        if (op < 0) continue;
        printf("%-10s", ops[k].op);
        for (int s = 0; s < 4; s++) {
            const double seconds = best(op, inputs, n[s], NULL);
            printf(s ? " %9.3f" : " %9.1f", seconds * 1e9 / (double)n[s]);
            if (n[s] == LARGE) printf(" %9.2f", (inputs + 1.0) * sizeof(float) * LARGE / seconds * 1e-9 / copy);
        }
        if (inputs == 2)
            printf(" %9.3f %9.3f", best(op, 2, ROWS * COLUMNS, along_rows) * 1e9 / (ROWS * COLUMNS),
                   best(op, 2, ROWS * COLUMNS, along_columns) * 1e9 / (ROWS * COLUMNS));
        printf("\n");
        fflush(stdout);
    }
    for (int k = 0; k < 3; k++) dl_tensor_clear(all[k]);
    return EXIT_SUCCESS;
}
