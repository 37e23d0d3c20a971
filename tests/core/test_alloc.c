/* The caching allocator: size classes, reuse, statistics, the collector's bell, and memory running out at every point. */
#include "alloc.h"
#include "null_backend.h"
#include "tensor.h"

#include <pthread.h>

enum { MIB = 1 << 20 };

static dl_memory_stats stats_of(const char *spec) {
    dl_memory_stats stats;
    dl_memory(null_device(spec), &stats);
    return stats;
}

static uint64_t block_for(uint64_t bytes) {
    dl_device *device = null_device("cpu");
    void *data;
    uint64_t block;
    assert_ok(dl_alloc(device, bytes, &data, &block));
    if (bytes < 64 * (uint64_t)MIB) memset(data, 0, bytes);
    dl_free(device, data, block);
    return block;
}

static void size_classes(void **state) {
    (void)state;
    static const uint64_t exact[] = {
        64, 80, 96, 112, 128, 160, 192, 224, 256, 1024, MIB - MIB / 8, MIB, MIB + MIB / 8, 15 * MIB / 8, 2 * MIB};
    for (size_t k = 0; k < sizeof exact / sizeof *exact; k++) assert_int_equal(block_for(exact[k]), exact[k]);
    assert_int_equal(block_for(1), 64);
    assert_int_equal(block_for(65), 80);
    assert_int_equal(block_for(129), 160);
    assert_int_equal(block_for(MIB + 1), MIB + MIB / 8);
    uint64_t last = 0;
    for (uint64_t bytes = 1; bytes < 9 * (uint64_t)MIB; bytes += 1 + bytes / 7) {
        uint64_t block = block_for(bytes);
        assert_true(block >= bytes && block >= last);
        if (bytes > 64) assert_true(block - bytes <= bytes / (bytes > MIB ? 8 : 4));
        last = block;
    }
    dl_memory_trim(NULL);
}

static void freed_blocks_come_back(void **state) {
    (void)state;
    dl_device *device = null_device("cpu");
    void *first, *second;
    uint64_t block;
    dl_memory_trim(device);
    dl_memory_stats before = stats_of("cpu");
    assert_ok(dl_alloc(device, 1000, &first, &block));
    dl_free(device, first, block);
    dl_memory_stats between = stats_of("cpu");
    assert_int_equal(between.cached_blocks, before.cached_blocks + 1);
    assert_int_equal(between.cached_bytes, before.cached_bytes + block);
    assert_ok(dl_alloc(device, 900, &second, &block)); /* the same class: 897 ... 1024 */
    assert_ptr_equal(first, second);
    dl_memory_stats after = stats_of("cpu");
    assert_int_equal(after.allocations, before.allocations + 2);
    assert_int_equal(after.backend_allocations, before.backend_allocations + 1);
    assert_int_equal(after.live_bytes, before.live_bytes + block);
    assert_int_equal(after.live_blocks, before.live_blocks + 1);
    assert_int_equal(after.cached_blocks, before.cached_blocks);
    dl_free(device, second, block);
}

static void trim_gives_everything_back(void **state) {
    (void)state;
    dl_device *device = null_device("far");
    void *data[20];
    uint64_t block[20];
    int64_t live = null_live_blocks;
    for (int k = 0; k < 20; k++) assert_ok(dl_alloc(device, 100 + 3000 * (uint64_t)k, &data[k], &block[k]));
    assert_int_equal(null_live_blocks, live + 20);
    for (int k = 0; k < 20; k++) dl_free(device, data[k], block[k]);
    assert_int_equal(null_live_blocks, live + 20);
    dl_memory_trim(device);
    assert_int_equal(null_live_blocks, live);
    assert_int_equal(stats_of("far").cached_bytes, 0);
    assert_int_equal(stats_of("far").cached_blocks, 0);
}

