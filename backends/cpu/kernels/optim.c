/* optim.c - sgd, adam (AdamW) and rmsprop: all parameters of a call in one pass, each element read and written once.
 *
 * Formulas and their order of operations are PyTorch's (torch/optim, single-tensor form). Coefficients are computed in double and
 * rounded once to the element type. */
#include "backends/cpu/cpu.h"
#include <math.h>

enum { LISTS = 4 }; /* p, grad and at most two states */

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

/* ---- the formulas, for float and double ---------------------------------------------------------------------------------- */

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

/* ---- walking over all parameters ------------------------------------------------------------------------------------------ */

typedef struct step {
    const dl_frame *f;
    coefficients c;
    update_fn *update[2]; /* of float, of double */
    int32_t lists, count; /* tensor lists; parameters in each */
} step;

/* Element i of a tensor in row-major order, as an offset in elements. */
static int64_t offset_of(const dl_tensor *t, int64_t i) {
    int64_t offset = 0;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        offset += i % t->shape[d] * t->strides[d];
        i /= t->shape[d];
    }
    return offset;
}

/* Elements begin..end of parameter k where some tensor is not contiguous: through small contiguous copies. */
static void update_strided(const step *s, const dl_tensor *const *t, int64_t begin, int64_t end) {
    enum { block = 256 };
    const int wide = t[0]->type == DL_F64;
    double copy[LISTS][block];
    void *x[LISTS] = {copy[0], copy[1], copy[2], copy[3]};
    for (int64_t at = begin; at < end; at += block) {
        const int64_t n = end - at < block ? end - at : block;
        for (int store = 0; store < 2; store++) {
            for (int32_t l = 0; l < s->lists; l++)
                for (int64_t i = 0; i < n && t[l] && (!store || l != 1); i++) {
                    const int64_t offset = offset_of(t[l], at + i);
                    if (wide) {
                        double *memory = (double *)cpu_data(t[l]) + offset, *mine = (double *)x[l] + i;
                        *(store ? memory : mine) = *(store ? mine : memory);
                    } else {
                        float *memory = (float *)cpu_data(t[l]) + offset, *mine = (float *)x[l] + i;
                        *(store ? memory : mine) = *(store ? mine : memory);
                    }
                }
            if (!store) s->update[wide](&s->c, n, x);
        }
    }
}

