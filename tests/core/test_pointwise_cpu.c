/* test_pointwise_cpu.c - the CPU's pointwise kernel, called as the core would call it: compiled loops against the interpreter
 * against dl_prog_eval for every row and dtype; layouts; accuracy of every function. Run once per instruction set (DLRUN_ISA).
 */
#include "core/mem.h"
#include "core/pointwise/prog.h"
#include <dlfcn.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a host that keeps the kernel ----------------------------------------------------------------------------------- */

static dl_kernel kernel;
static char message[256];

__attribute__((format(printf, 2, 3))) static dl_status host_fail(dl_status code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return code;
}
static void host_log(int32_t level, const char *text) { (void)level, (void)text; }
static dl_status host_add_backend(const dl_backend *b) { return b ? DL_OK : DL_INVALID; }
static dl_status host_add_kernel(const dl_kernel *k) {
    if (strcmp(k->op, "pointwise") == 0) kernel = *k;
    return DL_OK;
}
static int32_t host_interrupted(void) { return 0; }

static int load_plugin(void **state) {
    static const dl_host host = {
        .size = sizeof host,
        .fail = host_fail,
        .log = host_log,
        .mem = dl_mem,
        .add_backend = host_add_backend,
        .add_kernel = host_add_kernel,
        .interrupted = host_interrupted,
    };
    const char *folder = getenv("DLRUN_PLUGIN_PATH");
    char path[PATH_MAX];
    (void)state;
    snprintf(path, sizeof path, "%s/cpu.so", folder ? folder : "build/lib/dlrun/plugins");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *address = library ? dlsym(library, "dl_plugin_init") : NULL;
    dl_plugin_init_fn init;
    if (!address) {
        fprintf(stderr, "%s\n", dlerror());
        return -1;
    }
    memcpy(&init, &address, sizeof init);
    return init(&host) == DL_OK && kernel.run ? 0 : -1;
}

/* ---- tensors and calls ---------------------------------------------------------------------------------------------- */

enum { MAX_ELEMENTS = 1 << 17 };

static void shape_tensor(dl_tensor *t, dl_dtype type, void *data, int32_t ndim, const int64_t *shape, const int64_t *strides) {
    memset(t, 0, sizeof *t);
    t->data = data;
    t->ndim = ndim;
    t->type = type;
    t->shape = t->dims;
    t->strides = t->dims + DL_MAX_DIMS;
    int64_t step = 1;
    for (int32_t d = ndim - 1; d >= 0; d--) {
        t->shape[d] = shape[d];
        t->strides[d] = strides ? strides[d] : step;
        step *= shape[d];
    }
}

/* Prepares and runs a program once. */
static dl_status call(const dl_prog *p, const dl_tensor *const *in, dl_tensor *out, const dl_attr *attr) {
    dl_plan plan = {.size = sizeof plan};
    dl_frame f = {.size = sizeof f, .n_in = p->n_in, .n_out = 1, .in = in, .out = &out, .prog = p, .prog_attr = attr};
    dl_status status = kernel.prepare(&f, &plan);
    if (status != DL_OK) return status;
    assert_int_equal(plan.sharing, DL_PLAN_PER_TYPE);
    status = kernel.run(&f, &plan);
    plan.destroy(plan.state);
    return status;
}

/* The same program under a hash that no compiled loop has: the kernel interprets it. */
static dl_prog interpreted(const dl_prog *p) {
    dl_prog q = *p;
    q.hash ^= UINT64_C(0x5bd1e9955bd1e995);
    return q;
}

static uint64_t seed = 1;
static uint64_t draw(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}
static double draw_real(double low, double high) { return low + (high - low) * (double)(draw() >> 11) * 0x1p-53; }

