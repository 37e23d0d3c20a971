/* onednn.c - opens oneDNN, and matrix products by it.
 *
 * The library is opened on first use, not at start: it is 40 MB. It brings libgomp's pool with it. */
#include "backends/cpu/onednn.h"
#include "backends/cpu/cpu.h"

#include "backends/cpu/onednn_library.h"

#ifdef CPU_HAS_ONEDNN
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR == 2
#define LIBRARY "libdnnl.so.2"
#else
#define LIBRARY "libdnnl.so.3"
#endif

cpu_dnnl_library cpu_dnnl;

/* ---- the library -------------------------------------------------------------------------------------------------------- */

static void open_library(void) {
    const char *wanted = getenv("DLRUN_ONEDNN");
    if (cpu_isa() == CPU_BASELINE || (wanted && strcmp(wanted, "0") == 0)) return;
    cpu_dnnl.forced = wanted && strcmp(wanted, "all") == 0;
    cpu_library_serial(); /* chooses how libgomp's threads wait, before libgomp is loaded */
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
#define FIND(NAME)                                                                                                             \
    {                                                                                                                          \
        void *address = dlsym(library, #NAME);                                                                                 \
        if (!address) return;                                                                                                  \
        memcpy(&cpu_dnnl.NAME##_, &address, sizeof address);                                                                   \
    }
    CPU_DNNL_FUNCTIONS(FIND)
#undef FIND
    if (cpu_dnnl.dnnl_version_()->major != DNNL_VERSION_MAJOR) return;
    if (cpu_isa() == CPU_AVX2) (void)cpu_dnnl.dnnl_set_max_cpu_isa_(dnnl_cpu_isa_avx2);
    if (cpu_dnnl.dnnl_engine_create_(&cpu_dnnl.engine, dnnl_cpu, 0) != dnnl_success) cpu_dnnl.engine = NULL;
}

int cpu_dnnl_open(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    if (!cpu_dnnl.engine) return 0;
    cpu_library_serial();
    return 1;
}

int cpu_dnnl_has_bf16(void) { return cpu_isa() == CPU_AVX512 && __builtin_cpu_supports("avx512bf16"); }

int cpu_dnnl_named(const_dnnl_primitive_desc_t pd, const char *word) {
    const char *name = NULL;
    return cpu_dnnl.dnnl_primitive_desc_query_(pd, dnnl_query_impl_info_str, 0, &name) != dnnl_success || !name ||
           strstr(name, word) != NULL;
}

/* ---- descriptors: structs in version 2, handles in version 3 ----------------------------------------------------------- */

#if DNNL_VERSION_MAJOR == 2
#define ADDRESS(DESC) (&(DESC))
static int describe(dnnl_memory_desc_t *d, dnnl_data_type_t type, int64_t rows, int64_t cols, int64_t row, int64_t col) {
    const dnnl_dims_t size = {rows, cols}, stride = {row, col};
    return cpu_dnnl.dnnl_memory_desc_init_by_strides_(d, 2, size, type, stride) == dnnl_success;
}
static void forget(dnnl_memory_desc_t *d) { (void)d; }
static int describe_product(dnnl_primitive_desc_t *pd, const dnnl_memory_desc_t d[3]) {
    dnnl_matmul_desc_t product;
    return cpu_dnnl.dnnl_matmul_desc_init_(&product, &d[0], &d[1], NULL, &d[2]) == dnnl_success &&
           cpu_dnnl.dnnl_primitive_desc_create_(pd, &product, NULL, cpu_dnnl.engine, NULL) == dnnl_success;
}
#else
#define ADDRESS(DESC) (DESC)
static int describe(dnnl_memory_desc_t *d, dnnl_data_type_t type, int64_t rows, int64_t cols, int64_t row, int64_t col) {
    const dnnl_dims_t size = {rows, cols}, stride = {row, col};
    return cpu_dnnl.dnnl_memory_desc_create_with_strides_(d, 2, size, type, stride) == dnnl_success;
}
static void forget(dnnl_memory_desc_t *d) {
    if (*d) cpu_dnnl.dnnl_memory_desc_destroy_(*d);
}
static int describe_product(dnnl_primitive_desc_t *pd, const dnnl_memory_desc_t d[3]) {
    return cpu_dnnl.dnnl_matmul_primitive_desc_create_(pd, cpu_dnnl.engine, d[0], d[1], NULL, d[2], NULL) == dnnl_success;
}
#endif

/* ---- a prepared product ------------------------------------------------------------------------------------------------ */

struct cpu_onednn {
    dnnl_memory_desc_t desc[3]; /* a, b, c */
    dnnl_primitive_t primitive;
};

void cpu_onednn_free(cpu_onednn *p) {
    if (!p) return;
    if (p->primitive) cpu_dnnl.dnnl_primitive_destroy_(p->primitive);
    for (int k = 0; k < 3; k++) forget(&p->desc[k]);
    cpu_host->mem(p, 0);
}

cpu_onednn *cpu_onednn_matmul(int64_t m, int64_t n, int64_t k, int64_t a_row, int64_t a_col, int64_t b_row, int64_t b_col) {
    if (!cpu_dnnl_has_bf16() || !cpu_dnnl_open()) return NULL;
    cpu_onednn *p = (cpu_onednn *)cpu_host->mem(NULL, sizeof *p);
    if (!p) return NULL;
    memset(p, 0, sizeof *p);
    cpu_library_threads();
    dnnl_primitive_desc_t pd = NULL;
    if (describe(&p->desc[0], dnnl_bf16, m, k, a_row, a_col) && describe(&p->desc[1], dnnl_bf16, k, n, b_row, b_col) &&
        describe(&p->desc[2], dnnl_f32, m, n, n, 1) && describe_product(&pd, p->desc)) {
        /* the reference implementation would be slower than gemm.h */
        if (cpu_dnnl_named(pd, "ref") || cpu_dnnl.dnnl_primitive_create_(&p->primitive, pd) != dnnl_success)
            p->primitive = NULL;
        cpu_dnnl.dnnl_primitive_desc_destroy_(pd);
    }
    if (p->primitive) return p;
    cpu_onednn_free(p);
    return NULL;
}

int cpu_onednn_run(const cpu_onednn *p, const void *a, const void *b, float *c) {
    static const int argument[3] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    union {
        const void *read;
        void *handle; /* dnnl_memory_create wants operands writable; it does not write them */
    } data[3] = {{.read = a}, {.read = b}, {.handle = c}};
    dnnl_exec_arg_t args[3] = {{0}};
    dnnl_stream_t stream = NULL;
    int ok = cpu_dnnl.dnnl_stream_create_(&stream, cpu_dnnl.engine, dnnl_stream_default_flags) == dnnl_success;
    for (int k = 0; k < 3; k++) {
        args[k].arg = argument[k];
        ok = ok && cpu_dnnl.dnnl_memory_create_(&args[k].memory, ADDRESS(p->desc[k]), cpu_dnnl.engine, data[k].handle) ==
                       dnnl_success;
    }
    cpu_library_threads();
    ok = ok && cpu_dnnl.dnnl_primitive_execute_(p->primitive, stream, 3, args) == dnnl_success;
    ok = ok && cpu_dnnl.dnnl_stream_wait_(stream) == dnnl_success;
    for (int k = 0; k < 3; k++)
        if (args[k].memory) cpu_dnnl.dnnl_memory_destroy_(args[k].memory);
    if (stream) cpu_dnnl.dnnl_stream_destroy_(stream);
    return ok;
}

#else

cpu_onednn *cpu_onednn_matmul(int64_t m, int64_t n, int64_t k, int64_t a_row, int64_t a_col, int64_t b_row, int64_t b_col) {
    (void)m, (void)n, (void)k, (void)a_row, (void)a_col, (void)b_row, (void)b_col;
    return NULL;
}
int cpu_onednn_run(const cpu_onednn *p, const void *a, const void *b, float *c) {
    (void)p, (void)a, (void)b, (void)c;
    return 0;
}
void cpu_onednn_free(cpu_onednn *p) { (void)p; }
#endif
