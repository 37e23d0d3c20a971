/* test_compose_resample.c - upsample, grid_sample and their gradients composed from primitive ops, against the CPU's kernels.
 */
#include "tests/core/composed.h"
#include <stdio.h>

static uint64_t rng = 57;

static double tolerance(dl_dtype type) { return type == DL_F16 || type == DL_BF16 ? 4 : 256; }

static void test_upsample(void **state) {
    (void)state;
    static const char *const modes[] = {"nearest", "nearest-exact", "linear", "cubic"};
    for (int round = 0; round < 800; round++) {
        const int32_t n = 1 + (int32_t)cells_below(&rng, 3), mode = (int32_t)cells_below(&rng, 4);
        int64_t from[5] = {1 + cells_below(&rng, 2), 1 + cells_below(&rng, 3)}, to[5] = {from[0], from[1]};
        double scale[3] = {0};
        char text[96];
        for (int32_t d = 0; d < n; d++) {
            from[2 + d] = 1 + cells_below(&rng, 7);
            to[2 + d] = 1 + cells_below(&rng, 10);
            if (cells_below(&rng, 3) == 0) scale[d] = (double)(1 + cells_below(&rng, 8)) / 3;
        }
        if (cells_below(&rng, 20) == 0) from[0] = to[0] = 0;
        const int64_t align = mode > 1 ? cells_below(&rng, 2) : 0, *size = to + 2, *back = from + 2;
        dl_attr attr[] = {A_INTS(size, n),   {DL_ATTR_STRING, 0, {.s = modes[mode]}},
                          A_INT(align),      A_FLOAT(scale[0]),
                          A_FLOAT(scale[1]), A_FLOAT(scale[2])};
        const dl_dtype type = composed_type(&rng);
        snprintf(text, sizeof text, "%s, %d-d, %d to %d, align %d, scale %g", modes[mode], (int)n, (int)from[2], (int)to[2],
                 (int)align, scale[0]);
        dl_tensor x, y;
        cells_random(&x, mode < 2 && round % 5 == 0 ? DL_U8 : type, n + 2, from, &rng);
        cells_random(&y, type, n + 2, to, &rng);
        composed_check("upsample", (const dl_tensor *[]){&x}, 1, attr, 6, tolerance(type), text);
        attr[0] = (dl_attr)A_INTS(back, n);
        composed_check("upsample_backward", (const dl_tensor *[]){&y}, 1, attr, 6, tolerance(type), text);
        dl_tensor_clear(&x), dl_tensor_clear(&y);
    }
}

/* Positions inside and far outside, at places and between them, NaN. */
static void random_grid(dl_tensor *grid, int32_t ndim, const int64_t *shape, dl_dtype type) {
    cells_random(grid, type, ndim, shape, &rng);
    for (int64_t k = 0; k < dl_tensor_count(grid); k++) {
        const double at = (double)cells_below(&rng, 3001) / 1000 - 1.5;
        cells_set(grid, k, cells_below(&rng, 40) ? cells_below(&rng, 4) ? at : (double)cells_below(&rng, 9) / 4 - 1 : 1e30);
    }
    if (dl_tensor_count(grid) && cells_below(&rng, 8) == 0) cells_set(grid, cells_below(&rng, dl_tensor_count(grid)), NAN);
}

static void test_grid(void **state) {
    (void)state;
    static const char *const modes[] = {"nearest", "linear", "cubic"}, *const paddings[] = {"zeros", "border", "reflection"};
    for (int round = 0; round < 800; round++) {
        const int32_t n = 2 + (int32_t)cells_below(&rng, 2), mode = (int32_t)cells_below(&rng, n == 2 ? 3 : 2);
        const int32_t padding = (int32_t)cells_below(&rng, 3);
        int64_t x_shape[5] = {cells_below(&rng, 20) ? 1 + cells_below(&rng, 2) : 0, 1 + cells_below(&rng, 3)}, order[3];
        int64_t y_shape[5] = {x_shape[0], x_shape[1]}, grid_shape[5] = {x_shape[0]};
        char text[96];
        for (int32_t d = 0; d < n; d++) {
            x_shape[2 + d] = 1 + cells_below(&rng, 5);
            y_shape[2 + d] = grid_shape[1 + d] = 1 + cells_below(&rng, 4);
            order[d] = cells_below(&rng, 4) ? 0 : cells_below(&rng, 5);
        }
        grid_shape[1 + n] = n;
        const int orders = (int)cells_below(&rng, 3) == 0 ? n : 0;
        const dl_attr attr[] = {A_INTS(x_shape, n + 2),
                                {DL_ATTR_STRING, 0, {.s = modes[mode]}},
                                {DL_ATTR_STRING, 0, {.s = paddings[padding]}},
                                A_INT(cells_below(&rng, 2)),
                                A_INTS(order, orders)};
        const dl_dtype type = composed_type(&rng);
        snprintf(text, sizeof text, "%s, %s, %d-d, align %d, round %d", modes[mode], paddings[padding], (int)n,
                 (int)attr[3].v.i, round);
        dl_tensor x, grid, y;
        cells_random(&x, type, n + 2, x_shape, &rng);
        cells_random(&y, type, n + 2, y_shape, &rng);
        random_grid(&grid, n + 2, grid_shape, type);
        if (cells_below(&rng, 6) == 0) composed_spoil(&x, &rng);
        composed_check("grid_sample", (const dl_tensor *[]){&x, &grid}, 2, attr + 1, 4, tolerance(type), text);
        composed_check("grid_sample_backward", (const dl_tensor *[]){&y, &grid}, 2, attr, 5, tolerance(type), text);
        dl_tensor_clear(&x), dl_tensor_clear(&y), dl_tensor_clear(&grid);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_upsample), cmocka_unit_test(test_grid)};
    if (dl_init() != DL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
