/* norm_planes.c - batch_norm and group_norm where a channel's elements lie together.
 *
 * A group, what one mean belongs to, is cut into cells in which the weight is constant: group_norm's are its channels,
 * batch_norm's are stretches of the one channel, with borders that depend on the shape alone. The threads share the groups, or,
 * where those are few, the cells of one group after the other. A group that fits the cache is read from memory once. */
#include "norm.h"

enum { CELL = 16384, MAX_CELLS = 64, SHIFT_ELEMENTS = 16 };

typedef struct plane_run {
    norm_channels *c;
    int64_t groups, cells; /* cells of a group */
    double count;          /* elements of a group */
} plane_run;

/* One group in work. */
typedef struct plane_group {
    const plane_run *run;
    int64_t number, channel; /* its first channel */
    int64_t set;             /* of the sums towards weights */
    int64_t at[NORM_OPERANDS];
    double mean, rstd;
    norm_slope slope;
    double *sums; /* by cell: s, q */
} plane_group;

/* The elements of one cell. */
typedef struct plane_cell {
    int64_t channel, at[NORM_OPERANDS];
    cpu_walk walk;
} plane_cell;

static void enter(const plane_group *g, int64_t cell, plane_cell *p) {
    const norm_channels *c = g->run->c;
    const int64_t all = c->places.count;
    p->channel = g->channel + (c->batch ? 0 : cell);
    for (int k = 0; k < NORM_OPERANDS; k++) p->at[k] = g->at[k] + (c->batch ? 0 : cell * c->channel_step[k]);
    if (c->batch)
        cpu_walk_begin(&p->walk, &c->places, all * cell / g->run->cells, all * (cell + 1) / g->run->cells);
    else
        cpu_walk_begin(&p->walk, &c->places, 0, all);
}

static int64_t place_of(const plane_cell *p, int operand) { return p->at[operand] + p->walk.at[operand]; }
static int64_t step_of(const norm_channels *c, int operand) { return cpu_loop_step(&c->places, operand); }

/* Elements that can be read at a time: all where none is converted. */
static int64_t longest(const norm_channels *c, int operands) {
    for (int k = 0; k < operands; k++)
        if (k != NORM_OUT && !norm_direct(&c->job, k, step_of(c, k))) return CPU_ROW;
    return INT64_MAX;
}

static void take_cells(void *context, int64_t begin, int64_t end) {
    const plane_group *g = context;
    const norm_channels *c = g->run->c;
    const norm_job *j = &c->job;
    const int back = j->data[NORM_GRAD] != NULL;
    const int64_t most = longest(c, back ? NORM_OPERANDS : NORM_OUT);
    norm_buffers b;
    for (int64_t cell = begin; cell < end; cell++) {
        norm_sums sums = {0};
        plane_cell p;
        enter(g, cell, &p);
        for (int64_t n; (n = cpu_walk_next(&p.walk, most)) != 0;) {
            const void *x = norm_read(j, NORM_X, place_of(&p, NORM_X), step_of(c, NORM_X), n, &b.x);
            if (back)
                j->loops->take_back(x, norm_read(j, NORM_GRAD, place_of(&p, NORM_GRAD), step_of(c, NORM_GRAD), n, &b.grad),
                                    NULL, n, g->mean, &sums);
            else
                j->loops->take(x, n, g->mean, &sums);
        }
        norm_total(&sums, &g->sums[2 * cell], &g->sums[2 * cell + 1]);
    }
}

static void put_cells(void *context, int64_t begin, int64_t end) {
    const plane_group *g = context;
    norm_channels *c = g->run->c;
    norm_job *j = &c->job;
    norm_buffers b;
    for (int64_t cell = begin; cell < end; cell++) {
        plane_cell p;
        enter(g, cell, &p);
        const double weight = c->weight ? c->weight[p.channel] : 1, bias = c->bias ? c->bias[p.channel] : 0;
        norm_slope slope = g->slope;
        slope.scale *= weight;
        for (int64_t n; (n = cpu_walk_next(&p.walk, CPU_ROW)) != 0;) {
            const void *x = norm_read(j, NORM_X, place_of(&p, NORM_X), step_of(c, NORM_X), n, &b.x);
            const int64_t at = place_of(&p, NORM_OUT), step = step_of(c, NORM_OUT);
            void *y = norm_place(j, at, step, &b.out);
            if (j->data[NORM_GRAD])
                j->loops->put_back(x, norm_read(j, NORM_GRAD, place_of(&p, NORM_GRAD), step_of(c, NORM_GRAD), n, &b.grad), NULL,
                                   n, g->mean, &slope, y);
            else
                j->loops->put(x, n, g->mean, g->rstd * weight, bias, y);
            norm_finish(j, y, at, step, n);
        }
    }
}

