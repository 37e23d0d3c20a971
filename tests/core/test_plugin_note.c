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
    assert_fails(judge((image){malloc(1), 0}), DL_ABI, "not a shared object: no ELF header");
    image few = copy_of_good();
    few.n = 6;
    memcpy(few.bytes, "hello\n", few.n);
    assert_fails(judge(few), DL_ABI, "not a shared object: no ELF header");
    few = copy_of_good();
    few.n = 6;
    assert_fails(judge(few), DL_ABI, "truncated: its ELF header reaches to byte 64, the file has 6");
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
    assert_fails(judge(WITH(HEADER(e_phoff), Elf64_Off, good.n - 8)), DL_ABI,
                 "truncated: its table of program headers reaches");
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

/* A file cut anywhere, in the note or past it, is refused. */
static void truncated_anywhere(void **state) {
    (void)state;
    size_t at;
    Elf64_Phdr segment = segment_of_note(&at);
    for (size_t n = 1; n < good.n; n += n < segment.p_offset + segment.p_filesz + 64 ? 1 : 97) {
        image cut = copy_of_good();
        cut.n = n;
        assert_fails(judge(cut), DL_ABI, "truncated");
    }
}

/* Where the first segment of this type lies among the program headers, and the segment. */
static size_t find_segment(uint32_t type, Elf64_Phdr *segment) {
    Elf64_Ehdr header;
    memcpy(&header, good.bytes, sizeof header);
    for (size_t k = 0; k < header.e_phnum; k++) {
        size_t at = header.e_phoff + k * sizeof *segment;
        memcpy(segment, good.bytes + at, sizeof *segment);
        if (segment->p_type == type) return at;
    }
    fail_msg("good.so has no segment of type %u", type);
    return 0;
}

#define SEGMENT(field) (at + offsetof(Elf64_Phdr, field))

/* What dlopen would map behind the file's end, or read outside of what it mapped. */
static void segments_that_would_crash_a_loader(void **state) {
    (void)state;
    Elf64_Phdr segment;
    size_t at = find_segment(PT_LOAD, &segment);
    assert_fails(judge(WITH(SEGMENT(p_filesz), Elf64_Xword, good.n + 1)), DL_ABI, "truncated: its loadable segment");
    assert_fails(judge(WITH(SEGMENT(p_offset), Elf64_Off, UINT64_MAX - 4)), DL_ABI, "truncated: its loadable segment");
    assert_fails(judge(WITH(SEGMENT(p_memsz), Elf64_Xword, 0)), DL_ABI, "contradict each other");
    assert_fails(judge(WITH(SEGMENT(p_memsz), Elf64_Xword, UINT64_MAX)), DL_ABI, "contradict each other");
    assert_fails(judge(WITH(SEGMENT(p_vaddr), Elf64_Addr, UINT64_MAX - 8)), DL_ABI, "contradict each other");
    assert_fails(judge(WITH(SEGMENT(p_align), Elf64_Xword, 0x41000)), DL_ABI, "no power of 2");
    assert_fails(judge(WITH(SEGMENT(p_type), Elf64_Word, 0x900001)), DL_ABI, "a segment of the unknown type 0x900001");
    at = find_segment(PT_GNU_RELRO, &segment);
    assert_fails(judge(WITH(SEGMENT(p_memsz), Elf64_Xword, (Elf64_Xword)5 << 48)), DL_ABI,
                 "its read-only segment lies outside");
    assert_fails(judge(WITH(SEGMENT(p_memsz), Elf64_Xword, UINT64_MAX)), DL_ABI, "its read-only segment lies outside");
    assert_fails(judge(WITH(SEGMENT(p_vaddr), Elf64_Addr, 0)), DL_ABI, "its read-only segment lies outside");
    at = find_segment(PT_NOTE, &segment);
    assert_fails(judge(WITH(SEGMENT(p_vaddr), Elf64_Addr, (Elf64_Addr)1 << 23)), DL_ABI, "its note segment lies outside");
    assert_fails(judge(WITH(SEGMENT(p_memsz), Elf64_Xword, 0x80000090)), DL_ABI, "its note segment lies outside");
    assert_fails(judge(WITH(SEGMENT(p_type), Elf64_Word, PT_GNU_PROPERTY)), DL_ABI, "no identity note");
    at = find_segment(PT_DYNAMIC, &segment);
    assert_fails(judge(WITH(SEGMENT(p_type), Elf64_Word, PT_NULL)), DL_ABI, "it has no dynamic section");
    assert_fails(judge(WITH(SEGMENT(p_filesz), Elf64_Xword, 0)), DL_ABI, "a dynamic section of 0 bytes");
    assert_fails(judge(WITH(SEGMENT(p_filesz), Elf64_Xword, sizeof(Elf64_Dyn))), DL_ABI, "its dynamic section has no end");
    assert_fails(judge(WITH(SEGMENT(p_vaddr), Elf64_Addr, (Elf64_Addr)1 << 40)), DL_ABI, "its dynamic section lies outside");
    image cut = WITH(HEADER(e_shoff), Elf64_Off, 0); /* no section headers: the segments alone must tell */
    cut.n = segment.p_offset;
    assert_fails(judge(cut), DL_ABI, "truncated: its loadable segment");
    assert_ok(judge(WITH(HEADER(e_shoff), Elf64_Off, 0)));
    assert_fails(judge(WITH(HEADER(e_shoff), Elf64_Off, good.n)), DL_ABI, "truncated: its table of sections");
}

