/* gemm.c - the primitive `gemm`, plainly tiled: what a backend has whose author has written nothing faster. */
#include "core/generate/generate.h"
#include <string.h>

enum { TILE = 64, SIDE = 16, MAX_BATCHES = 65535 }; /* as in gemm.simt; the most groups of a second dimension */

extern const char text_gemm_simt[];

static void print(gen_text *t, const void *context) {
    const dl_dtype type = *(const dl_dtype *)context;
    gen_put_operand(t, "y", type);
    gen_put_operand(t, "a", type);
    gen_put_operand(t, "b", type);
    gen_put(t, "#define A %s\n#line 1 \"gemm.simt\"\n%s", gen_type_name(gen_widened(type)), text_gemm_simt);
}

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    const dl_dtype type = f->out[0]->type;
    const gen_key key = {.kind = GEN_KIND(GEN_GEMM, 0, 0, 0, 0), .types = (uint64_t)type};
    plan->sharing = DL_PLAN_PER_TYPE;
    return gen_function(f->device, &key, "gemm", print, &type, &plan->state);
}

static dl_status run(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *a = f->in[0], *b = f->in[1], *y = f->out[0];
    const int64_t batches = y->shape[0], n = y->shape[1], m = y->shape[2];
    const int64_t tiles_n = (n + TILE - 1) / TILE, tiles_m = (m + TILE - 1) / TILE;
    if (batches * n * m == 0) return DL_OK;
    gen_args args;
    args.n = 0;
    gen_buffer(&args, y, 0);
    gen_buffer(&args, a, 0);
    gen_buffer(&args, b, 0);
    const int64_t sizes[] = {batches, n, m, a->shape[2], tiles_m};
    for (int32_t k = 0; k < 5; k++) gen_i64(&args, sizes[k]);
    for (int32_t k = 0; k < 9; k++) gen_i64(&args, (k < 3 ? y : k < 6 ? a : b)->strides[k % 3]);
    const uint32_t grid[3] = {(uint32_t)(tiles_n * tiles_m), (uint32_t)(batches < MAX_BATCHES ? batches : MAX_BATCHES), 1};
    const uint32_t block[3] = {SIDE, SIDE, 1};
    return gen_launch(f, plan->state, grid, block, &args);
}

const dl_kernel gen_gemm = {.size = sizeof gen_gemm, .op = "gemm", .prepare = prepare, .run = run};
