/* Tensor descriptors: shapes and bounds, aliases, host copies of every layout, moves between devices. */
#include "tensor.h"
#include "null_backend.h"

#define SHAPE(...)                                                                                                             \
    (const int64_t[]) { __VA_ARGS__ }

static void new_tensor(void **state) {
    (void)state;
    dl_tensor t = {0};
    assert_ok(dl_tensor_new(&t, DL_I16, 3, SHAPE(2, 3, 4), NULL));
    assert_int_equal(dl_tensor_count(&t), 24);
    assert_int_equal(dl_storage_bytes(t.storage), 48);
    assert_ptr_equal(t.shape, t.dims);
    assert_ptr_equal(t.strides, t.dims + DL_MAX_DIMS);
    assert_memory_equal(t.shape, SHAPE(2, 3, 4), 24);
    assert_memory_equal(t.strides, SHAPE(12, 4, 1), 24);
    assert_int_equal(t.element.code, 0);
    assert_int_equal(t.element.bits, 16);
    assert_int_equal(t.element.lanes, 1);
    assert_int_equal(t.size, sizeof t);
    assert_ptr_equal(dl_device_of(&t), null_device("cpu"));
    assert_true(dl_tensor_contiguous(&t));
    assert_null(t.var);
    dl_tensor_clear(&t);
    assert_null(t.storage);
    assert_null(dl_device_of(&t));
    assert_int_equal(dl_tensor_count(&t), 0);
    dl_tensor_clear(&t);
}

static void zero_dimensions_and_zero_sizes(void **state) {
    (void)state;
    dl_tensor scalar = {0}, none = {0};
    float value = 2.5f, back = 0;
    assert_ok(dl_tensor_new(&scalar, DL_F32, 0, NULL, NULL));
    assert_int_equal(dl_tensor_count(&scalar), 1);
    assert_non_null(scalar.shape);
    assert_ok(dl_tensor_write(&scalar, &value, 4));
    assert_ok(dl_tensor_read(&scalar, &back, 4));
    assert_true(back == value);
    dl_tensor_clear(&scalar);

    assert_ok(dl_tensor_new(&none, DL_F32, 3, SHAPE(4, 0, 5), NULL));
    assert_int_equal(dl_tensor_count(&none), 0);
    assert_memory_equal(none.strides, SHAPE(5, 5, 1), 24);
    assert_true(dl_tensor_contiguous(&none));
    assert_ok(dl_tensor_read(&none, NULL, 0));
    assert_ok(dl_tensor_write(&none, NULL, 0));
    dl_tensor_clear(&none);
}

static void bad_shapes(void **state) {
    (void)state;
    dl_tensor t = {0};
    int64_t many[DL_MAX_DIMS + 1] = {1};
    const int64_t huge = (int64_t)1 << 40;
    assert_fails(dl_tensor_new(&t, DL_DTYPE_COUNT, 1, SHAPE(1), NULL), DL_INVALID, "is no dtype");
    assert_fails(dl_tensor_new(&t, -1, 1, SHAPE(1), NULL), DL_INVALID, "is no dtype");
    assert_fails(dl_tensor_new(&t, DL_F32, DL_MAX_DIMS + 1, many, NULL), DL_INVALID, "0 to 12 dimensions; 13 were");
    assert_fails(dl_tensor_new(&t, DL_F32, -1, NULL, NULL), DL_INVALID, "dimensions");
    assert_fails(dl_tensor_new(&t, DL_F32, 2, SHAPE(3, -2), NULL), DL_INVALID, "shape (3, -2): a size is negative");
    assert_fails(dl_tensor_new(&t, DL_F32, 2, SHAPE(huge, huge), NULL), DL_INVALID, "too many elements");
    assert_fails(dl_tensor_new(&t, DL_F64, 3, SHAPE(0, huge, huge), NULL), DL_INVALID, "too many elements");
    assert_fails(dl_tensor_new(&t, DL_F64, 1, SHAPE(INT64_MAX), NULL), DL_INVALID, "too many elements");
    assert_fails(dl_tensor_new(&t, DL_U8, 1, SHAPE(INT64_MAX), NULL), DL_NOMEM, "out of memory");
    assert_null(t.storage);
}

