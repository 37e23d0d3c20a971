/* clblast.c - see clblast.h. libclblast.so.1 is opened when the first product asks for it; its C functions are declared here,
 * so the build needs no header of it. */
#include "backends/opencl/clblast.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* ---- the library ----------------------------------------------------------------------------------------------------------
 */

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* CLBlast's numbers, which are CBLAS's */

typedef int gemm_f32(int layout, int a_transpose, int b_transpose, size_t m, size_t n, size_t k, float alpha, cl_mem a,
                     size_t a_at, size_t a_ld, cl_mem b, size_t b_at, size_t b_ld, float beta, cl_mem c, size_t c_at,
                     size_t c_ld, cl_command_queue *queue, cl_event *event);
typedef int gemm_f64(int layout, int a_transpose, int b_transpose, size_t m, size_t n, size_t k, double alpha, cl_mem a,
                     size_t a_at, size_t a_ld, cl_mem b, size_t b_at, size_t b_ld, double beta, cl_mem c, size_t c_at,
                     size_t c_ld, cl_command_queue *queue, cl_event *event);

static struct {
    gemm_f32 *f32;
    gemm_f64 *f64; /* both NULL: there is no CLBlast */
} clblast;

static void open_library(void) {
    void *library = dlopen("libclblast.so.1", RTLD_NOW | RTLD_LOCAL);
    void *f32 = library ? dlsym(library, "CLBlastSgemm") : NULL, *f64 = library ? dlsym(library, "CLBlastDgemm") : NULL;
    if (!f32 || !f64) return;
    memcpy(&clblast.f32, &f32, sizeof f32); /* ISO C has no cast from object to function pointers */
    memcpy(&clblast.f64, &f64, sizeof f64);
}

/* Whether products on this device go to CLBlast. */
static int is_wanted(const opencl_device *d) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *asked = getenv("DLRUN_CLBLAST");
    if (asked && strcmp(asked, "0") == 0) return 0;
    if (d->kind == CL_DEVICE_TYPE_CPU && !(asked && strcmp(asked, "1") == 0)) return 0;
    pthread_once(&once, open_library);
    return clblast.f32 != NULL;
}

/* ---- matrices -------------------------------------------------------------------------------------------------------------
 */

typedef struct matrix {
    size_t rows, columns, ld; /* ld in elements */
    int transpose;
} matrix;

/* The last two dimensions of a tensor as a row-major matrix, transposed or not; 0: it is more than one matrix, or its strides
 * are no leading dimension. The stride of a dimension of size 1 means nothing. */
static int as_matrix(const dl_tensor *t, matrix *m) {
    if (t->ndim < 2) return 0;
    for (int32_t d = 0; d < t->ndim - 2; d++)
        if (t->shape[d] != 1) return 0;
    const int64_t rows = t->shape[t->ndim - 2], columns = t->shape[t->ndim - 1];
    const int64_t row = rows == 1 ? columns : t->strides[t->ndim - 2], column = columns == 1 ? 1 : t->strides[t->ndim - 1];
    if (rows == 0 || columns == 0) return 0;
    *m = (matrix){(size_t)rows, (size_t)columns, (size_t)row, PLAIN};
    if (column == 1 && row >= columns) return 1;
    m->ld = (size_t)(columns == 1 ? rows : column);
    m->transpose = TRANSPOSED;
    return (rows == 1 || row == 1) && m->ld >= (size_t)rows;
}

/* ---- kernels --------------------------------------------------------------------------------------------------------------
 */

typedef struct product {
    matrix a, b, c;
    size_t element; /* bytes */
} product;

static int product_of(const dl_frame *f, product *p) {
    const dl_dtype type = f->out[0]->type;
    p->element = type == DL_F64 ? sizeof(double) : sizeof(float);
    return (type == DL_F32 || type == DL_F64) && f->in[0]->type == type && f->in[1]->type == type &&
           as_matrix(f->in[0], &p->a) && as_matrix(f->in[1], &p->b) && as_matrix(f->out[0], &p->c) && p->c.transpose == PLAIN;
}

static cl_mem buffer_of(const dl_tensor *t) { return (cl_mem)t->data; }

static dl_status enqueue(const dl_frame *f, const product *p) {
    const dl_tensor *a = f->in[0], *b = f->in[1], *c = f->out[0];
    cl_command_queue queue = opencl_stream(f->device, f->stream)->queue;
    const size_t a_at = a->byte_offset / p->element, b_at = b->byte_offset / p->element, c_at = c->byte_offset / p->element;
    int error;
    CL_TRY(opencl_pace(opencl_of(f->device), opencl_stream(f->device, f->stream)));
    if (c->type == DL_F64)
        error = clblast.f64(ROW_MAJOR, p->a.transpose, p->b.transpose, p->c.rows, p->c.columns, p->a.columns, 1.0, buffer_of(a),
                            a_at, p->a.ld, buffer_of(b), b_at, p->b.ld, 0.0, buffer_of(c), c_at, p->c.ld, &queue, NULL);
    else
        error =
            clblast.f32(ROW_MAJOR, p->a.transpose, p->b.transpose, p->c.rows, p->c.columns, p->a.columns, 1.0f, buffer_of(a),
                        a_at, p->a.ld, buffer_of(b), b_at, p->b.ld, 0.0f, buffer_of(c), c_at, p->c.ld, &queue, NULL);
    return error == 0
               ? DL_OK
               : opencl_fail(error, "CLBlast's product on %s (DLRUN_CLBLAST=0 does without)", opencl_of(f->device)->name);
}

static void destroy(void *state) { opencl_host->mem(state, 0); }

static dl_status prepare(const dl_frame *f, dl_plan *plan) {
    product wanted;
    if (!is_wanted(opencl_of(f->device)) || !product_of(f, &wanted)) return DL_UNSUPPORTED;
    product *p = opencl_host->mem(NULL, sizeof *p);
    if (!p) return opencl_host->fail(DL_NOMEM, "out of memory for a plan");
    *p = wanted;
    plan->state = p;
    plan->destroy = destroy;
    return DL_OK;
}

static dl_status run(const dl_frame *f, const dl_plan *plan) { return enqueue(f, plan->state); }

dl_status opencl_register_clblast(const dl_host *host) {
    enum { BEFORE_SIMT = 10 };
    static const dl_kernel kernels[] = {
        {sizeof(dl_kernel), BEFORE_SIMT, "gemm", "opencl", prepare, run, NULL, 0},
        {sizeof(dl_kernel), BEFORE_SIMT, "matmul", "opencl", prepare, run, NULL, 0},
    };
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) CL_TRY(host->add_kernel(&kernels[k]));
    return DL_OK;
}
