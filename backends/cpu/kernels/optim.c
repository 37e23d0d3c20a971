/* optim.c - sgd, adam (AdamW) and rmsprop: all parameters of a call in one pass, each element read and written once.
 *
 * Formulas and their order of operations are PyTorch's (torch/optim, single-tensor form). Coefficients are computed in double
 * and rounded once to the element type. */
#include "backends/cpu/kernels/loop.h"
#include "backends/cpu/kernels/row.h"
#include "backends/cpu/kernels/types.h"
#include <math.h>

enum { GRADIENT = 1, LISTS = 4 }; /* p, gradient and at most two states */

/* What a step needs besides the elements. */
typedef struct coefficients {
    double rate, eps;
    double decay;        /* of the weights, added to the gradient */
    double shrink;       /* AdamW: 1 - rate * decay, times the weights */
    double momentum;     /* share of the old momentum that stays */
    double fresh;        /* share of the gradient that enters the momentum or first moment */
    double keep, gain;   /* the same two shares for the mean of squares */
    double scale;        /* Adam: root of the second moment's bias */
    int first, nesterov; /* sgd */
} coefficients;

/* ---- the formulas, for float and double ----------------------------------------------------------------------------- */

/* Each has the form of update_fn below: n elements lying side by side; x are p, grad and the states. */
#define FORMULAS(T, SQRT)                                                                                                      \
    static void sgd_##T(const coefficients *c, int64_t n, void *const *x) {                                                    \
        T *restrict p = (T *)x[0], *restrict buffer = (T *)x[2];                                                               \
        const T *restrict g = (const T *)x[1];                                                                                 \
        const T rate = (T)c->rate, decay = (T)c->decay, momentum = (T)c->momentum, fresh = (T)c->fresh;                        \
        const int first = c->first, nesterov = c->nesterov;                                                                    \
        if (c->momentum == 0) {                                                                                                \
            for (int64_t i = 0; i < n; i++) p[i] -= rate * (g[i] + decay * p[i]);                                              \
            return;                                                                                                            \
        }                                                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            const T d = g[i] + decay * p[i], b = first ? d : momentum * buffer[i] + fresh * d;                                 \
            buffer[i] = b;                                                                                                     \
            p[i] -= rate * (nesterov ? d + momentum * b : b);                                                                  \
        }                                                                                                                      \
    }                                                                                                                          \
    static void adam_##T(const coefficients *c, int64_t n, void *const *x) {                                                   \
        T *restrict p = (T *)x[0], *restrict m = (T *)x[2], *restrict v = (T *)x[3];                                           \
        const T *restrict g = (const T *)x[1];                                                                                 \
        const T rate = (T)c->rate, decay = (T)c->decay, fresh = (T)c->fresh, keep = (T)c->keep, gain = (T)c->gain;             \
        const T scale = (T)c->scale, eps = (T)c->eps, shrink = (T)c->shrink;                                                   \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            const T q = p[i] * shrink, d = g[i] + decay * q;                                                                   \
            m[i] += fresh * (d - m[i]);                                                                                        \
            v[i] = keep * v[i] + gain * d * d;                                                                                 \
            p[i] = q - rate * m[i] / (SQRT(v[i]) / scale + eps);                                                               \
        }                                                                                                                      \
    }                                                                                                                          \
    static void rmsprop_##T(const coefficients *c, int64_t n, void *const *x) {                                                \
        T *restrict p = (T *)x[0], *restrict v = (T *)x[2], *restrict buffer = (T *)x[3];                                      \
        const T *restrict g = (const T *)x[1];                                                                                 \
        const T rate = (T)c->rate, decay = (T)c->decay, keep = (T)c->keep, gain = (T)c->gain, eps = (T)c->eps;                 \
        const T momentum = (T)c->momentum;                                                                                     \
        const int plain = c->momentum == 0;                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            const T d = g[i] + decay * p[i];                                                                                   \
            v[i] = keep * v[i] + gain * d * d;                                                                                 \
            const T towards = d / (SQRT(v[i]) + eps);                                                                          \
            if (plain) {                                                                                                       \
                p[i] -= rate * towards;                                                                                        \
            } else {                                                                                                           \
                buffer[i] = momentum * buffer[i] + towards;                                                                    \
                p[i] -= rate * buffer[i];                                                                                      \
            }                                                                                                                  \
        }                                                                                                                      \
    }
FORMULAS(float, sqrtf)
FORMULAS(double, sqrt)

typedef void update_fn(const coefficients *, int64_t n, void *const *x);

/* ---- walking over all parameters ------------------------------------------------------------------------------------ */

typedef struct step {
    const dl_frame *f;
    coefficients c;
    update_fn *update[2]; /* by lane: float, double */
    int32_t lists, count; /* tensor lists; parameters in each */
} step;

