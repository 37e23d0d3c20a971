/* random.c - uniform, normal, bernoulli, random_int, randperm and dropout: the streams of backends/cpu/kernels/random.c,
 * element for element. */
#include "backends/simt/loop.h"
#include "backends/simt/numbers.h"
#include "backends/simt/texts.h"
#include "dlrun/philox.h"
#include <math.h>
#include <string.h>

static dl_status plan_for(const dl_frame *f, dl_plan *plan, const char *entry) {
    const simt_wanted wanted[] = {{entry, 1, {f->out[0]->type}}};
    return simt_plan(f, plan, text_random_cl, wanted, 1);
}

static void put_key(simt_args *a, const dl_frame *f) {
    simt_i64(a, (int64_t)f->random_key);
    simt_i64(a, (int64_t)f->random_call);
}

/* The first arguments of kernels that fill the output: it, its loop, key and call. */
static dl_status begin(const dl_frame *f, simt_args *a, simt_loop *l) {
    const dl_tensor *const t[] = {f->out[0]};
    simt_buffer(a, t[0]);
    simt_struct(a, l, sizeof *l);
    put_key(a, f);
    return simt_loop_over(l, 1, t, 0);
}

static dl_status launch(const dl_frame *f, const dl_plan *plan, const simt_args *a, int64_t count) {
    return simt_launch_items(f, simt_planned(plan, 0), (count + 3) / 4, a);
}

/* ---- uniform ------------------------------------------------------------------------------------------------------------ */

/* The largest value of a half dtype below hi. */
static double half_below(double hi, dl_dtype type) {
    const int dropped = type == DL_F16 ? 13 : 16; /* bits of the mantissa that float32 has more */
    float f = (float)hi, cut;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits = bits >> dropped << dropped;
    memcpy(&cut, &bits, sizeof cut);
    if (cut == 0 && hi <= 0) return -0x1p-24;
    if ((double)cut >= hi) { /* towards minus infinity */
        bits += f < 0 ? 1u << dropped : 0u - (1u << dropped);
        memcpy(&cut, &bits, sizeof cut);
    }
    return (double)cut;
}

/* The dtype's largest value below hi: rounding must not reach it. */
static double below(double hi, dl_dtype type) {
    if (type == DL_F64) return nextafter(hi, -INFINITY);
    if (type != DL_F32) return half_below(hi, type);
    const float f = (float)hi;
    return (double)f < hi ? (double)f : (double)nextafterf(f, -INFINITY);
}

static dl_status prepare_uniform(const dl_frame *f, dl_plan *plan) { return plan_for(f, plan, "uniform"); }

static dl_status run_uniform(const dl_frame *f, const dl_plan *plan) {
    static const int digits[] = {[DL_F32] = 24, [DL_F64] = 53, [DL_F16] = 11, [DL_BF16] = 8};
    const dl_dtype type = f->out[0]->type;
    const double lo = simt_real(&f->attr[1]), hi = simt_real(&f->attr[2]), most = hi > lo ? below(hi, type) : lo;
    simt_args a = {0};
    simt_loop l;
    const dl_status status = begin(f, &a, &l);
    if (status != DL_OK) return status;
    simt_scalar(&a, type, lo);
    simt_scalar(&a, type, type == DL_F64 ? hi - lo : ldexp(hi - lo, -digits[type]));
    simt_scalar(&a, type, most < lo ? lo : most);
    simt_i32(&a, 32 - digits[type]); /* float64 has a way of its own */
    return launch(f, plan, &a, l.count);
}

/* ---- normal, bernoulli, random_int -------------------------------------------------------------------------------------- */

static dl_status prepare_normal(const dl_frame *f, dl_plan *plan) { return plan_for(f, plan, "normal"); }

static dl_status run_normal(const dl_frame *f, const dl_plan *plan) {
    simt_args a = {0};
    simt_loop l;
    const dl_status status = begin(f, &a, &l);
    if (status != DL_OK) return status;
    simt_scalar(&a, f->out[0]->type, simt_real(&f->attr[1]));
    simt_scalar(&a, f->out[0]->type, simt_real(&f->attr[2]));
    return launch(f, plan, &a, l.count);
}

