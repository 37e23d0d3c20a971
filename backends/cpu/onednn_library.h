/* onednn_library.h - oneDNN's functions as the files that use them see them: opened at run time (onednn.c), with the C API of
 * version 2 or 3, whichever header the build found. CPU_HAS_ONEDNN is not defined where there is none. */
#ifndef CPU_ONEDNN_LIBRARY_H
#define CPU_ONEDNN_LIBRARY_H

#if defined(__x86_64__) && __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#define CPU_HAS_ONEDNN DNNL_VERSION_MAJOR

#if DNNL_VERSION_MAJOR == 2
#define CPU_DNNL_VERSIONED(F)                                                                                                  \
    F(dnnl_memory_desc_init_by_strides)                                                                                        \
    F(dnnl_memory_desc_init_by_tag)                                                                                            \
    F(dnnl_memory_desc_equal)                                                                                                  \
    F(dnnl_matmul_desc_init)                                                                                                   \
    F(dnnl_dilated_convolution_forward_desc_init)                                                                              \
    F(dnnl_dilated_convolution_backward_data_desc_init)                                                                        \
    F(dnnl_dilated_convolution_backward_weights_desc_init) F(dnnl_primitive_desc_create)
#else
#define CPU_DNNL_VERSIONED(F)                                                                                                  \
    F(dnnl_memory_desc_create_with_strides) F(dnnl_memory_desc_destroy) F(dnnl_matmul_primitive_desc_create)
#endif
#define CPU_DNNL_FUNCTIONS(F)                                                                                                  \
    F(dnnl_version)                                                                                                            \
    F(dnnl_set_max_cpu_isa)                                                                                                    \
    F(dnnl_engine_create)                                                                                                      \
    F(dnnl_stream_create)                                                                                                      \
    F(dnnl_stream_wait)                                                                                                        \
    F(dnnl_stream_destroy)                                                                                                     \
    F(dnnl_primitive_attr_create)                                                                                              \
    F(dnnl_primitive_attr_destroy)                                                                                             \
    F(dnnl_primitive_attr_set_scratchpad_mode)                                                                                 \
    F(dnnl_reorder_primitive_desc_create)                                                                                      \
    F(dnnl_memory_desc_get_size)                                                                                               \
    F(dnnl_primitive_desc_query)                                                                                               \
    F(dnnl_primitive_desc_query_md)                                                                                            \
    F(dnnl_primitive_desc_destroy)                                                                                             \
    F(dnnl_primitive_create)                                                                                                   \
    F(dnnl_primitive_execute)                                                                                                  \
    F(dnnl_primitive_destroy) F(dnnl_memory_create) F(dnnl_memory_destroy) CPU_DNNL_VERSIONED(F)

typedef struct cpu_dnnl_library {
#define CPU_DNNL_DECLARE(NAME) __typeof__(NAME) *NAME##_;
    CPU_DNNL_FUNCTIONS(CPU_DNNL_DECLARE)
#undef CPU_DNNL_DECLARE
    dnnl_engine_t engine; /* NULL: not to be used */
    int forced;           /* DLRUN_ONEDNN=all: to be used wherever it can be */
} cpu_dnnl_library;

extern cpu_dnnl_library cpu_dnnl;

/* Opens the library on first use. 0: it is missing, of another version, forbidden by DLRUN_ONEDNN=0, or the instruction set in
 * force is the baseline. Keeps it serial on this thread: the backend's own pool cuts the work. */
int cpu_dnnl_open(void);
int cpu_dnnl_has_bf16(void); /* has the instruction set in force instructions for bfloat16? */
/* Has the implementation that a primitive would have this word in its name (or no name at all)? */
int cpu_dnnl_named(const_dnnl_primitive_desc_t, const char *word);
#endif

#endif
