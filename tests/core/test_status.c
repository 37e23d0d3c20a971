/* Messages: truncation, context, self-reference, one per thread; the interrupt flag. */
#include "null_backend.h"

#include <pthread.h>
#include <stdio.h>

static void text_of_every_status(void **state) {
    (void)state;
    assert_string_equal(dl_status_text(DL_OK), "success");
    assert_string_equal(dl_status_text(DL_NOMEM), "out of memory");
    for (dl_status s = 0; s < DL_STATUS_COUNT; s++) assert_true(strlen(dl_status_text(s)) > 3);
    assert_string_equal(dl_status_text(-1), "unknown status");
    assert_string_equal(dl_status_text(DL_STATUS_COUNT), "unknown status");
}

static void fail_copies_the_message(void **state) {
    (void)state;
    char text[] = "first";
    assert_int_equal(dl_fail(DL_IO, text), DL_IO);
    text[0] = 'F';
    assert_string_equal(dl_last_error(), "first");
    assert_int_equal(dl_fail(DL_IO, NULL), DL_IO);
    assert_string_equal(dl_last_error(), dl_status_text(DL_IO));
}

static void message_may_contain_itself(void **state) {
    (void)state;
    dl_failf(DL_INVALID, "size %d", 7);
    assert_int_equal(dl_failf(DL_INTERNAL, "again: %s", dl_last_error()), DL_INTERNAL);
    assert_string_equal(dl_last_error(), "again: size 7");
    dl_fail(DL_INVALID, dl_last_error());
    assert_string_equal(dl_last_error(), "again: size 7");
}

static void context_goes_in_front(void **state) {
    (void)state;
    dl_fail(DL_INVALID, "bad size");
    assert_int_equal(dl_fail_context(DL_INVALID, "layer %d", 2), DL_INVALID);
    assert_string_equal(dl_last_error(), "layer 2: bad size");
}

static void long_messages_are_cut(void **state) {
    (void)state;
    char *text = malloc(10000);
    memset(text, 'x', 9999);
    text[9999] = 0;
    dl_failf(DL_INVALID, "%s", text);
    assert_int_equal(strlen(dl_last_error()), 2047);
    dl_fail_context(DL_INVALID, "%s", text);
    assert_int_equal(strlen(dl_last_error()), 2047);
    free(text);
}

static void *fail_elsewhere(void *own) {
    strcpy(own, dl_last_error());
    dl_fail(DL_INVALID, "of the other thread");
    return NULL;
}

static void each_thread_has_its_own(void **state) {
    (void)state;
    char before[64] = "?";
    pthread_t thread;
    dl_fail(DL_INVALID, "of this thread");
    pthread_create(&thread, NULL, fail_elsewhere, before);
    pthread_join(thread, NULL);
    assert_string_equal(before, "");
    assert_string_equal(dl_last_error(), "of this thread");
}

static void interrupt_is_taken_once(void **state) {
    (void)state;
    assert_int_equal(dl_interrupted(), 0);
    assert_int_equal(dl_take_interrupt(), 0);
    dl_interrupt();
    assert_int_equal(dl_interrupted(), 1);
    assert_int_equal(dl_take_interrupt(), 1);
    assert_int_equal(dl_take_interrupt(), 0);
    assert_int_equal(dl_interrupted(), 0);
    dl_interrupt();
    assert_int_equal(dl_failf(DL_INTERRUPTED, "interrupted"), DL_INTERRUPTED); /* who reports it has taken it */
    assert_int_equal(dl_interrupted(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_every_status),       cmocka_unit_test(fail_copies_the_message),
        cmocka_unit_test(message_may_contain_itself), cmocka_unit_test(context_goes_in_front),
        cmocka_unit_test(long_messages_are_cut),      cmocka_unit_test(each_thread_has_its_own),
        cmocka_unit_test(interrupt_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
