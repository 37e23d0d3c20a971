/* mem.c - host heap memory of the core, with injected failures for the tests. */
#include "mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_long fail_in; /* allocations until one fails; 0: no injection */
static atomic_int fail_all; /* every later one fails too */

void dl_mem_fail_after(long n, int all) {
    atomic_store(&fail_all, all);
    atomic_store(&fail_in, n);
}

int dl_mem_injected_failure(void) {
    long n = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (n > 0) {
        long next = n == 1 && atomic_load(&fail_all) ? 1 : n - 1;
        if (atomic_compare_exchange_weak(&fail_in, &n, next)) return n == 1;
    }
    return 0;
}

void *dl_mem(void *p, size_t bytes) {
    if (bytes == 0) {
        free(p);
        return NULL;
    }
    return dl_mem_injected_failure() ? NULL : realloc(p, bytes);
}

void *dl_mem_zero(size_t bytes) {
    if (bytes == 0 || dl_mem_injected_failure()) return NULL;
    return calloc(1, bytes);
}

char *dl_mem_string(const char *s) {
    size_t bytes = strlen(s) + 1;
    char *copy = dl_mem(NULL, bytes);
    return copy ? memcpy(copy, s, bytes) : NULL;
}
