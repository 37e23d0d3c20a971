/* walk.c - spaces of elements: on the host to simplify and pass them, in kernels as macros. */
#include "core/generate/generate.h"
#include <string.h>

/* ---- on the host ----------------------------------------------------------------------------------------------------------
 */

void gen_walk_init(gen_walk *w, int32_t operands) {
    memset(w, 0, sizeof *w);
    w->operands = operands;
}

void gen_walk_dim(gen_walk *w, int64_t size, const int64_t *strides) {
    if (size == 1) return;
    for (int32_t k = 0; k < w->operands; k++) w->stride[k][w->ndim] = strides[k];
    w->shape[w->ndim++] = size;
}

static void swap(int64_t *v, int32_t a, int32_t b) {
    const int64_t held = v[a];
    v[a] = v[b];
    v[b] = held;
}

static void swap_dims(gen_walk *w, int32_t a, int32_t b) {
    swap(w->shape, a, b);
    for (int32_t k = 0; k < w->operands; k++) swap(w->stride[k], a, b);
}

void gen_walk_sort(gen_walk *w, int32_t operand) {
    const int64_t *stride = w->stride[operand];
    for (int32_t d = 1; d < w->ndim; d++)
        for (int32_t e = d; e > 0 && stride[e - 1] < stride[e]; e--) swap_dims(w, e - 1, e);
}

static bool joins(const gen_walk *w, int32_t kept, int32_t d) {
    for (int32_t k = 0; k < w->operands; k++)
        if (w->stride[k][kept] != w->stride[k][d] * w->shape[d]) return false;
    return true;
}

/* Do element numbers or offsets pass 31 bits? */
static bool is_wide(const gen_walk *w) {
    int64_t count = 1;
    for (int32_t d = 0; d < w->ndim; d++)
        if (__builtin_mul_overflow(count, w->shape[d], &count) || count > INT32_MAX) return true;
    for (int32_t k = 0; k < w->operands; k++) {
        int64_t reach = 0, step;
        for (int32_t d = 0; d < w->ndim; d++)
            if (__builtin_mul_overflow(w->stride[k][d], w->shape[d] - 1, &step) || step > INT32_MAX ||
                (reach += step) > INT32_MAX || w->stride[k][d] > INT32_MAX)
                return true;
    }
    return false;
}

/* Puts a dimension of one element in front where the rank is odd, so that there are half as many kernels to compile. */
static void round_rank(gen_walk *w) {
    if (w->ndim % 2 == 0 || w->ndim >= GEN_MAX_RANK || gen_walk_flat(w)) return;
    memmove(w->shape + 1, w->shape, (size_t)w->ndim * sizeof *w->shape);
    w->shape[0] = 1;
    for (int32_t k = 0; k < w->operands; k++) {
        memmove(w->stride[k] + 1, w->stride[k], (size_t)w->ndim * sizeof *w->stride[k]);
        w->stride[k][0] = 0;
    }
    w->ndim++;
}

void gen_walk_merge(gen_walk *w) {
    int32_t kept = w->ndim ? 0 : -1;
    for (int32_t d = 1; d < w->ndim; d++) {
        if (!joins(w, kept, d)) {
            if (++kept != d) swap_dims(w, kept, d);
            continue;
        }
        w->shape[kept] *= w->shape[d];
        for (int32_t k = 0; k < w->operands; k++) w->stride[k][kept] = w->stride[k][d];
    }
    w->ndim = kept + 1;
    if (w->ndim == 0) {
        w->ndim = 1;
        w->shape[0] = 1;
        for (int32_t k = 0; k < w->operands; k++) w->stride[k][0] = 1;
    }
    w->wide = is_wide(w);
    round_rank(w);
}

int64_t gen_walk_count(const gen_walk *w) {
    int64_t count = 1;
    for (int32_t d = 0; d < w->ndim; d++) count *= w->shape[d];
    return count;
}

bool gen_walk_flat(const gen_walk *w) {
    for (int32_t k = 0; k < w->operands; k++)
        if (w->stride[k][0] != 1) return false;
    return w->ndim == 1;
}

/* ---- in kernels -------------------------------------------------------------------------------------------------------------
 */

static void put_sizes(gen_text *t, char letter, int32_t rank, const char *type, int32_t operands) {
    gen_put(t, "#define %c_SIZES ", letter);
    for (int32_t d = 1; d < rank; d++) gen_put(t, ", %s %c_n%d", type, letter, d);
    for (int32_t k = 0; k < operands; k++)
        for (int32_t d = 0; d < rank; d++) gen_put(t, ", %s %c_s%d_%d", type, letter, k, d);
    gen_put(t, "\n");
}

static void put_split(gen_text *t, char letter, int32_t rank, const char *type) {
    gen_put(t, "#define %c_SPLIT(i) const %s %c_e%d = (%s)(i);", letter, type, letter, rank - 1, type);
    for (int32_t d = rank - 1; d > 0; d--)
        gen_put(t, " const %s %c_c%d = %c_e%d %% %c_n%d, %c_e%d = %c_e%d / %c_n%d;", type, letter, d, letter, d, letter, d,
                letter, d - 1, letter, d, letter, d);
    gen_put(t, " const %s %c_c0 = %c_e0;\n", type, letter, letter);
}

void gen_put_walk(gen_text *t, char letter, int32_t rank, bool wide, int32_t operands, const char *const *names) {
    const char *type = wide ? "u64" : "u32";
    if (rank == 0) {
        gen_put(t, "#define %c_SIZES\n#define %c_SPLIT(i) const i64 %c_c0 = (i);\n", letter, letter, letter);
        for (int32_t k = 0; k < operands; k++) gen_put(t, "#define %c_AT_%s %c_c0\n", letter, names[k], letter);
        return;
    }
    put_sizes(t, letter, rank, type, operands);
    put_split(t, letter, rank, type);
    for (int32_t k = 0; k < operands; k++) {
        gen_put(t, "#define %c_AT_%s (i64)(", letter, names[k]);
        for (int32_t d = 0; d < rank; d++) gen_put(t, "%s%c_c%d * %c_s%d_%d", d ? " + " : "", letter, d, letter, k, d);
        gen_put(t, ")\n");
    }
}

int32_t gen_walk_rank(const gen_walk *w, int32_t first) { return first == 0 && gen_walk_flat(w) ? 0 : w->ndim - first; }

void gen_push_walk(gen_args *a, const gen_walk *w, int32_t first) {
    void (*push)(gen_args *, int64_t) = w->wide ? gen_i64 : gen_i32;
    if (gen_walk_rank(w, first) == 0) return;
    for (int32_t d = first + 1; d < w->ndim; d++) push(a, w->shape[d]);
    for (int32_t k = 0; k < w->operands; k++)
        for (int32_t d = first; d < w->ndim; d++) push(a, w->stride[k][d]);
}
