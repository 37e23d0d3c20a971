/* plugin.c - finds, judges and opens plugins. A candidate is kept for the process's life whether taken or refused, so that
 * `dlrun --list-plugins` can say why. */
#include "plugin.h"
#include "elf_note.h"
#include "op.h"
#include "mem.h"
#include "status.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef enum state { REFUSED, LOADED, WAITING } state; /* dl_plugin_info.state */

typedef struct candidate {
    struct candidate *next;
    char *path;
    dl_identity identity; /* all zero until read */
    dev_t volume;
    ino_t file;
    state state;
    const char *from; /* where it was found */
    char reason[512];
} candidate;

static candidate *candidates, **last_candidate = &candidates;
static int32_t candidate_count;
/* Recursive: a plugin's init may load another plugin. */
static pthread_mutex_t loader_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* ---- one candidate -------------------------------------------------------------------------------------------------- */

static candidate *find_file(const struct stat *facts) {
    for (candidate *c = candidates; c; c = c->next)
        if (c->volume == facts->st_dev && c->file == facts->st_ino) return c;
    return NULL;
}

static candidate *new_candidate(const char *path, const struct stat *facts, const char *from) {
    candidate *c = dl_mem_zero(sizeof *c);
    if (!c || !(c->path = dl_mem_string(path))) {
        dl_mem(c, 0);
        return NULL;
    }
    c->volume = facts->st_dev;
    c->file = facts->st_ino;
    c->from = from;
    *last_candidate = c;
    last_candidate = &c->next;
    candidate_count++;
    return c;
}

static int has_name_of(const candidate *c, const candidate *other) {
    return other != c && strcmp(other->identity.name, c->identity.name) == 0;
}

/* Is no other plugin of this name loaded or, where waiting ones count too, found before? */
static dl_status check_name_free(const candidate *c, int waiting_too) {
    for (const candidate *other = candidates; other; other = other->next)
        if (has_name_of(c, other) && (other->state == LOADED || (waiting_too && other->state == WAITING)))
            return dl_failf(DL_INVALID, "the plugin name '%s' is already taken by %s", c->identity.name, other->path);
    return DL_OK;
}

/* dlsym's object pointer as a function pointer: ISO C has no cast for it. */
static dl_plugin_init_fn find_init(void *handle) {
    void *symbol = dlsym(handle, "dl_plugin_init");
    dl_plugin_init_fn init;
    memcpy(&init, &symbol, sizeof init);
    return init;
}

static dl_status open_file(const candidate *c) {
    void *handle = dlopen(c->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) return dl_failf(DL_ABI, "%s", dlerror());
    dl_plugin_init_fn init = find_init(handle);
    if (!init) return dl_failf(DL_ABI, "it exports no dl_plugin_init");
    return dl_host_run_init(init, c->identity.name);
}

static dl_status judge(candidate *c) {
    DL_TRY(dl_identity_read(c->path, &c->identity));
    return dl_identity_check(&c->identity);
}

/* Leaves the outcome in the candidate. */
static dl_status conclude(candidate *c, dl_status status) {
    c->state = status == DL_OK ? LOADED : REFUSED;
    snprintf(c->reason, sizeof c->reason, "%s", status == DL_OK ? "" : dl_last_error());
    return status == DL_OK ? DL_OK : dl_fail_context(status, "plugin %s refused", c->path);
}

/* A file asked for by its path takes the name from one that waits. */
static void refuse_waiting(const candidate *taker) {
    for (candidate *c = candidates; c; c = c->next)
        if (c->state == WAITING && has_name_of(taker, c)) (void)conclude(c, check_name_free(c, 0));
}

static dl_status open_judged(candidate *c) {
    dl_status status = check_name_free(c, 0);
    status = conclude(c, status == DL_OK ? open_file(c) : status);
    if (status == DL_OK) refuse_waiting(c);
    return status;
}

/* ---- the search path ------------------------------------------------------------------------------------------------ */

static int is_shared_object(const struct dirent *entry) {
    size_t n = strlen(entry->d_name);
    return n > 3 && strcmp(entry->d_name + n - 3, ".so") == 0;
}

static dl_status consider(const char *path, const char *from) {
    struct stat facts;
    if (stat(path, &facts) != 0 || find_file(&facts)) return DL_OK;
    candidate *c = new_candidate(path, &facts, from);
    if (!c) return dl_failf(DL_NOMEM, "out of memory listing plugins");
    dl_status status = judge(c);
    if (status == DL_OK) status = check_name_free(c, 1); /* the first found is the one */
    if (status != DL_OK) {
        (void)conclude(c, status);
    } else if (c->identity.flags & DL_PLUGIN_LAZY) {
        c->state = WAITING;
        snprintf(c->reason, sizeof c->reason, "waits until backend '%s' is asked for", c->identity.name);
    } else {
        (void)open_judged(c);
    }
    return DL_OK;
}

/* Every .so of a folder, by name; a folder that is not there has none. */
static dl_status scan_folder(const char *folder, const char *from) {
    struct dirent **entries;
    int n = scandir(folder, &entries, is_shared_object, alphasort);
    dl_status status = DL_OK;
    for (int k = 0; k < n; k++) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entries[k]->d_name);
        if (status == DL_OK && length < (int)sizeof path) status = consider(path, from);
        free(entries[k]);
    }
    if (n >= 0) free(entries);
    return status;
}

