/* bench_conv.c - speed of convolution and its two gradients in GFLOP/s and as a share of what a loop of nothing but
 * multiply-adds reaches in the same run.
 *
 * bench_conv [threads [batch [word]]]: all layers, or those whose names contain the word. Activations lie channels-last, as
 * results of convolutions do; a row named "plain" has them NCHW. The best of several runs counts: other work on the machine
 * only ever slows a run down. */
#include "dlrun/dlrun.h"
#include "peak.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct layer {
    const char *name;
    int64_t channels, size, results, kernel, stride, padding, groups;
    int plain;
} layer;

static const layer layers[] = {
    {"resnet conv1, plain", 3, 224, 64, 7, 2, 3, 1, 1},
    {"resnet layer1", 64, 56, 64, 3, 1, 1, 1, 0},
    {"resnet layer2, first", 64, 56, 128, 3, 2, 1, 1, 0},
    {"resnet layer2, downsample", 64, 56, 128, 1, 2, 0, 1, 0},
    {"resnet layer2", 128, 28, 128, 3, 1, 1, 1, 0},
    {"resnet layer3, first", 128, 28, 256, 3, 2, 1, 1, 0},
    {"resnet layer3, downsample", 128, 28, 256, 1, 2, 0, 1, 0},
    {"resnet layer3", 256, 14, 256, 3, 1, 1, 1, 0},
    {"resnet layer4, first", 256, 14, 512, 3, 2, 1, 1, 0},
    {"resnet layer4, downsample", 256, 14, 512, 1, 2, 0, 1, 0},
    {"resnet layer4", 512, 7, 512, 3, 1, 1, 1, 0},
    {"layer1, plain", 64, 56, 64, 3, 1, 1, 1, 1},
    {"layer3, plain", 256, 14, 256, 3, 1, 1, 1, 1},
    {"bottleneck 1x1", 256, 56, 64, 1, 1, 0, 1, 0},
    {"lenet conv1, plain", 1, 28, 32, 5, 1, 2, 1, 1},
    {"lenet conv2", 32, 14, 64, 5, 1, 2, 1, 0},
    {"depthwise 3x3", 128, 56, 128, 3, 1, 1, 128, 0},
    {"grouped 3x3, 32 of 4", 128, 56, 128, 3, 1, 1, 32, 0},
};

static void must(dl_status status) {
    if (status == DL_OK) return;
    fprintf(stderr, "bench_conv: %s\n", dl_last_error());
    exit(1);
}

static void make(dl_tensor *t, int64_t n, int64_t c, int64_t size, int channels_last) {
    const int64_t shape[] = {n, c, size, size};
    const int64_t strides[] = {c * size * size, channels_last ? 1 : size * size, channels_last ? size * c : size,
                               channels_last ? c : 1};
    const int64_t count = n * c * size * size;
    dl_tensor flat = {0};
    must(dl_tensor_new(&flat, DL_F32, 1, &count, dl_default_device()));
    float *data = (float *)dl_tensor_data(&flat);
    for (int64_t i = 0; i < count; i++) data[i] = (float)(i * 7919 % 1000) * 1e-3f - 0.5f;
    *t = (dl_tensor){0};
    must(dl_tensor_on(t, flat.storage, DL_F32, 0, 4, shape, strides));
    dl_tensor_clear(&flat);
}

static double seconds(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, const dl_attr *attr,
                      int32_t n) {
    const int32_t id = dl_op_find(op);
    const double begun = now();
    double best = 1e9;
    must(dl_call(id, in, n_in, &out, 1, attr, n));
    for (int runs = 0; runs < 3 || now() - begun < 0.4; runs++) {
        const double start = now();
        must(dl_call(id, in, n_in, &out, 1, attr, n));
        if (now() - start < best) best = now() - start;
    }
    return best;
}

static dl_attr ints(const int64_t *values, int32_t n) { return (dl_attr){.kind = DL_ATTR_INTS, .n = n, .v.iv = values}; }

static void row(const layer *l, int64_t batch, double top, double total[3]) {
    const int64_t out = (l->size + 2 * l->padding - l->kernel) / l->stride + 1, sizes[] = {l->size, l->size};
    const int64_t kernel[] = {l->kernel, l->kernel};
    const dl_attr same[] = {{.kind = DL_ATTR_NONE},
                            ints(&l->stride, 1),
                            ints(&l->padding, 1),
                            {.kind = DL_ATTR_NONE},
                            {.kind = DL_ATTR_INT, .v.i = l->groups}};
    dl_attr sized[5], shaped[5];
    memcpy(sized, same, sizeof same), memcpy(shaped, same, sizeof same);
    sized[0] = ints(sizes, 2), shaped[0] = ints(kernel, 2);
    dl_tensor x, w, y;
    make(&x, batch, l->channels, l->size, !l->plain);
    make(&w, l->results, l->channels / l->groups, l->kernel, 0);
    make(&y, batch, l->results, out, !l->plain);
    const double flops =
        2.0 * (double)(batch * l->results * out * out) * (double)(l->channels / l->groups * l->kernel * l->kernel);
    const double t[] = {
        seconds("convolution", (const dl_tensor *[]){&x, &w, NULL}, 3, &y, same + 1, 4),
        seconds("convolution_backward_data", (const dl_tensor *[]){&y, &w}, 2, &x, sized, 5),
        seconds("convolution_backward_weight", (const dl_tensor *[]){&y, &x}, 2, &w, shaped, 5),
    };
    printf("%-26s", l->name);
    for (int k = 0; k < 3; k++) {
        printf(" | %8.2f ms %6.1f %3.0f%%", t[k] * 1e3, flops / t[k] * 1e-9, 100 * flops / t[k] * 1e-9 / top);
        total[k] += t[k];
    }
    printf("\n");
    fflush(stdout);
    dl_tensor_clear(&x), dl_tensor_clear(&w), dl_tensor_clear(&y);
}

int main(int argc, char **argv) {
    must(dl_init());
    const int32_t threads = dl_threads(argc > 1 ? atoi(argv[1]) : 0);
    const int64_t batch = argc > 2 ? atoi(argv[2]) : 8;
    const double one = peak(), top = one * threads;
    double total[3] = {0};
    printf("peak %.1f GFLOP/s a thread, %d threads, batch %lld\n", one, (int)threads, (long long)batch);
    printf("%-26s | %-23s | %-23s | %s\n", "layer", "convolution", "backward_data", "backward_weight");
    for (size_t k = 0; k < sizeof layers / sizeof *layers; k++)
        if (argc <= 3 || strstr(layers[k].name, argv[3])) row(&layers[k], batch, top, total);
    printf("%-26s | %8.2f ms %11s | %8.2f ms %11s | %8.2f ms\n", "sum", total[0] * 1e3, "", total[1] * 1e3, "", total[2] * 1e3);
    return 0;
}
