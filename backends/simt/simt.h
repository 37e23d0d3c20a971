/* simt.h - the host side that all kernels of backends/simt/ share.
 *
 * Kernels are texts in the dialect of dlrun/simt.h (OpenCL C and CUDA C), compiled at run time by the Tier A backend that this
 * folder is linked into. A family is <family>.c with its prepare and run functions, and one text or more (texts.h). prepare
 * gets compiled functions from simt_function; run only enqueues.
 *
 * Nothing here is exported: every backend's .so has its own copy of the state, so two of them live in one process. */
#ifndef SIMT_H
#define SIMT_H
#include "dlrun/plugin.h"

/* As the dialect calls it, for the structs of headers that both sides include. */
typedef int64_t i64;

typedef struct simt {
    const dl_host *host;
    const dl_backend *backend;
} simt;
extern simt simt_of; /* set by simt_register */

/* ---- for the backend -------------------------------------------------------------------------------------------------- */

/* Adds the kernels of every family in families.def to `backend`, from dl_plugin_init, after add_backend. `backend` lives as
 * long as the process. DL_INVALID where it lacks one of name, copy, compile, launch and fault; function_free may be absent. */
dl_status simt_register(const dl_host *host, const dl_backend *backend);
/* Frees what was compiled for a device: the backend calls it in `close`. */
void simt_close(dl_device *device);

/* ---- for the families: registration ------------------------------------------------------------------------------------- */

#define SIMT_KERNEL(op, prepare, run)                                                                                          \
    { sizeof(dl_kernel), 0, op, NULL, prepare, run, NULL, 0 }
/* Rows of SIMT_KERNEL; the backend's name is filled in. */
dl_status simt_add_kernels(const dl_kernel *rows, size_t n);

/* ---- for prepare: functions --------------------------------------------------------------------------------------------- */

/* The kernel `entry` of a text, compiled at the first request and kept until the device is closed: equal requests give equal
 * functions. In front of the text come dlrun/simt.h and, for types[k], with k as a suffix from 1 on,
 *     T         how an element lies in memory                     (f16, bf16: u16; bool: u8)
 *     A         what is computed with                             (f16, bf16: f32; else T)
 *     LOAD      LOAD(p, i): element i behind the pointer p, as A
 *     STORE     STORE(p, i, v): v, an A, to element i             (halves are rounded to nearest even; bool: v != 0)
 *     T_IS_f32  defined, with the dtype's short name              (f32 f64 f16 bf16 u8 i8 i16 i32 i64 bool)
 * so T1, A1, LOAD1, STORE1, T1_IS_f32 are those of types[1]. Sizes and strides are arguments of the kernel, never part of it.
 * DL_UNSUPPORTED where the device has no float64 and a type asks for it. source must be static: its address is part of the key.
 */
dl_status simt_function(const dl_frame *f, const char *source, const char *entry, const dl_dtype *types, int32_t n_types,
                        void **function);

/* Ends a prepare: a copy of a kernel's state becomes the plan's, which frees it by simt_free_state. DL_NOMEM. */
dl_status simt_keep_state(dl_plan *plan, const void *state, size_t bytes);
void simt_free_state(void *state);

/* ---- for run: arguments and launch -------------------------------------------------------------------------------------- */

enum { SIMT_MAX_ARGS = 64, SIMT_GROUP = 256 };

/* A kernel's arguments in order. Starts as {0}; must not be moved once filled (it points into itself). */
typedef struct simt_args {
    uint32_t n; /* beyond SIMT_MAX_ARGS: so many that simt_launch refuses */
    uint32_t bytes[SIMT_MAX_ARGS];
    void *at[SIMT_MAX_ARGS]; /* where each value is: in `value` but for structs */
    union {
        const void *handle;
        int64_t i64;
        int32_t i32;
        float f32;
        double f64;
    } value[SIMT_MAX_ARGS];
} simt_args;

/* Two arguments, `GLOBAL T *x, i64 x_at`: handle and offset in elements. t NULL (an absent optional one): no buffer, 0. */
void simt_buffer(simt_args *a, const dl_tensor *t);
/* The same for memory without a descriptor (scratch, fault word), from its beginning. */
void simt_data(simt_args *a, void *handle);
void simt_data_at(simt_args *a, void *handle, int64_t at);
void simt_i64(simt_args *a, int64_t v);
void simt_i32(simt_args *a, int32_t v);
void simt_f32(simt_args *a, float v);
void simt_f64(simt_args *a, double v);
/* A scalar of the type A that a dtype computes with. Floating dtypes. */
void simt_scalar(simt_args *a, dl_dtype type, double v);
/* A struct of i64 (or i32) fields alone, declared alike in the kernel's text. It is read by simt_launch. */
void simt_struct(simt_args *a, const void *p, uint32_t bytes);

/* Enqueues on the frame's stream: grid counts work groups, block work items of a group. An empty grid does nothing. DL_INTERNAL
 * where there are more arguments than SIMT_MAX_ARGS. */
dl_status simt_launch(const dl_frame *f, void *function, const uint32_t grid[3], const uint32_t block[3], const simt_args *a);
/* Enqueues at least so many groups of `block` items, in two dimensions where one does not hold them: kernels know a group by
 * GROUP_NUMBER (loop.h), and leave out numbers that are too high. There are none too many for what memory holds: 2^39. */
dl_status simt_launch_groups(const dl_frame *f, void *function, int64_t groups, uint32_t block, const simt_args *a);
/* Enqueues groups of SIMT_GROUP items for n items in one dimension. The kernel loops, since there may be fewer items than n:
 *     for (i64 i = global_id(0); i < n; i += global_size(0)) */
dl_status simt_launch_items(const dl_frame *f, void *function, int64_t n, const simt_args *a);

/* ---- tensors --------------------------------------------------------------------------------------------------------------
 */

int64_t simt_type_bytes(dl_dtype type);
static inline int64_t simt_count(const dl_tensor *t) {
    int64_t n = 1;
    for (int32_t d = 0; d < t->ndim; d++) n *= t->shape[d];
    return n;
}
static inline int simt_floating(dl_dtype type) { return type == DL_F32 || type == DL_F64 || type == DL_F16 || type == DL_BF16; }

#endif
