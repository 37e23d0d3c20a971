/* pool.c - pooling over the last 1 to 3 dimensions, its gradients, and elements at places of planes. */
#include "backends/simt/box.h"
#include "backends/simt/numbers.h"
#include "backends/simt/pool.h"
#include "backends/simt/texts.h"

_Static_assert(POOL_LEAD == DL_MAX_DIMS - 1, "pool.h");

typedef struct pool_state {
    pool_shape shape;
    void *function, *clear, *round;
} pool_state;

/* ---- shapes ---------------------------------------------------------------------------------------------------------------
 */

/* x: the side before pooling; y: after it; index and draws may be NULL. Windows are left to be set. */
static void set_shape(pool_shape *s, int32_t spatial, const dl_tensor *x, const dl_tensor *y, const dl_tensor *index,
                      const dl_tensor *draws) {
    *s = (pool_shape){.planes = 1, .lead = x->ndim - spatial, .spatial = spatial};
    for (int32_t d = 0; d < s->lead; d++) {
        s->planes *= s->size[d] = x->shape[d];
        s->x_lead[d] = x->strides[d], s->y_lead[d] = y->strides[d];
        s->i_lead[d] = index ? index->strides[d] : 0;
        s->u_lead[d] = draws ? draws->strides[d] : 0;
    }
    for (int32_t d = 0; d < SPATIAL; d++) s->window[d] = s->stride[d] = s->dilation[d] = 1;
    box_of(x, (int32_t)s->lead, s->in, s->x_s);
    box_of(y, (int32_t)s->lead, s->out, s->y_s);
    if (index) box_of(index, (int32_t)s->lead, NULL, s->i_s);
    if (draws) s->u_s = draws->strides[s->lead];
}

/* attr: kernel, stride, padding, and, unless NULL, dilation. */
static void set_windows(pool_shape *s, const dl_attr *attr, const dl_attr *dilation) {
    const int32_t missing = SPATIAL - (int32_t)s->spatial;
    for (int32_t d = missing; d < SPATIAL; d++) {
        s->window[d] = box_value(&attr[0], d - missing, 1);
        s->stride[d] = box_value(&attr[1], d - missing, s->window[d]);
        s->padding[d] = box_value(&attr[2], d - missing, 0);
        if (dilation) s->dilation[d] = box_value(dilation, d - missing, 1);
    }
}

/* ---- plans ----------------------------------------------------------------------------------------------------------------
 */

static dl_status find(const dl_frame *f, const pool_shape *s, const char *entry, dl_dtype type, dl_dtype second,
                      pool_state *p) {
    *p = (pool_state){.shape = *s};
    if (!box_fits(s->in) || !box_fits(s->out)) return DL_UNSUPPORTED;
    return simt_function(f, text_pool_cl, entry, (dl_dtype[]){type, second}, 2, &p->function);
}

static dl_status make_plan(const dl_frame *f, const pool_shape *s, const char *entry, dl_dtype type, dl_dtype second,
                           dl_plan *plan) {
    pool_state p;
    const dl_status status = find(f, s, entry, type, second, &p);
    return status == DL_OK ? simt_keep_state(plan, &p, sizeof p) : status;
}

