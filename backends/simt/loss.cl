/* loss.cl - negative log likelihood and cross entropy over classes, with their gradients; a team to each sample.
 *
 * As backends/cpu/kernels/loss.c: loss[i] = -sum_c a[c] logp[i][c] for a sample's coefficients a:
 *   class y, smoothing s  (1 - s) w[y] at y, plus w[c] s / C everywhere
 *   probabilities t       w[c] ((1 - s) t[c] + s / C)
 * T: the scores' dtype, T1: the target's. */
#include "backends/simt/loop.h"
#include "backends/simt/loss.h"


/* The class of a sample; -1: ignored, -2: out of range and reported. */
DEVICE i64 label_of(GLOBAL T1 *target, i64 at, i64 classes, i64 ignore, GLOBAL i32 *fault) {
    const A1 value = LOAD1(target, at);
    const i64 label = (i64)value;
    if ((A1)label != value) { /* no whole number */
        fault_set(fault, DL_FAULT_LABEL, label);
        return -2;
    }
    if (label == ignore) return -1;
    if (label >= 0 && label < classes) return label;
    fault_set(fault, DL_FAULT_LABEL, label);
    return -2;
}

/* Coefficient of class c. label is that of a sample that counts, whatever it is where the target is probabilities. */
#define COEFFICIENT(s, c, label, smoothing)                                                                                    \
    (((1 - smoothing) * ((s).probabilities ? (A)LOAD1(target, target_at + sample * (s).target_step + (c) * (s).target_class)   \
                                           : (A)((c) == label)) +                                                              \
      smoothing / (A)(s).classes) *                                                                                            \
     ((s).weighted ? LOAD(weight, weight_at + (c) * (s).weight_step) : (A)1))

/* Each sample's loss and part of the total weight into parts[2 * sample]; logits: the scores are no log probabilities yet, and
 * those go to logp. */
KERNEL void loss_samples(GLOBAL T *scores, i64 scores_at, GLOBAL T1 *target, i64 target_at, GLOBAL T *weight, i64 weight_at,
                         GLOBAL T *logp, i64 logp_at, GLOBAL A *parts, i64 parts_at, GLOBAL i32 *fault, i64 fault_at,
                         loss_shape s, A smoothing, i32 logits, simt_team t) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const i64 sample = TEAM_NUMBER(t), item = TEAM_ITEM(t), classes = sample < s.samples ? s.classes : 0;
    const i64 from = scores_at + sample * s.scores_step, to = logp_at + sample * s.out_step;
    i64 label = -1;
    if (sample < s.samples && !s.probabilities)
        label = label_of(target, target_at + sample * s.target_step, s.classes, s.ignore, fault + fault_at);
    const i64 given = logits ? classes : 0; /* barriers stand outside conditions, which some compilers need */
    A loss = 0, most = -(A)INF_F32, sum = 0;
    for (i64 c = item; c < given; c += t.size) {
        const A v = LOAD(scores, from + c * s.scores_class);
        most = JOIN_MAX(most, v);
    }
    TEAM_JOIN(t, room, most, JOIN_MAX);
    for (i64 c = item; c < given; c += t.size) sum += exp(LOAD(scores, from + c * s.scores_class) - most);
    TEAM_JOIN(t, room, sum, JOIN_SUM);
    sum = log(sum);
    for (i64 c = item; c < given; c += t.size)
        STORE(logp, to + c * s.out_class, LOAD(scores, from + c * s.scores_class) - most - sum);
    const i32 counts = s.probabilities || label >= 0;
    if (counts && (s.probabilities || smoothing > 0)) {
        for (i64 c = item; c < classes; c += t.size)
            loss -= COEFFICIENT(s, c, label, smoothing) *
                    (logits ? LOAD(logp, to + c * s.out_class) : LOAD(scores, from + c * s.scores_class));
    } else if (counts && label % t.size == item) { /* the item that has written logp there */
        loss = -(s.weighted ? LOAD(weight, weight_at + label * s.weight_step) : (A)1) *
               (logits ? LOAD(logp, to + label * s.out_class) : LOAD(scores, from + label * s.scores_class));
    }
    TEAM_JOIN(t, room, loss, JOIN_SUM);
    if (sample < s.samples && item == 0) {
        A part = counts ? 1 : 0;
        if (!s.probabilities && counts && s.weighted) part = LOAD(weight, weight_at + label * s.weight_step);
        parts[parts_at + 2 * sample] = loss;
        parts[parts_at + 2 * sample + 1] = part;
    }
}