static double get_real(const void *data, dl_dtype type, int64_t i) {
    return type == DL_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static int64_t get_int(const void *data, dl_dtype type, int64_t i) {
    switch (type) {
    case DL_U8: return ((const uint8_t *)data)[i];
    case DL_BOOL: return ((const uint8_t *)data)[i];
    case DL_I8: return ((const int8_t *)data)[i];
    case DL_I16: return ((const int16_t *)data)[i];
    case DL_I32: return ((const int32_t *)data)[i];
    default: return ((const int64_t *)data)[i];
    }
}

static int is_real(int32_t type) { return type == DL_F32 || type == DL_F64; }

/* Small whole and broken numbers of both signs, now and then something special; integers all over their range. */
static void put_random(void *data, dl_dtype type, int64_t i) {
    static const double special[] = {0, -0.0, 1, -1, 0.5, 2, INFINITY, -INFINITY, NAN};
    const uint64_t bits = draw();
    const double x = bits % 16 == 0  ? special[bits / 16 % 9]
                     : bits % 3 == 0 ? (double)(int64_t)(bits % 9) - 4
                                     : draw_real(-3, 3);
    const int64_t whole = bits & 1024 ? (int64_t)(draw() % 17) - 8 : (int64_t)draw();
    switch (type) {
    case DL_F32: ((float *)data)[i] = (float)x; break;
    case DL_F64: ((double *)data)[i] = x; break;
    case DL_BOOL: ((uint8_t *)data)[i] = bits >> 20 & 1; break;
    case DL_U8:
    case DL_I8: ((uint8_t *)data)[i] = (uint8_t)whole; break;
    case DL_I16: ((int16_t *)data)[i] = (int16_t)whole; break;
    case DL_I32: ((int32_t *)data)[i] = (int32_t)whole; break;
    default: ((int64_t *)data)[i] = whole; break;
    }
}

/* ---- compiled == interpreted == evaluated --------------------------------------------------------------------------- */

enum { ROW_ELEMENTS = 700, MAX_IN = DL_PROG_MAX_IN + 2 };

typedef struct row_data {
    _Alignas(64) char in[MAX_IN][ROW_ELEMENTS * 8];
    _Alignas(64) char out[2][ROW_ELEMENTS * 8];
    dl_attr attr[DL_PROG_MAX_ATTR];
    dl_scalar scalar[DL_PROG_MAX_ATTR];
} row_data;

static void fill_row(row_data *d, const dl_prog *p) {
    for (uint32_t k = 0; k < p->n_in; k++)
        for (int64_t i = 0; i < ROW_ELEMENTS; i++) put_random(d->in[k], p->in_type[k], i);
    for (uint32_t k = 0; k < p->n_attr; k++) {
        const int32_t type = dl_prog_attr_type(p, (int32_t)k);
        const double x = (double)(draw() % 5) + (is_real(type) ? 0.25 : 1);
        if (is_real(type)) {
            d->attr[k] = (dl_attr){.kind = DL_ATTR_FLOAT, .v.f = x};
            d->scalar[k].f = x;
        } else {
            d->attr[k] = (dl_attr){.kind = DL_ATTR_INT, .v.i = (int64_t)x};
            d->scalar[k].i = type == DL_BOOL ? x != 0 : (int64_t)x;
        }
    }
}

/* Is a result as good as the reference? The reference computes in double what f32 programs round step by step. */
static int close_enough(dl_dtype type, double got, double want) {
    if (want != want || got != got) return want != want && got != got;
    if (isinf(want) || isinf(got)) return got == want || fabs(want) > FLT_MAX || fabs(got) > 1e37;
    return fabs(got - want) <= (type == DL_F32 ? 2e-4 : 1e-10) * (1 + fabs(want));
}

static void print_scalar(dl_dtype type, dl_scalar v) {
    if (is_real(type))
        fprintf(stderr, " %.9g", v.f);
    else
        fprintf(stderr, " %lld", (long long)v.i);
}

static void compare_with_eval(const row_data *d, const dl_prog *p, const char *title) {
    const dl_dtype type = p->ins[p->out[0]].type;
    int bad = 0;
    for (int64_t i = 0; i < ROW_ELEMENTS; i++) {
        dl_scalar in[MAX_IN], want;
        for (uint32_t k = 0; k < p->n_in; k++) {
            if (is_real(p->in_type[k]))
                in[k].f = get_real(d->in[k], p->in_type[k], i);
            else
                in[k].i = get_int(d->in[k], p->in_type[k], i);
        }
        if (dl_prog_eval(p, in, d->scalar, i, &want) != DL_OK) continue; /* division by zero: has its own test */
        const int same =
            is_real(type) ? close_enough(type, get_real(d->out[0], type, i), want.f) : get_int(d->out[0], type, i) == want.i;
        if (same || bad++ >= 3) continue;
        fprintf(stderr, "%s, element %d, of", title, (int)i);
        for (uint32_t k = 0; k < p->n_in; k++) print_scalar(p->in_type[k], in[k]);
        fprintf(stderr, " gave");
        print_scalar(type, is_real(type) ? (dl_scalar){.f = get_real(d->out[0], type, i)}
                                         : (dl_scalar){.i = get_int(d->out[0], type, i)});
        fprintf(stderr, ", not");
        print_scalar(type, want);
        fprintf(stderr, "\n");
    }
    assert_int_equal(bad, 0);
}

static int same_values(const row_data *d, dl_dtype type) {
    const int64_t bytes = dl_dtype_bytes(type);
    for (int64_t i = 0; i < ROW_ELEMENTS; i++) {
        if (memcmp(d->out[0] + i * bytes, d->out[1] + i * bytes, (size_t)bytes) == 0) continue;
        if (is_real(type) && isnan(get_real(d->out[0], type, i)) && isnan(get_real(d->out[1], type, i))) continue;
        fprintf(stderr, "element %d: %.17g compiled, %.17g interpreted\n", (int)i,
                is_real(type) ? get_real(d->out[0], type, i) : (double)get_int(d->out[0], type, i),
                is_real(type) ? get_real(d->out[1], type, i) : (double)get_int(d->out[1], type, i));
        return 0;
    }
    return 1;
}

static void check_program(const dl_prog *p, const char *title) {
    static row_data d;
    const dl_prog q = interpreted(p);
    const dl_dtype type = p->ins[p->out[0]].type;
    const int64_t n = ROW_ELEMENTS;
    dl_tensor in[MAX_IN], out[2];
    const dl_tensor *inputs[MAX_IN];
    fill_row(&d, p);
    for (uint32_t k = 0; k < p->n_in; k++) {
        shape_tensor(&in[k], p->in_type[k], d.in[k], 1, &n, NULL);
        inputs[k] = &in[k];
    }
    for (int k = 0; k < 2; k++) shape_tensor(&out[k], type, d.out[k], 1, &n, NULL);
    const dl_status compiled = call(p, inputs, &out[0], d.attr), tiles = call(&q, inputs, &out[1], d.attr);
    if (compiled != tiles)
        fprintf(stderr, "%s: status %d compiled, %d interpreted: %s\n", title, (int)compiled, (int)tiles, message);
    assert_int_equal(compiled, tiles);
    if (compiled == DL_INVALID) {
        assert_non_null(strstr(message, "division by zero"));
        return;
    }
    assert_int_equal(compiled, DL_OK);
    if (!same_values(&d, type)) fail_msg("%s: the interpreter and the compiled loop differ", title);
    compare_with_eval(&d, p, title);
}

static void check_row(const dl_pointwise_row *row, dl_dtype type) {
    char names[DL_EXPR_NAMES], title[200];
    dl_dtype compute, result;
    dl_expr e;
    dl_prog *p;
    if (dl_rule_types(row->rule, type, &compute, &result) != DL_OK) return;
    assert_int_equal(dl_expr_of(row->sig, row->rule, row->expr, type, names, &e), DL_OK);
    if (dl_prog_parse(&e, &p) != DL_OK) {
        assert_int_equal(type, DL_BOOL); /* the row means nothing there */
        return;
    }
    snprintf(title, sizeof title, "%s, %s", e.name, dl_dtype_name(type));
    check_program(p, title);
    dl_prog_free(p);
    for (int32_t k = 0; is_real(type) && k < e.n_in; k++) {
        if (dl_expr_grad(&e, row->grads, k, &p) != DL_OK) continue;
        snprintf(title, sizeof title, "gradient of %s by %s, %s", e.name, e.in_name[k], dl_dtype_name(type));
        check_program(p, title);
        dl_prog_free(p);
    }
}

static void every_row_and_dtype(void **state) {
    (void)state;
    for (int32_t k = 0; k < dl_pointwise_row_count; k++)
        for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++)
            if (type != DL_F16 && type != DL_BF16) check_row(&dl_pointwise_rows[k], type);
}

