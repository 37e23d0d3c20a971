/* simt.h - the kernel dialect of Tier A backends: what OpenCL C 1.2 and CUDA C (NVRTC) have in common, under one set of names.
 * This text stands in front of every kernel source; it is no header for host code.
 *
 *     KERNEL void scale(GLOBAL f32 *x, i64 x_at, i64 n, f32 factor) {
 *         i64 i = global_id(0);
 *         if (i < n) x[x_at + i] *= factor;
 *     }
 *
 * Every buffer is two arguments: its handle, and the place of the tensor's first element as a count of elements. Offsets are
 * never folded into handles. All other arguments are scalars of the types below.
 *
 *   KERNEL DEVICE            qualifiers of a kernel (which returns void) and of a function that kernels call
 *   GLOBAL CONSTANT          device memory; a table at file scope: CONSTANT f32 table[3] = {...};
 *   LOCAL                    an array shared by a work group, declared at the outermost level of a kernel; a pointer into one
 *                            is, as a parameter, LOCAL_ARG T *p
 *   BARRIER()                all items of the group arrive, and see each other's writes to LOCAL and GLOBAL memory
 *   group_id(d) group_count(d) global_id(d) global_size(d)    i64, d a literal 0..2
 *   local_id(d) group_size(d)                                 i32
 *   i8 u8 i16 u16 i32 u32 i64 u64 f32 f64     f64 and all that is named after it exists only where DL_F64 is 1
 *   load_f16(p, i) store_f16(p, i, v) load_bf16 store_bf16    element i of a GLOBAL u16 *, as f32; to the nearest, ties to even
 *   max_T(a, b) min_T(a, b)                   of the types above; NaN wins
 *   mul_hi_T(a, b)                            upper half of the product, for u32 i32 u64 i64
 *   as_u32 as_i32 as_f32 as_u64 as_i64 as_f64 the same bits in another type of equal width
 *   INF_F32 NAN_F32 INF_F64 NAN_F64
 *   fault_set(fault, code, value)             reports bad data (DL_FAULT_*); the first report of a launch stays
 *
 * exp, log, sqrt, pow, fma, floor ... are called by their names in both languages, with f32 or f64 arguments; write 1.0f where
 * f32 is meant. The compiler contracts nothing to fma: OpenCL by the pragma below, CUDA by -fmad=false. */

/* Bad data that a kernel met: what it writes to fault[0] (0: none), with the value beside it, before it goes on with 0. */
#define DL_FAULT_INDEX 1  /* an index out of range */
#define DL_FAULT_LABEL 2  /* a class label out of range, or no whole number: what it is without its fraction */
#define DL_FAULT_LENGTH 3 /* a mask that takes more elements than there are: how many */

#if defined(__OPENCL_VERSION__) || defined(__OPENCL_C_VERSION__)

#pragma OPENCL FP_CONTRACT OFF
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#define DL_F64 1
#else
#define DL_F64 0
#endif

#define KERNEL __kernel
#define DEVICE static inline
#define GLOBAL __global
#define CONSTANT __constant
#define LOCAL __local
#define LOCAL_ARG __local
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define group_id(d) ((i64)get_group_id(d))
#define group_count(d) ((i64)get_num_groups(d))
#define global_id(d) ((i64)get_global_id(d))
#define global_size(d) ((i64)get_global_size(d))
#define local_id(d) ((i32)get_local_id(d))
#define group_size(d) ((i32)get_local_size(d))

typedef char i8;
typedef uchar u8;
typedef short i16;
typedef ushort u16;
typedef int i32;
typedef uint u32;
typedef long i64;
typedef ulong u64;
typedef float f32;

#define as_u32(x) as_uint(x)
#define as_i32(x) as_int(x)
#define as_f32(x) as_float(x)
#define as_u64(x) as_ulong(x)
#define as_i64(x) as_long(x)
#define mul_hi_u32(a, b) mul_hi((u32)(a), (u32)(b))
#define mul_hi_i32(a, b) mul_hi((i32)(a), (i32)(b))
#define mul_hi_u64(a, b) mul_hi((u64)(a), (u64)(b))
#define mul_hi_i64(a, b) mul_hi((i64)(a), (i64)(b))
#if DL_F64
typedef double f64;
#define as_f64(x) as_double(x)
#endif

