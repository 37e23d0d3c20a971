/* function.c - compiled functions, kept per device: a source is printed and compiled once in the process. Devices stay
 * open, so nothing is freed. */
#include "core/generate/generate.h"
#include "core/mem.h"
#include <pthread.h>
#include <string.h>

enum { BUCKETS = 256 };

typedef struct entry {
    struct entry *next;
    dl_device *device;
    gen_key key;
    void *function;
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held while a backend compiles: nothing is compiled twice */
static entry *buckets[BUCKETS];

extern const char text_simt_h[];

static entry **bucket_of(const gen_key *k) {
    uint64_t h = (k->kind * 31 + k->types) * 31 + k->program + k->reads * 17;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return &buckets[h >> 56];
}

static dl_status compile(dl_device *device, const char *name, gen_printer *print, const void *context, void **function) {
    gen_text text = {0};
    gen_put(&text, "%s", text_simt_h);
    print(&text, context);
    dl_status status = DL_OK;
    if (text.failed)
        status = dl_failf(DL_NOMEM, "out of memory printing the source of a kernel");
    else
        status = dl_core_of(device)->backend->api.compile(device, text.data, name, function);
    dl_mem(text.data, 0);
    return status;
}

static dl_status find_locked(dl_device *device, const gen_key *key, const char *name, gen_printer *print, const void *context,
                             void **function) {
    entry **bucket = bucket_of(key);
    for (entry *e = *bucket; e; e = e->next)
        if (e->device == device && memcmp(&e->key, key, sizeof *key) == 0) {
            *function = e->function;
            return DL_OK;
        }
    entry *e = dl_mem(NULL, sizeof *e);
    if (!e) return dl_failf(DL_NOMEM, "out of memory compiling a kernel");
    const dl_status status = compile(device, name, print, context, function);
    if (status != DL_OK) {
        dl_mem(e, 0);
        return status;
    }
    *e = (entry){*bucket, device, *key, *function};
    *bucket = e;
    return DL_OK;
}

dl_status gen_function(dl_device *device, const gen_key *key, const char *entry, gen_printer *print, const void *context,
                       void **function) {
    pthread_mutex_lock(&lock);
    const dl_status status = find_locked(device, key, entry, print, context, function);
    pthread_mutex_unlock(&lock);
    return status;
}