/* ---- maximum --------------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_max(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *x = f->in[0];
    pool_shape s;
    set_shape(&s, f->attr[0].n, x, f->out[0], f->out[1], NULL);
    set_windows(&s, f->attr, &f->attr[3]);
    return make_plan(f, &s, "max_pool", x->type, x->type, plan);
}

static dl_status prepare_adaptive_max(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *x = f->in[0];
    pool_shape s;
    set_shape(&s, f->attr[0].n, x, f->out[0], f->out[1], NULL);
    s.kind = POOL_ADAPTIVE;
    return make_plan(f, &s, "max_pool", x->type, x->type, plan);
}

static dl_status prepare_fractional_max(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *x = f->in[0], *draws = f->in[1];
    pool_shape s;
    set_shape(&s, f->attr[0].n, x, f->out[0], f->out[1], draws);
    for (int32_t d = SPATIAL - (int32_t)s.spatial; d < SPATIAL; d++)
        s.window[d] = box_value(&f->attr[0], d - (SPATIAL - (int32_t)s.spatial), 1);
    s.kind = POOL_FRACTIONAL;
    return make_plan(f, &s, "max_pool", x->type, draws->type, plan);
}

static dl_status run_max(const dl_frame *f, const dl_plan *plan) {
    const pool_state *p = plan->state;
    simt_args a = {0};
    simt_buffer(&a, f->in[0]);
    simt_buffer(&a, f->out[0]);
    simt_buffer(&a, f->out[1]);
    simt_buffer(&a, p->shape.kind == POOL_FRACTIONAL ? f->in[1] : NULL);
    simt_struct(&a, &p->shape, sizeof p->shape);
    return simt_launch_items(f, p->function, simt_count(f->out[0]), &a);
}

/* ---- average --------------------------------------------------------------------------------------------------------------
 */

static dl_status prepare_avg(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *x = f->in[0];
    pool_shape s;
    set_shape(&s, f->attr[0].n, x, f->out[0], NULL, NULL);
    set_windows(&s, f->attr, NULL);
    s.include_pad = f->attr[4].v.i != 0;
    s.divisor = f->attr[5].v.i;
    return make_plan(f, &s, "avg_pool", x->type, x->type, plan);
}

static dl_status prepare_adaptive_avg(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *x = f->in[0];
    pool_shape s;
    set_shape(&s, f->attr[0].n, x, f->out[0], NULL, NULL);
    s.kind = POOL_ADAPTIVE;
    return make_plan(f, &s, "avg_pool", x->type, x->type, plan);
}

static dl_status prepare_avg_backward(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *grad = f->in[0];
    pool_shape s;
    set_shape(&s, f->attr[1].n, f->out[0], grad, NULL, NULL);
    set_windows(&s, f->attr + 1, NULL);
    s.include_pad = f->attr[5].v.i != 0;
    s.divisor = f->attr[6].v.i;
    return make_plan(f, &s, "avg_pool_backward", grad->type, grad->type, plan);
}

static dl_status prepare_adaptive_avg_backward(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *grad = f->in[0];
    pool_shape s;
    set_shape(&s, f->attr[0].n, f->out[0], grad, NULL, NULL);
    s.kind = POOL_ADAPTIVE;
    return make_plan(f, &s, "avg_pool_backward", grad->type, grad->type, plan);
}

static dl_status run_avg(const dl_frame *f, const dl_plan *plan) {
    const pool_state *p = plan->state;
    simt_args a = {0};
    simt_buffer(&a, f->in[0]);
    simt_buffer(&a, f->out[0]);
    simt_struct(&a, &p->shape, sizeof p->shape);
    return simt_launch_items(f, p->function, simt_count(f->out[0]), &a);
}

/* ---- places ---------------------------------------------------------------------------------------------------------------
 */

/* Half tensors are summed in float32, in scratch memory that lies plane after plane. */
static int sums_aside(const dl_tensor *out) { return out->type == DL_F16 || out->type == DL_BF16; }

static void lay_plain(pool_shape *s) {
    int64_t stride = 1;
    for (int32_t d = SPATIAL - 1; d >= 0; d--) s->x_s[d] = stride, stride *= s->in[d];
    for (int32_t d = (int32_t)s->lead - 1; d >= 0; d--) s->x_lead[d] = stride, stride *= s->size[d];
}

