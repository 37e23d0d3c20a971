/* Philox 4x32-10 against the vectors published with Random123, and the per-thread stream's contract. */
#include "random.h"
#include "dlrun/philox.h"
#include "null_backend.h"

#include <pthread.h>

static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        uint32_t counter[4];
        memcpy(counter, rows[k].counter, sizeof counter);
        dl_philox(counter, rows[k].key[0], rows[k].key[1]);
        assert_memory_equal(counter, rows[k].expected, sizeof counter);
    }
}

/* Element i of call c: word i % 4 of philox({i/4 low, i/4 high, c low, c high}, seed). */
static void stream_follows_the_contract(void **state) {
    (void)state;
    uint32_t draws[11];
    const uint64_t seed = 0x0123456789abcdefu, call = 0x1122334455667788u;
    dl_seed(seed);
    dl_set_random_call(call);
    dl_random_u32(draws, 11);
    for (uint32_t i = 0; i < 11; i++) {
        uint32_t counter[4] = {i / 4, 0, (uint32_t)call, (uint32_t)(call >> 32)};
        dl_philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32));
        assert_int_equal(draws[i], counter[i % 4]);
    }
    assert_int_equal(dl_random_call(), call + 1);
    uint32_t block[4], counter[4] = {0x9, 0x7, 5, 0};
    dl_philox_block(seed, 5, 0x700000009u, block);
    dl_philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32));
    assert_memory_equal(block, counter, sizeof block);
}

/* philox(x) and philox64(x), as expressions, are the same stream; each takes one call number. */
static void expressions_draw_the_stream(void **state) {
    (void)state;
    enum { N = 11 };
    dl_tensor x = {0}, y = {0}, z = {0}, *out[] = {&y, &z};
    const dl_tensor *in = &x;
    const uint64_t seed = 0xfedcba9876543210u, call = 0x8000000000000000u >> 2 | 5;
    int64_t narrow[N], wide[N];
    assert_int_equal(dl_init(), DL_OK);
    assert_int_equal(dl_tensor_new(&x, DL_I64, 1, (int64_t[]){N}, NULL), DL_OK);
    dl_seed(seed);
    dl_set_random_call(call);
    assert_int_equal(dl_call(dl_op_find("philox"), &in, 1, &out[0], 1, NULL, 0), DL_OK);
    assert_int_equal(dl_call(dl_op_find("philox64"), &in, 1, &out[1], 1, NULL, 0), DL_OK);
    assert_int_equal(dl_random_call(), call + 2);
    assert_int_equal(dl_tensor_read(&y, narrow, sizeof narrow), DL_OK);
    assert_int_equal(dl_tensor_read(&z, wide, sizeof wide), DL_OK);
    for (uint64_t i = 0; i < N; i++) {
        uint32_t first[4], high[4], low[4];
        dl_philox_block(seed, call, i / 4, first);
        dl_philox_block(seed, call + 1, i / 4, high);
        dl_philox_block(seed, dl_philox_low_call(call + 1), i / 4, low);
        assert_int_equal(narrow[i], first[i % 4]);
        assert_int_equal((uint64_t)wide[i], (uint64_t)high[i % 4] << 32 | low[i % 4]);
    }
    dl_tensor_clear(&x);
    dl_tensor_clear(&y);
    dl_tensor_clear(&z);
}

static void seed_restarts(void **state) {
    (void)state;
    uint32_t first[3], second[3], again[3];
    dl_seed(7);
    dl_random_u32(first, 3);
    dl_random_u32(second, 3);
    assert_memory_not_equal(first, second, sizeof first);
    dl_seed(7);
    assert_int_equal(dl_random_call(), 0);
    dl_random_u32(again, 3);
    assert_memory_equal(first, again, sizeof first);
    dl_set_random_call(1);
    dl_random_u32(again, 3);
    assert_memory_equal(second, again, sizeof first);
    assert_int_equal(dl_get_seed(), 7);
}

static void taking_counts_calls(void **state) {
    (void)state;
    uint64_t key, call;
    dl_seed(42);
    dl_random_take(&key, &call);
    assert_int_equal(key, 42);
    assert_int_equal(call, 0);
    dl_random_u32(NULL, 0); /* also a call */
    dl_random_take(&key, &call);
    assert_int_equal(call, 2);
}

static void *seed_elsewhere(void *out) {
    *(uint64_t *)out = dl_get_seed();
    dl_seed(1234);
    return NULL;
}

static void threads_have_their_own(void **state) {
    (void)state;
    uint64_t seen = 99;
    pthread_t thread;
    dl_seed(5);
    pthread_create(&thread, NULL, seed_elsewhere, &seen);
    pthread_join(thread, NULL);
    assert_int_equal(seen, 0);
    assert_int_equal(dl_get_seed(), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(stream_follows_the_contract),
        cmocka_unit_test(expressions_draw_the_stream),
        cmocka_unit_test(seed_restarts),
        cmocka_unit_test(taking_counts_calls),
        cmocka_unit_test(threads_have_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
