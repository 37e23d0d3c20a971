/* prog_support.c - see the header. */
#include "prog_support.h"
#include <string.h>

dl_expr prog_expr(const char *text, dl_dtype in) {
    return (dl_expr){.name = "test",
                     .text = text,
                     .n_in = 3,
                     .n_attr = 2,
                     .in_name = {"a", "b", "c"},
                     .attr_name = {"p", "q"},
                     .in_type = {in, in, in},
                     .compute = in,
                     .out_type = in};
}

dl_prog *prog_parse(const char *text, dl_dtype in) {
    dl_expr e = prog_expr(text, in);
    dl_prog *p;
    assert_ok(dl_prog_parse(&e, &p));
    return p;
}

dl_scalar prog_scalar(int32_t type, double value) {
    return type == DL_F32 || type == DL_F64 ? (dl_scalar){.f = value} : (dl_scalar){.i = (int64_t)value};
}

double prog_value_attr(const dl_prog *p, const double *in, int32_t n, const double *attr, int32_t n_attr) {
    dl_scalar x[DL_PROG_MAX_ARGS] = {{.i = 0}}, a[DL_PROG_MAX_ARGS] = {{.i = 0}}, y;
    for (int32_t k = 0; k < n; k++) x[k] = prog_scalar(p->in_type[k], in[k]);
    for (int32_t k = 0; k < n_attr; k++)
        if (dl_prog_attr_type(p, k) >= 0) a[k] = prog_scalar(dl_prog_attr_type(p, k), attr[k]);
    assert_ok(dl_prog_eval(p, x, a, 0, &y));
    int32_t type = p->ins[p->out[0]].type;
    return type == DL_F32 || type == DL_F64 ? y.f : (double)y.i;
}

double prog_value(const dl_prog *p, const double *in, int32_t n) { return prog_value_attr(p, in, n, NULL, 0); }

const dl_pointwise_row *prog_row(const char *name) {
    size_t n = strlen(name);
    for (int32_t k = 0; k < dl_pointwise_row_count; k++)
        if (strncmp(dl_pointwise_rows[k].sig, name, n) == 0 && dl_pointwise_rows[k].sig[n] == '(') return &dl_pointwise_rows[k];
    fail_msg("there is no row %s", name);
    return NULL;
}
