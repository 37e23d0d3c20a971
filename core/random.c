/* random.c - each thread's Philox state: a key (the seed) and the number of the next call. */
#include "random.h"

#include "dlrun/philox.h"

static _Thread_local uint64_t seed, next_call;

void dl_seed(uint64_t new_seed) {
    seed = new_seed;
    next_call = 0;
}

uint64_t dl_get_seed(void) { return seed; }

uint64_t dl_random_call(void) { return next_call; }

void dl_set_random_call(uint64_t call) { next_call = call; }

void dl_random_take(uint64_t *key, uint64_t *call) {
    *key = seed;
    *call = next_call++;
}

void dl_random_bind(dl_frame *f) {
    dl_random_take(&f->random_key, &f->random_call);
    if (!f->prog) return;
    dl_attr *attr = (dl_attr *)f->prog_attr;
    attr[0].v.i = (int64_t)f->random_key;
    attr[1].v.i = (int64_t)f->random_call;
}

void dl_random_u32(uint32_t *out, int64_t n) {
    uint64_t key, call;
    dl_random_take(&key, &call);
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t block[4];
        dl_philox_block(key, call, (uint64_t)i / 4, block);
        for (int64_t k = i; k < n && k < i + 4; k++) out[k] = block[k - i];
    }
}
