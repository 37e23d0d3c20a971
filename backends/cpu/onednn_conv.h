/* onednn_conv.h - convolution and its gradients through oneDNN, of float32 and bfloat16. */
#ifndef CPU_ONEDNN_CONV_H
#define CPU_ONEDNN_CONV_H
#include "dlrun/base.h"

enum { CPU_CONV_SPATIAL = 3 };
enum cpu_conv_kind { CPU_CONV_FORWARD, CPU_CONV_BACKWARD_DATA, CPU_CONV_BACKWARD_WEIGHT };

/* y = convolution(x, weight), one of which is the result. Strides in elements: batch, channel, spatial dimensions. */
typedef struct cpu_conv_problem {
    enum cpu_conv_kind kind;
    dl_dtype type; /* of all */
    int32_t spatial;
    int32_t has_bias;
    int64_t batch, groups, x_channels, y_channels;
    int64_t x_size[CPU_CONV_SPATIAL], y_size[CPU_CONV_SPATIAL], kernel[CPU_CONV_SPATIAL];
    int64_t stride[CPU_CONV_SPATIAL], padding[CPU_CONV_SPATIAL], dilation[CPU_CONV_SPATIAL];
    int64_t x_stride[2 + CPU_CONV_SPATIAL], y_stride[2 + CPU_CONV_SPATIAL], weight_stride[2 + CPU_CONV_SPATIAL];
} cpu_conv_problem;

typedef struct cpu_onednn_conv cpu_onednn_conv;

/* Is oneDNN to be used even where other kernels are faster (DLRUN_ONEDNN=all)? */
int cpu_onednn_conv_forced(void);
/* NULL where oneDNN is missing or has no fast code for this problem. */
cpu_onednn_conv *cpu_onednn_conv_open(const cpu_conv_problem *);
void cpu_onednn_conv_close(void *conv); /* fits dl_plan.destroy */
uint64_t cpu_onednn_conv_scratch_bytes(const cpu_onednn_conv *);
uint64_t cpu_onednn_conv_packed_bytes(const cpu_onednn_conv *); /* of the weight as oneDNN wants it; 0: as it lies */

typedef struct cpu_conv_call {
    void *x, *weight, *y, *bias; /* first elements; bias contiguous or NULL */
    void *scratch, *packed;
    int32_t packed_valid;                               /* packed holds the weight already */
    void (*finish)(void *context, float *y, int64_t n); /* applied to the result, piece by piece, in any order; NULL: none */
    void *context;
} cpu_conv_call;

/* 0: out of memory. May be called from several threads at once. The result does not depend on the number of threads. */
int cpu_onednn_conv_run(const cpu_onednn_conv *, const cpu_conv_call *);
#endif
