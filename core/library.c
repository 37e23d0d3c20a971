/* library.c - start-up: the built-in ops, then the plugins on the search path. */
#include "op.h"
#include "plugin.h"
#include "status.h"

#include <pthread.h>
#include <stdatomic.h>

const char *dl_version(void) { return "0.1.0"; }

/* Recursive, because a plugin's init may call what calls dl_init(). */
static pthread_mutex_t init_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static enum { UNTOUCHED, RUNNING, DONE } phase;
static _Atomic int32_t ready;
static dl_status outcome;

/* Half a registry cannot be registered again. */
static dl_status again(dl_status outcome) {
    if (outcome != DL_OK) dl_failf(outcome, "dlrun could not start in this process: %s", dl_status_text(outcome));
    return outcome;
}

dl_status dl_init_ops(void) {
    static int tried;
    static dl_status first;
    pthread_mutex_lock(&init_lock);
    dl_status status = tried ? again(first) : (first = dl_ops_register_builtin());
    tried = 1;
    pthread_mutex_unlock(&init_lock);
    return status;
}

static dl_status start(void) {
    DL_TRY(dl_init_ops());
    return dl_plugins_scan();
}

dl_status dl_init(void) {
    if (atomic_load_explicit(&ready, memory_order_acquire)) return DL_OK;
    pthread_mutex_lock(&init_lock);
    if (phase == UNTOUCHED) {
        phase = RUNNING;
        outcome = start();
        phase = DONE;
        if (outcome == DL_OK) atomic_store_explicit(&ready, 1, memory_order_release);
    } else if (phase == DONE) {
        (void)again(outcome);
    }
    dl_status status = phase == RUNNING ? DL_OK : outcome;
    pthread_mutex_unlock(&init_lock);
    return status;
}