/* Each table that the dynamic section names, moved out of the segments. */
static void tables_outside_the_segments(void **state) {
    (void)state;
    static const int64_t tags[] = {DT_STRTAB, DT_SYMTAB, DT_RELA, DT_INIT, DT_INIT_ARRAY};
    Elf64_Phdr segment;
    find_segment(PT_DYNAMIC, &segment);
    size_t found = 0;
    for (size_t at = segment.p_offset; at < segment.p_offset + segment.p_filesz; at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn entry;
        memcpy(&entry, good.bytes + at, sizeof entry);
        for (size_t k = 0; k < sizeof tags / sizeof *tags; k++) {
            if (entry.d_tag != tags[k]) continue;
            assert_fails(judge(WITH(at + offsetof(Elf64_Dyn, d_un), Elf64_Addr, (Elf64_Addr)1 << 40)), DL_ABI,
                         "lies outside its segments");
            found++;
        }
        if (entry.d_tag == DT_RELA)
            assert_fails(judge(WITH(at, Elf64_Sxword, 0x6ffffef0)), DL_ABI, "it has no relocation table");
        if (entry.d_tag == DT_STRTAB) assert_fails(judge(WITH(at, Elf64_Sxword, 0x6ffffef0)), DL_ABI, "it has no string table");
        if (entry.d_tag == DT_STRSZ)
            assert_fails(judge(WITH(at + offsetof(Elf64_Dyn, d_un), Elf64_Xword, UINT64_MAX)), DL_ABI,
                         "its string table lies outside its segments");
    }
    assert_int_equal(found, sizeof tags / sizeof *tags);
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

static uint32_t draw(uint32_t *state) { /* xorshift (Marsaglia 2003) */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* Where damage matters most, every other time: headers and note at the file's start, and the dynamic section. */
static size_t place_of_damage(uint32_t *seed, const Elf64_Phdr *dynamic) {
    uint32_t where = draw(seed) % 4;
    if (where == 0) return draw(seed) % 1024;
    if (where == 1) return dynamic->p_offset + draw(seed) % dynamic->p_filesz;
    return draw(seed) % good.n;
}

/* Thousands of damaged copies, most with several wrong bytes and some cut: each gets an answer with a sentence, none a wild
 * read (the sanitizers look). None is opened. */
static void damaged_at_random(void **state) {
    (void)state;
    enum { ROUNDS = 5000, MOST = 8 };
    uint32_t seed = 2463534242u, refused = 0;
    Elf64_Phdr dynamic;
    find_segment(PT_DYNAMIC, &dynamic);
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, good.bytes, good.n), (ssize_t)good.n);
    for (int round = 0; round < ROUNDS; round++) {
        size_t places[MOST];
        const uint32_t n = 1 + draw(&seed) % MOST;
        for (uint32_t k = 0; k < n; k++) {
            places[k] = place_of_damage(&seed, &dynamic);
            const unsigned char byte = (unsigned char)draw(&seed);
            assert_int_equal(pwrite(fd, &byte, 1, (off_t)places[k]), 1);
        }
        const int cut = draw(&seed) % 8 == 0;
        if (cut) assert_int_equal(ftruncate(fd, (off_t)(draw(&seed) % good.n)), 0);
        dl_identity identity;
        dl_status status = dl_identity_read(file, &identity);
        if (status == DL_OK) status = dl_identity_check(&identity);
        if (status != DL_OK) {
            assert_true((status == DL_ABI || status == DL_NOMEM) && *dl_last_error());
            refused++;
        }
        if (cut) assert_int_equal(pwrite(fd, good.bytes, good.n, 0), (ssize_t)good.n);
        for (uint32_t k = 0; k < n; k++) assert_int_equal(pwrite(fd, good.bytes + places[k], 1, (off_t)places[k]), 1);
    }
    close(fd);
    assert_in_range(refused, ROUNDS / 4, ROUNDS);
    assert_ok(judge(copy_of_good()));
}

/* What an older host, or this one on a lesser processor, says of the same identity. */
static void against_other_hosts(void **state) {
    (void)state;
    dl_identity identity;
    assert_ok(judge(copy_of_good()));
    assert_ok(dl_identity_read(file, &identity));
    assert_ok(dl_identity_check_against(&identity, 0, 0));
    identity.abi_needs = 3;
    assert_fails(dl_identity_check_against(&identity, 2, 0), DL_ABI, "needs plugin ABI 1.3, this host has 1.2: update dlrun");
    assert_ok(dl_identity_check_against(&identity, 3, 0));
    identity.isa = DL_ISA_AVX2;
    assert_fails(dl_identity_check_against(&identity, 3, 0), DL_ABI, "requires AVX2 and FMA, which this processor lacks");
    assert_ok(dl_identity_check_against(&identity, 3, DL_ISA_AVX2));
    identity.isa = DL_ISA_AVX2 | DL_ISA_AVX512;
    assert_fails(dl_identity_check_against(&identity, 3, DL_ISA_AVX2), DL_ABI, "requires AVX-512");
    assert_ok(dl_identity_check_against(&identity, 3, DL_ISA_AVX2 | DL_ISA_AVX512));
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
        cmocka_unit_test(segments_that_would_crash_a_loader),
        cmocka_unit_test(tables_outside_the_segments),
        cmocka_unit_test(every_byte_may_be_anything),
        cmocka_unit_test(damaged_at_random),
        cmocka_unit_test(against_other_hosts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
