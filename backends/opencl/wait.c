/* wait.c - how the host waits for a device: so that Ctrl-C ends it, and for no more than is needed.
 *
 * A blocking OpenCL command cannot be interrupted. So the host asks for a while what has become of its last command, then puts
 * a callback on that command's event and waits for a condition that it signals, looking for an interrupt now and then. What
 * such commands write to lies in an errand, which the driver holds until they have run: a wait that ends early leaves nothing
 * that writes to the caller's memory.
 *
 * Back-pressure. A loop without reads could put any number of commands on the queue, and the device would go on with them long
 * after the host was interrupted. There are at most IN_FLIGHT: after every half of that a marker is put, and the one before it
 * waited for. Half of them are then still in flight, so that the device does not idle meanwhile. No result depends on these
 * waits. */
#include "backends/opencl/opencl.h"
#include <string.h>
#include <time.h>

enum { IN_FLIGHT = 128, HALF = IN_FLIGHT / 2, COMMANDS_PER_FLUSH = 16 };
enum { LOOK_NS = 5 * 1000 * 1000, SPIN_NS = 50 * 1000, SECOND_NS = 1000 * 1000 * 1000 };

/* ---- errands --------------------------------------------------------------------------------------------------------------
 */

dl_status opencl_errand_new(uint64_t bytes, opencl_errand **out) {
    opencl_errand *e = opencl_host->mem(NULL, sizeof *e + (size_t)bytes);
    if (!e) return opencl_host->fail(DL_NOMEM, "out of memory for a command of OpenCL");
    memset(e, 0, sizeof *e);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&e->done, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&e->lock, NULL);
    e->holders = 1;
    e->state = CL_QUEUED;
    *out = e;
    return DL_OK;
}

void opencl_errand_free(opencl_errand *e) {
    pthread_mutex_lock(&e->lock);
    const int left = --e->holders;
    pthread_mutex_unlock(&e->lock);
    if (left) return;
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->done);
    opencl_host->mem(e, 0);
}

/* Called by the driver, in a thread of its own. */
static void CL_CALLBACK on_end(cl_event event, cl_int state, void *errand) {
    opencl_errand *e = errand;
    (void)event;
    pthread_mutex_lock(&e->lock);
    e->state = state;
    pthread_cond_signal(&e->done);
    pthread_mutex_unlock(&e->lock);
    opencl_errand_free(e);
}

static dl_status watch(opencl_device *d, opencl_errand *e, cl_event event) {
    e->holders++; /* nobody else has it yet */
    const cl_int error = cl.SetEventCallback(event, CL_COMPLETE, on_end, e);
    if (error == CL_SUCCESS) return DL_OK;
    e->holders--;
    return opencl_fail(error, "waiting for %s", d->name);
}

dl_status opencl_errand_go(opencl_device *d, dl_stream *s, opencl_errand *e, cl_event last) {
    const dl_status status = watch(d, e, last);
    if (status != DL_OK) cl.Finish(s->queue); /* the caller is going to free it */
    cl.ReleaseEvent(last);
    return status;
}

/* ---- waiting --------------------------------------------------------------------------------------------------------------
 */

static struct timespec later(int64_t ns) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ns;
    if (t.tv_nsec >= SECOND_NS) t.tv_sec++, t.tv_nsec -= SECOND_NS;
    return t;
}

static int is_past(struct timespec end) {
    const struct timespec t = later(0);
    return t.tv_sec > end.tv_sec || (t.tv_sec == end.tv_sec && t.tv_nsec >= end.tv_nsec);
}

/* What has become of the event, asked for a short while: a callback takes longer than a short command. The threads of a device
 * that is this processor would wait for the asking one, so there it is asked once. */
static cl_int spin(const opencl_device *d, cl_event event) {
    const struct timespec end = later(d->kind == CL_DEVICE_TYPE_CPU ? 0 : SPIN_NS);
    cl_int state, error;
    do error = cl.GetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    while (error == CL_SUCCESS && state > CL_COMPLETE && !is_past(end));
    return error == CL_SUCCESS ? state : error;
}

/* The errand's state, once that is final or there is an interrupt. */
static cl_int sleep_on(opencl_errand *e) {
    pthread_mutex_lock(&e->lock);
    while (e->state > CL_COMPLETE && !opencl_host->interrupted()) {
        const struct timespec until = later(LOOK_NS);
        pthread_cond_timedwait(&e->done, &e->lock, &until);
    }
    const cl_int state = e->state;
    pthread_mutex_unlock(&e->lock);
    return state;
}

static dl_status outcome(const opencl_device *d, cl_int state) {
    if (state == CL_COMPLETE) return DL_OK;
    if (state > CL_COMPLETE) return opencl_host->fail(DL_INTERRUPTED, "interrupted");
    return opencl_fail(state, "waiting for %s", d->name);
}

dl_status opencl_errand_wait(opencl_device *d, dl_stream *s, opencl_errand *e, cl_event last) {
    cl.Flush(s->queue);
    cl_int state = spin(d, last);
    dl_status status = DL_OK;
    if (state > CL_COMPLETE) {
        status = opencl_errand_go(d, s, e, last);
        if (status == DL_OK) state = sleep_on(e);
    } else {
        cl.ReleaseEvent(last);
    }
    return status == DL_OK ? outcome(d, state) : status;
}

dl_status opencl_await(opencl_device *d, cl_event event) {
    cl_int state = spin(d, event);
    opencl_errand *e;
    if (state <= CL_COMPLETE) return outcome(d, state);
    CL_TRY(opencl_errand_new(0, &e));
    dl_status status = watch(d, e, event);
    if (status == DL_OK) status = outcome(d, sleep_on(e));
    opencl_errand_free(e);
    return status;
}

static dl_status put_marker(opencl_device *d, dl_stream *s, cl_event *out) {
    const cl_int error = cl.EnqueueMarkerWithWaitList(s->queue, 0, NULL, out);
    if (error != CL_SUCCESS) return opencl_fail(error, "recording an event on %s", d->name);
    cl.Flush(s->queue);
    return DL_OK;
}

dl_status opencl_drain(opencl_device *d, dl_stream *s) {
    cl_event end;
    CL_TRY(put_marker(d, s, &end));
    const dl_status status = opencl_await(d, end);
    cl.ReleaseEvent(end);
    return status;
}

dl_status opencl_pace(opencl_device *d, dl_stream *s) {
    const unsigned n = atomic_fetch_add(&s->commands, 1);
    /* Drivers may hold commands back until a flush; the device should work while the host goes on. */
    if (n % COMMANDS_PER_FLUSH == COMMANDS_PER_FLUSH - 1) cl.Flush(s->queue);
    if (n % HALF != HALF - 1) return DL_OK;
    cl_event mark;
    CL_TRY(put_marker(d, s, &mark));
    const cl_event before = atomic_exchange(&s->mark, mark);
    if (!before) return DL_OK;
    const dl_status status = opencl_await(d, before);
    cl.ReleaseEvent(before);
    return status;
}

void opencl_pace_end(dl_stream *s) {
    const cl_event mark = atomic_exchange(&s->mark, NULL);
    if (mark) cl.ReleaseEvent(mark);
}
