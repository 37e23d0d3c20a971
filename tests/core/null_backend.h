/* null_backend.h - two backends for tests without hardware or plugins, and assertions that show dlrun's message.
 *
 * "cpu" has two devices over malloc. "far" has two with opaque handles instead of addresses, as a GPU library may, so that
 * whoever mistakes one for the other crashes. Copies between strides are the one kernel they have. */
#ifndef DL_TESTS_NULL_BACKEND_H
#define DL_TESTS_NULL_BACKEND_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "device.h"
#include "mem.h"
#include "status.h"

extern int64_t null_live_blocks; /* handed out by both backends and not freed */
extern uint64_t null_live_bytes;
extern uint64_t null_limit; /* bytes that both together may hold; 0: no limit */

/* Registers both backends before dl_init() looks for plugins, and keeps it from finding any. A cmocka group setup. */
int null_install(void **state);
int null_install_backends(void **state); /* without dl_init(): for tests of the search path */
int null_install_far(void **state);      /* "far" beside the real CPU backend, which the search path must hold */

dl_device *null_device(const char *spec); /* opens it; fails the test where that fails */

/* The call fails with this status, and its message holds `words`. */
#define assert_fails(call, status, words)                                                                                      \
    do {                                                                                                                       \
        assert_int_equal(call, status);                                                                                        \
        if (!strstr(dl_last_error(), words)) fail_msg("'%s' lacks '%s'", dl_last_error(), words);                              \
    } while (0)
#define assert_ok(call)                                                                                                        \
    do {                                                                                                                       \
        dl_status ok_status_ = (call);                                                                                         \
        if (ok_status_ != DL_OK) fail_msg("%s: %s", #call, dl_last_error());                                                   \
    } while (0)

#endif
