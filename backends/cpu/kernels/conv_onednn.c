/* conv_onednn.c - convolution and its two gradients by oneDNN, where it is there and faster than conv.c. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/onednn_conv.h"
#include "backends/cpu/program.h"

typedef struct library_plan {
    cpu_onednn_conv *conv;
    cpu_program *epilogue;
} library_plan;

/* ---- the call as a problem --------------------------------------------------------------------------------------------- */

static int64_t value_of(const dl_attr *a, int32_t d, int64_t otherwise) {
    if (a->kind != DL_ATTR_INTS || a->n == 0) return otherwise;
    return a->v.iv[a->n == 1 ? 0 : d];
}

/* attr: stride, padding, dilation, groups. */
static cpu_conv_problem problem_of(enum cpu_conv_kind kind, const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y,
                                   const dl_attr *attr) {
    cpu_conv_problem p = {.kind = kind,
                          .type = x->type,
                          .spatial = x->ndim - 2,
                          .batch = x->shape[0],
                          .groups = attr[3].v.i,
                          .x_channels = x->shape[1],
                          .y_channels = y->shape[1]};
    for (int32_t d = 0; d < x->ndim; d++) {
        p.x_stride[d] = x->strides[d];
        p.y_stride[d] = y->strides[d];
        p.weight_stride[d] = weight->strides[d];
    }
    for (int32_t d = 0; d < p.spatial; d++) {
        p.x_size[d] = x->shape[2 + d];
        p.y_size[d] = y->shape[2 + d];
        p.kernel[d] = weight->shape[2 + d];
        p.stride[d] = value_of(&attr[0], d, 1);
        p.padding[d] = value_of(&attr[1], d, 0);
        p.dilation[d] = value_of(&attr[2], d, 1);
    }
    return p;
}

/* ---- which kernel is faster --------------------------------------------------------------------------------------------- */

/* Are conv.c's kernels faster where oneDNN could do it too? Measured on the layers of ResNet-18 and others, AVX2 (make bench,
 * with DLRUN_ONEDNN=all and =0): they win by 5 to 20 % with strides, and towards weights where many channels meet in a kernel;
 * 2 to 3 times towards an image, by any instruction set. For AVX-512 nothing else was measured: oneDNN is taken. */
static int own_is_faster(const cpu_conv_problem *p) {
    enum { few = 4, large_weight = 32 << 10 };
    const int64_t channels = p->x_channels / p->groups;
    const int64_t weight = p->y_channels * channels;
    int64_t kernel = 1;
    int strided = 0;
    for (int32_t d = 0; d < p->spatial; d++) kernel *= p->kernel[d], strided |= p->stride[d] > 1;
    if (p->groups > 1) return 0;
    if (channels <= few) return p->kind == CPU_CONV_BACKWARD_DATA;
    if (cpu_isa() != CPU_AVX2) return 0;
    if (p->kind == CPU_CONV_BACKWARD_WEIGHT) return kernel > 1 || weight >= large_weight;
    return kernel > 1 && strided;
}

/* ---- prepare ----------------------------------------------------------------------------------------------------------- */

static void destroy_plan(void *state) {
    library_plan *p = (library_plan *)state;
    if (p->conv) cpu_onednn_conv_close(p->conv);
    if (p->epilogue) cpu_program_close(p->epilogue);
    cpu_host->mem(p, 0);
}

static dl_status open_epilogue(const dl_frame *f, library_plan *p) {
    if (!f->epilogue) return DL_OK;
    const dl_status status = f->out[0]->type == DL_F32 ? cpu_program_open(f->epilogue, &p->epilogue) : DL_UNSUPPORTED;
    return status == DL_OK && !cpu_program_is_map_f32(p->epilogue) ? DL_UNSUPPORTED : status;
}

static dl_status make_plan(const dl_frame *f, const cpu_conv_problem *problem, dl_plan *plan) {
    if (own_is_faster(problem) && !cpu_onednn_conv_forced()) return DL_UNSUPPORTED;
    if (cpu_count(f->in[0]) == 0 || cpu_count(f->in[1]) == 0 || cpu_count(f->out[0]) == 0) return DL_UNSUPPORTED;
    library_plan *p = (library_plan *)cpu_host->mem(NULL, sizeof *p);
    if (!p) return cpu_host->fail(DL_NOMEM, "no memory for the plan of a convolution");
    *p = (library_plan){0};
    dl_status status = open_epilogue(f, p);
    if (status == DL_OK) p->conv = cpu_onednn_conv_open(problem);
    if (status == DL_OK && !p->conv) status = DL_UNSUPPORTED;
    if (status != DL_OK) {
        destroy_plan(p);
        return status;
    }
    plan->state = p;
    plan->destroy = destroy_plan;
    plan->scratch_bytes = cpu_onednn_conv_scratch_bytes(p->conv);
    plan->derived_bytes = cpu_onednn_conv_packed_bytes(p->conv);
    plan->derived_from = 1;
    return DL_OK;
}

