/* sort.c - sort, topk, kthvalue, median, mode. Threads share the lines.
 *
 * A line is read as items: an unsigned key in the order of the values, and the place. Short lines are sorted by insertion,
 * longer ones by radix (least significant byte first; D. Knuth, TAOCP 3, 5.2.5), single ranks found by radix from the most
 * significant byte. All are stable and take linear time whatever the values. Values are copied from x by their places, so that
 * the sign of a zero and the bits of a NaN survive. */
#include "loop.h"
#include "row.h"
#include "types.h"

enum { X, VALUES, PLACES };
enum { SHORT = 48 }; /* items up to which insertion is faster than a radix pass */

typedef struct item {
    uint64_t key;
    int64_t place;
} item;

/* n items of a line, and space for as many, which both may be overwritten. */
typedef struct line {
    item *items, *spare;
    int64_t n, nans;
} line;

struct sort_job;
/* The items to be stored, job->taken of them. */
typedef const item *choose_fn(const struct sort_job *, line *);

typedef struct sort_job {
    cpu_lines lines;
    choose_fn *choose;
    const char *x;
    char *values;
    int64_t *places;
    dl_dtype type;
    int64_t size, taken, rank, shares;
    item *scratch; /* for each share two times the length of a line */
    int descending, sorted;
} sort_job;

/* ---- keys -------------------------------------------------------------------------------------------------------------- */

/* Bits of a float, all flipped if it is negative, else the sign alone, are in the order of the floats. Adding 0 makes -0 to 0.
 */
#define FLOAT_KEYS(LANE, T, U, sign)                                                                                           \
    static int64_t keys_##LANE(const void *values, int64_t n, item *to) {                                                      \
        const T *x = values;                                                                                                   \
        int64_t nans = 0;                                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                                                      \
            const T v = x[i] + 0;                                                                                              \
            U bits;                                                                                                            \
            memcpy(&bits, &v, sizeof bits);                                                                                    \
            const U key = bits & (sign) ? (U)~bits : (U)(bits | (sign));                                                       \
            to[i].key = v != v ? (U)-1 : key;                                                                                  \
            nans += v != v;                                                                                                    \
        }                                                                                                                      \
        return nans;                                                                                                           \
    }
FLOAT_KEYS(F32, float, uint32_t, UINT32_C(1) << 31)
FLOAT_KEYS(F64, double, uint64_t, UINT64_C(1) << 63)

/* Counted from the type's lowest value, so that narrow types differ in few bytes. */
static void keys_I64(const int64_t *x, int64_t n, dl_dtype type, item *to) {
    const uint64_t lowest = type == DL_BOOL || type == DL_U8 ? 0 : UINT64_C(1) << (8 * cpu_size(type) - 1);
    for (int64_t i = 0; i < n; i++) to[i].key = (uint64_t)x[i] + lowest;
}

static void read_line(const sort_job *j, const char *x, line *l) {
    const cpu_lane lane = cpu_lane_of(j->type);
    cpu_row_buffer buffer;
    l->n = j->lines.length;
    l->nans = 0;
    for (int64_t i = 0; i < l->n; i += CPU_ROW) {
        const int64_t n = l->n - i < CPU_ROW ? l->n - i : CPU_ROW;
        const void *row = cpu_row_read(j->type, x + i * j->lines.step[X] * j->size, j->lines.step[X], n, lane, &buffer);
        if (lane == CPU_LANE_I64)
            keys_I64(row, n, j->type, l->items + i);
        else
            l->nans += (lane == CPU_LANE_F32 ? keys_F32 : keys_F64)(row, n, l->items + i);
    }
    for (int64_t i = 0; i < l->n; i++) l->items[i].place = i;
    if (j->descending)
        for (int64_t i = 0; i < l->n; i++) l->items[i].key = ~l->items[i].key;
}

/* ---- order ------------------------------------------------------------------------------------------------------------- */

static void insertion_sort(item *a, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        const item moving = a[i];
        int64_t k = i;
        for (; k > 0 && a[k - 1].key > moving.key; k--) a[k] = a[k - 1];
        a[k] = moving;
    }
}

static unsigned byte_of(uint64_t key, int shift) { return (unsigned)(key >> shift) & 255; }

/* Bits in which the keys of n > 0 items differ. */
static uint64_t differing(const item *a, int64_t n) {
    uint64_t bits = 0;
    for (int64_t i = 1; i < n; i++) bits |= a[i].key ^ a->key;
    return bits;
}

