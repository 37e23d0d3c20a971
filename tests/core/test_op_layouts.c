/* test_op_layouts.c - every op gives the same result however its inputs lie in memory, and into outputs of any layout.
 *
 * A row's inputs are made contiguous and called once; then the same values are laid channels-last, sliced out of larger
 * tensors, transposed, expanded, and the call must give the same again: within 1e-12 in float64, 1e-4 in float32, since the
 * order of sums may differ. Rows are those of core/cases.def; an op with tensor inputs that has none fails the test.
 * The same of every composition, against the kernel's result. */
#include "core/layout.h"
#include "core/op.h"
#include "dlrun/dlrun.h"
#include "op_rows.h"
#include "ops_support.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 11 };

/* Ops whose meaning is strides, which no two layouts share; and those that write their inputs (test_cpu_optim.c) or
 * take int64 alone (test_random.c). */
static const char *const excepted[] = {"as_strided", "view", "sgd", "adam", "rmsprop", "philox", "philox64"};

typedef enum layout { CONTIGUOUS, CHANNELS_LAST, SLICED, TRANSPOSED, EXPANDED, LAYOUTS } layout;
static const char *const layout_names[] = {"contiguous", "channels-last", "sliced", "transposed", "expanded"};

/* ---- laying tensors ------------------------------------------------------------------------------------------------- */

static dl_status call1(const char *op, const dl_tensor *in, dl_tensor *out, const dl_attr *attr, int32_t n) {
    return dl_call(dl_op_find(op), &in, 1, &out, 1, attr, n);
}

/* An uninitialised tensor of t's shape, every second element of a larger one's along the last dimension, from the second on. */
static void sliced_like(dl_tensor *out, const dl_tensor *t) {
    dl_tensor large = {0};
    int64_t shape[DL_MAX_DIMS];
    memcpy(shape, t->shape, (size_t)t->ndim * sizeof *shape);
    shape[t->ndim - 1] = 2 * shape[t->ndim - 1] + 1;
    assert_int_equal(dl_tensor_new(&large, t->type, t->ndim, shape, NULL), DL_OK);
    const dl_attr attr[] = {{.kind = DL_ATTR_INT, .v.i = -1},
                            {.kind = DL_ATTR_INT, .v.i = 1},
                            {.kind = DL_ATTR_INT, .v.i = t->shape[t->ndim - 1]},
                            {.kind = DL_ATTR_INT, .v.i = 2}};
    assert_int_equal(call1("slice", &large, out, attr, 4), DL_OK);
    dl_tensor_clear(&large);
}

static void transposed_like(dl_tensor *out, const dl_tensor *t) {
    dl_tensor turned = {0};
    int64_t shape[DL_MAX_DIMS];
    memcpy(shape, t->shape, (size_t)t->ndim * sizeof *shape);
    shape[0] = t->shape[t->ndim - 1], shape[t->ndim - 1] = t->shape[0];
    assert_int_equal(dl_tensor_new(&turned, t->type, t->ndim, shape, NULL), DL_OK);
    const dl_attr attr[] = {{.kind = DL_ATTR_INT, .v.i = 0}, {.kind = DL_ATTR_INT, .v.i = -1}};
    assert_int_equal(call1("transpose", &turned, out, attr, 2), DL_OK);
    dl_tensor_clear(&turned);
}

/* t's values in another layout. 0: it has no such layout. */
static int lay(dl_tensor *out, const dl_tensor *t, layout how) {
    if (t->ndim == 0) return 0;
    switch (how) {
    case CHANNELS_LAST:
        assert_int_equal(dl_tensor_new(out, t->type, t->ndim, t->shape, NULL), DL_OK);
        dl_layout_channels_last(out);
        break;
    case SLICED: sliced_like(out, t); break;
    case TRANSPOSED: transposed_like(out, t); break;
    default: return 0;
    }
    assert_int_equal(dl_tensor_write(out, (const char *)t->data + t->byte_offset,
                                     (uint64_t)dl_tensor_count(t) * (uint64_t)(t->element.bits / 8)),
                     DL_OK);
    return 1;
}

/* t's first slice, seen as often as t has slices. */
static void expand(dl_tensor *out, const dl_tensor *t) {
    dl_tensor first = {0};
    const dl_attr attr[] = {{.kind = DL_ATTR_INT}, {.kind = DL_ATTR_INT}, {.kind = DL_ATTR_INT, .v.i = 1}};
    const dl_attr shape = {.kind = DL_ATTR_INTS, .n = t->ndim, .v.iv = t->shape};
    assert_int_equal(call1("slice", t, &first, attr, 3), DL_OK);
    assert_int_equal(call1("expand", &first, out, &shape, 1), DL_OK);
    dl_tensor_clear(&first);
}

static void replace(ops_call *c, int32_t k, dl_tensor *with) {
    dl_tensor_clear(&c->tensors[k]);
    assert_int_equal(dl_tensor_alias(&c->tensors[k], with), DL_OK);
    dl_tensor_clear(with);
}

