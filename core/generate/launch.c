/* launch.c - arguments and launches of generated kernels. */
#include "core/dtype.h"
#include "core/generate/generate.h"
#include "core/mem.h"
#include <string.h>

/* Callers stay below GEN_MAX_ARGS by the limits on operands and dimensions. */
static void push(gen_args *a, const void *value, uint32_t bytes) {
    a->value[a->n] = 0;
    memcpy(&a->value[a->n], value, bytes);
    a->bytes[a->n++] = bytes;
}

void gen_i64(gen_args *a, int64_t v) { push(a, &v, sizeof v); }
void gen_i32(gen_args *a, int64_t v) { push(a, &(int32_t){(int32_t)v}, sizeof(int32_t)); }
void gen_f32(gen_args *a, double v) { push(a, &(float){(float)v}, sizeof(float)); }
void gen_f64(gen_args *a, double v) { push(a, &v, sizeof v); }

void gen_buffer(gen_args *a, const dl_tensor *t, int64_t beyond) {
    push(a, &t->data, sizeof t->data);
    gen_i64(a, (int64_t)(t->byte_offset / (uint64_t)dl_dtype_bytes(t->type)) + beyond);
}

void gen_memory(gen_args *a, void *handle) {
    push(a, &handle, sizeof handle);
    gen_i64(a, 0);
}

dl_status gen_launch(const dl_frame *f, void *function, const uint32_t grid[3], const uint32_t block[3], gen_args *a) {
    void *values[GEN_MAX_ARGS];
    for (uint32_t k = 0; k < a->n; k++) values[k] = &a->value[k];
    return dl_core_of(f->device)->backend->api.launch(f->device, f->stream, function, grid, block, 0, values, a->bytes, a->n);
}

dl_status gen_launch_items(const dl_frame *f, void *function, int64_t items, gen_args *a) {
    const uint32_t grid[3] = {(uint32_t)((items + GEN_BLOCK - 1) / GEN_BLOCK), 1, 1}, block[3] = {GEN_BLOCK, 1, 1};
    return gen_launch(f, function, grid, block, a);
}

void *gen_fault(const dl_device *device) {
    const dl_backend *api = &dl_core_of(device)->backend->api;
    return api->fault ? api->fault((dl_device *)device) : NULL;
}

static void free_state(void *state) { dl_mem(state, 0); }

dl_status gen_plan_state(dl_plan *plan, size_t bytes, void **state) {
    *state = dl_mem_zero(bytes);
    if (!*state) return dl_failf(DL_NOMEM, "out of memory preparing a kernel");
    plan->state = *state;
    plan->destroy = free_state;
    return DL_OK;
}

dl_status gen_plan_ready(dl_plan *plan, dl_status status) {
    if (status == DL_OK) return DL_OK;
    free_state(plan->state);
    plan->state = NULL;
    plan->destroy = NULL;
    return status;
}
