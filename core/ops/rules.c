/* rules.c - see rules.h. */
#include "core/ops/rules.h"
#include <stdio.h>
#include <string.h>

dl_status rule_dtype(const dl_frame *f, uint32_t k, dl_dtype otherwise, dl_dtype *out) {
    int64_t type = k < f->n_attr && f->attr[k].kind != DL_ATTR_NONE ? attr_int(f, k) : -1;
    if (type < -1 || type >= DL_DTYPE_COUNT) return dl_failf(DL_INVALID, "there is no dtype number %lld", (long long)type);
    *out = type == -1 ? otherwise : (dl_dtype)type;
    return DL_OK;
}

dl_status rule_choice(const dl_frame *f, uint32_t k, const char *what, const char *const *names, int32_t n, int32_t *out) {
    const char *given = f->attr[k].v.s ? f->attr[k].v.s : "";
    char all[160];
    size_t at = 0;
    for (*out = 0; *out < n; ++*out)
        if (strcmp(given, names[*out]) == 0) return DL_OK;
    for (int32_t i = 0; i < n && at < sizeof all; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, "%s'%s'", i == 0 ? "" : i == n - 1 ? " or " : ", ", names[i]);
    return dl_failf(DL_INVALID, "expected the %s %s, got '%s'", what, all, given);
}

dl_status rule_floating(const dl_tensor *t) {
    if (is_floating(t->type)) return DL_OK;
    return dl_failf(DL_INVALID, "expected a floating dtype, got %s: convert to float32 first", dl_dtype_name(t->type));
}

dl_status rule_same_type(const dl_tensor *a, const char *a_name, const dl_tensor *b, const char *b_name) {
    if (a->type == b->type) return DL_OK;
    return dl_failf(DL_INVALID, "dtypes differ: %s is %s and %s is %s: convert one of them", a_name, dl_dtype_name(a->type),
                    b_name, dl_dtype_name(b->type));
}

dl_text sizes_text(int32_t n, const int64_t *values) {
    dl_text text;
    size_t at = 0;
    text.s[at++] = '(';
    for (int32_t d = 0; d < n && at < sizeof text.s - 2; d++) {
        int wrote = snprintf(text.s + at, sizeof text.s - 1 - at, d ? ", %lld" : "%lld", (long long)values[d]);
        at += (size_t)wrote;
        if (at > sizeof text.s - 2) at = sizeof text.s - 2;
    }
    text.s[at++] = ')';
    text.s[at] = 0;
    return text;
}

int same_shape(const dl_tensor *a, const dl_tensor *b) {
    if (a->ndim != b->ndim) return 0;
    for (int32_t d = 0; d < a->ndim; d++)
        if (a->shape[d] != b->shape[d]) return 0;
    return 1;
}

void contiguous_strides(int32_t n, const int64_t *size, int64_t *strides) {
    int64_t step = 1;
    for (int32_t d = n - 1; d >= 0; d--) {
        strides[d] = step;
        step *= size[d] > 1 ? size[d] : 1;
    }
}

dl_status rule_rank(int64_t ndim) {
    if (ndim <= DL_MAX_DIMS) return DL_OK;
    return dl_failf(DL_INVALID, "the result would have %lld dimensions, the most is %d", (long long)ndim, DL_MAX_DIMS);
}

dl_status rule_dim(int64_t dim, int32_t ndim, int32_t *out) {
    int32_t n = ndim ? ndim : 1;
    if (dim < -n || dim >= n)
        return dl_failf(DL_INVALID, "dimension %lld is out of range: expected %d to %d for a tensor of %d dimension%s",
                        (long long)dim, -n, n - 1, ndim, ndim == 1 ? "" : "s");
    *out = (int32_t)(dim < 0 ? dim + n : dim);
    return DL_OK;
}

dl_status rule_dims(const dl_frame *f, uint32_t k, int32_t ndim, uint32_t *mask) {
    const int64_t *dims;
    int32_t n = attr_ints(f, k, &dims), d = 0;
    *mask = n ? 0 : (1u << ndim) - 1;
    for (int32_t i = 0; i < n; i++) {
        DL_TRY(rule_dim(dims[i], ndim, &d));
        if (*mask >> d & 1)
            return dl_failf(DL_INVALID, "dimension %lld is named twice in %s", (long long)dims[i], sizes_text(n, dims).s);
        *mask |= 1u << d;
    }
    return DL_OK;
}

