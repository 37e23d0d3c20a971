/* segment.c - the tape of one module's last forward, for Torch7's updateGradInput and accGradParameters. */
#include "core/autograd.h"
#include "core/backward.h"
#include "core/call.h"
#include "core/mem.h"
#include "core/status.h"
#include <string.h>

struct dl_segment {
    int32_t n_in, n_params, n_out;
    int32_t open;
    dl_recording outer;
    dl_var **leaves;    /* n_in inputs (NULL where not floating), then n_params; references */
    dl_tensor **params; /* valid from begin to end: the caller's descriptors */
    int32_t *attached;  /* params that were given a variable for the time of recording */
    dl_var **roots;     /* n_out; references, NULL where an output is not on the tape */
};

static dl_status no_memory(void) { return dl_failf(DL_NOMEM, "out of memory recording a module"); }

static void detach_params(dl_segment *s) {
    for (int32_t k = 0; k < s->n_params; k++)
        if (s->attached[k]) {
            dl_var_release(s->params[k]->var);
            s->params[k]->var = NULL;
            s->attached[k] = 0;
        }
}

static void close_recording(dl_segment *s) {
    if (!s->open) return;
    detach_params(s);
    *dl_recording_now() = s->outer;
    s->open = 0;
}

void dl_segment_free(dl_segment *s) {
    if (!s) return;
    close_recording(s);
    for (int32_t k = 0; k < s->n_out; k++) dl_var_release(s->roots[k]);
    for (int32_t k = 0; s->leaves && k < s->n_in + s->n_params; k++) dl_var_release(s->leaves[k]);
    dl_mem(s->leaves, 0);
    dl_mem(s->params, 0);
    dl_mem(s->attached, 0);
    dl_mem(s->roots, 0);
    dl_mem(s, 0);
}

static dl_status add_input(dl_segment *s, int32_t k, const dl_tensor *in, dl_tensor *proxy) {
    DL_TRY(dl_tensor_detach(proxy, in));
    if (!dl_dtype_is_floating(in->type)) return DL_OK;
    DL_TRY(dl_var_leaf(in, &s->leaves[k]));
    s->leaves[k]->proxy = 1;
    proxy->var = s->leaves[k];
    dl_var_retain(proxy->var);
    return DL_OK;
}

static dl_status add_param(dl_segment *s, int32_t k, dl_tensor *param) {
    s->params[k] = param;
    if (param->var && param->var->node) return DL_OK; /* computed from something else: no leaf of this module */
    if (!dl_dtype_is_floating(param->type)) return DL_OK;
    if (!param->var) {
        DL_TRY(dl_var_leaf(param, &param->var));
        s->attached[k] = 1;
    }
    s->leaves[s->n_in + k] = param->var;
    dl_var_retain(param->var);
    return DL_OK;
}

dl_status dl_segment_begin(const dl_tensor *const *in, dl_tensor *const *proxies, int32_t n_in, dl_tensor *const *params,
                           int32_t n_params, dl_segment **out) {
    dl_segment *s = dl_mem_zero(sizeof *s);
    if (!s) return no_memory();
    s->leaves = dl_mem_zero((size_t)(n_in + n_params + 1) * sizeof *s->leaves);
    s->params = dl_mem_zero((size_t)(n_params + 1) * sizeof *s->params);
    s->attached = dl_mem_zero((size_t)(n_params + 1) * sizeof *s->attached);
    dl_status status = s->leaves && s->params && s->attached ? DL_OK : no_memory();
    if (status == DL_OK) {
        s->n_in = n_in;
        s->n_params = n_params;
        s->outer = *dl_recording_now();
        s->open = 1;
    }
    for (int32_t k = 0; k < n_in && status == DL_OK; k++) status = add_input(s, k, in[k], proxies[k]);
    for (int32_t k = 0; k < n_params && status == DL_OK; k++) status = add_param(s, k, params[k]);
    if (status != DL_OK) {
        dl_segment_free(s);
        for (int32_t k = 0; k < n_in; k++) dl_tensor_clear(proxies[k]);
        return status;
    }
    *dl_recording_now() = (dl_recording){.enabled = 1, .live = 1};
    *out = s;
    return DL_OK;
}

dl_status dl_segment_end(dl_segment *s, dl_tensor *const *out, int32_t n_out) {
    if (!s->open) return dl_failf(DL_INVALID, "the segment was ended before");
    dl_status status = DL_OK;
    for (int32_t k = 0; k < n_out && status == DL_OK; k++) status = dl_check_history(out[k]);
    close_recording(s);
    s->roots = dl_mem_zero((size_t)(n_out + 1) * sizeof *s->roots);
    if (!s->roots) status = no_memory();
    for (int32_t k = 0; k < n_out && status == DL_OK; k++) /* one output may be there twice */
        if ((s->roots[k] = out[k]->var)) dl_var_retain(s->roots[k]);
    s->n_out = status == DL_OK ? n_out : 0;
    for (int32_t k = 0; k < n_out; k++) {
        dl_var_release(out[k]->var);
        out[k]->var = NULL;
    }
    return status;
}

/* The leaf's value becomes what the caller has now. */
static dl_status refresh(dl_var *leaf, const dl_tensor *now, const char *what, int32_t k) {
    if (!leaf || !now) return DL_OK;
    char a[160], b[160];
    if (now->ndim != leaf->meta.ndim || memcmp(now->shape, leaf->meta.shape, (size_t)now->ndim * sizeof *now->shape) != 0 ||
        now->type != leaf->meta.type)
        return dl_failf(DL_INVALID, "%s %d of the last forward was %s, now it is %s; call forward again first", what, k,
                        dl_tensor_text(&leaf->meta, a, sizeof a), dl_tensor_text(now, b, sizeof b));
    dl_tensor_clear(&leaf->value);
    return dl_tensor_detach(&leaf->value, now);
}

static dl_status no_forward(const dl_segment *s) {
    return s->open || !s->roots ? dl_failf(DL_INVALID, "backward of a module before its forward was finished") : DL_OK;
}

dl_status dl_segment_backward_begin(dl_segment *s, const dl_tensor *const *in, const dl_tensor *const *params,
                                    const dl_tensor *const *grad_out, int32_t want, dl_backward_run **run) {
    DL_TRY(no_forward(s));
    for (int32_t k = 0; in && k < s->n_in; k++) DL_TRY(refresh(s->leaves[k], in[k], "input", k));
    for (int32_t k = 0; params && k < s->n_params; k++) DL_TRY(refresh(s->leaves[s->n_in + k], params[k], "parameter", k));
    dl_var **roots = dl_mem(NULL, (size_t)(s->n_out + 1) * sizeof *roots);
    if (!roots) return no_memory();
    for (int32_t k = 0; k < s->n_out; k++) roots[k] = grad_out[k] ? s->roots[k] : NULL; /* no gradient: zero, so no root */
    dl_var **first = want & DL_WANT_INPUTS ? s->leaves : s->leaves + s->n_in;
    int32_t n = (want & DL_WANT_INPUTS ? s->n_in : 0) + (want & DL_WANT_PARAMS ? s->n_params : 0);
    dl_status status = dl_backward_on(roots, grad_out, s->n_out, first, n, 0, DL_RETAIN, run);
    dl_mem(roots, 0);
    return status;
}