/* Floating inputs in this type, all inputs contiguous; for EXPANDED with the values they will have. */
static void prepare(ops_call *c, dl_dtype type, layout how) {
    for (int32_t k = 0; k < c->n_in; k++) {
        dl_tensor plain = {0}, expanded = {0};
        if (!c->in[k]) continue;
        const dl_tensor *t = c->in[k];
        if (how == EXPANDED && t->ndim > 0 && t->shape[0] > 0) {
            expand(&expanded, t);
            replace(c, k, &expanded);
        }
        assert_int_equal(dl_tensor_new(&plain, t->type == DL_F64 ? type : t->type, t->ndim, t->shape, NULL), DL_OK);
        dl_tensor *out = &plain;
        assert_int_equal(dl_call(dl_op_find("copy"), &t, 1, &out, 1, NULL, 0), DL_OK);
        replace(c, k, &plain);
    }
}

/* ---- comparing ------------------------------------------------------------------------------------------------------ */

static double *values_of(const dl_tensor *t) {
    dl_tensor wide = {0};
    const uint64_t bytes = (uint64_t)dl_tensor_count(t) * sizeof(double);
    double *values = malloc(bytes + 1);
    assert_int_equal(dl_tensor_to(&wide, t, NULL, DL_F64), DL_OK);
    assert_int_equal(dl_tensor_read(&wide, values, bytes), DL_OK);
    dl_tensor_clear(&wide);
    return values;
}

static int differ(const dl_tensor *a, const dl_tensor *b, double tolerance) {
    if (a->ndim != b->ndim || a->type != b->type || memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) != 0)
        return 1;
    double *x = values_of(a), *y = values_of(b);
    int wrong = 0;
    for (int64_t k = 0; k < dl_tensor_count(a); k++)
        if (!(fabs(x[k] - y[k]) <= tolerance * (1 + fabs(x[k]))) && !(isnan(x[k]) && isnan(y[k])) && x[k] != y[k]) wrong = 1;
    free(x);
    free(y);
    return wrong;
}

static int complain(const op_row *r, dl_dtype type, layout how, const char *what) {
    print_error("%s(%s | %s) in %s, %s: %s\n", r->op, r->in, r->attr, dl_dtype_name(type), layout_names[how], what);
    return 1;
}

static dl_status run(ops_call *c) {
    dl_seed(SEED); /* random ops draw the same */
    return ops_run(c);
}

/* The same by composition, where that is what is checked: against what the kernel gave for plain inputs. */
static int composed;

static dl_status run_checked(ops_call *c) {
    dl_set_primitives_only(composed);
    dl_status status = run(c);
    dl_set_primitives_only(0);
    return status;
}

static int compare(ops_call *c, const dl_tensor *expected, const op_row *r, dl_dtype type, layout how) {
    if (run_checked(c) != DL_OK) return complain(r, type, how, dl_last_error());
    for (int32_t k = 0; k < c->n_out; k++)
        if (differ(&expected[k], c->out[k], type == DL_F64 ? 1e-12 : 1e-4))
            return complain(r, type, how, composed ? "another result by composition" : "another result");
    return 0;
}

/* ---- one row -------------------------------------------------------------------------------------------------------- */

/* Inputs in the layout: all of them, then each alone. */
static int check_inputs(ops_call *c, const dl_tensor *expected, const op_row *r, dl_dtype type, layout how) {
    dl_tensor laid[OPS_TENSORS] = {0};
    const dl_tensor *plain[OPS_TENSORS];
    int wrong = 0;
    for (int32_t k = 0; k < c->n_in; k++) {
        plain[k] = c->in[k];
        if (!plain[k]) continue;
        if (how == EXPANDED && plain[k]->ndim > 0 && plain[k]->shape[0] > 0)
            expand(&laid[k], plain[k]);
        else
            (void)lay(&laid[k], plain[k], how);
        if (laid[k].storage) c->in[k] = &laid[k];
    }
    wrong = compare(c, expected, r, type, how);
    for (int32_t one = 0; one < c->n_in && c->n_in > 1 && !wrong; one++) {
        for (int32_t k = 0; k < c->n_in; k++) c->in[k] = k == one && laid[k].storage ? &laid[k] : plain[k];
        wrong = compare(c, expected, r, type, how);
    }
    for (int32_t k = 0; k < c->n_in; k++) {
        c->in[k] = plain[k];
        dl_tensor_clear(&laid[k]);
    }
    return wrong;
}

/* Results written into given tensors of the layout. */
static int check_outputs(ops_call *c, const dl_tensor *expected, const op_row *r, dl_dtype type, layout how) {
    if (c->info.flags & (DL_OP_VIEW | DL_OP_SYNC)) return 0;
    ops_forget(c);
    for (int32_t k = 0; k < c->n_out; k++) (void)lay(&c->results[k], &expected[k], how);
    dl_seed(SEED);
    dl_set_primitives_only(composed);
    const dl_status status = dl_call(c->op, c->in, c->n_in, c->out, c->n_out, c->attr, c->n_attr);
    dl_set_primitives_only(0);
    if (status != DL_OK) return complain(r, type, how, dl_last_error());
    for (int32_t k = 0; k < c->n_out; k++)
        if (differ(&expected[k], c->out[k], type == DL_F64 ? 1e-12 : 1e-4))
            return complain(r, type, how, "another result where given");
    return 0;
}

