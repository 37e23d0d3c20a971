/* onednn_conv_run.c - runs the units of a convolution that onednn_conv.c prepared. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/onednn_conv_plan.h"

#ifdef CPU_HAS_ONEDNN_CONV

/* ---- scratch: partial sums of the weight; UNCUT, where several shares read it; a slot for each thread -------------------- */

static uint64_t sums_bytes(const cpu_onednn_conv *c) {
    return towards_weight(c) ? (uint64_t)(c->parts * c->shares) * c->bytes[WEIGHT] : 0;
}
static int shares_uncut(const cpu_onednn_conv *c) { return c->shares > 1 && c->bytes[UNCUT] > 0; }
static uint64_t uncut_bytes(const cpu_onednn_conv *c) { return shares_uncut(c) ? (uint64_t)c->parts * c->bytes[UNCUT] : 0; }
static uint64_t slot_bytes(const cpu_onednn_conv *c) {
    return (shares_uncut(c) ? 0 : c->bytes[UNCUT]) + c->bytes[CUT] + c->scratchpad;
}

uint64_t cpu_onednn_conv_scratch_bytes(const cpu_onednn_conv *c) {
    return sums_bytes(c) + uncut_bytes(c) + (uint64_t)c->slots * slot_bytes(c);
}
uint64_t cpu_onednn_conv_packed_bytes(const cpu_onednn_conv *c) {
    return towards_weight(c) ? 0 : (uint64_t)c->shares * c->bytes[WEIGHT];
}

/* ---- run ---------------------------------------------------------------------------------------------------------------- */

typedef struct job {
    const cpu_onednn_conv *c;
    const cpu_conv_call *call;
    int failed; /* set atomically */
} job;

typedef struct argument_of {
    int number;
    const dnnl_memory_desc_t *desc;
    void *data;
} argument_of;

static int execute(dnnl_primitive_t primitive, dnnl_stream_t stream, int n, const argument_of *argument) {
    dnnl_exec_arg_t args[5] = {{0}};
    int ok = 1;
    for (int k = 0; k < n; k++) {
        args[k].arg = argument[k].number;
        ok = ok &&
             cpu_dnnl.dnnl_memory_create_(&args[k].memory, argument[k].desc, cpu_dnnl.engine, argument[k].data) == dnnl_success;
    }
    ok = ok && cpu_dnnl.dnnl_primitive_execute_(primitive, stream, n, args) == dnnl_success;
    for (int k = 0; k < n; k++)
        if (args[k].memory) cpu_dnnl.dnnl_memory_destroy_(args[k].memory);
    return ok;
}

/* Between where the operand lies (ours) and a copy in the layout wanted, towards the result. */
static int reorder(const cpu_onednn_conv *c, const stage *s, dnnl_stream_t stream, int operand, void *ours, void *wanted) {
    const int out = operand == result_of(c);
    const argument_of argument[] = {
        {out ? DNNL_ARG_TO : DNNL_ARG_FROM, &s->ours[operand], ours},
        {out ? DNNL_ARG_FROM : DNNL_ARG_TO, &s->wanted[operand], wanted},
    };
    return execute(s->reorder[operand], stream, 2, argument);
}

/* The first element of a part's and share's operand in the caller's memory. */
static void *place(const job *j, int operand, int64_t part, int64_t share) {
    const cpu_onednn_conv *c = j->c;
    const int64_t channel = share * (cut_channels(c) / c->shares);
    int64_t offset;
    if (operand == WEIGHT) {
        offset = channel * c->p.weight_stride[uncut_is_x(c) ? 0 : 1];
        return (char *)j->call->weight + offset * size_of(c);
    }
    const int64_t *stride = strides_of(c, operand);
    offset = part * c->stage[FULL].images * stride[0] + (operand == CUT ? channel * stride[1] : 0);
    return (char *)((operand == UNCUT) == uncut_is_x(c) ? j->call->x : j->call->y) + offset * size_of(c);
}

static char *sum_at(const job *j, int64_t part, int64_t share) {
    return (char *)j->call->scratch + (uint64_t)(part * j->c->shares + share) * j->c->bytes[WEIGHT];
}
static char *uncut_at(const job *j, int64_t part) {
    return (char *)j->call->scratch + sums_bytes(j->c) + (uint64_t)part * j->c->bytes[UNCUT];
}

/* Copies into scratch what lies otherwise than wanted; at[] becomes where the primitive finds each operand. */
static int gather(job *j, const stage *s, dnnl_stream_t stream, int64_t part, int64_t share, char *slot, void *at[OPERANDS]) {
    const cpu_onednn_conv *c = j->c;
    for (int k = 0; k < OPERANDS; k++) at[k] = place(j, k, part, share);
    if (towards_weight(c))
        at[WEIGHT] = sum_at(j, part, share);
    else if (c->bytes[WEIGHT])
        at[WEIGHT] = (char *)j->call->packed + (uint64_t)share * c->bytes[WEIGHT];
    int ok = 1;
    if (shares_uncut(c)) {
        if (s->reorder[UNCUT]) at[UNCUT] = uncut_at(j, part);
    } else {
        if (s->reorder[UNCUT]) ok = reorder(c, s, stream, UNCUT, at[UNCUT], slot), at[UNCUT] = slot;
        slot += c->bytes[UNCUT];
    }
    if (s->reorder[CUT]) {
        if (result_of(c) != CUT) ok = ok && reorder(c, s, stream, CUT, at[CUT], slot);
        at[CUT] = slot;
    }
    return ok;
}

