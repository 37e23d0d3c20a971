/* test_graph.c - what compositions and gradients are written with: values, errors that stick, where creations lie. */
#include "core/graph_run.h"
#include "core/op.h"
#include "null_backend.h"

static const int64_t shape[] = {2};

static void open_on(dl_graph *g, dl_frame *frame, const dl_tensor **in, dl_tensor *t, const char *device) {
    memset(t, 0, sizeof *t);
    assert_ok(dl_tensor_new(t, DL_F32, 1, shape, null_device(device)));
    in[0] = t;
    in[1] = NULL;
    *frame = (dl_frame){.size = sizeof *frame, .n_in = 2, .in = in};
    assert_ok(dl_graph_open(g, frame, NULL, NULL));
}

/* Neither backend here fills tensors: the refusal names the device that was asked. */
static void creations_lie_on_the_graphs_device(void **state) {
    (void)state;
    dl_graph g;
    dl_frame frame;
    dl_tensor t;
    const dl_tensor *in[2];
    const dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = 1, .v.iv = shape}, {.kind = DL_ATTR_INT, .v.i = 1}};
    dl_device *before = dl_default_device();
    open_on(&g, &frame, in, &t, "far:1");
    assert_int_equal(dl_emit(&g, "full", NULL, 0, attr, 2), DL_NO_VALUE);
    assert_fails(dl_graph_status(&g), DL_UNSUPPORTED, "backend far has no kernel for fill");
    assert_ptr_equal(dl_default_device(), before);
    dl_graph_close(&g);
    dl_tensor_clear(&t);
}

static void errors_stick(void **state) {
    (void)state;
    dl_graph g;
    dl_frame frame;
    dl_tensor t;
    const dl_tensor *in[2];
    open_on(&g, &frame, in, &t, "cpu");
    dl_value x = dl_graph_in(&g, 0);
    assert_int_equal(dl_graph_in(&g, 1), DL_NO_VALUE); /* an absent optional is no error */
    assert_ok(dl_graph_status(&g));
    assert_int_equal(dl_emit(&g, "no_such_op", &x, 1, NULL, 0), DL_NO_VALUE);
    assert_fails(dl_graph_status(&g), DL_INTERNAL, "no_such_op");
    assert_int_equal(dl_emit(&g, "copy", &x, 1, NULL, 0), DL_NO_VALUE);
    dl_graph_fail(&g, DL_NOMEM);
    assert_int_equal(dl_graph_status(&g), DL_INTERNAL); /* the first one stays */
    dl_graph_close(&g);
    dl_tensor_clear(&t);
}

static void asking_for_what_is_not_there(void **state) {
    (void)state;
    dl_graph g;
    dl_frame frame;
    dl_tensor t;
    const dl_tensor *in[2];
    open_on(&g, &frame, in, &t, "cpu");
    assert_int_equal(dl_graph_in(&g, 2), DL_NO_VALUE);
    assert_fails(dl_graph_status(&g), DL_INTERNAL, "input 2");
    dl_graph_close(&g);
    assert_ok(dl_graph_open(&g, &frame, NULL, NULL));
    assert_int_equal(dl_graph_grad(&g, 0), DL_NO_VALUE);
    assert_fails(dl_graph_status(&g), DL_INTERNAL, "gradient of output 0");
    dl_graph_close(&g);
    assert_ok(dl_graph_open(&g, &frame, NULL, NULL));
    assert_null(dl_graph_tensor(&g, DL_NO_VALUE));
    assert_int_equal(dl_graph_status(&g), DL_INTERNAL);
    dl_graph_close(&g);
    dl_tensor_clear(&t);
}

/* A composition writes its own values and views of them, and inputs of ops that say so; nothing else. */
static void writing_into_values(void **state) {
    (void)state;
    dl_graph g;
    dl_frame frame;
    dl_tensor t;
    const dl_tensor *in[2];
    const dl_attr first[] = {{.kind = DL_ATTR_INT, .v.i = 0}, {.kind = DL_ATTR_INT, .v.i = 0}, {.kind = DL_ATTR_INT, .v.i = 1}};
    open_on(&g, &frame, in, &t, "cpu");
    g.op = dl_op_named("copy");
    dl_value x = dl_graph_in(&g, 0), own = dl_graph_empty(&g, DL_F32, 1, shape), view = dl_emit(&g, "slice", &own, 1, first, 3);
    assert_int_equal(dl_emit_into(&g, own, "copy", &x, 1, NULL, 0), own);
    assert_int_equal(dl_emit_into(&g, view, "copy", &view, 1, NULL, 0), view);
    assert_ok(dl_graph_status(&g));
    assert_int_equal(dl_emit_into(&g, x, "copy", &own, 1, NULL, 0), DL_NO_VALUE);
    assert_fails(dl_graph_status(&g), DL_INTERNAL, "a place to write");
    dl_graph_close(&g);
    dl_tensor_clear(&t);
}

static void values_are_given_back(void **state) {
    (void)state;
    dl_graph g;
    dl_frame frame;
    dl_tensor t, out = {0}, *outs[] = {&out};
    const dl_tensor *in[2];
    dl_memory_trim(NULL);
    const int64_t live = null_live_blocks;
    open_on(&g, &frame, in, &t, "cpu");
    frame.n_out = 1;
    frame.out = outs;
    dl_graph_close(&g);
    assert_ok(dl_graph_open(&g, &frame, NULL, NULL));
    dl_value x = dl_graph_in(&g, 0), y = DL_NO_VALUE;
    for (int k = 0; k < 100; k++) y = dl_emit(&g, "copy", &x, 1, NULL, 0); /* the lists of values grow */
    assert_ok(dl_graph_status(&g));
    dl_graph_returns(&g, 0, y);
    assert_ok(dl_graph_take(&g, 0, &out));
    dl_graph_close(&g);
    assert_int_equal(out.shape[0], 2);
    assert_int_equal(dl_storage_references(out.storage), 1);
    dl_tensor_clear(&out);
    dl_tensor_clear(&t);
    dl_memory_trim(NULL);
    assert_int_equal(null_live_blocks, live);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creations_lie_on_the_graphs_device),
        cmocka_unit_test(errors_stick),
        cmocka_unit_test(asking_for_what_is_not_there),
        cmocka_unit_test(writing_into_values),
        cmocka_unit_test(values_are_given_back),
    };
    return cmocka_run_group_tests(tests, null_install, NULL);
}
