/* test_cpu_conv_onednn.c - convolutions by oneDNN against this backend's own kernels, which compute what is float64 here.
 *
 * Where oneDNN is missing, or the instruction set is the baseline, both sides are the own kernels. */
#include "engine_support.h"
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

/* All spatial dimensions, `spatial` of them, are alike. */
typedef struct row {
    int64_t batch, channels, size, results, kernel, stride, padding, dilation, groups;
    int32_t spatial;
} row;

static const row rows[] = {
    {2, 16, 9, 16, 3, 1, 1, 1, 1, 2},    {2, 16, 9, 24, 3, 2, 1, 1, 1, 2}, /* a last row and column that no kernel reaches */
    {3, 32, 8, 32, 1, 2, 0, 1, 1, 2},                                      /* 1x1 with strides */
    {2, 10, 11, 20, 5, 1, 0, 1, 1, 2},                                     /* channels that fill no vector */
    {2, 3, 17, 16, 7, 2, 3, 1, 1, 2},                                      /* an image */
    {2, 1, 12, 32, 5, 1, 2, 1, 1, 2},                                      /* one channel */
    {2, 16, 10, 16, 3, 1, 2, 2, 1, 2},                                     /* dilated */
    {2, 32, 9, 32, 3, 1, 1, 1, 32, 2},                                     /* depthwise */
    {2, 32, 9, 48, 3, 1, 1, 1, 2, 2},                                      /* groups */
    {2, 16, 23, 24, 4, 3, 2, 1, 1, 1},                                     /* one spatial dimension */
    {1, 16, 5, 16, 3, 1, 1, 1, 1, 3},                                      /* three */
    {11, 32, 13, 64, 3, 1, 1, 1, 1, 2},  /* parts of the batch that do not divide it, partial sums */
    {1, 128, 14, 128, 3, 1, 1, 1, 1, 2}, /* one image: shares of the channels */
    {3, 256, 5, 256, 3, 1, 1, 1, 1, 2},  /* a large weight */
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- tensors in layouts --------------------------------------------------------------------------------------------- */

typedef enum layout { PLAIN, LAST, SCATTERED, LAYOUTS } layout; /* NCHW, NHWC, NCHW with gaps */

/* Room for a tensor of t's shape, in a layout; shift: elements before the first one. */
static void room(dl_tensor *out, const dl_tensor *t, layout how, int64_t shift) {
    int64_t strides[DL_MAX_DIMS], step = how == SCATTERED ? 2 : 1;
    if (how == LAST) strides[1] = step, step *= t->shape[1];
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        if (how == LAST && d == 1) continue;
        strides[d] = step;
        step *= t->shape[d];
    }
    const int64_t count = step + shift;
    dl_tensor flat = {0};
    assert_ok(dl_tensor_new(&flat, t->type, 1, &count, dl_default_device()));
    *out = (dl_tensor){0};
    const uint64_t offset = (uint64_t)shift * (uint64_t)dl_dtype_bytes(t->type);
    assert_ok(dl_tensor_on(out, flat.storage, t->type, offset, t->ndim, t->shape, strides));
    dl_tensor_clear(&flat);
}
static void lay(dl_tensor *out, const dl_tensor *t, layout how, int64_t shift) {
    room(out, t, how, shift);
    et_call("copy", out, IN(t), NONE);
}

static void widen(dl_tensor *out, const dl_tensor *t) {
    *out = (dl_tensor){0};
    et_call("copy", out, IN(t), ATTR(INT(DL_F64)));
}

/* |a - b| within what float32 sums of n products may lose. */
static void expect_near(const dl_tensor *a, const dl_tensor *b, const char *what, int number) {
    int64_t n = 1;
    for (int32_t d = 0; d < a->ndim; d++) n *= a->shape[d];
    double *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y), largest = 0;
    assert_true(x && y);
    et_values(a, x), et_values(b, y);
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(y[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= 2e-6 * (largest + 1)))
            fail_msg("row %d, %s: element %d is %g instead of %g", number, what, (int)i, x[i], y[i]);
    free(x), free(y);
}

/* ---- the three ops of a row ------------------------------------------------------------------------------------------- */

enum { X, W, B, G, TENSORS };        /* G: a gradient towards the result */
enum { FORWARD, DATA, WEIGHT, OPS }; /* results */

static void shape_text(char *text, const row *r, int64_t first, int64_t second, int64_t size) {
    int at = sprintf(text, "%d,%d", (int)first, (int)second);
    for (int32_t d = 0; d < r->spatial; d++) at += sprintf(text + at, ",%d", (int)size);
}

static void make_row(const row *r, dl_tensor t[TENSORS]) {
    char text[64];
    const int64_t out = (r->size + 2 * r->padding - r->dilation * (r->kernel - 1) - 1) / r->stride + 1;
    shape_text(text, r, r->batch, r->channels, r->size);
    et_random(&t[X], DL_F32, text, 1);
    shape_text(text, r, r->results, r->channels / r->groups, r->kernel);
    et_random(&t[W], DL_F32, text, 2);
    sprintf(text, "%d", (int)r->results);
    et_random(&t[B], DL_F32, text, 3);
    shape_text(text, r, r->batch, r->results, out);
    et_random(&t[G], DL_F32, text, 4);
}

static void run_op(const row *r, int op, dl_tensor *out, const dl_tensor t[TENSORS]) {
    const int64_t sizes[] = {r->size, r->size, r->size}, kernel[] = {r->kernel, r->kernel, r->kernel};
    const dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = r->spatial, .v.iv = op == DATA ? sizes : kernel},
                            INTS(r->stride),
                            INTS(r->padding),
                            INTS(r->dilation),
                            INT(r->groups)};
    if (op == FORWARD) et_call("convolution", out, IN(&t[X], &t[W], &t[B]), attr + 1, 4);
    if (op == DATA) et_call("convolution_backward_data", out, IN(&t[G], &t[W]), attr, 5);
    if (op == WEIGHT) et_call("convolution_backward_weight", out, IN(&t[G], &t[X]), attr, 5);
}

