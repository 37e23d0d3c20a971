/* mem.h - the gate for host heap memory: all of the core's allocations go through here, so tests can make the n-th one fail. */
#ifndef DL_CORE_MEM_H
#define DL_CORE_MEM_H
#include <stddef.h>

/* realloc(p, bytes); bytes 0 frees p and returns NULL. NULL when memory is out (p is then untouched). */
void *dl_mem(void *p, size_t bytes);
void *dl_mem_zero(size_t bytes);    /* zero-filled */
char *dl_mem_string(const char *s); /* a copy; NULL when memory is out */

/* Test hook: the n-th allocation from now fails (1 = the next), and every later one too if `all`; 0 switches it off.
 * Backend allocations (dl_backend.alloc through core/alloc.c) count as well. */
void dl_mem_fail_after(long n, int all);
int dl_mem_injected_failure(void); /* asked by core/alloc.c before it calls a backend: should this one fail? */
#endif
