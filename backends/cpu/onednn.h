/* onednn.h - matrix products that the CPU backend takes from oneDNN where the library is there: bfloat16 on machines with
 * instructions for them (twice the f32 rate with AVX512_BF16, five times and more with AMX). Float32 products are not taken
 * from it: gemm.h reaches the same rate. */
#ifndef CPU_ONEDNN_H
#define CPU_ONEDNN_H
#include <stdint.h>

typedef struct cpu_onednn cpu_onednn;

/* Prepares float c (m x n, contiguous) = bfloat16 a (m x k) * b (k x n), strides in elements. NULL where oneDNN is missing, of
 * another version than the header this was built with, or has no fast code for this product on this machine. */
cpu_onednn *cpu_onednn_matmul(int64_t m, int64_t n, int64_t k, int64_t a_row, int64_t a_col, int64_t b_row, int64_t b_col);
/* 0 if it could not be computed (out of memory). May be called from several threads at once. */
int cpu_onednn_run(const cpu_onednn *, const void *a, const void *b, float *c);
void cpu_onednn_free(cpu_onednn *); /* NULL: nothing */
#endif
