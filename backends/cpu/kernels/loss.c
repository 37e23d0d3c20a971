/* loss.c - negative log likelihood and cross entropy over classes, with their gradients.
 *
 * Every loss here is loss[i] = -sum_c a[i][c] * logp[i][c] for a sample's coefficients a:
 *   class y               w[y] at y
 *   class y, smoothing s  (1 - s) w[y] at y, plus w[c] s / C everywhere
 *   probabilities t       w[c] ((1 - s) t[c] + s / C)
 * so the gradient towards the logits is exp(logp) sum(a) - a. A mean divides by the sum of w[y] over the samples that count,
 * for probabilities by the number of samples (PyTorch's cross_entropy). */
#include "fold.h"
#include "softmax.h"
#include "types.h"
#include "backends/cpu/vecmath.h"

enum { NONE, MEAN, SUM }; /* reduction */
enum { IGNORED = -1 };

typedef struct sample {
    int64_t label;
    double loss, weight; /* weight: its part of the total */
} sample;

/* A matrix or vector operand, seen as samples by classes. */
typedef struct table {
    char *data;
    dl_dtype type;
    int64_t size, sample_stride, class_stride;
} table;

typedef struct loss_job {
    int64_t samples, classes, reduction, ignore;
    double smoothing;
    table logp, target, weight; /* weight.data NULL: all 1 */
    int probabilities;
    sample *sample;     /* one each, when the targets are classes or a loss is computed */
    double all_weights; /* sum of w */
    /* backward */
    table out, grad;
    double total;
} loss_job;

/* columns: has a class dimension, the last one. */
static table table_of(const dl_tensor *t, int columns) {
    if (!t) return (table){0};
    const int32_t rows = t->ndim - columns;
    return (table){cpu_data(t), t->type, cpu_size(t->type), rows > 0 ? t->strides[0] : 0,
                   columns ? t->strides[t->ndim - 1] : 0};
}

static char *cell(const table *t, int64_t i, int64_t c) {
    return t->data + (i * t->sample_stride + c * t->class_stride) * t->size;
}
static double weight_of(const loss_job *j, int64_t c) {
    return j->weight.data ? cpu_load_f64(j->weight.type, cell(&j->weight, 0, c)) : 1;
}

/* ---- targets -------------------------------------------------------------------------------------------------------- */

static dl_status read_label(loss_job *j, int64_t i) {
    const char *at = cell(&j->target, i, 0);
    if (cpu_lane_of(j->target.type) != CPU_LANE_I64) {
        const double value = cpu_load_f64(j->target.type, at);
        if (!(value == floor(value)))
            return cpu_host->fail(DL_INVALID, "label %g at sample %lld: expected a whole number 0..%lld", value, (long long)i,
                                  (long long)j->classes - 1);
    }
    const int64_t label = cpu_load_i64(j->target.type, at);
    if (label == j->ignore) {
        j->sample[i] = (sample){.label = IGNORED};
        return DL_OK;
    }
    if (label < 0 || label >= j->classes)
        return cpu_host->fail(DL_INVALID, "label %lld at sample %lld: expected 0..%lld", (long long)label, (long long)i,
                              (long long)j->classes - 1);
    j->sample[i] = (sample){.label = label, .weight = weight_of(j, label)};
    return DL_OK;
}

/* Reads and checks every label before anything is written. */
static dl_status read_targets(loss_job *j) {
    j->sample = cpu_host->mem(NULL, (size_t)(j->samples > 0 ? j->samples : 1) * sizeof *j->sample);
    if (!j->sample) return cpu_host->fail(DL_NOMEM, "out of memory for %lld samples", (long long)j->samples);
    for (int64_t c = 0; c < j->classes && j->smoothing > 0; c++) j->all_weights += weight_of(j, c);
    for (int64_t i = 0; i < j->samples; i++) {
        if (j->probabilities) {
            j->sample[i] = (sample){.weight = 1};
            continue;
        }
        const dl_status status = read_label(j, i);
        if (status != DL_OK) {
            cpu_host->mem(j->sample, 0);
            return status;
        }
    }
    return DL_OK;
}