/* ---- what no row uses: conversions between all types, u32, single opcodes ------------------------------------------- */

static void check_instructions(const dl_ins *ins, uint32_t n, uint32_t n_in, const uint8_t *types, const char *title) {
    const int32_t out = (int32_t)n - 1;
    const dl_prog p = {sizeof p, sizeof *ins, n, n_in, 0, 1, ins, &out, types, 46, title};
    check_program(&p, title);
}

static void conversions(void **state) {
    static const uint8_t types[] = {DL_F32, DL_F64, DL_U8, DL_I8, DL_I16, DL_I32, DL_I64, DL_BOOL};
    enum { TYPES = sizeof types };
    char title[100];
    (void)state;
    for (int k = 0; k < TYPES * TYPES; k++) {
        const uint8_t from = types[k / TYPES], to = types[k % TYPES];
        const dl_ins direct[] = {{.op = DL_OP_IN, .type = from}, {.op = DL_OP_CAST, .type = to, .a = 0}};
        const dl_ins over_u32[] = {{.op = DL_OP_IN, .type = from},
                                   {.op = DL_OP_CAST, .type = DL_U32, .a = 0},
                                   {.op = DL_OP_MULHI, .type = DL_U32, .a = 1, .b = 1},
                                   {.op = DL_OP_XOR, .type = DL_U32, .a = 1, .b = 2},
                                   {.op = DL_OP_CAST, .type = to, .a = 3}};
        snprintf(title, sizeof title, "%s to %s", dl_dtype_name(from), dl_dtype_name(to));
        check_instructions(direct, 2, 1, &from, title);
        snprintf(title, sizeof title, "%s over u32 to %s", dl_dtype_name(from), dl_dtype_name(to));
        check_instructions(over_u32, 5, 1, &from, title);
    }
}

