/* opencl.h - what the files of the OpenCL backend share.
 *
 * The loader (libOpenCL.so.1) is opened at run time; the headers are needed by the build alone. OpenCL 1.2 is the floor. A
 * tensor's data is the cl_mem itself, so that a kernel's argument is a pointer to it; offsets travel beside it. One context a
 * device, one in-order queue a stream. */
#ifndef OPENCL_H
#define OPENCL_H
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <pthread.h>
#include <stdatomic.h>
#include "dlrun/plugin.h"

extern const dl_host *opencl_host; /* set first thing in dl_plugin_init */

#define CL_TRY(call)                                                                                                           \
    do {                                                                                                                       \
        const dl_status status_ = (call);                                                                                      \
        if (status_ != DL_OK) return status_;                                                                                  \
    } while (0)

/* ---- the loader (library.c) -----------------------------------------------------------------------------------------------
 */

typedef struct opencl_library {
#define OPENCL_FUNCTION(name) __typeof__(cl##name) *name;
#include "backends/opencl/library.def"
#undef OPENCL_FUNCTION
} opencl_library;
extern opencl_library cl; /* usable after opencl_library_open() == DL_OK */

/* Opens the loader at the first call. DL_UNSUPPORTED with a message where there is none. */
dl_status opencl_library_open(void);

/* ---- errors (error.c) -----------------------------------------------------------------------------------------------------
 */

/* Leaves "<formatted>: CL_NAME (code)", and what to do about it, and returns the status that error.def gives the code. */
dl_status opencl_fail(cl_int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *opencl_error_name(cl_int code); /* "CL_NAME" */

/* ---- devices (device.c) ---------------------------------------------------------------------------------------------------
 */

struct dl_stream {
    cl_command_queue queue;
    atomic_int fault_possible; /* a kernel with the fault word was enqueued since it was last looked at */
    atomic_uint commands;      /* enqueued by launch.c and its like; see wait.c */
    _Atomic(cl_event) mark;    /* the newest marker of wait.c, or NULL */
};

typedef struct opencl_program opencl_program;   /* compile.c */
typedef struct opencl_function opencl_function; /* compile.c */

typedef struct opencl_device {
    dl_device head; /* head.state points to this struct */
    cl_device_id id;
    cl_context context;
    cl_device_type kind;
    uint64_t largest_buffer; /* bytes */
    char name[128];
    char identity[512]; /* name, version and driver: what compiled programs depend on */
    char options[128];  /* of every build */
    cl_mem fault;
    dl_stream own;        /* where a caller gives no stream */
    pthread_mutex_t lock; /* guards the two lists; held while a program is built */
    opencl_program *programs;
    opencl_function *functions;
} opencl_device;

static inline opencl_device *opencl_of(dl_device *d) { return (opencl_device *)d; }
static inline dl_stream *opencl_stream(dl_device *d, dl_stream *s) { return s ? s : &opencl_of(d)->own; }

dl_status opencl_count(int32_t *n);
dl_status opencl_info(int32_t index, dl_device_info *out);
dl_status opencl_open(int32_t index, dl_device **out);
void opencl_close(dl_device *device);

/* ---- memory (memory.c) ----------------------------------------------------------------------------------------------------
 */

dl_status opencl_alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data);
void opencl_free(dl_device *device, dl_stream *stream, void *data, uint64_t bytes);
dl_status opencl_copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                      uint64_t src_offset, int src_host, uint64_t bytes);

/* ---- streams and events (stream.c) ----------------------------------------------------------------------------------------
 */

dl_status opencl_queue_new(opencl_device *d, cl_command_queue *out);
dl_status opencl_synchronize(dl_device *device, dl_stream *stream);
dl_status opencl_stream_new(dl_device *device, dl_stream **out);
void opencl_stream_free(dl_device *device, dl_stream *stream);
dl_status opencl_event_record(dl_device *device, dl_stream *stream, dl_event **out);
dl_status opencl_event_wait(dl_device *device, dl_stream *stream, dl_event *event);
void opencl_event_free(dl_device *device, dl_event *event);

