/* device.c - the backend registry and the open devices. Both only grow, so readers of published entries need no lock. */
#include "device.h"
#include "alloc.h"
#include "mem.h"
#include "plugin.h"
#include "status.h"
#include "storage.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_THIRD_PARTY_TYPE = 12 }; /* DLPack types below belong to hardware it names */

static dl_backend_entry backends[DL_MAX_BACKENDS];
static _Atomic int32_t backend_count;
static dl_device *devices[DL_MAX_DEVICES];
static _Atomic int32_t device_count;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER; /* held while a backend opens a device */
static _Thread_local dl_device *default_device;

/* ---- backends ----------------------------------------------------------------------------------------------------------- */

int32_t dl_backends_registered(void) { return atomic_load_explicit(&backend_count, memory_order_acquire); }

const dl_backend_entry *dl_backend_at(int32_t number) {
    return number >= 0 && number < dl_backends_registered() ? &backends[number] : NULL;
}

const dl_backend_entry *dl_backend_find(const char *name) {
    const dl_backend_entry *entry;
    for (int32_t k = 0; (entry = dl_backend_at(k)); k++)
        if (strcmp(entry->api.name, name) == 0) return entry;
    return NULL;
}

static dl_status check_functions(const dl_backend *b, const char *plugin) {
    const struct {
        int present;
        const char *name;
    } needed[] = {
        {DL_HAS(b, count), "count"},
        {DL_HAS(b, info), "info"},
        {DL_HAS(b, open), "open"},
        {DL_HAS(b, alloc), "alloc"},
        {DL_HAS(b, free), "free"},
        {DL_HAS(b, copy), "copy"},
        {DL_HAS(b, synchronize), "synchronize"},
    };
    for (size_t k = 0; k < sizeof needed / sizeof *needed; k++)
        if (!needed[k].present)
            return dl_failf(DL_INVALID, "%s: backend '%s' lacks the function '%s'", plugin, b->name, needed[k].name);
    return DL_OK;
}

dl_status dl_backend_check(const dl_backend *b, const char *plugin) {
    if (!DL_HAS(b, name) || !*b->name || strlen(b->name) > 31 || strpbrk(b->name, ": \t\n"))
        return dl_failf(DL_INVALID, "%s: a backend needs a name of 1 to 31 characters without ':' and spaces", plugin);
    DL_TRY(check_functions(b, plugin));
    if (dl_backends_registered() == DL_MAX_BACKENDS)
        return dl_failf(DL_INVALID, "%s: backend '%s': there are %d backends already", plugin, b->name, DL_MAX_BACKENDS);
    const dl_backend_entry *other;
    for (int32_t k = 0; (other = dl_backend_at(k)); k++) {
        if (strcmp(other->api.name, b->name) == 0)
            return dl_failf(DL_INVALID, "%s: backend '%s' is already registered by %s", plugin, b->name, other->plugin);
        if (b->dl_device_type && other->dl_type == b->dl_device_type)
            return dl_failf(DL_INVALID, "%s: backend '%s': DLPack device type %d already belongs to backend '%s' of %s", plugin,
                            b->name, b->dl_device_type, other->api.name, other->plugin);
    }
    return DL_OK;
}

static int32_t unused_type(void) {
    int32_t type = FIRST_THIRD_PARTY_TYPE;
    const dl_backend_entry *entry;
    for (int32_t k = 0; (entry = dl_backend_at(k)); k++)
        if (entry->dl_type >= type) type = entry->dl_type + 1;
    return type;
}

dl_status dl_backend_add(const dl_backend *b, const char *plugin) {
    pthread_mutex_lock(&registry_lock);
    dl_status status = dl_backend_check(b, plugin);
    if (status == DL_OK) {
        int32_t number = dl_backends_registered();
        dl_backend_entry *entry = &backends[number];
        memcpy(&entry->api, b, b->size < sizeof entry->api ? b->size : sizeof entry->api);
        entry->number = number;
        entry->dl_type = b->dl_device_type ? b->dl_device_type : unused_type();
        entry->plugin = plugin;
        atomic_store_explicit(&backend_count, number + 1, memory_order_release);
    }
    pthread_mutex_unlock(&registry_lock);
    return status;
}

/* The backend of this name; opens its plugin if that waits. */
static dl_status need_backend(const char *name, const dl_backend_entry **out) {
    DL_TRY(dl_init());
    if (!(*out = dl_backend_find(name))) {
        DL_TRY(dl_plugins_open_waiting(name));
        *out = dl_backend_find(name);
    }
    if (*out) return DL_OK;
    char known[512] = "";
    size_t n = 0;
    const dl_backend_entry *entry;
    for (int32_t k = 0; (entry = dl_backend_at(k)) && n < sizeof known; k++)
        n += (size_t)snprintf(known + n, sizeof known - n, k ? ", %s" : "%s", entry->api.name);
    dl_plugins_list_waiting(known, sizeof known);
    char reason[512];
    dl_plugin_refusal(name, reason, sizeof reason);
    return dl_failf(DL_INVALID, "there is no backend '%s'%s%s; there is: %s", name, *reason ? ": " : "", reason,
                    *known ? known : "none");
}