static void tensor_on_a_storage(void **state) {
    (void)state;
    dl_storage *s;
    dl_tensor t = {0};
    assert_ok(dl_storage_new(NULL, 48, &s));
    assert_ok(dl_tensor_on(&t, s, DL_F32, 8, 2, SHAPE(2, 5), NULL)); /* 8 + 40 bytes: all of it */
    assert_int_equal(dl_storage_references(s), 2);
    assert_int_equal(t.byte_offset, 8);
    dl_tensor_clear(&t);
    assert_int_equal(dl_storage_references(s), 1);
    assert_fails(dl_tensor_on(&t, s, DL_F32, 12, 2, SHAPE(2, 5), NULL), DL_INVALID, "needs 40 bytes from offset 12");
    assert_fails(dl_tensor_on(&t, s, DL_F32, 6, 1, SHAPE(2), NULL), DL_INVALID, "no multiple of float32's 4 bytes");
    assert_fails(dl_tensor_on(&t, s, DL_F32, UINT64_MAX - 3, 1, SHAPE(2), NULL), DL_INVALID, "the storage has 48");
    assert_fails(dl_tensor_on(&t, NULL, DL_F32, 0, 1, SHAPE(2), NULL), DL_INVALID, "needs a storage");
    assert_ok(dl_tensor_on(&t, s, DL_F32, 0, 2, SHAPE(3, 4), SHAPE(1, 3))); /* transposed */
    assert_false(dl_tensor_contiguous(&t));
    dl_tensor_clear(&t);
    assert_fails(dl_tensor_on(&t, s, DL_F32, 0, 2, SHAPE(3, 4), SHAPE(1, 4)), DL_INVALID, "needs 60 bytes");
    assert_fails(dl_tensor_on(&t, s, DL_F32, 0, 1, SHAPE(3), SHAPE(-1)), DL_INVALID, "stride -1 of dimension 0 is negative");
    assert_fails(dl_tensor_on(&t, s, DL_F32, 0, 2, SHAPE(3, 3), SHAPE(INT64_MAX / 2, INT64_MAX / 2)), DL_INVALID,
                 "reach too far");
    assert_fails(dl_tensor_on(&t, s, DL_F32, 0, 1, SHAPE(2), SHAPE(INT64_MAX)), DL_INVALID, "reach too far");
    assert_ok(dl_tensor_on(&t, s, DL_F32, 44, 2, SHAPE(1000, 1000), SHAPE(0, 0))); /* one element, expanded */
    dl_tensor_clear(&t);
    assert_ok(dl_tensor_on(&t, s, DL_F32, 48, 2, SHAPE(0, 9), NULL)); /* none, at the very end */
    dl_tensor_clear(&t);
    assert_fails(dl_tensor_on(&t, s, DL_F32, 52, 1, SHAPE(0), NULL), DL_INVALID, "the storage has 48");
    assert_null(t.storage);
    dl_storage_release(s);
}

static void contiguity(void **state) {
    (void)state;
    static const struct {
        int64_t shape[3], strides[3];
        int contiguous;
    } rows[] = {
        {{2, 3, 4}, {12, 4, 1}, 1}, {{2, 1, 4}, {4, 99, 1}, 1}, {{1, 1, 1}, {7, 8, 9}, 1},  {{2, 3, 4}, {1, 2, 6}, 0},
        {{2, 3, 4}, {12, 4, 0}, 0}, {{2, 0, 4}, {5, 5, 5}, 1},  {{2, 3, 4}, {24, 8, 2}, 0},
    };
    dl_storage *s;
    assert_ok(dl_storage_new(NULL, 4096, &s));
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dl_tensor t = {0};
        assert_ok(dl_tensor_on(&t, s, DL_U8, 0, 3, rows[k].shape, rows[k].strides));
        assert_int_equal(dl_tensor_contiguous(&t), rows[k].contiguous);
        dl_tensor_clear(&t);
    }
    dl_storage_release(s);
}

