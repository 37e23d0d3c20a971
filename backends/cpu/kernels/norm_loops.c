/* norm_loops.c - the inner loops of normalisation for float and double. */
#include "norm.h"

#define NORM_T float
#define NORM_MASK int32_t
#define NORM_MASKS [8] = -1, -1, -1, -1, -1, -1, -1, -1
#define NORM(name) name##_f32
#include "norm_loops.h"

#define NORM_T double
#define NORM_MASK int64_t
#define NORM_MASKS [4] = -1, -1, -1, -1
#define NORM(name) name##_f64
#include "norm_loops.h"

const norm_loops *cpu_norm_loops(cpu_lane lane) { return lane == CPU_LANE_F64 ? &loops_f64 : &loops_f32; }
