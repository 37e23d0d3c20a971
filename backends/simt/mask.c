/* mask.c - masked_select, masked_scatter, nonzero. masked_select and nonzero wait for the device, to know how much there is. */
#include "backends/simt/loop.h"
#include "backends/simt/mask.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"

_Static_assert(MASK_DIMS == DL_MAX_DIMS, "mask.h");
enum { COUNT, SCAN, MOVE };
enum { MOST_SEGMENTS = 4096, SEGMENT = 64 };

static int64_t segments_of(int64_t n) {
    const int64_t segments = n / SEGMENT + 1;
    return segments < MOST_SEGMENTS ? segments : MOST_SEGMENTS;
}

/* Scratch: a count for each segment, and the sum. */
static dl_status prepare(const dl_frame *f, dl_plan *plan, const char *entry, dl_dtype type, const dl_tensor *mask) {
    const simt_wanted wanted[] = {[COUNT] = {"mask_count", 2, {type, mask->type}},
                                  [SCAN] = {"mask_scan", 2, {type, mask->type}},
                                  [MOVE] = {entry, 2, {type, mask->type}}};
    const dl_status status = simt_plan(f, plan, text_mask_cl, wanted, 3);
    plan->sharing = DL_PLAN_PER_SHAPE;
    plan->scratch_bytes = (uint64_t)(segments_of(simt_count(mask)) + 1) * sizeof(int64_t);
    return status;
}

/* Counts in scratch. more: elements that may be set. */
static dl_status count(const dl_frame *f, const dl_plan *plan, const dl_tensor *mask, int64_t segments, int64_t most) {
    simt_args a = {0}, scan = {0};
    simt_loop l;
    dl_status status = simt_loop_over(&l, 1, &mask, 0);
    if (status != DL_OK) return status;
    simt_buffer(&a, mask);
    simt_data(&a, f->scratch);
    simt_struct(&a, &l, sizeof l);
    simt_i64(&a, segments);
    status = simt_launch_items(f, simt_planned(plan, COUNT), segments, &a);
    if (status != DL_OK) return status;
    simt_data(&scan, f->scratch);
    simt_i64(&scan, segments);
    simt_fault(&scan, f);
    simt_i64(&scan, most);
    return simt_launch(f, simt_planned(plan, SCAN), (const uint32_t[]){1, 1, 1}, (const uint32_t[]){SIMT_TEAM_GROUP, 1, 1},
                       &scan);
}

/* The sum, on the host. */
static dl_status total(const dl_frame *f, const dl_plan *plan, const dl_tensor *mask, int64_t segments, int64_t *n) {
    const dl_status status = count(f, plan, mask, segments, INT64_MAX);
    if (status != DL_OK) return status;
    return simt_of.backend->copy(f->device, f->stream, n, 0, 1, f->scratch, (uint64_t)segments * sizeof *n, 0, sizeof *n);
}

/* ---- masked_select ----------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_masked_select(const dl_frame *f, dl_plan *plan) {
    return prepare(f, plan, "mask_select", f->in[0]->type, f->in[1]);
}

static dl_status run_masked_select(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *const t[] = {f->in[1], f->in[0]};
    const int64_t segments = segments_of(simt_count(t[0]));
    int64_t n;
    simt_args a = {0};
    simt_loop l;
    dl_status status = total(f, plan, t[0], segments, &n);
    if (status == DL_OK) status = simt_of.host->alloc_out(f, 0, f->in[0]->type, 1, &n);
    if (status == DL_OK) status = simt_loop_over(&l, 2, t, 0);
    if (status != DL_OK || n == 0) return status;
    for (int k = 0; k < 2; k++) simt_buffer(&a, t[k]);
    simt_buffer(&a, f->out[0]);
    simt_i64(&a, f->out[0]->strides[0]);
    simt_data(&a, f->scratch);
    simt_struct(&a, &l, sizeof l);
    simt_i64(&a, segments);
    return simt_launch_items(f, simt_planned(plan, MOVE), segments, &a);
}

/* ---- masked_scatter -------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_masked_scatter(const dl_frame *f, dl_plan *plan) {
    return prepare(f, plan, "mask_scatter", f->in[0]->type, f->in[1]);
}

static dl_status run_masked_scatter(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *const t[] = {f->in[1], f->in[0], f->out[0]}, *const src = f->in[2];
    const int64_t segments = segments_of(simt_count(t[0]));
    simt_args a = {0};
    simt_loop l, from;
    dl_status status = count(f, plan, t[0], segments, simt_count(src));
    if (status == DL_OK) status = simt_loop_over(&l, 3, t, 0);
    if (status == DL_OK) status = simt_loop_over(&from, 1, &src, 0);
    if (status != DL_OK) return status;
    for (int k = 0; k < 2; k++) simt_buffer(&a, t[k]);
    simt_buffer(&a, src);
    simt_buffer(&a, f->out[0]);
    simt_data(&a, f->scratch);
    simt_struct(&a, &l, sizeof l);
    simt_struct(&a, &from, sizeof from);
    simt_i64(&a, segments);
    return simt_launch_items(f, simt_planned(plan, MOVE), segments, &a);
}

/* ---- nonzero ----------------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_nonzero(const dl_frame *f, dl_plan *plan) {
    return prepare(f, plan, "mask_places", f->in[0]->type, f->in[0]);
}

static dl_status run_nonzero(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *x = f->in[0], *const out = f->out[0];
    const int64_t segments = segments_of(simt_count(x));
    int64_t shape[2] = {0, x->ndim};
    mask_shape sizes = {.ndim = x->ndim};
    simt_args a = {0};
    simt_loop l;
    dl_status status = total(f, plan, x, segments, &shape[0]);
    if (status == DL_OK) status = simt_of.host->alloc_out(f, 0, DL_I64, 2, shape);
    if (status == DL_OK) status = simt_loop_over(&l, 1, &x, 0);
    if (status != DL_OK || shape[0] == 0) return status;
    for (int32_t d = 0; d < x->ndim; d++) sizes.size[d] = x->shape[d];
    simt_buffer(&a, x);
    simt_buffer(&a, out);
    for (int d = 0; d < 2; d++) simt_i64(&a, out->strides[d]);
    simt_data(&a, f->scratch);
    simt_struct(&a, &l, sizeof l);
    simt_struct(&a, &sizes, sizeof sizes);
    simt_i64(&a, segments);
    return simt_launch_items(f, simt_planned(plan, MOVE), segments, &a);
}

dl_status simt_register_mask(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("masked_select", prepare_masked_select, run_masked_select),
        SIMT_KERNEL("masked_scatter", prepare_masked_scatter, run_masked_scatter),
        SIMT_KERNEL("nonzero", prepare_nonzero, run_nonzero),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
