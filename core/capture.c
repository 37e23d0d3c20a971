/* capture.c - records the kernel runs of a step and replays them on the same tensors.
 *
 * What is kept is what passed the door's last gate: kernel, plan and frame. Casts, compositions and gradients went through the
 * same gate, so a replay needs neither the front end nor inference. The capture holds a reference to every storage. */
#include "core/capture.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/status.h"
#include "core/storage.h"
#include <string.h>

typedef struct step {
    const dl_op *op;
    dl_cached_plan *plan; /* referenced */
    dl_frame frame;       /* its pointers lead into the block below */
    dl_tensor *tensors;   /* inputs, then outputs; the block starts here */
} step;

struct dl_capture {
    int32_t n, capacity;
    step *steps;
    const char *refused; /* why, or NULL */
};

static _Thread_local dl_capture *active;

int dl_capturing(void) { return active != NULL; }

dl_capture *dl_capture_pause(void) {
    dl_capture *c = active;
    active = NULL;
    return c;
}

void dl_capture_resume(dl_capture *c) { active = c; }

void dl_capture_refuse(const char *why) {
    if (active && !active->refused) active->refused = why;
}

static void free_tensors(step *s, uint32_t n) {
    for (uint32_t t = 0; s->tensors && t < n; t++) dl_tensor_clear(&s->tensors[t]);
    dl_mem(s->tensors, 0);
}

void dl_capture_free(dl_capture *c) {
    if (!c) return;
    for (int32_t k = 0; k < c->n; k++) {
        free_tensors(&c->steps[k], c->steps[k].frame.n_in + c->steps[k].frame.n_out);
        dl_plan_release(c->steps[k].plan);
    }
    dl_mem(c->steps, 0);
    dl_mem(c, 0);
}

dl_status dl_capture_begin(void) {
    if (active) return dl_failf(DL_INVALID, "a capture is in progress on this thread; end it first");
    active = dl_mem_zero(sizeof *active);
    return active ? DL_OK : dl_failf(DL_NOMEM, "out of memory starting a capture");
}

/* ---- recording ---------------------------------------------------------------------------------------------------------- */

static size_t list_bytes(const dl_attr *a, uint32_t n) {
    size_t bytes = 0;
    for (uint32_t k = 0; k < n; k++)
        bytes += a[k].kind == DL_ATTR_INTS     ? (size_t)a[k].n * sizeof *a[k].v.iv
                 : a[k].kind == DL_ATTR_STRING ? (strlen(a[k].v.s) + 8) & ~(size_t)7
                                               : 0;
    return bytes;
}

/* Copies attributes to *room (attributes first, then their lists) and moves *room on. */
static const dl_attr *copy_attrs(const dl_attr *from, uint32_t n, char **room) {
    dl_attr *to = (dl_attr *)(void *)*room;
    char *at = *room + n * sizeof *to;
    for (uint32_t k = 0; k < n; k++) {
        size_t bytes = list_bytes(&from[k], 1);
        to[k] = from[k];
        if (from[k].kind == DL_ATTR_INTS) to[k].v.iv = (const int64_t *)(void *)at;
        if (from[k].kind == DL_ATTR_STRING) to[k].v.s = at;
        if (from[k].kind == DL_ATTR_INTS && bytes) memcpy(at, from[k].v.iv, bytes);
        if (from[k].kind == DL_ATTR_STRING) strcpy(at, from[k].v.s);
        at += bytes;
    }
    *room = at;
    return to;
}

/* An alias that keeps flags out: expanded views of pointwise inputs are borrowed, the capture's are owned. */
static dl_status hold(dl_tensor *to, const dl_tensor *t) { return t ? dl_tensor_detach(to, t) : DL_OK; }

