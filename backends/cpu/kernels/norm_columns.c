/* norm_columns.c - batch_norm and group_norm where the channels lie together: (N, C) and channels-last.
 *
 * A set is the rows whose columns have statistics of their own: batch_norm has one set, group_norm one for each sample. Its
 * rows are cut into segments, at borders that depend on the shape alone, and its columns into blocks; each piece is summed by
 * itself and the segments' sums are added up in order. The threads share the pieces of one set after the other, or, where sets
 * are small, the sets. */
#include "norm.h"

enum { SEGMENT = 65536, MAX_SEGMENTS = 64, SEGMENT_ROWS = 32, TOGETHER = 2048 };
enum { MEAN, SCALE, CONSTANT, SLOPE, COEFFICIENTS }; /* by column, in the lane's type */

typedef struct column_run {
    norm_channels *c;
    int64_t sets, segments, blocks;
    double count; /* elements of a group */
} column_run;

typedef struct column_set {
    const column_run *run;
    int64_t number, at[NORM_OPERANDS];
    char *coefficient[COEFFICIENTS];
    double *sums; /* by segment: s of every column, then q */
} column_set;

/* Columns [first, first + n) of rows in a segment. */
typedef struct column_piece {
    int64_t segment, first, n;
    cpu_walk walk;
} column_piece;

static void enter(const column_set *s, int64_t number, column_piece *p) {
    const column_run *r = s->run;
    const int64_t rows = r->c->places.count, left = r->c->channels - number % r->blocks * CPU_ROW;
    p->segment = number / r->blocks;
    p->first = number % r->blocks * CPU_ROW;
    p->n = left < CPU_ROW ? left : CPU_ROW;
    cpu_walk_begin(&p->walk, &r->c->places, rows * p->segment / r->segments, rows * (p->segment + 1) / r->segments);
}

static int64_t place_of(const column_set *s, const column_piece *p, int operand) {
    return s->at[operand] + p->walk.at[operand] + p->first * s->run->c->channel_step[operand];
}

/* m rows of a piece. */
static norm_lines read_rows(const column_set *s, const column_piece *p, int operand, int64_t m, cpu_row_buffer *b) {
    const norm_channels *c = s->run->c;
    return norm_read_lines(&c->job, operand, place_of(s, p, operand), cpu_loop_step(&c->places, operand),
                           c->channel_step[operand], m, p->n, b);
}

/* Rows to take at a time. */
static int64_t most_rows(const norm_channels *c, int64_t whole) {
    for (int k = 0; k < NORM_OPERANDS; k++)
        if (c->job.data[k] && !norm_direct(&c->job, k, c->channel_step[k])) return NORM_LINES;
    return whole;
}

typedef struct column_buffers {
    cpu_row_buffer x[NORM_LINES], grad[NORM_LINES], out[NORM_LINES];
} column_buffers;

static void take_pieces(void *context, int64_t begin, int64_t end) {
    const column_set *s = context;
    const norm_channels *c = s->run->c;
    const int64_t most = most_rows(c, INT64_MAX);
    column_buffers b;
    for (int64_t number = begin; number < end; number++) {
        column_piece p;
        enter(s, number, &p);
        double *to = s->sums + 2 * p.segment * c->channels + p.first, *squares = to + c->channels;
        const void *mean = s->coefficient[MEAN] + p.first * norm_lane_size(&c->job);
        for (int64_t i = 0; i < p.n; i++) to[i] = squares[i] = 0;
        for (int64_t m; (m = cpu_walk_next(&p.walk, most)) != 0;) {
            const norm_lines x = read_rows(s, &p, NORM_X, m, b.x);
            if (c->job.data[NORM_GRAD]) {
                const norm_lines g = read_rows(s, &p, NORM_GRAD, m, b.grad);
                c->job.loops->take_back_columns(x.at, x.step, g.at, g.step, m, p.n, mean, to, squares);
            } else {
                c->job.loops->take_columns(x.at, x.step, m, p.n, mean, to, squares);
            }
        }
    }
}

