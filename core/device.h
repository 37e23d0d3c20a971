/* device.h - backends and open devices as the core sees them. */
#ifndef DL_CORE_DEVICE_H
#define DL_CORE_DEVICE_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

enum { DL_MAX_BACKENDS = 16, DL_MAX_DEVICES = 64 };
enum { DL_HOST_TYPE = 1 };           /* DLPack's kDLCPU: memory of such devices has host addresses */
#define DL_DEFAULT_DEVICE_NAME "cpu" /* the one device the core knows by name */

/* A registered backend. Its number is its place in the registry and stays for the process's life. */
typedef struct dl_backend_entry {
    dl_backend api;     /* a zero-extended copy of what the plugin gave: fields it did not know are NULL */
    int32_t number;     /* also its row in every op's kernel table */
    int32_t dl_type;    /* DLPack device type */
    const char *plugin; /* who registered it, for conflict messages */
} dl_backend_entry;

/* What dl_device.core points to. */
typedef struct dl_device_core {
    const dl_backend_entry *backend;
    char name[48];               /* "cpu", "cuda:1" */
    struct dl_allocator *memory; /* core/alloc.c */
    struct dl_plan_cache *plans; /* core/plan.c */
} dl_device_core;

static inline dl_device_core *dl_core_of(const dl_device *d) { return (dl_device_core *)d->core; }

static inline int dl_on_host(const dl_device *d) { return d->id.type == DL_HOST_TYPE; }

/* Registers a backend (staged: core/host.c commits). Refuses a taken name or DLPack type and missing functions. Never
 * allocates. dl_backend_check asks the same questions without registering. */
dl_status dl_backend_add(const dl_backend *, const char *plugin);
dl_status dl_backend_check(const dl_backend *, const char *plugin);
const dl_backend_entry *dl_backend_find(const char *name); /* NULL: none registered so far (loads nothing) */
const dl_backend_entry *dl_backend_at(int32_t number);
int32_t dl_backends_registered(void); /* how many so far; dl_backend_count() opens the plugins that wait, too */

dl_device *dl_device_at(int32_t k);                          /* the k-th opened device; NULL past the last */
dl_status dl_device_by_id(dl_device_id id, dl_device **out); /* DLPack's type and index; opens it */
#endif
