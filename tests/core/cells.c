/* cells.c - see cells.h. */
#include "tests/core/cells.h"

enum { GAP_BYTE = 0x5b };

uint64_t cells_bits(uint64_t *random) {
    uint64_t z = (*random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
int64_t cells_below(uint64_t *random, int64_t n) { return (int64_t)(cells_bits(random) % (uint64_t)n); }

static void release(void *user) { free(user); }

void cells_make(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, uint64_t *random) {
    int32_t order[DL_MAX_DIMS];
    int64_t strides[DL_MAX_DIMS], span = random ? 1 + cells_below(random, 2) : 1;
    for (int32_t d = 0; d < ndim; d++) order[d] = d;
    for (int32_t d = ndim - 1; random && d > 0; d--) {
        const int32_t other = cells_below(random, 2) ? d : (int32_t)cells_below(random, d + 1), swapped = order[d];
        order[d] = order[other], order[other] = swapped;
    }
    for (int32_t d = ndim - 1; d >= 0; d--) {
        strides[order[d]] = span;
        span = span * (shape[order[d]] ? shape[order[d]] : 1) + (random && cells_below(random, 3) == 0 ? 3 : 0);
    }
    const uint64_t size = (uint64_t)dl_dtype_bytes(type), offset = random ? (uint64_t)cells_below(random, 4) : 0;
    const uint64_t bytes = ((uint64_t)span + offset) * size;
    void *memory = malloc(bytes);
    dl_storage *storage = NULL;
    assert_non_null(memory);
    memset(memory, GAP_BYTE, bytes);
    assert_int_equal(dl_storage_wrap(memory, bytes, release, memory, &storage), DL_OK);
    *t = (dl_tensor){0};
    if (dl_tensor_on(t, storage, type, offset * size, ndim, shape, strides) != DL_OK) fail_msg("%s", dl_last_error());
    dl_storage_release(storage);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) cells_set(t, i, 0);
}

void cells_random(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, uint64_t *random) {
    const int floating = type <= DL_BF16;
    uint64_t own = 1, *const values = random ? random : &own;
    cells_make(t, type, ndim, shape, random);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) {
        const double whole = (double)cells_below(values, 33) - 16;
        cells_set(t, i,
                  floating          ? whole / 4
                  : type == DL_BOOL ? whole > 0
                  : type == DL_U8   ? fabs(rint(whole / 4))
                                    : rint(whole / 4));
    }
}

void cells_of(dl_tensor *t, dl_dtype type, int32_t ndim, const int64_t *shape, const double *values) {
    cells_make(t, type, ndim, shape, NULL);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) cells_set(t, i, values[i]);
}

static uint64_t offset_of(const dl_tensor *t, int64_t number) {
    int64_t offset = 0;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        offset += number % t->shape[d] * t->strides[d];
        number /= t->shape[d];
    }
    return t->byte_offset + (uint64_t)offset * (uint64_t)dl_dtype_bytes(t->type);
}

void cells_check_gaps(const dl_tensor *t) {
    const uint64_t bytes = dl_storage_bytes(t->storage), size = (uint64_t)dl_dtype_bytes(t->type);
    char *used = calloc(bytes, 1);
    assert_non_null(used);
    for (int64_t i = 0; i < dl_tensor_count(t); i++) memset(used + offset_of(t, i), 1, size);
    for (uint64_t k = 0; k < bytes; k++)
        if (!used[k] && ((unsigned char *)t->data)[k] != GAP_BYTE)
            fail_msg("byte %llu beside the tensor was written", (unsigned long long)k);
    free(used);
}

/* A binary floating number of `mantissa` stored bits and least exponent `lowest`, in a 16-bit pattern. */
static double half_value(uint16_t h, int mantissa, int bias) {
    const int exponent = (h & 0x7fff) >> mantissa, fraction = h & ((1 << mantissa) - 1), top = 0x7fff >> mantissa;
    const double size = exponent == top ? (fraction ? NAN : INFINITY)
                        : exponent      ? ldexp(fraction + (1 << mantissa), exponent - bias - mantissa)
                                        : ldexp(fraction, 1 - bias - mantissa);
    return h & 0x8000 ? -size : size;
}
static uint16_t half_bits(double x, int mantissa, int bias) {
    const uint16_t sign = signbit(x) ? 0x8000 : 0, infinity = (uint16_t)((0x7fff >> mantissa) << mantissa);
    int exponent;
    if (isnan(x)) return (uint16_t)(infinity | 1u << (mantissa - 1));
    if (x == 0) return sign;
    frexp(x, &exponent);
    if (exponent < 2 - bias) exponent = 2 - bias; /* subnormal */
    const double units = isinf(x) ? INFINITY : rint(ldexp(fabs(x), mantissa + 1 - exponent));
    const double bits = units + ldexp(exponent + bias - 2, mantissa);
    return (uint16_t)(sign | (bits >= infinity ? infinity : (uint16_t)bits));
}