/* n pairs (loss, weight), summed by work groups: group g's sum into pair g of to. */
KERNEL void loss_sum(GLOBAL A *parts, i64 parts_at, i64 n, GLOBAL A *to, i64 to_at) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const simt_team t = {SIMT_TEAM_GROUP, 1};
    A loss = 0, weight = 0;
    for (i64 i = global_id(0); i < n; i += global_size(0)) {
        loss += parts[parts_at + 2 * i];
        weight += parts[parts_at + 2 * i + 1];
    }
    TEAM_JOIN(t, room, loss, JOIN_SUM);
    TEAM_JOIN(t, room, weight, JOIN_SUM);
    if (local_id(0) == 0) {
        to[to_at + 2 * group_id(0)] = loss;
        to[to_at + 2 * group_id(0) + 1] = weight;
    }
}

/* The results, from each sample's parts and the sums over them all. */
KERNEL void loss_results(GLOBAL A *parts, i64 parts_at, GLOBAL A *sums, i64 sums_at, i64 reduction, i64 samples, GLOBAL T *out,
                         i64 out_at, i64 out_step, GLOBAL T *total, i64 total_at) {
    const A loss = sums[sums_at], weight = sums[sums_at + 1];
    for (i64 i = global_id(0); reduction == LOSS_EACH && i < samples; i += global_size(0))
        STORE(out, out_at + i * out_step, parts[parts_at + 2 * i]);
    if (global_id(0) != 0) return;
    if (reduction != LOSS_EACH) STORE(out, out_at, reduction == LOSS_MEAN ? loss / weight : loss);
    STORE(total, total_at, weight);
}

/* The gradient towards scores; entropy: they are the logits of which logp is given, else they are logp. */
KERNEL void loss_backward(GLOBAL T *grad, i64 grad_at, GLOBAL T *logp, i64 logp_at, GLOBAL T1 *target, i64 target_at,
                          GLOBAL T *weight, i64 weight_at, GLOBAL T *total, i64 total_at, GLOBAL T *out, i64 out_at,
                          GLOBAL i32 *fault, i64 fault_at, loss_shape s, A smoothing, i32 entropy, simt_team t) {
    LOCAL A room[SIMT_TEAM_GROUP];
    const i64 sample = TEAM_NUMBER(t), item = TEAM_ITEM(t), classes = sample < s.samples ? s.classes : 0;
    i64 label = -1;
    A up = 0, all = 0;
    if (sample < s.samples) {
        if (!s.probabilities)
            label = label_of(target, target_at + sample * s.target_step, s.classes, s.ignore, fault + fault_at);
        up = LOAD(grad, grad_at + sample * s.grad_step);
        if (s.reduction == LOSS_MEAN) up /= LOAD(total, total_at);
    }
    const i32 counts = s.probabilities || label >= 0;
    if (counts && entropy)
        for (i64 c = item; c < classes; c += t.size) all += COEFFICIENT(s, c, label, smoothing);
    TEAM_JOIN(t, room, all, JOIN_SUM);
    for (i64 c = item; c < classes; c += t.size) {
        A v = 0;
        if (counts && entropy) {
            v = exp(LOAD(logp, logp_at + sample * s.scores_step + c * s.scores_class)) * (up * all) -
                up * COEFFICIENT(s, c, label, smoothing);
        } else if (counts && c == label) {
            v = -up * (s.weighted ? LOAD(weight, weight_at + c * s.weight_step) : (A)1);
        }
        STORE(out, out_at + sample * s.out_step + c * s.out_class, v);
    }
}
