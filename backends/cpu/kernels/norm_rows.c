/* norm_rows.c - layer_norm and its gradient: rows with a mean of their own, weights along them.
 *
 * The threads share the rows. Towards the weights each segment of rows, with borders that depend on the shape alone, is summed
 * by itself, and the segments' sums are added up in order. */
#include "norm.h"

enum { SHIFT_ELEMENTS = 16, SEGMENT = 65536, MAX_SEGMENTS = 32, SUMS = 1 << 21 };

typedef struct row_run {
    norm_rows *r;
    int64_t segments;
    double *sums; /* backward: by segment: towards every weight, then towards every bias */
} row_run;

typedef struct row_place {
    const int64_t *row;
    cpu_walk walk;
    int64_t done; /* elements of the row before the present ones */
} row_place;

static void enter(const norm_rows *r, const int64_t *row, row_place *p) {
    p->row = row;
    p->done = 0;
    cpu_walk_begin(&p->walk, &r->within, 0, r->within.count);
}
static int64_t place_of(const row_place *p, int operand) { return p->row[operand] + p->walk.at[operand]; }
static int64_t step_of(const norm_rows *r, int operand) { return cpu_loop_step(&r->within, operand); }
static const void *read(const norm_rows *r, const row_place *p, int operand, int64_t n, cpu_row_buffer *b) {
    return norm_read(&r->job, operand, place_of(p, operand), step_of(r, operand), n, b);
}
static const void *weights_at(const norm_rows *r, const void *weights, int64_t i) {
    return weights ? (const char *)weights + i * norm_lane_size(&r->job) : NULL;
}

static double lane_mean(cpu_lane lane, const void *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += lane == CPU_LANE_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
    return lane == CPU_LANE_F64 ? sum / (double)n : (double)(float)(sum / (double)n);
}

/* ---- forward --------------------------------------------------------------------------------------------------------------
 */

static void find_statistics(norm_rows *r, const int64_t *row, int64_t number, norm_buffers *b) {
    norm_sums sums = {0};
    double shift = 0, s, q;
    row_place p;
    enter(r, row, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0; p.done += n) {
        const void *x = read(r, &p, NORM_X, n, &b->x);
        if (p.done == 0 && !r->rms) shift = lane_mean(r->job.lane, x, n < SHIFT_ELEMENTS ? n : SHIFT_ELEMENTS);
        r->job.loops->take(x, n, shift, &sums);
    }
    norm_total(&sums, &s, &q);
    if (r->rms) {
        r->mean[number] = 0;
        r->var[number] = q / (double)r->within.count;
    } else {
        norm_statistics(s, q, (double)r->within.count, shift, &r->mean[number], &r->var[number]);
    }
    r->rstd[number] = 1 / sqrt(r->var[number] + r->eps);
}

static void put_row(norm_rows *r, const int64_t *row, int64_t number, norm_buffers *b) {
    const norm_loops *loops = r->job.loops;
    const double mean = r->mean[number], rstd = r->rstd[number];
    row_place p;
    enter(r, row, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0; p.done += n) {
        const void *x = read(r, &p, NORM_X, n, &b->x);
        const int64_t at = place_of(&p, NORM_OUT), step = step_of(r, NORM_OUT);
        void *y = norm_place(&r->job, at, step, &b->out);
        if (r->weight)
            loops->put_weighted(x, n, mean, rstd, weights_at(r, r->weight, p.done), weights_at(r, r->bias, p.done), y);
        else
            loops->put(x, n, mean, rstd, 0, y);
        norm_finish(&r->job, y, at, step, n);
    }
}

static void forward_rows(void *context, int64_t begin, int64_t end) {
    norm_rows *r = ((row_run *)context)->r;
    norm_buffers b;
    cpu_walk row;
    cpu_walk_begin(&row, &r->rows, begin, end);
    for (int64_t number = begin; cpu_walk_next(&row, 1); number++) {
        find_statistics(r, row.at, number, &b);
        put_row(r, row.at, number, &b);
    }
}

/* ---- backward -------------------------------------------------------------------------------------------------------------
 */

/* Rows in work together: they start at the offsets `row` and `step` further on each. */
typedef struct row_tile {
    const int64_t *row, *step;
    int64_t first, m; /* number of the first row; how many */
    double *sums;     /* towards every weight, then towards every bias; NULL if not wanted */
    norm_sums totals[NORM_LINES];
    norm_slope slopes[NORM_LINES];
    cpu_row_buffer x[NORM_LINES], grad[NORM_LINES], out;
} row_tile;

static norm_lines read_tile(const norm_rows *r, const row_tile *t, const row_place *p, int operand, int64_t n,
                            cpu_row_buffer *b) {
    return norm_read_lines(&r->job, operand, place_of(p, operand), t->step[operand], step_of(r, operand), t->m, n, b);
}
static const void *line(const norm_rows *r, const norm_lines *l, int64_t k) {
    return l->at + k * l->step * norm_lane_size(&r->job);
}