/* NaN by its bits: not every driver's conversion keeps it. */
DEVICE f32 load_f16(GLOBAL const u16 *p, i64 i) {
    return (p[i] & 0x7fff) > 0x7c00 ? as_float(0x7fc00000) : vload_half(i, (GLOBAL const half *)p);
}
DEVICE void store_f16(GLOBAL u16 *p, i64 i, f32 v) {
    if (v != v)
        p[i] = 0x7e00;
    else
        vstore_half_rte(v, i, (GLOBAL half *)p);
}
#define dl_compare_swap(p, old, now) atomic_cmpxchg((p), (old), (now))

#else /* CUDA C */

#define DL_F64 1
#define KERNEL extern "C" __global__
#define DEVICE static __device__ __forceinline__
#define GLOBAL
#define CONSTANT static __device__ const
#define LOCAL __shared__
#define LOCAL_ARG
#define BARRIER() __syncthreads()
#define DL_AXIS_0(v) v.x
#define DL_AXIS_1(v) v.y
#define DL_AXIS_2(v) v.z
#define group_id(d) ((i64)DL_AXIS_##d(blockIdx))
#define group_count(d) ((i64)DL_AXIS_##d(gridDim))
#define local_id(d) ((i32)DL_AXIS_##d(threadIdx))
#define group_size(d) ((i32)DL_AXIS_##d(blockDim))
#define global_id(d) (group_id(d) * group_size(d) + local_id(d))
#define global_size(d) (group_count(d) * group_size(d))

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;

DEVICE u32 as_u32(f32 x) { return __float_as_uint(x); }
DEVICE u32 as_u32(i32 x) { return (u32)x; }
DEVICE i32 as_i32(f32 x) { return __float_as_int(x); }
DEVICE i32 as_i32(u32 x) { return (i32)x; }
DEVICE f32 as_f32(u32 x) { return __uint_as_float(x); }
DEVICE f32 as_f32(i32 x) { return __int_as_float(x); }
DEVICE u64 as_u64(f64 x) { return (u64)__double_as_longlong(x); }
DEVICE u64 as_u64(i64 x) { return (u64)x; }
DEVICE i64 as_i64(f64 x) { return __double_as_longlong(x); }
DEVICE i64 as_i64(u64 x) { return (i64)x; }
DEVICE f64 as_f64(u64 x) { return __longlong_as_double((i64)x); }
DEVICE f64 as_f64(i64 x) { return __longlong_as_double(x); }
DEVICE u32 mul_hi_u32(u32 a, u32 b) { return __umulhi(a, b); }
DEVICE i32 mul_hi_i32(i32 a, i32 b) { return __mulhi(a, b); }
DEVICE u64 mul_hi_u64(u64 a, u64 b) { return __umul64hi(a, b); }
DEVICE i64 mul_hi_i64(i64 a, i64 b) { return __mul64hi(a, b); }

DEVICE f32 load_f16(const u16 *p, i64 i) {
    f32 v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(p[i]));
    return v;
}
DEVICE void store_f16(u16 *p, i64 i, f32 v) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v));
    p[i] = bits;
}
#define dl_compare_swap(p, old, now) atomicCAS((p), (old), (now))

#endif

#define INF_F32 as_f32(0x7f800000u)
#define NAN_F32 as_f32(0x7fc00000u)
#if DL_F64
#define INF_F64 as_f64((u64)0x7ff << 52)
#define NAN_F64 as_f64((u64)0xfff << 51)
#endif

DEVICE f32 load_bf16(GLOBAL const u16 *p, i64 i) { return as_f32((u32)p[i] << 16); }
DEVICE void store_bf16(GLOBAL u16 *p, i64 i, f32 v) {
    const u32 bits = as_u32(v);
    p[i] = v != v ? (u16)(bits >> 16 | 0x40) : (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#define DL_MAX_MIN(T)                                                                                                          \
    DEVICE T max_##T(T a, T b) { return a != a || a > b ? a : b; }                                                             \
    DEVICE T min_##T(T a, T b) { return a != a || a < b ? a : b; }
DL_MAX_MIN(i8)
DL_MAX_MIN(u8)
DL_MAX_MIN(i16)
DL_MAX_MIN(u16)
DL_MAX_MIN(i32)
DL_MAX_MIN(u32)
DL_MAX_MIN(i64)
DL_MAX_MIN(u64)
DL_MAX_MIN(f32)
#if DL_F64
DL_MAX_MIN(f64)
#endif

/* The value's lower and upper half. */
DEVICE void fault_set(GLOBAL i32 *fault, i32 code, i64 value) {
    if (dl_compare_swap(fault, 0, code) != 0) return;
    fault[1] = (i32)(u32)value;
    fault[2] = (i32)(u32)((u64)value >> 32);
}
