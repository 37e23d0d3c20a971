/* What a plugin gets wrong is told: with the op's name, and never as an earlier failure's message. */
#include "engine_support.h"
#include "plugin.h"

static const dl_host *host;

/* ---- parts of ops that are right, and parts that are not ------------------------------------------------------------------
 */

static dl_status like_x(dl_frame *f) { return host->set_out(f, 0, f->in[0]->type, f->in[0]->ndim, f->in[0]->shape); }
static dl_status sets_nothing(dl_frame *f) { return (void)f, DL_OK; }
static dl_status says_nothing(dl_frame *f) { return (void)f, DL_INVALID; }
static dl_status no_shape(dl_frame *f) { return host->set_out(f, 0, DL_F32, 2, NULL); }
static dl_status far_view(dl_frame *f) {
    return host->set_view(f, 0, 1, f->in[0]->shape, f->in[0]->strides, UINT64_C(1) << 50);
}
static dl_status long_view(dl_frame *f) {
    const int64_t n = 600000000, step = 1;
    return host->set_view(f, 0, 1, &n, &step, 0);
}
static dl_status backward_view(dl_frame *f) {
    const int64_t step = -1;
    return host->set_view(f, 0, 1, f->in[0]->shape, &step, 4);
}

static dl_value call(dl_graph *g, const char *op, dl_value x) { return host->emit(g, op, &x, 1, NULL, 0); }

static dl_status negates(dl_graph *g, const dl_frame *f) {
    (void)f;
    host->returns(g, 0, call(g, "neg", host->in(g, 0)));
    return DL_OK;
}
static dl_status returns_nothing(dl_graph *g, const dl_frame *f) { return (void)g, (void)f, DL_OK; }
static dl_status composes_silently(dl_graph *g, const dl_frame *f) { return (void)g, (void)f, DL_IO; }
static dl_status calls_itself(dl_graph *g, const dl_frame *f) {
    (void)f;
    host->returns(g, 0, call(g, "wrong::loop", host->in(g, 0)));
    return DL_OK;
}
static dl_status other_shape(dl_graph *g, const dl_frame *f) {
    const dl_value x = host->in(g, 0);
    const int64_t shape[2] = {1, f->in[0]->shape[0]};
    const dl_attr attr = {.kind = DL_ATTR_INTS, .n = 2, .v.iv = shape};
    host->returns(g, 0, host->emit(g, "view", &x, 1, &attr, 1));
    return DL_OK;
}
static dl_status other_type(dl_graph *g, const dl_frame *f) {
    (void)f;
    const dl_value x[2] = {host->in(g, 0), host->in(g, 0)};
    host->returns(g, 0, host->emit(g, "eq", x, 2, NULL, 0));
    return DL_OK;
}
static dl_status no_op(dl_graph *g, const dl_frame *f) { return (void)f, call(g, NULL, 0), DL_OK; }
static dl_status unknown_op(dl_graph *g, const dl_frame *f) { return (void)f, call(g, "sqare", host->in(g, 0)), DL_OK; }
static dl_status no_inputs(dl_graph *g, const dl_frame *f) { return (void)f, host->emit(g, "neg", NULL, 1, NULL, 0), DL_OK; }
static dl_status too_many(dl_graph *g, const dl_frame *f) {
    const dl_value x = host->in(g, 0);
    return (void)f, host->emit(g, "neg", &x, 3, NULL, 0), DL_OK;
}
static dl_status no_list(dl_graph *g, const dl_frame *f) {
    const dl_value x = host->in(g, 0);
    const dl_attr attr = {.kind = DL_ATTR_INTS, .n = 3};
    return (void)f, host->emit(g, "view", &x, 1, &attr, 1), DL_OK;
}
static dl_status far_value(dl_graph *g, const dl_frame *f) { return (void)f, host->returns(g, 0, 77), DL_OK; }
static dl_status reads_unsaved(dl_graph *g, const dl_frame *f) {
    (void)f;
    host->returns(g, 0, call(g, "neg", host->in(g, 0)));
    return DL_OK;
}

