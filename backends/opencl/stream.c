/* stream.c - in-order queues as streams, markers as events. */
#include "backends/opencl/opencl.h"
#include <string.h>

struct dl_event {
    cl_event event;
};

dl_status opencl_queue_new(opencl_device *d, cl_command_queue *out) {
    cl_int error;
    *out = cl.CreateCommandQueue(d->context, d->id, 0, &error);
    return *out ? DL_OK : opencl_fail(error, "making a queue on %s", d->name);
}

static dl_status synchronize(opencl_device *d, dl_stream *s, opencl_errand *e) {
    cl_event end;
    CL_TRY(opencl_fault_read(d, s, &e->report));
    const cl_int error = cl.EnqueueMarkerWithWaitList(s->queue, 0, NULL, &end);
    if (error != CL_SUCCESS) {
        cl.Finish(s->queue); /* the report is being read */
        return opencl_fail(error, "waiting for %s", d->name);
    }
    return opencl_fault_await(d, s, e, end);
}

dl_status opencl_synchronize(dl_device *device, dl_stream *stream) {
    opencl_errand *e;
    CL_TRY(opencl_errand_new(0, &e));
    const dl_status status = synchronize(opencl_of(device), opencl_stream(device, stream), e);
    opencl_errand_free(e);
    return status;
}

dl_status opencl_stream_new(dl_device *device, dl_stream **out) {
    dl_stream *s = opencl_host->mem(NULL, sizeof *s);
    if (!s) return opencl_host->fail(DL_NOMEM, "out of memory making a stream");
    memset(s, 0, sizeof *s);
    const dl_status status = opencl_queue_new(opencl_of(device), &s->queue);
    if (status == DL_OK)
        *out = s;
    else
        opencl_host->mem(s, 0);
    return status;
}

void opencl_stream_free(dl_device *device, dl_stream *stream) {
    (void)device;
    if (!stream) return;
    opencl_pace_end(stream);
    cl.ReleaseCommandQueue(stream->queue);
    opencl_host->mem(stream, 0);
}

/* ---- events ---------------------------------------------------------------------------------------------------------------
 */

dl_status opencl_event_record(dl_device *device, dl_stream *stream, dl_event **out) {
    opencl_device *d = opencl_of(device);
    dl_stream *s = opencl_stream(device, stream);
    dl_event *e = opencl_host->mem(NULL, sizeof *e);
    if (!e) return opencl_host->fail(DL_NOMEM, "out of memory making an event");
    cl_int error = cl.EnqueueMarkerWithWaitList(s->queue, 0, NULL, &e->event);
    if (error != CL_SUCCESS) {
        opencl_host->mem(e, 0);
        return opencl_fail(error, "recording an event on %s", d->name);
    }
    cl.Flush(s->queue); /* another queue may wait for it */
    *out = e;
    return DL_OK;
}

dl_status opencl_event_wait(dl_device *device, dl_stream *stream, dl_event *event) {
    if (!stream) return opencl_await(opencl_of(device), event->event); /* it was flushed when it was recorded */
    const cl_int error = cl.EnqueueBarrierWithWaitList(stream->queue, 1, &event->event, NULL);
    return error == CL_SUCCESS ? DL_OK : opencl_fail(error, "waiting for an event on %s", opencl_of(device)->name);
}

void opencl_event_free(dl_device *device, dl_event *event) {
    (void)device;
    if (!event) return;
    cl.ReleaseEvent(event->event);
    opencl_host->mem(event, 0);
}
