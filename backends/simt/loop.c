/* loop.c - loops, lines and teams on the host (loop.h). */
#include "backends/simt/loop.h"

enum { TOO_MANY = -1 }; /* ndim of a loop that does not fit */

/* ---- loops -------------------------------------------------------------------------------------------------------------- */

void simt_loop_begin(simt_loop *l) { *l = (simt_loop){.count = 1}; }

void simt_loop_dim(simt_loop *l, int64_t size, const int64_t *steps) {
    l->count *= size;
    if (size == 1 || l->ndim == TOO_MANY) return;
    int even = l->ndim > 0;
    for (int k = 0; even && k < SIMT_LOOP_OPERANDS; k++) even = l->step[k][l->ndim - 1] == steps[k] * size;
    if (!even) {
        if (l->ndim == SIMT_LOOP_DIMS) {
            l->ndim = TOO_MANY;
            return;
        }
        l->size[l->ndim++] = 1;
    }
    l->size[l->ndim - 1] *= size;
    for (int k = 0; k < SIMT_LOOP_OPERANDS; k++) l->step[k][l->ndim - 1] = steps[k];
}

dl_status simt_loop_check(const simt_loop *l) {
    if (l->ndim != TOO_MANY) return DL_OK;
    return simt_of.host->fail(DL_UNSUPPORTED,
                              "expected strides that leave at most %d dimensions apart, got more: make the tensors contiguous",
                              SIMT_LOOP_DIMS);
}

dl_status simt_loop_over(simt_loop *l, int32_t n, const dl_tensor *const *t, int anyhow) {
    int32_t order[DL_MAX_DIMS];
    const int32_t ndim = t[0]->ndim;
    for (int32_t d = 0; d < ndim; d++) {
        int32_t p = d;
        for (; anyhow && p > 0 && t[0]->strides[order[p - 1]] < t[0]->strides[d]; p--) order[p] = order[p - 1];
        order[p] = d;
    }
    simt_loop_begin(l);
    for (int32_t d = 0; d < ndim; d++) {
        int64_t steps[SIMT_LOOP_OPERANDS] = {0};
        for (int32_t k = 0; k < n; k++) steps[k] = t[k] ? t[k]->strides[order[d]] : 0;
        simt_loop_dim(l, t[0]->shape[order[d]], steps);
    }
    return simt_loop_check(l);
}

dl_status simt_lines_along(simt_lines *l, int64_t dim, int32_t n, const dl_tensor *const *t) {
    const int32_t ndim = t[0]->ndim;
    if (dim < 0) dim += ndim ? ndim : 1;
    *l = (simt_lines){.length = ndim ? t[0]->shape[dim] : 1};
    simt_loop_begin(&l->across);
    for (int32_t k = 0; k < n; k++)
        if (ndim && t[k]->ndim == ndim) l->step[k] = t[k]->strides[dim];
    for (int32_t d = 0; d < ndim; d++) {
        int64_t steps[SIMT_LOOP_OPERANDS] = {0};
        if (d == dim) continue;
        for (int32_t k = 0; k < n; k++) steps[k] = t[k]->strides[t[k]->ndim == ndim || d < dim ? d : d - 1];
        simt_loop_dim(&l->across, t[0]->shape[d], steps);
    }
    return simt_loop_check(&l->across);
}

/* ---- teams -------------------------------------------------------------------------------------------------------------- */

simt_team simt_team_of(int64_t teams, int64_t length, int close) {
    enum {
        EACH = 4,
        ENOUGH = 1 << 14
    }; /* elements that one item takes where there is enough to do; items that fill a device */
    int64_t size = 1;
    while (size < SIMT_TEAM_GROUP && 2 * size <= length && (EACH * size < length || teams < ENOUGH / size)) size *= 2;
    return (simt_team){size, close ? SIMT_TEAM_GROUP / size : 1};
}

simt_team simt_team_for(const simt_lines *l) {
    const int64_t between = l->across.ndim > 0 ? l->across.step[0][l->across.ndim - 1] : l->step[0];
    return simt_team_of(l->across.count, l->length, between < l->step[0]);
}

dl_status simt_launch_teams(const dl_frame *f, void *function, simt_team team, int64_t teams, const simt_args *a) {
    const int64_t each = SIMT_TEAM_GROUP / team.size;
    return simt_launch_groups(f, function, teams / each + (teams % each != 0), SIMT_TEAM_GROUP, a);
}
