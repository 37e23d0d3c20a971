/* test_simt_optim.c - optimizer steps on a Tier A device against the CPU's: parameters, states and the step counter, which the
 * mirror compares since they are inputs. */
#include "tests/core/mirror.h"

static uint64_t rng = 3;
static const dl_dtype types[] = {DL_F32, DL_F64, DL_F16, DL_BF16};
enum { TYPES = sizeof types / sizeof *types };
enum { COUNT = 2, LISTS = 4 };

/* `lists` lists of two parameters of different shapes and dtypes, the last `absent` lists missing; step: what the counter says
 * before. */
static void step_case(const char *op, dl_dtype type, int lists, int absent, double step, dl_dtype counter_type,
                      const dl_attr *attr, int n_attr) {
    static const int64_t shapes[COUNT][2] = {{7, 40}, {3, 1}};
    dl_tensor t[LISTS * COUNT], counter;
    const dl_tensor *in[LISTS * COUNT + 1];
    for (int l = 0; l < lists; l++)
        for (int k = 0; k < COUNT; k++) {
            dl_tensor *x = &t[l * COUNT + k];
            cells_random(x, k ? DL_F32 : type, 2, shapes[k], k ? NULL : &rng);
            for (int64_t i = 0; l > 1 && i < dl_tensor_count(x); i++) cells_set(x, i, fabs(cells_get(x, i))); /* mean squares */
            in[l * COUNT + k] = l < lists - absent ? x : NULL;
        }
    cells_of(&counter, counter_type, 0, NULL, &step);
    in[lists * COUNT] = &counter;
    mirror_call(op, in, lists * COUNT + 1, NULL, 0, attr, n_attr, type == DL_F32 || type == DL_F64 ? 100 : 4);
    for (int k = 0; k < lists * COUNT; k++) dl_tensor_clear(&t[k]);
    dl_tensor_clear(&counter);
}

static void sgd(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const dl_attr plain[] = {A_FLOAT(0.1), A_FLOAT(0), A_FLOAT(0), A_FLOAT(0.01)};
    const dl_attr momentum[] = {A_FLOAT(0.1), A_FLOAT(0.9), A_FLOAT(0.25)};
    const dl_attr nesterov[] = {A_FLOAT(0.1), A_FLOAT(0.9), A_FLOAT(0), A_FLOAT(0.01), A_INT(1)};
    for (int t = 0; t < TYPES; t++) {
        step_case("sgd", types[t], 3, 1, 0, DL_F32, plain, 4);
        for (int step = 0; step < 2; step++) {
            step_case("sgd", types[t], 3, 0, step, DL_F32, momentum, 3);
            step_case("sgd", types[t], 3, 0, step, DL_F64, nesterov, 5);
        }
    }
}

static void adam(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const dl_attr plain[] = {A_FLOAT(0.01)};
    const dl_attr decay[] = {A_FLOAT(0.01), A_FLOAT(0), A_FLOAT(0.99), A_FLOAT(1e-6), A_FLOAT(0.1)};
    const dl_attr decoupled[] = {A_FLOAT(0.01), A_FLOAT(0.9), A_FLOAT(0.999), A_FLOAT(1e-8), A_FLOAT(0.1), A_INT(1)};
    static const double steps[] = {0, 1, 1e5};
    for (int t = 0; t < TYPES; t++)
        for (int s = 0; s < 3; s++) {
            step_case("adam", types[t], 4, 0, steps[s], DL_F32, plain, 1);
            step_case("adam", types[t], 4, 0, steps[s], DL_F32, decay, 5);
            step_case("adam", types[t], 4, 0, steps[s], DL_F64, decoupled, 6);
        }
}

static void rmsprop(void **state) {
    (void)state;
    MIRROR_OR_SKIP();
    const dl_attr plain[] = {A_FLOAT(0.01)};
    const dl_attr momentum[] = {A_FLOAT(0.01), A_FLOAT(0.9), A_FLOAT(1e-6), A_FLOAT(0.1), A_FLOAT(0.5)};
    for (int t = 0; t < TYPES; t++) {
        step_case("rmsprop", types[t], 4, 1, 0, DL_F32, plain, 1);
        step_case("rmsprop", types[t], 4, 0, 4, DL_F32, momentum, 5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sgd), cmocka_unit_test(adam), cmocka_unit_test(rmsprop)};
    return cmocka_run_group_tests(tests, mirror_start, NULL);
}
