/* dlrun.h - the embedding API: what a C program, and through ffi.cdef the Lua front end, uses of libdlrun.
 *
 * Semantics are PyTorch's: broadcasting, type promotion, dimensions from 0 with negatives from the end. Every function that
 * can fail returns a dl_status and leaves a message for dl_last_error() on this thread. Nothing aborts or exits.
 * Tensors, storages and devices may be shared between threads; the tape, the default device and the random state are per
 * thread. */
#ifndef DLRUN_H
#define DLRUN_H

#include "dlrun/base.h"

#if !defined(DL_API) && !defined(DL_CDEF)
#define DL_API __attribute__((visibility("default")))
#elif defined(DL_CDEF)
#define DL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- library and errors (core/status.c, core/library.c) ------------------------------------------------------------- */

/* Registers the built-in ops and the plugins found. Idempotent; every other function calls it where it must. */
DL_API dl_status dl_init(void);
DL_API const char *dl_version(void);          /* "0.1.0" */
DL_API const char *dl_status_text(dl_status); /* "out of memory" */
DL_API const char *dl_last_error(void);       /* this thread's latest message, "" if none; valid until the next failure */
DL_API dl_status dl_fail(dl_status code, const char *message); /* sets that message (copied), returns code */
DL_API void dl_interrupt(void);         /* async-signal-safe: the next dl_call returns DL_INTERRUPTED, once */
DL_API int32_t dl_interrupted(void);    /* is an interrupt pending? */
DL_API int32_t dl_take_interrupt(void); /* the same, and forgets it */

/* ---- dtypes (core/dtype.c) ------------------------------------------------------------------------------------------ */

DL_API const char *dl_dtype_name(dl_dtype);               /* "float32"; "?" for no dtype */
DL_API int32_t dl_dtype_bytes(dl_dtype);                  /* bytes of one element; 0 for no dtype */
DL_API dl_dtype dl_dtype_find(const char *name);          /* -1 for no such name */
DL_API dl_dtype dl_dtype_promote(dl_dtype a, dl_dtype b); /* PyTorch's torch.promote_types */

/* ---- plugins, backends, devices (core/plugin.c, core/device.c) ------------------------------------------------------- */

/* Loads a plugin file; DL_ABI or DL_INVALID with a sentence if it is refused. Before dl_init() it comes first: a plugin of the
 * same name that the search finds is then refused. */
DL_API dl_status dl_plugin_load(const char *path);

/* Every plugin file found on the search path or loaded: dl_plugin_count() of them. */
typedef struct dl_plugin_info {
    const char *path, *name, *version;
    int32_t state; /* 1 loaded, 0 refused, 2 waits until its backend is asked for */
    int32_t reserved;
    const char *reason; /* why refused, or what it waits for; "" if loaded; valid until a plugin is loaded */
    const char *from;   /* where it was found: "asked for", "DLRUN_PLUGIN_PATH", "the user's folder", "dlrun's own folder" */
} dl_plugin_info;
DL_API int32_t dl_plugin_count(void);
DL_API dl_status dl_plugin_get(int32_t k, dl_plugin_info *out);

typedef struct dl_device_facts {
    char backend[32], name[64], detail[128];
    int32_t index, reserved;
    uint64_t memory_total, memory_free; /* bytes */
} dl_device_facts;
DL_API int32_t dl_backend_count(void);
DL_API const char *dl_backend_name(int32_t k);
DL_API dl_status dl_backend_devices(const char *backend, int32_t *n);
DL_API dl_status dl_backend_device(const char *backend, int32_t index, dl_device_facts *out);

/* Opens (once) and returns a device: "cpu", "cuda:1", or by a part of its name or details in any case: "opencl:pocl". The
 * pointer stays valid for the process's life. */
DL_API dl_status dl_device_open(const char *spec, dl_device **out);
DL_API const char *dl_device_name(const dl_device *); /* "cpu" for index 0, "cuda:1" */
DL_API dl_device *dl_device_of(const dl_tensor *);    /* NULL for an empty descriptor */
DL_API dl_status dl_set_default_device(dl_device *);
DL_API dl_device *dl_default_device(void);    /* the CPU unless set; NULL (with a message) if there is no CPU backend */
DL_API dl_status dl_synchronize(dl_device *); /* NULL: the default device */
DL_API int32_t dl_threads(int32_t n);         /* sets the CPU backend's threads (n > 0); returns the number in force */

