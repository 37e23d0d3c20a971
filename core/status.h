/* status.h - failing with a message. */
#ifndef DL_CORE_STATUS_H
#define DL_CORE_STATUS_H
#include "dlrun/dlrun.h"

/* Formats this thread's message (truncated at 2 KiB, always terminated) and returns code: `return dl_failf(DL_INVALID, ...)`.
 * Never allocates, so it works when memory has run out. */
dl_status dl_failf(dl_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before this thread's message (used where a caller knows more: the op's name, the plugin's file). */
dl_status dl_fail_context(dl_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with an op's name, once: not where the message already begins with it. */
dl_status dl_fail_named(dl_status code, const char *op);

/* How many messages this thread has left. For functions of plugins, which may fail without one: dl_explained(status, count
 * before the call, "its kernel") gives a failure that left no message one of its own, so that no earlier failure's is shown. */
uint32_t dl_failures(void);
dl_status dl_explained(dl_status, uint32_t before, const char *whose);

/* Evaluates a call; returns its status from the current function if it failed. */
#define DL_TRY(call)                                                                                                           \
    do {                                                                                                                       \
        dl_status try_status_ = (call);                                                                                        \
        if (try_status_ != DL_OK) return try_status_;                                                                          \
    } while (0)
#endif
