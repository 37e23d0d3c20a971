/* spawn.c - what it costs to start a program and wait for its end.
 *
 * spawn N PROGRAM ARGUMENT... prints the seconds of N runs, a line each, after one that warms up. The program's standard output
 * is dropped. BENCH_CLOCK=cpu in the environment counts the seconds that the program computed. Fails where the program does. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static int computed; /* count processor time */

static double now(void) {
    struct timespec t;
    struct rusage children;
    if (computed) {
        getrusage(RUSAGE_CHILDREN, &children);
        return (double)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
               (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1e-6;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Runs the program to its end; returns 0 if it succeeded. */
static int run(char **argv) {
    posix_spawn_file_actions_t quiet;
    pid_t id;
    int status = 1;
    if (posix_spawn_file_actions_init(&quiet) != 0) return 1;
    if (posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0) != 0 ||
        posix_spawnp(&id, argv[0], &quiet, NULL, argv, environ) != 0 || waitpid(id, &status, 0) != id)
        status = 1;
    posix_spawn_file_actions_destroy(&quiet);
    return status;
}

int main(int argc, char **argv) {
    const int runs = argc > 2 ? atoi(argv[1]) : 0;
    if (runs < 1) {
        fprintf(stderr, "usage: spawn N PROGRAM ARGUMENT...\n");
        return EXIT_FAILURE;
    }
    const char *clock = getenv("BENCH_CLOCK");
    computed = clock && strcmp(clock, "cpu") == 0;
    for (int i = -1; i < runs; i++) {
        const double start = now();
        if (run(argv + 2) != 0) {
            fprintf(stderr, "spawn: %s failed\n", argv[2]);
            return EXIT_FAILURE;
        }
        if (i >= 0) printf("%.9f\n", now() - start);
    }
    return EXIT_SUCCESS;
}
