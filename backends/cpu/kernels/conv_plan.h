/* conv_plan.h - how convolutions are to be computed: what a call says, as gathers (conv.h) and their blocks. */
#ifndef CPU_CONV_PLAN_H
#define CPU_CONV_PLAN_H
#include "conv.h"

/* Attributes of a convolution, and its three tensors: y stands for a gradient where one comes in. */
typedef struct conv_problem {
    conv_tensor x, weight, y;
    int64_t stride[CONV_DIMS], padding[CONV_DIMS], dilation[CONV_DIMS], groups;
} conv_problem;

/* attr: stride, padding, dilation, groups. */
conv_problem CPU_ISA(conv_problem_of)(const dl_tensor *x, const dl_tensor *weight, const dl_tensor *y, const dl_attr *attr);

/* What a plan reads must have its channels side by side: x here, y for the gradient towards x, both for that towards the
 * weight. */
void CPU_ISA(conv_plan_forward)(conv_product *, const conv_problem *, dl_dtype computed);
/* The gradient towards x: how many products it is, and number `number` of them. */
int64_t CPU_ISA(conv_backward_products)(const conv_problem *);
void CPU_ISA(conv_plan_backward)(conv_product *, const conv_problem *, int64_t number, dl_dtype computed);
/* The gradient towards the weight. */
void CPU_ISA(conv_plan_weight)(conv_weight *, const conv_problem *, dl_dtype computed);
#define conv_problem_of CPU_ISA(conv_problem_of)
#define conv_plan_forward CPU_ISA(conv_plan_forward)
#define conv_backward_products CPU_ISA(conv_backward_products)
#define conv_plan_backward CPU_ISA(conv_plan_backward)
#define conv_plan_weight CPU_ISA(conv_plan_weight)

#endif