/* The folders of a colon-separated list. Empty and relative ones would mean the current folder: they are skipped. */
static dl_status scan_list(const char *list) {
    while (*list) {
        size_t n = strcspn(list, ":");
        char folder[4096];
        if (*list == '/' && n < sizeof folder) {
            memcpy(folder, list, n);
            folder[n] = 0;
            DL_TRY(scan_folder(folder, "DLRUN_PLUGIN_PATH"));
        }
        list += n + (list[n] == ':');
    }
    return DL_OK;
}

static dl_status scan_user_folder(void) {
    char folder[4096];
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && *data == '/')
        snprintf(folder, sizeof folder, "%s/dlrun/plugins", data);
    else if (home && *home == '/')
        snprintf(folder, sizeof folder, "%s/.local/share/dlrun/plugins", home);
    else
        return DL_OK;
    return scan_folder(folder, "the user's folder");
}

/* dlrun/plugins beside the file that holds this code: libdlrun.so, or a program it was linked into. */
static dl_status scan_own_folder(void) {
    Dl_info here;
    if (!dladdr(&candidates, &here) || !here.dli_fname) return DL_OK;
    char *file = realpath(here.dli_fname, NULL);
    if (!file) return DL_OK;
    char folder[4096];
    char *slash = strrchr(file, '/');
    int n = snprintf(folder, sizeof folder, "%.*s/dlrun/plugins", (int)(slash - file), file);
    free(file);
    return n < (int)sizeof folder ? scan_folder(folder, "dlrun's own folder") : DL_OK;
}

dl_status dl_plugins_scan(void) {
    const char *list = getenv("DLRUN_PLUGIN_PATH");
    pthread_mutex_lock(&loader_lock);
    dl_status status = list ? scan_list(list) : DL_OK;
    if (status == DL_OK) status = scan_user_folder();
    if (status == DL_OK) status = scan_own_folder();
    pthread_mutex_unlock(&loader_lock);
    return status;
}

dl_status dl_plugins_open_waiting(const char *name) {
    dl_status first = DL_OK;
    pthread_mutex_lock(&loader_lock);
    for (candidate *c = candidates; c; c = c->next) {
        if (c->state != WAITING || (name && strcmp(c->identity.name, name) != 0)) continue;
        dl_status status = open_judged(c);
        if (first == DL_OK) first = status;
    }
    pthread_mutex_unlock(&loader_lock);
    return first;
}

void dl_plugins_list_waiting(char *list, size_t capacity) {
    size_t n = strlen(list);
    pthread_mutex_lock(&loader_lock);
    for (const candidate *c = candidates; c && n < capacity; c = c->next)
        if (c->state == WAITING) n += (size_t)snprintf(list + n, capacity - n, n ? ", %s" : "%s", c->identity.name);
    pthread_mutex_unlock(&loader_lock);
}

/* ---- public --------------------------------------------------------------------------------------------------------- */

static dl_status load_locked(const char *path, const struct stat *facts) {
    candidate *c = find_file(facts);
    if (c && c->state == LOADED) return DL_OK;
    if (!c && !(c = new_candidate(path, facts, "asked for")))
        return dl_failf(DL_NOMEM, "out of memory loading plugin %s", path);
    dl_status status = judge(c);
    return status == DL_OK ? open_judged(c) : conclude(c, status);
}

dl_status dl_plugin_load(const char *path) {
    struct stat facts;
    DL_TRY(dl_init_ops());
    if (!*path) return dl_failf(DL_INVALID, "a plugin's file was expected, such as ./acme.so; the path given is empty");
    char *file = realpath(path, NULL); /* with a slash in it, dlopen does not search */
    if (!file || stat(file, &facts) != 0) {
        dl_status status = dl_failf(DL_IO, "plugin %s cannot be opened: %s", path, strerror(errno));
        free(file);
        return status;
    }
    pthread_mutex_lock(&loader_lock);
    dl_status status = load_locked(file, &facts);
    pthread_mutex_unlock(&loader_lock);
    free(file);
    return status;
}

int32_t dl_plugin_count(void) {
    (void)dl_init();
    pthread_mutex_lock(&loader_lock);
    int32_t n = candidate_count;
    pthread_mutex_unlock(&loader_lock);
    return n;
}

dl_status dl_plugin_get(int32_t k, dl_plugin_info *out) {
    pthread_mutex_lock(&loader_lock);
    const candidate *c = k < 0 ? NULL : candidates;
    for (int32_t i = 0; c && i < k; i++) c = c->next;
    if (c) *out = (dl_plugin_info){c->path, c->identity.name, c->identity.version, c->state, 0, c->reason, c->from};
    pthread_mutex_unlock(&loader_lock);
    return c ? DL_OK : dl_failf(DL_INVALID, "there is no plugin number %d", k);
}

/* Was it meant to be this plugin? Where no identity could be read, the file's name must do. */
static int goes_by(const candidate *c, const char *name) {
    if (*c->identity.name) return strcmp(c->identity.name, name) == 0;
    const char *file = strrchr(c->path, '/') + 1;
    size_t n = strlen(name);
    return strncmp(file, name, n) == 0 && strcmp(file + n, ".so") == 0;
}

void dl_plugin_refusal(const char *name, char *text, size_t capacity) {
    *text = 0;
    pthread_mutex_lock(&loader_lock);
    for (const candidate *c = candidates; c; c = c->next)
        if (c->state == REFUSED && goes_by(c, name)) {
            snprintf(text, capacity, "%s was refused: %s", c->path, c->reason);
            break;
        }
    pthread_mutex_unlock(&loader_lock);
}
