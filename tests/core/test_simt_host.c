/* test_simt_host.c - the host side of backends/simt on a backend that compiles and runs nothing and whose memory is addresses
 * alone, so that tensors may have any size. */
#include "backends/simt/simt.h"
#include "engine_support.h"
#include "plugin.h"
#include <pthread.h>
#include <semaphore.h>

enum { MOST = 64 };

static const dl_host *host;
static dl_device *device;

/* What was launched since forget(). */
static struct {
    char entry[64];
    uint64_t groups, items_across;
} launched[MOST];
static int launches;

static void forget(void) { launches = 0; }

/* The last launch of a kernel of this name; NULL: there was none. */
static const void *find_launch(const char *entry, uint64_t *groups, uint64_t *items_across) {
    for (int k = launches - 1; k >= 0; k--) {
        if (strcmp(launched[k].entry, entry) != 0) continue;
        if (groups) *groups = launched[k].groups, *items_across = launched[k].items_across;
        return &launched[k];
    }
    return NULL;
}

/* ---- the backend -----------------------------------------------------------------------------------------------------------
 */

static sem_t waiting, may_go; /* compiling "slow" posts the one and waits for the other */
static int compiled, freed;

static dl_status compile(dl_device *d, const char *source, const char *entry, void **function) {
    (void)d, (void)source;
    compiled++;
    if (strcmp(entry, "slow") == 0) {
        sem_post(&waiting);
        sem_wait(&may_go);
    }
    *function = strdup(entry);
    return *function ? DL_OK : DL_NOMEM;
}
static void function_free(dl_device *d, void *function) {
    (void)d;
    freed++;
    free(function);
}
static dl_status launch(dl_device *d, dl_stream *stream, void *function, const uint32_t grid[3], const uint32_t block[3],
                        uint32_t local_bytes, void *const *args, const uint32_t *arg_bytes, uint32_t n_args) {
    (void)d, (void)stream, (void)local_bytes, (void)args, (void)arg_bytes, (void)n_args;
    if (launches == MOST) forget();
    snprintf(launched[launches].entry, sizeof launched->entry, "%s", (const char *)function);
    launched[launches].groups = (uint64_t)grid[0] * grid[1] * grid[2];
    launched[launches++].items_across = (uint64_t)grid[0] * block[0];
    return DL_OK;
}

static dl_status count(int32_t *n) {
    *n = 1;
    return DL_OK;
}
static dl_status info(int32_t index, dl_device_info *out) {
    out->index = index;
    out->alignment = 64;
    return DL_OK;
}
static dl_status open_device(int32_t index, dl_device **d) {
    static dl_device the_device = {.size = sizeof the_device};
    the_device.index = index;
    *d = &the_device;
    return DL_OK;
}
static dl_status alloc(dl_device *d, dl_stream *stream, uint64_t bytes, void **data) {
    static uintptr_t next = 4096;
    (void)d, (void)stream;
    *data = (void *)next;
    next += (bytes + 4095) / 4096 * 4096;
    return DL_OK;
}
static void free_data(dl_device *d, dl_stream *stream, void *data, uint64_t bytes) {
    (void)d, (void)stream, (void)data, (void)bytes;
}
static dl_status copy(dl_device *d, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                      uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)d, (void)stream, (void)src, (void)src_offset, (void)src_host;
    if (dst_host) memset((char *)dst + dst_offset, 0, bytes);
    return DL_OK;
}
static dl_status synchronize(dl_device *d, dl_stream *stream) {
    (void)d, (void)stream;
    return DL_OK;
}
static void *fault(dl_device *d) {
    (void)d;
    return (void *)64;
}

static const dl_backend backend = {
    .size = sizeof backend,
    .name = "hollow",
    .count = count,
    .info = info,
    .open = open_device,
    .alloc = alloc,
    .free = free_data,
    .copy = copy,
    .synchronize = synchronize,
    .dialect = "opencl",
    .compile = compile,
    .launch = launch,
    .function_free = function_free,
    .fault = fault,
};

static dl_status init(const dl_host *table) {
    host = table;
    const dl_status status = host->add_backend(&backend);
    return status == DL_OK ? simt_register(host, &backend) : status;
}

