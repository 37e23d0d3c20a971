/* parallel.c - the pool of worker threads.
 *
 * A region's chunks are claimed, not dealt out: the caller works too and waits only for chunks that a worker has begun. So a
 * worker that the system has put aside, on a machine with other work, costs nothing, where a team that must meet at a barrier
 * (OpenMP's) costs a time slice, 4 to 40 ms, in every region. Idle workers spin for longer than the gaps between the kernels of
 * one step, then sleep.
 *
 * Only the thread that loaded the backend (the one that runs the script) uses the pool; others compute alone. oneDNN and
 * OpenBLAS bring libgomp's pool of their own; its threads are told to sleep soon, so that the two do not fight for cores. */
#include "backends/cpu/parallel.h"
#include "backends/cpu/cpu.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 1024 };
enum { SPINS = 20000, PATIENCE = 2000 }; /* pauses before an idle worker sleeps; before a waiting caller gives way */

/* The region in progress. `ticket` holds its number in the high half, the chunks not yet claimed in the low half; the other
 * fields are written only while no chunk is left, and published by writing the ticket. */
static struct {
    _Atomic uint64_t ticket;
    _Atomic int64_t done; /* chunks */
    void (*body)(void *, int64_t, int64_t);
    void *context;
    int64_t n, chunks;
} region;

static struct {
    _Atomic int32_t threads; /* that may work, the caller's included */
    int32_t started;         /* workers */
    _Atomic int32_t asleep;
    pthread_mutex_t lock;
    pthread_cond_t wake;
} pool = {.threads = 1, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* initial-exec: no call per access; and blocks made lazily in a library's threads crash LeakSanitizer's scan at exit. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    char owner, busy;      /* may use the pool; is inside a region */
    int32_t library_count; /* what this thread last gave omp_set_num_threads; 0: nothing yet */
} self;

static inline void pause_a_little(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static inline int work_left(void) { return (uint32_t)atomic_load(&region.ticket) != 0; }

/* Claims chunks and runs them until none is left. The fields are read after the claim: until the chunk is done the caller
 * waits. */
static void work(void) {
    for (;;) {
        uint64_t ticket = atomic_load(&region.ticket);
        const int64_t left = (int64_t)(uint32_t)ticket;
        if (left == 0) return;
        if (!atomic_compare_exchange_weak(&region.ticket, &ticket, ticket - 1)) continue;
        const int64_t k = left - 1;
        region.body(region.context, region.n * k / region.chunks, region.n * (k + 1) / region.chunks);
        atomic_fetch_add(&region.done, 1);
    }
}

static void *worker(void *number) {
    const int32_t index = (int32_t)(intptr_t)number; /* from 1 */
    self.busy = 1;
    for (;;) {
        const int wanted = index < atomic_load(&pool.threads);
        if (wanted) work();
        for (int i = 0; i < SPINS && wanted && !work_left(); i++) pause_a_little();
        if (wanted && work_left()) continue;
        pthread_mutex_lock(&pool.lock);
        atomic_fetch_add(&pool.asleep, 1);
        while (index >= atomic_load(&pool.threads) || !work_left()) pthread_cond_wait(&pool.wake, &pool.lock);
        atomic_fetch_sub(&pool.asleep, 1);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* Starts the workers still missing; signals stay with the threads that the program knows. */
static void start_workers(void) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (pool.started + 1 < atomic_load(&pool.threads)) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)(pool.started + 1)) != 0) {
            atomic_store(&pool.threads, pool.started + 1);
            break;
        }
        pthread_detach(thread);
        pool.started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void cpu_parallel(int64_t n, int64_t grain, void (*body)(void *, int64_t, int64_t), void *context) {
    if (n <= 0) return;
    const int64_t most = grain > 1 ? n / grain : n, threads = atomic_load(&pool.threads);
    const int64_t chunks = most < threads ? most : threads;
    if (chunks < 2 || !self.owner || self.busy) {
        body(context, 0, n);
        return;
    }
    if (pool.started + 1 < threads) start_workers();
    region.body = body, region.context = context, region.n = n, region.chunks = chunks;
    atomic_store(&region.done, 0);
    const uint64_t number = (atomic_load(&region.ticket) >> 32) + 1;
    atomic_store(&region.ticket, number << 32 | (uint64_t)chunks);
    if (atomic_load(&pool.asleep) > 0) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    self.busy = 1;
    work();
    self.busy = 0;
    for (int i = 0; atomic_load(&region.done) < chunks; i++)
        if (i < PATIENCE)
            pause_a_little();
        else
            sched_yield();
}

/* ---- how many threads ----------------------------------------------------------------------------------------------- */

static int32_t available_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    const int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

static int32_t wanted_threads(void) {
    const char *text = getenv("DLRUN_THREADS");
    if (!text || !*text) text = getenv("OMP_NUM_THREADS");
    const int32_t cores = available_cores();
    if (!text || !*text) return cores;
    char *end;
    const long n = strtol(text, &end, 10);
    if (end == text || n < 1 || n > MAX_THREADS) {
        cpu_host->log(1, "DLRUN_THREADS (or OMP_NUM_THREADS) is not a number from 1 to 1024; all cores are used");
        return cores;
    }
    return (int32_t)n;
}

void cpu_parallel_open(void) {
    self.owner = 1;
    atomic_store(&pool.threads, wanted_threads());
}

int32_t cpu_threads(int32_t n) {
    if (n > 0) atomic_store(&pool.threads, n < MAX_THREADS ? n : MAX_THREADS);
    return atomic_load(&pool.threads);
}

/* ---- libraries with libgomp's pool ---------------------------------------------------------------------------------- */

static void (*set_library_threads)(int); /* NULL: no libgomp */

/* libgomp reads its environment once, when it is loaded: its idle threads shall spin for some 0.1 ms only. */
static void open_libgomp(void) {
    if (!getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT")) setenv("GOMP_SPINCOUNT", "10000", 0);
    void *library = dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL);
    void *address = library ? dlsym(library, "omp_set_num_threads") : NULL;
    memcpy(&set_library_threads, &address, sizeof address);
}

static void give_library(int32_t count) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_libgomp);
    if (set_library_threads && self.library_count != count) set_library_threads(count);
    self.library_count = count;
}

int32_t cpu_library_threads(void) {
    const int32_t count = self.owner && !self.busy ? atomic_load(&pool.threads) : 1;
    give_library(count);
    return count;
}

void cpu_library_serial(void) { give_library(1); }