dl_status rule_shape(const dl_frame *f, uint32_t k, dl_shape *out) {
    const int64_t *sizes;
    int32_t n = attr_ints(f, k, &sizes);
    if (n == 0 && f->out[0] && f->out[0]->storage) {
        *out = shape_of(f->out[0]);
        return DL_OK;
    }
    DL_TRY(rule_rank(n));
    out->ndim = n;
    for (int32_t d = 0; d < n; d++) {
        if (sizes[d] < 0) return dl_failf(DL_INVALID, "a size cannot be negative: %s", sizes_text(n, sizes).s);
        out->size[d] = sizes[d];
    }
    return DL_OK;
}

dl_status rule_reshape(int64_t count, int32_t n, const int64_t *sizes, dl_shape *out) {
    int64_t known = 1;
    int32_t open = -1;
    DL_TRY(rule_rank(n));
    out->ndim = n;
    for (int32_t d = 0; d < n; d++) {
        out->size[d] = sizes[d];
        if (sizes[d] == -1 && open < 0)
            open = d;
        else if (sizes[d] < 0)
            return dl_failf(DL_INVALID, "expected sizes of 0 and up and at most one -1, got %s", sizes_text(n, sizes).s);
        else if (__builtin_mul_overflow(known, sizes[d], &known))
            return dl_failf(DL_INVALID, "the shape %s has too many elements", sizes_text(n, sizes).s);
    }
    if (open >= 0) {
        if (known == 0)
            return dl_failf(DL_INVALID, "-1 in %s could be any size: name it, since the others have 0 elements",
                            sizes_text(n, sizes).s);
        out->size[open] = count / known;
        known *= out->size[open];
    }
    if (known == count) return DL_OK;
    return dl_failf(DL_INVALID, "the shape %s does not fit %lld element%s", sizes_text(n, sizes).s, (long long)count,
                    count == 1 ? "" : "s");
}

int broadcasts_to(int32_t n, const int64_t *from, int32_t to_n, const int64_t *to) {
    if (n > to_n) return 0;
    for (int32_t d = 0; d < n; d++)
        if (from[n - 1 - d] != 1 && from[n - 1 - d] != to[to_n - 1 - d]) return 0;
    return 1;
}

dl_status rule_broadcast(dl_shape *a, int32_t n, const int64_t *b) {
    dl_shape joined = {.ndim = a->ndim > n ? a->ndim : n};
    for (int32_t back = 1; back <= joined.ndim; back++) {
        int64_t p = back <= a->ndim ? a->size[a->ndim - back] : 1, q = back <= n ? b[n - back] : 1;
        if (p != q && p != 1 && q != 1)
            return dl_failf(DL_INVALID, "shapes %s and %s do not broadcast: sizes %lld and %lld at dimension %d from the end",
                            sizes_text(a->ndim, a->size).s, sizes_text(n, b).s, (long long)p, (long long)q, back);
        joined.size[joined.ndim - back] = p == 1 ? q : p;
    }
    *a = joined;
    return DL_OK;
}

dl_status rule_spatial(const dl_frame *f, uint32_t attr, const char *name, int32_t spatial, const int64_t *otherwise,
                       int64_t least, int64_t *out) {
    const int64_t *values;
    const int32_t n = attr_ints(f, attr, &values);
    if (n > 1 && n != spatial)
        return dl_failf(DL_INVALID, "expected one %s, or %d for the spatial dimensions, got %s", name, spatial,
                        sizes_text(n, values).s);
    for (int32_t d = 0; d < spatial; d++) {
        out[d] = n == 0 ? otherwise[d] : values[n == 1 ? 0 : d];
        if (out[d] < least || out[d] > INT32_MAX)
            return dl_failf(DL_INVALID, "expected a %s of %lld to %d, got %lld", name, (long long)least, INT32_MAX,
                            (long long)out[d]);
    }
    return DL_OK;
}
