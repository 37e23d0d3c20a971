/* fault.c - the fault word: where kernels that met bad data say so (dlrun/simt.h), and where the host looks.
 *
 * Reading it costs a command. So launch.c notes on the stream that a kernel got the word as an argument, and it is read with
 * the next copy to the host or synchronisation of that stream only. The word is the device's: of two streams' faults at one
 * time one may hide the other, so that only one of two threads hears of bad data. */
#include "backends/opencl/opencl.h"
#include <stdio.h>
#include <string.h>

/* DL_FAULT_* of dlrun/simt.h, which is no header for C. */
static const struct {
    int code;
    const char *format; /* of the value */
} sentences[] = {
    {1, "index %lld (counted from 0) is out of range"},
    {2, "label %lld (counted from 0) is out of range or no whole number"},
    {3, "the mask takes more elements than src has: %lld"},
};

static const int32_t no_fault[4];

dl_status opencl_fault_new(opencl_device *d) {
    cl_int error;
    int32_t word[4] = {0};
    d->fault = cl.CreateBuffer(d->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, sizeof word, word, &error);
    return d->fault ? DL_OK : opencl_fail(error, "opening the OpenCL device %s", d->name);
}

void *opencl_fault(dl_device *device) { return opencl_of(device)->fault; }

dl_status opencl_fault_read(opencl_device *d, dl_stream *s, opencl_fault_report *report) {
    memset(report, 0, sizeof *report);
    report->looked = atomic_exchange(&s->fault_possible, 0);
    if (!report->looked) return DL_OK;
    const cl_int error =
        cl.EnqueueReadBuffer(s->queue, d->fault, CL_FALSE, 0, sizeof report->word, report->word, 0, NULL, NULL);
    if (error == CL_SUCCESS) return DL_OK;
    atomic_store(&s->fault_possible, 1);
    return opencl_fail(error, "reading from %s", d->name);
}

static dl_status clear(opencl_device *d, dl_stream *s) {
    const cl_int error = cl.EnqueueWriteBuffer(s->queue, d->fault, CL_TRUE, 0, sizeof no_fault, no_fault, 0, NULL, NULL);
    return error == CL_SUCCESS ? DL_OK : opencl_fail(error, "writing to %s", d->name);
}

dl_status opencl_fault_judge(opencl_device *d, dl_stream *s, const opencl_fault_report *report) {
    const int code = report->word[0];
    const long long value = (int64_t)((uint64_t)(uint32_t)report->word[2] << 32 | (uint32_t)report->word[1]);
    if (!report->looked || code == 0) return DL_OK;
    CL_TRY(clear(d, s));
    for (size_t k = 0; k < sizeof sentences / sizeof *sentences; k++)
        if (sentences[k].code == code) {
            char text[160];
            snprintf(text, sizeof text, sentences[k].format, value);
            return opencl_host->fail(DL_INVALID,
                                     "%s (found on the device, in one of the calls since the last result was read; on the CPU "
                                     "the call itself fails)",
                                     text);
        }
    return opencl_host->fail(DL_INTERNAL, "a kernel reported the unknown fault %d (value %lld)", code, value);
}

dl_status opencl_fault_await(opencl_device *d, dl_stream *s, opencl_errand *e, cl_event last) {
    const dl_status status = opencl_errand_wait(d, s, e, last);
    if (status == DL_OK) return opencl_fault_judge(d, s, &e->report);
    if (e->report.looked) atomic_store(&s->fault_possible, 1);
    return status;
}
