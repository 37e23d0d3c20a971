/* limits.c - what this machine gives: the figures that the benchmarks' shares refer to.
 *
 * limits THREADS prints one line "name value" each; BENCH_CLOCK=cpu in the environment counts the seconds that threads computed
 * instead of those that passed:
 *     fma1 fma    GFLOP/s of float32 multiply-adds that touch no memory, on one thread and on all
 *     copy triad  GB/s of a = b and of a = b + s*c in memory, on all threads: bytes read plus bytes written, as STREAM counts
 *     l2          GB/s of a = b + s*c in the L2 caches, on all threads: each thread's three arrays are 96 KiB long
 * The best of several runs: other work on the machine only ever slows one down. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { RUNS = 7, MAX_THREADS = 256 };
enum { LARGE = 1 << 24, SMALL = 3 << 13 }; /* floats of an array in memory, of one in L2 */

static clockid_t source = CLOCK_MONOTONIC;

static double now(void) {
    struct timespec t;
    clock_gettime(source, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- multiply-adds: independent chains ---------------------------------------------------------------------------------- */

enum { CHAINS = 12, ROUNDS = 1000000 };

/* Twelve named variables, because an array would live in memory. The empty asm keeps the loop from being folded. */
#define EVERY_CHAIN(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
#define CHAINS_OF(NAME, TARGET, VECTOR, SET, REGISTER)                                                                         \
    __attribute__((target(TARGET))) static double NAME(void) {                                                                 \
        const VECTOR a = SET(0.999f), b = SET(0.001f);                                                                         \
        EVERY_CHAIN(REGISTER##_START)                                                                                          \
        for (int i = 0; i < ROUNDS; i++) {                                                                                     \
            EVERY_CHAIN(REGISTER##_STEP)                                                                                       \
        }                                                                                                                      \
        return 2.0 * sizeof(VECTOR) / sizeof(float) * CHAINS * ROUNDS;                                                         \
    }
#define zmm_START(K) __m512 x##K = _mm512_set1_ps(K);
#define zmm_STEP(K)                                                                                                            \
    x##K = _mm512_fmadd_ps(x##K, a, b);                                                                                        \
    __asm__ volatile("" : "+v"(x##K));
#define ymm_START(K) __m256 x##K = _mm256_set1_ps(K);
#define ymm_STEP(K)                                                                                                            \
    x##K = _mm256_fmadd_ps(x##K, a, b);                                                                                        \
    __asm__ volatile("" : "+x"(x##K));
#if defined(__x86_64__)
CHAINS_OF(chains_avx512, "avx512f", __m512, _mm512_set1_ps, zmm)
CHAINS_OF(chains_avx2, "avx2,fma", __m256, _mm256_set1_ps, ymm)
#endif

/* Returns the floating-point operations done; 0 where the instructions are missing. */
static double multiply_add(int thread) {
    (void)thread;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return chains_avx512();
    if (__builtin_cpu_supports("avx2")) return chains_avx2();
#endif
    return 0;
}

/* ---- memory: bodies return the bytes moved ------------------------------------------------------------------------------ */

static float *array[3];
static int threads;

typedef float vector __attribute__((vector_size(32), may_alias));

/* Written for every vector width: a compiler that knows only the baseline would measure itself. */
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static void
triad_of(float *to, const float *b, const float *c, long n) {
    for (long i = 0; i < n; i += 8) *(vector *)(to + i) = *(const vector *)(b + i) + 0.5f * *(const vector *)(c + i);
}

/* First float and number of floats of the thread's part of an array in memory. */
static long part(int thread, long *count) {
    const long lines = LARGE / 16, begin = lines * thread / threads;
    *count = (lines * (thread + 1) / threads - begin) * 16;
    return begin * 16;
}
static double copy(int thread) {
    long n, begin = part(thread, &n);
    memcpy(array[0] + begin, array[1] + begin, (size_t)n * sizeof(float));
    return 2.0 * sizeof(float) * (double)n;
}
static double triad(int thread) {
    long n, begin = part(thread, &n);
    triad_of(array[0] + begin, array[1] + begin, array[2] + begin, n);
    return 3.0 * sizeof(float) * (double)n;
}
static double cached(int thread) {
    enum { TIMES = 400 };
    const long begin = (long)thread * SMALL;
    for (int i = 0; i < TIMES; i++) {
        triad_of(array[0] + begin, array[1] + begin, array[2] + begin, SMALL);
        __asm__ volatile("" ::: "memory");
    }
    return 3.0 * sizeof(float) * SMALL * TIMES;
}

/* ---- all threads at once ------------------------------------------------------------------------------------------------ */

typedef struct team {
    double (*body)(int thread);
    pthread_barrier_t together;
} team;

typedef struct member {
    team *of;
    int index;
    double work[RUNS], start[RUNS], end[RUNS];
} member;

static void *run(void *argument) {
    member *m = (member *)argument;
    m->of->body(m->index); /* warms up */
    for (int i = 0; i < RUNS; i++) {
        pthread_barrier_wait(&m->of->together);
        m->start[i] = now();
        m->work[i] = m->of->body(m->index);
        m->end[i] = now();
    }
    return NULL;
}

/* Work per nanosecond of `count` threads, from the first one's start to the last one's end. */
static double best(double (*body)(int), int count) {
    static member members[MAX_THREADS];
    team all = {.body = body};
    pthread_t id[MAX_THREADS];
    double fastest = 0;
    if (pthread_barrier_init(&all.together, NULL, (unsigned)count) != 0) exit(EXIT_FAILURE);
    for (int k = 0; k < count; k++) {
        members[k] = (member){.of = &all, .index = k};
        if (pthread_create(&id[k], NULL, run, &members[k]) != 0) exit(EXIT_FAILURE);
    }
    for (int k = 0; k < count; k++) pthread_join(id[k], NULL);
    for (int i = 0; i < RUNS; i++) {
        double work = 0, start = members[0].start[i], end = members[0].end[i];
        for (int k = 0; k < count; k++) {
            const member *m = &members[k];
            work += m->work[i];
            if (m->start[i] < start) start = m->start[i];
            if (m->end[i] > end) end = m->end[i];
        }
        if (work / (end - start) > fastest) fastest = work / (end - start);
    }
    pthread_barrier_destroy(&all.together);
    return fastest * 1e-9;
}

int main(int argc, char **argv) {
    threads = argc > 1 ? atoi(argv[1]) : 1;
    if (threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "limits: 1 to %d threads, not %s\n", MAX_THREADS, argv[1]);
        return EXIT_FAILURE;
    }
    const char *clock = getenv("BENCH_CLOCK");
    if (clock && strcmp(clock, "cpu") == 0) source = CLOCK_THREAD_CPUTIME_ID;
    for (int k = 0; k < 3; k++) {
        array[k] = aligned_alloc(64, (size_t)LARGE * sizeof(float));
        if (!array[k]) return EXIT_FAILURE;
        memset(array[k], 0, (size_t)LARGE * sizeof(float));
    }
    const struct {
        const char *name;
        double (*body)(int);
        int count;
    } limits[] = {{"fma1", multiply_add, 1},
                  {"fma", multiply_add, threads},
                  {"copy", copy, threads},
                  {"triad", triad, threads},
                  {"l2", cached, threads}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        printf("%s %.2f\n", limits[i].name, best(limits[i].body, limits[i].count));
    for (int k = 0; k < 3; k++) free(array[k]);
    return EXIT_SUCCESS;
}