static dl_status run_nothing(const dl_frame *f, const dl_plan *p) { return (void)f, (void)p, DL_OK; }
static dl_status run_silently(const dl_frame *f, const dl_plan *p) { return (void)f, (void)p, DL_INVALID; }
static dl_status prepare_silently(const dl_frame *f, dl_plan *p) { return (void)f, (void)p, DL_NOMEM; }
static dl_status prepare_refuses(const dl_frame *f, dl_plan *p) {
    return (void)f, (void)p, (host->fail)(DL_UNSUPPORTED, "it takes float64 alone");
}
static dl_status derives_nothing(const dl_frame *f, dl_plan *p) {
    (void)f;
    p->derived_bytes = 64;
    p->derived_from = 7;
    return DL_OK;
}
static dl_status run_allocates(const dl_frame *f, const dl_plan *p) {
    (void)p;
    return host->alloc_out(f, 0, DL_F32, 0, NULL);
}
static dl_status run_allocates_third(const dl_frame *f, const dl_plan *p) {
    (void)p;
    return host->alloc_out(f, 3, DL_F32, 0, NULL);
}
static dl_status run_allocates_twice(const dl_frame *f, const dl_plan *p) {
    const dl_status status = run_allocates(f, p);
    return status == DL_OK ? run_allocates(f, p) : status;
}

/* ---- the ops, and what is said of each
 * --------------------------------------------------------------------------------------- */

static const struct row {
    const char *name;
    uint32_t flags;
    dl_status (*infer)(dl_frame *);
    dl_status (*compose)(dl_graph *, const dl_frame *);
    dl_status (*prepare)(const dl_frame *, dl_plan *);
    dl_status (*run)(const dl_frame *, const dl_plan *);
    dl_status status;
    const char *words;
} rows[] = {
    {"mute_infer", 0, says_nothing, negates, 0, 0, DL_INVALID, "wrong::mute_infer: its infer failed (an argument is wrong"},
    {"mute_run", 0, like_x, 0, 0, run_silently, DL_INVALID, "wrong::mute_run: its kernel failed (an argument is wrong"},
    {"mute_prepare", 0, like_x, 0, prepare_silently, run_nothing, DL_NOMEM, "wrong::mute_prepare: its kernel's prepare failed"},
    {"mute_compose", 0, like_x, composes_silently, 0, 0, DL_IO, "its composition failed"},
    {"picky", 0, like_x, 0, prepare_refuses, run_nothing, DL_UNSUPPORTED,
     "wrong::picky on float32, and no composition covers it (it takes float64 alone)"},
    {"unset", 0, sets_nothing, negates, 0, 0, DL_INTERNAL, "wrong::unset: its infer set no output 0"},
    {"shapeless", 0, no_shape, negates, 0, 0, DL_INTERNAL, "wrong::shapeless: output 0 of 2 dimensions has no shape"},
    {"no_view", DL_OP_VIEW, like_x, 0, 0, 0, DL_INTERNAL, "wrong::no_view: its infer made no view 0"},
    {"no_flag", 0, far_view, negates, 0, 0, DL_INTERNAL, "wrong::no_flag: set_view is for ops with the flag DL_OP_VIEW"},
    {"far_view", DL_OP_VIEW, far_view, 0, 0, 0, DL_INTERNAL, "wrong::far_view: its view 0 reaches from byte 1125899906842624"},
    {"long_view", DL_OP_VIEW, long_view, 0, 0, 0, DL_INTERNAL, "over 2400000000 bytes, the tensor's memory has 12"},
    {"backward_view", DL_OP_VIEW, backward_view, 0, 0, 0, DL_INTERNAL, "its view 0 has a negative stride in dimension 0"},
    {"loop", 0, like_x, calls_itself, 0, 0, DL_INTERNAL, "wrong::loop: its composition leads back to itself"},
    {"nothing", 0, like_x, returns_nothing, 0, 0, DL_INTERNAL, "wrong::nothing: its composition returned no output 0"},
    {"shape", 0, like_x, other_shape, 0, 0, DL_INTERNAL,
     "wrong::shape: output 0: its infer promised float32 (3), its composition made float32 (1, 3)"},
    {"type", 0, like_x, other_type, 0, 0, DL_INTERNAL, "its infer promised float32 (3), its composition made bool (3)"},
    {"no_op", 0, like_x, no_op, 0, 0, DL_INTERNAL, "wrong::no_op: a composition or gradient emits an op without a name"},
    {"unknown", 0, like_x, unknown_op, 0, 0, DL_INTERNAL,
     "wrong::unknown: a composition or gradient emits 'sqare', which is no registered op"},
    {"no_inputs", 0, like_x, no_inputs, 0, 0, DL_INTERNAL, "neg: 1 tensors, and no list of them (NULL)"},
    {"too_many", 0, like_x, too_many, 0, 0, DL_INTERNAL, "neg: expected 1 tensors, got 3"},
    {"no_list", 0, like_x, no_list, 0, 0, DL_INVALID, "argument 'shape': its pointer is NULL"},
    {"far_value", 0, like_x, far_value, 0, 0, DL_INTERNAL, "asked for value 77, which it does not have"},
    {"derived", 0, like_x, 0, derives_nothing, run_nothing, DL_INTERNAL,
     "wrong::derived: its kernel keeps data derived from input 7"},
    {"sized", 0, like_x, 0, 0, run_allocates, DL_INTERNAL, "wrong::sized: alloc_out is for ops with the flag DL_OP_SYNC"},
    {"third", DL_OP_SYNC, like_x, 0, 0, run_allocates_third, DL_INTERNAL, "wrong::third: has no output 3"},
    {"twice", DL_OP_SYNC, like_x, 0, 0, run_allocates_twice, DL_INTERNAL, "wrong::twice: output 0 is allocated a second time"},
    {"unallocated", DL_OP_SYNC, like_x, 0, 0, run_nothing, DL_INTERNAL, "wrong::unallocated: its kernel allocated no output 0"},
};