static void aliases(void **state) {
    (void)state;
    dl_tensor t = {0}, alias = {0}, none = {0};
    assert_ok(dl_tensor_new(&t, DL_F32, 2, SHAPE(2, 2), NULL));
    assert_ok(dl_tensor_alias(&alias, &t));
    assert_ptr_equal(alias.storage, t.storage);
    assert_ptr_equal(alias.shape, alias.dims);
    assert_int_equal(dl_storage_references(t.storage), 2);
    dl_tensor borrowed = {0};
    assert_ok(dl_tensor_detach(&borrowed, &t));
    dl_storage_release(borrowed.storage);
    borrowed.flags = DL_TENSOR_BORROWED;
    dl_tensor_clear(&borrowed);
    assert_int_equal(dl_storage_references(t.storage), 2);
    dl_tensor_clear(&t);
    ((float *)dl_tensor_data(&alias))[3] = 1; /* still there */
    assert_ok(dl_tensor_alias(&t, &none));
    assert_null(t.storage);
    dl_tensor_clear(&alias);
}

static void resized_storages_are_followed(void **state) {
    (void)state;
    dl_tensor t = {0}, alias = {0};
    float values[4] = {1, 2, 3, 4}, back[4];
    assert_ok(dl_tensor_new(&t, DL_F32, 1, SHAPE(4), NULL));
    assert_ok(dl_tensor_write(&t, values, sizeof values));
    assert_ok(dl_storage_resize(t.storage, 1 << 20));
    assert_ok(dl_tensor_read(&t, back, sizeof back));
    assert_memory_equal(values, back, sizeof back);
    assert_ok(dl_tensor_alias(&alias, &t));
    assert_ptr_equal(alias.data, alias.storage->data);
    dl_tensor_clear(&alias);
    assert_ok(dl_storage_resize(t.storage, 0));
    assert_ok(dl_storage_resize(t.storage, 1 << 22));
    assert_ok(dl_storage_resize(t.storage, 12));
    assert_fails(dl_tensor_read(&t, back, sizeof back), DL_INVALID, "the storage has 12");
    assert_fails(dl_tensor_alias(&alias, &t), DL_INVALID, "the storage has 12");
    assert_null(dl_tensor_data(&t));
    dl_tensor_clear(&t);
}

/* ---- host copies ---------------------------------------------------------------------------------------------------- */

static void wrong_sizes(void **state) {
    (void)state;
    dl_tensor t = {0};
    char bytes[32];
    assert_fails(dl_tensor_read(&t, bytes, 4), DL_INVALID, "empty");
    assert_ok(dl_tensor_new(&t, DL_F32, 2, SHAPE(2, 3), NULL));
    assert_fails(dl_tensor_read(&t, bytes, 23), DL_INVALID, "shape (2, 3) has 24 bytes; the host buffer has 23");
    assert_fails(dl_tensor_write(&t, bytes, 32), DL_INVALID, "the host buffer has 32");
    dl_tensor_clear(&t);
}

