/* plain.c - a whole dlrun backend of Tier B: plain C, one thread. Copy it to start yours; docs/plugin-backend.md explains it.
 *
 *     cc -O3 -shared -fPIC $(pkg-config --cflags dlrun-plugin) plain.c -o plain.so -lm    (in the tree: make, build/plugins)
 *     dlrun --plugin=./plain.so --backend=plain scripts/mnist.lua
 *
 * A backend brings memory (alloc, free, copy, synchronize) and kernels. Six kernels are enough, since the core makes every
 * other op that it can of them: of a convolution views, a copy and a gemm, of an optimizer's step a few pointwise calls.
 *     pointwise  every op that is one expression, as a small program to interpret or compile
 *     copy       between any two layouts and dtypes          reduce       the last dimensions, by + * max or min
 *     gather     elements chosen by an index                 scatter_add  the other way round, adding
 *     gemm       batches of matrix products
 * What these cannot make (sort, topk, LAPACK) is missing; with --fallback=cpu the CPU does it.
 *
 * How a kernel is called. The core checks the arguments and allocates the outputs, asks prepare(frame, plan) once for each kind
 * of call, keeps the plan, and calls run(frame, plan) as often as that kind comes. Without a prepare, run takes whatever comes.
 * The frame has tensors (in, out) and other arguments (attr) in the order of the op's signature: dlrun -e "help 'gather'".
 *
 * What a kernel may not assume: that tensors are contiguous, begin where their memory begins (byte_offset), or have elements at
 * all. Strides count elements and are never negative; an input may be expanded (stride 0). An output shares no memory with an
 * input, except in pointwise calls, where it may be an input element for element. */
#include "dlrun/plugin.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* LAZY: it waits until somebody asks for the backend. Drop the flag in a plugin with ops besides: they would wait, too. */
DL_PLUGIN_IDENTITY_FLAGS("plain", "1.0.0", 0, DL_PLUGIN_LAZY);

static const dl_host *host; /* the core's functions, given to dl_plugin_init */

/* ---- memory ------------------------------------------------------------------------------------------------------------
 * A tensor has a handle, what alloc gave, and a byte offset. On a GPU the handle is no address that the CPU could use. Here it
 * is made so by turning over every bit: whoever takes it for an address, or adds an offset to it, is caught at once. */

typedef struct block { /* in front of every allocation; all of them are on a list, where leak checkers find them */
    struct block *next, *before;
    uint64_t bytes, unused; /* a multiple of 16 in all: what follows is aligned for every type */
} block;

static block list = {&list, &list, 0, 0};
static uint64_t bytes_used;
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER; /* any thread may allocate */

static char *address(const void *handle, uint64_t offset) { return (char *)(~(uintptr_t)handle + offset); }

static dl_status plain_alloc(dl_device *device, dl_stream *stream, uint64_t bytes, void **data) {
    (void)device, (void)stream;
    block *b = bytes < SIZE_MAX / 2 ? malloc(sizeof *b + (size_t)bytes) : NULL;
    if (!b) return host->fail(DL_NOMEM, "malloc has no %llu bytes left for a tensor", (unsigned long long)bytes);
    pthread_mutex_lock(&memory_lock);
    *b = (block){list.next, &list, bytes, 0};
    b->next->before = list.next = b;
    bytes_used += bytes;
    pthread_mutex_unlock(&memory_lock);
    *data = (void *)~(uintptr_t)(b + 1);
    return DL_OK;
}

static void plain_free(dl_device *device, dl_stream *stream, void *data, uint64_t bytes) {
    (void)device, (void)stream;
    block *b = (block *)(void *)address(data, 0) - 1;
    pthread_mutex_lock(&memory_lock);
    b->before->next = b->next;
    b->next->before = b->before;
    bytes_used -= bytes;
    pthread_mutex_unlock(&memory_lock);
    free(b);
}

/* A side marked as host is an ordinary address; its offset counts too. */
static dl_status plain_copy(dl_device *device, dl_stream *stream, void *dst, uint64_t dst_offset, int dst_host, const void *src,
                            uint64_t src_offset, int src_host, uint64_t bytes) {
    (void)device, (void)stream;
    char *to = dst_host ? (char *)dst + dst_offset : address(dst, dst_offset);
    const char *from = src_host ? (const char *)src + src_offset : address(src, src_offset);
    if (bytes) memmove(to, from, (size_t)bytes);
    return DL_OK;
}

