/* test_generate_programs.c - the text of every pointwise row and gradient at every dtype, compiled by a device, against
 * dl_prog_eval; single opcodes and conversions likewise. Many programs share a kernel, for compilers are slow. */
#include "core/device.h"
#include "core/pointwise/prog.h"
#include "tests/core/bare_backend.h"
#include "tests/core/mirror.h"
#include <float.h>

extern const char text_simt_h[], text_math_simt[];

enum { ELEMENTS = 512, MAX_IN = DL_PROG_MAX_IN + 2, BATCH = 48, SLOT = ELEMENTS * 8, PROGRAM_SLOTS = MAX_IN + 1 };

/* ---- a batch of programs ----------------------------------------------------------------------------------------------------
 */

typedef struct item {
    dl_prog *prog;
    char title[160];
    double attr[DL_PROG_MAX_ATTR];
} item;

/* Slot 0 of a program's memory is its output, the others are its inputs. */
static item batch[BATCH];
static int filled;
static char *memory; /* BATCH * PROGRAM_SLOTS * SLOT bytes */

static uint64_t rng = 1;

static char *slot(int program, uint32_t number) { return memory + ((size_t)program * PROGRAM_SLOTS + number) * SLOT; }
static int is_real(int32_t type) { return type == DL_F32 || type == DL_F64; }

static dl_scalar get(dl_dtype type, const void *data, int64_t i) {
    switch (type) {
    case DL_F32: return (dl_scalar){.f = (double)((const float *)data)[i]};
    case DL_F64: return (dl_scalar){.f = ((const double *)data)[i]};
    case DL_I8: return (dl_scalar){.i = ((const int8_t *)data)[i]};
    case DL_I16: return (dl_scalar){.i = ((const int16_t *)data)[i]};
    case DL_I32: return (dl_scalar){.i = ((const int32_t *)data)[i]};
    case DL_I64: return (dl_scalar){.i = ((const int64_t *)data)[i]};
    default: return (dl_scalar){.i = ((const uint8_t *)data)[i]};
    }
}

/* Small whole and broken numbers of both signs, now and then something special; integers all over their range. */
static void put(dl_dtype type, void *data, int64_t i) {
    static const double special[] = {0, -0.0, 1, -1, 0.5, 2, INFINITY, -INFINITY, NAN};
    const uint64_t bits = cells_bits(&rng);
    const double part = (double)(cells_bits(&rng) >> 11) * 0x1p-53;
    const double x = bits % 16 == 0 ? special[bits / 16 % 9] : bits % 3 == 0 ? (double)(bits % 9) - 4 : 6 * part - 3;
    const uint64_t extreme = UINT64_C(1) << (8 * dl_dtype_bytes(type) - 1);
    const uint64_t whole = bits >> 60 == 0 ? extreme : bits & 1024 ? cells_bits(&rng) % 17 - 8 : cells_bits(&rng);
    switch (type) {
    case DL_F32: ((float *)data)[i] = (float)x; break;
    case DL_F64: ((double *)data)[i] = x; break;
    case DL_BOOL: ((uint8_t *)data)[i] = bits >> 20 & 1; break;
    default: memcpy((char *)data + i * dl_dtype_bytes(type), &whole, (size_t)dl_dtype_bytes(type)); break;
    }
}

/* ---- their kernel
 * -------------------------------------------------------------------------------------------------------------- */

static char *source;
static size_t length, capacity;

__attribute__((format(printf, 1, 2))) static void text(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length + (size_t)n + 1 > capacity) assert_non_null(source = realloc(source, capacity = 2 * (length + (size_t)n) + 1));
    va_start(arguments, format);
    length += (size_t)vsnprintf(source + length, (size_t)n + 1, format, arguments);
    va_end(arguments);
}

static const char *stored(dl_dtype type) {
    static const char *const names[] = {"f32", "f64", "", "", "u8", "i8", "i16", "i32", "i64", "u8"};
    return names[type];
}
static const char *computed(int32_t type) { return type == DL_BOOL ? "bool" : type == DL_U32 ? "u32" : stored(type); }

static void print_program(int number) {
    const dl_prog *p = batch[number].prog;
    const int32_t n = dl_prog_print_simt(p, NULL, 0);
    char *body = malloc((size_t)n + 1);
    assert_non_null(body);
    dl_prog_print_simt(p, body, (size_t)n + 1);
    text("if (group_id(1) == %d) { /* %s */\n", number, batch[number].title);
    for (uint32_t k = 0; k < p->n_in; k++)
        if (dl_prog_reads(p, (int32_t)k))
            text("const %s x%u = ((GLOBAL const %s *)(m + %lld))[idx]%s;\n", computed(p->in_type[k]), k, stored(p->in_type[k]),
                 (long long)(slot(number, k + 1) - memory), p->in_type[k] == DL_BOOL ? " != 0" : "");
    for (uint32_t k = 0; k < p->n_attr; k++) {
        const int32_t type = dl_prog_attr_type(p, (int32_t)k);
        if (type >= 0)
            text("const %s a%u = (%s)%.2f%s;\n", computed(type), k, computed(type), batch[number].attr[k],
                 type == DL_F64 ? "" : "f");
    }
    text("%s((GLOBAL %s *)(m + %lld))[idx] = y0;\n}\n", body, stored(p->ins[p->out[0]].type),
         (long long)(slot(number, 0) - memory));
    free(body);
}