/* ---- memory (core/alloc.c, core/storage.c) --------------------------------------------------------------------------- */

typedef struct dl_memory_stats {
    uint64_t live_bytes, live_blocks;          /* held by storages */
    uint64_t cached_bytes, cached_blocks;      /* free, kept for reuse */
    uint64_t peak_bytes;                       /* highest live_bytes */
    uint64_t allocations, backend_allocations; /* requests; how many reached the backend */
} dl_memory_stats;
DL_API dl_status dl_memory(dl_device *, dl_memory_stats *out); /* device NULL: all devices together */
DL_API void dl_memory_trim(dl_device *);                       /* gives cached blocks back; NULL: all devices */
DL_API void dl_memory_reset_peak(dl_device *);

/* The collector's bell: *dl_memory_pressure() turns 1 when the bytes allocated on a device since the last
 * dl_memory_collected() exceed max(64 MiB, half of what was live on it then). The binding tests it after allocating calls, runs
 * a full cycle, then calls dl_memory_collected(). */
DL_API int32_t *dl_memory_pressure(void);
DL_API void dl_memory_collected(void);

DL_API dl_status dl_storage_new(dl_device *, uint64_t bytes, dl_storage **out); /* bytes may be 0; uninitialised */
/* Wraps host memory on the CPU device: release(user) is called when the last reference goes (not if this fails). The storage
 * counts as exposed and cannot be resized. */
DL_API dl_status dl_storage_wrap(void *data, uint64_t bytes, void (*release)(void *user), void *user, dl_storage **out);
DL_API void dl_storage_retain(dl_storage *);
DL_API void dl_storage_release(dl_storage *); /* NULL: nothing */
DL_API uint64_t dl_storage_bytes(const dl_storage *);
DL_API int64_t dl_storage_version(const dl_storage *); /* grows with every write */
DL_API int32_t dl_storage_references(const dl_storage *);
DL_API dl_status dl_storage_resize(dl_storage *, uint64_t bytes); /* keeps the common prefix */
/* Host address of a CPU storage (NULL otherwise). Handing it out marks the storage exposed: from then on it counts as
 * written before every use. */
DL_API void *dl_storage_data(dl_storage *);

/* ---- tensors (core/tensor.c) ----------------------------------------------------------------------------------------- */

/* All of these set *t anew: it must be empty (zeroed, or cleared). On failure it stays empty. */
DL_API dl_status dl_tensor_new(dl_tensor *t, dl_dtype, int32_t ndim, const int64_t *shape,
                               dl_device *); /* contiguous, uninitialised */
DL_API dl_status dl_tensor_on(dl_tensor *t, dl_storage *, dl_dtype, uint64_t byte_offset, int32_t ndim, const int64_t *shape,
                              const int64_t *strides); /* strides NULL: contiguous; refuses what leaves the storage */
DL_API dl_status dl_tensor_alias(dl_tensor *t, const dl_tensor *of);  /* same storage, same var: one more reference each */
DL_API dl_status dl_tensor_detach(dl_tensor *t, const dl_tensor *of); /* same storage, not on the tape */
DL_API void dl_tensor_clear(dl_tensor *t);                            /* drops the references; t becomes empty */
/* Activations (N, C, ...) may lie channels-last in memory, C innermost, where convolutions are faster so. This lays such a
 * tensor out contiguously, in place, for all that share its storage; others stay as they are. Whatever shows layout or shares
 * memory does it by itself: views, dl_tensor_data, DLPack. Needed before reading strides. */
DL_API dl_status dl_tensor_plain(dl_tensor *t);
DL_API int64_t dl_tensor_count(const dl_tensor *t); /* elements; 0 for an empty descriptor, 1 for ndim 0 */
DL_API int32_t dl_tensor_contiguous(const dl_tensor *t);
DL_API dl_status dl_tensor_read(const dl_tensor *t, void *host, uint64_t bytes);  /* contiguous copy to host; synchronises */
DL_API dl_status dl_tensor_write(dl_tensor *t, const void *host, uint64_t bytes); /* contiguous copy from host */
DL_API void *dl_tensor_data(const dl_tensor *t); /* host address of element 0 on the CPU, else NULL; exposes the storage */
DL_API dl_status dl_tensor_to(dl_tensor *t, const dl_tensor *of, dl_device *, dl_dtype); /* copy, on the tape if of is */