/* A tensor of this shape of which there is one element. */
static void expanded(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape) {
    static const int64_t strides[4] = {0};
    dl_storage *storage = NULL;
    *t = (dl_tensor){0};
    assert_ok(dl_storage_new(device, 8, &storage));
    assert_ok(dl_tensor_on(t, storage, type, 0, ndim, shape, strides));
    dl_storage_release(storage);
}

static dl_status call(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out,
                      const dl_attr *attr, int32_t n_attr) {
    dl_tensor *outs[2];
    for (int k = 0; k < n_out; k++) out[k] = (dl_tensor){0}, outs[k] = &out[k];
    forget();
    return dl_call(dl_op_find(op), in, n_in, outs, n_out, attr, n_attr);
}

/* ---- tests -----------------------------------------------------------------------------------------------------------------
 */

static void what_a_backend_needs(void **state) {
    (void)state;
    dl_backend less = backend;
    less.fault = NULL;
    assert_fails(simt_register(host, &less), DL_INVALID, "`fault` is NULL");
    less = backend;
    less.size = (uint32_t)offsetof(dl_backend, fault);
    assert_fails(simt_register(host, &less), DL_INVALID, "`fault` is NULL");
    less = backend;
    less.copy = NULL;
    assert_fails(simt_register(host, &less), DL_INVALID, "`copy` is NULL");
    less = backend;
    less.launch = NULL;
    assert_fails(simt_register(host, &less), DL_INVALID, "`launch` is NULL");
    less = backend;
    less.compile = NULL;
    assert_fails(simt_register(host, &less), DL_INVALID, "`compile` is NULL");
}

static void too_many_arguments(void **state) {
    (void)state;
    const dl_frame f = {.device = device};
    const uint32_t one[3] = {1, 1, 1};
    char function[] = "many";
    simt_args a = {0};
    for (int k = 0; k < SIMT_MAX_ARGS; k++) simt_i64(&a, k);
    assert_ok(simt_launch(&f, function, one, one, &a));
    assert_true(a.value[SIMT_MAX_ARGS - 1].i64 == SIMT_MAX_ARGS - 1);
    simt_i32(&a, 0);
    assert_fails(simt_launch(&f, function, one, one, &a), DL_INTERNAL, "65");
}

/* More lines than a first dimension holds groups of. */
static void many_lines(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1 << 14, 257}, {1 << 25, 257}, {(int64_t)5 << 30, 1000}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        dl_tensor x, y;
        uint64_t groups = 0, items = 0;
        expanded(&x, DL_F16, 2, shapes[k]);
        assert_ok(call("softmax", IN(&x), &y, 1, ATTR(INT(1))));
        assert_non_null(find_launch("softmax", &groups, &items));
        assert_true(groups >= (uint64_t)shapes[k][0] && items < (uint64_t)1 << 32);
        et_clear(&x, &y);
        expanded(&x, DL_F16, 2, shapes[k]);
        dl_tensor sorted[2];
        assert_ok(call("sort", IN(&x), sorted, 2, ATTR(INT(1), INT(0))));
        assert_non_null(find_launch("sort_blocks", &groups, &items));
        assert_true(groups >= (uint64_t)shapes[k][0] && items < (uint64_t)1 << 32);
        et_clear(&x, &sorted[0], &sorted[1]);
    }
}

/* A place in a line has 32 bits; keys and places of all elements must have a size in bytes. */
static void too_long_to_sort(void **state) {
    (void)state;
    static const int64_t long_line[] = {(int64_t)1 << 32, 1}, many[] = {(int64_t)1 << 31, (int64_t)1 << 30};
    dl_tensor x, out[2];
    expanded(&x, DL_U8, 2, long_line);
    assert_int_equal(call("topk", IN(&x), out, 2, ATTR(INT(1), INT(0), INT(1))), DL_UNSUPPORTED);
    assert_int_equal(call("median", IN(&x), out, 2, ATTR(INT(0))), DL_UNSUPPORTED);
    assert_ok(call("topk", IN(&x), out, 2, ATTR(INT(1), INT(1), INT(1))));
    et_clear(&x, &out[0], &out[1]);
    expanded(&x, DL_U8, 2, many);
    assert_int_equal(call("kthvalue", IN(&x), out, 2, ATTR(INT(1), INT(0))), DL_UNSUPPORTED);
    assert_null(find_launch("sort_blocks", NULL, NULL));
    dl_tensor_clear(&x);
}

