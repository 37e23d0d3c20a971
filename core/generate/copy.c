/* copy.c - copies between any strides and dtypes, as programs of one cast: copy, cat. */
#include "core/generate/generate.h"
#include "core/mem.h"
#include <pthread.h>
#include <string.h>

/* The program that converts between two widened dtypes, made on first use and kept. */
static dl_status conversion(dl_dtype to, dl_dtype from, const dl_prog **out) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static dl_prog *made[DL_DTYPE_COUNT][DL_DTYPE_COUNT];
    const dl_expr e = {
        .name = "copy", .text = "x", .n_in = 1, .in_name = {"x"}, .in_type = {from}, .compute = to, .out_type = to};
    pthread_mutex_lock(&lock);
    dl_status status = made[to][from] ? DL_OK : dl_prog_parse(&e, &made[to][from]);
    *out = made[to][from];
    pthread_mutex_unlock(&lock);
    return status;
}

dl_status gen_copy_init(gen_map *m, dl_device *device, const dl_tensor *out, const dl_tensor *x) {
    const bool raw = out->type == x->type; /* every bit stays: payloads of NaN, denormals */
    const dl_prog *p;
    DL_TRY(conversion(raw ? gen_raw(out->type) : gen_widened(out->type), raw ? gen_raw(x->type) : gen_widened(x->type), &p));
    return gen_map_init(m, device, p, raw, out, &x);
}

/* ---- copy ---- */

static dl_status prepare_copy(const dl_frame *f, dl_plan *plan) {
    gen_map *m;
    DL_TRY(gen_plan_state(plan, sizeof *m, (void **)&m));
    return gen_plan_ready(plan, gen_copy_init(m, f->device, f->out[0], f->in[0]));
}

static dl_status run_copy(const dl_frame *f, const dl_plan *plan) {
    return gen_map_run(plan->state, f, NULL, f->out[0], 0, f->in);
}

/* ---- cat ---- */

static int32_t cat_dim(const dl_frame *f) {
    const int64_t d = f->attr[0].v.i;
    return (int32_t)(d < 0 ? d + f->out[0]->ndim : d);
}

/* The part of out that x fills: out itself under x's shape. */
static void part_of(dl_tensor *part, const dl_tensor *out, const dl_tensor *x) {
    memcpy(part, out, offsetof(dl_tensor, dims));
    part->shape = x->shape;
}

static dl_status prepare_cat(const dl_frame *f, dl_plan *plan) {
    gen_map *maps;
    DL_TRY(gen_plan_state(plan, f->n_in * sizeof *maps, (void **)&maps));
    dl_status status = DL_OK;
    for (uint32_t k = 0; k < f->n_in && status == DL_OK; k++) {
        dl_tensor part;
        part_of(&part, f->out[0], f->in[k]);
        status = gen_copy_init(&maps[k], f->device, &part, f->in[k]);
    }
    return gen_plan_ready(plan, status);
}

static dl_status run_cat(const dl_frame *f, const dl_plan *plan) {
    const gen_map *maps = plan->state;
    const int32_t dim = cat_dim(f);
    int64_t at = 0;
    for (uint32_t k = 0; k < f->n_in; k++) {
        DL_TRY(gen_map_run(&maps[k], f, NULL, f->out[0], at * f->out[0]->strides[dim], &f->in[k]));
        at += f->in[k]->shape[dim];
    }
    return DL_OK;
}

const dl_kernel gen_copy = {.size = sizeof gen_copy, .op = "copy", .prepare = prepare_copy, .run = run_copy};
const dl_kernel gen_cat = {.size = sizeof gen_cat, .op = "cat", .prepare = prepare_cat, .run = run_cat};