static void launch(void *function, void *buffer) {
    dl_device *device = mirror_device();
    const int64_t offset = 0;
    const uint32_t grid[3] = {ELEMENTS / 128, (uint32_t)filled, 1}, block[3] = {128, 1, 1},
                   bytes[] = {sizeof buffer, sizeof offset};
    void *const arguments[] = {&buffer, (void *)&offset};
    const dl_status status =
        dl_core_of(device)->backend->api.launch(device, device->stream, function, grid, block, 0, arguments, bytes, 2);
    if (status != DL_OK) fail_msg("%s", dl_last_error());
}

static void run_kernel(void) {
    const int64_t bytes = (int64_t)BATCH * PROGRAM_SLOTS * SLOT;
    dl_device *device = mirror_device();
    dl_tensor t = {0};
    void *function;
    length = 0;
    text("%s%sKERNEL void programs(GLOBAL u8 *m, i64 m_at) {\nconst i64 idx = global_id(0);\n", text_simt_h, text_math_simt);
    for (int k = 0; k < filled; k++) print_program(k);
    text("}\n");
    if (dl_core_of(device)->backend->api.compile(device, source, "programs", &function) != DL_OK)
        fail_msg("%s", dl_last_error());
    assert_int_equal(dl_tensor_new(&t, DL_U8, 1, &bytes, device), DL_OK);
    assert_int_equal(dl_tensor_write(&t, memory, (uint64_t)bytes), DL_OK);
    launch(function, t.data);
    assert_int_equal(dl_tensor_read(&t, memory, (uint64_t)bytes), DL_OK);
    dl_tensor_clear(&t);
}

/* ---- comparing
 * ------------------------------------------------------------------------------------------------------------------ */

/* The reference computes in double what float32 programs round step by step. */
static int close_enough(dl_dtype type, double got, double want) {
    if (want != want || got != got) return want != want && got != got;
    if (isinf(want) || isinf(got)) return got == want || fabs(want) > (double)FLT_MAX || fabs(got) > 1e37;
    return fabs(got - want) <= (type == DL_F32 ? 2e-4 : 1e-10) * (1 + fabs(want));
}

static void show(int32_t type, dl_scalar v) {
    if (is_real(type))
        fprintf(stderr, " %.9g", v.f);
    else
        fprintf(stderr, " %lld", (long long)v.i);
}

static int check_element(int number, int64_t i) {
    const item *e = &batch[number];
    const dl_prog *p = e->prog;
    const dl_dtype type = p->ins[p->out[0]].type;
    dl_scalar in[MAX_IN], attr[DL_PROG_MAX_ATTR], want, got = get(type, slot(number, 0), i);
    for (uint32_t k = 0; k < p->n_in; k++) in[k] = get(p->in_type[k], slot(number, k + 1), i);
    for (uint32_t k = 0; k < p->n_attr; k++) {
        const int32_t of = dl_prog_attr_type(p, (int32_t)k);
        attr[k] = is_real(of) ? (dl_scalar){.f = e->attr[k]} : (dl_scalar){.i = (int64_t)e->attr[k]};
    }
    if (dl_prog_eval(p, in, attr, i, &want) != DL_OK) return 1; /* division by zero: has its own test */
    if (is_real(type) ? close_enough(type, got.f, want.f) : got.i == want.i) return 1;
    fprintf(stderr, "%s, element %d, of", e->title, (int)i);
    for (uint32_t k = 0; k < p->n_in; k++) show(p->in_type[k], in[k]);
    fprintf(stderr, " gave");
    show(type, got);
    fprintf(stderr, ", not");
    show(type, want);
    fprintf(stderr, "\n");
    return 0;
}

static int bad;

static void finish(void) {
    if (filled) run_kernel();
    for (int k = 0; k < filled; k++) {
        int wrong = 0;
        for (int64_t i = 0; i < ELEMENTS && wrong < 3; i++) wrong += !check_element(k, i);
        bad += wrong;
        dl_prog_free(batch[k].prog);
    }
    filled = 0;
}

/* Takes the program over. */
static void add(dl_prog *p, const char *title) {
    item *e = &batch[filled];
    e->prog = p;
    snprintf(e->title, sizeof e->title, "%s", title);
    for (uint32_t k = 0; k < p->n_attr; k++)
        e->attr[k] = (double)cells_below(&rng, 5) + (is_real(dl_prog_attr_type(p, (int32_t)k)) ? 0.25 : 1);
    for (uint32_t k = 0; k < p->n_in; k++)
        for (int64_t i = 0; i < ELEMENTS; i++) put(p->in_type[k], slot(filled, k + 1), i);
    if (++filled == BATCH) finish();
}

static int start(void **state) {
    memory = calloc(BATCH * PROGRAM_SLOTS, SLOT);
    return memory ? bare_start(state) : -1;
}

