/* simt.c - registration of the kernel families, arguments and launches. */
#include "backends/simt/simt.h"
#include <string.h>

simt simt_of;

/* ---- registration ---------------------------------------------------------------------------------------------------------
 */

#define SIMT_FAMILY(name) dl_status simt_register_##name(void);
#include "backends/simt/families.def"
#undef SIMT_FAMILY

/* What a backend lacks that kernels need; NULL: nothing. */
static const char *missing(const dl_backend *b) {
    if (!DL_HAS(b, name)) return "name";
    if (!DL_HAS(b, copy)) return "copy";
    if (!DL_HAS(b, compile)) return "compile";
    if (!DL_HAS(b, launch)) return "launch";
    return DL_HAS(b, fault) ? NULL : "fault";
}

dl_status simt_register(const dl_host *host, const dl_backend *backend) {
    const char *lacks = missing(backend);
    if (lacks) return host->fail(DL_INVALID, "expected a backend with a compiler (Tier A), got one whose `%s` is NULL", lacks);
    dl_status status = DL_OK;
    simt_of = (simt){host, backend};
#define SIMT_FAMILY(name)                                                                                                      \
    if (status == DL_OK) status = simt_register_##name();
#include "backends/simt/families.def"
#undef SIMT_FAMILY
    return status;
}

dl_status simt_add_kernels(const dl_kernel *rows, size_t n) {
    for (size_t k = 0; k < n; k++) {
        dl_kernel row = rows[k];
        row.backend = simt_of.backend->name;
        const dl_status status = simt_of.host->add_kernel(&row);
        if (status != DL_OK) return status;
    }
    return DL_OK;
}

/* ---- plans ----------------------------------------------------------------------------------------------------------------
 */

void simt_free_state(void *state) { simt_of.host->mem(state, 0); }

dl_status simt_keep_state(dl_plan *plan, const void *state, size_t bytes) {
    plan->state = simt_of.host->mem(NULL, bytes);
    if (!plan->state) return simt_of.host->fail(DL_NOMEM, "out of memory for a plan");
    memcpy(plan->state, state, bytes);
    plan->destroy = simt_free_state;
    return DL_OK;
}

/* ---- arguments ------------------------------------------------------------------------------------------------------------
 */

/* The next argument's value. Those that are too many are counted, for simt_launch, and share the last place. */
static uint32_t next(simt_args *a, uint32_t bytes) {
    const uint32_t n = a->n++, k = n < SIMT_MAX_ARGS ? n : SIMT_MAX_ARGS - 1;
    a->bytes[k] = bytes;
    a->at[k] = &a->value[k];
    return k;
}

void simt_data_at(simt_args *a, void *handle, int64_t at) {
    a->value[next(a, sizeof handle)].handle = handle;
    simt_i64(a, at);
}

void simt_data(simt_args *a, void *handle) { simt_data_at(a, handle, 0); }

void simt_buffer(simt_args *a, const dl_tensor *t) {
    if (t)
        simt_data_at(a, t->data, (int64_t)t->byte_offset / simt_type_bytes(t->type));
    else
        simt_data(a, NULL);
}

void simt_i64(simt_args *a, int64_t v) { a->value[next(a, sizeof v)].i64 = v; }
void simt_i32(simt_args *a, int32_t v) { a->value[next(a, sizeof v)].i32 = v; }
void simt_f32(simt_args *a, float v) { a->value[next(a, sizeof v)].f32 = v; }
void simt_f64(simt_args *a, double v) { a->value[next(a, sizeof v)].f64 = v; }

void simt_scalar(simt_args *a, dl_dtype type, double v) {
    if (type == DL_F64)
        simt_f64(a, v);
    else
        simt_f32(a, (float)v);
}

void simt_struct(simt_args *a, const void *p, uint32_t bytes) {
    const uint32_t k = next(a, bytes);
    a->at[k] = (void *)p;
}

/* ---- launching ------------------------------------------------------------------------------------------------------------
 */

dl_status simt_launch(const dl_frame *f, void *function, const uint32_t grid[3], const uint32_t block[3], const simt_args *a) {
    if (a->n > SIMT_MAX_ARGS)
        return simt_of.host->fail(DL_INTERNAL, "expected at most %d kernel arguments, got %u: raise SIMT_MAX_ARGS",
                                  SIMT_MAX_ARGS, (unsigned)a->n);
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return DL_OK;
    return simt_of.backend->launch(f->device, f->stream, function, grid, block, 0, a->at, a->bytes, a->n);
}

/* Some drivers take fewer than 2^32 items in the first dimension, and 65535 groups in the second. */
dl_status simt_launch_groups(const dl_frame *f, void *function, int64_t groups, uint32_t block, const simt_args *a) {
    const int64_t most = ((int64_t)1 << 31) / block, down = groups / most + (groups % most != 0);
    const uint32_t grid[3] = {(uint32_t)(groups < most ? groups : most), (uint32_t)down, 1};
    return simt_launch(f, function, grid, (const uint32_t[3]){block, 1, 1}, a);
}

dl_status simt_launch_items(const dl_frame *f, void *function, int64_t n, const simt_args *a) {
    enum { MOST_GROUPS = 1 << 16 };
    const int64_t groups = n / SIMT_GROUP + (n % SIMT_GROUP != 0);
    const uint32_t grid[3] = {(uint32_t)(groups < MOST_GROUPS ? groups : MOST_GROUPS), 1, 1};
    return simt_launch(f, function, grid, (const uint32_t[3]){SIMT_GROUP, 1, 1}, a);
}