/* ---- the device: one, whose work is done when a call returns, so that it needs no streams ------------------------------- */

static dl_status plain_synchronize(dl_device *device, dl_stream *stream) { return (void)device, (void)stream, DL_OK; }

static dl_status plain_count(int32_t *n) { return *n = 1, DL_OK; }

static dl_status plain_info(int32_t index, dl_device_info *out) {
    out->index = index;
    snprintf(out->name, sizeof out->name, "plain C");
    snprintf(out->detail, sizeof out->detail, "one thread");
    out->memory_total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    pthread_mutex_lock(&memory_lock);
    out->memory_free = out->memory_total > bytes_used ? out->memory_total - bytes_used : 0;
    pthread_mutex_unlock(&memory_lock);
    return out->alignment = 16, DL_OK;
}

/* A backend with something to remember embeds dl_device as the first field of a struct of its own. */
static dl_status plain_open(int32_t index, dl_device **device) {
    static dl_device only = {.size = sizeof only};
    return (void)index, *device = &only, DL_OK; /* the core has asked count() about the index */
}

/* ---- elements -------------------------------------------------------------------------------------------------------------
 * Kernels take blocks of elements out of tensors into arrays of lanes and put results back. A lane is a double for each
 * floating dtype and an int64 for each other one: it holds all their values exactly. */

enum { BLOCK = 128 }; /* elements; what a program computes from a few inputs stays in the first-level cache */

typedef union lane {
    double f;
    int64_t i;
    uint64_t u;
} lane;

static int is_float(int type) { return type <= DL_BF16; } /* float32, float64, float16, bfloat16 come first */

typedef union single {
    float f;
    uint32_t bits;
} single;
/* Halves are 16 bits in memory; rounding goes to the nearest, ties to even. bfloat16 is the upper half of a float32. */
static float from_bf16(uint16_t h) { return ((single){.bits = (uint32_t)h << 16}).f; }

static uint16_t to_bf16(float x) {
    const uint32_t bits = ((single){x}).bits; /* a NaN must not become infinity */
    return (uint16_t)(x != x ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* float16 has 5 bits of exponent and 10 of mantissa; below 2^-14 its values are multiples of 2^-24. */
static float from_f16(uint16_t h) {
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    float x = exponent ? ldexpf((float)(1024 + mantissa), exponent - 25) : (float)mantissa * 0x1p-24f;
    if (exponent == 31) x = mantissa ? NAN : INFINITY;
    return h & 0x8000 ? -x : x;
}

static uint16_t to_f16(float x) {
    const float size = fabsf(x);
    const uint32_t sign = ((single){x}).bits >> 16 & 0x8000, bits = ((single){size}).bits - (112u << 23); /* its new bias */
    if (x != x) return 0x7e00;
    if (size >= 65520) return (uint16_t)(sign | 0x7c00); /* half way between the largest number and the next power of 2 */
    if (size < 0x1p-14f) return (uint16_t)(sign | (uint32_t)rintf(size * 0x1p24f));
    return (uint16_t)(sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13); /* a carry counts the exponent up, as it should */
}

/* X(dtype, C type of an element, field of lane and its type, the lane's value of element e, the element of value v) */
/* clang-format off */
#define PLAIN_TYPES(X) \
    X(F32, float, f, double, e, (float)v) X(F64, double, f, double, e, v) X(U8, uint8_t, i, int64_t, e, (uint8_t)v) \
    X(F16, uint16_t, f, double, from_f16(e), to_f16((float)v)) X(BF16, uint16_t, f, double, from_bf16(e), to_bf16((float)v)) \
    X(I8, int8_t, i, int64_t, e, (int8_t)v) X(I16, int16_t, i, int64_t, e, (int16_t)v) X(I64, int64_t, i, int64_t, e, v) \
    X(I32, int32_t, i, int64_t, e, (int32_t)v) X(BOOL, uint8_t, i, int64_t, e != 0, v != 0) \
    X(U32, uint32_t, i, int64_t, e, (uint32_t)v)
/* clang-format on */

/* Element k of n lies at[k], or where `at` is NULL k * step, elements behind base. */
#define ACCESS(NAME, ctype, field, type, get, put)                                                                             \
    static void read_##NAME(const void *base, const int64_t *at, int64_t step, int64_t n, lane *y) {                           \
        for (int64_t k = 0; k < n; k++) {                                                                                      \
            const ctype e = ((const ctype *)base)[at ? at[k] : k * step];                                                      \
            y[k].field = get;                                                                                                  \
        }                                                                                                                      \
    }                                                                                                                          \
    static void write_##NAME(void *base, const int64_t *at, int64_t step, int64_t n, const lane *x) {                          \
        for (int64_t k = 0; k < n; k++) {                                                                                      \
            const type v = x[k].field;                                                                                         \
            ((ctype *)base)[at ? at[k] : k * step] = put;                                                                      \
        }                                                                                                                      \
    }
