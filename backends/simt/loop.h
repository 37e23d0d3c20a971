/* loop.h - index spaces and teams: what strided kernels share with the host code that launches them.
 *
 * One text for both sides: C includes it, and the build puts it into every kernel text that says #include
 * "backends/simt/loop.h" (tools/embed.sh). Structs here are kernel arguments passed by value: fields of 8 bytes alone, and less
 * than 1 KB in all for any kernel, the least that OpenCL promises.
 *
 * A loop goes over the elements of a shape in logical (row-major) order; each operand has its own step along each dimension.
 * Dimensions that every operand steps through evenly are one, so few are left. Lines are a loop over the other dimensions and
 * the steps along one. A team is a part of a work group that works on one line: `size` items, `apart` places from each other in
 * the group, so that neighbouring items are on neighbouring elements of whatever lies closer together. */
#ifndef SIMT_LOOP_H
#define SIMT_LOOP_H

#define SIMT_LOOP_DIMS 6
#define SIMT_LOOP_OPERANDS 6
#define SIMT_TEAM_GROUP 128 /* items of a work group that is cut into teams; a power of two */

#ifndef KERNEL
#include "backends/simt/simt.h"
#endif

typedef struct simt_loop {
    i64 count, ndim; /* elements; ndim 0: one */
    i64 size[SIMT_LOOP_DIMS], step[SIMT_LOOP_OPERANDS][SIMT_LOOP_DIMS];
} simt_loop;

typedef struct simt_lines {
    simt_loop across;
    i64 length, step[SIMT_LOOP_OPERANDS];
} simt_lines;

typedef struct simt_team {
    i64 size, apart; /* powers of two; size * apart is SIMT_TEAM_GROUP, or apart is 1 */
} simt_team;

#ifdef KERNEL /* ---- in kernels ------------------------------------------------------------------------------------------ */

/* at[k]: where operand k is at element number i, for the first `operands` ones. */
DEVICE void loop_at(const simt_loop *l, i64 i, i32 operands, i64 *at) {
    const i32 narrow = l->count <= 0x7fffffff;
    for (i32 k = 0; k < operands; k++) at[k] = 0;
    for (i32 d = (i32)l->ndim - 1; d > 0; d--) {
        const i64 size = l->size[d], next = narrow ? (i64)((u32)i / (u32)size) : i / size, rest = i - next * size;
        for (i32 k = 0; k < operands; k++) at[k] += rest * l->step[k][d];
        i = next;
    }
    for (i32 k = 0; k < operands; k++) at[k] += i * l->step[k][0];
}

/* Of the whole launch (simt_launch_groups). */
#define GROUP_NUMBER (group_id(1) * group_count(0) + group_id(0))

/* Which team of the whole launch this item belongs to, and which of its items it is. */
#define TEAM_NUMBER(t)                                                                                                         \
    (GROUP_NUMBER * (SIMT_TEAM_GROUP / (t).size) + ((t).apart == 1 ? local_id(0) / (t).size : local_id(0) % (t).apart))
#define TEAM_ITEM(t) ((local_id(0) / (t).apart) % (t).size)

/* Joins the team's values in a fixed tree; every item gets the result. All items of the group must come here. JOIN(a, b) is an
 * expression; room: LOCAL, SIMT_TEAM_GROUP elements. */
#define TEAM_JOIN(t, room, value, JOIN)                                                                                        \
    do {                                                                                                                       \
        const i32 here_ = local_id(0), item_ = (i32)TEAM_ITEM(t), apart_ = (i32)(t).apart;                                     \
        room[here_] = value;                                                                                                   \
        BARRIER();                                                                                                             \
        for (i32 half_ = (i32)(t).size / 2; half_ > 0; half_ /= 2) {                                                           \
            if (item_ < half_) room[here_] = JOIN(room[here_], room[here_ + half_ * apart_]);                                  \
            BARRIER();                                                                                                         \
        }                                                                                                                      \
        value = room[here_ - item_ * apart_];                                                                                  \
        BARRIER();                                                                                                             \
    } while (0)
#define JOIN_SUM(a, b) ((a) + (b))
#define JOIN_MAX(a, b) ((a) != (a) || (a) > (b) ? (a) : (b))

/* Is T a floating dtype? T_NUMBER carries values that the host converts: A for floating dtypes, else i64. */
#if defined(T_IS_f32) || defined(T_IS_f64) || defined(T_IS_f16) || defined(T_IS_bf16)
#define T_FLOATING 1
#define T_NUMBER A
#define FROM_I64(v) ((A)(v))
#elif defined(T_IS_bool)
#define T_FLOATING 0
#define T_NUMBER i64
#define FROM_I64(v) ((A)((v) != 0))
#else
#define T_FLOATING 0
#define T_NUMBER i64
#define FROM_I64(v) ((A)(v)) /* wraps */
#endif

#else /* ---- on the host ---------------------------------------------------------------------------------------------------  \
       */

/* Build one with simt_loop_begin, then simt_loop_dim for each dimension, the outermost first. steps: SIMT_LOOP_OPERANDS, in
 * elements. A loop that does not fit is noticed by simt_loop_check. */
void simt_loop_begin(simt_loop *l);
void simt_loop_dim(simt_loop *l, int64_t size, const int64_t *steps);
/* DL_OK, or DL_UNSUPPORTED with a message. */
dl_status simt_loop_check(const simt_loop *l);

/* Over the shape of t[0], tensors of equal shape; t[k] NULL: step 0. anyhow: in the order that suits t[0]'s memory. */
dl_status simt_loop_over(simt_loop *l, int32_t n, const dl_tensor *const *t, int anyhow);

/* Lines along dim (counted from 0, or from the end) of t[0]. Others have its number of dimensions, or one less, dim dropped. */
dl_status simt_lines_along(simt_lines *l, int64_t dim, int32_t n, const dl_tensor *const *t);

/* A team for each of `teams` lines of `length` elements. close: neighbouring lines lie closer together than a line's elements.
 */
simt_team simt_team_of(int64_t teams, int64_t length, int close);
/* Teams of lines of operand 0. */
simt_team simt_team_for(const simt_lines *l);
/* Enqueues work groups for that many teams. */
dl_status simt_launch_teams(const dl_frame *f, void *function, simt_team team, int64_t teams, const simt_args *a);

#endif
#endif
