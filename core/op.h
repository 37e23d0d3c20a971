/* op.h - the op registry: signatures, kernels by backend, programs of pointwise ops. */
#ifndef DL_CORE_OP_H
#define DL_CORE_OP_H
#include "core/device.h"
#include "core/pointwise/prog.h"
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

enum { DL_MAX_OPS = 4096, DL_MAX_TENSORS = 8, DL_MAX_ATTRS = 16, DL_MAX_OUTS = 4, DL_MAX_KERNELS = 8 };

typedef enum dl_arg_kind {
    DL_ARG_TENSOR,
    DL_ARG_OPTIONAL, /* Tensor? */
    DL_ARG_LIST,     /* Tensor[] */
    DL_ARG_INT,
    DL_ARG_FLOAT,
    DL_ARG_BOOL,
    DL_ARG_INTS,
    DL_ARG_DTYPE,
    DL_ARG_SCALAR,
    DL_ARG_STRING
} dl_arg_kind;

typedef struct dl_arg {
    char name[24];
    dl_arg_kind kind;
    int32_t written;     /* Tensor! */
    dl_dtype fixed_type; /* Tensor:bool, as in pointwise rows; -1: takes part in promotion */
    dl_attr fallback;    /* an attribute's default; kind DL_ATTR_NONE: required */
} dl_arg;

typedef struct dl_op {
    dl_op_def def; /* zero-extended copy */
    char name[48];
    int32_t id;
    int32_t n_tensors, n_lists, n_attrs, n_outs; /* tensor arguments in all; lists among them */
    int32_t n_required;                          /* attributes without a default, which come first */
    dl_arg tensors[DL_MAX_TENSORS];
    dl_arg attrs[DL_MAX_ATTRS];
    int32_t is_copy, takes_first_type; /* the op "copy"; rule "same" with an undeclared first input */
    int32_t primitive;                 /* compositions end in it: a pointwise op, copy, reduce, gemm, gather or scatter_add */
    const char *plugin;                /* who registered it; "dlrun" for the built-in ones */
    int32_t foreign;                   /* a plugin's: what its functions give is checked */
    int32_t autocast;                  /* dl_autocast_policy */
    uint32_t follows;                  /* bit k: tensor k may lie on another device (core/follow.h) */
    uint32_t saved_in, saved_out;      /* bit k: grad reads input / output k */
    const dl_kernel *kernels[DL_MAX_BACKENDS][DL_MAX_KERNELS]; /* by falling priority, NULL-terminated */
    /* Pointwise: programs by common dtype, made on first use; gradient ops by input. */
    dl_prog *_Atomic progs[DL_DTYPE_COUNT];
    _Atomic uint16_t types[DL_DTYPE_COUNT]; /* compute and result type of each, as dl_op_types keeps them; 0: not asked yet */
    struct dl_op *_Atomic grad_ops[DL_PROG_MAX_IN];
    const struct dl_op *grad_of; /* the op this one is the gradient of, or NULL */
    int32_t grad_input;
} dl_op;

/* A kernel in the registry's keeping: whoever adds it gives it for the process's life. */
typedef struct dl_kernel_entry {
    dl_kernel kernel;
    const char *plugin;
    int32_t generated;            /* 1: one of core/generate's */
    struct dl_kernel_entry *next; /* among those that wait for their op or backend */
} dl_kernel_entry;

/* Registration, staged by core/host.c. Refuse taken names and bad signatures with a sentence. Adding a kernel never fails: it
 * may come before its op or its backend and then waits. */
dl_status dl_op_add(const dl_op_def *, const char *plugin);
dl_status dl_op_make(const dl_op_def *, const char *plugin, dl_op **out); /* the first half of it: checked, not yet published */
void dl_kernel_add(dl_kernel_entry *);
void dl_kernels_adopt(void);             /* a backend has come: places the kernels that waited for it */
dl_status dl_ops_register_builtin(void); /* ops.def and pointwise.def; core/builtin.c */
dl_status dl_init_ops(void);             /* that, once: the first half of dl_init(), before the search for plugins */
dl_status dl_op_publish(dl_op *);        /* a ready-made op (gradients of pointwise ops): owned by the registry if DL_OK */

dl_op *dl_op_at(int32_t id); /* NULL: no such op */
dl_op *dl_op_named(const char *name);

/* The argument that flattened input k of n_in belongs to. */
const dl_arg *dl_op_argument(const dl_op *, int32_t k, int32_t n_in);

/* Fills full[n_attrs] from what the caller gave and the defaults; checks kinds. DL_INVALID names the attribute. */
dl_status dl_op_attrs(const dl_op *, const dl_attr *given, int32_t n_given, dl_attr *full);

/* Parses a signature into op (name, tensors, attrs, outs). core/signature.c. */
dl_status dl_signature_parse(const char *sig, dl_op *op);

/* ---- pointwise ops (core/pointwise_op.c) ------------------------------------------------------------------------------ */
/* The program for inputs already promoted to `common`, made on first use. Owned by the op. */
dl_status dl_op_program(dl_op *, dl_dtype common, const dl_prog **out);
/* Parses its expression, and its gradients' where it has own ones, at a dtype that its rule allows: what is wrong shows now. */
dl_status dl_op_check_text(const dl_op *);
dl_status dl_op_types(dl_op *, dl_dtype common, dl_dtype *compute, dl_dtype *out); /* dl_rule_types of its rule, kept */
/* The type that tensors of a common type and the Scalar attributes are promoted to (core/pointwise_call.c). */
dl_dtype dl_pointwise_with_scalars(const dl_op *, dl_dtype tensors, const dl_attr *attr);
/* The op that computes the gradient towards input k: tensors (g, in..., out), attributes as this op's. */
dl_status dl_op_gradient(dl_op *, int32_t k, dl_op **out);
dl_status dl_pointwise_grad(dl_graph *, const dl_frame *); /* the grad function of every pointwise op */

#endif