static int check(const op_row *r, dl_dtype type, layout how) {
    ops_call c;
    dl_tensor expected[OPS_OUTS] = {0};
    int wrong = 0;
    ops_make(&c, r->op, r->in, r->attr, SEED);
    prepare(&c, type, how);
    if (run(&c) != DL_OK) {
        /* some compute in one precision only */
        if (type == DL_F64) wrong = complain(r, type, CONTIGUOUS, dl_last_error());
        ops_free(&c);
        return wrong;
    }
    for (int32_t k = 0; k < c.n_out; k++) { /* contiguous copies */
        assert_int_equal(dl_tensor_new(&expected[k], c.results[k].type, c.results[k].ndim, c.results[k].shape, NULL), DL_OK);
        dl_tensor *out = &expected[k];
        assert_int_equal(dl_call(dl_op_find("copy"), (const dl_tensor *[]){&c.results[k]}, 1, &out, 1, NULL, 0), DL_OK);
    }
    wrong = check_inputs(&c, expected, r, type, how);
    if (how != EXPANDED && !wrong) wrong = check_outputs(&c, expected, r, type, how);
    for (int32_t k = 0; k < c.n_out; k++) dl_tensor_clear(&expected[k]);
    ops_free(&c);
    return wrong;
}

static int check_layouts(const op_row *r) {
    int wrong = 0;
    for (layout how = CHANNELS_LAST; how < LAYOUTS; how++) {
        /* what an op writes in its inputs must not be expanded, and the copies of a composition see to that */
        if (composed && how == EXPANDED && dl_op_named(r->op)->def.flags & DL_OP_MUTATES) continue;
        wrong += check(r, DL_F64, how) + check(r, DL_F32, how);
    }
    return wrong;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------- */

static int check_expression(const dl_op *op) {
    static const char *const shapes[] = {"2,3,4,2", "2,3,4,2", "3,1,1", "2,1,1,2", "()", "2,3,4,2", "2,3,4,2", "2,3,4,2"};
    char in[160] = "";
    for (int32_t k = 0; k < op->n_tensors; k++) {
        const char *type = op->tensors[k].fixed_type == DL_BOOL  ? "b:"
                           : op->tensors[k].fixed_type == DL_I64 ? "i:"
                           : strcmp(op->def.rule, "int") == 0    ? "i:"
                                                                 : "";
        size_t at = strlen(in);
        snprintf(in + at, sizeof in - at, "%s%s%s ", type, shapes[k], *type == 'i' ? "@1:4" : "");
    }
    char attr[80] = "";
    for (int32_t k = 0; k < op->n_required; k++) strcat(attr, strcmp(op->def.rule, "int") == 0 ? "1 " : "0.5 ");
    return check_layouts(&(op_row){op->name, in, attr, 0});
}

static int is_excepted(const char *op) {
    for (size_t k = 0; k < sizeof excepted / sizeof *excepted; k++)
        if (strcmp(excepted[k], op) == 0) return 1;
    return 0;
}

static int check_rows(const char *op, const op_row *rows, int n, int *found) {
    int wrong = 0;
    for (int k = 0; k < n; k++)
        if (strcmp(rows[k].op, op) == 0) {
            *found = 1;
            wrong += check_layouts(&rows[k]);
        }
    return wrong;
}

static void every_op(void **state) {
    (void)state;
    int wrong = 0;
    const int32_t n = dl_op_count();
    for (int32_t id = 0; id < n; id++) {
        const dl_op *op = dl_op_at(id);
        int found = 0;
        if (op->grad_of || op->n_tensors == 0 || is_excepted(op->name)) continue;
        wrong += check_rows(op->name, op_rows, op_row_count, &found);
        if (op->def.flags & DL_OP_POINTWISE)
            wrong += check_expression(op);
        else if (!found) {
            print_error("%s has no row in core/cases.def\n", op->name);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void every_composition(void **state) {
    (void)state;
    int wrong = 0, found;
    const int32_t n = dl_op_count();
    composed = 1;
    for (int32_t id = 0; id < n; id++) {
        const dl_op *op = dl_op_at(id);
        if (!op->def.compose || (op->def.flags & DL_OP_COMPOSITE) || op->n_tensors == 0 || is_excepted(op->name)) continue;
        wrong += check_rows(op->name, op_rows, op_row_count, &found);
    }
    composed = 0;
    assert_int_equal(wrong, 0);
}

static int start(void **state) {
    (void)state;
    return dl_init();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op), cmocka_unit_test(every_composition)};
    return cmocka_run_group_tests(tests, start, NULL);
}