/* Coefficients of classes [c, c + n) of a sample that counts. */
static void coefficients(const loss_job *j, int64_t i, int64_t c, int64_t n, double *a) {
    const double smooth = j->smoothing / (double)j->classes, sharp = 1 - j->smoothing;
    cpu_row_buffer b;
    if (j->probabilities) {
        const double *t = cpu_row_read(j->target.type, cell(&j->target, i, c), j->target.class_stride, n, CPU_LANE_F64, &b);
        for (int64_t k = 0; k < n; k++) a[k] = sharp * t[k] + smooth;
    } else {
        for (int64_t k = 0; k < n; k++) a[k] = smooth;
        if (j->sample[i].label >= c && j->sample[i].label < c + n) a[j->sample[i].label - c] += sharp;
    }
    if (j->weight.data) {
        const double *w = cpu_row_read(j->weight.type, cell(&j->weight, 0, c), j->weight.class_stride, n, CPU_LANE_F64, &b);
        for (int64_t k = 0; k < n; k++) a[k] *= w[k];
    }
}

static int64_t block(const loss_job *j, int64_t c) { return j->classes - c < CPU_ROW ? j->classes - c : CPU_ROW; }
static int plain(const loss_job *j) { return !j->probabilities && !(j->smoothing > 0); }

/* ---- forward -------------------------------------------------------------------------------------------------------- */

static void sample_losses(void *context, int64_t begin, int64_t end) {
    loss_job *j = context;
    cpu_row_buffer b;
    double a[CPU_ROW];
    for (int64_t i = begin; i < end; i++) {
        sample *s = &j->sample[i];
        if (s->label == IGNORED) continue;
        if (plain(j)) {
            s->loss = -s->weight * cpu_load_f64(j->logp.type, cell(&j->logp, i, s->label));
            continue;
        }
        for (int64_t c = 0; c < j->classes; c += CPU_ROW) {
            const double *logp =
                cpu_row_read(j->logp.type, cell(&j->logp, i, c), j->logp.class_stride, block(j, c), CPU_LANE_F64, &b);
            coefficients(j, i, c, block(j, c), a);
            for (int64_t k = 0; k < block(j, c); k++) s->loss -= a[k] * logp[k];
        }
    }
}

static int64_t grain_of(const loss_job *j) {
    const int64_t grain = CPU_GRAIN / 4 / (plain(j) ? 1 : j->classes);
    return grain > 1 ? grain : 1;
}

/* The loss into out, the total weight into `total`; consumes the samples. */
static void forward(loss_job *j, const dl_tensor *out, const dl_tensor *total) {
    double loss = 0, weight = 0;
    const table losses = table_of(out, 0);
    cpu_parallel(j->samples, grain_of(j), sample_losses, j);
    for (int64_t i = 0; i < j->samples; i++) {
        loss += j->sample[i].loss;
        weight += j->sample[i].weight;
        if (j->reduction == NONE) cpu_row_write(out->type, cell(&losses, i, 0), 1, 1, CPU_LANE_F64, &j->sample[i].loss);
    }
    if (j->reduction == MEAN) loss /= weight;
    if (j->reduction != NONE) cpu_row_write(out->type, cpu_data(out), 1, 1, CPU_LANE_F64, &loss);
    cpu_row_write(total->type, cpu_data(total), 1, 1, CPU_LANE_F64, &weight);
    cpu_host->mem(j->sample, 0);
}

/* Inputs first: scores, target, weight; attributes: reduction, ignore. */
static loss_job job_of(const dl_frame *f, uint32_t first) {
    const dl_tensor *scores = f->in[first], *target = f->in[first + 1], *weight = f->in[first + 2];
    loss_job j = {.samples = scores->ndim == 2 ? scores->shape[0] : 1,
                  .classes = scores->shape[scores->ndim - 1],
                  .reduction = f->attr[0].v.i,
                  .ignore = f->attr[1].v.i,
                  .probabilities = target->ndim == scores->ndim};
    j.logp = table_of(scores, 1);
    j.target = table_of(target, j.probabilities);
    j.weight = table_of(weight, 1);
    return j;
}

static dl_status run_nll_loss(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    loss_job j = job_of(f, 0);
    const dl_status status = read_targets(&j);
    if (status == DL_OK) forward(&j, f->out[0], f->out[1]);
    return status;
}

static dl_status run_cross_entropy(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    loss_job j = job_of(f, 0);
    j.smoothing = f->attr[2].v.f;
    const dl_status status = read_targets(&j);
    if (status != DL_OK) return status;
    cpu_log_softmax(f->out[1], f->in[0], -1);
    j.logp = table_of(f->out[1], 1);
    forward(&j, f->out[0], f->out[2]);
    return DL_OK;
}

/* ---- backward ------------------------------------------------------------------------------------------------------- */

/* d(result)/d(loss[i]) times the incoming gradient. */
static double upstream(const loss_job *j, int64_t i) {
    const double g = cpu_load_f64(j->grad.type, cell(&j->grad, i, 0));
    return j->reduction == MEAN ? g / j->total : g;
}

