/* fallback.c - running on the CPU what a backend lacks. */
#include "core/fallback.h"
#include "core/mem.h"
#include "core/status.h"
#include <stdatomic.h>

static _Atomic int32_t allowed;
static _Atomic uint64_t call_count, byte_count;

void dl_set_fallback(int32_t on) { allowed = on; }

static _Thread_local int32_t suspended;

int32_t dl_fallback_suspend(void) {
    const int32_t before = suspended;
    suspended = 1;
    return before;
}

void dl_fallback_resume(int32_t before) { suspended = before; }

int32_t dl_fallback_allowed(const dl_device *device) { return allowed && !suspended && !dl_on_host(device); }

void dl_fallback_counts(uint64_t *calls, uint64_t *bytes) {
    *calls = call_count;
    *bytes = byte_count;
}

static uint64_t bytes_of(const dl_tensor *t) { return (uint64_t)dl_tensor_count(t) * (uint64_t)dl_dtype_bytes(t->type); }

static dl_status fetch(dl_tensor *host, const dl_tensor *t, dl_device *cpu) {
    if (!t) return DL_OK;
    byte_count += bytes_of(t);
    return dl_tensor_to(host, t, cpu, t->type);
}

/* What the op wrote in its inputs (an optimizer's state) returns to them. */
static dl_status give_back(const dl_op *op, const dl_frame *f, uint32_t k, const dl_tensor *host) {
    if (!f->in[k] || !dl_op_argument(op, (int32_t)k, (int32_t)f->n_in)->written) return DL_OK;
    byte_count += bytes_of(host);
    return dl_tensor_write((dl_tensor *)f->in[k], (char *)host->data + host->byte_offset, bytes_of(host));
}

dl_status dl_fallback_run(const dl_op *op, const dl_frame *f) {
    dl_device *cpu;
    DL_TRY(dl_device_open("cpu", &cpu));
    dl_tensor *hosts = dl_mem_zero((f->n_in + 1) * sizeof *hosts);
    const dl_tensor **in = dl_mem_zero((f->n_in + 1) * sizeof *in);
    dl_tensor results[DL_MAX_OUTS] = {0}, *out[DL_MAX_OUTS];
    dl_status status = hosts && in ? DL_OK : dl_failf(DL_NOMEM, "out of memory falling back to the CPU");
    for (uint32_t k = 0; k < f->n_in && status == DL_OK; k++) {
        status = fetch(&hosts[k], f->in[k], cpu);
        in[k] = f->in[k] ? &hosts[k] : NULL;
    }
    for (uint32_t k = 0; k < f->n_out; k++) {
        out[k] = &results[k];
        /* an output of the right type and shape on the CPU, so that ops without inputs run there too */
        if (status == DL_OK && !(op->def.flags & DL_OP_SYNC))
            status = dl_tensor_new(&results[k], f->out[k]->type, f->out[k]->ndim, f->out[k]->shape, cpu);
    }
    int32_t recording = dl_set_grad_enabled(0);
    if (status == DL_OK) status = dl_call(op->id, in, (int32_t)f->n_in, out, (int32_t)f->n_out, f->attr, (int32_t)f->n_attr);
    dl_set_grad_enabled(recording);
    for (uint32_t k = 0; k < f->n_out && status == DL_OK; k++) {
        byte_count += bytes_of(&results[k]);
        if (op->def.flags & DL_OP_SYNC)
            status = dl_tensor_to(f->out[k], &results[k], f->device, results[k].type);
        else
            status = dl_tensor_write(f->out[k], (char *)results[k].data + results[k].byte_offset, bytes_of(&results[k]));
    }
    for (uint32_t k = 0; k < f->n_in && status == DL_OK; k++) status = give_back(op, f, k, &hosts[k]);
    call_count++;
    for (uint32_t k = 0; hosts && k < f->n_in; k++) dl_tensor_clear(&hosts[k]);
    for (uint32_t k = 0; k < f->n_out; k++) dl_tensor_clear(&results[k]);
    dl_mem(hosts, 0);
    dl_mem(in, 0);
    return status;
}
