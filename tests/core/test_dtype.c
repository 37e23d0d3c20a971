/* Names, sizes and promotion of element types. The promotion table is torch.promote_types of PyTorch 2. */
#include "dtype.h"
#include "null_backend.h"

static void names_and_sizes(void **state) {
    (void)state;
    static const struct {
        dl_dtype type;
        const char *name;
        int32_t bytes;
    } known[] = {{DL_F32, "float32", 4}, {DL_F64, "float64", 8}, {DL_F16, "float16", 2}, {DL_BF16, "bfloat16", 2},
                 {DL_U8, "uint8", 1},    {DL_I8, "int8", 1},     {DL_I16, "int16", 2},   {DL_I32, "int32", 4},
                 {DL_I64, "int64", 8},   {DL_BOOL, "bool", 1}};
    assert_int_equal(sizeof known / sizeof *known, DL_DTYPE_COUNT);
    for (size_t k = 0; k < DL_DTYPE_COUNT; k++) {
        assert_string_equal(dl_dtype_name(known[k].type), known[k].name);
        assert_int_equal(dl_dtype_bytes(known[k].type), known[k].bytes);
        assert_int_equal(dl_dtype_find(known[k].name), known[k].type);
        assert_int_equal(dl_dtype_of_element(dl_dtype_elements[known[k].type]), known[k].type);
    }
}

static void no_such_dtype(void **state) {
    (void)state;
    assert_string_equal(dl_dtype_name(-1), "?");
    assert_string_equal(dl_dtype_name(DL_DTYPE_COUNT), "?");
    assert_int_equal(dl_dtype_bytes(DL_DTYPE_COUNT), 0);
    assert_int_equal(dl_dtype_find("float"), -1);
    assert_int_equal(dl_dtype_find(NULL), -1);
    assert_int_equal(dl_dtype_promote(DL_F32, 99), -1);
    assert_int_equal(dl_dtype_of_element((dl_element){2, 32, 4}), -1);
    assert_int_equal(dl_dtype_of_element((dl_element){2, 128, 1}), -1);
}

static void promotion_is_pytorchs(void **state) {
    (void)state;
    enum {
        F = DL_F32,
        D = DL_F64,
        H = DL_F16,
        W = DL_BF16,
        U = DL_U8,
        C = DL_I8,
        S = DL_I16,
        I = DL_I32,
        L = DL_I64,
        B = DL_BOOL
    };
    static const dl_dtype expected[DL_DTYPE_COUNT][DL_DTYPE_COUNT] = {
        /*         F  D  H  W  U  C  S  I  L  B */
        [DL_F32] = {F, D, F, F, F, F, F, F, F, F}, [DL_F64] = {D, D, D, D, D, D, D, D, D, D},
        [DL_F16] = {F, D, H, F, H, H, H, H, H, H}, [DL_BF16] = {F, D, F, W, W, W, W, W, W, W},
        [DL_U8] = {F, D, H, W, U, S, S, I, L, U},  [DL_I8] = {F, D, H, W, S, C, S, I, L, C},
        [DL_I16] = {F, D, H, W, S, S, S, I, L, S}, [DL_I32] = {F, D, H, W, I, I, I, I, L, I},
        [DL_I64] = {F, D, H, W, L, L, L, L, L, L}, [DL_BOOL] = {F, D, H, W, U, C, S, I, L, B},
    };
    for (dl_dtype a = 0; a < DL_DTYPE_COUNT; a++)
        for (dl_dtype b = 0; b < DL_DTYPE_COUNT; b++) assert_int_equal(dl_dtype_promote(a, b), expected[a][b]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_sizes),
        cmocka_unit_test(no_such_dtype),
        cmocka_unit_test(promotion_is_pytorchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