static int stop(void **state) {
    (void)state;
    free(memory);
    free(source);
    return 0;
}

/* ---- the tests
 * ------------------------------------------------------------------------------------------------------------------ */

static void add_row(const dl_pointwise_row *row, dl_dtype type) {
    char names[DL_EXPR_NAMES], title[160];
    dl_dtype compute, result;
    dl_expr e;
    dl_prog *p;
    if (dl_rule_types(row->rule, type, &compute, &result) != DL_OK) return;
    if (dl_expr_of(row->sig, row->rule, row->expr, type, names, &e) != DL_OK || dl_prog_parse(&e, &p) != DL_OK) return;
    snprintf(title, sizeof title, "%s, %s", e.name, dl_dtype_name(type));
    add(p, title);
    for (int32_t k = 0; is_real(type) && k < e.n_in; k++) {
        if (dl_expr_grad(&e, row->grads, k, &p) != DL_OK) continue;
        snprintf(title, sizeof title, "gradient of %s by %s, %s", e.name, e.in_name[k], dl_dtype_name(type));
        add(p, title);
    }
}

static void every_row(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    bad = 0;
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++) {
        if (type == DL_F16 || type == DL_BF16) continue;
        for (int32_t k = 0; k < dl_pointwise_row_count; k++) add_row(&dl_pointwise_rows[k], type);
    }
    finish();
    assert_int_equal(bad, 0);
}

static void add_expression(const char *expression, dl_dtype in, dl_dtype compute, dl_dtype out) {
    const dl_expr e = {.name = "test",
                       .text = expression,
                       .n_in = 2,
                       .in_name = {"a", "b"},
                       .in_type = {in, in},
                       .compute = compute,
                       .out_type = out};
    char title[160];
    dl_prog *p;
    if (dl_prog_parse(&e, &p) != DL_OK) fail_msg("%s", dl_last_error());
    snprintf(title, sizeof title, "%s of %s to %s", expression, dl_dtype_name(in), dl_dtype_name(out));
    add(p, title);
}

/* What no row has: conversions between all types, over u32, extreme constants, opcodes of integers. */
static void expressions(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    bad = 0;
    for (dl_dtype from = 0; from < DL_DTYPE_COUNT; from++)
        for (dl_dtype to = 0; to < DL_DTYPE_COUNT; to++) {
            if (from == DL_F16 || from == DL_BF16 || to == DL_F16 || to == DL_BF16) continue;
            add_expression("a", from, to, to);
            add_expression("xor(u32(a), mulhi(u32(a), u32(b)))", from, to, to);
        }
    for (dl_dtype type = DL_U8; type <= DL_I64; type++) {
        add_expression("mulhi(a, b)", type, type, type);
        add_expression("(a << b) + (b >> a)", type, type, type);
        add_expression("pow(a, b)", type, type, type);
    }
    for (dl_dtype type = DL_F32; type <= DL_F64; type++) {
        add_expression("fma(a, b, a)", type, type, type);
        add_expression("idiv(a, b)", type, type, type);
        add_expression("a > 0 ? inf : a < 0 ? -inf : nan", type, type, type);
        add_expression("index * a", type, type, type);
    }
    add_expression("as_float32((as_int32(a) >> 2) << 2)", DL_F32, DL_F32, DL_F32);
    add_expression("as_float64((as_int64(a) >> 2) << 2)", DL_F64, DL_F64, DL_F64);
    add_expression("a + int64(-0x7fffffffffffffff) - 1", DL_I64, DL_I64, DL_I64);
    add_expression("max(a, -2147483647 - 1)", DL_I32, DL_I32, DL_I32);
    finish();
    assert_int_equal(bad, 0);
}

/* Integers by zero give 0 here; the CPU refuses. */
static void division_by_zero(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const char *const ops[] = {"idiv", "fmod", "floor_divide", "remainder"};
    for (int k = 0; k < 4; k++)
        for (dl_dtype type = DL_U8; type <= DL_I64; type++) {
            const int64_t n = 40;
            dl_tensor t[3] = {{0}};
            int64_t got[40];
            for (int j = 0; j < 2; j++) {
                assert_int_equal(dl_tensor_new(&t[j], type, 1, &n, mirror_device()), DL_OK);
                memset(got, j ? 0 : 7, sizeof got);
                assert_int_equal(dl_tensor_write(&t[j], got, (uint64_t)(n * dl_dtype_bytes(type))), DL_OK);
            }
            cells_call(ops[k], (const dl_tensor *[]){&t[0], &t[1]}, 2, &t[2], 1, NULL, 0);
            memset(got, 0, sizeof got);
            assert_int_equal(dl_tensor_read(&t[2], got, (uint64_t)(n * dl_dtype_bytes(type))), DL_OK);
            for (int64_t i = 0; i < n; i++) assert_int_equal(got[i], 0);
            for (int j = 0; j < 3; j++) dl_tensor_clear(&t[j]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row), cmocka_unit_test(expressions),
                                       cmocka_unit_test(division_by_zero)};
    return cmocka_run_group_tests(tests, start, stop);
}