PLAIN_TYPES(ACCESS)

static const struct {
    int64_t size; /* bytes */
    void (*read)(const void *base, const int64_t *at, int64_t step, int64_t n, lane *y);
    void (*write)(void *base, const int64_t *at, int64_t step, int64_t n, const lane *x);
} types[] = {
#define ROW(NAME, ctype, field, type, get, put) [DL_##NAME] = {sizeof(ctype), read_##NAME, write_##NAME},
    PLAIN_TYPES(ROW)
#undef ROW
};

/* ---- views: elements of a tensor by their logical (row-major) number ----------------------------------------------------- */

typedef struct view { /* neighbouring dimensions that can be walked as one are one: contiguous tensors have one in all */
    char *base;
    dl_dtype type;
    int32_t ndim; /* at least 1 */
    int64_t count, shape[DL_MAX_DIMS], strides[DL_MAX_DIMS];
} view;

static view view_over(const dl_tensor *t, int32_t ndim, const int64_t *shape, const int64_t *strides) {
    view v = {.base = address(t->data, t->byte_offset), .type = t->type, .ndim = 1, .count = 1, .shape = {1}};
    for (int32_t d = 0; d < ndim; d++) {
        const int32_t last = v.ndim - 1;
        v.count *= shape[d];
        if (shape[d] == 1) continue;
        if (v.shape[last] == 1)
            v.shape[last] = shape[d];
        else if (v.strides[last] == shape[d] * strides[d])
            v.shape[last] *= shape[d];
        else
            v.shape[v.ndim++] = shape[d];
        v.strides[v.ndim - 1] = strides[d];
    }
    return v;
}

static view view_of(const dl_tensor *t) { return view_over(t, t->ndim, t->shape, t->strides); }

static view moved(view v, int64_t elements) { return v.base += elements * types[v.type].size, v; }

