/* bare_backend.h - the OpenCL backend's devices under another name and without its kernels: a backend with a compiler and
 * nothing else, on which every kernel is one that the core generates. */
#ifndef BARE_BACKEND_H
#define BARE_BACKEND_H

/* A cmocka group setup: dl_init, and the backend "bare" as the device that mirror.h compares with; where there is no OpenCL
 * device, mirror_device() has none either. DLRUN_TEST_DEVICE names another backend than opencl to take. */
int bare_start(void **state);
#endif