static void peak(void **state) {
    (void)state;
    dl_device *device = null_device("far");
    void *data;
    uint64_t block;
    dl_memory_reset_peak(device);
    uint64_t live = stats_of("far").live_bytes;
    assert_ok(dl_alloc(device, 4096, &data, &block));
    dl_free(device, data, block);
    assert_int_equal(stats_of("far").peak_bytes, live + 4096);
    dl_memory_reset_peak(device);
    assert_int_equal(stats_of("far").peak_bytes, live);
    dl_memory_stats all;
    dl_memory(NULL, &all);
    assert_int_equal(all.live_bytes, stats_of("far").live_bytes + stats_of("cpu").live_bytes);
}

/* A full device gives its cache back before it reports failure, and says how much was asked for. */
static void out_of_memory(void **state) {
    (void)state;
    dl_device *device = null_device("far");
    void *data, *more;
    uint64_t block, more_block;
    dl_memory_trim(NULL);
    null_limit = null_live_bytes + 8192;
    assert_ok(dl_alloc(device, 4096, &data, &block));
    dl_free(device, data, block);
    assert_ok(dl_alloc(device, 8192, &data, &block)); /* the cached 4096 had to go */
    assert_fails(dl_alloc(device, 100, &more, &more_block), DL_NOMEM, "out of memory on far");
    null_limit = 0;
    dl_free(device, data, block);
    assert_fails(dl_alloc(device, UINT64_MAX, &data, &block), DL_NOMEM, "asked for");
    assert_fails(dl_alloc(device, ((uint64_t)1 << 48) + 1, &data, &block), DL_NOMEM, "asked for");
}

/* The cache must not hoard sizes that no longer occur: resident memory stays within twice the peak. */
static void stale_caches_are_dropped(void **state) {
    (void)state;
    dl_device *device = null_device("far");
    dl_memory_trim(NULL);
    dl_memory_reset_peak(NULL);
    for (uint64_t k = 0; k < 40; k++) {
        void *data;
        uint64_t block;
        assert_ok(dl_alloc(device, (8 + k) * MIB, &data, &block));
        dl_free(device, data, block);
        dl_memory_stats stats = stats_of("far");
        uint64_t floor = 64 * (uint64_t)MIB, bound = stats.peak_bytes > floor ? stats.peak_bytes : floor;
        assert_true(stats.cached_bytes <= bound + block);
    }
    dl_memory_trim(NULL);
}

static void ring(uint64_t bytes) {
    dl_device *device = null_device("far");
    void *data;
    uint64_t block;
    assert_ok(dl_alloc(device, bytes, &data, &block));
    dl_free(device, data, block);
}

static void bell_rings_after_64_mib(void **state) {
    (void)state;
    int32_t *pressure = dl_memory_pressure();
    dl_memory_collected();
    assert_int_equal(*pressure, 0);
    for (int k = 0; k < 8; k++) ring(8 * MIB);
    assert_int_equal(*pressure, 0);
    ring(64);
    assert_int_equal(*pressure, 1);
    dl_memory_collected();
    assert_int_equal(*pressure, 0);
}

static void bell_waits_for_half_of_live(void **state) {
    (void)state;
    dl_device *device = null_device("far");
    void *data;
    uint64_t block;
    assert_ok(dl_alloc(device, 256 * MIB, &data, &block));
    dl_memory_collected();
    for (int k = 0; k < 16; k++) ring(8 * MIB);
    assert_int_equal(*dl_memory_pressure(), 0);
    ring(MIB);
    assert_int_equal(*dl_memory_pressure(), 1);
    dl_free(device, data, block);
    dl_memory_collected();
    dl_memory_trim(NULL);
}

/* ---- memory running out at every point ------------------------------------------------------------------------------ */

