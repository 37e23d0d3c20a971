/* plugin.h - the plugin SDK: all that a backend or a layer plugin needs. Header only; nothing links against libdlrun.
 *
 * A plugin is a shared object that exports exactly two symbols:
 *     DL_PLUGIN_IDENTITY(...)                          an ELF note, read from the file before dlopen
 *     dl_status dl_plugin_init(const dl_host *host)    registers backends, ops, kernels; all of it or nothing counts
 *
 * Rules. Every struct that may grow starts with its size; fields are only appended; a reader asks DL_HAS(p, field) before it
 * touches a field newer than minor 0. Ids are strings ("matmul", "acme::swiglu"), never enum values. Strings and tables
 * given to add_* must live as long as the process (static data); a plugin is never unloaded. */
#ifndef DLRUN_PLUGIN_H
#define DLRUN_PLUGIN_H

#include "dlrun/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DL_ABI_MAJOR 1 /* must be equal */
#define DL_ABI_MINOR 1 /* grows by appending */

/* True if the struct behind p, whose first field is size, is new enough to have the field and the field is not 0. */
#define DL_HAS(p, field) ((p)->size >= (size_t)((const char *)(&(p)->field + 1) - (const char *)(p)) && (p)->field)

/* ---- identity ------------------------------------------------------------------------------------------------------- */

/* Instruction-set bits a plugin may require of every machine that loads it (dl_identity.isa). A plugin that chooses at run
 * time, as backends/cpu does, requires only the baseline: 0. */
enum { DL_ISA_AVX2 = 1, DL_ISA_AVX512 = 2 };

/* Sanitizers a file was built with (dl_identity.sanitizer); must match the host's. */
enum { DL_SANITIZER_NONE = 0, DL_SANITIZER_ADDRESS = 1, DL_SANITIZER_THREAD = 2 };
#if defined(__SANITIZE_ADDRESS__)
#define DL_SANITIZER_BUILT DL_SANITIZER_ADDRESS
#elif defined(__SANITIZE_THREAD__)
#define DL_SANITIZER_BUILT DL_SANITIZER_THREAD
#elif defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer)
#define DL_SANITIZER_BUILT DL_SANITIZER_ADDRESS
#elif __has_feature(thread_sanitizer)
#define DL_SANITIZER_BUILT DL_SANITIZER_THREAD
#endif
#endif
#ifndef DL_SANITIZER_BUILT
#define DL_SANITIZER_BUILT DL_SANITIZER_NONE
#endif

/* Identity flags. */
enum {
    /* The file brings one backend of the plugin's name and nothing else. Found on the search path, it waits: only its identity
     * is read, and it is opened when that backend is first asked for or backends are listed. Until then its ops and kernels
     * for other backends do not exist, so a file that has such must not be lazy: those are opened by dl_init(). A file named by
     * --plugin or dl_plugin_load() is opened at once, lazy or not. */
    DL_PLUGIN_LAZY = 1,
};

/* The constant, pointer-free identity block. */
typedef struct dl_identity {
    char magic[8]; /* "DLPLUG\0\1" */
    uint32_t size;
    uint32_t abi_major;
    uint32_t abi_built; /* the minor of the header it was compiled with */
    uint32_t abi_needs; /* the oldest host minor it can live with */
    uint32_t sanitizer;
    uint32_t flags; /* DL_PLUGIN_* */
    uint64_t isa;
    char name[32];
    char version[16];
    char target[32]; /* "linux-x86_64" */
} dl_identity;

#define DL_NOTE_OWNER                                                                                                          \
    "dlrunplugin" /* 12 bytes with its NUL: the identity then lies at byte 24 for 4-byte and 8-byte notes alike */
#define DL_NOTE_TYPE 0x444c5031u /* "DLP1" */

#if defined(__x86_64__)
#define DL_TARGET "linux-x86_64"
#elif defined(__aarch64__)
#define DL_TARGET "linux-aarch64"
#else
#define DL_TARGET "linux-unknown"
#endif

