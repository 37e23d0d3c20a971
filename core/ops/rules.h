/* rules.h - what the shape rules in core/ops share: reading attributes, checking dimensions, broadcasting, shapes in messages.
 *
 * Messages say what was expected, what came and what to try. They do not repeat the op's name: the dispatcher puts it in
 * front. */
#ifndef DL_OPS_RULES_H
#define DL_OPS_RULES_H
#include "core/graph.h"
#include "core/status.h"

/* A shape by value. */
typedef struct dl_shape {
    int32_t ndim;
    int64_t size[DL_MAX_DIMS];
} dl_shape;

/* ---- attributes --------------------------------------------------------------------------------------------------------- */

static inline int64_t attr_int(const dl_frame *f, uint32_t k) {
    const dl_attr *a = &f->attr[k];
    return a->kind == DL_ATTR_FLOAT ? (int64_t)a->v.f : a->v.i;
}
static inline double attr_float(const dl_frame *f, uint32_t k) {
    const dl_attr *a = &f->attr[k];
    return a->kind == DL_ATTR_FLOAT ? a->v.f : (double)a->v.i;
}
/* How many integers; *values points to them. An attribute that was not given counts as an empty list. */
static inline int32_t attr_ints(const dl_frame *f, uint32_t k, const int64_t **values) {
    const dl_attr *a = &f->attr[k];
    *values = a->kind == DL_ATTR_INTS ? a->v.iv : NULL;
    return a->kind == DL_ATTR_INTS ? a->n : 0;
}
/* A string attribute, one of n names; *out is its number. DL_INVALID lists them. */
dl_status rule_choice(const dl_frame *, uint32_t k, const char *what, const char *const *names, int32_t n, int32_t *out);
/* A dtype attribute: -1 gives `otherwise`. */
dl_status rule_dtype(const dl_frame *, uint32_t k, dl_dtype otherwise, dl_dtype *out);

/* ---- dtypes ------------------------------------------------------------------------------------------------------------- */

static inline int is_floating(dl_dtype t) { return t == DL_F32 || t == DL_F64 || t == DL_F16 || t == DL_BF16; }
static inline int is_integer(dl_dtype t) { return t >= DL_U8 && t <= DL_I64; }
/* What sums and products of a type are kept in: int64 for integers and bool. */
static inline dl_dtype accumulated(dl_dtype t) { return is_floating(t) ? t : DL_I64; }
dl_status rule_floating(const dl_tensor *);
dl_status rule_same_type(const dl_tensor *a, const char *a_name, const dl_tensor *b, const char *b_name);

/* ---- shapes ------------------------------------------------------------------------------------------------------------- */

typedef struct dl_text {
    char s[24 * DL_MAX_DIMS];
} dl_text;
dl_text sizes_text(int32_t n, const int64_t *values); /* "(2, 3)": use as sizes_text(...).s within one expression */
static inline dl_text shape_text(const dl_tensor *t) { return sizes_text(t->ndim, t->shape); }

static inline dl_shape shape_of(const dl_tensor *t) {
    dl_shape s = {.ndim = t->ndim};
    for (int32_t d = 0; d < t->ndim; d++) s.size[d] = t->shape[d];
    return s;
}
static inline int64_t count_of(int32_t n, const int64_t *size) {
    int64_t count = 1;
    for (int32_t d = 0; d < n; d++) count *= size[d];
    return count;
}
/* Elements that a reduction over the dimensions in mask joins into one. */
static inline int64_t reduced_count(const dl_tensor *t, uint32_t mask) {
    int64_t count = 1;
    for (int32_t d = 0; d < t->ndim; d++)
        if (mask >> d & 1) count *= t->shape[d];
    return count;
}
int same_shape(const dl_tensor *a, const dl_tensor *b);
void contiguous_strides(int32_t n, const int64_t *size, int64_t *strides);
dl_status rule_rank(int64_t ndim); /* at most DL_MAX_DIMS */

/* A dimension with negatives from the end. A 0-dim tensor takes 0 and -1, as in PyTorch. */
dl_status rule_dim(int64_t dim, int32_t ndim, int32_t *out);
/* An int[] of distinct dimensions as a bit mask; an empty list means all. */
dl_status rule_dims(const dl_frame *, uint32_t k, int32_t ndim, uint32_t *mask);

/* Convolutions and pooling: at most this many spatial dimensions, which are the last ones. */
enum { DL_MAX_SPATIAL = 3 };
/* One value for each spatial dimension from an int[] that is empty (those of `otherwise`), holds one value for all, or one for
 * each; none below `least`. `name` is for messages. */
dl_status rule_spatial(const dl_frame *, uint32_t k, const char *name, int32_t spatial, const int64_t *otherwise, int64_t least,
                       int64_t *out);

/* A shape from a list of sizes that must not be negative, or, where that list is empty and the caller gave `out`, out's. */
dl_status rule_shape(const dl_frame *, uint32_t k, dl_shape *out);
/* A list of sizes one of which may be -1, for `count` elements. */
dl_status rule_reshape(int64_t count, int32_t n, const int64_t *sizes, dl_shape *out);
int broadcasts_to(int32_t n, const int64_t *from, int32_t to_n, const int64_t *to);
/* Joins shape b into *a by broadcasting; DL_INVALID names both. */
dl_status rule_broadcast(dl_shape *a, int32_t n, const int64_t *b);

static inline dl_status out_like(dl_frame *f, uint32_t k, const dl_tensor *like) {
    return dl_set_out(f, k, like->type, like->ndim, like->shape);
}
static inline dl_status out_shape(dl_frame *f, uint32_t k, dl_dtype type, const dl_shape *s) {
    return dl_set_out(f, k, type, s->ndim, s->size);
}
#endif
