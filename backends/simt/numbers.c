/* numbers.c - numbers.h's functions. */
#include "backends/simt/numbers.h"
#include "backends/simt/loop.h"
#include <string.h>

/* ---- attributes ------------------------------------------------------------------------------------------------------------
 */

static int64_t saturated(double v, int64_t lowest, int64_t highest) {
    if (v != v) return 0;
    if (v <= (double)lowest) return lowest;
    return v >= (double)highest ? highest : (int64_t)v;
}

static int64_t integer_of(dl_dtype type, double v) {
    switch (type) {
    case DL_BOOL: return v != 0;
    case DL_U8: return saturated(v, 0, UINT8_MAX);
    case DL_I8: return saturated(v, INT8_MIN, INT8_MAX);
    case DL_I16: return saturated(v, INT16_MIN, INT16_MAX);
    case DL_I32: return saturated(v, INT32_MIN, INT32_MAX);
    default: return saturated(v, INT64_MIN, INT64_MAX);
    }
}

void simt_number(simt_args *a, dl_dtype type, const dl_attr *value) {
    if (!simt_floating(type))
        simt_i64(a, value->kind == DL_ATTR_INT ? value->v.i : integer_of(type, value->v.f));
    else if (type != DL_F64 && value->kind == DL_ATTR_INT)
        simt_f32(a, (float)value->v.i); /* rounded once */
    else
        simt_scalar(a, type, simt_real(value));
}

int64_t simt_name_of(const char *name, const char *const *names, size_t n) {
    size_t k = 0;
    while (k < n && strcmp(name, names[k]) != 0) k++;
    return (int64_t)k;
}

/* ---- plans and faults ------------------------------------------------------------------------------------------------------
 */

void simt_fault(simt_args *a, const dl_frame *f) { simt_data(a, simt_of.backend->fault(f->device)); }

/* So many dimensions that loops hold them whatever the strides: a plan is for every shape of these ranks. */
static int fits_loops(const dl_frame *f) {
    for (uint32_t k = 0; k < f->n_in + f->n_out; k++) {
        const dl_tensor *t = k < f->n_in ? f->in[k] : f->out[k - f->n_in];
        if (t && t->ndim > SIMT_LOOP_DIMS) return 0;
    }
    return 1;
}

dl_status simt_plan(const dl_frame *f, dl_plan *plan, const char *source, const simt_wanted *wanted, int32_t n) {
    if (!fits_loops(f)) return DL_UNSUPPORTED;
    void **const functions = simt_of.host->mem(NULL, (size_t)n * sizeof *functions);
    if (!functions) return simt_of.host->fail(DL_NOMEM, "out of memory for a plan");
    for (int32_t k = 0; k < n; k++) {
        const dl_status status = simt_function(f, source, wanted[k].entry, wanted[k].types, wanted[k].n_types, &functions[k]);
        if (status == DL_OK) continue;
        simt_free_state(functions);
        return status;
    }
    plan->sharing = DL_PLAN_PER_TYPE;
    plan->state = functions;
    plan->destroy = simt_free_state;
    return DL_OK;
}
