/* parallel.h - opening the thread pool (cpu.c); using it is declared in cpu.h. */
#ifndef CPU_PARALLEL_H
#define CPU_PARALLEL_H

/* Makes the calling thread the pool's owner. Once, from dl_plugin_init. */
void cpu_parallel_open(void);
#endif