static dl_status copy_frame(step *s, const dl_frame *f) {
    uint32_t n = f->n_in + f->n_out, n_epilogue = f->epilogue ? f->epilogue->n_attr : 0, n_prog = f->prog ? f->prog->n_attr : 0;
    size_t bytes = n * (sizeof(dl_tensor) + sizeof(dl_tensor *)) + (f->n_attr + n_epilogue + n_prog) * sizeof(dl_attr) +
                   list_bytes(f->attr, f->n_attr);
    s->tensors = dl_mem_zero(bytes + 1);
    if (!s->tensors) return dl_failf(DL_NOMEM, "out of memory capturing %s", s->op->name);
    s->frame = *f;
    dl_tensor **pointers = (dl_tensor **)(void *)(s->tensors + n);
    char *room = (char *)(pointers + n);
    for (uint32_t k = 0; k < n; k++) {
        const dl_tensor *t = k < f->n_in ? f->in[k] : f->out[k - f->n_in];
        DL_TRY(hold(&s->tensors[k], t));
        pointers[k] = t ? &s->tensors[k] : NULL;
    }
    s->frame.in = (const dl_tensor *const *)pointers;
    s->frame.out = pointers + f->n_in;
    s->frame.attr = copy_attrs(f->attr, f->n_attr, &room);
    if (n_prog) s->frame.prog_attr = copy_attrs(f->prog_attr, n_prog, &room);
    if (n_epilogue) s->frame.epilogue_attr = copy_attrs(f->epilogue_attr, n_epilogue, &room);
    return DL_OK;
}

static dl_status grow(dl_capture *c) {
    if (c->n < c->capacity) return DL_OK;
    int32_t capacity = c->capacity ? 2 * c->capacity : 64;
    step *more = dl_mem(c->steps, (size_t)capacity * sizeof *more);
    if (!more) return dl_failf(DL_NOMEM, "out of memory capturing a step");
    c->steps = more;
    c->capacity = capacity;
    return DL_OK;
}

dl_status dl_capture_note(const dl_op *op, const dl_frame *f, dl_cached_plan *plan) {
    if (!active || active->refused) return DL_OK;
    DL_TRY(grow(active));
    step *s = &active->steps[active->n];
    *s = (step){.op = op, .plan = plan};
    dl_status status = copy_frame(s, f);
    if (status != DL_OK) {
        free_tensors(s, f->n_in + f->n_out);
        return status;
    }
    atomic_fetch_add(&plan->references, 1);
    active->n++;
    return DL_OK;
}

dl_status dl_capture_end(dl_capture **out) {
    dl_capture *c = active;
    if (!c) return dl_failf(DL_INVALID, "no capture is in progress on this thread");
    active = NULL;
    if (c->refused) {
        const char *why = c->refused;
        dl_capture_free(c);
        return dl_failf(DL_UNSUPPORTED, "the step cannot be captured: %s", why);
    }
    *out = c;
    return DL_OK;
}

/* ---- replaying ---------------------------------------------------------------------------------------------------------- */

static void touch_written(const step *s) {
    if (!(s->op->def.flags & DL_OP_MUTATES)) return;
    for (uint32_t k = 0; k < s->frame.n_in; k++)
        if (s->frame.in[k] && dl_op_argument(s->op, (int32_t)k, (int32_t)s->frame.n_in)->written)
            dl_storage_touch(s->frame.in[k]->storage);
}

dl_status dl_capture_replay(dl_capture *c) {
    if (active) return dl_failf(DL_INVALID, "a capture cannot be replayed while another is recorded");
    for (int32_t k = 0; k < c->n; k++) {
        step *s = &c->steps[k];
        if (dl_interrupted() && dl_take_interrupt()) return dl_failf(DL_INTERRUPTED, "interrupted");
        if (s->op->def.flags & DL_OP_RANDOM) dl_random_bind(&s->frame);
        DL_TRY(dl_plan_run(s->op, &s->frame, s->plan));
        touch_written(s);
    }
    return DL_OK;
}

int32_t dl_capture_calls(const dl_capture *c) { return c->n; }
