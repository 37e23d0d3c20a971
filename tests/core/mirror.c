/* mirror.c - see mirror.h. */
#include "tests/core/mirror.h"

enum { MOST = 16, SEED = 20 };

dl_device *mirror_device(void) {
    const char *name = getenv("DLRUN_TEST_DEVICE");
    dl_device *device = NULL;
    return dl_device_open(name ? name : "opencl", &device) == DL_OK ? device : NULL;
}

int mirror_start(void **state) {
    (void)state;
    if (dl_init() == DL_OK && dl_default_device()) return 0;
    print_error("%s\n", dl_last_error());
    return -1;
}

static void must(dl_status status, const char *what) {
    if (status != DL_OK) fail_msg("%s: %s", what, dl_last_error());
}

/* All bytes of a tensor's storage as a tensor. */
static void bytes_of(const dl_tensor *t, dl_tensor *bytes) {
    const int64_t n = (int64_t)dl_storage_bytes(t->storage);
    *bytes = (dl_tensor){0};
    must(dl_tensor_on(bytes, t->storage, DL_U8, 0, 1, &n, NULL), "bytes of a storage");
}

static void copy_to_device(const dl_tensor *t, dl_tensor *on) {
    const uint64_t n = dl_storage_bytes(t->storage);
    dl_storage *storage = NULL;
    dl_tensor bytes;
    *on = (dl_tensor){0};
    must(dl_storage_new(mirror_device(), n, &storage), "device memory");
    must(dl_tensor_on(on, storage, t->type, t->byte_offset, t->ndim, t->shape, t->strides), "a tensor on the device");
    dl_storage_release(storage);
    bytes_of(on, &bytes);
    must(dl_tensor_write(&bytes, t->data, n), "copy to the device");
    dl_tensor_clear(&bytes);
}

static void release(void *user) { free(user); }

static void copy_to_host(const dl_tensor *on, dl_tensor *t) {
    const uint64_t n = dl_storage_bytes(on->storage);
    void *memory = malloc(n);
    dl_storage *storage = NULL;
    dl_tensor bytes;
    assert_non_null(memory);
    bytes_of(on, &bytes);
    must(dl_tensor_read(&bytes, memory, n), "copy to the host");
    dl_tensor_clear(&bytes);
    must(dl_storage_wrap(memory, n, release, memory, &storage), "host memory");
    *t = (dl_tensor){0};
    must(dl_tensor_on(t, storage, on->type, on->byte_offset, on->ndim, on->shape, on->strides), "a tensor on the host");
    dl_storage_release(storage);
}

/* number: of an output, from 0; -1 - number of an input. */
static void compare(const char *op, int32_t number, const dl_tensor *on, const dl_tensor *expected, double units) {
    dl_tensor got;
    char what[160];
    copy_to_host(on, &got);
    cells_check_gaps(&got);
    const int64_t n = dl_tensor_count(expected);
    for (int64_t i = 0; i < n; i++) {
        const double e = cells_get(expected, i);
        snprintf(what, sizeof what, "%s, %s, output %d, element %lld of %lld", op, dl_dtype_name(expected->type), (int)number,
                 (long long)i, (long long)n);
        cells_near(cells_get(&got, i), e, units * cells_epsilon(expected->type) * (1 + (isfinite(e) ? fabs(e) : 0)), what);
    }
    dl_tensor_clear(&got);
}

void mirror_call(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out, const dl_attr *attr,
                 int32_t n_attr, double units) {
    dl_tensor in_copy[MOST], out_copy[MOST];
    const dl_tensor *in_on[MOST];
    assert_true(n_in <= MOST && n_out <= MOST);
    for (int32_t k = 0; k < n_in; k++) {
        in_on[k] = in[k] ? &in_copy[k] : NULL;
        if (in[k]) copy_to_device(in[k], &in_copy[k]);
    }
    for (int32_t k = 0; k < n_out; k++) copy_to_device(&out[k], &out_copy[k]);
    dl_seed(SEED);
    cells_call(op, in, n_in, out, n_out, attr, n_attr);
    dl_seed(SEED);
    cells_call(op, in_on, n_in, out_copy, n_out, attr, n_attr);
    for (int32_t k = 0; k < n_out; k++) {
        compare(op, k, &out_copy[k], &out[k], units);
        dl_tensor_clear(&out_copy[k]);
    }
    for (int32_t k = 0; k < n_in; k++) {
        if (!in[k]) continue;
        compare(op, -1 - k, &in_copy[k], in[k], units);
        dl_tensor_clear(&in_copy[k]);
    }
}