/* Put one of them once, at file scope. isa: 0 or DL_ISA_* bits; least_minor: hosts of a lesser ABI minor refuse the plugin. */
#define DL_PLUGIN_IDENTITY(name, version, isa) DL_PLUGIN_IDENTITY_NEEDS(name, version, isa, 0, 0)
#define DL_PLUGIN_IDENTITY_FLAGS(name, version, isa, flags) DL_PLUGIN_IDENTITY_NEEDS(name, version, isa, flags, 0)
#define DL_PLUGIN_IDENTITY_NEEDS(plugin_name, plugin_version, isa_bits, flag_bits, least_minor)                                \
    typedef struct dl_identity_note {                                                                                          \
        uint32_t name_bytes, data_bytes, type;                                                                                 \
        char owner[12];                                                                                                        \
        dl_identity identity;                                                                                                  \
    } dl_identity_note;                                                                                                        \
    __attribute__((visibility("default"))) extern const dl_identity_note dl_plugin_identity;                                   \
    __attribute__((section(".note.dlrun"), used, aligned(8)))                                                                  \
    const dl_identity_note dl_plugin_identity = {sizeof DL_NOTE_OWNER,                                                         \
                                                 sizeof(dl_identity),                                                          \
                                                 DL_NOTE_TYPE,                                                                 \
                                                 DL_NOTE_OWNER,                                                                \
                                                 {{'D', 'L', 'P', 'L', 'U', 'G', 0, 1},                                        \
                                                  sizeof(dl_identity),                                                         \
                                                  DL_ABI_MAJOR,                                                                \
                                                  DL_ABI_MINOR,                                                                \
                                                  least_minor,                                                                 \
                                                  DL_SANITIZER_BUILT,                                                          \
                                                  flag_bits,                                                                   \
                                                  isa_bits,                                                                    \
                                                  plugin_name,                                                                 \
                                                  plugin_version,                                                              \
                                                  DL_TARGET}}

/* ---- pointwise programs --------------------------------------------------------------------------------------------- */

enum {
#define DL_OPCODE(NAME, number, operands, spelling) DL_OP_##NAME = number,
#include "dlrun/opcode.def"
#undef DL_OPCODE
    DL_OPCODE_COUNT
};

enum { DL_U32 = 64 }; /* an instruction type that exists inside programs only */

/* One SSA instruction. Its number is its place in the array; operands are numbers of earlier instructions. */
typedef struct dl_ins {
    uint8_t op;   /* DL_OP_* */
    uint8_t type; /* dl_dtype or DL_U32 of the result */
    uint16_t reserved;
    int32_t a, b, c; /* operands; for in and attr: a is the number of the input or scalar attribute */
    uint64_t imm;    /* const: the value's bits in `type` (f16/bf16 never occur: programs on them are typed f32) */
} dl_ins;

/* A typed program. in[k] has type in_type[k]; f16/bf16 inputs arrive already widened to f32, results are narrowed by the
 * driver when the output tensor is f16/bf16. Immutable and shared; owned by the core. */
typedef struct dl_prog {
    uint32_t size, ins_size; /* sizeof(dl_prog), sizeof(dl_ins) of the host */
    uint32_t n_ins, n_in, n_attr, n_out;
    const dl_ins *ins;
    const int32_t *out;     /* n_out instruction numbers */
    const uint8_t *in_type; /* n_in dl_dtype values */
    uint64_t hash;          /* of the instructions: equal programs have equal hashes, in every process and at build time */
    const char *name;       /* for messages and profiles */
} dl_prog;

/* ---- the call frame ------------------------------------------------------------------------------------------------- */

/* The one argument of every kernel, shape rule, composition and gradient.
 *   in       the op's tensors in signature order, lists flattened; an absent optional one is NULL. Inputs of pointwise ops
 *            come already cast to the program's types and expanded (stride 0) to the output's shape.
 *   out      allocated, shape and dtype set. May alias an input only where the op is pointwise, and then element for element.
 *            In grad, every tensor has its shape, strides and dtype; memory only those that dl_op_def.saves names.
 *   attr     in signature order, all of them, defaults filled in, in the kind of their type (dl_op_def); list lengths of
 *            Tensor[] arguments: (n_in - single tensors) / lists.
 *   prog     the op's program for pointwise kernels, else NULL.
 *   epilogue a one-input program to apply to each element of out[0] before it is stored, or NULL. epilogue_attr are its
 *            scalar attributes. Only kernels flagged DL_KERNEL_EPILOGUE see one, and may refuse it in prepare.
 *   random   Philox key and call number for ops flagged RANDOM; element number = logical row-major index of the output. */
typedef struct dl_frame {
    uint32_t size;
    uint32_t n_in, n_out, n_attr;
    const dl_tensor *const *in;
    dl_tensor *const *out;
    const dl_attr *attr;
    dl_device *device; /* device->state is the backend's own: see dl_backend.open */
    dl_stream *stream;
    const dl_prog *prog;
    const dl_attr *prog_attr; /* scalar attributes of prog */
    const dl_prog *epilogue;
    const dl_attr *epilogue_attr;
    void *scratch;         /* plan.scratch_bytes of device memory, for this run only */
    void *derived;         /* plan.derived_bytes kept with in[plan.derived_from], and... */
    int32_t derived_valid; /* ... 1 if it already holds what an earlier run of this plan made of the same tensor version */
    int32_t reserved;
    uint64_t random_key, random_call;
    void *user; /* the kernel's or op's user pointer */
} dl_frame;

