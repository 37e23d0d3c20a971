/* xor.c - trains a small network on XOR from plain C: the public header and libdlrun, nothing else.
 *
 *     cc -I$PREFIX/include xor.c -L$PREFIX/lib -ldlrun -o xor
 *
 * The network is 2-4-1 with tanh between and binary cross entropy on the logit; Adam reaches a loss below 0.01 within a hundred
 * steps. Every call can fail; here a failure prints dlrun's message and ends the program. */
#include <dlrun/dlrun.h>
#include <stdio.h>
#include <stdlib.h>

static void check(dl_status status) {
    if (status == DL_OK) return;
    fprintf(stderr, "xor: %s\n", dl_last_error());
    exit(1);
}

/* Calls an op of one result. in: its tensors; attr: its other arguments, where they differ from the defaults. */
static void call(const char *op, dl_tensor *out, const dl_tensor *const *in, int n_in, const dl_attr *attr, int n_attr) {
    check(dl_call(dl_op_find(op), in, n_in, &out, 1, attr, n_attr));
}

/* A parameter: uniform numbers in -1..1, with a buffer in which backward adds up its gradient. */
typedef struct parameter {
    dl_tensor value, gradient, mean, square; /* the latter two: Adam's moments */
} parameter;

static void zeros(dl_tensor *t, int ndim, const int64_t *shape) {
    dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = ndim, .v.iv = shape}, {.kind = DL_ATTR_FLOAT, .v.f = 0}};
    call("full", t, NULL, 0, attr, 2);
}

static void make_parameter(parameter *p, int ndim, const int64_t *shape) {
    dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = ndim, .v.iv = shape}, {.kind = DL_ATTR_FLOAT, .v.f = -1}};
    call("uniform", &p->value, NULL, 0, attr, 2);
    zeros(&p->gradient, ndim, shape);
    zeros(&p->mean, ndim, shape);
    zeros(&p->square, ndim, shape);
    check(dl_requires_grad(&p->value, 1));
    check(dl_set_grad(&p->value, &p->gradient));
}

enum { W1, B1, W2, B2, PARAMETERS };

/* loss = bce(linear(tanh(linear(x, w1, b1)), w2, b2), y). Intermediate results live on in the tape; here they may go. */
static void forward(const parameter *p, const dl_tensor *x, const dl_tensor *y, dl_tensor *loss) {
    dl_tensor hidden = {0}, active = {0}, logit = {0}, each = {0};
    dl_attr all = {.kind = DL_ATTR_INTS}; /* no dims named: over all of them */
    call("linear", &hidden, (const dl_tensor *[]){x, &p[W1].value, &p[B1].value}, 3, NULL, 0);
    call("tanh", &active, (const dl_tensor *[]){&hidden}, 1, NULL, 0);
    call("linear", &logit, (const dl_tensor *[]){&active, &p[W2].value, &p[B2].value}, 3, NULL, 0);
    call("bce_with_logits", &each, (const dl_tensor *[]){&logit, y}, 2, NULL, 0);
    call("mean", loss, (const dl_tensor *[]){&each}, 1, &all, 1);
    dl_tensor_clear(&hidden);
    dl_tensor_clear(&active);
    dl_tensor_clear(&logit);
    dl_tensor_clear(&each);
}

/* One fused step over all parameters: lists of values, gradients and moments, then the step counter. */
static void adam(parameter *p, dl_tensor *step, double rate) {
    const dl_tensor *in[4 * PARAMETERS + 1];
    for (int k = 0; k < PARAMETERS; k++) {
        in[k] = &p[k].value;
        in[PARAMETERS + k] = &p[k].gradient;
        in[2 * PARAMETERS + k] = &p[k].mean;
        in[3 * PARAMETERS + k] = &p[k].square;
    }
    in[4 * PARAMETERS] = step;
    dl_attr attr = {.kind = DL_ATTR_FLOAT, .v.f = rate};
    check(dl_call(dl_op_find("adam"), in, 4 * PARAMETERS + 1, NULL, 0, &attr, 1));
}

static void zero_gradients(parameter *p) {
    for (int k = 0; k < PARAMETERS; k++) {
        dl_attr attr[] = {{.kind = DL_ATTR_INTS, .n = p[k].gradient.ndim, .v.iv = p[k].gradient.shape},
                          {.kind = DL_ATTR_FLOAT, .v.f = 0}};
        call("full", &p[k].gradient, NULL, 0, attr, 2); /* the result goes into the tensor that is there */
    }
}

int main(void) {
    static const float inputs[] = {0, 0, 0, 1, 1, 0, 1, 1}, labels[] = {0, 1, 1, 0};
    parameter p[PARAMETERS] = {0};
    dl_tensor x = {0}, y = {0}, step = {0};
    float loss = 1;
    check(dl_init());
    dl_seed(1);
    check(dl_tensor_new(&x, DL_F32, 2, (const int64_t[]){4, 2}, NULL));
    check(dl_tensor_new(&y, DL_F32, 2, (const int64_t[]){4, 1}, NULL));
    check(dl_tensor_write(&x, inputs, sizeof inputs));
    check(dl_tensor_write(&y, labels, sizeof labels));
    make_parameter(&p[W1], 2, (const int64_t[]){4, 2});
    make_parameter(&p[B1], 1, (const int64_t[]){4});
    make_parameter(&p[W2], 2, (const int64_t[]){1, 4});
    make_parameter(&p[B2], 1, (const int64_t[]){1});
    zeros(&step, 1, (const int64_t[]){1});

    for (int n = 0; n <= 1000 && loss >= 0.01f; n++) {
        dl_tensor result = {0};
        const dl_tensor *root = &result;
        forward(p, &x, &y, &result);
        check(dl_tensor_read(&result, &loss, sizeof loss));
        if (n % 50 == 0 || loss < 0.01f) printf("step %4d   loss %.4f\n", n, (double)loss);
        zero_gradients(p);
        check(dl_backward(&root, NULL, 1, NULL, NULL, 0, 0));
        adam(p, &step, 0.05);
        dl_tensor_clear(&result);
    }

    for (int k = 0; k < PARAMETERS; k++) {
        dl_tensor_clear(&p[k].value);
        dl_tensor_clear(&p[k].gradient);
        dl_tensor_clear(&p[k].mean);
        dl_tensor_clear(&p[k].square);
    }
    dl_tensor_clear(&x);
    dl_tensor_clear(&y);
    dl_tensor_clear(&step);
    return loss < 0.01f ? 0 : 1;
}
