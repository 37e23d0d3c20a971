/* generate.h - kernels that the core makes for every backend with a compiler (Tier A): source text in the dialect of
 * dlrun/simt.h, compiled by the backend, launched by its launch. They have the lowest priority, so a backend's own come first.
 *
 * Sources are keyed by op, dtypes, program and contiguity class, never by shape: sizes and strides are arguments. */
#ifndef DL_CORE_GENERATE_H
#define DL_CORE_GENERATE_H
#include "core/op.h"
#include "core/status.h"
#include <stdbool.h>

/* ---- registration (kernels.c) ------------------------------------------------------------------------------------------- */

/* Adds the generic kernels of a backend that was just registered; none if it has no compiler. Allocates nothing. */
void dl_generate_kernels(const dl_backend_entry *);

extern const dl_kernel gen_pointwise, gen_copy, gen_cat, gen_reduce, gen_gather, gen_scatter_add, gen_gemm;

/* ---- text (text.c) ------------------------------------------------------------------------------------------------------ */

/* Grows as it is written to; a failed allocation sticks and is reported by gen_function. */
typedef struct gen_text {
    char *data;
    size_t length, capacity;
    bool failed;
} gen_text;

__attribute__((format(printf, 2, 3))) void gen_put(gen_text *, const char *format, ...);

const char *gen_type_name(dl_dtype);    /* as stored: "f32", "u16" for halves, "u8" for bool */
const char *gen_program_type(dl_dtype); /* as computed with: "f32" for halves, "bool" */
dl_dtype gen_widened(dl_dtype);         /* DL_F32 for halves, else itself */
dl_dtype gen_raw(dl_dtype);             /* the integer dtype of the same size: for moving bits as they are */
bool gen_is_half(dl_dtype);

/* Macros for an operand called `name` of a dtype: T_name (as stored), LOAD_name(p, i), STORE_name(p, i, v). */
void gen_put_operand(gen_text *, const char *name, dl_dtype);

/* ---- compiled functions (function.c) --------------------------------------------------------------------------------------
 */

/* What a source was printed from; equal keys give equal sources. Unused fields are 0. */
typedef struct gen_key {
    uint64_t kind;    /* of source, with its contiguity class: GEN_KIND(...) */
    uint64_t types;   /* 4 bits an operand */
    uint64_t program; /* dl_prog.hash */
    uint64_t reads;   /* which operands there are */
} gen_key;

enum gen_source { GEN_POINTWISE = 1, GEN_REDUCE, GEN_GATHER, GEN_SCATTER_ADD, GEN_GEMM };
#define GEN_KIND(source, rank_a, rank_b, wide, detail)                                                                         \
    ((uint64_t)(source) | (uint64_t)(rank_a) << 8 | (uint64_t)(rank_b) << 16 | (uint64_t)(wide) << 24 |                        \
     (uint64_t)(detail) << 32)

/* Prints what follows simt.h. */
typedef void gen_printer(gen_text *, const void *context);

/* The function of a key on a device: compiled on first use, then kept until the device closes. `entry` names it. Any thread. */
dl_status gen_function(dl_device *device, const gen_key *key, const char *entry, gen_printer *print, const void *context,
                       void **function);

/* ---- launching (launch.c) ---------------------------------------------------------------------------------------------------
 */

enum { GEN_MAX_ARGS = 256, GEN_BLOCK = 128 }; /* items per group of one-dimensional launches */

typedef struct gen_args {
    uint32_t n;
    uint32_t bytes[GEN_MAX_ARGS];
    uint64_t value[GEN_MAX_ARGS];
} gen_args;

void gen_buffer(gen_args *, const dl_tensor *, int64_t beyond); /* handle, and first element + beyond: two arguments */
void gen_memory(gen_args *, void *handle);                      /* scratch or fault word: handle and offset 0 */
void gen_i64(gen_args *, int64_t);
void gen_i32(gen_args *, int64_t);
void gen_f32(gen_args *, double);
void gen_f64(gen_args *, double);

