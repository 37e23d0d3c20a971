/* test_simt_norm.c - normalisation and its gradients on a Tier A device against the CPU's. */
#include "tests/core/mirror.h"

static uint64_t rng = 9;
static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { TYPES = sizeof types / sizeof *types };
enum { LAYER, GROUP, BATCH };
enum { BUFFERS = 12 };

/* Tensors of a case, cleared together. */
typedef struct bag {
    dl_tensor t[BUFFERS];
    int n;
} bag;

static dl_tensor *add(bag *b, dl_dtype type, int32_t ndim, const int64_t *shape, int positive) {
    dl_tensor *t = &b->t[b->n++];
    cells_random(t, type, ndim, shape, &rng);
    for (int64_t i = 0; positive && i < dl_tensor_count(t); i++) cells_set(t, i, 0.5 + (double)cells_below(&rng, 8) / 4);
    return t;
}
static void empty(bag *b) {
    for (int k = 0; k < b->n; k++) dl_tensor_clear(&b->t[k]);
    b->n = 0;
}

typedef struct norm_case {
    int kind;
    dl_dtype type;
    int32_t ndim;
    int64_t shape[4], number; /* number: layer_norm's dims, group_norm's groups */
    int weighted, flag;       /* flag: rms, or batch_norm's training */
} norm_case;

static dl_dtype statistics(dl_dtype type) { return type == DL_F64 ? DL_F64 : DL_F32; }

/* The shapes of mean and of a weight. */
static void shapes_of(const norm_case *c, int32_t *ndim, int64_t *mean, int32_t *weight_ndim, const int64_t **weight) {
    *ndim = c->kind == LAYER ? c->ndim : c->kind == GROUP ? 2 : 1;
    for (int32_t d = 0; d < c->ndim; d++) mean[d] = d < c->ndim - c->number ? c->shape[d] : 1;
    if (c->kind == GROUP) mean[0] = c->shape[0], mean[1] = c->number;
    if (c->kind == BATCH) mean[0] = c->shape[1];
    *weight_ndim = c->kind == LAYER ? (int32_t)c->number : 1;
    *weight = c->kind == LAYER ? c->shape + c->ndim - c->number : c->shape + 1;
}

static double units(const norm_case *c) { return c->type == DL_F32 || c->type == DL_F64 ? 1000 : 32; }

static void forward(const norm_case *c) {
    static const char *const names[] = {"layer_norm", "group_norm", "batch_norm"};
    bag b = {.n = 0}, out = {.n = 0};
    int64_t mean[4];
    int32_t ndim, weight_ndim;
    const int64_t *weight;
    shapes_of(c, &ndim, mean, &weight_ndim, &weight);
    const dl_tensor *in[5] = {add(&b, c->type, c->ndim, c->shape, 0)};
    if (c->weighted) in[1] = add(&b, c->type, weight_ndim, weight, 0);
    if (c->weighted > 1) in[2] = add(&b, c->type, weight_ndim, weight, 0);
    if (c->kind == BATCH && (c->weighted || !c->flag)) {
        in[3] = add(&b, statistics(c->type), 1, c->shape + 1, 0);
        in[4] = add(&b, DL_F32, 1, c->shape + 1, 1);
    }
    add(&out, c->type, c->ndim, c->shape, 0);
    add(&out, statistics(c->type), ndim, mean, 0);
    add(&out, statistics(c->type), ndim, mean, 0);
    const dl_attr layer[] = {A_INT(c->number), A_FLOAT(1e-5), A_INT(c->flag)}, group[] = {A_INT(c->number), A_FLOAT(1e-3)},
                  batch[] = {A_INT(c->flag), A_FLOAT(1e-5), A_FLOAT(0.1)};
    mirror_call(names[c->kind], in, c->kind == BATCH ? 5 : 3, out.t, 3,
                c->kind == LAYER   ? layer
                : c->kind == GROUP ? group
                                   : batch,
                c->kind == GROUP ? 2 : 3, units(c));
    empty(&b), empty(&out);
}