static void single_opcodes(void **state) {
    static const uint8_t integers[] = {DL_U8, DL_I8, DL_I16, DL_I32, DL_I64}, binary[] = {DL_OP_MULHI, DL_OP_SHL, DL_OP_SHR};
    char title[100];
    (void)state;
    for (int k = 0; k < 15; k++) {
        const uint8_t type = integers[k % 5], types[] = {type, type};
        const dl_ins ins[] = {{.op = DL_OP_IN, .type = type, .a = 0},
                              {.op = DL_OP_IN, .type = type, .a = 1},
                              {.op = binary[k / 5], .type = type, .a = 0, .b = 1}};
        snprintf(title, sizeof title, "opcode %d, %s", (int)binary[k / 5], dl_dtype_name(type));
        check_instructions(ins, 3, 2, types, title);
    }
    for (uint8_t type = DL_F32; type <= DL_F64; type++) { /* fma; bits of a float halved and back */
        const uint8_t types[] = {type, type, type}, bits = type == DL_F32 ? DL_I32 : DL_I64;
        const dl_ins fma[] = {{.op = DL_OP_IN, .type = type, .a = 0},
                              {.op = DL_OP_IN, .type = type, .a = 1},
                              {.op = DL_OP_IN, .type = type, .a = 2},
                              {.op = DL_OP_FMA, .type = type, .a = 0, .b = 1, .c = 2}};
        const dl_ins cut[] = {{.op = DL_OP_IN, .type = type, .a = 0},          {.op = DL_OP_BITCAST, .type = bits, .a = 0},
                              {.op = DL_OP_CONST, .type = bits, .imm = 4},     {.op = DL_OP_SHR, .type = bits, .a = 1, .b = 2},
                              {.op = DL_OP_SHL, .type = bits, .a = 3, .b = 2}, {.op = DL_OP_BITCAST, .type = type, .a = 4}};
        check_instructions(fma, 4, 3, types, "fma");
        check_instructions(cut, 6, 1, types, "bitcast");
    }
}

/* ---- accuracy ------------------------------------------------------------------------------------------------------- */

typedef struct unary {
    int32_t op;
    const char *name;
    double (*f64)(double);
    long double (*f80)(long double);
    double bound32, bound64; /* in units in the last place; vecmath.h's table */
} unary;

static double sine(double x) {
    return (double)sinl((long double)x);
} /* glibc's double versions are not exact enough to round */
static double cosine(double x) { return (double)cosl((long double)x); }
static double tangent(double x) { return (double)tanl((long double)x); }

static const unary functions[] = {
    {DL_OP_EXP, "exp", exp, expl, 1.1, 1.1},       {DL_OP_EXP2, "exp2", exp2, exp2l, 1.2, 1.2},
    {DL_OP_EXPM1, "expm1", expm1, expm1l, 1.8, 2}, {DL_OP_LOG, "log", log, logl, 1, 1},
    {DL_OP_LOG2, "log2", log2, log2l, 2.2, 2.2},   {DL_OP_LOG1P, "log1p", log1p, log1pl, 1.5, 1.5},
    {DL_OP_TANH, "tanh", tanh, tanhl, 2.5, 2.6},   {DL_OP_SINH, "sinh", sinh, sinhl, 0.6, 2},
    {DL_OP_COSH, "cosh", cosh, coshl, 0.6, 2},     {DL_OP_SIN, "sin", sine, sinl, 0.6, 1},
    {DL_OP_COS, "cos", cosine, cosl, 0.6, 1},      {DL_OP_TAN, "tan", tangent, tanl, 0.6, 1},
    {DL_OP_ERF, "erf", erf, erfl, 1.25, 1},        {DL_OP_SQRT, "sqrt", sqrt, sqrtl, 0.51, 0.51},
    {DL_OP_ASIN, "asin", asin, asinl, 1, 1},       {DL_OP_ACOS, "acos", acos, acosl, 1, 1},
    {DL_OP_ATAN, "atan", atan, atanl, 1, 1},       {DL_OP_ERFC, "erfc", erfc, erfcl, 4, 5},
    {DL_OP_FLOOR, "floor", floor, floorl, 0, 0},   {DL_OP_CEIL, "ceil", ceil, ceill, 0, 0},
    {DL_OP_TRUNC, "trunc", trunc, truncl, 0, 0},   {DL_OP_RINT, "rint", rint, rintl, 0, 0},
};

/* in0, or in0 and in1, through one opcode. */
static void one_op(dl_prog *p, dl_ins ins[3], int32_t op, dl_dtype type, int32_t operands) {
    static const int32_t result[] = {1, 2};
    static uint8_t types[2];
    types[0] = types[1] = (uint8_t)type;
    for (int32_t k = 0; k < operands; k++) ins[k] = (dl_ins){.op = DL_OP_IN, .type = (uint8_t)type, .a = k};
    ins[operands] = (dl_ins){.op = (uint8_t)op, .type = (uint8_t)type, .a = 0, .b = operands - 1};
    *p = (dl_prog){
        sizeof *p,    sizeof *ins, (uint32_t)operands + 1, (uint32_t)operands, 0, 1, ins, &result[operands - 1], types,
        (uint64_t)op, "one op"};
}

static void run_flat(const dl_prog *p, dl_dtype type, void *const *in, void *out, int64_t n) {
    dl_tensor t[3], *result = &t[2];
    const dl_tensor *inputs[2] = {&t[0], &t[1]};
    for (uint32_t k = 0; k < p->n_in; k++) shape_tensor(&t[k], type, in[k], 1, &n, NULL);
    shape_tensor(result, type, out, 1, &n, NULL);
    assert_int_equal(call(p, inputs, result, NULL), DL_OK);
}

