/* test_plan.c - core/plan.c: which plans are shared, when the cache is emptied, scratch, derived buffers, epilogues. Kernels of
 * this file's own on the null backend. */
#include "null_backend.h"
#include "op.h"
#include "storage.h"

static dl_status like_x(dl_frame *f) {
    for (uint32_t k = 0; k < f->n_out; k++) {
        dl_tensor *out = f->out[k];
        const dl_tensor *x = f->in[0];
        out->size = sizeof *out, out->shape = out->dims, out->strides = out->dims + DL_MAX_DIMS;
        out->type = x->type, out->ndim = x->ndim;
        memcpy(out->dims, x->shape, (size_t)x->ndim * sizeof *x->shape);
    }
    return DL_OK;
}

static int prepared, destroyed, filled;

static void destroy(void *state) {
    free(state);
    destroyed++;
}

/* "test::pack(x, w)": out[k] = x[k] * (w[0] doubled), the doubling kept in a derived buffer. */
static dl_status prepare_pack(const dl_frame *f, dl_plan *plan) {
    (void)f;
    prepared++;
    plan->state = malloc(8);
    plan->destroy = destroy;
    plan->derived_bytes = sizeof(float);
    plan->derived_from = 1;
    plan->scratch_bytes = 100;
    return DL_OK;
}

static dl_status run_pack(const dl_frame *f, const dl_plan *plan) {
    const float *x = f->in[0]->data, *w = f->in[1]->data;
    float *out = f->out[0]->data, *packed = f->derived;
    assert_non_null(plan->state);
    memset(f->scratch, 1, plan->scratch_bytes);
    if (!f->derived_valid) {
        *packed = 2 * w[f->in[1]->byte_offset / sizeof *w];
        filled++;
    }
    for (int64_t k = 0; k < dl_tensor_count(f->out[0]); k++) out[k] = x[k] * *packed;
    return DL_OK;
}

/* "test::shapeless(x)": takes only types into account; refuses int32, which the next kernel takes. */
static dl_status prepare_shapeless(const dl_frame *f, dl_plan *plan) {
    prepared++;
    if (f->in[0]->type == DL_I32) return DL_UNSUPPORTED;
    plan->sharing = DL_PLAN_PER_TYPE;
    return DL_OK;
}

static dl_status fill_with(const dl_frame *f, int value) {
    if (f->out[0]->storage->bytes) memset(f->out[0]->data, value, f->out[0]->storage->bytes);
    return DL_OK;
}

static dl_status run_first(const dl_frame *f, const dl_plan *plan) { return (void)plan, fill_with(f, 1); }
static dl_status run_second(const dl_frame *f, const dl_plan *plan) { return (void)plan, fill_with(f, 2); }
static dl_status run_fails(const dl_frame *f, const dl_plan *plan) {
    (void)f, (void)plan;
    return dl_fail(DL_INVALID, "sample 3 is bad");
}

static dl_status prepare_fails(const dl_frame *f, dl_plan *plan) {
    (void)f, (void)plan;
    return dl_fail(DL_NOMEM, "no room for a primitive");
}

static int epilogues_seen;
static double last_slope;
static dl_status prepare_epilogue(const dl_frame *f, dl_plan *plan) { /* a kernel that builds the attribute into its plan */
    (void)plan;
    if (f->epilogue) epilogues_seen++, last_slope = f->epilogue->n_attr ? f->epilogue_attr[0].v.f : 0;
    return DL_OK;
}

static const struct {
    const char *sig, *op;
} ops[] = {{"test::pack(Tensor x, Tensor w, int n=0)", "test::pack"},
           {"test::shapeless(Tensor x, float f=0)", "test::shapeless"},
           {"test::bad(Tensor x)", "test::bad"},
           {"test::refuses(Tensor x)", "test::refuses"},
           {"test::epilogue(Tensor x)", "test::epilogue"},
           {"test::plain(Tensor x)", "test::plain"}};

#define KERNEL(NAME, PRIORITY, PREPARE, RUN, FLAGS)                                                                            \
    {                                                                                                                          \
        .kernel = {                                                                                                            \
            .size = sizeof(dl_kernel),                                                                                         \
            .op = NAME,                                                                                                        \
            .backend = "cpu",                                                                                                  \
            .priority = PRIORITY,                                                                                              \
            .prepare = PREPARE,                                                                                                \
            .run = RUN,                                                                                                        \
            .flags = FLAGS                                                                                                     \
        }                                                                                                                      \
    }