static void take_tile(norm_rows *r, row_tile *t) {
    const norm_loops *loops = r->job.loops;
    row_place p;
    memset(t->totals, 0, sizeof t->totals);
    enter(r, t->row, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0; p.done += n) {
        const norm_lines x = read_tile(r, t, &p, NORM_X, n, t->x), g = read_tile(r, t, &p, NORM_GRAD, n, t->grad);
        for (int64_t k = 0; k < t->m; k++)
            loops->take_back(line(r, &x, k), line(r, &g, k), weights_at(r, r->weight, p.done), n, r->mean[t->first + k],
                             &t->totals[k]);
        if (t->sums)
            loops->take_affine(x.at, x.step, g.at, g.step, t->m, n, r->mean + t->first, r->rstd + t->first, t->sums + p.done,
                               t->sums + r->within.count + p.done);
    }
}

static void put_tile(norm_rows *r, row_tile *t) {
    row_place p;
    enter(r, t->row, &p);
    for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0; p.done += n) {
        const norm_lines x = read_tile(r, t, &p, NORM_X, n, t->x), g = read_tile(r, t, &p, NORM_GRAD, n, t->grad);
        for (int64_t k = 0; k < t->m; k++) {
            const int64_t at = place_of(&p, NORM_OUT) + k * t->step[NORM_OUT], step = step_of(r, NORM_OUT);
            void *y = norm_place(&r->job, at, step, &t->out);
            r->job.loops->put_back(line(r, &x, k), line(r, &g, k), weights_at(r, r->weight, p.done), n, r->mean[t->first + k],
                                   &t->slopes[k], y);
            norm_finish(&r->job, y, at, step, n);
        }
    }
}

static void back_rows(norm_rows *r, int64_t begin, int64_t end, double *sums) {
    int64_t step[NORM_OPERANDS];
    row_tile t = {.step = step, .first = begin, .sums = sums};
    cpu_walk row;
    for (int k = 0; k < NORM_OPERANDS; k++) step[k] = cpu_loop_step(&r->rows, k);
    cpu_walk_begin(&row, &r->rows, begin, end);
    for (; (t.m = cpu_walk_next(&row, NORM_LINES)) != 0; t.first += t.m) {
        t.row = row.at;
        take_tile(r, &t);
        for (int64_t k = 0; k < t.m; k++) {
            double of_g, of_gx;
            norm_total(&t.totals[k], &of_g, &of_gx);
            t.slopes[k] = norm_slope_of(r->rstd[t.first + k], of_g, of_gx, (double)r->within.count);
            if (r->rms) t.slopes[k].constant = 0;
        }
        put_tile(r, &t);
    }
}

static void backward_rows(void *context, int64_t begin, int64_t end) { back_rows(((row_run *)context)->r, begin, end, NULL); }

static void backward_segments(void *context, int64_t begin, int64_t end) {
    const row_run *run = context;
    const int64_t rows = run->r->rows.count, n = 2 * run->r->within.count;
    for (int64_t segment = begin; segment < end; segment++) {
        double *sums = run->sums + segment * n;
        for (int64_t i = 0; i < n; i++) sums[i] = 0;
        back_rows(run->r, rows * segment / run->segments, rows * (segment + 1) / run->segments, sums);
    }
}

static void backward_with_weights(row_run *run) {
    norm_rows *r = run->r;
    const int64_t n = r->within.count, most = SUMS / (n + 1) + 1;
    run->segments = r->rows.count * n / SEGMENT + 1;
    if (run->segments > MAX_SEGMENTS) run->segments = MAX_SEGMENTS;
    if (run->segments > most) run->segments = most;
    run->sums = cpu_host->mem(NULL, 2 * (size_t)(run->segments * n + 1) * sizeof(double));
    if (!run->sums) {
        r->job.fault = CPU_NO_MEMORY;
        return;
    }
    cpu_parallel(run->segments, 1, backward_segments, run);
    for (int64_t i = 0; i < n; i++) r->to_weight[i] = r->to_bias[i] = 0;
    for (int64_t k = 0; k < run->segments; k++)
        for (int64_t i = 0; i < n; i++) {
            r->to_weight[i] += run->sums[2 * k * n + i];
            r->to_bias[i] += run->sums[(2 * k + 1) * n + i];
        }
    cpu_host->mem(run->sums, 0);
}

void cpu_norm_rows(norm_rows *r) {
    row_run run = {.r = r};
    const int64_t grain = CPU_GRAIN / 4 / (r->within.count + 1);
    if (!r->job.data[NORM_GRAD])
        cpu_parallel(r->rows.count, grain > 1 ? grain : 1, forward_rows, &run);
    else if (r->to_weight)
        backward_with_weights(&run);
    else
        cpu_parallel(r->rows.count, grain > 1 ? grain : 1, backward_rows, &run);
}