/* ---- the fault word (fault.c) ---------------------------------------------------------------------------------------------
 */

/* What the fault word held when the queue came to opencl_fault_read. */
typedef struct opencl_fault_report {
    int32_t looked; /* 0: no kernel since the last look could have written it */
    int32_t word[4];
} opencl_fault_report;

dl_status opencl_fault_new(opencl_device *d);
void *opencl_fault(dl_device *device);
/* Enqueues the reading of the word where a kernel may have written it; the report holds once the queue has come past this. */
dl_status opencl_fault_read(opencl_device *d, dl_stream *s, opencl_fault_report *report);
/* After that: DL_OK, or clears the word and returns DL_INVALID with a sentence. */
dl_status opencl_fault_judge(opencl_device *d, dl_stream *s, const opencl_fault_report *report);

/* ---- waiting (wait.c) -----------------------------------------------------------------------------------------------------
 */

/* What a command on the queue reads or writes on the host's side, and whether it is done. The driver holds it until the command
 * has run, so that a host that was interrupted can leave it alone. */
typedef struct opencl_errand {
    pthread_mutex_t lock; /* guards state and holders */
    pthread_cond_t done;
    int holders;
    cl_int state; /* CL_QUEUED until it is CL_COMPLETE or an error */
    opencl_fault_report report;
    unsigned char bytes[];
} opencl_errand;

dl_status opencl_errand_new(uint64_t bytes, opencl_errand **out);
void opencl_errand_free(opencl_errand *e); /* the host's hold */
/* The event is that of the errand's last command; it is released. The driver holds the errand until then. */
dl_status opencl_errand_go(opencl_device *d, dl_stream *s, opencl_errand *e, cl_event last);
/* The same, and waits for it; DL_INTERRUPTED on Ctrl-C. */
dl_status opencl_errand_wait(opencl_device *d, dl_stream *s, opencl_errand *e, cl_event last);

/* The same for one with a fault report, which is then judged; if interrupted, the next look sees what it would have. */
dl_status opencl_fault_await(opencl_device *d, dl_stream *s, opencl_errand *e, cl_event last);

/* Waits for an event; DL_INTERRUPTED on Ctrl-C. It must be on its way (clFlush). */
dl_status opencl_await(opencl_device *d, cl_event event);
/* Waits until all that is on the queue has run, likewise. For blocking commands, which cannot be interrupted. */
dl_status opencl_drain(opencl_device *d, dl_stream *s);
/* To be called before a command that nobody waits for: waits, likewise, while too many are on the queue. */
dl_status opencl_pace(opencl_device *d, dl_stream *s);
void opencl_pace_end(dl_stream *s); /* before the queue is released */

/* ---- kernels (compile.c, launch.c) ----------------------------------------------------------------------------------------
 */

struct opencl_function {
    opencl_function *next;
    cl_kernel kernel;
    pthread_mutex_t lock; /* a cl_kernel's arguments are state: held from the first argument to the enqueue */
    char entry[64];
};

dl_status opencl_compile(dl_device *device, const char *source, const char *entry, void **function);
void opencl_function_free(dl_device *device, void *function);
void opencl_programs_free(opencl_device *d); /* with all functions */
dl_status opencl_launch(dl_device *device, dl_stream *stream, void *function, const uint32_t grid[3], const uint32_t block[3],
                        uint32_t local_bytes, void *const *args, const uint32_t *arg_bytes, uint32_t n_args);

/* ---- program binaries on disk (cache.c) -----------------------------------------------------------------------------------
 */

/* What was stored under the key, in memory of opencl_host->mem that the caller frees; NULL: nothing, or nothing usable. */
unsigned char *opencl_cache_read(const char *key, size_t *bytes);
/* Stores it. Failing (a folder that cannot be written) costs only the next process's time: nobody is told. */
void opencl_cache_write(const char *key, const unsigned char *binary, size_t bytes);

#endif