/* ---- ops ------------------------------------------------------------------------------------------------------------ */

typedef struct dl_graph dl_graph; /* where a composition or a gradient emits calls */
typedef int32_t dl_value;         /* a tensor in a dl_graph; DL_NO_VALUE where there is none */
enum { DL_NO_VALUE = -1 };

/* Op flags. */
enum {
    DL_OP_VIEW = 1,       /* outputs share in[0]'s storage; infer sets strides and byte_offset; no kernel runs */
    DL_OP_RANDOM = 2,     /* takes a Philox call number per call */
    DL_OP_COMPOSITE = 4,  /* always runs as its composition; autograd records what that emits, not the op */
    DL_OP_SYNC = 8,       /* output shapes depend on data: infer leaves outputs empty, run allocates them (CPU-visible sync) */
    DL_OP_MUTATES = 16,   /* writes its Tensor! inputs, which have no gradient */
    DL_OP_POINTWISE = 32, /* set by the core for ops defined by an expression */
    DL_OP_KEEPS_LAYOUT =
        64, /* new outputs of in[0]'s rank are laid channels-last where in[0] is; kernels go by out's strides */
    DL_OP_CHANNELS_LAST = 128, /* new outputs are laid channels-last where the backend computes so faster (convolutions) */
};

/* An op. sig is a signature such as
 *     "acme::swiglu(Tensor x, Tensor g, float beta=1.0) -> Tensor"
 * Tensors: Tensor, Tensor? (may be absent), Tensor[] (list; several have one length), Tensor! / Tensor![] (written),
 * Tensor:bool (of that dtype whatever the others have; in pointwise ops). At most 8. Those named index, target or mask may lie
 * on another device than the call: they are copied before it.
 * Attributes, and the kind in which a frame has them:
 *     int, bool, dtype   DL_ATTR_INT: bool 0 or 1, dtype a dl_dtype or -1 for what the op takes as its own
 *     float              DL_ATTR_FLOAT
 *     Scalar             DL_ATTR_INT or DL_ATTR_FLOAT as it was given: the two promote differently
 *     int[]              DL_ATTR_INTS
 *     string             DL_ATTR_STRING
 * At most 16. Defaults are numbers (for bool too), or nothing for an empty list: "int[] dims="; strings have none; behind an
 * attribute with a default all have one. Results: "-> Tensor, Tensor" for two, at most 4, without names; "->" alone for none;
 * no arrow for one. An op needs either expr, or infer with a kernel or compose. */
typedef struct dl_op_def {
    uint32_t size;
    uint32_t flags;
    const char *sig;
    const char *doc;   /* one paragraph for help(): shapes, dtypes, formula, source */
    const char *expr;  /* pointwise: the expression over the signature's names (docs/pointwise.md has the grammar) */
    const char *rule;  /* pointwise: result type rule: "arith" "float" "compare" "logic" "int" "same" "random" */
    const char *grads; /* pointwise: NULL = derived from expr; "" = not differentiable; else "x: g*…; y: …" with g and out */
    /* Sets shape and type of every out (dl_host.set_out), no data access. NULL for pointwise. */
    dl_status (*infer)(dl_frame *);
    /* The same op in lower ops: emits calls, then host->returns(graph, output number, value). DL_UNSUPPORTED, before anything
     * is emitted, for calls that it does not cover. NULL: none. */
    dl_status (*compose)(dl_graph *, const dl_frame *);
    /* Emits the gradient of every input that host->needs() and returns it under the input's number. NULL: a backward that comes
     * to this op fails and says so. */
    dl_status (*grad)(dl_graph *, const dl_frame *);
    /* Which tensors' elements grad reads: names of inputs, "out" or "out1"…; space separated. NULL: none. Shapes and dtypes of
     * the others can be read too (frame, host->tensor), but emitting a call on one is an error: it has no memory any more. */
    const char *saves;
    void *user;
} dl_op_def;

/* ---- kernels -------------------------------------------------------------------------------------------------------- */

/* How a plan may be shared: which facts prepare() looked at.
 * PER_TYPE is right where run reads shapes, strides and attributes itself, and prepare decides by dtypes, numbers of dimensions
 * and presence of inputs alone: whether it refuses, the state, scratch_bytes, all of it. A plan made for one shape then serves
 * every other, and prepare is not asked again. A kernel that refuses by shape, stride (contiguous only) or attribute, or whose
 * scratch memory grows with the shape, is PER_SHAPE. */