/* Sorts n items of a; both a and b are overwritten. Returns the one that holds the result. */
static item *sorted(item *a, item *b, int64_t n) {
    if (n <= SHORT) {
        insertion_sort(a, n);
        return a;
    }
    const uint64_t bits = differing(a, n);
    for (int shift = 0; shift < 64; shift += 8) {
        if (byte_of(bits, shift) == 0) continue;
        int64_t start[256] = {0}, next = 0;
        for (int64_t i = 0; i < n; i++) start[byte_of(a[i].key, shift)]++;
        for (int k = 0; k < 256; k++) {
            const int64_t count = start[k];
            start[k] = next;
            next += count;
        }
        for (int64_t i = 0; i < n; i++) b[start[byte_of(a[i].key, shift)]++] = a[i];
        item *const done = b;
        b = a;
        a = done;
    }
    return a;
}

/* The item that a stable sort would put at `rank`. Keeps the items in order unless there are few; overwrites spare. */
static const item *at_rank(line *l, int64_t rank) {
    if (l->n <= SHORT) return sorted(l->items, l->spare, l->n) + rank;
    const item *from = l->items;
    int64_t n = l->n;
    const uint64_t bits = differing(from, n);
    for (int shift = 56; shift >= 0; shift -= 8) {
        if (byte_of(bits, shift) == 0) continue;
        int64_t count[256] = {0}, kept = 0;
        for (int64_t i = 0; i < n; i++) count[byte_of(from[i].key, shift)]++;
        unsigned byte = 0;
        while (rank >= count[byte]) rank -= count[byte++];
        for (int64_t i = 0; i < n; i++)
            if (byte_of(from[i].key, shift) == byte) l->spare[kept++] = from[i];
        from = l->spare;
        n = kept;
    }
    return from + rank; /* all that are left have equal keys and stand in their order */
}

/* ---- choices ----------------------------------------------------------------------------------------------------------- */

static const item *choose_all(const sort_job *j, line *l) {
    (void)j;
    return sorted(l->items, l->spare, l->n);
}

static const item *choose_top(const sort_job *j, line *l) {
    const int64_t k = j->taken;
    if (k == l->n || l->n <= SHORT) return sorted(l->items, l->spare, l->n);
    const item last = *at_rank(l, k - 1);
    int64_t n = 0;
    for (int64_t i = 0; i < l->n; i++) {
        const item *a = &l->items[i];
        if (a->key < last.key || (a->key == last.key && a->place <= last.place)) l->spare[n++] = *a;
    }
    return j->sorted ? sorted(l->spare, l->items, k) : l->spare;
}

static const item *choose_median(const sort_job *j, line *l) {
    (void)j;
    return at_rank(l, l->nans ? l->n - l->nans : (l->n - 1) / 2);
}

static const item *choose_mode(const sort_job *j, line *l) {
    (void)j;
    const item *a = sorted(l->items, l->spare, l->n), *best = a;
    int64_t most = 0;
    for (int64_t i = 0, first = 0; i < l->n; i++) {
        if (i + 1 < l->n && a[i + 1].key == a[i].key) continue;
        if (i + 1 - first > most) most = i + 1 - first, best = a + i;
        first = i + 1;
    }
    return best;
}

static const item *choose_rank(const sort_job *j, line *l) { return at_rank(l, j->rank); }

/* ---- lines ------------------------------------------------------------------------------------------------------------- */

#define COPY(T)                                                                                                                \
    for (int64_t i = 0; i < j->taken; i++) ((T *)values)[i * j->lines.step[VALUES]] = ((const T *)x)[chosen[i].place * step]

static void store(const sort_job *j, const item *chosen, const char *x, char *values, int64_t *places) {
    const int64_t step = j->lines.step[X];
    switch (j->size) {
    case 1: COPY(uint8_t); break;
    case 2: COPY(uint16_t); break;
    case 4: COPY(uint32_t); break;
    default: COPY(uint64_t); break;
    }
    for (int64_t i = 0; i < j->taken; i++) places[i * j->lines.step[PLACES]] = chosen[i].place;
}

static void run_shares(void *context, int64_t begin, int64_t end) {
    const sort_job *j = context;
    const int64_t n = j->lines.length, lines = j->lines.across.count;
    for (int64_t share = begin; share < end; share++) {
        item *const space = j->scratch + share * 2 * n;
        cpu_walk w;
        cpu_walk_begin(&w, &j->lines.across, lines * share / j->shares, lines * (share + 1) / j->shares);
        while (cpu_walk_next(&w, 1)) {
            line l = {.items = space, .spare = space + n};
            const char *x = j->x + w.at[X] * j->size;
            read_line(j, x, &l);
            store(j, j->choose(j, &l), x, j->values + w.at[VALUES] * j->size, j->places + w.at[PLACES]);
        }
    }
}