/* Elements begin..end of one parameter: in place where they lie side by side in the lane's type, else through small buffers. */
static void update_part(const step *s, const dl_tensor *const *t, int64_t begin, int64_t end) {
    const dl_dtype type = t[0]->type;
    const cpu_lane lane = cpu_lane_of(type);
    const int64_t size = cpu_size(type);
    cpu_loop loop;
    cpu_loop_init(&loop, s->lists);
    for (int32_t d = 0; d < t[0]->ndim; d++) {
        int64_t stride[LISTS] = {0};
        for (int32_t l = 0; l < s->lists; l++) stride[l] = t[l] ? t[l]->strides[d] : t[0]->strides[d];
        cpu_loop_dim(&loop, t[0]->shape[d], stride[0], stride[1], stride[2], stride[3]);
    }
    cpu_loop_sort(&loop, 0);
    cpu_loop_merge(&loop);
    int in_place = cpu_stored_as(lane) == type;
    for (int32_t l = 0; l < s->lists; l++) in_place = in_place && cpu_loop_step(&loop, l) == 1;
    cpu_row_buffer buffer[LISTS];
    cpu_walk w;
    cpu_walk_begin(&w, &loop, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, in_place ? INT64_MAX : CPU_ROW)) != 0;) {
        void *row[LISTS] = {0}, *x[LISTS] = {0};
        for (int32_t l = 0; l < s->lists; l++) {
            if (!t[l]) continue;
            row[l] = (char *)cpu_data(t[l]) + w.at[l] * size;
            x[l] = (void *)cpu_row_read(type, row[l], cpu_loop_step(&loop, l), n, lane, &buffer[l]);
        }
        s->update[lane](&s->c, n, x);
        for (int32_t l = 0; l < s->lists; l++)
            if (t[l] && l != GRADIENT && x[l] != row[l]) cpu_row_write(type, row[l], cpu_loop_step(&loop, l), n, lane, x[l]);
    }
}

/* Elements begin..end of all parameters laid end to end. */
static void update_range(void *context, int64_t begin, int64_t end) {
    const step *s = (const step *)context;
    int64_t first = 0; /* of parameter k */
    for (int32_t k = 0; k < s->count && first < end; k++) {
        const dl_tensor *t[LISTS];
        for (int32_t l = 0; l < s->lists; l++) t[l] = s->f->in[l * s->count + k];
        const int64_t n = cpu_count(t[0]), from = begin > first ? begin - first : 0, to = end - first < n ? end - first : n;
        first += n;
        if (from < to) update_part(s, t, from, to);
    }
}

/* ---- kernels -------------------------------------------------------------------------------------------------------- */

/* The shape rule has checked presence, types and sizes. A plan serves every step: shapes and options are read by run. */
static dl_status prepare_step(const dl_frame *f, dl_plan *plan) {
    const dl_dtype counter = f->in[f->n_in - 1]->type;
    plan->sharing = DL_PLAN_PER_TYPE;
    return counter == DL_F32 || counter == DL_F64 ? DL_OK : DL_UNSUPPORTED;
}

/* Counts the step tensor, the last one, up. */
static double count_step(const dl_frame *f) {
    const dl_tensor *counter = f->in[f->n_in - 1];
    if (counter->type == DL_F64) return *(double *)cpu_data(counter) += 1;
    return (double)(*(float *)cpu_data(counter) += 1);
}

static dl_status run_step(step *s) {
    int64_t n = 0;
    s->count = (int32_t)(s->f->n_in - 1) / s->lists;
    for (int32_t k = 0; k < s->count; k++) n += cpu_count(s->f->in[k]);
    cpu_parallel(n, CPU_GRAIN / 4, update_range, s);
    return DL_OK;
}

static double number(const dl_frame *f, int k) {
    return f->attr[k].kind == DL_ATTR_INT ? (double)f->attr[k].v.i : f->attr[k].v.f;
}

static dl_status run_sgd(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    step s = {.f = f, .update = {sgd_float, sgd_double}, .lists = 3};
    s.c = (coefficients){.rate = number(f, 0), .momentum = number(f, 1), .fresh = 1 - number(f, 2), .decay = number(f, 3)};
    s.c.nesterov = number(f, 4) != 0;
    s.c.first = count_step(f) == 1;
    return run_step(&s);
}

static dl_status run_adam(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const double rate = number(f, 0), beta1 = number(f, 1), beta2 = number(f, 2), decay = number(f, 4);
    const int decoupled = number(f, 5) != 0;
    const double t = count_step(f);
    step s = {.f = f, .update = {adam_float, adam_double}, .lists = 4};
    s.c = (coefficients){.rate = rate / (1 - pow(beta1, t)),
                         .fresh = 1 - beta1,
                         .keep = beta2,
                         .gain = 1 - beta2,
                         .scale = sqrt(1 - pow(beta2, t)),
                         .eps = number(f, 3),
                         .shrink = decoupled ? 1 - rate * decay : 1,
                         .decay = decoupled ? 0 : decay};
    return run_step(&s);
}

static dl_status run_rmsprop(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    step s = {.f = f, .update = {rmsprop_float, rmsprop_double}, .lists = 4};
    s.c = (coefficients){.rate = number(f, 0), .keep = number(f, 1), .gain = 1 - number(f, 1), .eps = number(f, 2)};
    s.c.decay = number(f, 3), s.c.momentum = number(f, 4);
    count_step(f);
    return run_step(&s);
}

dl_status CPU_ISA(register_optim)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("sgd", prepare_step, run_sgd),
        CPU_KERNEL("adam", prepare_step, run_adam),
        CPU_KERNEL("rmsprop", prepare_step, run_rmsprop),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
