/* cache.c - program binaries on disk, under $DLRUN_CACHE/opencl, else $XDG_CACHE_HOME/dlrun/opencl, else ~/.cache/dlrun/opencl.
 *
 * A file's name is a hash of the key; the key itself stands in the file and is compared, so two keys of one hash only push
 * each other out. A driver may crash on a damaged binary, hence the checksum. Files appear whole, by rename. */
#include "backends/opencl/opencl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };
static const long LARGEST_FILE = 1L << 28; /* no binary is larger: 256 MiB */

typedef struct file_head { /* then key and binary */
    char magic[8];
    uint64_t key_bytes, binary_bytes, checksum; /* the last one of the binary */
} file_head;
static const char magic[8] = "dlclbin1";

/* FNV-1a, 64 bits (Fowler, Noll, Vo; the constants are the algorithm's), from a chosen start. */
static uint64_t hash(uint64_t h, const void *data, size_t bytes) {
    const unsigned char *p = data;
    for (size_t k = 0; k < bytes; k++) h = (h ^ p[k]) * 0x100000001b3u;
    return h;
}
static const uint64_t START = 0xcbf29ce484222325u;

/* ---- places ---------------------------------------------------------------------------------------------------------------
 */

/* 0: no variable says where. */
static int cache_folder(char folder[PATH_BYTES]) {
    static const struct {
        const char *variable, *below;
    } places[] = {{"DLRUN_CACHE", "opencl"}, {"XDG_CACHE_HOME", "dlrun/opencl"}, {"HOME", ".cache/dlrun/opencl"}};
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        const char *base = getenv(places[k].variable);
        if (!base || !*base) continue;
        return snprintf(folder, PATH_BYTES, "%s/%s", base, places[k].below) < PATH_BYTES;
    }
    return 0;
}

static int cache_file(const char *key, char path[PATH_BYTES]) {
    char folder[PATH_BYTES];
    const size_t n = strlen(key);
    return cache_folder(folder) &&
           snprintf(path, PATH_BYTES, "%s/%016llx%016llx.bin", folder, (unsigned long long)hash(START, key, n),
                    (unsigned long long)hash(~START, key, n)) < PATH_BYTES;
}

/* Makes the folders above a file. What cannot be made shows when the file is opened. */
static void make_folders(const char *file) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s", file);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0777);
        *slash = '/';
    }
}

/* ---- reading --------------------------------------------------------------------------------------------------------------
 */

/* All of a file, or NULL. */
static unsigned char *read_file(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    unsigned char *all = NULL;
    const long n = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (n >= (long)sizeof(file_head) && n <= LARGEST_FILE) {
        rewind(f);
        all = opencl_host->mem(NULL, (size_t)n);
        if (all && fread(all, 1, (size_t)n, f) != (size_t)n) {
            opencl_host->mem(all, 0);
            all = NULL;
        }
    }
    fclose(f);
    *bytes = (size_t)n;
    return all;
}

static int is_sound(const unsigned char *all, size_t bytes, const char *key, file_head *head) {
    const size_t key_bytes = strlen(key), rest = bytes - sizeof *head;
    memcpy(head, all, sizeof *head);
    return memcmp(head->magic, magic, sizeof magic) == 0 && head->key_bytes == key_bytes && key_bytes < rest &&
           head->binary_bytes == rest - key_bytes && memcmp(all + sizeof *head, key, key_bytes) == 0 &&
           head->checksum == hash(START, all + sizeof *head + key_bytes, head->binary_bytes);
}

unsigned char *opencl_cache_read(const char *key, size_t *bytes) {
    char path[PATH_BYTES];
    file_head head;
    size_t n;
    unsigned char *all = cache_file(key, path) ? read_file(path, &n) : NULL;
    if (!all) return NULL;
    if (!is_sound(all, n, key, &head)) {
        opencl_host->mem(all, 0);
        return NULL;
    }
    memmove(all, all + sizeof head + head.key_bytes, head.binary_bytes);
    *bytes = head.binary_bytes;
    return all;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------
 */

static int write_all(FILE *f, const char *key, const unsigned char *binary, size_t bytes) {
    file_head head = {.key_bytes = strlen(key), .binary_bytes = bytes, .checksum = hash(START, binary, bytes)};
    memcpy(head.magic, magic, sizeof magic);
    return fwrite(&head, sizeof head, 1, f) == 1 && fwrite(key, 1, head.key_bytes, f) == head.key_bytes &&
           fwrite(binary, 1, bytes, f) == bytes;
}

void opencl_cache_write(const char *key, const unsigned char *binary, size_t bytes) {
    char path[PATH_BYTES], aside[PATH_BYTES + 16];
    if (!cache_file(key, path)) return;
    make_folders(path);
    snprintf(aside, sizeof aside, "%s.XXXXXX", path);
    const int fd = mkstemp(aside);
    if (fd < 0) return;
    FILE *f = fdopen(fd, "wb");
    if (!f) close(fd);
    const int written = f && write_all(f, key, binary, bytes);
    const int closed = f && fclose(f) == 0;
    if (!written || !closed || rename(aside, path) != 0) (void)unlink(aside);
}