static int start(void **state) {
    static dl_kernel_entry kernels[] = {
        KERNEL("test::pack", 0, prepare_pack, run_pack, 0),
        KERNEL("test::shapeless", 9, prepare_shapeless, run_first, 0),
        KERNEL("test::shapeless", 1, NULL, run_second, 0),
        KERNEL("test::bad", 0, NULL, run_fails, 0),
        KERNEL("test::refuses", 5, prepare_fails, run_first, 0),
        KERNEL("test::refuses", 1, NULL, run_second, 0),
        KERNEL("test::plain", 0, NULL, run_first, 0),
        KERNEL("test::epilogue", 0, prepare_epilogue, run_first, DL_KERNEL_EPILOGUE),
    };
    if (null_install(state) != 0) return -1;
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        dl_op_def def = {.size = sizeof def, .sig = ops[k].sig, .infer = like_x};
        if (dl_op_add(&def, "tests") != DL_OK) return -1;
    }
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) dl_kernel_add(&kernels[k]);
    return 0;
}

static void make(dl_tensor *t, dl_dtype type, int64_t n, float value) {
    memset(t, 0, sizeof *t);
    assert_ok(dl_tensor_new(t, type, 1, &n, null_device("cpu")));
    float *x = malloc((size_t)n * sizeof *x + 1);
    for (int64_t k = 0; k < n; k++) x[k] = value;
    if (type == DL_F32) assert_ok(dl_tensor_write(t, x, (uint64_t)n * sizeof *x));
    free(x);
}

static dl_status call(const char *op, dl_tensor *out, const dl_tensor *x, const dl_tensor *w, const dl_attr *attr, int32_t n) {
    return dl_call(dl_op_find(op), (const dl_tensor *[]){x, w}, w ? 2 : 1, &out, 1, attr, n);
}

static float pack(const dl_tensor *x, const dl_tensor *w, int64_t n) {
    dl_tensor out = {0};
    dl_attr attr = {.kind = DL_ATTR_INT, .v.i = n};
    assert_ok(call("test::pack", &out, x, w, &attr, 1));
    float first = *(float *)out.data;
    dl_tensor_clear(&out);
    return first;
}

static void test_keys(void **state) {
    (void)state;
    dl_tensor x, longer, w;
    make(&x, DL_F32, 3, 5);
    make(&longer, DL_F32, 4, 5);
    make(&w, DL_F32, 2, 1);
    prepared = 0;
    dl_call_stats before, after;
    dl_calls(&before);
    assert_true(pack(&x, &w, 0) == 10);
    assert_true(pack(&x, &w, 0) == 10);
    assert_int_equal(prepared, 1);
    pack(&longer, &w, 0); /* another shape */
    assert_int_equal(prepared, 2);
    pack(&x, &w, 1); /* another attribute */
    assert_int_equal(prepared, 3);
    dl_tensor shifted = {0};
    assert_ok(dl_tensor_on(&shifted, w.storage, DL_F32, 4, 1, (const int64_t[]){1}, NULL));
    pack(&x, &shifted, 0); /* another alignment and shape */
    assert_int_equal(prepared, 4);
    dl_calls(&after);
    assert_int_equal(after.plans_made - before.plans_made, 4);
    assert_int_equal(after.plans_reused - before.plans_reused, 1);
    assert_int_equal(after.calls - before.calls, 5);
    dl_tensor_clear(&x);
    dl_tensor_clear(&longer);
    dl_tensor_clear(&w);
    dl_tensor_clear(&shifted);
}

static void test_sharing_by_type(void **state) {
    (void)state;
    prepared = 0;
    for (int64_t n = 1; n < 20; n++) {
        dl_tensor x, i, out = {0};
        make(&x, DL_F32, n, 0);
        make(&i, DL_I32, n, 0);
        assert_ok(call("test::shapeless", &out, &x, NULL, NULL, 0));
        assert_int_equal(*(char *)out.data, 1);
        dl_tensor_clear(&out);
        assert_int_equal(prepared,
                         n); /* once for float, once for each int32 shape: a later kernel's plan does not hold for all shapes */
        assert_ok(call("test::shapeless", &out, &i, NULL, NULL, 0));
        assert_int_equal(*(char *)out.data, 2);
        assert_int_equal(prepared, n + 1);
        dl_tensor_clear(&x);
        dl_tensor_clear(&i);
        dl_tensor_clear(&out);
    }
}