static dl_status prepare_convolution(const dl_frame *f, dl_plan *plan) {
    const dl_tensor *bias = f->in[2];
    cpu_conv_problem p = problem_of(CPU_CONV_FORWARD, f->in[0], f->in[1], f->out[0], f->attr);
    if (bias && bias->shape[0] > 1 && bias->strides[0] != 1) return DL_UNSUPPORTED;
    p.has_bias = bias != NULL;
    return make_plan(f, &p, plan);
}
static dl_status prepare_backward_data(const dl_frame *f, dl_plan *plan) {
    const cpu_conv_problem p = problem_of(CPU_CONV_BACKWARD_DATA, f->out[0], f->in[1], f->in[0], f->attr + 1);
    return make_plan(f, &p, plan);
}
static dl_status prepare_backward_weight(const dl_frame *f, dl_plan *plan) {
    const cpu_conv_problem p = problem_of(CPU_CONV_BACKWARD_WEIGHT, f->in[1], f->out[0], f->in[0], f->attr + 1);
    return make_plan(f, &p, plan);
}

/* ---- run --------------------------------------------------------------------------------------------------------------- */

typedef struct finishing {
    const cpu_program *program;
    cpu_attrs attrs;
    int32_t fault; /* written atomically */
} finishing;

static void finish(void *context, float *y, int64_t n) {
    finishing *e = (finishing *)context;
    int32_t fault = 0;
    cpu_program_map_f32(e->program, &e->attrs, y, n, &fault);
    if (fault) __atomic_store_n(&e->fault, fault, __ATOMIC_RELAXED);
}

static dl_status run_plan(const dl_frame *f, const dl_plan *plan, const dl_tensor *x, const dl_tensor *weight,
                          const dl_tensor *y, const dl_tensor *bias) {
    const library_plan *p = (const library_plan *)plan->state;
    finishing e = {.program = p->epilogue};
    if (p->epilogue) cpu_program_attrs(p->epilogue, f->epilogue_attr, &e.attrs);
    const cpu_conv_call call = {.x = cpu_data(x),
                                .weight = cpu_data(weight),
                                .y = cpu_data(y),
                                .bias = bias ? cpu_data(bias) : NULL,
                                .scratch = f->scratch,
                                .packed = f->derived,
                                .packed_valid = f->derived_valid,
                                .finish = p->epilogue ? finish : NULL,
                                .context = &e};
    if (!cpu_onednn_conv_run(p->conv, &call)) return cpu_host->fail(DL_NOMEM, "oneDNN had no memory for a convolution");
    return e.fault ? cpu_host->fail(DL_NOMEM, "no memory to apply what follows the convolution") : DL_OK;
}

static dl_status run_convolution(const dl_frame *f, const dl_plan *plan) {
    return run_plan(f, plan, f->in[0], f->in[1], f->out[0], f->in[2]);
}
static dl_status run_backward_data(const dl_frame *f, const dl_plan *plan) {
    return run_plan(f, plan, f->out[0], f->in[1], f->in[0], NULL);
}
static dl_status run_backward_weight(const dl_frame *f, const dl_plan *plan) {
    return run_plan(f, plan, f->in[1], f->out[0], f->in[0], NULL);
}

dl_status CPU_ISA(register_conv_onednn)(void) {
    enum { above_conv = 10 };
    static const dl_kernel kernels[] = {
        {sizeof(dl_kernel), above_conv, "convolution", "cpu", prepare_convolution, run_convolution, NULL, DL_KERNEL_EPILOGUE},
        {sizeof(dl_kernel), above_conv, "convolution_backward_data", "cpu", prepare_backward_data, run_backward_data, NULL,
         DL_KERNEL_EPILOGUE},
        {sizeof(dl_kernel), above_conv, "convolution_backward_weight", "cpu", prepare_backward_weight, run_backward_weight,
         NULL, 0},
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