enum { ROWS = sizeof rows / sizeof *rows };
static char signatures[ROWS][80], names[ROWS][40]; /* for the process's life, as the registry wants them */

static dl_status add_rows(const dl_host *given) {
    host = given;
    for (size_t k = 0; k < ROWS; k++) {
        snprintf(names[k], sizeof names[k], "wrong::%s", rows[k].name);
        snprintf(signatures[k], sizeof signatures[k], "wrong::%s(Tensor x) -> Tensor", rows[k].name);
        const dl_op_def def = {.size = sizeof def,
                               .sig = signatures[k],
                               .flags = rows[k].flags,
                               .infer = rows[k].infer,
                               .compose = rows[k].compose};
        const dl_kernel kernel = {
            .size = sizeof kernel, .op = names[k], .backend = "cpu", .prepare = rows[k].prepare, .run = rows[k].run};
        if (host->add_op(&def) != DL_OK || (rows[k].run && host->add_kernel(&kernel) != DL_OK)) return DL_INVALID;
    }
    return DL_OK;
}

static void each_slip_is_told(void **state) {
    (void)state;
    dl_tensor x = {0};
    assert_ok(dl_host_run_init(add_rows, "wrong"));
    et_make(&x, DL_F32, "3", (const double[]){1, 2, 3});
    for (size_t k = 0; k < ROWS; k++) {
        dl_tensor y = {0};
        (void)dl_fail(DL_IO, "an earlier failure");
        assert_fails(et_try(names[k], &y, IN(&x), NONE), rows[k].status, rows[k].words);
        if (strstr(dl_last_error(), "earlier")) fail_msg("%s: %s", names[k], dl_last_error());
        assert_null(y.storage);
    }
    et_clear(&x);
}

/* ---- gradients ------------------------------------------------------------------------------------------------------------
 */

static dl_status add_gradients(const dl_host *given) {
    static const dl_op_def none = {
        .size = sizeof none, .sig = "ungraded::none(Tensor x) -> Tensor", .infer = like_x, .compose = negates};
    static const dl_op_def unsaved = {.size = sizeof unsaved,
                                      .sig = "ungraded::unsaved(Tensor x) -> Tensor",
                                      .infer = like_x,
                                      .compose = negates,
                                      .grad = reads_unsaved};
    static const dl_op_def mute = {.size = sizeof mute,
                                   .sig = "ungraded::mute(Tensor x) -> Tensor",
                                   .infer = like_x,
                                   .compose = negates,
                                   .grad = composes_silently};
    const dl_status status = given->add_op(&none);
    if (status != DL_OK || given->add_op(&unsaved) != DL_OK) return DL_INVALID;
    return given->add_op(&mute);
}

static void expect_backward_fails(const char *op, dl_status status, const char *words) {
    dl_tensor x = {0}, y = {0}, sum = {0};
    et_leaf(&x, "3", (const double[]){1, 2, 3});
    et_call(op, &y, IN(&x), NONE);
    et_call("sum", &sum, IN(&y), ATTR(INTS(0)));
    (void)dl_fail(DL_IO, "an earlier failure");
    assert_fails(dl_backward((const dl_tensor *[]){&sum}, NULL, 1, NULL, NULL, 0, 0), status, words);
    et_clear(&x, &y, &sum);
}

