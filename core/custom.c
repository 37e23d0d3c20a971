/* custom.c - custom functions as nodes of the tape. */
#include "core/custom.h"
#include "core/autograd.h"
#include "core/mem.h"
#include "core/status.h"
#include <pthread.h>

/* Ids whose nodes were freed, waiting for their owner to drop what it keeps for them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t *released;
static int32_t released_count, released_capacity;

void dl_custom_note_released(int64_t id) {
    pthread_mutex_lock(&lock);
    if (released_count == released_capacity) {
        int32_t capacity = released_capacity ? 2 * released_capacity : 64;
        int64_t *more = dl_mem(released, (size_t)capacity * sizeof *more);
        if (more) {
            released = more;
            released_capacity = capacity;
        }
    }
    /* without memory the id is lost: its owner keeps a little too long, nothing worse */
    if (released_count < released_capacity) released[released_count++] = id;
    pthread_mutex_unlock(&lock);
}

int32_t dl_custom_released(int64_t *ids, int32_t capacity) {
    int32_t n = 0;
    pthread_mutex_lock(&lock);
    while (n < capacity && released_count) ids[n++] = released[--released_count];
    pthread_mutex_unlock(&lock);
    return n;
}

/* A node for a function of these inputs; it fails, if at all, before anything is attached to the outputs. */
static dl_status begin(const char *name, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out,
                       dl_node **node) {
    for (int32_t k = 0; k < n_out; k++)
        if (!out[k]->storage) return dl_failf(DL_INVALID, "%s: output %d is empty; compute it before it is recorded", name, k);
    for (int32_t k = 0; k < n_in; k++)
        if (in[k]) DL_TRY(dl_check_history(in[k]));
    DL_TRY(dl_node_new(n_in, n_out, NULL, 0, name, node));
    for (int32_t k = 0; k < n_in; k++)
        if (in[k] && in[k]->var) {
            (*node)->inputs[k] = in[k]->var;
            dl_var_retain(in[k]->var);
        }
    return DL_OK;
}

dl_status dl_custom_record(const char *name, int64_t id, const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out,
                           int32_t n_out, int32_t *recorded) {
    dl_node *node;
    *recorded = 0;
    if (!dl_must_record(in, n_in)) return DL_OK;
    DL_TRY(begin(name, in, n_in, out, n_out, &node));
    node->kind = DL_NODE_CUSTOM;
    node->custom_id = id;
    dl_record_end(node, out, n_out);
    dl_node_release(node);
    *recorded = 1;
    return DL_OK;
}

dl_status dl_custom_record_c(const char *name, dl_custom_backward backward, void (*release)(void *user), void *user,
                             const dl_tensor *const *in, int32_t n_in, dl_tensor *const *out, int32_t n_out) {
    dl_node *node;
    if (!dl_must_record(in, n_in)) {
        if (release) release(user);
        return DL_OK;
    }
    DL_TRY(begin(name, in, n_in, out, n_out, &node));
    node->kind = DL_NODE_CUSTOM_C;
    node->backward = backward;
    node->release = release;
    node->user = user;
    dl_record_end(node, out, n_out);
    dl_node_release(node);
    return DL_OK;
}