static double load(dl_dtype type, const void *p) {
    switch (type) {
    case DL_F32: return (double)*(const float *)p;
    case DL_F64: return *(const double *)p;
    case DL_F16: return half_value(*(const uint16_t *)p, 10, 15);
    case DL_BF16: return half_value(*(const uint16_t *)p, 7, 127);
    case DL_U8: return *(const uint8_t *)p;
    case DL_I8: return *(const int8_t *)p;
    case DL_I16: return *(const int16_t *)p;
    case DL_I32: return *(const int32_t *)p;
    case DL_I64: return (double)*(const int64_t *)p;
    default: return *(const uint8_t *)p;
    }
}

static void store(dl_dtype type, void *p, double x) {
    switch (type) {
    case DL_F32: *(float *)p = (float)x; break;
    case DL_F64: *(double *)p = x; break;
    case DL_F16: *(uint16_t *)p = half_bits(x, 10, 15); break;
    case DL_BF16: *(uint16_t *)p = half_bits(x, 7, 127); break;
    case DL_U8: *(uint8_t *)p = (uint8_t)x; break;
    case DL_I8: *(int8_t *)p = (int8_t)x; break;
    case DL_I16: *(int16_t *)p = (int16_t)x; break;
    case DL_I32: *(int32_t *)p = (int32_t)x; break;
    case DL_I64: *(int64_t *)p = (int64_t)x; break;
    default: *(uint8_t *)p = x != 0; break;
    }
}

double cells_get(const dl_tensor *t, int64_t number) { return load(t->type, (const char *)t->data + offset_of(t, number)); }
void cells_set(dl_tensor *t, int64_t number, double value) { store(t->type, (char *)t->data + offset_of(t, number), value); }

double cells_rounded(dl_dtype type, double value) {
    uint64_t element = 0;
    store(type, &element, value);
    return load(type, &element);
}

int cells_next(int32_t ndim, const int64_t *shape, int64_t *place) {
    for (int32_t d = ndim - 1; d >= 0; d--) {
        if (++place[d] < shape[d]) return 1;
        place[d] = 0;
    }
    return 0;
}

int64_t cells_number(int32_t ndim, const int64_t *shape, const int64_t *place) {
    int64_t number = 0;
    for (int32_t d = 0; d < ndim; d++) number = number * shape[d] + place[d];
    return number;
}

static dl_status run(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out,
                     const dl_attr *attr, int32_t n_attr) {
    dl_tensor *outs[3];
    const int32_t id = dl_op_find(op);
    if (id < 0) fail_msg("there is no op %s", op);
    for (int32_t k = 0; k < n_out; k++) outs[k] = &out[k];
    return dl_call(id, in, n_in, outs, n_out, attr, n_attr);
}

void cells_call(const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out, const dl_attr *attr,
                int32_t n_attr) {
    if (run(op, in, n_in, out, n_out, attr, n_attr) != DL_OK) fail_msg("%s: %s", op, dl_last_error());
}

void cells_refuse(const char *message, const char *op, const dl_tensor *const *in, int32_t n_in, dl_tensor *out, int32_t n_out,
                  const dl_attr *attr, int32_t n_attr) {
    const dl_status status = run(op, in, n_in, out, n_out, attr, n_attr);
    if (status != DL_INVALID || !strstr(dl_last_error(), message))
        fail_msg("%s: expected it to be refused with \"%s\", got %s: %s", op, message, dl_status_text(status), dl_last_error());
}

void cells_near(double got, double expected, double tolerance, const char *what) {
    if (isnan(got) && isnan(expected)) return;
    if (got == expected || fabs(got - expected) <= tolerance) return;
    fail_msg("%s: got %.17g, expected %.17g (tolerance %g)", what, got, expected, tolerance);
}

double cells_epsilon(dl_dtype type) {
    switch (type) {
    case DL_F32: return 0x1p-24;
    case DL_F64: return 0x1p-53;
    case DL_F16: return 0x1p-11;
    case DL_BF16: return 0x1p-8;
    default: return 0;
    }
}

void cells_same_bits(const dl_tensor *a, const dl_tensor *b) {
    const uint64_t bytes = (uint64_t)dl_tensor_count(a) * (uint64_t)dl_dtype_bytes(a->type);
    assert_int_equal(a->type, b->type);
    assert_int_equal(dl_tensor_count(a), dl_tensor_count(b));
    void *x = malloc(bytes + 1), *y = malloc(bytes + 1);
    assert_int_equal(dl_tensor_read(a, x, bytes), DL_OK);
    assert_int_equal(dl_tensor_read(b, y, bytes), DL_OK);
    assert_memory_equal(x, y, bytes);
    free(x), free(y);
}
