/* onednn_conv_plan.h - what onednn_conv.c prepares and onednn_conv_run.c runs. */
#ifndef CPU_ONEDNN_CONV_PLAN_H
#define CPU_ONEDNN_CONV_PLAN_H
#include "backends/cpu/onednn_conv.h"
#include "backends/cpu/onednn_library.h"

#if defined(CPU_HAS_ONEDNN) && CPU_HAS_ONEDNN == 2
#define CPU_HAS_ONEDNN_CONV

enum { UNCUT, WEIGHT, CUT, OPERANDS };
enum { FULL, LAST, STAGES };

/* The primitives for units of so many images. */
typedef struct stage {
    int64_t images, elements; /* elements of CUT */
    dnnl_primitive_t conv;
    dnnl_primitive_t reorder[OPERANDS]; /* NULL: taken as it lies */
    dnnl_memory_desc_t ours[OPERANDS], wanted[OPERANDS], scratchpad;
} stage;

struct cpu_onednn_conv {
    cpu_conv_problem p;
    stage stage[STAGES]; /* LAST: the last part of the batch, where it is smaller */
    dnnl_memory_desc_t bias;
    dnnl_dims_t stride, padding, dilation; /* dilation as oneDNN counts it, from 0 */
    int64_t parts, shares;                 /* of the batch; of the channels */
    int argument[OPERANDS];                /* by which oneDNN knows them */
    int64_t slots;                         /* threads that may work at once */
    uint64_t bytes[OPERANDS];              /* of one unit's operand as the primitive wants it */
    uint64_t scratchpad;
};

static inline int towards_weight(const cpu_onednn_conv *c) { return c->p.kind == CPU_CONV_BACKWARD_WEIGHT; }
static inline int result_of(const cpu_onednn_conv *c) { return towards_weight(c) ? WEIGHT : CUT; }
/* Is UNCUT x (or y)? CUT is the other one. */
static inline int uncut_is_x(const cpu_onednn_conv *c) { return c->p.kind != CPU_CONV_BACKWARD_DATA; }
static inline int64_t size_of(const cpu_onednn_conv *c) { return c->p.type == DL_F32 ? 4 : 2; }
static inline int64_t cut_channels(const cpu_onednn_conv *c) { return uncut_is_x(c) ? c->p.y_channels : c->p.x_channels; }
static inline const int64_t *strides_of(const cpu_onednn_conv *c, int operand) {
    return (operand == UNCUT) == uncut_is_x(c) ? c->p.x_stride : c->p.y_stride;
}

static inline int has_last(const cpu_onednn_conv *c) { return c->stage[LAST].images != c->stage[FULL].images; }
static inline const stage *stage_of(const cpu_onednn_conv *c, int64_t part) {
    return &c->stage[part == c->parts - 1 && has_last(c) ? LAST : FULL];
}
#endif

#endif
