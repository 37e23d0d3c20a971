/* The identity note: a good file, and every way in which one can be wrong, made by changing bytes of a good one. The files
 * are never opened as libraries here. */
#include "elf_note.h"
#include "null_backend.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct image { /* a file's bytes, a copy of good.so's for every test */
    unsigned char *bytes;
    size_t n;
} image;

static image good;
static size_t identity_at; /* where dl_identity lies in it */
static char folder[64] = "/tmp/dlrun-note-XXXXXX", file[128];

static image read_image(const char *path) {
    FILE *f = fopen(path, "rb");
    image all = {malloc(1 << 22), 0};
    if (f) {
        all.n = fread(all.bytes, 1, 1 << 22, f);
        fclose(f);
    }
    return all;
}

static int set_up(void **state) {
    (void)state;
    const char *plugins = getenv("DLRUN_TEST_PLUGINS");
    char path[4096];
    snprintf(path, sizeof path, "%s/good.so", plugins ? plugins : "build/tests/plugins");
    good = read_image(path);
    unsigned char *at = good.n ? memmem(good.bytes, good.n, "DLPLUG\0\1", 8) : NULL;
    if (!at || !mkdtemp(folder)) {
        fprintf(stderr, "cannot use %s: set DLRUN_TEST_PLUGINS\n", path);
        return -1;
    }
    identity_at = (size_t)(at - good.bytes);
    snprintf(file, sizeof file, "%s/plugin.so", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(file);
    rmdir(folder);
    free(good.bytes);
    return 0;
}

static image copy_of_good(void) {
    image copy = {malloc(good.n), good.n};
    memcpy(copy.bytes, good.bytes, good.n);
    return copy;
}

/* What the loader says about these bytes; frees them. */
static dl_status judge(image changed) {
    FILE *f = fopen(file, "wb");
    assert_int_equal(fwrite(changed.bytes, 1, changed.n, f), changed.n);
    fclose(f);
    free(changed.bytes);
    dl_identity identity;
    dl_status status = dl_identity_read(file, &identity);
    return status == DL_OK ? dl_identity_check(&identity) : status;
}

/* good.so with `bytes` at `offset` replaced. */
static image with(size_t offset, const void *bytes, size_t n) {
    image changed = copy_of_good();
    assert_true(offset + n <= changed.n);
    memcpy(changed.bytes + offset, bytes, n);
    return changed;
}

#define WITH(offset, type, value) with(offset, &(type){value}, sizeof(type))
#define FIELD(name) (identity_at + offsetof(dl_identity, name))
#define HEADER(name) offsetof(Elf64_Ehdr, name)

static Elf64_Phdr segment_of_note(size_t *at) {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    memcpy(&header, good.bytes, sizeof header);
    for (size_t k = 0; k < header.e_phnum; k++) {
        *at = header.e_phoff + k * sizeof segment;
        memcpy(&segment, good.bytes + *at, sizeof segment);
        if (segment.p_type == PT_NOTE && identity_at >= segment.p_offset && identity_at < segment.p_offset + segment.p_filesz)
            return segment;
    }
    fail_msg("good.so has no note segment");
    return (Elf64_Phdr){0};
}

static void good_file(void **state) {
    (void)state;
    dl_identity identity;
    assert_ok(judge(copy_of_good()));
    assert_ok(dl_identity_read(file, &identity));
    assert_string_equal(identity.name, "good");
    assert_string_equal(identity.version, "1.2.3");
    assert_string_equal(identity.target, DL_TARGET);
    assert_int_equal(identity.size, sizeof identity);
    assert_int_equal(identity.abi_major, DL_ABI_MAJOR);
    assert_int_equal(identity.abi_built, DL_ABI_MINOR);
}

static void files_that_are_no_plugins(void **state) {
    (void)state;
    dl_identity identity;
    assert_fails(dl_identity_read("/nonexistent/plugin.so", &identity), DL_IO, "cannot be opened");
    assert_fails(dl_identity_read(folder, &identity), DL_ABI, "not a regular file");
    char fifo[160];
    snprintf(fifo, sizeof fifo, "%s/fifo.so", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_fails(dl_identity_read(fifo, &identity), DL_ABI, "not a regular file");
    unlink(fifo);
    assert_fails(judge((image){malloc(1), 0}), DL_ABI, "truncated: its ELF header");
    image text = copy_of_good();
    memset(text.bytes, '#', 64);
    assert_fails(judge(text), DL_ABI, "no ELF header");
    assert_fails(judge(WITH(EI_CLASS, char, ELFCLASS32)), DL_ABI, "not a 64-bit");
    assert_fails(judge(WITH(EI_DATA, char, ELFDATA2MSB)), DL_ABI, "not a little-endian");
    assert_fails(judge(WITH(HEADER(e_type), Elf64_Half, ET_EXEC)), DL_ABI, "not a shared object");
    assert_fails(judge(WITH(HEADER(e_phnum), Elf64_Half, 0)), DL_ABI, "malformed: 0 program headers");
    assert_fails(judge(WITH(HEADER(e_phnum), Elf64_Half, PN_XNUM)), DL_ABI, "malformed");
    assert_fails(judge(WITH(HEADER(e_phentsize), Elf64_Half, 32)), DL_ABI, "of 32 bytes");
}

static void offsets_outside_the_file(void **state) {
    (void)state;
    size_t at;
    segment_of_note(&at);
    assert_fails(judge(WITH(HEADER(e_phoff), Elf64_Off, good.n + 1)), DL_ABI, "truncated");
    assert_fails(judge(WITH(HEADER(e_phoff), Elf64_Off, UINT64_MAX - 8)), DL_ABI, "truncated");
    assert_fails(judge(WITH(HEADER(e_phoff), Elf64_Off, good.n - 8)), DL_ABI, "truncated: its program header");
    assert_fails(judge(WITH(at + offsetof(Elf64_Phdr, p_offset), Elf64_Off, good.n - 4)), DL_ABI,
                 "truncated: its note segment");
    assert_fails(judge(WITH(at + offsetof(Elf64_Phdr, p_offset), Elf64_Off, UINT64_MAX)), DL_ABI,
                 "truncated: its note segment");
    assert_fails(judge(WITH(at + offsetof(Elf64_Phdr, p_filesz), Elf64_Xword, UINT64_MAX)), DL_ABI,
                 "malformed: a note segment of");
    assert_fails(judge(WITH(at + offsetof(Elf64_Phdr, p_filesz), Elf64_Xword, 40)), DL_ABI, "behind its segment");
    assert_fails(judge(WITH(at + offsetof(Elf64_Phdr, p_filesz), Elf64_Xword, 0)), DL_ABI, "no identity note");
    assert_fails(judge(WITH(at + offsetof(Elf64_Phdr, p_type), Elf64_Word, PT_NULL)), DL_ABI, "no identity note");
}

static void malformed_notes(void **state) {
    (void)state;
    const size_t note = identity_at - 12 - sizeof DL_NOTE_OWNER;
    assert_fails(judge(WITH(note, uint32_t, UINT32_MAX)), DL_ABI, "behind its segment");
    assert_fails(judge(WITH(note + 4, uint32_t, UINT32_MAX)), DL_ABI, "behind its segment");
    assert_fails(judge(WITH(note + 8, uint32_t, 7)), DL_ABI, "no identity note");
    assert_fails(judge(with(note + 12, "x", 1)), DL_ABI, "no identity note");
    assert_fails(judge(WITH(note + 4, uint32_t, 16)), DL_ABI, "malformed identity: 16 bytes");
    assert_fails(judge(with(identity_at, "X", 1)), DL_ABI, "wrong magic");
    assert_fails(judge(WITH(FIELD(size), uint32_t, 8)), DL_ABI, "it states 8 bytes");
    assert_fails(judge(WITH(FIELD(size), uint32_t, 4096)), DL_ABI, "it states 4096 bytes");
    char unterminated[32];
    memset(unterminated, 'n', sizeof unterminated);
    assert_fails(judge(with(FIELD(name), unterminated, 32)), DL_ABI, "its name is empty or not terminated");
    assert_fails(judge(with(FIELD(version), unterminated, 16)), DL_ABI, "its version is empty or not terminated");
    assert_fails(judge(with(FIELD(target), unterminated, 32)), DL_ABI, "its target is empty or not terminated");
    assert_fails(judge(with(FIELD(name), "", 1)), DL_ABI, "its name is empty");
}

/* Two PT_NOTE headers that show the same note: which of the two identities would count? */
static void two_identities(void **state) {
    (void)state;
    size_t at;
    Elf64_Phdr segment = segment_of_note(&at);
    Elf64_Ehdr header;
    image changed = copy_of_good();
    memcpy(&header, changed.bytes, sizeof header);
    for (size_t k = 0; k < header.e_phnum; k++) {
        Elf64_Phdr other;
        size_t place = header.e_phoff + k * sizeof other;
        memcpy(&other, changed.bytes + place, sizeof other);
        if (place != at && other.p_type == PT_GNU_STACK) memcpy(changed.bytes + place, &segment, sizeof segment);
    }
    assert_fails(judge(changed), DL_ABI, "two identity notes");
}

static void does_not_fit_this_host(void **state) {
    (void)state;
    assert_fails(judge(WITH(FIELD(abi_major), uint32_t, DL_ABI_MAJOR + 1)), DL_ABI, "built for plugin ABI 2, this host has 1");
    assert_fails(judge(WITH(FIELD(abi_needs), uint32_t, DL_ABI_MINOR + 1)), DL_ABI, "update dlrun");
    assert_ok(judge(WITH(FIELD(abi_built), uint32_t, DL_ABI_MINOR + 5))); /* newer, but content with this host */
    assert_fails(judge(with(FIELD(target), "linux-riscv64", 14)), DL_ABI, "built for linux-riscv64, this host is");
    assert_fails(judge(WITH(FIELD(isa), uint64_t, (uint64_t)1 << 40)), DL_ABI, "does not know");
    uint32_t other = DL_SANITIZER_BUILT == DL_SANITIZER_THREAD ? DL_SANITIZER_NONE : DL_SANITIZER_THREAD;
    assert_fails(judge(WITH(FIELD(sanitizer), uint32_t, other)), DL_ABI, "build both alike");
    assert_fails(judge(WITH(FIELD(sanitizer), uint32_t, 77)), DL_ABI, "an unknown sanitizer");
#if defined(__x86_64__)
    dl_status status = judge(WITH(FIELD(isa), uint64_t, DL_ISA_AVX512));
    if (__builtin_cpu_supports("avx512bw"))
        assert_int_equal(status, DL_OK);
    else
        assert_int_equal(status, DL_ABI);
#endif
}

/* A file cut anywhere is refused with a sentence, or whole as far as the note goes. */
static void truncated_anywhere(void **state) {
    (void)state;
    size_t at, accepted = 0;
    Elf64_Phdr segment = segment_of_note(&at);
    for (size_t n = 0; n < good.n; n += n < segment.p_offset + segment.p_filesz + 64 ? 1 : 997) {
        image cut = copy_of_good();
        cut.n = n;
        dl_status status = judge(cut);
        if (status == DL_OK)
            accepted++;
        else
            assert_true(status == DL_ABI && *dl_last_error());
        if (n < segment.p_offset + segment.p_filesz) assert_int_equal(status, DL_ABI);
    }
    assert_true(accepted > 0);
}

/* Any byte of the headers and the note may hold anything: the answer is a status, never a wild read (the sanitizers look). */
static void every_byte_may_be_anything(void **state) {
    (void)state;
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t at;
    Elf64_Phdr segment = segment_of_note(&at);
    size_t end = segment.p_offset + segment.p_filesz;
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, good.bytes, good.n), (ssize_t)good.n);
    for (size_t k = 0; k < end; k++) {
        for (size_t v = 0; v < sizeof values; v++) {
            dl_identity identity;
            assert_int_equal(pwrite(fd, &values[v], 1, (off_t)k), 1);
            dl_status status = dl_identity_read(file, &identity);
            if (status == DL_OK)
                assert_non_null(memchr(identity.name, 0, sizeof identity.name));
            else
                assert_true((status == DL_ABI || status == DL_NOMEM) && *dl_last_error());
        }
        assert_int_equal(pwrite(fd, good.bytes + k, 1, (off_t)k), 1);
    }
    close(fd);
    assert_ok(judge(copy_of_good()));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file),
        cmocka_unit_test(files_that_are_no_plugins),
        cmocka_unit_test(offsets_outside_the_file),
        cmocka_unit_test(malformed_notes),
        cmocka_unit_test(two_identities),
        cmocka_unit_test(does_not_fit_this_host),
        cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(every_byte_may_be_anything),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
