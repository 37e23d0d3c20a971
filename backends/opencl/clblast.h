/* clblast.h - products of matrices by CLBlast, where that is installed. */
#ifndef OPENCL_CLBLAST_H
#define OPENCL_CLBLAST_H
#include "backends/opencl/opencl.h"

/* Adds kernels of gemm and matmul that come before those of backends/simt and refuse what CLBlast does not take: other dtypes
 * than float32 and float64, batches, strides that no leading dimension describes, no elements; and everything on a CPU, where
 * it is no faster than backends/simt and its first call builds for many seconds, unless DLRUN_CLBLAST=1. DLRUN_CLBLAST=0:
 * everything. */
dl_status opencl_register_clblast(const dl_host *host);
#endif