static dl_status prepare_places(const dl_frame *f, const char *entry, dl_dtype sums, dl_plan *plan) {
    const dl_dtype type = f->out[0]->type;
    pool_shape s;
    pool_state p;
    set_shape(&s, f->attr[0].n, f->out[0], f->in[0], f->in[1], NULL);
    dl_status status = find(f, &s, entry, type, sums, &p);
    if (status == DL_OK) status = simt_function(f, text_pool_cl, "clear_planes", (dl_dtype[]){sums, sums}, 2, &p.clear);
    if (status == DL_OK && sums != type) {
        plan->scratch_bytes = (uint64_t)(simt_count(f->out[0]) * simt_type_bytes(sums));
        status = simt_function(f, text_pool_cl, "round_planes", (dl_dtype[]){sums, type}, 2, &p.round);
    }
    return status == DL_OK ? simt_keep_state(plan, &p, sizeof p) : status;
}

static dl_status prepare_add(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *out = f->out[0];
    return prepare_places(f, "add_places", sums_aside(out) ? DL_F32 : out->type, plan);
}

static dl_status prepare_put(const dl_frame *f, dl_plan *plan) {
    return prepare_places(f, "put_places", f->out[0]->type, plan);
}

static void summed(simt_args *a, const dl_frame *f, const pool_state *p) {
    if (p->round)
        simt_data(a, f->scratch);
    else
        simt_buffer(a, f->out[0]);
}

static dl_status run_places(const dl_frame *f, const dl_plan *plan) {
    const pool_state *p = plan->state;
    const int64_t count = simt_count(f->out[0]);
    pool_shape laid = p->shape;
    simt_args clear = {0}, a = {0}, round = {0};
    if (p->round) lay_plain(&laid);
    summed(&clear, f, p);
    simt_struct(&clear, &laid, sizeof laid);
    simt_buffer(&a, f->in[0]);
    simt_buffer(&a, f->in[1]);
    summed(&a, f, p);
    simt_fault(&a, f);
    simt_struct(&a, &laid, sizeof laid);
    dl_status status = simt_launch_items(f, p->clear, count, &clear);
    if (status == DL_OK && simt_count(f->in[0]) > 0) status = simt_launch_items(f, p->function, laid.planes, &a);
    if (status != DL_OK || !p->round) return status;
    simt_data(&round, f->scratch);
    simt_buffer(&round, f->out[0]);
    simt_struct(&round, &p->shape, sizeof p->shape);
    return simt_launch_items(f, p->round, count, &round);
}

static dl_status prepare_take(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *x = f->in[0];
    pool_shape s;
    set_shape(&s, (int32_t)f->attr[0].v.i, x, f->out[0], f->in[1], NULL);
    return make_plan(f, &s, "take_places", x->type, x->type, plan);
}

static dl_status run_take(const dl_frame *f, const dl_plan *plan) {
    const pool_state *p = plan->state;
    simt_args a = {0};
    simt_buffer(&a, f->in[0]);
    simt_buffer(&a, f->in[1]);
    simt_buffer(&a, f->out[0]);
    simt_fault(&a, f);
    simt_struct(&a, &p->shape, sizeof p->shape);
    return simt_launch_items(f, p->function, simt_count(f->out[0]), &a);
}

dl_status simt_register_pool(void) {
    static const dl_kernel kernels[] = {
        SIMT_KERNEL("max_pool", prepare_max, run_max),
        SIMT_KERNEL("adaptive_max_pool", prepare_adaptive_max, run_max),
        SIMT_KERNEL("fractional_max_pool", prepare_fractional_max, run_max),
        SIMT_KERNEL("avg_pool", prepare_avg, run_avg),
        SIMT_KERNEL("adaptive_avg_pool", prepare_adaptive_avg, run_avg),
        SIMT_KERNEL("avg_pool_backward", prepare_avg_backward, run_avg),
        SIMT_KERNEL("adaptive_avg_pool_backward", prepare_adaptive_avg_backward, run_avg),
        SIMT_KERNEL("max_pool_backward", prepare_add, run_places),
        SIMT_KERNEL("max_unpool", prepare_put, run_places),
        SIMT_KERNEL("max_unpool_backward", prepare_take, run_take),
    };
    return simt_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