/* Where elements first, first + 1, ... lie: so many elements behind base. */
static void places(const view *v, int64_t first, int64_t n, int64_t *at) {
    const int32_t last = v->ndim - 1;
    int64_t index[DL_MAX_DIMS], place = 0;
    for (int32_t d = last; d >= 0; first /= v->shape[d--]) place += (index[d] = first % v->shape[d]) * v->strides[d];
    for (int64_t k = 0; k < n;) {
        const int64_t left = v->shape[last] - index[last], run = left < n - k ? left : n - k;
        for (int64_t end = k + run; k < end; k++, place += v->strides[last]) at[k] = place;
        index[last] += run;
        for (int32_t d = last; d > 0 && index[d] == v->shape[d]; d--) { /* on to the next row */
            place += v->strides[d - 1] - v->shape[d] * v->strides[d];
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

/* n is at most BLOCK. */
static void load(const view *v, int64_t first, int64_t n, lane *y) {
    int64_t at[BLOCK];
    const int one = v->ndim == 1;
    if (!one) places(v, first, n, at);
    types[v->type].read(v->base + (one ? first * v->strides[0] * types[v->type].size : 0), one ? NULL : at, v->strides[0], n,
                        y);
}

static void store(const view *v, int64_t first, int64_t n, const lane *x) {
    int64_t at[BLOCK];
    const int one = v->ndim == 1;
    if (!one) places(v, first, n, at);
    types[v->type].write(v->base + (one ? first * v->strides[0] * types[v->type].size : 0), one ? NULL : at, v->strides[0], n,
                         x);
}

static int64_t block_at(int64_t k, int64_t count) { return count - k < BLOCK ? count - k : BLOCK; }

/* ---- scalar opcodes, a block at a time (dlrun/opcode.def says what they mean) ------------------------------------------ */

static int64_t power(int64_t base, int64_t exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0; /* the true value, truncated */
    uint64_t y = 1;
    for (uint64_t x = (uint64_t)base; exponent; exponent >>= 1, x *= x)
        if (exponent & 1) y *= x;
    return (int64_t)y;
}

__extension__ typedef __int128 wide;
/* The quotient rounded towards 0; p / q itself may have been rounded up to a whole number that it does not reach. */
static double quotient(double p, double q) {
    const double whole = trunc(p / q), rest = fma(-whole, q, p);
    return (rest < 0 && p > 0) || (rest > 0 && p < 0) ? whole - copysign(1, whole) : whole; /* not where rest is NaN */
}

/* digamma or, if `second`, trigamma: reflection, recurrence up to 10, asymptotic series (Abramowitz and Stegun 6.3, 6.4). */
static double psi(double x, int second) {
    const double angle = M_PI * (x - trunc(x));
    if (x <= 0 && angle == 0) return second ? INFINITY : x == 0 ? copysign(INFINITY, -x) : NAN;
    if (x < 0) return second ? pow(M_PI / sin(angle), 2) - psi(1 - x, 1) : psi(1 - x, 0) - M_PI / tan(angle);
    double sum = 0;
    for (; x < 10; x++) sum += second ? 1 / (x * x) : -1 / x;
    const double z = 1 / (x * x);
    if (second)
        return sum + 1 / x + z / 2 +
               z / x * (1 / 6.0 - z * (1 / 30.0 - z * (1 / 42.0 - z * (1 / 30.0 - z * (5 / 66.0 - z * 691 / 2730.0)))));
    return sum + log(x) - 0.5 / x -
           z * (1 / 12.0 - z * (1 / 120.0 - z * (1 / 252.0 - z * (1 / 240.0 - z * (1 / 132.0 - z * 691 / 32760.0)))));
}

/* X(opcode, field of the result, result of p, q and r). Of integers u and w are p and q unsigned, so that sums wrap, and bits
 * is the result's width. */
/* clang-format off */
#define FLOAT_OPS(X) \
    X(ADD, f, p + q) X(SUB, f, p - q) X(MUL, f, p * q) X(DIV, f, p / q) X(RECIP, f, 1 / p) X(NEG, f, -p) X(ABS, f, fabs(p)) \
    X(MAX, f, p != p || p > q ? p : q) X(MIN, f, p != p || p < q ? p : q) X(FMA, f, fma(p, q, r)) X(SQRT, f, sqrt(p)) \
    X(LT, i, p < q) X(LE, i, p <= q) X(EQ, i, p == q) X(FLOOR, f, floor(p)) X(CEIL, f, ceil(p)) X(TRUNC, f, trunc(p)) \
    X(RINT, f, rint(p)) X(EXP, f, exp(p)) X(EXP2, f, exp2(p)) X(EXPM1, f, expm1(p)) X(LOG, f, log(p)) X(LOG2, f, log2(p)) \
    X(LOG1P, f, log1p(p)) X(SIN, f, sin(p)) X(COS, f, cos(p)) X(TAN, f, tan(p)) X(ASIN, f, asin(p)) X(ACOS, f, acos(p)) \
    X(ATAN, f, atan(p)) X(ATAN2, f, atan2(p, q)) X(SINH, f, sinh(p)) X(COSH, f, cosh(p)) X(TANH, f, tanh(p)) \
    X(ERF, f, erf(p)) X(ERFC, f, erfc(p)) X(LGAMMA, f, lgamma_r(p, &(int){0})) X(DIGAMMA, f, psi(p, 0)) \
    X(TRIGAMMA, f, psi(p, 1)) X(POW, f, pow(p, q)) X(IDIV, f, quotient(p, q)) X(IMOD, f, fmod(p, q))
#define WHOLE_OPS(X) \
    X(ADD, u, u + w) X(SUB, u, u - w) X(MUL, u, u * w) X(NEG, u, 0 - u) X(ABS, u, p < 0 ? 0 - u : u) X(MAX, i, p > q ? p : q) \
    X(MIN, i, p < q ? p : q) X(LT, i, p < q) X(LE, i, p <= q) X(EQ, i, p == q) X(AND, i, p & q) X(OR, i, p | q) \
    X(XOR, i, p ^ q) X(NOT, i, type == DL_BOOL ? !p : ~p) X(SHL, u, u << (q & (bits - 1))) X(SHR, i, p >> (q & (bits - 1))) \
    X(MULHI, u, type == DL_U32 ? u * w >> 32 : (uint64_t)((wide)p * q >> bits)) X(IMOD, i, q == 0 || q == -1 ? 0 : p % q) \
    X(IDIV, u, q == 0 ? 0 : q == -1 ? 0 - u : (uint64_t)(p / q)) X(POW, i, power(p, q)) X(FLOOR, i, p) X(CEIL, i, p) \
    X(TRUNC, i, p) X(RINT, i, p)
/* clang-format on */

/* Between dtypes. Floats to integers go towards 0 and saturate; NaN gives 0. */
static lane cast(int type, int from, lane x) {
    const int negative = type != DL_U8 && type != DL_U32, bits = (int)types[type].size * 8 - negative; /* those of numbers */
    const double above = ldexp(1, bits), lowest = negative ? -above : 0;
    if (type == DL_BOOL) return (lane){.i = is_float(from) ? x.f != 0 : x.i != 0};
    if (is_float(type)) return (lane){.f = is_float(from) ? x.f : type == DL_F64 ? (double)x.i : (double)(float)x.i};
    if (!is_float(from)) return x;
    if (x.f != x.f) return (lane){.i = 0};
    return (lane){.i = x.f >= above ? (int64_t)((UINT64_C(1) << bits) - 1) : (int64_t)(x.f <= lowest ? lowest : x.f)};
}

#define CASE(NAME, type, member, field, result)                                                                                \
    case DL_OP_##NAME:                                                                                                         \
        for (int64_t k = 0; k < n; k++) {                                                                                      \
            const type p = a[k].member, q = b[k].member, r = c[k].member;                                                      \
            const uint64_t u = a[k].u, w = b[k].u;                                                                             \
            (void)p, (void)q, (void)r, (void)u, (void)w, (y[k].field = result);                                                \
        }                                                                                                                      \
        break;
#define FLOAT_CASE(NAME, field, result) CASE(NAME, double, f, field, result)
#define WHOLE_CASE(NAME, field, result) CASE(NAME, int64_t, i, field, result)

/* y = op(a, b, c); `type` is that of y, `from` that of a. Operands that the opcode lacks are any. */
static void apply(int op, int type, int from, int64_t n, const lane *a, const lane *b, const lane *c, lane *y) {
    const int bits = (int)types[type].size * 8;
    double memory[BLOCK];
    if (op == DL_OP_CAST)
        for (int64_t k = 0; k < n; k++) y[k] = cast(type, from, a[k]);
    else if (op == DL_OP_SEL)
        for (int64_t k = 0; k < n; k++) y[k].u = a[k].i ? b[k].u : c[k].u;
    else if (op != DL_OP_BITCAST && is_float(from))
        switch (op) { FLOAT_OPS(FLOAT_CASE) }
    else if (op != DL_OP_BITCAST)
        switch (op) { WHOLE_OPS(WHOLE_CASE) }
    if (op != DL_OP_BITCAST && type == DL_F32)
        for (int64_t k = 0; k < n; k++) y[k].f = (float)y[k].f;
    else if (op != DL_OP_BITCAST && type == DL_U32)
        for (int64_t k = 0; k < n; k++) y[k].u = (uint32_t)y[k].u;
    else { /* through memory, which wraps integers as well, or reads bits as another type */
        types[op == DL_OP_BITCAST ? from : type].write(memory, NULL, 1, n, op == DL_OP_BITCAST ? a : y);
        types[type].read(memory, NULL, 1, n, y);
    }
}

/* ---- pointwise ------------------------------------------------------------------------------------------------------------
 * A program is a list of instructions, each making one value from earlier ones. The interpreter has a block of lanes for each
 * and works through the list once a block. Inputs come expanded to the output's shape: all count their elements alike. */

static const int operands[] = {
#define DL_OPCODE(NAME, number, operands, spelling) [number] = operands,
#include "dlrun/opcode.def"
#undef DL_OPCODE
};

/* A newer host may have longer instructions: never p->ins[k]. */
static const dl_ins *instruction(const dl_prog *p, uint32_t k) {
    return (const dl_ins *)(const void *)((const char *)p->ins + (size_t)k * p->ins_size);
}

/* The value of a constant or an attribute, the same for every element. */
static lane uniform(const dl_ins *i, const dl_attr *attr) {
    lane x, y;
    if (i->op == DL_OP_CONST) /* its bits; the low ones come first on this kind of machine */
        return types[i->type].read(&i->imm, NULL, 1, 1, &y), y;
    const int from = attr[i->a].kind == DL_ATTR_FLOAT ? DL_F64 : DL_I64;
    memcpy(&x, &attr[i->a].v, sizeof x); /* a double or an int64, as a lane is */
    apply(DL_OP_CAST, i->type, from, 1, &x, &x, &x, &y);
    return y;
}

static void interpret(const dl_prog *p, const view *in, int64_t first, int64_t n, lane (*values)[BLOCK]) {
    for (uint32_t k = 0; k < p->n_ins; k++) {
        const dl_ins *i = instruction(p, k);
        const int count = operands[i->op];
        if (i->op == DL_OP_IN)
            load(&in[i->a], first, n, values[k]);
        else if (i->op == DL_OP_INDEX)
            for (int64_t j = 0; j < n; j++) values[k][j].i = first + j;
        else if (count)
            apply(i->op, i->type, instruction(p, (uint32_t)i->a)->type, n, values[i->a], values[count > 1 ? i->b : i->a],
                  values[count > 2 ? i->c : i->a], values[k]);
    }
}

static dl_status run_pointwise(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_prog *p = f->prog;
    const view out = view_of(f->out[0]);
    lane(*values)[BLOCK] = host->mem(NULL, p->n_ins * sizeof *values);
    view *in = host->mem(NULL, (f->n_in + 1) * sizeof *in);
    const dl_status status = values && in ? DL_OK : host->fail(DL_NOMEM, "out of memory for the values of '%s'", p->name);
    for (uint32_t k = 0; k < f->n_in && status == DL_OK; k++) in[k] = view_of(f->in[k]);
    for (uint32_t k = 0; k < p->n_ins && status == DL_OK; k++) {
        const dl_ins *i = instruction(p, k);
        if (i->op != DL_OP_CONST && i->op != DL_OP_ATTR) continue;
        const lane value = uniform(i, f->prog_attr);
        for (int64_t j = 0; j < BLOCK; j++) values[k][j] = value;
    }
    for (int64_t k = 0; k < out.count && status == DL_OK; k += BLOCK) {
        interpret(p, in, k, block_at(k, out.count), values);
        store(&out, k, block_at(k, out.count), values[p->out[0]]);
    }
    host->mem(values, 0);
    host->mem(in, 0);
    return status;
}

/* ---- copy: "Tensor x, dtype type=-1 -> Tensor"; x comes expanded to the output's shape --------------------------------- */

static dl_status run_copy(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const view from = view_of(f->in[0]), to = view_of(f->out[0]);
    const int same = from.type == to.type;
    lane x[BLOCK], y[BLOCK];
    if (same && from.ndim == 1 && to.ndim == 1 && from.strides[0] == 1 && to.strides[0] == 1) {
        memcpy(to.base, from.base, (size_t)(to.count * types[to.type].size));
        return DL_OK;
    }
    for (int64_t k = 0; k < to.count; k += BLOCK) {
        const int64_t n = block_at(k, to.count);
        load(&from, k, n, x);
        if (!same) apply(DL_OP_CAST, to.type, from.type, n, x, x, x, y);
        store(&to, k, n, same ? x : y);
    }
    return DL_OK;
}

/* ---- reduce: "Tensor x, int count, int combine -> Tensor"; the last `count` dimensions by the opcode `combine` ------------
 */

static dl_status run_reduce(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *x = f->in[0];
    const int32_t count = (int32_t)f->attr[0].v.i, kept = x->ndim - count;
    const int op = (int)f->attr[1].v.i, type = is_float(x->type) ? DL_F64 : x->type; /* floats are summed in double */
    const view outer = view_over(x, kept, x->shape, x->strides), out = view_of(f->out[0]);
    const view inner = view_over(x, count, x->shape + kept, x->strides + kept);
    const double neutral = op == DL_OP_MAX ? -INFINITY : op == DL_OP_MIN ? INFINITY : op == DL_OP_MUL;
    const lane first = cast(type == DL_BOOL ? DL_U8 : type, DL_F64, (lane){.f = neutral});
    const int along = outer.count < inner.count; /* few long lines: lanes go along them; else a block of results side by side */
    lane y[BLOCK], z[BLOCK];
    for (int64_t k = 0, n, at; k < out.count; k += n) {
        n = along ? 1 : block_at(k, out.count);
        for (int64_t j = 0; j < BLOCK; j++) y[j] = first;
        for (int64_t r = 0, m; r < inner.count; r += m) {
            m = along ? block_at(r, inner.count) : 1;
            places(along ? &outer : &inner, along ? k : r, 1, &at);
            const view slice = moved(along ? inner : outer, at);
            load(&slice, along ? r : k, n * m, z);
            apply(op, type, type, n * m, y, z, z, y);
        }
        for (int64_t half = along ? BLOCK / 2 : 0; half > 0; half /= 2) apply(op, type, type, half, y, y + half, y, y);
        store(&out, k, n, y);
    }
    return DL_OK;
}

/* ---- gather: "Tensor x, int dim, Tensor index -> Tensor": out[i][j] = x[index[i][j]][j] for dim 0
 *      scatter_add: "Tensor x, int dim, Tensor index, Tensor src -> Tensor": x, and out[index[i][j]][j] += src[i][j] */

static dl_status run_indexed(const dl_frame *f, const dl_plan *plan) {
    static const int64_t still[DL_MAX_DIMS];
    const int adding = f->n_in == 3;
    const dl_tensor *t = adding ? f->out[0] : f->in[0], *index = f->in[1], *other = adding ? f->in[2] : f->out[0];
    const int64_t dim = f->attr[0].v.i < 0 ? f->attr[0].v.i + t->ndim : f->attr[0].v.i, limit = t->ndim ? t->shape[dim] : 1;
    const int64_t step = t->ndim ? t->strides[dim] : 0; /* from one index to the next */
    int64_t strides[DL_MAX_DIMS] = {0}, at[BLOCK];
    for (int32_t d = 0; d < t->ndim; d++) strides[d] = d == dim ? 0 : t->strides[d];
    const view chosen = view_over(t, t->ndim, index->shape, strides); /* by an index of 0 everywhere */
    const view indices = view_of(index),
               line = view_over(other, index->ndim, index->shape, other->ndim ? other->strides : still);
    lane i[BLOCK], x[BLOCK], y;
    if (adding) (void)run_copy(f, plan); /* x, to which the rest is added */
    for (int64_t k = 0, n; k < line.count; k += n) {
        n = block_at(k, line.count);
        load(&indices, k, n, i);
        places(&chosen, k, n, at);
        for (int64_t j = 0; j < n; at[j] += i[j].i * step, j++)
            if (i[j].i < 0 || i[j].i >= limit) /* data must never lead a kernel out of its tensors */
                return host->fail(DL_INVALID, "index %lld at position %lld: expected 0..%lld", (long long)i[j].i,
                                  (long long)(k + j), (long long)limit - 1);
        if (!adding) {
            types[t->type].read(chosen.base, at, 0, n, x);
            store(&line, k, n, x);
            continue;
        }
        load(&line, k, n, x);
        for (int64_t j = 0; j < n; j++) { /* one by one: of equal places each counts */
            types[t->type].read(chosen.base, &at[j], 0, 1, &y);
            if (is_float(t->type))
                y.f += x[j].f;
            else
                y.u += x[j].u;
            types[t->type].write(chosen.base, &at[j], 0, 1, &y);
        }
    }
    return DL_OK;
}

/* ---- gemm: "Tensor a, Tensor b -> Tensor": (B, n, k) times (B, k, m) --------------------------------------------------------
 * The one kernel with a plan: prepare asks for scratch memory, which the core allocates for each run. It holds b and a few rows
 * of a in the order in which the inner loop reads them, whatever their strides and dtype. */

enum { ROWS = 4, COLUMNS = 8 }; /* of the tile of results that the inner loop keeps in registers */

/* Halves are multiplied in float32, integers in 64 bits, where they wrap. */
static dl_dtype product_type(dl_dtype type) { return !is_float(type) ? DL_I64 : type == DL_F64 ? DL_F64 : DL_F32; }

static dl_status prepare_gemm(const dl_frame *f, dl_plan *plan) {
    const int64_t depth = f->in[0]->shape[2], panels = (f->out[0]->shape[2] + COLUMNS - 1) / COLUMNS;
    plan->scratch_bytes = (uint64_t)(depth * (panels * COLUMNS + ROWS) * types[product_type(f->out[0]->type)].size);
    return DL_OK;
}

/* `width` lines side by side: element k of line r goes to to[k * width + r]. Lines from `count` on are zeros. */
static void pack(const dl_tensor *t, int64_t start, int64_t along, int64_t across, int64_t count, int64_t depth, int64_t width,
                 dl_dtype type, char *to) {
    lane x[BLOCK] = {{0}};
    for (int64_t r = 0; r < width && depth > 0; r++) {
        const view line = moved(view_over(t, 1, &depth, &along), start + r * across);
        if (r == count) memset(x, 0, sizeof x);
        for (int64_t k = 0; k < depth; k += BLOCK) {
            if (r < count) load(&line, k, block_at(k, depth), x);
            types[type].write(to + (k * width + r) * types[type].size, NULL, width, block_at(k, depth), x);
        }
    }
}

/* The product of packed rows and columns. */
#define TILE(type, field)                                                                                                      \
    static void tile_##type(int64_t depth, const void *rows, const void *columns, lane y[ROWS][COLUMNS]) {                     \
        const type *restrict a = rows, *restrict b = columns;                                                                  \
        type sum[ROWS][COLUMNS] = {{0}};                                                                                       \
        for (int64_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS)                                                           \
            for (int r = 0; r < ROWS; r++)                                                                                     \
                for (int c = 0; c < COLUMNS; c++) sum[r][c] += a[r] * b[c];                                                    \
        for (int k = 0; k < ROWS * COLUMNS; k++) y[k / COLUMNS][k % COLUMNS].field = sum[k / COLUMNS][k % COLUMNS];            \
    }
TILE(float, f)
TILE(double, f)
TILE(uint64_t, u)

static dl_status run_gemm(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    const dl_tensor *a = f->in[0], *b = f->in[1], *out = f->out[0];
    const dl_dtype type = product_type(out->type);
    const int64_t n = out->shape[1], m = out->shape[2], depth = a->shape[2], size = types[type].size;
    char *rows = address(f->scratch, 0), *columns = rows + depth * ROWS * size; /* no scratch if there is no depth */
    const view to = view_over(out, 1, &m, &out->strides[2]);
    lane y[ROWS][COLUMNS];
    for (int64_t batch = 0; batch < out->shape[0]; batch++) {
        for (int64_t c = 0; c < m; c += COLUMNS)
            pack(b, batch * b->strides[0] + c * b->strides[2], b->strides[1], b->strides[2], m - c, depth, COLUMNS, type,
                 columns + c * depth * size);
        for (int64_t r = 0; r < n; r += ROWS) {
            pack(a, batch * a->strides[0] + r * a->strides[1], a->strides[2], a->strides[1], n - r, depth, ROWS, type, rows);
            for (int64_t c = 0; c < m; c += COLUMNS) {
                (type == DL_F32   ? tile_float
                 : type == DL_F64 ? tile_double
                                  : tile_uint64_t)(depth, rows, columns + c * depth * size, y);
                for (int64_t j = 0; j < ROWS && r + j < n; j++) {
                    const view line = moved(to, batch * out->strides[0] + (r + j) * out->strides[1]);
                    store(&line, c, m - c < COLUMNS ? m - c : COLUMNS, y[j]);
                }
            }
        }
    }
    return DL_OK;
}

/* ---- registration: all of it counts, or if init returns an error nothing ----------------------------------------------- */

dl_status dl_plugin_init(const dl_host *functions) {
    static const dl_backend backend = {
        .size = sizeof backend,
        .name = "plain",
        .count = plain_count,
        .info = plain_info,
        .open = plain_open,
        .alloc = plain_alloc,
        .free = plain_free,
        .copy = plain_copy,
        .synchronize = plain_synchronize,
    };
#define KERNEL(name, ...)                                                                                                      \
    { .size = sizeof(dl_kernel), .op = name, .backend = "plain", __VA_ARGS__ }
    static const dl_kernel kernels[] = {
        KERNEL("pointwise", .run = run_pointwise), KERNEL("copy", .run = run_copy),
        KERNEL("reduce", .run = run_reduce),       KERNEL("gather", .run = run_indexed),
        KERNEL("scatter_add", .run = run_indexed), KERNEL("gemm", .prepare = prepare_gemm, .run = run_gemm),
    };
    host = functions;
    dl_status status = host->add_backend(&backend);
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels && status == DL_OK; k++) status = host->add_kernel(&kernels[k]);
    return status;
}