static void reads_and_writes(void **state) {
    (void)state;
    for (int far = 0; far < 2; far++) {
        dl_tensor t = {0}, transposed = {0}, expanded = {0};
        int32_t values[6] = {1, 2, 3, 4, 5, 6}, back[6];
        const int32_t turned[6] = {1, 4, 2, 5, 3, 6};
        assert_ok(dl_tensor_new(&t, DL_I32, 2, SHAPE(2, 3), null_device(far ? "far" : "cpu")));
        int64_t version = dl_storage_version(t.storage);
        assert_ok(dl_tensor_write(&t, values, sizeof values));
        assert_true(dl_storage_version(t.storage) > version);
        assert_ok(dl_tensor_read(&t, back, sizeof back));
        assert_memory_equal(values, back, sizeof back);

        assert_ok(dl_tensor_on(&transposed, t.storage, DL_I32, 0, 2, SHAPE(3, 2), SHAPE(1, 3)));
        assert_ok(dl_tensor_read(&transposed, back, sizeof back));
        assert_memory_equal(turned, back, sizeof back);
        version = dl_storage_version(t.storage);
        assert_ok(dl_tensor_write(&transposed, values, sizeof values));
        assert_true(dl_storage_version(t.storage) > version);
        assert_ok(dl_tensor_read(&t, back, sizeof back));
        assert_memory_equal(back, ((int32_t[]){1, 3, 5, 2, 4, 6}), sizeof back);

        assert_ok(dl_tensor_on(&expanded, t.storage, DL_I32, 4, 2, SHAPE(3, 2), SHAPE(0, 1)));
        assert_ok(dl_tensor_read(&expanded, back, sizeof back));
        assert_memory_equal(back, ((int32_t[]){3, 5, 3, 5, 3, 5}), sizeof back);
        assert_fails(dl_tensor_write(&expanded, values, sizeof values), DL_INVALID, "dimension 0 is expanded");

        if (far)
            assert_null(dl_tensor_data(&t));
        else
            assert_ptr_equal(dl_tensor_data(&expanded), (char *)t.data + 4);
        dl_tensor_clear(&expanded);
        dl_tensor_clear(&transposed);
        dl_tensor_clear(&t);
    }
}

/* What the host reads in a captured step, a replay cannot take into account. */
static void reading_spoils_a_capture(void **state) {
    (void)state;
    dl_tensor t = {0}, moved = {0};
    dl_capture *capture;
    float value = 1;
    assert_ok(dl_tensor_new(&t, DL_F32, 1, SHAPE(1), NULL));
    assert_ok(dl_tensor_write(&t, &value, 4));
    assert_ok(dl_capture_begin());
    assert_ok(dl_tensor_read(&t, &value, 4));
    assert_fails(dl_capture_end(&capture), DL_UNSUPPORTED, "the host read a tensor");
    assert_ok(dl_capture_begin());
    assert_non_null(dl_tensor_data(&t));
    assert_fails(dl_capture_end(&capture), DL_UNSUPPORTED, "the address of a tensor's data");
    assert_ok(dl_capture_begin());
    assert_ok(dl_tensor_to(&moved, &t, null_device("far"), -1));
    assert_fails(dl_capture_end(&capture), DL_UNSUPPORTED, "between devices");
    dl_tensor_clear(&moved);
    dl_tensor_clear(&t);
}

static void handing_out_data_exposes(void **state) {
    (void)state;
    dl_tensor t = {0};
    assert_ok(dl_tensor_new(&t, DL_F32, 1, SHAPE(1), NULL));
    assert_int_equal(t.storage->exposed, 0);
    assert_non_null(dl_tensor_data(&t));
    assert_int_equal(t.storage->exposed, 1);
    dl_tensor_clear(&t);
    assert_null(dl_tensor_data(&t));
}

/* ---- between devices ------------------------------------------------------------------------------------------------ */