/* One element (core/element.c), by one index from 0 for each dimension, as f64: exact for every dtype but 64-bit integers
 * beyond 2^53; truncated and saturated into integer dtypes. Off the tape. Reading does not expose the storage. */
DL_API dl_status dl_element_get(const dl_tensor *t, const int64_t *index, double *value);
DL_API dl_status dl_element_set(dl_tensor *t, const int64_t *index, double value);

/* Gives every NaN in a host array of n float32 or float64 the plain bits of NaN; other dtypes stay as they are. LuaJIT takes
 * some other NaNs for values of its own, so the binding calls this before it reads what tensors hold. */
DL_API void dl_plain_nans(dl_dtype, void *values, int64_t n);

/* DLPack 0.6 exchange: a DLManagedTensor*. Export holds a reference; import takes over the producer's. */
DL_API dl_status dl_tensor_to_dlpack(const dl_tensor *t, void **managed);
DL_API dl_status dl_tensor_from_dlpack(dl_tensor *t, void *managed);

/* ---- ops and the one door (core/op.c, core/dispatch.c) --------------------------------------------------------------- */

typedef struct dl_op_info {
    const char *name, *signature, *doc;
    uint32_t flags; /* DL_OP_* of plugin.h */
    int32_t n_outputs;
    int32_t differentiable;
    int32_t id;
} dl_op_info;
DL_API int32_t dl_op_count(void);
DL_API int32_t dl_op_find(const char *name); /* an id for dl_call; -1 if there is no such op */
DL_API dl_status dl_op_get(int32_t id, dl_op_info *out);
/* Registers a pointwise op at run time. signature "mish(Tensor x) -> Tensor"; rule as in plugin.h. */
DL_API dl_status dl_op_define(const char *signature, const char *expression, const char *rule, int32_t *id);
/* Does this backend compute the op: 0 missing, 1 composed, 2 generated (pointwise), 3 native */
DL_API int32_t dl_op_coverage(int32_t id, const char *backend);

/* One element of an op that is an expression, for tensors of a common type (float32 or float64 for halves): the reference that
 * kernels are compared with, computed on the host in f64 and int64. in: a value for each tensor; index: the element's row-major
 * number. DL_INVALID where the op is no expression or its type rule refuses the type. */
DL_API dl_status dl_op_evaluate(int32_t op, dl_dtype type, const double *in, const dl_attr *attr, int32_t n_attr, int64_t index,
                                double *out);

/* Calls an op. in: tensors in signature order, lists flattened, NULL for absent optionals. out: n_out descriptors; an empty one
 * is filled with a new tensor the caller then owns; one that has a storage is written in place (shape must match; the result is
 * cast to its dtype where PyTorch allows it). attr may be shorter than the signature. Records on the tape if recording is on
 * and an input requires a gradient. On failure new outputs stay empty. */
DL_API dl_status dl_call(int32_t op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                         const dl_attr *attr, int32_t n_attr);
/* The same with a chain of one-input pointwise ops applied to out[0]: fused into the kernel where it can be, run
 * after it where not; recorded so that gradients are those of the separate calls. */
typedef struct dl_epilogue {
    int32_t op; /* a pointwise op whose first argument is its only tensor */
    int32_t n_attr;
    const dl_attr *attr;
} dl_epilogue;
DL_API dl_status dl_call_fused(int32_t op, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                               const dl_attr *attr, int32_t n_attr, const dl_epilogue *chain, int32_t n_chain);
/* A view op without a reference: *out borrows in's storage (DL_TENSOR_BORROWED), so it needs no clearing and must not
 * outlive in's owner. Refused (DL_UNSUPPORTED) where the call would have to be recorded: then use dl_call. */
DL_API dl_status dl_view(int32_t op, const dl_tensor *in, dl_tensor *out, const dl_attr *attr, int32_t n_attr);

/* Calls counted since start: total, and those that fell back to the CPU with the bytes they moved. */
typedef struct dl_call_stats {
    uint64_t calls, plans_made, plans_reused, fallback_calls, fallback_bytes;
    uint64_t moved_tensors, moved_bytes; /* targets and indices that lay on another device than what they belong to */
} dl_call_stats;
DL_API void dl_calls(dl_call_stats *out);
/* While on, this thread computes with the primitive ops' kernels alone (pointwise, copy, reduce, gemm, gather, scatter_add) and
 * everything else by composition, as on a backend that has no more: for tests and the conformance kit. Returns the old
 * value. */