/* Applies the epilogue to m rows of results and stores those that were computed aside. */
static void finish_rows(const column_set *s, const column_piece *p, int64_t m, char *y, int64_t step) {
    norm_channels *c = s->run->c;
    const int64_t at = place_of(s, p, NORM_OUT), row = cpu_loop_step(&c->places, NORM_OUT), across = c->channel_step[NORM_OUT];
    if (norm_direct(&c->job, NORM_OUT, across) && step == p->n) {
        norm_finish(&c->job, y, at, across, m * p->n);
        return;
    }
    for (int64_t k = 0; k < m; k++) norm_finish(&c->job, y + k * step * norm_lane_size(&c->job), at + k * row, across, p->n);
}

static void put_pieces(void *context, int64_t begin, int64_t end) {
    const column_set *s = context;
    const norm_channels *c = s->run->c;
    const int direct = norm_direct(&c->job, NORM_OUT, c->channel_step[NORM_OUT]);
    column_buffers b;
    for (int64_t number = end - 1; number >= begin; number--) { /* what was read last is still in a cache */
        column_piece p;
        enter(s, number, &p);
        const int64_t most = most_rows(c, TOGETHER / p.n + 1), from = p.first * norm_lane_size(&c->job);
        const norm_columns k = {s->coefficient[MEAN] + from, s->coefficient[SCALE] + from, s->coefficient[CONSTANT] + from,
                                s->coefficient[SLOPE] + from};
        for (int64_t m; (m = cpu_walk_next(&p.walk, most)) != 0;) {
            const norm_lines x = read_rows(s, &p, NORM_X, m, b.x);
            char *y = direct ? norm_at(&c->job, NORM_OUT, place_of(s, &p, NORM_OUT)) : (char *)b.out;
            const int64_t step =
                direct ? cpu_loop_step(&c->places, NORM_OUT) : (int64_t)sizeof *b.out / norm_lane_size(&c->job);
            if (c->job.data[NORM_GRAD]) {
                const norm_lines g = read_rows(s, &p, NORM_GRAD, m, b.grad);
                c->job.loops->put_back_columns(x.at, x.step, g.at, g.step, m, p.n, &k, y, step);
            } else {
                c->job.loops->put_columns(x.at, x.step, m, p.n, &k, y, step);
            }
            finish_rows(s, &p, m, y, step);
        }
    }
}

static void each_piece(column_set *s, void (*body)(void *, int64_t, int64_t)) {
    const column_run *r = s->run;
    const int64_t pieces = r->segments * r->blocks, piece = r->c->places.count * r->c->channels / pieces + 1;
    const int64_t grain = CPU_GRAIN / 4 / piece;
    cpu_parallel(pieces, grain > 1 ? grain : 1, body, s);
}

static void set_coefficient(const column_set *s, int which, int64_t column, double value) {
    if (s->run->c->job.lane == CPU_LANE_F64)
        ((double *)(void *)s->coefficient[which])[column] = value;
    else
        ((float *)(void *)s->coefficient[which])[column] = (float)value;
}
static double coefficient(const column_set *s, int which, int64_t column) {
    return s->run->c->job.lane == CPU_LANE_F64 ? ((double *)(void *)s->coefficient[which])[column]
                                               : (double)((float *)(void *)s->coefficient[which])[column];
}

/* Sums over all segments, left where the first one's are. */
static void sum_pieces(column_set *s) {
    const int64_t n = 2 * s->run->c->channels;
    each_piece(s, take_pieces);
    for (int64_t k = 1; k < s->run->segments; k++)
        for (int64_t i = 0; i < n; i++) s->sums[i] += s->sums[k * n + i];
}

static int64_t first_group(const column_set *s) { return s->number * s->run->c->groups; }

/* Deviations are taken from the first element of each group. */
static void find_statistics(column_set *s) {
    norm_channels *c = s->run->c;
    const int64_t step = c->channel_step[NORM_X];
    for (int64_t k = 0; k < c->channels; k++) {
        const char *first = norm_at(&c->job, NORM_X, s->at[NORM_X] + k / c->width * c->width * step);
        set_coefficient(s, MEAN, k, cpu_load_f64(c->job.type[NORM_X], first));
    }
    sum_pieces(s);
    for (int64_t group = first_group(s), k = 0; k < c->channels; group++, k += c->width) {
        double sum = 0, squares = 0;
        for (int64_t i = k; i < k + c->width; i++) sum += s->sums[i], squares += s->sums[c->channels + i];
        norm_statistics(sum, squares, s->run->count, coefficient(s, MEAN, k), &c->mean[group], &c->var[group]);
        c->rstd[group] = 1 / sqrt(c->var[group] + c->eps);
    }
}