/* The distance in units of the last place of `digits`-bit numbers with exponents from `least`. */
static double ulps(long double got, long double want, int digits, int least, long double largest) {
    if (want != want || got != got) return want != want && got != got ? 0 : HUGE_VAL;
    if (fabsl(want) > largest || isinf(got)) /* overflow: infinite, or the largest number half a unit away */
        return got == want || (fabsl(want) >= largest && fabsl(got) >= largest && signbit(got) == signbit(want)) ? 0 : HUGE_VAL;
    if (want == 0) return got == 0 && !signbit(got) == !signbit(want) ? 0 : HUGE_VAL;
    int exponent;
    frexpl(want, &exponent);
    return (double)(fabsl(got - want) / ldexpl(1, (exponent < least ? least : exponent) - digits));
}

/* Every exponent and sign, denormals, and the special values first. */
static int64_t sample_f32(float *x) {
    static const float special[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1, -1, 0.5f, -0.5f, FLT_MAX, -FLT_MAX, FLT_MIN};
    int64_t n = 0;
    for (size_t k = 0; k < sizeof special / sizeof *special; k++) x[n++] = special[k];
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32 && n < MAX_ELEMENTS; bits += 32771) {
        const uint32_t low = (uint32_t)bits;
        memcpy(&x[n++], &low, sizeof low);
    }
    return n;
}

static int64_t sample_f64(double *x) {
    static const double special[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1, -1, 0.5, -0.5, DBL_MAX, -DBL_MAX, DBL_MIN};
    int64_t n = 0;
    for (size_t k = 0; k < sizeof special / sizeof *special; k++) x[n++] = special[k];
    for (; n < 40000; n++) {
        const uint64_t bits = draw();
        memcpy(&x[n], &bits, sizeof bits);
        if (n & 1) x[n] = draw_real(-1, 1) * exp2((double)(draw() % 12));
    }
    return n;
}

static void accuracy_f32(void **state) {
    static float x[MAX_ELEMENTS], y[MAX_ELEMENTS];
    const int64_t n = sample_f32(x);
    (void)state;
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        const unary *f = &functions[k];
        dl_prog p;
        dl_ins ins[3];
        one_op(&p, ins, f->op, DL_F32, 1);
        run_flat(&p, DL_F32, (void *[]){x}, y, n);
        double worst = 0;
        int64_t at = 0;
        for (int64_t i = 0; i < n; i++) {
            const double error = ulps(y[i], f->f64(x[i]), FLT_MANT_DIG, FLT_MIN_EXP, FLT_MAX);
            if (error > worst) worst = error, at = i;
        }
        if (worst > f->bound32) fail_msg("%s(%a) = %a is off by %.3f units", f->name, x[at], y[at], worst);
    }
}

static void accuracy_f64(void **state) {
    static double x[MAX_ELEMENTS], y[MAX_ELEMENTS];
    const int64_t n = sample_f64(x);
    (void)state;
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        const unary *f = &functions[k];
        dl_prog p;
        dl_ins ins[3];
        one_op(&p, ins, f->op, DL_F64, 1);
        run_flat(&p, DL_F64, (void *[]){x}, y, n);
        double worst = 0;
        int64_t at = 0;
        for (int64_t i = 0; i < n; i++) {
            const double error = ulps(y[i], f->f80(x[i]), DBL_MANT_DIG, DBL_MIN_EXP, DBL_MAX);
            if (error > worst) worst = error, at = i;
        }
        if (worst > f->bound64) fail_msg("%s(%a) = %a is off by %.3f units", f->name, x[at], y[at], worst);
    }
}

static void accuracy_pow(void **state) {
    static const float special[] = {0,        -0.0f,     1,   -1,      2,          -2,       3,        -3,
                                    0.5f,     -0.5f,     10,  8388607, 8388608.5f, 16777215, 16777216, 1e20f,
                                    INFINITY, -INFINITY, NAN, FLT_MIN, -FLT_MIN,   FLT_MAX,  -FLT_MAX, FLT_TRUE_MIN};
    enum { S = sizeof special / sizeof *special, N = 60000 };
    static float x[N], y[N], z[N];
    (void)state;
    for (int i = 0; i < N; i++) {
        const uint32_t bits[2] = {(uint32_t)draw(), (uint32_t)draw()};
        memcpy(&x[i], &bits[0], 4);
        memcpy(&y[i], &bits[1], 4);
        if (i % 2) x[i] = (float)(draw_real(0.5, 2) * exp2((double)(draw() % 20) - 10)), y[i] = (float)draw_real(-20, 20);
        if (i % 4 == 1) x[i] = -x[i], y[i] = rintf(y[i]);
        if (i < S * S) x[i] = special[i / S], y[i] = special[i % S];
    }
    dl_prog p;
    dl_ins ins[3];
    one_op(&p, ins, DL_OP_POW, DL_F32, 2);
    run_flat(&p, DL_F32, (void *[]){x, y}, z, N);
    for (int i = 0; i < N; i++) {
        const double error = ulps(z[i], powl(x[i], y[i]), FLT_MANT_DIG, FLT_MIN_EXP, FLT_MAX);
        if (error > 0.6) fail_msg("pow(%a, %a) = %a, not %a", x[i], y[i], z[i], pow(x[i], y[i]));
    }
}

