/* train_step.c - see train_step.h. */
#include "train_step.h"

void train_make(train_net *t) {
    static const char *const shapes[TRAIN_PARAMS] = {"16,8", "16", "4,16", "4"};
    memset(t, 0, sizeof *t);
    et_random(&t->x, DL_F32, "5,8", 1);
    et_make(&t->y, DL_I64, "5", (const double[]){0, 3, 1, 2, 3});
    et_make(&t->step, DL_F32, "1", (const double[]){0});
    et_make(&t->loss, DL_F32, "", (const double[]){0});
    for (int k = 0; k < TRAIN_PARAMS; k++) {
        dl_tensor *zero[] = {&t->grad[k], &t->m[k], &t->v[k]};
        et_random(&t->p[k], DL_F32, shapes[k], 2 + (uint64_t)k);
        for (int j = 0; j < 3; j++) et_call("mul_scalar", zero[j], IN(&t->p[k]), ATTR(REAL(0)));
        assert_ok(dl_requires_grad(&t->p[k], 1));
        assert_ok(dl_set_grad(&t->p[k], &t->grad[k]));
    }
}

void train_free(train_net *t) {
    et_clear(&t->x, &t->y, &t->step, &t->loss);
    for (int k = 0; k < TRAIN_PARAMS; k++) et_clear(&t->p[k], &t->grad[k], &t->m[k], &t->v[k]);
}

static dl_status zero_gradients(train_net *t) {
    dl_status status = DL_OK;
    for (int k = 0; k < TRAIN_PARAMS && status == DL_OK; k++)
        status = et_try("mul_scalar", &t->grad[k], IN(&t->grad[k]), ATTR(REAL(0)));
    return status;
}

static dl_status forward(train_net *t, dl_tensor *loss) {
    dl_tensor h = {0}, dropped = {0}, mask = {0}, logits = {0}, logp = {0}, total = {0};
    dl_epilogue relu = {dl_op_find("relu"), 0, NULL};
    dl_tensor *hidden[] = {&h}, *drop[] = {&dropped, &mask}, *entropy[] = {loss, &logp, &total};
    dl_status status =
        dl_call_fused(dl_op_find("linear"), (const dl_tensor *[]){&t->x, &t->p[0], &t->p[1]}, 3, hidden, 1, NULL, 0, &relu, 1);
    if (status == DL_OK) status = dl_call(dl_op_find("dropout"), IN(&h), drop, 2, ATTR(REAL(0.5)));
    if (status == DL_OK) status = et_try("linear", &logits, (const dl_tensor *[]){&dropped, &t->p[2], &t->p[3]}, 3, NONE);
    if (status == DL_OK)
        status = dl_call(dl_op_find("cross_entropy"), (const dl_tensor *[]){&logits, &t->y, NULL}, 3, entropy, 3, NONE);
    et_clear(&h, &dropped, &mask, &logits, &logp, &total);
    return status;
}

static dl_status adam(train_net *t) {
    const dl_tensor *in[4 * TRAIN_PARAMS + 1];
    for (int k = 0; k < TRAIN_PARAMS; k++) {
        const dl_tensor *of[] = {&t->p[k], &t->grad[k], &t->m[k], &t->v[k]};
        for (int j = 0; j < 4; j++) in[j * TRAIN_PARAMS + k] = of[j];
    }
    in[4 * TRAIN_PARAMS] = &t->step;
    return dl_call(dl_op_find("adam"), in, 4 * TRAIN_PARAMS + 1, NULL, 0, ATTR(REAL(0.01)));
}

dl_status train_run(train_net *t) {
    dl_tensor loss = {0}, bare = {0};
    const dl_tensor *root = &loss;
    dl_status status = zero_gradients(t);
    if (status == DL_OK) status = forward(t, &loss);
    if (status == DL_OK) status = dl_backward(&root, NULL, 1, NULL, NULL, 0, 0);
    if (status == DL_OK) status = dl_tensor_detach(&bare, &loss);
    if (status == DL_OK) status = et_try("copy", &t->loss, IN(&bare), NONE);
    if (status == DL_OK) status = adam(t);
    et_clear(&loss, &bare);
    return status;
}

void train_same(const train_net *a, const train_net *b) {
    et_same_bits(&a->loss, &b->loss);
    et_same_bits(&a->step, &b->step);
    for (int k = 0; k < TRAIN_PARAMS; k++) {
        et_same_bits(&a->p[k], &b->p[k]);
        et_same_bits(&a->grad[k], &b->grad[k]);
        et_same_bits(&a->m[k], &b->m[k]);
        et_same_bits(&a->v[k], &b->v[k]);
    }
}