/* Elements begin..end of all parameters laid end to end. */
static void update_range(void *context, int64_t begin, int64_t end) {
    const step *s = (const step *)context;
    int64_t first = 0; /* of parameter k */
    for (int32_t k = 0; k < s->count && first < end; k++) {
        const dl_tensor *t[LISTS];
        int contiguous = 1;
        for (int32_t l = 0; l < s->lists; l++) {
            t[l] = s->f->in[l * s->count + k];
            contiguous &= !t[l] || cpu_contiguous(t[l]);
        }
        const int64_t n = cpu_count(t[0]), from = begin > first ? begin - first : 0, to = end - first < n ? end - first : n;
        first += n;
        if (from >= to) continue;
        if (!contiguous) {
            update_strided(s, t, from, to);
            continue;
        }
        const int wide = t[0]->type == DL_F64;
        void *x[LISTS] = {0};
        for (int32_t l = 0; l < s->lists; l++)
            if (t[l]) x[l] = (char *)cpu_data(t[l]) + from * (wide ? 8 : 4);
        s->update[wide](&s->c, to - from, x);
    }
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------------- */

/* One floating type per parameter; a state may be absent. Shapes and options are read by run, so a plan serves every step. */
static dl_status prepare_lists(const dl_frame *f, dl_plan *plan, int32_t lists) {
    const int32_t count = (int32_t)(f->n_in - 1) / lists;
    plan->sharing = DL_PLAN_PER_TYPE;
    for (int32_t k = 0; k <= count; k++) {
        const dl_dtype type = f->in[k < count ? k : (int32_t)f->n_in - 1]->type;
        if (type != DL_F32 && type != DL_F64) return DL_UNSUPPORTED;
        for (int32_t l = 1; l < lists && k < count; l++)
            if (f->in[l * count + k] && f->in[l * count + k]->type != type) return DL_UNSUPPORTED;
    }
    return DL_OK;
}

/* Refuses a missing gradient or state (those before `needed`) and unequal sizes; counts the step tensor up to *t. */
static dl_status begin_step(step *s, int32_t needed, double *t) {
    const dl_frame *f = s->f;
    s->count = (int32_t)(f->n_in - 1) / s->lists;
    for (int32_t k = 0; k < s->count; k++)
        for (int32_t l = 1; l < s->lists; l++) {
            const dl_tensor *x = f->in[l * s->count + k];
            if (!x && l < needed)
                return cpu_host->fail(DL_INVALID, "parameter %d has no %s", (int)k, l == 1 ? "gradient" : "state tensor");
            if (x && cpu_count(x) != cpu_count(f->in[k]))
                return cpu_host->fail(DL_INVALID, "parameter %d has %lld elements, its %s %lld", (int)k,
                                      (long long)cpu_count(f->in[k]), l == 1 ? "gradient" : "state", (long long)cpu_count(x));
        }
    const dl_tensor *counter = f->in[f->n_in - 1];
    if (cpu_count(counter) != 1)
        return cpu_host->fail(DL_INVALID, "step must be one number, not %lld", (long long)cpu_count(counter));
    *t = counter->type == DL_F64 ? (*(double *)cpu_data(counter) += 1) : (double)(*(float *)cpu_data(counter) += 1);
    return DL_OK;
}

static dl_status run_step(step *s) {
    int64_t n = 0;
    for (int32_t k = 0; k < s->count; k++) n += cpu_count(s->f->in[k]);
    cpu_parallel(n, CPU_GRAIN / 4, update_range, s);
    return DL_OK;
}

static double number(const dl_frame *f, int k) {
    return f->attr[k].kind == DL_ATTR_INT ? (double)f->attr[k].v.i : f->attr[k].v.f;
}

static dl_status prepare_sgd(const dl_frame *f, dl_plan *plan) { return prepare_lists(f, plan, 3); }

static dl_status run_sgd(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    double t = 0;
    step s = {.f = f, .update = {sgd_float, sgd_double}, .lists = 3};
    s.c = (coefficients){.rate = number(f, 0), .momentum = number(f, 1), .fresh = 1 - number(f, 2), .decay = number(f, 3)};
    s.c.nesterov = number(f, 4) != 0;
    const dl_status status = begin_step(&s, s.c.momentum != 0 ? 3 : 2, &t);
    s.c.first = t == 1;
    return status == DL_OK ? run_step(&s) : status;
}

static dl_status prepare_states(const dl_frame *f, dl_plan *plan) { return prepare_lists(f, plan, 4); }

static dl_status run_adam(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const double rate = number(f, 0), beta1 = number(f, 1), beta2 = number(f, 2), decay = number(f, 4);
    const int decoupled = number(f, 5) != 0;
    double t = 0;
    step s = {.f = f, .update = {adam_float, adam_double}, .lists = 4};
    const dl_status status = begin_step(&s, 4, &t);
    if (status != DL_OK) return status;
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
    double t = 0;
    step s = {.f = f, .update = {rmsprop_float, rmsprop_double}, .lists = 4};
    s.c = (coefficients){.rate = number(f, 0), .keep = number(f, 1), .gain = 1 - number(f, 1), .eps = number(f, 2)};
    s.c.decay = number(f, 3), s.c.momentum = number(f, 4);
    const dl_status status = begin_step(&s, s.c.momentum != 0 ? 4 : 3, &t);
    return status == DL_OK ? run_step(&s) : status;
}

dl_status CPU_ISA(register_optim)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("sgd", prepare_sgd, run_sgd),
        CPU_KERNEL("adam", prepare_states, run_adam),
        CPU_KERNEL("rmsprop", prepare_states, run_rmsprop),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
