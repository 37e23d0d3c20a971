/* peak.h - a clock, and what a loop of nothing but multiply-adds reaches: the measure that benchmarks of products are held
 * against. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the machine's peak: independent chains of multiply-adds ----------------------------------------------------------- */

enum { CHAINS = 12, ROUNDS = 2000000 };

/* Twelve named variables, because an array would live in memory. The empty asm keeps the loop from being folded. */
#define EVERY_CHAIN(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
#define PEAK(NAME, TARGET, VECTOR, SET, REGISTER)                                                                              \
    __attribute__((target(TARGET))) static double NAME(void) {                                                                 \
        const VECTOR a = SET(0.999f), b = SET(0.001f);                                                                         \
        EVERY_CHAIN(REGISTER##_START)                                                                                          \
        const double start = now();                                                                                            \
        for (int i = 0; i < ROUNDS; i++) {                                                                                     \
            EVERY_CHAIN(REGISTER##_STEP)                                                                                       \
        }                                                                                                                      \
        return 2.0 * sizeof(VECTOR) / sizeof(float) * CHAINS * ROUNDS / (now() - start) * 1e-9;                                \
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
PEAK(peak_avx512, "avx512f", __m512, _mm512_set1_ps, zmm)
PEAK(peak_avx2, "avx2,fma", __m256, _mm256_set1_ps, ymm)
#endif

static double peak(void) {
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double g = 0;
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512f"))
            g = peak_avx512();
        else if (__builtin_cpu_supports("avx2"))
            g = peak_avx2();
#endif
        if (g > best) best = g;
    }
    return best;
}

#endif
