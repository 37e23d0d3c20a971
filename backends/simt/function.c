/* function.c - compiled kernels: one for each device, text, entry and list of dtypes. The list of them has one lock, which
 * nobody holds while compiling: that takes seconds, and other threads want what is there already. */
#include "backends/simt/simt.h"
#include "backends/simt/texts.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TYPES = 6 };

typedef struct entry {
    struct entry *next;
    dl_device *device;
    const char *source;
    char name[64];
    int32_t n_types;
    dl_dtype types[MAX_TYPES];
    void *function; /* NULL: the device cannot have it (need_f64's question) */
} entry;

static entry *entries;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- dtypes ------------------------------------------------------------------------------------------------------------- */

/* SIMT_DTYPE(dtype, short name, T, A, LOAD(p, i), STORE(p, i, v)) */
#define SIMT_DTYPES                                                                                                            \
    SIMT_DTYPE(DL_F32, "f32", "f32", "f32", "((p)[i])", "((p)[i] = (v))")                                                      \
    SIMT_DTYPE(DL_F64, "f64", "f64", "f64", "((p)[i])", "((p)[i] = (v))")                                                      \
    SIMT_DTYPE(DL_F16, "f16", "u16", "f32", "load_f16(p, i)", "store_f16(p, i, v)")                                            \
    SIMT_DTYPE(DL_BF16, "bf16", "u16", "f32", "load_bf16(p, i)", "store_bf16(p, i, v)")                                        \
    SIMT_DTYPE(DL_U8, "u8", "u8", "u8", "((p)[i])", "((p)[i] = (v))")                                                          \
    SIMT_DTYPE(DL_I8, "i8", "i8", "i8", "((p)[i])", "((p)[i] = (v))")                                                          \
    SIMT_DTYPE(DL_I16, "i16", "i16", "i16", "((p)[i])", "((p)[i] = (v))")                                                      \
    SIMT_DTYPE(DL_I32, "i32", "i32", "i32", "((p)[i])", "((p)[i] = (v))")                                                      \
    SIMT_DTYPE(DL_I64, "i64", "i64", "i64", "((p)[i])", "((p)[i] = (v))")                                                      \
    SIMT_DTYPE(DL_BOOL, "bool", "u8", "u8", "((p)[i])", "((p)[i] = (u8)((v) != 0))")

typedef struct names {
    const char *name, *storage, *arithmetic, *load, *store;
} names;

static const names *names_of(dl_dtype type) {
    static const names table[DL_DTYPE_COUNT] = {
#define SIMT_DTYPE(type, name, t, a, load, store) [type] = {name, t, a, load, store},
        SIMT_DTYPES
#undef SIMT_DTYPE
    };
    return type >= 0 && type < DL_DTYPE_COUNT && table[type].name ? &table[type] : NULL;
}

int64_t simt_type_bytes(dl_dtype type) {
    static const int64_t bits[] = {
#define DL_DTYPE(NAME, number, name, code, bits, ctype, torch7) bits,
#include "dlrun/dtype.def"
#undef DL_DTYPE
    };
    return bits[type] / 8;
}

/* The macros of one dtype, at most MACRO_BYTES. */
enum { MACRO_BYTES = 320 };
static size_t print_macros(char *text, int32_t k, const names *n) {
    char suffix[12] = "";
    if (k) snprintf(suffix, sizeof suffix, "%d", (int)k);
    return (size_t)snprintf(text, MACRO_BYTES,
                            "#define T%s %s\n#define A%s %s\n#define LOAD%s(p, i) %s\n#define STORE%s(p, i, v) %s\n"
                            "#define T%s_IS_%s\n",
                            suffix, n->storage, suffix, n->arithmetic, suffix, n->load, suffix, n->store, suffix, n->name);
}

/* ---- compiling ------------------------------------------------------------------------------------------------------------
 */

static dl_status compile(dl_device *device, const char *source, const char *name, const dl_dtype *types, int32_t n_types,
                         void **function) {
    const size_t dialect = strlen(text_simt_h), body = strlen(source);
    char *const text = simt_of.host->mem(NULL, dialect + (size_t)n_types * MACRO_BYTES + body + 1);
    if (!text) return simt_of.host->fail(DL_NOMEM, "out of memory for the text of kernel %s", name);
    char *end = text;
    memcpy(end, text_simt_h, dialect);
    end += dialect;
    for (int32_t k = 0; k < n_types; k++) end += print_macros(end, k, names_of(types[k]));
    memcpy(end, source, body + 1);
    const dl_status status = simt_of.backend->compile(device, text, name, function);
    simt_of.host->mem(text, 0);
    return status;
}

