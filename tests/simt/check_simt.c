/* check_simt.c - `make check-simt`: every op is called with each dtype on the backend of nvrtc.h, so that all kernel texts,
 * those of backends/simt and those that core/generate prints, are compiled as CUDA C. Rows of core/cases.def, and every
 * expression with contiguous and with strided inputs. Results mean nothing and are not looked at.
 *
 * With CHECK_SIMT_SOURCE=1 the text of a kernel that fails is printed with line numbers. */
#include "engine_support.h"
#include "nvrtc.h"
#include "op.h"
#include "op_rows.h"
#include "ops_support.h"
#include "plugin.h"

static dl_device *cuda;

/* The tensor on the backend, floating ones in this dtype, strided as they were. */
static void move(dl_tensor *out, const dl_tensor *t, dl_dtype type) {
    dl_tensor converted = {0};
    assert_ok(dl_tensor_to(&converted, t, NULL, t->type == DL_F64 ? type : t->type));
    assert_ok(dl_tensor_to(out, &converted, cuda, converted.type));
    dl_tensor_clear(&converted);
}

/* The same shape with the last two dimensions exchanged in memory. */
static void stride(dl_tensor *t) {
    static const dl_attr last_two[] = {INT(-1), INT(-2)};
    dl_tensor turned = {0}, packed = {0}, *out = &turned;
    const dl_tensor *in = t;
    if (t->ndim < 2) return;
    assert_ok(dl_call(dl_op_find("transpose"), &in, 1, &out, 1, last_two, 2));
    in = &turned, out = &packed;
    if (dl_call(dl_op_find("copy"), &in, 1, &out, 1, NULL, 0) == DL_OK) {
        dl_tensor_clear(t);
        in = &packed, out = t;
        assert_ok(dl_call(dl_op_find("transpose"), &in, 1, &out, 1, last_two, 2));
    }
    et_clear(&turned, &packed);
}

static void call(const op_row *row, dl_dtype type, int strided) {
    ops_call c;
    dl_tensor moved[OPS_TENSORS] = {0};
    ops_make(&c, row->op, row->in, row->attr, 1);
    assert_ok(dl_set_default_device(cuda));
    for (int32_t k = 0; k < c.n_in; k++) {
        if (!c.in[k]) continue;
        move(&moved[k], c.in[k], type);
        if (strided) stride(&moved[k]);
        c.in[k] = &moved[k];
    }
    (void)ops_run(&c); /* refusals are the other tests' business; failed builds are counted by the backend */
    for (int32_t k = 0; k < c.n_in; k++) dl_tensor_clear(&moved[k]);
    ops_free(&c);
    dl_device *cpu;
    assert_ok(dl_device_open("cpu", &cpu));
    assert_ok(dl_set_default_device(cpu));
}

static void check(const op_row *row) {
    static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16, DL_I64, DL_I32, DL_U8, DL_BOOL};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        for (int strided = 0; strided < 2; strided++) call(row, types[k], strided);
}

static void check_expression(const dl_op *op) {
    char in[160] = "", attr[80] = "";
    const int whole = strcmp(op->def.rule, "int") == 0;
    for (int32_t k = 0; k < op->n_tensors; k++) {
        const char *type = op->tensors[k].fixed_type == DL_BOOL           ? "b:"
                           : op->tensors[k].fixed_type == DL_I64 || whole ? "i:"
                                                                          : "";
        const size_t at = strlen(in);
        snprintf(in + at, sizeof in - at, "%s2,3%s ", type, *type == 'i' ? "@1:4" : "");
    }
    for (int32_t k = 0; k < op->n_required; k++) strcat(attr, whole ? "1 " : "0.5 ");
    check(&(op_row){op->name, in, attr, 0});
}

static void every_op(void **state) {
    (void)state;
    for (int k = 0; k < op_row_count; k++) check(&op_rows[k]);
    const int32_t n = dl_op_count();
    for (int32_t id = 0; id < n; id++) {
        const dl_op *op = dl_op_at(id);
        if (op->def.flags & DL_OP_POINTWISE && op->n_tensors <= 8) check_expression(op);
    }
    print_message("%d kernels compiled as CUDA C, %d of them failed\n", nvrtc_compiled, nvrtc_failed);
    assert_true(nvrtc_compiled > 100);
    assert_int_equal(nvrtc_failed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op)};
    if (et_start(NULL) != 0) return 1;
    if (dl_host_run_init(nvrtc_init, "check-simt") != DL_OK) {
        printf("check-simt is skipped: %s\n", dl_last_error());
        return 0;
    }
    if (dl_device_open("nvrtc", &cuda) != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