enum {
    DL_PLAN_PER_SHAPE = 0, /* op, dtypes, shapes, strides, alignment, attributes, device (the default) */
    DL_PLAN_PER_TYPE = 1,  /* op, dtypes, numbers of dimensions, the program, device */
};

typedef struct dl_plan {
    uint32_t size;
    uint32_t reserved;
    void *state; /* the kernel's own; freed with destroy(state), which may be NULL */
    void (*destroy)(void *state);
    uint64_t scratch_bytes; /* device memory for each run */
    uint64_t derived_bytes; /* device memory kept with a tensor's storage and version: packed weights */
    int32_t derived_from;   /* which input that is; meaningless if derived_bytes is 0 */
    int32_t sharing;        /* DL_PLAN_PER_* */
} dl_plan;

/* Kernel flags. */
enum {
    DL_KERNEL_EPILOGUE = 1, /* applies frame->epilogue; others never see one: the core runs it after them */
};

/* One way to compute an op on a backend. The core asks kernels of an op by falling priority until one does not refuse. */
typedef struct dl_kernel {
    uint32_t size;
    int32_t priority;
    const char *op;      /* name without arguments; "pointwise" serves every op that is an expression, "*" every op (but views
                          * and composites, which run no kernels) */
    const char *backend; /* name */
    /* DL_UNSUPPORTED (no message needed) or DL_OK and a filled plan. May allocate, compile, synchronise. NULL: always OK
     * with an empty per-type plan. */
    dl_status (*prepare)(const dl_frame *, dl_plan *);
    /* Enqueues the work. Only DL_NOMEM and DL_DEVICE_LOST may follow a successful prepare; data-dependent refusals (an index
     * out of range) are DL_INVALID with a message. */
    dl_status (*run)(const dl_frame *, const dl_plan *);
    void *user;
    uint32_t flags; /* DL_KERNEL_* */
} dl_kernel;

/* ---- backends ------------------------------------------------------------------------------------------------------- */

typedef struct dl_device_info {
    uint32_t size;
    int32_t index;
    char name[64];                      /* "AMD EPYC 9554" */
    char detail[128];                   /* "2 threads, avx512" */
    uint64_t memory_total, memory_free; /* bytes */
    uint64_t alignment;                 /* of every allocation, bytes */
} dl_device_info;

/* The head of an open device; a backend embeds it first in its own struct. */
struct dl_device {
    uint32_t size;
    int32_t index;
    void *state;       /* the backend's */
    void *core;        /* the core's: allocator and plan cache; a backend leaves it alone */
    dl_device_id id;   /* filled in by the core */
    dl_stream *stream; /* the default stream, filled in by the core */
};

/* All functions may be called from any thread; each returns a status with a message left by host->fail. */
typedef struct dl_backend {
    uint32_t size;
    int32_t dl_device_type;         /* DLPack's, or 0: the core assigns one from 12 up */
    const char *name;               /* "cpu" */
    dl_status (*count)(int32_t *n); /* devices present; 0 with DL_UNSUPPORTED and a message where something is missing */
    dl_status (*info)(int32_t index, dl_device_info *out);
    /* Whether opening a device again gives another dl_device or the same is the backend's choice; each open is closed once. */
    dl_status (*open)(int32_t index, dl_device **device);
    void (*close)(dl_device *);
    /* bytes > 0. *data is the handle tensors carry. Memory freed is given to `free` in stream order. */
    dl_status (*alloc)(dl_device *, dl_stream *, uint64_t bytes, void **data);
    void (*free)(dl_device *, dl_stream *, void *data, uint64_t bytes);
    /* Copies bytes between device memory (handle + offset) and host memory or device memory of the same device; a side is
     * on the host where its flag is set. Returns after the host side may be reused. */
    dl_status (*copy)(dl_device *, dl_stream *, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                      uint64_t src_offset, int src_host, uint64_t bytes);
    dl_status (*synchronize)(dl_device *, dl_stream *);
    dl_status (*stream_new)(dl_device *, dl_stream **);
    void (*stream_free)(dl_device *, dl_stream *);
    dl_status (*event_record)(dl_device *, dl_stream *, dl_event **);
    dl_status (*event_wait)(dl_device *, dl_stream *, dl_event *); /* stream NULL: the host waits */
    void (*event_free)(dl_device *, dl_event *);
    /* Sets how many threads kernels may use; n <= 0 asks; returns the number in force. NULL where it means nothing. */
    int32_t (*threads)(int32_t n);
    /* Tier A (a backend with a compiler); all NULL for tier B. */
    const char *dialect; /* "opencl" or "cuda" */
    dl_status (*compile)(dl_device *, const char *source, const char *entry, void **function);
    dl_status (*launch)(dl_device *, dl_stream *, void *function, const uint32_t grid[3], const uint32_t block[3],
                        uint32_t local_bytes, void *const *args, const uint32_t *arg_bytes, uint32_t n_args);
    void (*function_free)(dl_device *, void *function);
    int32_t channels_last; /* 1: convolutions are faster on activations laid channels-last */
    int32_t reserved;
    /* ABI minor 1. Tier A: the device's fault word, 16 bytes of device memory that start as 0 and to which kernels write what
     * bad data they met (dlrun/simt.h: {code, lower half of the value, upper half, 0} as int32_t). The backend looks at it
     * whenever it copies to the host or synchronises; where the code is not 0 it clears the word and returns DL_INVALID with a
     * sentence. */
    void *(*fault)(dl_device *);
} dl_backend;