static void test_failures(void **state) {
    (void)state;
    dl_tensor x, out = {0};
    make(&x, DL_F32, 3, 5);
    assert_fails(call("test::bad", &out, &x, NULL, NULL, 0), DL_INVALID, "test::bad: sample 3 is bad");
    assert_null(out.storage);
    /* only UNSUPPORTED passes on to the next kernel */
    assert_fails(call("test::refuses", &out, &x, NULL, NULL, 0), DL_NOMEM, "no room for a primitive");
    assert_null(out.storage);
    dl_tensor_clear(&x);
}

static void test_derived_buffers(void **state) {
    (void)state;
    dl_tensor x, w;
    float three = 3;
    make(&x, DL_F32, 3, 5);
    make(&w, DL_F32, 2, 1);
    filled = 0;
    assert_true(pack(&x, &w, 7) == 10);
    assert_true(pack(&x, &w, 7) == 10);
    assert_int_equal(filled, 1);
    assert_ok(dl_tensor_write(&w, (const float[]){3, 0}, 8)); /* stale after a write */
    assert_true(pack(&x, &w, 7) == 30);
    assert_true(pack(&x, &w, 7) == 30);
    assert_int_equal(filled, 2);
    float *address = dl_tensor_data(&w); /* exposed: anybody may write it at any time */
    address[0] = three + 1;
    assert_true(pack(&x, &w, 7) == 40);
    address[0] = three + 2;
    assert_true(pack(&x, &w, 7) == 50);
    assert_int_equal(filled, 4);
    dl_tensor_clear(&x);
    dl_tensor_clear(&w);
}

/* Shapes that never come again must not fill memory: beyond the limit the cache starts anew, and plans' buffers go with it. */
static void test_limit(void **state) {
    (void)state;
    enum { CALLS = 5000 };
    dl_tensor x, w;
    make(&x, DL_F32, 3, 5);
    make(&w, DL_F32, 2, 1);
    prepared = destroyed = 0;
    dl_memory_stats before, after;
    assert_ok(dl_memory(NULL, &before));
    for (int64_t n = 1000; n < 1000 + CALLS; n++) assert_true(pack(&x, &w, n) == 10);
    assert_int_equal(prepared, CALLS);
    assert_true(destroyed > 0 && prepared - destroyed <= 4096);
    assert_ok(dl_memory(NULL, &after));
    assert_true(after.live_blocks - before.live_blocks <= 4096); /* one derived buffer for each plan that is left */
    dl_tensor_clear(&w);
    assert_ok(dl_memory(NULL, &after));
    assert_true(after.live_blocks < before.live_blocks);
    dl_tensor_clear(&x);
}

/* The chain's attributes are part of the key, and kernels without the flag never see an epilogue. */
static void test_epilogues(void **state) {
    (void)state;
    dl_tensor x, out = {0};
    dl_tensor *outs[] = {&out};
    const dl_tensor *in = &x;
    make(&x, DL_F32, 3, 5);
    epilogues_seen = 0;
    for (int k = 0; k < 4; k++) {
        dl_attr slope = {.kind = DL_ATTR_FLOAT, .v.f = 0.25 * (1 + k % 2)};
        dl_epilogue chain = {dl_op_find("leaky_relu"), 1, &slope};
        assert_ok(dl_call_fused(dl_op_find("test::epilogue"), &in, 1, outs, 1, NULL, 0, &chain, 1));
        dl_tensor_clear(&out);
        if (k < 2) assert_true(last_slope == slope.v.f);
    }
    assert_int_equal(epilogues_seen, 2);
    dl_epilogue neg = {dl_op_find("neg"), 0, NULL};
    /* one by one: the null backend has no kernel for the second */
    assert_fails(dl_call_fused(dl_op_find("test::plain"), &in, 1, outs, 1, NULL, 0, &neg, 1), DL_UNSUPPORTED,
                 "no kernel for neg");
    assert_null(out.storage);
    dl_tensor_clear(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys),     cmocka_unit_test(test_sharing_by_type),
                                       cmocka_unit_test(test_failures), cmocka_unit_test(test_derived_buffers),
                                       cmocka_unit_test(test_limit),    cmocka_unit_test(test_epilogues)};
    return cmocka_run_group_tests(tests, start, NULL);
}