static void to_every_device(void **state) {
    (void)state;
    static const char *const names[] = {"cpu", "cpu:1", "far", "far:1"};
    float values[6] = {1, 2, 3, 4, 5, 6}, back[6];
    for (int from = 0; from < 4; from++) {
        for (int to = 0; to < 4; to++) {
            dl_tensor t = {0}, turned = {0}, moved = {0};
            assert_ok(dl_tensor_new(&t, DL_F32, 2, SHAPE(2, 3), null_device(names[from])));
            assert_ok(dl_tensor_write(&t, values, sizeof values));
            assert_ok(dl_tensor_on(&turned, t.storage, DL_F32, 0, 2, SHAPE(3, 2), SHAPE(1, 3)));
            assert_ok(dl_tensor_to(&moved, &turned, null_device(names[to]), -1));
            assert_ptr_equal(dl_device_of(&moved), null_device(names[to]));
            assert_string_equal(dl_device_name(dl_device_of(&moved)), names[to]);
            assert_ptr_not_equal(moved.storage, t.storage);
            assert_true(dl_tensor_contiguous(&moved));
            assert_ok(dl_tensor_read(&moved, back, sizeof back));
            assert_memory_equal(back, ((float[]){1, 4, 2, 5, 3, 6}), sizeof back);
            dl_tensor_clear(&moved);
            dl_tensor_clear(&turned);
            dl_tensor_clear(&t);
        }
    }
    dl_tensor none = {0}, out = {0};
    assert_fails(dl_tensor_to(&out, &none, null_device("far"), -1), DL_INVALID, "empty");
}

static void large_moves_are_staged(void **state) {
    (void)state;
    const int64_t n = (17 << 20) + 3;
    dl_tensor t = {0}, moved = {0};
    unsigned char *values = malloc((size_t)n), *back = malloc((size_t)n);
    for (int64_t k = 0; k < n; k++) values[k] = (unsigned char)(k * 31 >> 3);
    assert_ok(dl_tensor_new(&t, DL_U8, 1, &n, null_device("far")));
    assert_ok(dl_tensor_write(&t, values, (uint64_t)n));
    assert_ok(dl_tensor_to(&moved, &t, null_device("far:1"), -1));
    assert_ok(dl_tensor_read(&moved, back, (uint64_t)n));
    assert_memory_equal(values, back, (size_t)n);
    dl_tensor_clear(&moved);
    dl_tensor_clear(&t);
    free(values);
    free(back);
}

static void the_gradient_moves_back(void **state) {
    (void)state;
    dl_tensor t = {0}, moved = {0}, grad = {0}, seed = {0};
    float values[2] = {3, 4}, ones[2] = {1, 2}, back[2];
    assert_ok(dl_tensor_new(&t, DL_F32, 1, SHAPE(2), null_device("cpu")));
    assert_ok(dl_tensor_write(&t, values, sizeof values));
    assert_ok(dl_requires_grad(&t, 1));
    assert_ok(dl_tensor_to(&moved, &t, null_device("far"), -1));
    assert_int_equal(dl_is_recorded(&moved), 2);
    assert_ok(dl_tensor_new(&seed, DL_F32, 1, SHAPE(2), null_device("far")));
    assert_ok(dl_tensor_write(&seed, ones, sizeof ones));
    const dl_tensor *root = &moved, *gradient = &seed;
    assert_ok(dl_backward(&root, &gradient, 1, NULL, NULL, 0, 0));
    assert_ok(dl_grad(&t, &grad));
    assert_ptr_equal(dl_device_of(&grad), null_device("cpu"));
    assert_ok(dl_tensor_read(&grad, back, sizeof back));
    assert_memory_equal(ones, back, sizeof back);
    dl_tensor_clear(&grad);
    dl_tensor_clear(&seed);
    dl_tensor_clear(&moved);
    dl_tensor_clear(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_tensor),
        cmocka_unit_test(zero_dimensions_and_zero_sizes),
        cmocka_unit_test(bad_shapes),
        cmocka_unit_test(tensor_on_a_storage),
        cmocka_unit_test(contiguity),
        cmocka_unit_test(aliases),
        cmocka_unit_test(resized_storages_are_followed),
        cmocka_unit_test(wrong_sizes),
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(reading_spoils_a_capture),
        cmocka_unit_test(handing_out_data_exposes),
        cmocka_unit_test(to_every_device),
        cmocka_unit_test(large_moves_are_staged),
        cmocka_unit_test(the_gradient_moves_back),
    };
    return cmocka_run_group_tests(tests, null_install, NULL);
}
