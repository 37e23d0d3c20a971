/* scan.c - running sums and products along a dimension. Floats run in double, so the last element is as accurate as sum's.
 *
 * Lines whose elements lie together run one by one; where neighbouring lines lie closer, a block of them runs abreast. */
#include "loop.h"
#include "row.h"
#include "types.h"

enum { X, OUT };
enum { ABREAST = CPU_ROW };

typedef struct scan_job {
    cpu_lines lines;
    char *x, *out;
    dl_dtype x_type, out_type;
    int64_t x_size, out_size;
    cpu_lane lane; /* of the running values */
    int product;
} scan_job;

/* Integers wrap. Of sums, four elements wait for the running value once, not four times. */
#define RUNNING(LANE, T)                                                                                                       \
    static void along_##LANE(const void *values, int64_t n, int product, void *running, void *to) {                            \
        const T *restrict x = values;                                                                                          \
        T r = *(T *)running, *restrict y = to;                                                                                 \
        int64_t i = 0;                                                                                                         \
        for (; product && i < n; i++) y[i] = r *= x[i];                                                                        \
        for (; i + 4 <= n; i += 4) {                                                                                           \
            const T pair = x[i] + x[i + 1], three = pair + x[i + 2], four = pair + (x[i + 2] + x[i + 3]);                      \
            y[i] = r + x[i], y[i + 1] = r + pair, y[i + 2] = r + three, r = y[i + 3] = r + four;                               \
        }                                                                                                                      \
        for (; i < n; i++) y[i] = r += x[i];                                                                                   \
        *(T *)running = r;                                                                                                     \
    }                                                                                                                          \
    static void abreast_##LANE(const void *values, int64_t n, int product, void *running) {                                    \
        const T *restrict x = values;                                                                                          \
        T *restrict r = running;                                                                                               \
        if (product)                                                                                                           \
            for (int64_t i = 0; i < n; i++) r[i] *= x[i];                                                                      \
        else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) r[i] += x[i];                                                                      \
    }
RUNNING(F64, double)
RUNNING(I64, uint64_t)

typedef union running {
    double f64[ABREAST];
    uint64_t i64[ABREAST];
} running;

static void start(const scan_job *j, running *r) {
    if (j->lane == CPU_LANE_I64)
        for (int k = 0; k < ABREAST; k++) r->i64[k] = (uint64_t)j->product;
    else
        for (int k = 0; k < ABREAST; k++) r->f64[k] = j->product;
}

static void scan_line(const scan_job *j, int64_t x, int64_t out) {
    cpu_row_buffer b, y;
    running r;
    start(j, &r);
    for (int64_t i = 0; i < j->lines.length; i += CPU_ROW) {
        const int64_t n = j->lines.length - i < CPU_ROW ? j->lines.length - i : CPU_ROW;
        const void *values =
            cpu_row_read(j->x_type, j->x + (x + i * j->lines.step[X]) * j->x_size, j->lines.step[X], n, j->lane, &b);
        (j->lane == CPU_LANE_I64 ? along_I64 : along_F64)(values, n, j->product, &r, &y);
        cpu_row_write(j->out_type, j->out + (out + i * j->lines.step[OUT]) * j->out_size, j->lines.step[OUT], n, j->lane, &y);
    }
}

static void scan_abreast(const scan_job *j, int64_t x, int64_t out, int64_t n) {
    const int64_t x_stride = cpu_loop_step(&j->lines.across, X), out_stride = cpu_loop_step(&j->lines.across, OUT);
    cpu_row_buffer b;
    running r;
    start(j, &r);
    for (int64_t i = 0; i < j->lines.length; i++) {
        const void *values = cpu_row_read(j->x_type, j->x + (x + i * j->lines.step[X]) * j->x_size, x_stride, n, j->lane, &b);
        (j->lane == CPU_LANE_I64 ? abreast_I64 : abreast_F64)(values, n, j->product, &r);
        cpu_row_write(j->out_type, j->out + (out + i * j->lines.step[OUT]) * j->out_size, out_stride, n, j->lane, &r);
    }
}

static void scan_lines(void *context, int64_t begin, int64_t end) {
    const scan_job *j = context;
    const int abreast = cpu_loop_step(&j->lines.across, X) < j->lines.step[X];
    cpu_walk w;
    cpu_walk_begin(&w, &j->lines.across, begin, end);
    for (int64_t n; (n = cpu_walk_next(&w, abreast ? ABREAST : 1)) != 0;) {
        if (abreast)
            scan_abreast(j, w.at[X], w.at[OUT], n);
        else
            scan_line(j, w.at[X], w.at[OUT]);
    }
}

static dl_status scan(const dl_frame *f, int product) {
    const dl_tensor *x = f->in[0], *out = f->out[0], *const tensors[] = {x, out};
    scan_job j = {.x = cpu_data(x), .out = cpu_data(out), .x_type = x->type, .out_type = out->type, .product = product};
    j.x_size = cpu_size(x->type);
    j.out_size = cpu_size(out->type);
    j.lane = cpu_lane_of(out->type) == CPU_LANE_I64 ? CPU_LANE_I64 : CPU_LANE_F64;
    cpu_lines_init(&j.lines, f->attr[0].v.i, 2, tensors);
    if (j.lines.length == 0) return DL_OK;
    const int64_t grain = CPU_GRAIN / j.lines.length;
    cpu_parallel(j.lines.across.count, grain > 1 ? grain : 1, scan_lines, &j);
    return DL_OK;
}

static dl_status run_cumsum(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return scan(f, 0);
}
static dl_status run_cumprod(const dl_frame *f, const dl_plan *plan) {
    (void)plan;
    return scan(f, 1);
}

dl_status CPU_ISA(register_scan)(void) {
    static const dl_kernel kernels[] = {
        CPU_KERNEL("cumsum", NULL, run_cumsum),
        CPU_KERNEL("cumprod", NULL, run_cumprod),
    };
    return cpu_add_kernels(kernels, sizeof kernels / sizeof *kernels);
}