/* out: t, with a dimension of size 1 in the place of dim if it has one less than x. */
static void with_dim(dl_tensor *out, const dl_tensor *t, const dl_tensor *x, int32_t dim) {
    *out = *t;
    if (t->ndim == x->ndim) return;
    out->ndim = x->ndim;
    out->shape = out->dims;
    out->strides = out->dims + DL_MAX_DIMS;
    for (int32_t d = 0; d < x->ndim; d++) {
        out->shape[d] = d == dim ? 1 : t->shape[d - (d > dim)];
        out->strides[d] = d == dim ? 0 : t->strides[d - (d > dim)];
    }
}

/* The dimension attribute in place k. */
static int32_t dim_of(const dl_frame *f, uint32_t k) {
    const int32_t ndim = f->in[0]->ndim;
    return (int32_t)(f->attr[k].v.i < 0 ? f->attr[k].v.i + (ndim ? ndim : 1) : f->attr[k].v.i);
}

static int64_t share_bytes(int64_t length) { return 2 * length * (int64_t)sizeof(item); }

/* A share of the lines for each thread that is worth it, with space for one line. */
static dl_status prepare(const dl_frame *f, dl_plan *plan, int32_t dim) {
    const dl_tensor *x = f->in[0];
    const int64_t length = x->ndim ? x->shape[dim] : 1, count = cpu_count(x), threads = cpu_threads(0);
    if (count == 0) return DL_OK;
    const int64_t lines = count / length, worth = count / (CPU_GRAIN / 16) + 1;
    int64_t shares = lines < threads ? lines : threads;
    if (shares > worth) shares = worth;
    plan->scratch_bytes = (uint64_t)(shares * share_bytes(length));
    return DL_OK;
}

static dl_status run(const dl_frame *f, const dl_plan *plan, int32_t dim, sort_job j) {
    const dl_tensor *x = f->in[0];
    dl_tensor values, places;
    if (cpu_count(x) == 0) return DL_OK;
    with_dim(&values, f->out[0], x, dim);
    with_dim(&places, f->out[1], x, dim);
    cpu_lines_init(&j.lines, dim, 3, (const dl_tensor *const[]){x, &values, &places});
    j.x = cpu_data(x);
    j.values = cpu_data(&values);
    j.places = cpu_data(&places);
    j.type = x->type;
    j.size = cpu_size(x->type);
    j.shares = (int64_t)plan->scratch_bytes / share_bytes(j.lines.length);
    j.scratch = f->scratch;
    cpu_parallel(j.shares, 1, run_shares, &j);
    return DL_OK;
}

/* sort, median, mode have the dimension in place 0; topk, kthvalue in place 1, behind k. */
static dl_status prepare_by_0(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, dim_of(f, 0)); }
static dl_status prepare_by_1(const dl_frame *f, dl_plan *plan) { return prepare(f, plan, dim_of(f, 1)); }

static dl_status run_sort(const dl_frame *f, const dl_plan *plan) {
    const int32_t dim = dim_of(f, 0);
    const int64_t n = f->in[0]->ndim ? f->in[0]->shape[dim] : 1;
    return run(f, plan, dim, (sort_job){.choose = choose_all, .taken = n, .descending = f->attr[1].v.i != 0});
}
static dl_status run_topk(const dl_frame *f, const dl_plan *plan) {
    const sort_job j = {
        .choose = choose_top, .taken = f->attr[0].v.i, .descending = f->attr[2].v.i != 0, .sorted = f->attr[3].v.i != 0};
    return j.taken == 0 ? DL_OK : run(f, plan, dim_of(f, 1), j);
}
static dl_status run_kthvalue(const dl_frame *f, const dl_plan *plan) {
    return run(f, plan, dim_of(f, 1), (sort_job){.choose = choose_rank, .taken = 1, .rank = f->attr[0].v.i - 1});
}
static dl_status run_median(const dl_frame *f, const dl_plan *plan) {
    return run(f, plan, dim_of(f, 0), (sort_job){.choose = choose_median, .taken = 1});
}
static dl_status run_mode(const dl_frame *f, const dl_plan *plan) {
    return run(f, plan, dim_of(f, 0), (sort_job){.choose = choose_mode, .taken = 1});
}

dl_status CPU_ISA(register_sort)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("sort", prepare_by_0, run_sort),         CPU_KERNEL("topk", prepare_by_1, run_topk),
        CPU_KERNEL("kthvalue", prepare_by_1, run_kthvalue), CPU_KERNEL("median", prepare_by_0, run_median),
        CPU_KERNEL("mode", prepare_by_0, run_mode),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