DL_API int32_t dl_set_primitives_only(int32_t on);
DL_API void dl_set_fallback(int32_t on); /* allow ops a backend lacks to run on the CPU (--fallback=cpu) */

/* ---- what the conformance kit needs (core/exercise.c) ------------------------------------------------------------------ */

/* Opens device `index` anew, apart from the engine's own use of it, and closes it, `times` times: each time memory is
 * allocated, written and read at offsets, copied within the device, streams, events and a kernel are made where the backend
 * has them, and all is given back. DL_INTERNAL says what came out wrong. */
DL_API dl_status dl_backend_exercise(const char *backend, int32_t index, int32_t times);
/* The n-th allocation from now, of host or device memory, fails as if memory were out (1: the next); 0 switches it off. */
DL_API void dl_fail_allocation(int64_t n);

/* ---- mixed precision (core/autocast.c) ------------------------------------------------------------------------------- */

/* This thread's autocast type: while it is DL_BF16 or DL_F16, products and convolutions convert float32 inputs to it, and ops
 * that need float32 convert halves back (core/autocast.def). Conversions are recorded, so gradients have the types of what was
 * converted. -1: off. */
DL_API dl_dtype dl_autocast(void);
DL_API dl_status dl_set_autocast(dl_dtype type);

/* ---- random numbers (core/random.c) ---------------------------------------------------------------------------------- */

DL_API void dl_seed(uint64_t seed); /* key = seed, call number = 0, for this thread */
DL_API uint64_t dl_get_seed(void);
DL_API uint64_t dl_random_call(void); /* the next call number */
DL_API void dl_set_random_call(uint64_t);
/* n raw 32-bit draws of Philox 4x32-10 for host use (shuffles): takes one call number. */
DL_API void dl_random_u32(uint32_t *out, int64_t n);

/* ---- autograd (core/autograd.c, core/backward.c) --------------------------------------------------------------------- */

DL_API int32_t dl_grad_enabled(void);
DL_API int32_t dl_set_grad_enabled(int32_t on); /* returns the old value */
/* Makes t a leaf variable (or an ordinary tensor); floating dtypes only. A borrowed descriptor becomes an owning one: clear it.
 */
DL_API dl_status dl_requires_grad(dl_tensor *t, int32_t on);
DL_API int32_t dl_is_recorded(const dl_tensor *t); /* 0 no gradient, 1 leaf that requires one, 2 result of a recorded call */
DL_API int32_t
dl_is_saved(const dl_tensor *t); /* does a recorded call still need these values? then an in-place write would spoil it */
DL_API const char *dl_recorded_by(const dl_tensor *t); /* name of the op that made a recorded tensor; NULL for others */
/* A leaf's gradient buffer. dl_grad aliases it (t_grad stays empty if there is none yet); dl_set_grad binds a tensor of the
 * same shape, dtype and device: backward adds into it. grad NULL unbinds. */
DL_API dl_status dl_grad(const dl_tensor *t, dl_tensor *t_grad);
DL_API dl_status dl_set_grad(dl_tensor *t, const dl_tensor *grad);

/* Backward in one call, when no custom node is on the way. gradients[k] NULL: ones (the root must have one element). Without
 * targets (n_targets 0) gradients are accumulated into the leaves; with targets they are returned in out[] instead (empty where
 * a target does not influence the roots), and nothing is accumulated. */
enum { DL_RETAIN = 1, DL_CREATE_GRAPH = 2 };
DL_API dl_status dl_backward(const dl_tensor *const *roots, const dl_tensor *const *gradients, int32_t n_roots,
                             const dl_tensor *const *targets, dl_tensor *const *out, int32_t n_targets, int32_t flags);

/* The same step by step, for drivers that own custom nodes. begin; then step until DL_OK: DL_PENDING means that the node
 * described by dl_backward_node() must be computed: read its output gradients, give each input's, and step again. Always end.
 */
typedef struct dl_backward_run dl_backward_run;
DL_API dl_status dl_backward_begin(const dl_tensor *const *roots, const dl_tensor *const *gradients, int32_t n_roots,
                                   const dl_tensor *const *targets, int32_t n_targets, int32_t flags, dl_backward_run **run);
