/* random.cl - draws of Philox 4x32-10 (dlrun/philox.h) as tensors, and dropout.
 *
 * Work items share blocks of four neighbouring elements in logical order, whose draws are one Philox block. */
#include "backends/simt/loop.h"

DEVICE void philox(u64 key, u64 call, u64 block, u32 *c) {
    u32 key0 = (u32)key, key1 = (u32)(key >> 32);
    c[0] = (u32)block;
    c[1] = (u32)(block >> 32);
    c[2] = (u32)call;
    c[3] = (u32)(call >> 32);
    for (i32 round = 0; round < 10; round++) {
        const u32 high0 = mul_hi_u32(0xD2511F53u, c[0]), low0 = 0xD2511F53u * c[0];
        const u32 high1 = mul_hi_u32(0xCD9E8D57u, c[2]), low1 = 0xCD9E8D57u * c[2];
        c[0] = high1 ^ c[1] ^ key0;
        c[2] = high0 ^ c[3] ^ key1;
        c[1] = low1;
        c[3] = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* 64 bits for each element: the low words are those of the call whose number has the highest bit set. */
DEVICE void philox_wide(u64 key, u64 call, u64 block, u64 *wide) {
    u32 high[4], low[4];
    philox(key, call, block, high);
    philox(key, call | (u64)1 << 63, block, low);
    for (i32 k = 0; k < 4; k++) wide[k] = (u64)high[k] << 32 | low[k];
}

/* A draw scaled to 0..range - 1; range 0: 2^64. */
DEVICE u64 scaled(u64 wide, u64 range) { return range ? mul_hi_u64(wide, range) : wide; }

#define EACH_BLOCK(block, count) (i64 block = global_id(0); 4 * block < (count); block += global_size(0))
#define LEFT(block, count) ((i32)((count) - 4 * (block) < 4 ? (count) - 4 * (block) : 4))

/* ---- floating dtypes ---------------------------------------------------------------------------------------------------- */

#if T_FLOATING
/* lo + draw * width, at most `most`. float32 and halves: the draw shifted right by `shift` bits; float64: its upper 53 bits as
 * a fraction. */
KERNEL void uniform(GLOBAL T *out, i64 out_at, simt_loop l, i64 key, i64 call, A lo, A width, A most, i32 shift) {
    for EACH_BLOCK (block, l.count) {
#ifdef T_IS_f64
        u64 draws[4];
        philox_wide((u64)key, (u64)call, (u64)block, draws);
#else
        u32 draws[4];
        philox((u64)key, (u64)call, (u64)block, draws);
#endif
        for (i32 k = 0; k < LEFT(block, l.count); k++) {
#ifdef T_IS_f64
            const A x = lo + (A)(i64)(draws[k] >> 11) * (A)1.1102230246251565e-16 * width; /* 2^-53 */
#else
            const A x = lo + (A)(i32)(draws[k] >> shift) * width;
#endif
            i64 at[1];
            loop_at(&l, 4 * block + k, 1, at);
            STORE(out, out_at + at[0], x > most ? most : x);
        }
    }
}

/* G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", 1958: elements 2j and 2j + 1 share their
 * draws, a radius and an angle. */
KERNEL void normal(GLOBAL T *out, i64 out_at, simt_loop l, i64 key, i64 call, A mean, A std) {
    for EACH_BLOCK (block, l.count) {
        A values[4];
#ifdef T_IS_f64
        u64 draws[4];
        philox_wide((u64)key, (u64)call, (u64)block, draws);
#else
        u32 draws[4];
        philox((u64)key, (u64)call, (u64)block, draws);
#endif
        for (i32 k = 0; k < 4; k += 2) {
#ifdef T_IS_f64
            const A u = ((A)(i64)(draws[k] >> 11) + 1) * (A)1.1102230246251565e-16; /* (0, 1] */
            const A angle = (A)6.283185307179586477 * ((A)(i64)(draws[k + 1] >> 11) * (A)1.1102230246251565e-16);
            const A radius = sqrt(-2 * log(u));
#else
            const A high = (A)(i32)(draws[k] >> 16), low = (A)(i32)(draws[k] & 0xffffu);
            const A u = (high * 65536.0f + low + 0.5f) * 2.3283064365386963e-10f; /* 2^-32 */
            const A angle = (A)(i32)(draws[k + 1] >> 8) * (6.2831853071795865f * 5.9604644775390625e-08f);
            const A radius = sqrt(-2.0f * log(u));
#endif
            values[k] = mean + std * (radius * cos(angle));
            values[k + 1] = mean + std * (radius * sin(angle));
        }
        for (i32 k = 0; k < LEFT(block, l.count); k++) {
            i64 at[1];
            loop_at(&l, 4 * block + k, 1, at);
            STORE(out, out_at + at[0], values[k]);
        }
    }
}

/* Operands: x, out, mask. threshold is at most 2^32, which drops everything. */
KERNEL void dropout(GLOBAL T *x, i64 x_at, GLOBAL T *out, i64 out_at, GLOBAL u8 *mask, i64 mask_at, simt_loop l, i64 key,
                    i64 call, i64 threshold, A scale) {
    for EACH_BLOCK (block, l.count) {
        u32 draws[4];
        philox((u64)key, (u64)call, (u64)block, draws);
        for (i32 k = 0; k < LEFT(block, l.count); k++) {
            const i32 keep = (i64)draws[k] >= threshold;
            i64 at[3];
            loop_at(&l, 4 * block + k, 3, at);
            STORE(out, out_at + at[1], keep ? LOAD(x, x_at + at[0]) * scale : (A)0);
            mask[mask_at + at[2]] = (u8)keep;
        }
    }
}
#endif

/* ---- any dtype ---------------------------------------------------------------------------------------------------------- */

KERNEL void bernoulli(GLOBAL T *out, i64 out_at, simt_loop l, i64 key, i64 call, i64 threshold) {
    for EACH_BLOCK (block, l.count) {
        u32 draws[4];
        philox((u64)key, (u64)call, (u64)block, draws);
        for (i32 k = 0; k < LEFT(block, l.count); k++) {
            i64 at[1];
            loop_at(&l, 4 * block + k, 1, at);
            STORE(out, out_at + at[0], FROM_I64((i64)draws[k] < threshold));
        }
    }
}

/* lo..lo + range - 1; 2^16 values and fewer need 32 bits of a draw. */
KERNEL void random_int(GLOBAL T *out, i64 out_at, simt_loop l, i64 key, i64 call, i64 lo, i64 range) {
    const i32 narrow = range > 0 && range <= 65536;
    for EACH_BLOCK (block, l.count) {
        u32 draws[4];
        u64 wide[4];
        if (narrow)
            philox((u64)key, (u64)call, (u64)block, draws);
        else
            philox_wide((u64)key, (u64)call, (u64)block, wide);
        for (i32 k = 0; k < LEFT(block, l.count); k++) {
            const u64 above = narrow ? (u64)draws[k] * (u64)range >> 32 : scaled(wide[k], (u64)range);
            const i64 value = (i64)((u64)lo + above);
            i64 at[1];
            loop_at(&l, 4 * block + k, 1, at);
            STORE(out, out_at + at[0], FROM_I64(value));
        }
    }
}

/* ---- randperm: R. Durstenfeld, "Algorithm 235: Random permutation", CACM 1964 ------------------------------------------- */

/* With which earlier place each one is exchanged. */
KERNEL void randperm_draw(GLOBAL i64 *other, i64 other_at, i64 n, i64 key, i64 call) {
    for EACH_BLOCK (block, n) {
        u64 wide[4];
        philox_wide((u64)key, (u64)call, (u64)block, wide);
        for (i32 k = 0; k < LEFT(block, n); k++) {
            const i64 i = 4 * block + k;
            other[other_at + i] = (i64)scaled(wide[k], (u64)i + 1);
        }
    }
}

/* One item, from the last place down: each exchange reads what the ones before it left. */
KERNEL void randperm_swap(GLOBAL i64 *other, i64 other_at, GLOBAL T *out, i64 out_at, i64 step, i64 n) {
    for (i64 i = 0; i < n; i++) STORE(out, out_at + i * step, FROM_I64(i));
    for (i64 i = n - 1; i > 0; i--) {
        const i64 here = out_at + i * step, there = out_at + other[other_at + i] * step;
        const T moving = out[here];
        out[here] = out[there];
        out[there] = moving;
    }
}