static void backward(const norm_case *c) {
    static const char *const names[] = {"layer_norm_backward", "group_norm_backward", "batch_norm_backward"};
    bag b = {.n = 0}, out = {.n = 0};
    int64_t mean[4];
    int32_t ndim, weight_ndim;
    const int64_t *weight, none = 0;
    const int affine = c->weighted > 0;
    shapes_of(c, &ndim, mean, &weight_ndim, &weight);
    const dl_tensor *in[5] = {add(&b, c->type, c->ndim, c->shape, 0), add(&b, c->type, c->ndim, c->shape, 0)};
    if (affine) in[2] = add(&b, c->type, weight_ndim, weight, 0);
    in[3] = add(&b, statistics(c->type), ndim, mean, 0);
    in[4] = add(&b, statistics(c->type), ndim, mean, 1);
    add(&out, c->type, c->ndim, c->shape, 0);
    for (int k = 0; k < 2; k++) add(&out, c->type, affine ? weight_ndim : 1, affine ? weight : &none, 0);
    const dl_attr layer[] = {A_INT(c->number), A_FLOAT(1e-5), A_INT(affine), A_INT(c->flag)},
                  group[] = {A_INT(c->number), A_FLOAT(1e-3), A_INT(affine)},
                  batch[] = {A_INT(c->flag), A_FLOAT(1e-5), A_INT(affine)};
    mirror_call(names[c->kind], in, 5, out.t, 3,
                c->kind == LAYER   ? layer
                : c->kind == GROUP ? group
                                   : batch,
                c->kind == LAYER ? 4 : 3, 40 * units(c));
    empty(&b), empty(&out);
}

static void over(int kind, int32_t ndim, const int64_t *shape, int64_t number) {
    for (int t = 0; t < TYPES; t++)
        for (int weighted = 0; weighted < 3; weighted++)
            for (int flag = 0; flag < (kind == GROUP ? 1 : 2); flag++) {
                if (t > 0 && weighted != 2) continue; /* to compile less */
                norm_case c = {kind, types[t], ndim, {0}, number, weighted, flag};
                memcpy(c.shape, shape, (size_t)ndim * sizeof *shape);
                forward(&c);
                backward(&c);
            }
}

static void layers(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    over(LAYER, 2, (int64_t[]){5, 40}, 1);
    over(LAYER, 3, (int64_t[]){2, 3, 50}, 2);
    over(LAYER, 3, (int64_t[]){300, 1, 2}, 1);
    over(LAYER, 2, (int64_t[]){0, 4}, 1);
}

static void groups(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    over(GROUP, 4, (int64_t[]){3, 6, 5, 4}, 2);
    over(GROUP, 2, (int64_t[]){4, 8}, 4);
    over(GROUP, 3, (int64_t[]){1, 4, 300}, 1);
}

static void batches(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    over(BATCH, 4, (int64_t[]){3, 6, 5, 4}, 0);
    over(BATCH, 2, (int64_t[]){40, 3}, 0);
    over(BATCH, 3, (int64_t[]){2, 2, 700}, 0);
}

/* A small variance beside a great mean. */
static void far_from_zero(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    dl_tensor x, out[3];
    cells_random(&x, DL_F32, 2, (int64_t[]){3, 500}, NULL);
    for (int64_t i = 0; i < 1500; i++) cells_set(&x, i, 4096 + cells_get(&x, i) / 4);
    cells_make(&out[0], DL_F32, 2, (int64_t[]){3, 500}, NULL);
    for (int k = 1; k < 3; k++) cells_make(&out[k], DL_F32, 2, (int64_t[]){3, 1}, NULL);
    mirror_call("layer_norm", (const dl_tensor *[]){&x, NULL, NULL}, 3, out, 3, NULL, 0, 20000);
    dl_tensor_clear(&x);
    for (int k = 0; k < 3; k++) dl_tensor_clear(&out[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers),
        cmocka_unit_test(groups),
        cmocka_unit_test(batches),
        cmocka_unit_test(far_from_zero),
    };
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
