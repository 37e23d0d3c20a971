/* half.h - float16 and bfloat16 as they lie in memory, to and from float; round to nearest, ties to even. Branch-free where it
 * matters, so that loops over them vectorise. */
#ifndef CPU_HALF_H
#define CPU_HALF_H
#include <stdint.h>
#include <string.h>

static inline float cpu_bits_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint32_t cpu_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float cpu_bf16_to_f32(uint16_t h) { return cpu_bits_float((uint32_t)h << 16); }
static inline uint16_t cpu_f32_to_bf16(float x) {
    const uint32_t bits = cpu_float_bits(x);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
    return (uint16_t)(x != x ? (bits >> 16) | 0x40u : rounded); /* a NaN must not round to infinity */
}

/* Moves exponent and mantissa into place and lets a multiplication correct the bias: exact, subnormals included. */
static inline float cpu_f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = (uint32_t)(h & 0x7fffu) << 13;
    const float finite = cpu_bits_float(rest) * 0x1p112f;
    const uint32_t bits = (h & 0x7c00u) == 0x7c00u ? rest | 0x7f800000u : cpu_float_bits(finite);
    return cpu_bits_float(bits | sign);
}
static inline uint16_t cpu_f32_to_f16(float x) {
    const uint32_t bits = cpu_float_bits(x), sign = (bits >> 16) & 0x8000u, rest = bits & 0x7fffffffu;
    /* Below 2^-14 results are multiples of 2^-24: adding 0.5 rounds there and leaves the count in the low bits. */
    const uint32_t small = cpu_float_bits(cpu_bits_float(rest) + 0.5f) - 0x3f000000u;
    const uint32_t normal = (rest - 0x38000000u + 0xfffu + ((rest >> 13) & 1)) >> 13;
    const uint32_t finite = rest < 0x38800000u ? small : normal;
    const uint32_t special = rest > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return (uint16_t)(sign | (rest >= 0x477ff000u ? special : finite));
}
#endif