/* psi(x + 1) = psi(x) + 1/x, psi'(x + 1) = psi'(x) - 1/x^2, and their values at 1. */
static void gamma_functions(void **state) {
    enum { N = 400 };
    double x[2 * N], psi[2 * N], psi1[2 * N];
    dl_prog p;
    dl_ins ins[3];
    (void)state;
    for (int i = 0; i < N; i++) {
        x[i] = i == 0 ? 1 : -8 + i * 0.0937;
        x[N + i] = x[i] + 1;
    }
    one_op(&p, ins, DL_OP_DIGAMMA, DL_F64, 1);
    run_flat(&p, DL_F64, (void *[]){x}, psi, 2 * N);
    one_op(&p, ins, DL_OP_TRIGAMMA, DL_F64, 1);
    run_flat(&p, DL_F64, (void *[]){x}, psi1, 2 * N);
    assert_true(fabs(psi[0] + 0.57721566490153286) < 1e-14);
    assert_true(fabs(psi1[0] - 1.6449340668482264) < 1e-14);
    for (int i = 0; i < N; i++) {
        assert_true(fabs(psi[N + i] - psi[i] - 1 / x[i]) <= 1e-11 * (1 + fabs(psi[i])));
        assert_true(fabs(psi1[N + i] - psi1[i] + 1 / (x[i] * x[i])) <= 1e-11 * (1 + fabs(psi1[i])));
    }
}

/* psi(x) is -1/x, and psi'(x) 1/x^2, close to 0 on both sides. */
static void gamma_functions_near_0(void **state) {
    enum { N = 24 };
    double x[N], psi[N], psi1[N];
    float narrow[N], psi_f32[N];
    dl_prog p;
    dl_ins ins[3];
    (void)state;
    for (int i = 0; i < N; i++) narrow[i] = (float)(x[i] = (i % 2 ? 1.0 : -1.0) * pow(10, -18 - i / 2));
    one_op(&p, ins, DL_OP_DIGAMMA, DL_F64, 1);
    run_flat(&p, DL_F64, (void *[]){x}, psi, N);
    one_op(&p, ins, DL_OP_TRIGAMMA, DL_F64, 1);
    run_flat(&p, DL_F64, (void *[]){x}, psi1, N);
    one_op(&p, ins, DL_OP_DIGAMMA, DL_F32, 1);
    run_flat(&p, DL_F32, (void *[]){narrow}, psi_f32, N);
    for (int i = 0; i < N; i++) {
        assert_true(fabs(psi[i] * x[i] + 1) < 1e-14);
        assert_true(fabs(psi1[i] * x[i] * x[i] - 1) < 1e-14);
        assert_true(fabsf(psi_f32[i] * narrow[i] + 1) < 1e-6f);
    }
}

/* ---- layouts -------------------------------------------------------------------------------------------------------- */

/* a + 3 b, then the same in every layout: the flat loop is the reference. */
static const dl_ins axpy[] = {
    {.op = DL_OP_IN, .type = DL_F32, .a = 0},          {.op = DL_OP_IN, .type = DL_F32, .a = 1},
    {.op = DL_OP_ATTR, .type = DL_F32, .a = 0},        {.op = DL_OP_MUL, .type = DL_F32, .a = 1, .b = 2},
    {.op = DL_OP_ADD, .type = DL_F32, .a = 0, .b = 3},
};
static const int32_t axpy_out[] = {4};
static const uint8_t axpy_types[] = {DL_F32, DL_F32};
static const dl_prog axpy_prog = {sizeof(dl_prog), sizeof(dl_ins), 5, 2, 1, 1, axpy, axpy_out, axpy_types, 42, "axpy"};
static const dl_attr three = {.kind = DL_ATTR_INT, .v.i = 3};

/* A tensor of random layout: permuted, with gaps, or expanded (inputs only). */
static void random_layout(dl_tensor *t, dl_dtype type, void *data, int32_t ndim, const int64_t *shape, int may_expand) {
    int64_t strides[DL_MAX_DIMS], step = 1 + (int64_t)(draw() % 2);
    int32_t order[DL_MAX_DIMS];
    for (int32_t d = 0; d < ndim; d++) order[d] = ndim - 1 - d;
    for (int32_t d = ndim - 1; d > 0 && draw() % 2; d--) {
        const int32_t e = (int32_t)(draw() % (uint64_t)(d + 1)), o = order[d];
        order[d] = order[e];
        order[e] = o;
    }
    for (int32_t d = 0; d < ndim; d++) {
        const int expanded = may_expand && draw() % 4 == 0;
        strides[order[d]] = expanded ? 0 : step;
        if (!expanded) step *= shape[order[d]] + (int64_t)(draw() % 3 == 0);
    }
    assert_true(step < MAX_ELEMENTS);
    shape_tensor(t, type, data, ndim, shape, strides);
}

static int64_t offset_of(const dl_tensor *t, int64_t element) {
    int64_t offset = 0;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        offset += element % t->shape[d] * t->strides[d];
        element /= t->shape[d];
    }
    return offset;
}