dl_status gen_launch(const dl_frame *, void *function, const uint32_t grid[3], const uint32_t block[3], gen_args *);
dl_status gen_launch_items(const dl_frame *, void *function, int64_t items, gen_args *); /* one item each, and some more */

void *gen_fault(const dl_device *); /* the fault word; NULL: the backend has none */

/* ---- walks (walk.c) ---------------------------------------------------------------------------------------------------------
 */

/* GEN_MAX_RANK: of one pointwise launch. GEN_MAX_BYTES: of its arguments; every OpenCL device takes 1024. */
enum { GEN_MAX_OPERANDS = DL_PROG_MAX_IN + 4, GEN_MAX_RANK = 6, GEN_MAX_BYTES = 1024 };

/* A space of elements and how operands step through it. */
typedef struct gen_walk {
    int32_t ndim, operands;
    bool wide; /* needs 64-bit index arithmetic */
    int64_t shape[DL_MAX_DIMS];
    int64_t stride[GEN_MAX_OPERANDS][DL_MAX_DIMS];
} gen_walk;

void gen_walk_init(gen_walk *, int32_t operands);
/* Adds a dimension behind the others, with each operand's stride; those of size 1 are left out. */
void gen_walk_dim(gen_walk *, int64_t size, const int64_t *strides);
void gen_walk_sort(gen_walk *, int32_t operand); /* dimensions by falling stride of that operand */
/* Joins dimensions that every operand steps through evenly; sets `wide`; the rank becomes 1 (flat), 2, 4, 6 or more. */
void gen_walk_merge(gen_walk *);
int64_t gen_walk_count(const gen_walk *);
bool gen_walk_flat(const gen_walk *); /* one dimension, in which every operand has stride 1 */

/* The class of the walk's dimensions from `first` on: how many, or 0 for a flat walk. */
int32_t gen_walk_rank(const gen_walk *, int32_t first);

/* A walk in a kernel, named by a letter and with its operands' names: prints macros
 *   <letter>_SIZES          parameters for the sizes and strides, each with a comma in front
 *   <letter>_SPLIT(i)       declares the coordinates of element number i
 *   <letter>_AT_<operand>   that element's offset in an operand, i64
 * which depend on its rank (gen_walk_rank) and width alone. gen_push_walk gives the arguments in the order of _SIZES. */
void gen_put_walk(gen_text *, char letter, int32_t rank, bool wide, int32_t operands, const char *const *names);
void gen_push_walk(gen_args *, const gen_walk *, int32_t first);

/* ---- pointwise programs on tensors (pointwise.c)
 * ------------------------------------------------------------------------------ */

/* A program laid over tensors of given shapes and strides: what prepare makes of a call. */
typedef struct gen_map {
    void *function; /* NULL: no elements, nothing to do */
    gen_walk walk;  /* operand 0: the output; then the inputs that are read */
    int32_t outer;  /* leading dimensions of the walk for each of whose elements there is a launch of its own */
    int32_t n_attr;
    uint8_t input[GEN_MAX_OPERANDS];     /* their numbers */
    uint8_t attr_type[DL_PROG_MAX_ARGS]; /* NOT_READ, dl_dtype or DL_U32 */
    bool uses_index;
} gen_map;

/* raw: elements are moved as integers of their size, whatever the dtype. DL_UNSUPPORTED for more tensors or
 * arguments than there is room for. `in` are expanded to out's shape. */
dl_status gen_map_init(gen_map *, dl_device *, const dl_prog *, bool raw, const dl_tensor *out, const dl_tensor *const *in);
dl_status gen_map_run(const gen_map *, const dl_frame *, const dl_attr *, const dl_tensor *out, int64_t out_beyond,
                      const dl_tensor *const *in);

/* The map that converts x, expanded to out's shape, to out. */
dl_status gen_copy_init(gen_map *, dl_device *, const dl_tensor *out, const dl_tensor *x);

/* Gives a plan a state of that many bytes, zeroed; gen_plan_ready passes `status` on and takes the state back if it is a
 * failure. */
dl_status gen_plan_state(dl_plan *, size_t bytes, void **state);
dl_status gen_plan_ready(dl_plan *, dl_status status);
#endif