/* A pair of numbers for each sample lies in scratch memory. */
static void many_samples(void **state) {
    (void)state;
    static const int64_t fits[] = {1 << 30, 1}, many[] = {(int64_t)1 << 41, 1};
    dl_tensor scores, target, loss[2];
    for (int k = 0; k < 2; k++) {
        expanded(&scores, DL_F32, 2, k ? many : fits);
        expanded(&target, DL_I64, 1, k ? many : fits);
        (void)call("nll_loss", IN(&scores, &target, NULL), loss, 2, NONE);
        assert_int_equal(find_launch("loss_samples", NULL, NULL) == NULL, k);
        et_clear(&scores, &target, &loss[0], &loss[1]);
    }
}

/* Kernels count the places of a plane with 32 bits: above that an op is composed. The ops' rules limit one side of them. */
static void large_planes(void **state) {
    (void)state;
    static const int64_t small[] = {1, 4, 4}, large[] = {1, 1 << 16, 1 << 16};
    dl_tensor x, index, y;
    expanded(&x, DL_F32, 3, small);
    assert_ok(call("adaptive_avg_pool", IN(&x), &y, 1, ATTR(INTS(1 << 15, 1 << 15))));
    assert_non_null(find_launch("avg_pool", NULL, NULL));
    dl_tensor_clear(&y);
    assert_ok(call("adaptive_avg_pool", IN(&x), &y, 1, ATTR(INTS(1 << 16, 1 << 16))));
    assert_null(find_launch("avg_pool", NULL, NULL));
    et_clear(&x, &y);
    expanded(&x, DL_F32, 3, large);
    expanded(&index, DL_I64, 3, large);
    assert_ok(call("max_unpool", IN(&x, &index), &y, 1, ATTR(INTS(4, 4))));
    assert_null(find_launch("put_places", NULL, NULL));
    et_clear(&x, &index, &y);
}

static const char text[] = "";

static void *find_function(void *entry) {
    void *function = NULL;
    return simt_function(&(dl_frame){.device = device}, text, entry, NULL, 0, &function) == DL_OK ? function : NULL;
}

static void *find_slow(void *unused) {
    (void)unused;
    return find_function("slow");
}

/* Of two threads that compile the same kernel, one's is kept, and a third one meanwhile finds what is there. */
static void compiling_holds_up_nobody(void **state) {
    (void)state;
    pthread_t threads[2];
    void *functions[2], *quick = find_function("quick");
    assert_non_null(quick);
    compiled = freed = 0;
    for (int k = 0; k < 2; k++) assert_int_equal(pthread_create(&threads[k], NULL, find_slow, NULL), 0);
    for (int k = 0; k < 2; k++) sem_wait(&waiting);
    assert_ptr_equal(find_function("quick"), quick);
    for (int k = 0; k < 2; k++) sem_post(&may_go);
    for (int k = 0; k < 2; k++) pthread_join(threads[k], &functions[k]);
    assert_non_null(functions[0]);
    assert_ptr_equal(functions[0], functions[1]);
    assert_int_equal(compiled, 2);
    assert_int_equal(freed, 1);
    assert_ptr_equal(find_slow(NULL), functions[0]);
    assert_int_equal(compiled, 2);
    simt_close(device);
    assert_true(freed >= 3);
}

static int start(void **state) {
    if (et_start(state) != 0 || sem_init(&waiting, 0, 0) != 0 || sem_init(&may_go, 0, 0) != 0) return -1;
    if (dl_host_run_init(init, "hollow") == DL_OK && dl_device_open("hollow", &device) == DL_OK) return 0;
    print_error("%s\n", dl_last_error());
    return -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_arguments),
        cmocka_unit_test(many_lines),
        cmocka_unit_test(too_long_to_sort),
        cmocka_unit_test(large_planes),
        cmocka_unit_test(many_samples),
        cmocka_unit_test(what_a_backend_needs),
        cmocka_unit_test(compiling_holds_up_nobody),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
