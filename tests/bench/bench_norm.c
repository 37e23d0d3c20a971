/* bench_norm.c - batch, layer and group normalisation, forward and backward, and sums over columns: milliseconds and memory
 * traffic as a share of what memcpy moves in the same run.
 *
 * bench_norm [threads]. Counted are the bytes that have to move: forward x and the result, backward the gradient, x and the
 * result. The best of many runs counts: other work on the machine only ever slows one down. */
#include "dlrun/dlrun.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_RUNS = 400 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(dl_status status) {
    if (status == DL_OK) return;
    fprintf(stderr, "bench_norm: %s\n", dl_last_error());
    exit(EXIT_FAILURE);
}

typedef struct row {
    const char *name, *op, *back;
    int32_t ndim;
    int64_t shape[4];
    int channels_last, inputs; /* inputs: of the forward op */
    int64_t features, kind;    /* size of weight and bias; the first attribute */
} row;

static const row rows[] = {
    {"BatchNorm2d NCHW", "batch_norm", "batch_norm_backward", 4, {64, 64, 56, 56}, 0, 5, 64, 1},
    {"BatchNorm2d NHWC", "batch_norm", "batch_norm_backward", 4, {64, 64, 56, 56}, 1, 5, 64, 1},
    {"BatchNorm2d NCHW", "batch_norm", "batch_norm_backward", 4, {64, 512, 7, 7}, 0, 5, 512, 1},
    {"BatchNorm2d NHWC", "batch_norm", "batch_norm_backward", 4, {64, 512, 7, 7}, 1, 5, 512, 1},
    {"BatchNorm1d", "batch_norm", "batch_norm_backward", 2, {1024, 1024}, 0, 5, 1024, 1},
    {"evaluating NCHW", "batch_norm", "batch_norm_backward", 4, {64, 64, 56, 56}, 0, 5, 64, 0},
    {"evaluating NHWC", "batch_norm", "batch_norm_backward", 4, {64, 64, 56, 56}, 1, 5, 64, 0},
    {"LayerNorm", "layer_norm", "layer_norm_backward", 2, {4096, 1024}, 0, 3, 1024, 1},
    {"GroupNorm(32) NCHW", "group_norm", "group_norm_backward", 4, {64, 64, 56, 56}, 0, 3, 64, 32},
    {"GroupNorm(32) NHWC", "group_norm", "group_norm_backward", 4, {64, 64, 56, 56}, 1, 3, 64, 32},
};

static void make(dl_tensor *t, int32_t ndim, const int64_t *shape, int channels_last) {
    int64_t n = 1, strides[4];
    for (int32_t d = ndim - 1; d >= 0; d--) strides[d] = n, n *= shape[d];
    if (channels_last) {
        strides[1] = 1, strides[3] = shape[1], strides[2] = shape[1] * shape[3];
        strides[0] = shape[1] * shape[2] * shape[3];
    }
    dl_tensor flat = {0}, *out = &flat;
    const dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = 1, .v.iv = &n}};
    check(dl_call(dl_op_find("normal"), NULL, 0, &out, 1, attr, 1));
    *t = (dl_tensor){0};
    check(dl_tensor_on(t, flat.storage, flat.type, 0, ndim, shape, strides));
    dl_tensor_clear(&flat);
}

/* Seconds of the fastest call in about 0.4 s. */
static double best(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                   const dl_attr *attr, int32_t n_attr) {
    double fastest = 1e9, start = now();
    for (int run = 0; run < MAX_RUNS && (run < 3 || now() - start < 0.4); run++) {
        const double before = now();
        check(dl_call(dl_op_find(op), in, n_in, out, n_out, attr, n_attr));
        if (now() - before < fastest) fastest = now() - before;
    }
    return fastest;
}

static double copy_speed(uint64_t bytes) { /* bytes read and written a second */
    char *from = malloc(bytes), *to = malloc(bytes);
    double fastest = 1e9, start = now();
    memset(from, 1, bytes), memset(to, 1, bytes);
    for (int run = 0; run < MAX_RUNS && (run < 3 || now() - start < 0.2); run++) {
        const double before = now();
        memcpy(to, from, bytes);
        if (now() - before < fastest) fastest = now() - before;
    }
    free(from), free(to);
    return 2 * (double)bytes / fastest;
}

static void report(const char *what, double seconds, double bytes, double copy) {
    printf("  %s %8.3f ms %6.1f GB/s %4.0f%%", what, seconds * 1e3, bytes / seconds * 1e-9, 100 * bytes / seconds / copy);
}

static void measure(const row *r) {
    dl_tensor x, g, y, w, b, mean, var, s1 = {0}, s2 = {0}, gw, gb;
    int64_t count = 1;
    for (int32_t d = 0; d < r->ndim; d++) count *= r->shape[d];
    make(&x, r->ndim, r->shape, r->channels_last), make(&g, r->ndim, r->shape, r->channels_last);
    make(&y, r->ndim, r->shape, r->channels_last);
    make(&w, 1, &r->features, 0), make(&b, 1, &r->features, 0), make(&gw, 1, &r->features, 0), make(&gb, 1, &r->features, 0);
    make(&mean, 1, &r->features, 0), make(&var, 1, &r->features, 0);
    for (int64_t k = 0; k < r->features; k++) ((float *)dl_tensor_data(&var))[k] = 1;
    const dl_attr attr[] = {
        {.kind = DL_ATTR_INT, .v.i = r->kind}, {.kind = DL_ATTR_FLOAT, .v.f = 1e-5}, {.kind = DL_ATTR_FLOAT, .v.f = 0.1}};
    const dl_tensor *in[] = {&x, &w, &b, &mean, &var}, *back[] = {&g, &x, &w, &s1, &s2};
    dl_tensor *out[] = {&y, &s1, &s2}, *grads[] = {&y, &gw, &gb};
    const double bytes = (double)count * 4, copy = copy_speed((uint64_t)bytes);
    const double forward = best(r->op, in, r->inputs, out, 3, attr, r->inputs == 5 ? 3 : 2);
    const double backward = best(r->back, back, 5, grads, 3, attr, 2);
    printf("%-20s", r->name);
    report("forward", forward, 2 * bytes, copy);
    report("backward", backward, 3 * bytes, copy);
    printf("   copy %.1f GB/s\n", copy * 1e-9);
    dl_tensor *all[] = {&x, &g, &y, &w, &b, &mean, &var, &s1, &s2, &gw, &gb};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) dl_tensor_clear(all[k]);
}

int main(int argc, char **argv) {
    check(dl_init());
    dl_threads(argc > 1 ? atoi(argv[1]) : 1);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) measure(&rows[k]);
    return 0;
}