static void clear_row(dl_tensor t[TENSORS]) { et_clear(&t[X], &t[W], &t[B], &t[G]); }

/* ---- tests -------------------------------------------------------------------------------------------------------------- */

/* Inputs in every layout, results where the op puts them and in every layout. */
static void agrees(void **state) {
    static const char *const names[OPS] = {"forward", "towards x", "towards the weight"};
    (void)state;
    for (int k = 0; k < ROWS; k++) {
        dl_tensor t[TENSORS] = {0}, wide[TENSORS] = {0};
        make_row(&rows[k], t);
        for (int i = 0; i < TENSORS; i++) widen(&wide[i], &t[i]);
        for (int op = 0; op < OPS; op++) {
            dl_tensor expected = {0};
            run_op(&rows[k], op, &expected, wide);
            for (layout how = PLAIN; how < LAYOUTS; how++) {
                dl_tensor laid[TENSORS] = {0}, free_out = {0}, out = {0};
                for (int i = 0; i < TENSORS; i++) lay(&laid[i], &t[i], i == B ? PLAIN : how, 0);
                run_op(&rows[k], op, &free_out, laid);
                expect_near(&free_out, &expected, names[op], k);
                room(&out, &free_out, how, 0);
                run_op(&rows[k], op, &out, laid);
                et_same_bits(&out, &free_out);
                clear_row(laid);
                et_clear(&free_out, &out);
            }
            et_clear(&expected);
        }
        clear_row(t), clear_row(wide);
    }
}

/* Plans are made for the threads in force; another place in a cache line asks for another plan. */
static void threads_do_not_matter(void **state) {
    (void)state;
    const int32_t threads = dl_threads(0);
    for (int k = 0; k < ROWS; k++) {
        dl_tensor t[TENSORS] = {0};
        make_row(&rows[k], t);
        for (int op = 0; op < OPS; op++) {
            dl_tensor out[3] = {{0}, {0}, {0}};
            for (int n = 0; n < 3; n++) {
                dl_tensor laid[TENSORS] = {0};
                dl_threads(n + 1);
                for (int i = 0; i < TENSORS; i++) lay(&laid[i], &t[i], i == B ? PLAIN : LAST, 2 * n + 1);
                run_op(&rows[k], op, &out[n], laid);
                clear_row(laid);
            }
            et_same_bits(&out[0], &out[1]);
            et_same_bits(&out[0], &out[2]);
            et_clear(&out[0], &out[1], &out[2]);
        }
        clear_row(t);
    }
    dl_threads(threads);
}

/* The packed weight is made anew after the weight was written. */
static void weights_are_never_stale(void **state) {
    (void)state;
    for (int k = 0; k < ROWS; k++)
        for (int op = FORWARD; op <= DATA; op++) {
            dl_tensor t[TENSORS] = {0}, before = {0}, again = {0}, after = {0}, fresh = {0}, w = {0};
            make_row(&rows[k], t);
            run_op(&rows[k], op, &before, t);
            run_op(&rows[k], op, &again, t);
            et_same_bits(&before, &again);
            et_call("neg", &w, IN(&t[W]), NONE);
            et_call("copy", &t[W], IN(&w), NONE);
            run_op(&rows[k], op, &after, t);
            dl_tensor_clear(&t[W]);
            lay(&t[W], &w, PLAIN, 0);
            run_op(&rows[k], op, &fresh, t);
            et_same_bits(&after, &fresh);
            clear_row(t);
            et_clear(&before, &again, &after, &fresh, &w);
        }
}

/* A pointwise op after a convolution gives the same by itself and as its epilogue. */
static void epilogues(void **state) {
    (void)state;
    const dl_epilogue relu = {.op = dl_op_find("relu")};
    for (int k = 0; k < ROWS; k++) {
        const row *r = &rows[k];
        dl_tensor t[TENSORS] = {0}, y = {0}, expected = {0}, fused = {0}, *out = &fused;
        const dl_attr attr[] = {INTS(r->stride), INTS(r->padding), INTS(r->dilation), INT(r->groups)};
        make_row(r, t);
        run_op(r, FORWARD, &y, t);
        et_call("relu", &expected, IN(&y), NONE);
        assert_ok(dl_call_fused(dl_op_find("convolution"), IN(&t[X], &t[W], &t[B]), &out, 1, attr, 4, &relu, 1));
        et_same_bits(&fused, &expected);
        clear_row(t);
        et_clear(&y, &expected, &fused);
    }
}

/* In a process of its own: the variable is read once. */
static void switched_off(void **state) {
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("DLRUN_ONEDNN", "0", 1);
        dl_tensor t[TENSORS] = {0}, y = {0};
        make_row(&rows[0], t);
        dl_threads(1);
        run_op(&rows[0], FORWARD, &y, t);
        const int loaded = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_NOLOAD) || dlopen("libdnnl.so.3", RTLD_NOW | RTLD_NOLOAD);
        _exit(loaded || y.ndim != 4);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switched_off), /* before anything loads oneDNN or starts threads */
        cmocka_unit_test(agrees),       cmocka_unit_test(threads_do_not_matter), cmocka_unit_test(weights_are_never_stale),
        cmocka_unit_test(epilogues),
    };
    setenv("DLRUN_ONEDNN", "all", 1); /* every case that oneDNN can do, also those where own kernels are faster */
    return cmocka_run_group_tests(tests, et_start, NULL);
}