static int run_unit(job *j, dnnl_stream_t stream, int64_t part, int64_t share, char *slot) {
    const cpu_onednn_conv *c = j->c;
    const stage *s = stage_of(c, part);
    void *at[OPERANDS];
    int ok = gather(j, s, stream, part, share, slot, at);
    argument_of argument_list[OPERANDS + 2];
    int n = 0;
    for (int k = 0; k < OPERANDS; k++) argument_list[n++] = (argument_of){c->argument[k], &s->wanted[k], at[k]};
    argument_list[n++] = (argument_of){DNNL_ARG_SCRATCHPAD, &s->scratchpad, slot + slot_bytes(c) - c->scratchpad};
    if (c->p.has_bias) {
        char *bias = (char *)j->call->bias + share * (c->p.y_channels / c->shares) * size_of(c);
        argument_list[n++] = (argument_of){DNNL_ARG_BIAS, &c->bias, bias};
    }
    ok = ok && execute(s->conv, stream, n, argument_list);
    const int copied = s->reorder[CUT] != NULL;
    if (ok && j->call->finish) {
        const int64_t count =
            copied ? (int64_t)(cpu_dnnl.dnnl_memory_desc_get_size_(&s->wanted[CUT]) / sizeof(float)) : s->elements;
        j->call->finish(j->call->context, (float *)at[CUT], count);
    }
    if (ok && copied && result_of(c) == CUT) ok = reorder(c, s, stream, CUT, place(j, CUT, part, share), at[CUT]);
    return ok;
}

/* Work of one thread with a stream of its own. */
static void with_stream(job *j, int64_t begin, int64_t end, int (*body)(job *, dnnl_stream_t, int64_t)) {
    dnnl_stream_t stream = NULL;
    cpu_library_serial();
    int ok = cpu_dnnl.dnnl_stream_create_(&stream, cpu_dnnl.engine, dnnl_stream_default_flags) == dnnl_success;
    for (int64_t k = begin; k < end && ok; k++) ok = body(j, stream, k);
    if (stream) cpu_dnnl.dnnl_stream_destroy_(stream);
    if (!ok) __atomic_store_n(&j->failed, 1, __ATOMIC_RELAXED);
}

static int run_slot(job *j, dnnl_stream_t stream, int64_t slot) {
    const cpu_onednn_conv *c = j->c;
    const int64_t units = c->parts * c->shares, end = units * (slot + 1) / c->slots;
    char *memory = (char *)j->call->scratch + sums_bytes(c) + uncut_bytes(c) + (uint64_t)slot * slot_bytes(c);
    int ok = 1;
    for (int64_t u = units * slot / c->slots; u < end && ok; u++)
        ok = run_unit(j, stream, u / c->shares, u % c->shares, memory);
    return ok;
}
static void run_slots(void *context, int64_t begin, int64_t end) { with_stream((job *)context, begin, end, run_slot); }

static int pack_share(job *j, dnnl_stream_t stream, int64_t share) {
    return reorder(j->c, &j->c->stage[FULL], stream, WEIGHT, place(j, WEIGHT, 0, share),
                   (char *)j->call->packed + (uint64_t)share * j->c->bytes[WEIGHT]);
}
static void pack_shares(void *context, int64_t begin, int64_t end) { with_stream((job *)context, begin, end, pack_share); }

static int copy_part(job *j, dnnl_stream_t stream, int64_t part) {
    const stage *s = stage_of(j->c, part);
    return !s->reorder[UNCUT] || reorder(j->c, s, stream, UNCUT, place(j, UNCUT, part, 0), uncut_at(j, part));
}
static void copy_parts(void *context, int64_t begin, int64_t end) { with_stream((job *)context, begin, end, copy_part); }

/* Elements begin..end of all shares' sums: the parts are added to the first one. */
static void add_parts(void *context, int64_t begin, int64_t end) {
    const job *j = (const job *)context;
    float *const sum = (float *)j->call->scratch;
    const int64_t step = j->c->shares * (int64_t)(j->c->bytes[WEIGHT] / sizeof(float));
    for (int64_t part = 1; part < j->c->parts; part++) {
        const float *more = sum + part * step;
        for (int64_t k = begin; k < end; k++) sum[k] += more[k];
    }
}

static int store_share(job *j, dnnl_stream_t stream, int64_t share) {
    return reorder(j->c, &j->c->stage[FULL], stream, WEIGHT, place(j, WEIGHT, 0, share), sum_at(j, 0, share));
}
static void store_shares(void *context, int64_t begin, int64_t end) { with_stream((job *)context, begin, end, store_share); }

int cpu_onednn_conv_run(const cpu_onednn_conv *c, const cpu_conv_call *call) {
    job j = {c, call, 0};
    if (cpu_onednn_conv_packed_bytes(c) && !call->packed_valid) cpu_parallel(c->shares, 1, pack_shares, &j);
    if (shares_uncut(c)) cpu_parallel(c->parts, 1, copy_parts, &j);
    cpu_parallel(c->slots, 1, run_slots, &j);
    if (towards_weight(c)) {
        if (c->parts > 1)
            cpu_parallel(c->shares * (int64_t)(c->bytes[WEIGHT] / sizeof(float)), CPU_GRAIN / c->parts, add_parts, &j);
        cpu_parallel(c->shares, 1, store_shares, &j);
    }
    return !j.failed;
}

#else

uint64_t cpu_onednn_conv_scratch_bytes(const cpu_onednn_conv *c) { return (void)c, 0; }
uint64_t cpu_onednn_conv_packed_bytes(const cpu_onednn_conv *c) { return (void)c, 0; }
int cpu_onednn_conv_run(const cpu_onednn_conv *c, const cpu_conv_call *call) { return (void)c, (void)call, 0; }
#endif