int32_t dl_backend_count(void) {
    if (dl_init() == DL_OK) (void)dl_plugins_open_waiting(NULL); /* a refused plugin is listed with its reason */
    return dl_backends_registered();
}

const char *dl_backend_name(int32_t k) {
    const dl_backend_entry *entry = dl_backend_at(k);
    return entry ? entry->api.name : NULL;
}

dl_status dl_backend_devices(const char *backend, int32_t *n) {
    const dl_backend_entry *entry;
    *n = 0;
    DL_TRY(need_backend(backend, &entry));
    return entry->api.count(n);
}

static dl_status no_such_index(const dl_backend_entry *entry, int32_t n, const char *asked) {
    return dl_failf(DL_INVALID, "backend '%s' has %d device%s; number %.64s was asked for (they count from 0)", entry->api.name,
                    n, n == 1 ? "" : "s", asked);
}

static dl_status check_index(const dl_backend_entry *entry, int32_t index) {
    int32_t n = 0;
    char asked[16];
    DL_TRY(entry->api.count(&n));
    if (index >= 0 && index < n) return DL_OK;
    snprintf(asked, sizeof asked, "%d", index);
    return no_such_index(entry, n, asked);
}

dl_status dl_backend_device(const char *backend, int32_t index, dl_device_facts *out) {
    const dl_backend_entry *entry;
    DL_TRY(need_backend(backend, &entry));
    DL_TRY(check_index(entry, index));
    dl_device_info info = {.size = sizeof info, .index = index};
    DL_TRY(entry->api.info(index, &info));
    *out = (dl_device_facts){.index = index, .memory_total = info.memory_total, .memory_free = info.memory_free};
    snprintf(out->backend, sizeof out->backend, "%s", entry->api.name);
    snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof info.name - 1, info.name);
    snprintf(out->detail, sizeof out->detail, "%.*s", (int)sizeof info.detail - 1, info.detail);
    return DL_OK;
}

/* ---- devices ------------------------------------------------------------------------------------------------------------- */

dl_device *dl_device_at(int32_t k) {
    return k >= 0 && k < atomic_load_explicit(&device_count, memory_order_acquire) ? devices[k] : NULL;
}

static dl_device *find_open(const dl_backend_entry *entry, int32_t index) {
    dl_device *d;
    for (int32_t k = 0; (d = dl_device_at(k)); k++)
        if (dl_core_of(d)->backend == entry && d->index == index) return d;
    return NULL;
}

/* The core's half of a device that the backend has opened. */
static dl_status furnish(dl_device *d, const dl_backend_entry *entry, int32_t index) {
    dl_device_core *core = dl_mem_zero(sizeof *core);
    struct dl_allocator *memory = core ? dl_allocator_new(d) : NULL;
    dl_status status = memory ? DL_OK : dl_failf(DL_NOMEM, "out of memory opening a device of '%s'", entry->api.name);
    if (status == DL_OK && entry->api.stream_new) status = entry->api.stream_new(d, &d->stream);
    if (status != DL_OK) {
        dl_allocator_free(memory);
        dl_mem(core, 0);
        return status;
    }
    core->backend = entry;
    core->memory = memory;
    if (index == 0)
        snprintf(core->name, sizeof core->name, "%s", entry->api.name);
    else
        snprintf(core->name, sizeof core->name, "%s:%d", entry->api.name, index);
    d->index = index;
    d->id = (dl_device_id){entry->dl_type, index};
    d->core = core;
    return DL_OK;
}

static dl_status open_locked(const dl_backend_entry *entry, int32_t index, dl_device **out) {
    if ((*out = find_open(entry, index))) return DL_OK;
    DL_TRY(check_index(entry, index));
    int32_t n = atomic_load_explicit(&device_count, memory_order_relaxed);
    if (n == DL_MAX_DEVICES) return dl_failf(DL_INVALID, "%d devices are open already", DL_MAX_DEVICES);
    dl_device *d = NULL;
    DL_TRY(entry->api.open(index, &d));
    if (!d) return dl_failf(DL_INTERNAL, "backend '%s' opened device %d but returned none", entry->api.name, index);
    dl_status status = furnish(d, entry, index);
    if (status != DL_OK) {
        if (entry->api.close) entry->api.close(d);
        return status;
    }
    devices[n] = d;
    atomic_store_explicit(&device_count, n + 1, memory_order_release);
    *out = d;
    return DL_OK;
}

