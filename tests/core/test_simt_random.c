/* test_simt_random.c - tensors from numbers and from random numbers on a Tier A device against the CPU's: what is drawn in
 * integers is equal bit for bit, whatever the layout. */
#include "tests/core/mirror.h"

static uint64_t rng = 5;
static const dl_dtype floating[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { FLOATING = sizeof floating / sizeof *floating };
static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {2, 130, 33}, {0, 4, 2}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* An op with the attributes (shape, a, b, dtype), or without b where there is none. */
static void created(const char *op, dl_dtype type, dl_attr a, const dl_attr *b, double units) {
    for (size_t s = 0; s < SHAPES; s++)
        for (int strided = 0; strided < 2; strided++) {
            dl_tensor y;
            cells_make(&y, type, 3, shapes[s], strided ? &rng : NULL);
            const dl_attr last = A_INT(type), attr[] = {A_INTS(shapes[s], 3), a, b ? *b : last, last};
            mirror_call(op, NULL, 0, &y, 1, attr, b ? 4 : 3, units);
            dl_tensor_clear(&y);
        }
}

static void numbers(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++) {
        created("full", type, (dl_attr)A_FLOAT(-2.75), NULL, 0);
        created("full", type, (dl_attr)A_FLOAT(1e30), NULL, 0);
        created("full", type, (dl_attr)A_FLOAT((double)NAN), NULL, 0);
        created("full", type, (dl_attr)A_INT(258), NULL, 0);
    }
}

static void sequences(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const dl_attr ranges[][2] = {{A_INT(3), A_INT(-7)}, {A_FLOAT(0.1), A_FLOAT(0.3)}, {A_FLOAT(-2e9), A_INT(1 << 28)}};
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++)
        for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
            dl_tensor y;
            cells_make(&y, type, 1, (int64_t[]){300}, k ? &rng : NULL);
            const dl_attr attr[] = {ranges[k][0], ranges[k][1], A_INT(300), A_INT(type)};
            mirror_call("arange", NULL, 0, &y, 1, attr, 4, 0);
            dl_tensor_clear(&y);
        }
}

static void diagonals(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++) {
        dl_tensor y;
        cells_make(&y, type, 2, (int64_t[]){5, 9}, &rng);
        mirror_call("eye", NULL, 0, &y, 1, (const dl_attr[]){A_INT(5), A_INT(9), A_INT(type)}, 3, 0);
        dl_tensor_clear(&y);
    }
}

/* The streams are equal; the last bits of normal are not promised. */
static void reals(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    for (int t = 0; t < FLOATING; t++) {
        created("uniform", floating[t], (dl_attr)A_FLOAT(0), &(dl_attr)A_FLOAT(1), 0);
        created("uniform", floating[t], (dl_attr)A_FLOAT(-3), &(dl_attr)A_FLOAT(-1), 2);
        created("uniform", floating[t], (dl_attr)A_FLOAT(2), &(dl_attr)A_FLOAT(2), 0);
        created("normal", floating[t], (dl_attr)A_FLOAT(1), &(dl_attr)A_FLOAT(0.5), 16);
    }
}

static void whole(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t ranges[][2] = {{0, 1}, {-3, 100}, {0, 65535}, {0, 65536}, {INT64_MIN, INT64_MAX}};
    for (dl_dtype type = 0; type < DL_DTYPE_COUNT; type++) {
        created("bernoulli", type, (dl_attr)A_FLOAT(0.3), NULL, 0);
        for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++)
            created("random_int", type, (dl_attr)A_INT(ranges[k][0]), &(dl_attr)A_INT(ranges[k][1]), 0);
    }
}

static void permutations(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const int64_t lengths[] = {0, 1, 2, 5, 1000};
    static const dl_dtype types[] = {DL_I64, DL_I32, DL_F32};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            dl_tensor y;
            cells_make(&y, types[t], 1, &lengths[k], k % 2 ? &rng : NULL);
            mirror_call("randperm", NULL, 0, &y, 1, (const dl_attr[]){A_INT(lengths[k]), A_INT(types[t])}, 2, 0);
            dl_tensor_clear(&y);
        }
}

static void masks(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    static const double rates[] = {0, 0.25, 0.5, 1};
    for (int t = 0; t < FLOATING; t++)
        for (size_t p = 0; p < sizeof rates / sizeof *rates; p++)
            for (size_t s = 0; s < SHAPES; s++) {
                dl_tensor x, out[2];
                cells_random(&x, floating[t], 3, shapes[s], &rng);
                cells_make(&out[0], floating[t], 3, shapes[s], s % 2 ? &rng : NULL);
                cells_make(&out[1], DL_U8, 3, shapes[s], s % 2 ? &rng : NULL);
                mirror_call("dropout", (const dl_tensor *[]){&x}, 1, out, 2, (const dl_attr[]){A_FLOAT(rates[p])}, 1, 0);
                dl_tensor_clear(&x), dl_tensor_clear(&out[0]), dl_tensor_clear(&out[1]);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers), cmocka_unit_test(sequences),    cmocka_unit_test(diagonals), cmocka_unit_test(reals),
        cmocka_unit_test(whole),   cmocka_unit_test(permutations), cmocka_unit_test(masks),
    };
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
