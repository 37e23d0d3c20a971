/* parallel.c - the one thread pool of the process: libgomp's, which oneDNN and OpenBLAS use too.
 *
 * libgomp is opened at run time, after its spin time is set, because its environment is read once when it is loaded. Only the
 * thread that loaded the backend (the one that runs the script) enters parallel regions: every further thread that did
 * would get a pool of its own, and the pools would wait for each other's cores. Without libgomp all work is serial. */
#include "backends/cpu/parallel.h"
#include "backends/cpu/cpu.h"
#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* How long an idle worker spins before it sleeps, in libgomp's unit (about 100,000 a millisecond): longer than the gaps between
 * the kernels of one step, short enough that a process at rest uses no core. */
static const char spin_count[] = "200000";
enum { max_threads = 1024 };

static struct {
    void (*parallel)(void (*body)(void *), void *data, unsigned threads, unsigned flags); /* NULL: no libgomp */
    int (*thread_num)(void);
    int (*num_threads)(void);
    void (*set_num_threads)(int);
    int32_t threads;
} pool = {.threads = 1};

/* initial-exec: no call per access; and blocks made lazily in libgomp's threads crash LeakSanitizer's scan at exit. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    char owner, busy;      /* may enter parallel regions; is inside one */
    int32_t library_count; /* what this thread last gave omp_set_num_threads; 0: nothing yet */
} self;

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
    if (end == text || n < 1 || n > max_threads) {
        cpu_host->log(1, "DLRUN_THREADS (or OMP_NUM_THREADS) is not a number from 1 to 1024; all cores are used");
        return cores;
    }
    return (int32_t)n;
}

/* dlsym gives an object pointer; ISO C wants it copied, not cast, into a function pointer. */
static void symbol(void *library, const char *name, void *function) {
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
}

void cpu_parallel_open(void) {
    if (!getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT")) setenv("GOMP_SPINCOUNT", spin_count, 0);
    self.owner = 1;
    pool.threads = wanted_threads();
    void *library = dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        pool.threads = 1;
        cpu_host->log(2, "libgomp.so.1 is missing: the CPU backend runs on one thread");
        return;
    }
    symbol(library, "GOMP_parallel", &pool.parallel);
    symbol(library, "omp_get_thread_num", &pool.thread_num);
    symbol(library, "omp_get_num_threads", &pool.num_threads);
    symbol(library, "omp_set_num_threads", &pool.set_num_threads);
    if (!pool.parallel || !pool.thread_num || !pool.num_threads || !pool.set_num_threads) {
        pool.parallel = NULL;
        pool.threads = 1;
        return;
    }
}

int32_t cpu_threads(int32_t n) {
    if (n > 0 && pool.parallel) pool.threads = n < max_threads ? n : max_threads;
    return pool.threads;
}

int32_t cpu_library_threads(void) {
    const int32_t count = self.owner && !self.busy ? pool.threads : 1;
    if (pool.parallel && self.library_count != count) pool.set_num_threads(count);
    self.library_count = count;
    return count;
}

typedef struct job {
    void (*body)(void *, int64_t, int64_t);
    void *context;
    int64_t n, chunks;
} job;

/* One team member's share. libgomp may give fewer threads than asked for, so chunks are dealt out round-robin. */
static void work(void *data) {
    const job *j = (const job *)data;
    const char busy = self.busy;
    self.busy = 1;
    const int64_t step = pool.num_threads();
    for (int64_t k = pool.thread_num(); k < j->chunks; k += step) {
        const int64_t begin = j->n * k / j->chunks, end = j->n * (k + 1) / j->chunks;
        j->body(j->context, begin, end);
    }
    self.busy = busy;
}

void cpu_parallel(int64_t n, int64_t grain, void (*body)(void *, int64_t, int64_t), void *context) {
    if (n <= 0) return;
    const int64_t most = grain > 1 ? n / grain : n;
    const int64_t chunks = most < pool.threads ? most : pool.threads;
    if (chunks < 2 || !self.owner || self.busy) {
        body(context, 0, n);
        return;
    }
    job j = {body, context, n,
             chunks}; /* always the whole team, even for fewer chunks: libgomp rebuilds it when its size changes */
    pool.parallel(work, &j, (unsigned)pool.threads, 0);
}
