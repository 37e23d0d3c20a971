/* status.c - status codes in words, each thread's latest failure message, and the Ctrl-C flag. */
#include "status.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 2048 };
static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local uint32_t failures;
static atomic_int interrupt_pending; /* lock-free, so a signal handler may store to it */

const char *dl_status_text(dl_status status) {
    static const char *const text[DL_STATUS_COUNT] = {
#define DL_STATUS(NAME, number, words) [number] = words,
#include "dlrun/status.def"
#undef DL_STATUS
    };
    return status >= 0 && status < DL_STATUS_COUNT ? text[status] : "unknown status";
}

const char *dl_last_error(void) { return message; }

/* Formats aside first: the arguments may point into the present message. */
static void set_message(const char *prefix_format, va_list arguments, const char *rest) {
    char text[MESSAGE_BYTES];
    int n = vsnprintf(text, sizeof text, prefix_format, arguments);
    if (n < 0) n = 0, text[0] = 0;
    if (rest && (size_t)n < sizeof text) snprintf(text + n, sizeof text - (size_t)n, ": %s", rest);
    memcpy(message, text, strlen(text) + 1);
    failures++;
}

dl_status dl_failf(dl_status code, const char *format, ...) {
    va_list arguments;
    if (code == DL_INTERRUPTED) (void)dl_take_interrupt(); /* who reports it has taken it: it is reported once */
    va_start(arguments, format);
    set_message(format, arguments, NULL);
    va_end(arguments);
    return code;
}

dl_status dl_fail_context(dl_status code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    set_message(format, arguments, message);
    va_end(arguments);
    return code;
}

dl_status dl_fail_named(dl_status code, const char *op) {
    const size_t n = strlen(op);
    if (strncmp(message, op, n) == 0 && message[n] == ':') return code;
    return dl_fail_context(code, "%s", op);
}

uint32_t dl_failures(void) { return failures; }

dl_status dl_explained(dl_status status, uint32_t before, const char *whose) {
    if (status == DL_OK || failures != before) return status;
    return dl_failf(status, "%s failed (%s) without a message; host->fail leaves one", whose, dl_status_text(status));
}

dl_status dl_fail(dl_status code, const char *text) { return dl_failf(code, "%s", text ? text : dl_status_text(code)); }

void dl_interrupt(void) { atomic_store(&interrupt_pending, 1); }

int32_t dl_interrupted(void) { return atomic_load_explicit(&interrupt_pending, memory_order_relaxed); }

int32_t dl_take_interrupt(void) { return dl_interrupted() && atomic_exchange(&interrupt_pending, 0); }
