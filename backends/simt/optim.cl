/* optim.cl - optimizer steps, one launch for each parameter. Formulas and their order of operations are those of
 * backends/cpu/kernels/optim.c. The step counter stays on the device: a kernel of its own counts it up, the others read it.
 *
 * T: the parameter's dtype; T1: the counter's. Operands of the loop: p, grad, first and second state. */
#include "backends/simt/loop.h"

KERNEL void count_step(GLOBAL T1 *step, i64 step_at) { STORE1(step, step_at, LOAD1(step, step_at) + 1); }

#define PARAMETERS                                                                                                             \
    GLOBAL T *p, i64 p_at, GLOBAL T *grad, i64 grad_at, GLOBAL T *first, i64 first_at, GLOBAL T *second, i64 second_at,        \
        GLOBAL T1 *step, i64 step_at, simt_loop l

KERNEL void sgd(PARAMETERS, A rate, A momentum, A fresh, A decay, i32 nesterov) {
    const i32 starts = LOAD1(step, step_at) == 1;
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[3];
        loop_at(&l, i, 3, at);
        const A old = LOAD(p, p_at + at[0]), d = LOAD(grad, grad_at + at[1]) + decay * old;
        A towards = d;
        if (momentum != 0) {
            const A b = starts ? d : momentum * LOAD(first, first_at + at[2]) + fresh * d;
            STORE(first, first_at + at[2], b);
            towards = nesterov ? d + momentum * b : b;
        }
        STORE(p, p_at + at[0], old - rate * towards);
    }
}

/* log_beta1, log_beta2: logarithms of the betas, -inf for 0, from which 1 - beta^t comes without cancellation. */
KERNEL void adam(PARAMETERS, A rate, A log_beta1, A log_beta2, A fresh, A keep, A gain, A eps, A shrink, A decay) {
    const A t = (A)LOAD1(step, step_at);
    const A corrected = rate / -expm1(t * log_beta1), scale = sqrt(-expm1(t * log_beta2));
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[4];
        loop_at(&l, i, 4, at);
        const A q = LOAD(p, p_at + at[0]) * shrink, d = LOAD(grad, grad_at + at[1]) + decay * q;
        const A m_old = LOAD(first, first_at + at[2]), m = m_old + fresh * (d - m_old);
        const A v = keep * LOAD(second, second_at + at[3]) + gain * d * d;
        STORE(first, first_at + at[2], m);
        STORE(second, second_at + at[3], v);
        STORE(p, p_at + at[0], q - corrected * m / (sqrt(v) / scale + eps));
    }
}

KERNEL void rmsprop(PARAMETERS, A rate, A keep, A gain, A eps, A decay, A momentum) {
    for (i64 i = global_id(0); i < l.count; i += global_size(0)) {
        i64 at[4];
        loop_at(&l, i, 4, at);
        const A old = LOAD(p, p_at + at[0]), d = LOAD(grad, grad_at + at[1]) + decay * old;
        const A v = keep * LOAD(first, first_at + at[2]) + gain * d * d;
        A towards = d / (sqrt(v) + eps);
        STORE(first, first_at + at[2], v);
        if (momentum != 0) {
            towards += momentum * LOAD(second, second_at + at[3]);
            STORE(second, second_at + at[3], towards);
        }
        STORE(p, p_at + at[0], old - rate * towards);
    }
}