/* Calls body for the cells of a group, each in a thread of its own where that pays. */
static void each_cell(plane_group *g, void (*body)(void *, int64_t, int64_t)) {
    const int64_t cell = (int64_t)g->run->count / g->run->cells + 1, grain = CPU_GRAIN / 4 / cell;
    cpu_parallel(g->run->cells, grain > 1 ? grain : 1, body, g);
}

/* The mean of the group's first elements, as the lane holds it. */
static double shift_of(const plane_group *g) {
    const norm_channels *c = g->run->c;
    const int wide = c->job.lane == CPU_LANE_F64;
    cpu_row_buffer b;
    plane_cell p;
    double sum = 0;
    int64_t taken = 0;
    enter(g, 0, &p);
    for (int64_t n; taken < SHIFT_ELEMENTS && (n = cpu_walk_next(&p.walk, SHIFT_ELEMENTS - taken)) != 0; taken += n) {
        const void *x = norm_read(&c->job, NORM_X, place_of(&p, NORM_X), step_of(c, NORM_X), n, &b);
        for (int64_t i = 0; i < n; i++) sum += wide ? ((const double *)x)[i] : (double)((const float *)x)[i];
    }
    return wide ? sum / (double)taken : (double)(float)(sum / (double)taken);
}

static void find_statistics(plane_group *g) {
    norm_channels *c = g->run->c;
    double s = 0, q = 0;
    g->mean = shift_of(g);
    each_cell(g, take_cells);
    for (int64_t cell = 0; cell < g->run->cells; cell++) s += g->sums[2 * cell], q += g->sums[2 * cell + 1];
    norm_statistics(s, q, g->run->count, g->mean, &c->mean[g->number], &c->var[g->number]);
    c->rstd[g->number] = 1 / sqrt(c->var[g->number] + c->eps);
}

/* Sums towards weights and x's slope. */
static void find_slope(plane_group *g) {
    const norm_channels *c = g->run->c;
    double of_g = 0, of_gx = 0;
    each_cell(g, take_cells);
    for (int64_t cell = 0; cell < g->run->cells; cell++) {
        const int64_t channel = g->channel + (c->batch ? 0 : cell);
        const double weight = c->weight ? c->weight[channel] : 1, *cell_sums = &g->sums[2 * cell];
        double *to = &c->sums[2 * (g->set * c->channels + channel)];
        of_g += weight * cell_sums[0];
        of_gx += weight * cell_sums[1];
        to[0] += cell_sums[0];
        to[1] += cell_sums[1] * g->rstd;
    }
    g->slope = c->fixed ? (norm_slope){g->rstd, 0, 0} : norm_slope_of(g->rstd, of_g, of_gx, g->run->count);
}

static void run_group(plane_group *g) {
    const norm_channels *c = g->run->c;
    const int64_t sample = c->batch ? 0 : g->number / c->groups;
    g->channel = c->batch ? g->number : g->number % c->groups * c->width;
    g->set = sample;
    for (int k = 0; k < NORM_OPERANDS; k++) g->at[k] = sample * c->sample_step[k] + g->channel * c->channel_step[k];
    if (!c->job.data[NORM_GRAD] && !c->fixed) find_statistics(g);
    g->mean = c->mean[g->number];
    g->rstd = c->rstd[g->number];
    if (c->job.data[NORM_GRAD]) find_slope(g);
    each_cell(g, put_cells);
}

static void run_groups(void *context, int64_t begin, int64_t end) {
    const plane_run *r = context;
    plane_group g = {.run = r, .sums = cpu_host->mem(NULL, 2 * (size_t)r->cells * sizeof(double))};
    if (!g.sums) {
        __atomic_store_n(&r->c->job.fault, CPU_NO_MEMORY, __ATOMIC_RELAXED);
        return;
    }
    for (g.number = begin; g.number < end; g.number++) run_group(&g);
    cpu_host->mem(g.sums, 0);
}

void cpu_norm_planes(norm_channels *c) {
    plane_run r = {.c = c};
    r.groups = c->batch ? c->groups : c->samples * c->groups;
    r.cells = c->batch ? c->places.count / CELL + 1 : c->width;
    if (c->batch && r.cells > MAX_CELLS) r.cells = MAX_CELLS;
    r.count = (double)(c->places.count * c->width);
    const int64_t grain = CPU_GRAIN / 4 / ((int64_t)r.count + 1), threads = cpu_threads(0);
    if (r.groups >= 2 * threads || r.count < CPU_GRAIN)
        cpu_parallel(r.groups, grain > 1 ? grain : 1, run_groups, &r);
    else
        run_groups(&r, 0, r.groups);
}
