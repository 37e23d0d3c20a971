/* bench_matmul.c - speed of matmul and linear in GFLOP/s and as a share of what a loop of nothing but multiply-adds reaches in
 * the same run.
 *
 * bench_matmul [threads]. A column per layout: NN, NT (second matrix transposed), TN (first). The best of several runs counts:
 * other work on the machine only ever slows a run down. */
#include "dlrun/dlrun.h"
#include "peak.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the products ------------------------------------------------------------------------------------------------------ */

static void must(dl_status status) {
    if (status == DL_OK) return;
    fprintf(stderr, "bench_matmul: %s\n", dl_last_error());
    exit(1);
}

static void make(dl_tensor *t, int64_t rows, int64_t cols, int transposed) {
    dl_tensor base = {0};
    must(dl_tensor_new(&base, DL_F32, 2, transposed ? (int64_t[]){cols, rows} : (int64_t[]){rows, cols}, dl_default_device()));
    float *data = (float *)dl_tensor_data(&base);
    for (int64_t i = 0; i < rows * cols; i++) data[i] = (float)(i * 7919 % 1000) * 1e-3f - 0.5f;
    *t = (dl_tensor){0};
    must(dl_tensor_on(t, base.storage, DL_F32, 0, 2, (int64_t[]){rows, cols}, transposed ? (int64_t[]){1, rows} : NULL));
    dl_tensor_clear(&base);
}

/* Seconds of one call: the best of a tenth of a second's worth. */
static double seconds(int32_t op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out) {
    double best = 1e9, begun = now(), budget = 0.15;
    int batch = 1;
    must(dl_call(op, in, n_in, &out, 1, NULL, 0));
    for (int runs = 0; runs < 4 || now() - begun < budget; runs++) {
        const double start = now();
        for (int i = 0; i < batch; i++) must(dl_call(op, in, n_in, &out, 1, NULL, 0));
        const double each = (now() - start) / batch;
        if (each < best) best = each;
        batch = 1 + (int)(1e-3 / best);
    }
    return best;
}

static void line(int64_t m, int64_t n, int64_t k, double top) {
    printf("%5lld x %4lld x %4lld", (long long)m, (long long)n, (long long)k);
    for (int form = 0; form < 4; form++) { /* NN, NT, TN; linear with bias */
        dl_tensor a, b, c, bias;
        make(&a, m, k, form == 2), make(&c, m, n, 0), make(&bias, 1, n, 0);
        if (form == 3)
            make(&b, n, k, 0);
        else
            make(&b, k, n, form == 1);
        dl_tensor vector = {0};
        must(dl_tensor_on(&vector, bias.storage, DL_F32, 0, 1, &n, NULL));
        const dl_tensor *in[] = {&a, &b, &vector};
        const double t = seconds(dl_op_find(form == 3 ? "linear" : "matmul"), in, form == 3 ? 3 : 2, &c);
        const double g = 2.0 * (double)m * (double)n * (double)k / t * 1e-9;
        printf(" | %8.2f us %6.1f %3.0f%%", t * 1e6, g, 100 * g / top);
        dl_tensor_clear(&a), dl_tensor_clear(&b), dl_tensor_clear(&c), dl_tensor_clear(&bias), dl_tensor_clear(&vector);
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const int64_t shapes[][3] = {
        {4, 2, 3},       {4, 1, 3},       {16, 16, 16},       {32, 32, 32},       {64, 64, 64},
        {64, 256, 784},  {64, 128, 256},  {64, 10, 128},      {64, 784, 256},     {64, 256, 128},
        {64, 128, 10},   {256, 784, 64},  {128, 256, 64},     {10, 128, 64},      {128, 256, 784},
        {1, 1024, 1024}, {1024, 1, 1024}, {100, 100, 100},    {128, 128, 128},    {256, 256, 256},
        {384, 384, 384}, {512, 512, 512}, {1000, 1000, 1000}, {1024, 1024, 1024}, {2048, 2048, 2048},
    };
    must(dl_init());
    const int32_t threads = dl_threads(argc > 1 ? atoi(argv[1]) : 0);
    const double one = peak(), top = one * threads;
    printf("peak %.1f GFLOP/s a thread, %d threads\n", one, (int)threads);
    printf("%20s | %-23s | %-23s | %-23s | %s\n", "m x n x k", "NN", "NT", "TN", "linear, bias");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) line(shapes[i][0], shapes[i][1], shapes[i][2], top);
    return 0;
}