/* ---- the host: all a plugin can call -------------------------------------------------------------------------------- */

typedef struct dl_host {
    uint32_t size, abi_minor;
    /* Leaves a printf-formatted message for this thread and returns code, so kernels write: return host->fail(...). */
    dl_status (*fail)(dl_status code, const char *format, ...)
#ifdef __GNUC__
        __attribute__((format(printf, 2, 3)))
#endif
        ;
    void (*log)(int32_t level, const char *message); /* 0 error, 1 warning, 2 information */
    void *(*mem)(void *p, size_t bytes);             /* realloc for host memory; bytes 0 frees; NULL when out of memory */
    dl_status (*add_backend)(const dl_backend *);
    dl_status (*add_op)(const dl_op_def *);
    dl_status (*add_kernel)(const dl_kernel *);

    /* In infer: shape and type of output k. For DL_OP_VIEW also strides (elements) and byte offset. */
    dl_status (*set_out)(dl_frame *, uint32_t k, dl_dtype type, int32_t ndim, const int64_t *shape);
    dl_status (*set_view)(dl_frame *, uint32_t k, int32_t ndim, const int64_t *shape, const int64_t *strides,
                          uint64_t byte_offset);

    /* In compose and grad. Values: in(k), out(k) (grad: the saved outputs), gradient of output k (grad only). An error sticks:
     * later emits do nothing, and the function's caller sees it; so no emit needs a check. emit's inputs may be
     * DL_NO_VALUE for absent optionals. attr may be shorter than the signature, and an entry of kind DL_ATTR_NONE takes the
     * default. An int is taken for a float, and a whole float for an int, a bool or a dtype; a Scalar keeps its kind. */
    dl_value (*in)(dl_graph *, uint32_t k);
    dl_value (*out)(dl_graph *, uint32_t k);
    dl_value (*grad_out)(dl_graph *, uint32_t k);
    int32_t (*needs)(dl_graph *, uint32_t k); /* does input k need a gradient? */
    dl_value (*emit)(dl_graph *, const char *op, const dl_value *in, uint32_t n_in, const dl_attr *attr, uint32_t n_attr);
    dl_value (*emit_out)(dl_graph *, dl_value first, uint32_t k); /* output k of the op whose emit gave `first` */
    const dl_tensor *(*tensor)(dl_graph *, dl_value);             /* shape and type of a value; NULL after an error */
    void (*returns)(dl_graph *, uint32_t k, dl_value);

    /* Is a Ctrl-C pending? Long kernels may ask and return DL_INTERRUPTED. */
    int32_t (*interrupted)(void);
    /* In run of a DL_OP_SYNC op: allocates output k. */
    dl_status (*alloc_out)(const dl_frame *, uint32_t k, dl_dtype type, int32_t ndim, const int64_t *shape);

    /* Since minor 1. In compose and grad: a new uninitialised tensor on the frame's device, for ops that take only shape and
     * dtype from it: fill, ramp, philox. */
    dl_value (*empty)(dl_graph *, dl_dtype type, int32_t ndim, const int64_t *shape);
    /* In compose, as emit, but the op's one output is written into `into`, which it returns: an input marked Tensor! or
     * Tensor![], or a value that this composition made and views of it. */
    dl_value (*emit_into)(dl_graph *, dl_value into, const char *op, const dl_value *in, uint32_t n_in, const dl_attr *attr,
                          uint32_t n_attr);
} dl_host;

typedef dl_status (*dl_plugin_init_fn)(const dl_host *host);

/* Every plugin defines this. */
__attribute__((visibility("default"))) dl_status dl_plugin_init(const dl_host *host);

#ifdef __cplusplus
}
#endif
#endif