DL_API dl_status dl_backward_step(dl_backward_run *);
typedef struct dl_custom_node {
    int64_t id; /* what dl_custom_record was given */
    int32_t n_in, n_out;
} dl_custom_node;
DL_API dl_status dl_backward_node(dl_backward_run *, dl_custom_node *out);
DL_API dl_status dl_backward_node_grad(dl_backward_run *, int32_t output, dl_tensor *grad); /* alias; stays empty if zero */
DL_API int32_t dl_backward_node_needs(dl_backward_run *, int32_t input);
DL_API dl_status dl_backward_node_give(dl_backward_run *, int32_t input, const dl_tensor *grad);
DL_API dl_status dl_backward_end(dl_backward_run *, dl_tensor *const *out); /* out NULL: discard; frees the run */

/* Records a custom function: outputs (computed with recording off) become results of a node with these inputs. When the node
 * is freed, its id appears in dl_custom_released() so that the owner can drop what it keeps. Returns DL_OK without
 * recording when no input requires a gradient. */
DL_API dl_status dl_custom_record(const char *name, int64_t id, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out,
                                  int32_t n_out, int32_t *recorded);
DL_API int32_t dl_custom_released(int64_t *ids, int32_t capacity); /* moves up to capacity freed ids out; returns how many */
/* From C: backward is called by dl_backward itself, never pending. grads_out may hold empty descriptors (zero); fill grads_in.
 * release(user) is called once: when the node is freed, or at once where nothing is recorded; not on failure. */
typedef dl_status (*dl_custom_backward)(void *user, const dl_tensor *const *grads_out, int32_t n_out,
                                        dl_tensor *const *grads_in, int32_t n_in);
DL_API dl_status dl_custom_record_c(const char *name, dl_custom_backward backward, void (*release)(void *user), void *user,
                                    const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out);

/* ---- segments: Torch7's updateGradInput / accGradParameters (core/segment.c) ------------------------------------------ */

/* The tape of one module's last forward. begin starts recording on this thread (nesting allowed) with `in` cut from any outer
 * tape: proxies[k] (empty descriptors, the caller clears them) are aliases of in[k] that require gradients where the dtype is
 * floating, and must be used in their place. params that are not leaves yet become such until end. Leaves met while recording
 * (params, proxies) are read live at backward time, without version checks. */
typedef struct dl_segment dl_segment;
DL_API dl_status dl_segment_begin(const dl_tensor *const *in, dl_tensor *const *proxies, int32_t n_in, dl_tensor *const *params,
                                  int32_t n_params, dl_segment **segment);
/* Ends recording; keeps the outputs' graph and takes the outputs off the tape (out[k] stay valid tensors). n_out 0 after an
 * error in between: recording is restored and the segment holds nothing. */
DL_API dl_status dl_segment_end(dl_segment *, dl_tensor *const *out, int32_t n_out);
/* One run, repeatable in any order: in[k] (NULL: keep) replace the saved inputs, params[k] the saved parameters, both in the
 * order of begin; grad_out[k] NULL is zero. want: which gradients. Then dl_backward_step and dl_backward_end as above, whose
 * out[] are the wanted ones: the inputs' (if wanted) followed by the params'; all are computed before any is returned. */
enum { DL_WANT_INPUTS = 1, DL_WANT_PARAMS = 2 };
DL_API dl_status dl_segment_backward_begin(dl_segment *, const dl_tensor *const *in, const dl_tensor *const *params,
                                           const dl_tensor *const *grad_out, int32_t want, dl_backward_run **run);
DL_API void dl_segment_free(dl_segment *);

/* ---- capture and replay (core/capture.c) ------------------------------------------------------------------------------ */

/* Records this thread's calls from begin to end, then replays them on the same tensors without the front end. Replay gives the
 * same bits as running the calls again, random ops included (each replay takes new call numbers). Refuses at end, with a
 * sentence, a step that contained a call whose result depends on data read by the host. */
typedef struct dl_capture dl_capture;
DL_API dl_status dl_capture_begin(void);
DL_API dl_status dl_capture_end(dl_capture **out);
DL_API dl_status dl_capture_replay(dl_capture *);
DL_API int32_t dl_capture_calls(const dl_capture *);
DL_API void dl_capture_free(dl_capture *);

#ifdef __cplusplus
}
#endif
#endif