static void clear(const loss_job *j, int64_t i) {
    static const uint64_t zero;
    cpu_row_copy(j->out.type, cell(&j->out, i, 0), j->out.class_stride, &zero, 0, j->classes);
}

static void nll_gradients(void *context, int64_t begin, int64_t end) {
    const loss_job *j = context;
    for (int64_t i = begin; i < end; i++) {
        const sample *s = &j->sample[i];
        clear(j, i);
        if (s->label == IGNORED) continue;
        const double g = -upstream(j, i) * s->weight;
        cpu_row_write(j->out.type, cell(&j->out, i, s->label), 1, 1, CPU_LANE_F64, &g);
    }
}

/* Sum of a sample's coefficients. */
static double coefficient_sum(const loss_job *j, int64_t i) {
    if (!j->probabilities) return (1 - j->smoothing) * j->sample[i].weight + j->smoothing / (double)j->classes * j->all_weights;
    double a[CPU_ROW], sum = 0;
    for (int64_t c = 0; c < j->classes; c += CPU_ROW) {
        coefficients(j, i, c, block(j, c), a);
        sum += cpu_row_sum(CPU_LANE_F64, a, block(j, c));
    }
    return sum;
}

/* y = exp(logp) * scale - g * a. */
#define GRADIENT_ROW(LANE, T, m, EXP)                                                                                          \
    static void gradient_row_##LANE(const loss_job *j, int64_t i, double g) {                                                  \
        cpu_row_buffer b, y;                                                                                                   \
        double a[CPU_ROW];                                                                                                     \
        const T scale = (T)(g * coefficient_sum(j, i));                                                                        \
        for (int64_t c = 0; c < j->classes; c += CPU_ROW) {                                                                    \
            const int64_t n = block(j, c), label = j->sample[i].label - c;                                                     \
            const T *logp = cpu_row_read(j->logp.type, cell(&j->logp, i, c), j->logp.class_stride, n, CPU_LANE_##LANE, &b);    \
            for (int64_t k = 0; k < n; k++) y.m[k] = EXP(logp[k]) * scale;                                                     \
            if (!plain(j)) {                                                                                                   \
                coefficients(j, i, c, n, a);                                                                                   \
                for (int64_t k = 0; k < n; k++) y.m[k] -= (T)(g * a[k]);                                                       \
            } else if (label >= 0 && label < n) {                                                                              \
                y.m[label] -= scale;                                                                                           \
            }                                                                                                                  \
            cpu_row_write(j->out.type, cell(&j->out, i, c), j->out.class_stride, n, CPU_LANE_##LANE, &y);                      \
        }                                                                                                                      \
    }
GRADIENT_ROW(F32, float, f32, dl_exp_f32)
GRADIENT_ROW(F64, double, f64, dl_exp_f64)

static void entropy_gradients(void *context, int64_t begin, int64_t end) {
    const loss_job *j = context;
    for (int64_t i = begin; i < end; i++) {
        if (j->sample[i].label == IGNORED)
            clear(j, i);
        else if (j->out.type == DL_F64)
            gradient_row_F64(j, i, upstream(j, i));
        else
            gradient_row_F32(j, i, upstream(j, i));
    }
}

/* Inputs: grad, logp, target, weight, total. */
static dl_status backward(const dl_frame *f, double smoothing, void (*gradients)(void *, int64_t, int64_t)) {
    loss_job j = job_of(f, 1);
    j.smoothing = smoothing;
    j.grad = table_of(f->in[0], 0);
    j.out = table_of(f->out[0], 1);
    j.total = cpu_load_f64(f->in[4]->type, cpu_data(f->in[4]));
    const dl_status status = read_targets(&j);
    if (status != DL_OK) return status;
    const int64_t grain = CPU_GRAIN / 4 / j.classes;
    cpu_parallel(j.samples, grain > 1 ? grain : 1, gradients, &j);
    cpu_host->mem(j.sample, 0);
    return DL_OK;
}

static dl_status run_nll_loss_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return backward(f, 0, nll_gradients);
}

static dl_status run_cross_entropy_backward(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return backward(f, f->attr[2].v.f, entropy_gradients);
}

dl_status CPU_ISA(register_loss)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("nll_loss", NULL, run_nll_loss),
        CPU_KERNEL("nll_loss_backward", NULL, run_nll_loss_backward),
        CPU_KERNEL("cross_entropy", NULL, run_cross_entropy),
        CPU_KERNEL("cross_entropy_backward", NULL, run_cross_entropy_backward),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