/* Each column's coefficients forward; backward its mean alone. */
static void place_statistics(column_set *s) {
    const norm_channels *c = s->run->c;
    for (int64_t k = 0; k < c->channels; k++) {
        const int64_t group = first_group(s) + k / c->width;
        set_coefficient(s, MEAN, k, c->mean[group]);
        set_coefficient(s, SCALE, k, c->rstd[group] * (c->weight ? c->weight[k] : 1));
        set_coefficient(s, CONSTANT, k, c->bias ? c->bias[k] : 0);
    }
}

static void find_slopes(column_set *s) {
    const norm_channels *c = s->run->c;
    const double *of_g = s->sums, *of_gx = s->sums + c->channels;
    sum_pieces(s);
    for (int64_t group = first_group(s), first = 0; first < c->channels; group++, first += c->width) {
        double g = 0, gx = 0;
        for (int64_t k = first; k < first + c->width; k++) {
            const double weight = c->weight ? c->weight[k] : 1;
            double *to = &c->sums[2 * (s->number * c->channels + k)];
            g += weight * of_g[k];
            gx += weight * of_gx[k];
            to[0] = of_g[k];
            to[1] = of_gx[k] * c->rstd[group];
        }
        const norm_slope slope =
            c->fixed ? (norm_slope){c->rstd[group], 0, 0} : norm_slope_of(c->rstd[group], g, gx, s->run->count);
        for (int64_t k = first; k < first + c->width; k++) {
            set_coefficient(s, SCALE, k, slope.scale * (c->weight ? c->weight[k] : 1));
            set_coefficient(s, CONSTANT, k, slope.constant);
            set_coefficient(s, SLOPE, k, slope.slope);
        }
    }
}

static void run_set(column_set *s) {
    const norm_channels *c = s->run->c;
    const int back = c->job.data[NORM_GRAD] != NULL;
    for (int k = 0; k < NORM_OPERANDS; k++) s->at[k] = c->batch ? 0 : s->number * c->sample_step[k];
    if (!back && !c->fixed) find_statistics(s);
    place_statistics(s);
    if (back) find_slopes(s);
    each_piece(s, put_pieces);
}

static void run_sets(void *context, int64_t begin, int64_t end) {
    const column_run *r = context;
    const size_t sums = 2 * (size_t)(r->segments * r->c->channels) * sizeof(double);
    const size_t row = (size_t)(r->c->channels * norm_lane_size(&r->c->job));
    char *memory = cpu_host->mem(NULL, sums + COEFFICIENTS * row);
    if (!memory) {
        __atomic_store_n(&r->c->job.fault, CPU_NO_MEMORY, __ATOMIC_RELAXED);
        return;
    }
    column_set s = {.run = r, .sums = (double *)(void *)memory};
    for (int k = 0; k < COEFFICIENTS; k++) s.coefficient[k] = memory + sums + (size_t)k * row;
    for (s.number = begin; s.number < end; s.number++) run_set(&s);
    cpu_host->mem(memory, 0);
}

void cpu_norm_columns(norm_channels *c) {
    column_run r = {.c = c, .sets = c->batch ? 1 : c->samples};
    const int64_t rows = c->places.count, elements = rows * c->channels;
    r.blocks = (c->channels + CPU_ROW - 1) / CPU_ROW;
    r.segments = elements / SEGMENT + 1;
    if (r.segments > rows / SEGMENT_ROWS + 1) r.segments = rows / SEGMENT_ROWS + 1;
    if (r.segments > MAX_SEGMENTS) r.segments = MAX_SEGMENTS;
    r.count = (double)(rows * c->width);
    const int64_t grain = CPU_GRAIN / 4 / (elements + 1);
    if (r.sets >= 2 * cpu_threads(0) || elements < CPU_GRAIN)
        cpu_parallel(r.sets, grain > 1 ? grain : 1, run_sets, &r);
    else
        run_sets(&r, 0, r.sets);
}
