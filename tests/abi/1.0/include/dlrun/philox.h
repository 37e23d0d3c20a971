/* philox.h - Philox 4x32-10: a counter-based random generator, the same on every device and thread count.
 * J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 *
 * Element i of call c under `key` draws word i % 4 of dl_philox_block(key, c, i / 4). */
#ifndef DLRUN_PHILOX_H
#define DLRUN_PHILOX_H

#include <stdint.h>

/* Ten rounds over counter[4] in place. */
static inline void dl_philox(uint32_t counter[4], uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * counter[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * counter[2];
        counter[0] = (uint32_t)(p1 >> 32) ^ counter[1] ^ key0;
        counter[2] = (uint32_t)(p0 >> 32) ^ counter[3] ^ key1;
        counter[1] = (uint32_t)p1;
        counter[3] = (uint32_t)p0;
        key0 += 0x9E3779B9u; /* Weyl sequence: the golden ratio */
        key1 += 0xBB67AE85u; /* and sqrt(3) - 1 */
    }
}

/* The four draws of elements 4 * block ... 4 * block + 3 in call number `call`. */
static inline void dl_philox_block(uint64_t key, uint64_t call, uint64_t block, uint32_t out[4]) {
    out[0] = (uint32_t)block;
    out[1] = (uint32_t)(block >> 32);
    out[2] = (uint32_t)call;
    out[3] = (uint32_t)(call >> 32);
    dl_philox(out, (uint32_t)key, (uint32_t)(key >> 32));
}

/* Where an element needs more than 32 bits (float64, wide integers), its low word is the draw of the same element in this
 * call, whose numbers no ordinary call reaches. */
static inline uint64_t dl_philox_low_call(uint64_t call) { return call | (uint64_t)1 << 63; }

/* A draw below this is an event of probability p: p * 2^32, rounded; up to 2^32 itself, so compare in 64 bits. Masks of
 * bernoulli and dropout are equal bit for bit on every backend because this is the only place it is computed. */
static inline uint64_t dl_random_threshold(double p) {
    return p <= 0 ? 0 : p >= 1 ? (uint64_t)1 << 32 : (uint64_t)(p * 4294967296.0 + 0.5);
}

#endif