static int is(const entry *e, dl_device *device, const char *source, const char *name, const dl_dtype *types, int32_t n) {
    return e->device == device && e->source == source && e->n_types == n && strcmp(e->name, name) == 0 &&
           (n == 0 || memcmp(e->types, types, (size_t)n * sizeof *types) == 0);
}

/* Under the lock; NULL: not yet. */
static const entry *known(dl_device *device, const char *source, const char *name, const dl_dtype *types, int32_t n) {
    const entry *e = entries;
    while (e && !is(e, device, source, name, types, n)) e = e->next;
    return e;
}

static void discard(entry *e) {
    if (e->function && DL_HAS(simt_of.backend, function_free)) simt_of.backend->function_free(e->device, e->function);
    simt_of.host->mem(e, 0);
}

/* Puts e into the list, unless another thread was faster: then its entry counts, and e is gone. Returns the one that counts. */
static const entry *publish(entry *e) {
    pthread_mutex_lock(&lock);
    const entry *const first = known(e->device, e->source, e->name, e->types, e->n_types);
    if (!first) {
        e->next = entries;
        entries = e;
    }
    pthread_mutex_unlock(&lock);
    if (!first) return e;
    discard(e);
    return first;
}

/* *function is NULL where compiling was refused and `may_fail` keeps the refusal as an answer. */
static dl_status find(dl_device *device, const char *source, const char *name, const dl_dtype *types, int32_t n, int may_fail,
                      void **function) {
    pthread_mutex_lock(&lock);
    const entry *const there = known(device, source, name, types, n);
    pthread_mutex_unlock(&lock);
    if (there) {
        *function = there->function;
        return DL_OK;
    }
    entry *const e = simt_of.host->mem(NULL, sizeof *e);
    if (!e) return simt_of.host->fail(DL_NOMEM, "out of memory for kernel %s", name);
    *e = (entry){.device = device, .source = source, .n_types = n};
    snprintf(e->name, sizeof e->name, "%s", name);
    for (int32_t k = 0; k < n; k++) e->types[k] = types[k];
    const dl_status status = compile(device, source, name, types, n, &e->function);
    if (status != DL_OK) e->function = NULL;
    if (status != DL_OK && !(may_fail && (status == DL_UNSUPPORTED || status == DL_INVALID))) {
        discard(e);
        return status;
    }
    *function = publish(e)->function;
    return DL_OK;
}

/* Whether the device computes in float64 is asked of its compiler: no driver has a say beyond that. */
static dl_status need_f64(dl_device *device) {
    static const char probe[] = "KERNEL void dl_probe_f64(GLOBAL T *x, i64 x_at) { x[x_at] = (T)1; }\n";
    void *function = NULL;
    const dl_status status = find(device, probe, "dl_probe_f64", (const dl_dtype[]){DL_F64}, 1, 1, &function);
    if (status != DL_OK || function) return status;
    return simt_of.host->fail(DL_UNSUPPORTED, "this device has no float64: use float32");
}

dl_status simt_function(const dl_frame *f, const char *source, const char *name, const dl_dtype *types, int32_t n_types,
                        void **function) {
    int doubles = 0;
    if (n_types < 0 || n_types > MAX_TYPES || strlen(name) >= sizeof entries->name)
        return simt_of.host->fail(DL_INVALID, "kernel %s: expected at most %d dtypes and a name of at most %zu characters",
                                  name, MAX_TYPES, sizeof entries->name - 1);
    for (int32_t k = 0; k < n_types; k++) {
        if (!names_of(types[k])) return DL_UNSUPPORTED;
        doubles |= types[k] == DL_F64;
    }
    const dl_status status = doubles ? need_f64(f->device) : DL_OK;
    return status == DL_OK ? find(f->device, source, name, types, n_types, 0, function) : status;
}

void simt_close(dl_device *device) {
    entry *gone = NULL;
    pthread_mutex_lock(&lock);
    for (entry **link = &entries; *link;) {
        entry *const e = *link;
        if (e->device != device) {
            link = &e->next;
            continue;
        }
        *link = e->next;
        e->next = gone;
        gone = e;
    }
    pthread_mutex_unlock(&lock);
    while (gone) {
        entry *const next = gone->next;
        discard(gone);
        gone = next;
    }
}