static dl_status prepare_bernoulli(const dl_frame *f, dl_plan *plan) { return plan_for(f, plan, "bernoulli"); }

static dl_status run_bernoulli(const dl_frame *f, const dl_plan *plan) {
    simt_args a = {0};
    simt_loop l;
    const dl_status status = begin(f, &a, &l);
    if (status != DL_OK) return status;
    simt_i64(&a, (int64_t)dl_random_threshold(simt_real(&f->attr[1])));
    return launch(f, plan, &a, l.count);
}

static dl_status prepare_random_int(const dl_frame *f, dl_plan *plan) { return plan_for(f, plan, "random_int"); }

static dl_status run_random_int(const dl_frame *f, const dl_plan *plan) {
    const int64_t lo = f->attr[1].v.i, hi = f->attr[2].v.i;
    simt_args a = {0};
    simt_loop l;
    const dl_status status = begin(f, &a, &l);
    if (status != DL_OK) return status;
    simt_i64(&a, lo);
    simt_i64(&a, (int64_t)((uint64_t)hi - (uint64_t)lo + 1)); /* 2^64 is 0 */
    return launch(f, plan, &a, l.count);
}

/* ---- randperm ----------------------------------------------------------------------------------------------------------- */

enum { DRAW, SWAP };

static dl_status prepare_randperm(const dl_frame *f, dl_plan *plan) {
    const dl_dtype type = f->out[0]->type;
    const simt_wanted wanted[] = {[DRAW] = {"randperm_draw", 1, {type}}, [SWAP] = {"randperm_swap", 1, {type}}};
    const dl_status status = simt_plan(f, plan, text_random_cl, wanted, 2);
    plan->sharing = DL_PLAN_PER_SHAPE;
    plan->scratch_bytes = (uint64_t)simt_count(f->out[0]) * sizeof(int64_t);
    return status;
}

static dl_status run_randperm(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *out = f->out[0];
    const int64_t n = out->shape[0];
    simt_args draw = {0}, swap = {0};
    simt_data(&draw, f->scratch);
    simt_i64(&draw, n);
    put_key(&draw, f);
    const dl_status status = simt_launch_items(f, simt_planned(plan, DRAW), (n + 3) / 4, &draw);
    if (status != DL_OK || n == 0) return status;
    simt_data(&swap, f->scratch);
    simt_buffer(&swap, out);
    simt_i64(&swap, out->strides[0]);
    simt_i64(&swap, n);
    return simt_launch(f, simt_planned(plan, SWAP), (const uint32_t[]){1, 1, 1}, (const uint32_t[]){1, 1, 1}, &swap);
}

/* ---- dropout ------------------------------------------------------------------------------------------------------------ */

static dl_status prepare_dropout(const dl_frame *f, dl_plan *plan) { return plan_for(f, plan, "dropout"); }

static dl_status run_dropout(const dl_frame *f, const dl_plan *plan) {
    const dl_tensor *const t[] = {f->in[0], f->out[0], f->out[1]};
    const double p = simt_real(&f->attr[0]);
    simt_args a = {0};
    simt_loop l;
    const dl_status status = simt_loop_over(&l, 3, t, 0);
    if (status != DL_OK) return status;
    for (int k = 0; k < 3; k++) simt_buffer(&a, t[k]);
    simt_struct(&a, &l, sizeof l);
    put_key(&a, f);
    simt_i64(&a, (int64_t)dl_random_threshold(p));
    simt_scalar(&a, t[0]->type, p < 1 ? 1 / (1 - p) : 0);
    return launch(f, plan, &a, l.count);
}

dl_status simt_register_random(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("uniform", prepare_uniform, run_uniform),
        SIMT_KERNEL("normal", prepare_normal, run_normal),
        SIMT_KERNEL("bernoulli", prepare_bernoulli, run_bernoulli),
        SIMT_KERNEL("random_int", prepare_random_int, run_random_int),
        SIMT_KERNEL("randperm", prepare_randperm, run_randperm),
        SIMT_KERNEL("dropout", prepare_dropout, run_dropout),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