static float element_f32(const dl_tensor *t, int64_t element) {
    const int64_t at = offset_of(t, element);
    if (t->type == DL_F32) return ((const float *)t->data)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)t->data)[at] << 16; /* bf16 */
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void every_layout(void **state) {
    static _Alignas(64) float data[3][MAX_ELEMENTS];
    (void)state;
    for (int round = 0; round < 300; round++) {
        const dl_dtype type = round % 5 == 4 ? DL_BF16 : DL_F32;
        const int32_t ndim = (int32_t)(draw() % 5);
        int64_t shape[5], count = 1;
        for (int32_t d = 0; d < ndim; d++) count *= shape[d] = (int64_t)(draw() % (d == ndim - 1 && round % 2 ? 300 : 7));
        dl_tensor a, b, out;
        /* Whole numbers up to 64: exact in bf16, and so are the results up to 256. */
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < MAX_ELEMENTS; i++) {
                const float x = (float)(draw() % 64);
                uint32_t bits;
                memcpy(&bits, &x, sizeof bits);
                if (type == DL_F32)
                    data[k][i] = x;
                else
                    ((uint16_t *)data[k])[i] = (uint16_t)(bits >> 16);
            }
        random_layout(&a, type, data[0], ndim, shape, 1);
        random_layout(&b, type, data[1], ndim, shape, 1);
        random_layout(&out, type, data[2], ndim, shape, 0);
        float *want = malloc((size_t)(count + 1) * sizeof *want);
        assert_non_null(want);
        const int in_place = round % 3 == 0; /* out over a, where a is not expanded */
        if (in_place)
            random_layout(&out, type, data[0], ndim, shape, 0), shape_tensor(&a, type, data[0], ndim, shape, out.strides);
        for (int64_t i = 0; i < count; i++) want[i] = element_f32(&a, i) + 3 * element_f32(&b, i);
        assert_int_equal(call(&axpy_prog, (const dl_tensor *[]){&a, &b}, &out, &three), DL_OK);
        for (int64_t i = 0; i < count; i++)
            if (element_f32(&out, i) != want[i])
                fail_msg("round %d, element %d: %g, not %g", round, (int)i, element_f32(&out, i), want[i]);
        free(want);
    }
}

static void half_precision(void **state) {
    /* 1.5, -2, the largest half, infinity, the least half; + 3 * 0.5 */
    uint16_t a[] = {0x3e00, 0xc000, 0x7bff, 0x7c00, 0x0001}, b[] = {0x3800, 0x3800, 0x3800, 0x3800, 0x0000}, y[5];
    const uint16_t want[] = {0x4200, 0xb800, 0x7bff, 0x7c00, 0x0001};
    dl_tensor t[3];
    (void)state;
    shape_tensor(&t[0], DL_F16, a, 1, (int64_t[]){5}, NULL);
    shape_tensor(&t[1], DL_F16, b, 1, (int64_t[]){5}, NULL);
    shape_tensor(&t[2], DL_F16, y, 1, (int64_t[]){5}, NULL);
    assert_int_equal(call(&axpy_prog, (const dl_tensor *[]){&t[0], &t[1]}, &t[2], &three), DL_OK);
    assert_memory_equal(y, want, sizeof want);
}

static void large_tensors_use_threads(void **state) {
    static float a[MAX_ELEMENTS], b[MAX_ELEMENTS], y[MAX_ELEMENTS];
    const int64_t n = MAX_ELEMENTS;
    dl_tensor t[3];
    (void)state;
    for (int64_t i = 0; i < n; i++) a[i] = (float)i, b[i] = (float)(i % 1000);
    shape_tensor(&t[0], DL_F32, a, 1, &n, NULL);
    shape_tensor(&t[1], DL_F32, b, 1, &n, (int64_t[]){0});
    shape_tensor(&t[2], DL_F32, y, 1, &n, NULL);
    b[0] = 2;
    assert_int_equal(call(&axpy_prog, (const dl_tensor *[]){&t[0], &t[1]}, &t[2], &three), DL_OK);
    for (int64_t i = 0; i < n; i++) assert_true(y[i] == (float)i + 6);
}

/* ---- the rest of the contract --------------------------------------------------------------------------------------- */

static void index_is_logical(void **state) {
    static const dl_ins ins[] = {{.op = DL_OP_INDEX, .type = DL_I64}};
    static const int32_t out[] = {0};
    const dl_prog p = {sizeof p, sizeof *ins, 1, 0, 0, 1, ins, out, NULL, 43, "index"};
    int64_t data[6 * 1000];
    dl_tensor t;
    (void)state;
    shape_tensor(&t, DL_I64, data, 2, (int64_t[]){6, 1000}, (int64_t[]){1, 6}); /* columns lie together */
    assert_int_equal(call(&p, NULL, &t, NULL), DL_OK);
    for (int64_t i = 0; i < 6000; i++) assert_int_equal(data[offset_of(&t, i)], i);
}

