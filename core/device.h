/* device.h - backends and open devices as the core sees them. */
#ifndef DL_CORE_DEVICE_H
#define DL_CORE_DEVICE_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

enum { DL_MAX_BACKENDS = 16, DL_MAX_DEVICES = 64 };

/* A registered backend. Its number is its place in the registry and stays for the process's life. */
typedef struct dl_backend_entry {
    dl_backend api;  /* a zero-extended copy of what the plugin gave: fields it did not know are NULL */
    int32_t number;  /* also its row in every op's kernel table */
    int32_t dl_type; /* DLPack device type */
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

/* Registers a backend (staged: core/plugin.c commits). Refuses a taken name. */
dl_status dl_backend_add(const dl_backend *, const char *plugin);
const dl_backend_entry *dl_backend_find(const char *name); /* NULL: none */
const dl_backend_entry *dl_backend_at(int32_t number);
#endif