static dl_status open_device(const dl_backend_entry *entry, int32_t index, dl_device **out) {
    if ((*out = find_open(entry, index))) return DL_OK;
    pthread_mutex_lock(&open_lock);
    dl_status status = open_locked(entry, index, out);
    pthread_mutex_unlock(&open_lock);
    return status;
}

/* What follows "backend:" in a spec: an index where it is digits alone, else a part of a device's name. */
static int is_number(const char *text) { return *text && strspn(text, "0123456789") == strlen(text); }

/* Splits "backend", "backend:index" or "backend:words"; *device is what follows the colon, NULL where there is none. */
static dl_status parse_spec(const char *spec, char name[32], const char **device) {
    const char *colon = strchr(spec, ':');
    size_t n = colon ? (size_t)(colon - spec) : strlen(spec);
    if (n == 0 || n > 31 || (colon && !colon[1]))
        return dl_failf(DL_INVALID,
                        "'%.64s' names no device; expected a backend and optionally a number or a part of the device's name, "
                        "such as cpu, cuda:1 or opencl:pocl",
                        spec);
    memcpy(name, spec, n);
    name[n] = 0;
    *device = colon ? colon + 1 : NULL;
    return DL_OK;
}

/* The first device whose name or detail holds these words, in any case. */
static dl_status find_named(const dl_backend_entry *entry, const char *words, int32_t *index) {
    char list[1024] = "";
    size_t used = 0;
    int32_t n = 0;
    DL_TRY(entry->api.count(&n));
    for (int32_t k = 0; k < n; k++) {
        dl_device_info info = {.size = sizeof info, .index = k};
        DL_TRY(entry->api.info(k, &info));
        info.name[sizeof info.name - 1] = info.detail[sizeof info.detail - 1] = 0;
        if (strcasestr(info.name, words) || strcasestr(info.detail, words)) {
            *index = k;
            return DL_OK;
        }
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s:%d %s (%s)", k ? "; " : "", entry->api.name, k,
                                     info.name, info.detail);
    }
    return dl_failf(DL_INVALID, "backend '%s' has no device with '%.64s' in its name; there is: %s", entry->api.name, words,
                    *list ? list : "none");
}

static dl_status find_index(const dl_backend_entry *entry, const char *device, int32_t *index) {
    *index = 0;
    if (!device) return DL_OK;
    if (!is_number(device)) return find_named(entry, device, index);
    const long value = strtol(device, NULL, 10); /* too large a number becomes LONG_MAX */
    int32_t n = 0;
    DL_TRY(entry->api.count(&n));
    if (value >= n) return no_such_index(entry, n, device);
    *index = (int32_t)value;
    return DL_OK;
}

dl_status dl_device_open(const char *spec, dl_device **out) {
    char name[32];
    const char *device = NULL;
    int32_t index = 0;
    const dl_backend_entry *entry;
    *out = NULL;
    DL_TRY(parse_spec(spec, name, &device));
    DL_TRY(need_backend(name, &entry));
    DL_TRY(find_index(entry, device, &index));
    return open_device(entry, index, out);
}

dl_status dl_device_by_id(dl_device_id id, dl_device **out) {
    const dl_backend_entry *entry;
    *out = NULL;
    DL_TRY(dl_init());
    for (int32_t k = 0; (entry = dl_backend_at(k)); k++)
        if (entry->dl_type == id.type) return open_device(entry, id.index, out);
    return dl_failf(DL_INVALID, "no backend here serves DLPack device type %d", id.type);
}

const char *dl_device_name(const dl_device *d) { return dl_core_of(d)->name; }

dl_device *dl_device_of(const dl_tensor *t) { return t->storage ? t->storage->device : NULL; }

dl_status dl_set_default_device(dl_device *d) {
    if (!d) return dl_failf(DL_INVALID, "the default device cannot be none");
    default_device = d;
    return DL_OK;
}

dl_device *dl_default_device(void) {
    if (!default_device) (void)dl_device_open(DL_DEFAULT_DEVICE_NAME, &default_device);
    return default_device;
}

dl_status dl_synchronize(dl_device *d) {
    if (!d && !(d = dl_default_device())) return DL_INVALID;
    return dl_core_of(d)->backend->api.synchronize(d, d->stream);
}

int32_t dl_threads(int32_t n) {
    const dl_backend_entry *entry;
    if (need_backend(DL_DEFAULT_DEVICE_NAME, &entry) != DL_OK || !entry->api.threads) return 1;
    return entry->api.threads(n);
}
