/* status.h - failing with a message. */
#ifndef DL_CORE_STATUS_H
#define DL_CORE_STATUS_H
#include "dlrun/dlrun.h"

/* Formats this thread's message (truncated at 2 KiB, always terminated) and returns code: `return dl_failf(DL_INVALID, ...)`.
 * Never allocates, so it works when memory has run out. */
dl_status dl_failf(dl_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before this thread's message (used where a caller knows more: the op's name, the plugin's file). */
dl_status dl_fail_context(dl_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Evaluates a call; returns its status from the current function if it failed. */
#define DL_TRY(call)                                                                                                           \
    do {                                                                                                                       \
        dl_status try_status_ = (call);                                                                                        \
        if (try_status_ != DL_OK) return try_status_;                                                                          \
    } while (0)
#endif