/* Everything of the core that allocates, once. */
static dl_status exercise(dl_device *device) {
    dl_tensor t = {0}, alias = {0};
    dl_storage *s = NULL;
    dl_derived *derived;
    int32_t valid;
    static const char plan;
    char data[4 * 6 * 7];
    dl_status status = dl_tensor_new(&t, DL_F32, 2, (int64_t[]){6, 7}, device);
    if (status == DL_OK) status = dl_tensor_alias(&alias, &t);
    if (status == DL_OK) status = dl_tensor_write(&alias, memset(data, 3, sizeof data), sizeof data);
    if (status == DL_OK) status = dl_storage_new(device, 100, &s);
    if (status == DL_OK) status = dl_storage_resize(s, 100000);
    if (status == DL_OK) status = dl_storage_derive(s, &plan, 0, 64, &derived, &valid);
    dl_storage_release(s);
    dl_tensor_clear(&alias);
    dl_tensor_clear(&t);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (int all = 0; all < 2; all++) {
        for (int far = 0; far < 2; far++) {
            dl_device *device = null_device(far ? "far" : "cpu");
            int failures = 0;
            for (long n = 1;; n++) {
                dl_memory_trim(device);
                int64_t live = null_live_blocks;
                dl_memory_stats before = stats_of(far ? "far" : "cpu");
                dl_mem_fail_after(n, all);
                dl_status status = exercise(device);
                dl_mem_fail_after(0, 0);
                dl_memory_trim(device);
                dl_memory_stats after = stats_of(far ? "far" : "cpu");
                assert_int_equal(after.live_blocks, before.live_blocks);
                assert_int_equal(after.live_bytes, before.live_bytes);
                assert_int_equal(after.cached_blocks, 0);
                assert_int_equal(null_live_blocks, live);
                if (status == DL_OK && n > 20) break; /* beyond the last allocation */
                if (status != DL_OK) assert_int_equal(status, DL_NOMEM), failures++;
            }
            assert_true(failures >= 6);
        }
    }
}

static void injection_counts_down(void **state) {
    (void)state;
    dl_mem_fail_after(2, 0);
    assert_int_equal(dl_mem_injected_failure(), 0);
    assert_int_equal(dl_mem_injected_failure(), 1);
    assert_int_equal(dl_mem_injected_failure(), 0);
    dl_mem_fail_after(1, 1);
    assert_null(dl_mem(NULL, 10));
    assert_null(dl_mem_zero(10));
    assert_null(dl_mem_string("text"));
    dl_mem_fail_after(0, 0);
    char *text = dl_mem_string("text");
    assert_string_equal(text, "text");
    assert_null(dl_mem(text, 0));
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

static void *allocate_a_lot(void *seed) {
    uint32_t x = (uint32_t)(uintptr_t)seed;
    dl_tensor kept[16] = {0};
    for (int k = 0; k < 4000; k++) {
        x = x * 1664525u + 1013904223u;
        dl_tensor *t = &kept[x >> 28];
        int64_t n = (x >> 8) % 3000;
        dl_tensor_clear(t);
        if (dl_tensor_new(t, DL_U8, 1, &n, NULL) != DL_OK) return "failed";
        if (n) memset(dl_tensor_data(t), (int)(uintptr_t)seed, (size_t)n);
    }
    for (int k = 0; k < 16; k++) dl_tensor_clear(&kept[k]);
    return NULL;
}

static void threads_share_an_allocator(void **state) {
    (void)state;
    pthread_t threads[4];
    dl_memory_stats before = stats_of("cpu");
    for (uintptr_t k = 0; k < 4; k++) pthread_create(&threads[k], NULL, allocate_a_lot, (void *)(k + 1));
    for (int k = 0; k < 4; k++) {
        void *failure;
        pthread_join(threads[k], &failure);
        assert_null(failure);
    }
    dl_memory_stats after = stats_of("cpu");
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_int_equal(after.live_blocks, before.live_blocks);
    assert_true(after.allocations > before.allocations + 15000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_classes),
        cmocka_unit_test(freed_blocks_come_back),
        cmocka_unit_test(trim_gives_everything_back),
        cmocka_unit_test(peak),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(stale_caches_are_dropped),
        cmocka_unit_test(bell_rings_after_64_mib),
        cmocka_unit_test(bell_waits_for_half_of_live),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(injection_counts_down),
        cmocka_unit_test(threads_share_an_allocator),
    };
    return cmocka_run_group_tests(tests, null_install, NULL);
}