static void gradients_that_are_not_there(void **state) {
    (void)state;
    assert_ok(dl_host_run_init(add_gradients, "ungraded"));
    expect_backward_fails("ungraded::none", DL_UNSUPPORTED,
                          "backward of ungraded::none: it has no gradient: give dl_op_def.grad");
    expect_backward_fails("ungraded::unsaved", DL_INTERNAL,
                          "backward of ungraded::unsaved: its gradient reads input 0, which is not among its saves");
    expect_backward_fails("ungraded::mute", DL_IO, "backward of ungraded::mute: its gradient failed");
}

/* ---- registering ----------------------------------------------------------------------------------------------------------
 */

static const dl_op_def *defined;
static dl_status add_defined(const dl_host *given) { return given->add_op(defined); }
static dl_status add_no_backend(const dl_host *given) { return given->add_backend(NULL); }
static dl_status add_no_kernel(const dl_host *given) { return given->add_kernel(NULL); }
static dl_status init_silently(const dl_host *given) { return (void)given, DL_UNSUPPORTED; }
static dl_status add_lost_kernel(const dl_host *given) {
    static const dl_kernel kernel = {.size = sizeof kernel, .op = "lost::g", .backend = "cpu", .run = run_nothing};
    return given->add_kernel(&kernel);
}

static void definitions_that_contradict_themselves(void **state) {
    (void)state;
    static const struct {
        dl_op_def def;
        const char *words;
    } definitions[] = {
        {{.sig = "plain(Tensor x) -> Tensor", .expr = "x", .rule = "same"},
         "expected a name with a namespace, as slips::plain"},
        {{.sig = "slips::a(Tensor x) -> Tensor", .expr = "x + ", .rule = "same"}, "slips::a"},
        {{.sig = "slips::b(Tensor x) -> Tensor", .expr = "x * x", .rule = "same", .grads = "2 * y * g"}, "its gradients: "},
        {{.sig = "slips::c(Tensor x) -> Tensor", .expr = "x", .rule = "no such rule"}, "no such rule"},
        {{.sig = "slips::d(Tensor x) -> Tensor", .expr = "x", .rule = "same", .flags = DL_OP_COMPOSITE},
         "an expression can be neither view nor composite"},
        {{.sig = "slips::e(Tensor x) -> Tensor", .expr = "x", .rule = "same", .flags = DL_OP_SYNC},
         "writes a new tensor of known size"},
        {{.sig = "slips::f(Tensor x) -> Tensor", .infer = like_x, .flags = DL_OP_COMPOSITE},
         "DL_OP_COMPOSITE needs a compose function"},
        {{.sig = "slips::h(Tensor x) -> Tensor", .infer = like_x, .flags = DL_OP_POINTWISE},
         "DL_OP_POINTWISE needs an expression"},
        {{.sig = "slips::i(int n) -> Tensor", .infer = like_x, .flags = DL_OP_VIEW}, "DL_OP_VIEW needs a first tensor"},
    };
    for (size_t k = 0; k < sizeof definitions / sizeof *definitions; k++) {
        dl_op_def def = definitions[k].def;
        def.size = sizeof def;
        defined = &def;
        assert_fails(dl_host_run_init(add_defined, "slips"), DL_INVALID, definitions[k].words);
    }
    defined = NULL;
    assert_fails(dl_host_run_init(add_defined, "slips"), DL_INVALID, "add_op was given NULL");
    assert_fails(dl_host_run_init(add_no_backend, "slips"), DL_INVALID, "add_backend was given NULL");
    assert_fails(dl_host_run_init(add_no_kernel, "slips"), DL_INVALID, "add_kernel was given NULL");
    assert_fails(dl_host_run_init(add_lost_kernel, "lost"), DL_INVALID, "a kernel for 'lost::g' and registers no such op");
    (void)dl_fail(DL_IO, "an earlier failure");
    assert_fails(dl_host_run_init(init_silently, "slips"), DL_UNSUPPORTED, "its dl_plugin_init failed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_slip_is_told),
        cmocka_unit_test(gradients_that_are_not_there),
        cmocka_unit_test(definitions_that_contradict_themselves),
    };
    return cmocka_run_group_tests(tests, et_start, NULL);
}
