/* The descriptor's layout against <dlpack/dlpack.h>; export and import. */
#include "dlpack.h"
#include "null_backend.h"
#include "storage.h"

#include <dlpack/dlpack.h>

#define SAME_FIELD(OURS, our, THEIRS, their)                                                                                   \
    _Static_assert(offsetof(OURS, our) == offsetof(THEIRS, their), #our " lies where DLPack has it");                          \
    _Static_assert(sizeof(((OURS *)0)->our) == sizeof(((THEIRS *)0)->their), #our " is as wide as DLPack's")
#define SAME_TENSOR(OURS)                                                                                                      \
    SAME_FIELD(OURS, data, DLTensor, data);                                                                                    \
    SAME_FIELD(OURS, device, DLTensor, device);                                                                                \
    SAME_FIELD(OURS, ndim, DLTensor, ndim);                                                                                    \
    SAME_FIELD(OURS, element, DLTensor, dtype);                                                                                \
    SAME_FIELD(OURS, shape, DLTensor, shape);                                                                                  \
    SAME_FIELD(OURS, strides, DLTensor, strides);                                                                              \
    SAME_FIELD(OURS, byte_offset, DLTensor, byte_offset)
SAME_TENSOR(dl_tensor);
SAME_TENSOR(dl_dlpack_tensor);
SAME_FIELD(dl_device_id, type, DLDevice, device_type);
SAME_FIELD(dl_device_id, index, DLDevice, device_id);
SAME_FIELD(dl_element, code, DLDataType, code);
SAME_FIELD(dl_element, bits, DLDataType, bits);
SAME_FIELD(dl_element, lanes, DLDataType, lanes);
SAME_FIELD(dl_managed_tensor, tensor, DLManagedTensor, dl_tensor);
SAME_FIELD(dl_managed_tensor, context, DLManagedTensor, manager_ctx);
SAME_FIELD(dl_managed_tensor, deleter, DLManagedTensor, deleter);
_Static_assert(sizeof(dl_managed_tensor) == sizeof(DLManagedTensor), "managed tensors are of one size");
_Static_assert((int)DL_HOST_TYPE == (int)kDLCPU, "host memory is DLPack's CPU");

static void element_codes(void **state) {
    (void)state;
    static const struct {
        dl_dtype type;
        int code;
    } rows[] = {{DL_F32, kDLFloat},   {DL_F64, kDLFloat}, {DL_F16, kDLFloat},
                {DL_BF16, kDLBfloat}, {DL_U8, kDLUInt},   {DL_I64, kDLInt}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dl_tensor t = {0};
        assert_ok(dl_tensor_new(&t, rows[k].type, 1, (int64_t[]){1}, NULL));
        assert_int_equal(t.element.code, rows[k].code);
        dl_tensor_clear(&t);
    }
}

static void export_and_import(void **state) {
    (void)state;
    float values[6] = {1, 2, 3, 4, 5, 6}, back[4];
    dl_tensor t = {0}, view = {0}, again = {0};
    void *managed;
    assert_ok(dl_tensor_new(&t, DL_F32, 2, (int64_t[]){2, 3}, NULL));
    assert_ok(dl_tensor_write(&t, values, sizeof values));
    assert_ok(dl_tensor_on(&view, t.storage, DL_F32, 4, 2, (int64_t[]){2, 2}, (int64_t[]){3, 1}));
    assert_ok(dl_tensor_to_dlpack(&view, &managed));
    dl_tensor_clear(&view);
    const DLTensor *exported = &((DLManagedTensor *)managed)->dl_tensor;
    assert_int_equal(exported->device.device_type, kDLCPU);
    assert_int_equal(exported->ndim, 2);
    assert_int_equal(exported->shape[1], 2);
    assert_int_equal(exported->strides[0], 3);
    assert_int_equal(exported->byte_offset, 4);
    assert_int_equal(t.storage->exposed, 1);
    dl_storage *s = t.storage;
    assert_int_equal(dl_storage_references(s), 2);
    assert_ok(dl_tensor_from_dlpack(&again, managed));
    assert_ptr_equal(again.data, s->data);
    assert_int_equal(again.storage->exposed, 1);
    assert_ok(dl_tensor_read(&again, back, sizeof back));
    assert_memory_equal(back, ((float[]){2, 3, 5, 6}), sizeof back);
    assert_int_equal(dl_storage_references(s), 2);
    dl_tensor_clear(&again); /* calls the deleter, which drops the export's reference */
    assert_int_equal(dl_storage_references(s), 1);
    dl_tensor_clear(&t);
}

static void export_outlives_the_tensor(void **state) {
    (void)state;
    dl_tensor t = {0};
    void *managed;
    assert_ok(dl_tensor_new(&t, DL_U8, 1, (int64_t[]){3}, NULL));
    assert_ok(dl_tensor_write(&t, "abc", 3));
    assert_ok(dl_tensor_to_dlpack(&t, &managed));
    dl_tensor_clear(&t);
    DLManagedTensor *m = managed;
    assert_memory_equal(m->dl_tensor.data, "abc", 3);
    m->deleter(m);
}

static void refused_exports(void **state) {
    (void)state;
    dl_tensor t = {0};
    void *managed = &t;
    assert_fails(dl_tensor_to_dlpack(&t, &managed), DL_INVALID, "empty");
    assert_null(managed);
    assert_ok(dl_tensor_new(&t, DL_F32, 1, (int64_t[]){3}, NULL));
    assert_ok(dl_requires_grad(&t, 1));
    assert_fails(dl_tensor_to_dlpack(&t, &managed), DL_INVALID, "detach it first");
    dl_tensor_clear(&t);
}

/* ---- foreign producers --------------------------------------------------------------------------------------------------- */

static int deleted;
static void count_deleter(DLManagedTensor *m) {
    (void)m;
    deleted++;
}

static DLManagedTensor foreign(void *data, int32_t ndim, int64_t *shape, int64_t *strides) {
    return (DLManagedTensor){
        .dl_tensor =
            {.data = data, .device = {kDLCPU, 0}, .ndim = ndim, .dtype = {kDLFloat, 32, 1}, .shape = shape, .strides = strides},
        .deleter = count_deleter};
}

static void imports(void **state) {
    (void)state;
    float data[6] = {1, 2, 3, 4, 5, 6}, back[6];
    int64_t shape[2] = {3, 2}, turned[2] = {1, 3}, empty[2] = {0, 2}, odd[2] = {-7, 1}, single[2] = {1, 6};
    dl_tensor t = {0};
    deleted = 0;
    DLManagedTensor m = foreign(data, 2, shape, NULL);
    assert_ok(dl_tensor_from_dlpack(&t, &m));
    assert_true(dl_tensor_contiguous(&t));
    assert_ptr_equal(dl_tensor_data(&t), data);
    dl_tensor_clear(&t);
    assert_int_equal(deleted, 1);

    m = foreign(data, 2, shape, turned);
    assert_ok(dl_tensor_from_dlpack(&t, &m));
    assert_ok(dl_tensor_read(&t, back, sizeof back));
    assert_memory_equal(back, ((float[]){1, 4, 2, 5, 3, 6}), sizeof back);
    dl_tensor_clear(&t);

    m = foreign(NULL, 2, empty, odd); /* strides of empty and one-element dimensions mean nothing */
    assert_ok(dl_tensor_from_dlpack(&t, &m));
    assert_int_equal(dl_tensor_count(&t), 0);
    dl_tensor_clear(&t);
    m = foreign(data, 2, single, odd);
    assert_ok(dl_tensor_from_dlpack(&t, &m));
    assert_true(dl_tensor_contiguous(&t));
    dl_tensor_clear(&t);
    assert_int_equal(deleted, 4);
}

static void refused_imports(void **state) {
    (void)state;
    float data[6] = {0};
    int64_t shape[2] = {3, 2}, negative[2] = {3, -2}, backwards[2] = {-2, 1}, many[13] = {1}, huge[2] = {1ll << 40, 1ll << 40};
    int64_t far_strides[2] = {INT64_MAX, 1};
    dl_tensor t = {0};
    deleted = 0;
    DLManagedTensor m = foreign(data, 2, shape, NULL);
    m.dl_tensor.dtype.lanes = 4;
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_UNSUPPORTED, "4 lanes");
    m = foreign(data, 2, shape, NULL);
    m.dl_tensor.dtype.bits = 128;
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_UNSUPPORTED, "128 bits");
    m = foreign(data, 2, shape, NULL);
    m.dl_tensor.device.device_type = kDLVulkan;
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "device type 7");
    m = foreign(data, 2, shape, NULL);
    m.dl_tensor.device.device_id = 9;
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "number 9");
    m = foreign((char *)data + 1, 1, shape, NULL);
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "not aligned");
    m = foreign(data, 2, negative, NULL);
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "negative");
    m = foreign(data, 2, shape, backwards);
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "negative");
    m = foreign(data, 2, shape, far_strides);
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "reach too far");
    m = foreign(data, 13, many, NULL);
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "dimensions");
    m = foreign(data, 2, huge, NULL);
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "too many");
    m = foreign(NULL, 2, shape, NULL);
    assert_fails(dl_tensor_from_dlpack(&t, &m), DL_INVALID, "the storage has 0");
    m = foreign(data, 1, shape, NULL);
    m.dl_tensor.byte_offset = UINT64_MAX - 3;
    assert_int_equal(dl_tensor_from_dlpack(&t, &m), DL_INVALID);
    assert_null(t.storage);
    assert_int_equal(deleted, 0); /* what was refused stays the producer's */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(element_codes),   cmocka_unit_test(export_and_import), cmocka_unit_test(export_outlives_the_tensor),
        cmocka_unit_test(refused_exports), cmocka_unit_test(imports),           cmocka_unit_test(refused_imports),
    };
    return cmocka_run_group_tests(tests, null_install, NULL);
}