/* A sum of 40 values that all live until the end: more registers than fit the interpreter's stack. */
static void many_registers(void **state) {
    enum { TERMS = 40, N = 1000 };
    dl_ins ins[2 * TERMS + 1] = {{.op = DL_OP_IN, .type = DL_F32, .a = 0}};
    int32_t n = 1;
    for (; n <= TERMS; n++) ins[n] = (dl_ins){.op = DL_OP_ADD, .type = DL_F32, .a = n - 1, .b = 0};
    for (int32_t k = TERMS; k > 1; k--, n++) ins[n] = (dl_ins){.op = DL_OP_ADD, .type = DL_F32, .a = n - 1, .b = k - 1};
    const int32_t out = n - 1;
    const dl_prog p = {sizeof p, sizeof *ins, (uint32_t)n, 1, 0, 1, ins, &out, axpy_types, 44, "sum"};
    float x[N], y[N];
    (void)state;
    for (int i = 0; i < N; i++) x[i] = (float)(i % 8);
    run_flat(&p, DL_F32, (void *[]){x}, y, N);
    /* value k is (k + 1) x; the sum of 2..41 of them */
    for (int i = 0; i < N; i++) assert_true(y[i] == x[i] * (float)(TERMS * (TERMS + 3) / 2));
}

static void output_in_the_middle(void **state) {
    static const dl_ins ins[] = {{.op = DL_OP_IN, .type = DL_F32, .a = 0},
                                 {.op = DL_OP_NEG, .type = DL_F32, .a = 0},
                                 {.op = DL_OP_ADD, .type = DL_F32, .a = 0, .b = 1}};
    float x[3] = {1, 2, 3}, y[3];
    (void)state;
    for (int32_t out = 0; out < 2; out++) { /* the input itself; an instruction that is not the last */
        const dl_prog p = {sizeof p, sizeof *ins, 3, 1, 0, 1, ins, &out, axpy_types, 45, "middle"};
        run_flat(&p, DL_F32, (void *[]){x}, y, 3);
        for (int i = 0; i < 3; i++) assert_true(y[i] == (out ? -x[i] : x[i]));
    }
}

static void divide_i32(int32_t op, int32_t a, int32_t b, dl_status status, int32_t want) {
    dl_prog p;
    dl_ins ins[3];
    int32_t result = 0;
    dl_tensor t[3];
    one_op(&p, ins, op, DL_I32, 2);
    shape_tensor(&t[0], DL_I32, &a, 0, NULL, NULL);
    shape_tensor(&t[1], DL_I32, &b, 0, NULL, NULL);
    shape_tensor(&t[2], DL_I32, &result, 0, NULL, NULL);
    assert_int_equal(call(&p, (const dl_tensor *[]){&t[0], &t[1]}, &t[2], NULL), status);
    if (status == DL_OK) assert_int_equal(result, want);
    if (status == DL_INVALID) assert_non_null(strstr(message, "integer division by zero"));
}

static void integer_division(void **state) {
    (void)state;
    divide_i32(DL_OP_IDIV, -7, 2, DL_OK, -3);
    divide_i32(DL_OP_IMOD, -7, 2, DL_OK, -1);
    divide_i32(DL_OP_IDIV, INT32_MIN, -1, DL_OK, INT32_MIN);
    divide_i32(DL_OP_IMOD, INT32_MIN, -1, DL_OK, 0);
    divide_i32(DL_OP_IDIV, 1, 0, DL_INVALID, 0);
    divide_i32(DL_OP_IMOD, 1, 0, DL_INVALID, 0);
}

static void what_it_refuses(void **state) {
    dl_prog p;
    dl_ins ins[3];
    float x[1] = {1}, y[1];
    const dl_tensor *in[1];
    dl_tensor a, out;
    (void)state;
    shape_tensor(&a, DL_F32, x, 0, NULL, NULL);
    shape_tensor(&out, DL_F32, y, 0, NULL, NULL);
    in[0] = &a;
    one_op(&p, ins, DL_OP_XOR, DL_F32, 1); /* no such step */
    assert_int_equal(call(&p, in, &out, NULL), DL_UNSUPPORTED);
    one_op(&p, ins, DL_OP_NEG, DL_F64, 1); /* a tensor of another type */
    assert_int_equal(call(&p, in, &out, NULL), DL_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_and_dtype),  cmocka_unit_test(conversions),
        cmocka_unit_test(single_opcodes),       cmocka_unit_test(accuracy_f32),
        cmocka_unit_test(accuracy_f64),         cmocka_unit_test(accuracy_pow),
        cmocka_unit_test(gamma_functions),      cmocka_unit_test(every_layout),
        cmocka_unit_test(half_precision),       cmocka_unit_test(large_tensors_use_threads),
        cmocka_unit_test(index_is_logical),     cmocka_unit_test(many_registers),
        cmocka_unit_test(output_in_the_middle), cmocka_unit_test(integer_division),
        cmocka_unit_test(what_it_refuses),      cmocka_unit_test(gamma_functions_near_0),
    };
    return cmocka_run_group_tests(tests, load_plugin, NULL);
}
