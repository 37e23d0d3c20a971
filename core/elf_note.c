/* elf_note.c - reads and judges a plugin's identity note before the file is given to dlopen, which would run its
 * constructors. The file is not trusted: it is read with pread (never mapped, since it may shrink) and every offset is
 * checked. Formats: System V gABI, chapters "ELF header" and "Note section". */
#include "elf_note.h"
#include "mem.h"
#include "status.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTES_LIMIT = 1 << 20 }; /* no honest note segment is larger */

typedef struct elf_file {
    int fd;
    uint64_t bytes;
} elf_file;

static dl_status read_at(const elf_file *f, uint64_t offset, void *to, uint64_t bytes, const char *what) {
    if (offset > f->bytes || bytes > f->bytes - offset)
        return dl_failf(DL_ABI, "truncated: its %s reaches to byte %llu, the file has %llu", what,
                        (unsigned long long)(offset + bytes), (unsigned long long)f->bytes);
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = pread(f->fd, (char *)to + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return dl_failf(DL_IO, "cannot be read: %s", n ? strerror(errno) : "it shrank meanwhile");
        done += (uint64_t)n;
    }
    return DL_OK;
}

static dl_status check_header(const Elf64_Ehdr *h) {
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) return dl_failf(DL_ABI, "not a shared object: no ELF header");
    if (h->e_ident[EI_CLASS] != ELFCLASS64) return dl_failf(DL_ABI, "not a 64-bit shared object");
    if (h->e_ident[EI_DATA] != ELFDATA2LSB) return dl_failf(DL_ABI, "not a little-endian shared object");
    if (h->e_type != ET_DYN) return dl_failf(DL_ABI, "an ELF file, but not a shared object");
    if (h->e_phnum == 0 || h->e_phnum == PN_XNUM || h->e_phentsize != sizeof(Elf64_Phdr))
        return dl_failf(DL_ABI, "malformed: %u program headers of %u bytes", h->e_phnum, h->e_phentsize);
    return DL_OK;
}

/* A field of fixed width that must hold a terminated string. */
static dl_status check_text(const char *text, size_t capacity, const char *what) {
    if (*text && memchr(text, 0, capacity)) return DL_OK;
    return dl_failf(DL_ABI, "malformed identity: its %s is empty or not terminated", what);
}

static dl_status take_identity(const unsigned char *data, uint32_t bytes, dl_identity *out) {
    static const char magic[8] = {'D', 'L', 'P', 'L', 'U', 'G', 0, 1};
    const uint32_t known = offsetof(dl_identity, target) + sizeof out->target; /* all fields of minor 0 */
    if (bytes < known) return dl_failf(DL_ABI, "malformed identity: %u bytes, expected at least %u", bytes, known);
    memcpy(out, data, known);
    if (memcmp(out->magic, magic, sizeof magic) != 0) return dl_failf(DL_ABI, "malformed identity: wrong magic");
    if (out->size < known || out->size > bytes)
        return dl_failf(DL_ABI, "malformed identity: it states %u bytes, its note has %u", out->size, bytes);
    DL_TRY(check_text(out->name, sizeof out->name, "name"));
    DL_TRY(check_text(out->version, sizeof out->version, "version"));
    return check_text(out->target, sizeof out->target, "target");
}

static uint64_t round_up(uint64_t n, uint64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

/* Walks one segment's notes. found counts identities over all segments. */
static dl_status scan_notes(const unsigned char *notes, uint64_t bytes, uint64_t alignment, dl_identity *out, int *found) {
    for (uint64_t at = 0; bytes - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        /* 32-bit sizes in 64-bit arithmetic: none of these sums can wrap. */
        uint64_t name = at + sizeof note;
        uint64_t data = round_up(name + note.n_namesz, alignment);
        uint64_t end = data + note.n_descsz;
        if (name + note.n_namesz > bytes || end > bytes)
            return dl_failf(DL_ABI, "malformed: a note reaches %llu bytes behind its segment",
                            (unsigned long long)(end - bytes));
        if (note.n_type == DL_NOTE_TYPE && note.n_namesz == sizeof DL_NOTE_OWNER &&
            memcmp(notes + name, DL_NOTE_OWNER, sizeof DL_NOTE_OWNER) == 0) {
            if ((*found)++) return dl_failf(DL_ABI, "malformed: it has two identity notes");
            DL_TRY(take_identity(notes + data, note.n_descsz, out));
        }
        at = round_up(end, alignment);
        if (at > bytes) break;
    }
    return DL_OK;
}

static dl_status scan_segment(const elf_file *f, const Elf64_Phdr *segment, dl_identity *out, int *found) {
    if (segment->p_filesz > NOTES_LIMIT)
        return dl_failf(DL_ABI, "malformed: a note segment of %llu bytes", (unsigned long long)segment->p_filesz);
    if (segment->p_filesz == 0) return DL_OK;
    unsigned char *notes = dl_mem(NULL, segment->p_filesz);
    if (!notes) return dl_failf(DL_NOMEM, "out of memory reading its notes");
    dl_status status = read_at(f, segment->p_offset, notes, segment->p_filesz, "note segment");
    if (status == DL_OK) status = scan_notes(notes, segment->p_filesz, segment->p_align == 8 ? 8 : 4, out, found);
    dl_mem(notes, 0);
    return status;
}

static dl_status scan_file(const elf_file *f, dl_identity *out) {
    Elf64_Ehdr header;
    int found = 0;
    DL_TRY(read_at(f, 0, &header, sizeof header, "ELF header"));
    DL_TRY(check_header(&header));
    for (uint64_t k = 0; k < header.e_phnum; k++) {
        Elf64_Phdr segment;
        if (header.e_phoff > f->bytes) return dl_failf(DL_ABI, "truncated: its program headers lie behind its end");
        DL_TRY(read_at(f, header.e_phoff + k * sizeof segment, &segment, sizeof segment, "program header"));
        if (segment.p_type == PT_NOTE) DL_TRY(scan_segment(f, &segment, out, &found));
    }
    return found ? DL_OK : dl_failf(DL_ABI, "not a dlrun plugin: it has no identity note (DL_PLUGIN_IDENTITY)");
}

dl_status dl_identity_read(const char *path, dl_identity *out) {
    struct stat facts;
    *out = (dl_identity){0};
    elf_file f = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; /* a FIFO must not block us */
    if (f.fd < 0) return dl_failf(DL_IO, "cannot be opened: %s", strerror(errno));
    dl_status status;
    if (fstat(f.fd, &facts) != 0)
        status = dl_failf(DL_IO, "cannot be examined: %s", strerror(errno));
    else if (!S_ISREG(facts.st_mode))
        status = dl_failf(DL_ABI, "not a regular file");
    else {
        f.bytes = (uint64_t)facts.st_size;
        status = scan_file(&f, out);
    }
    close(f.fd);
    return status;
}

/* ---- does it fit? --------------------------------------------------------------------------------------------------- */

static const char *sanitizer_text(uint32_t sanitizer) {
    static const char *const text[] = {"no sanitizer", "AddressSanitizer", "ThreadSanitizer"};
    return sanitizer < sizeof text / sizeof *text ? text[sanitizer] : "an unknown sanitizer";
}

static dl_status check_isa(uint64_t isa) {
    uint64_t unknown = isa & ~(uint64_t)(DL_ISA_AVX2 | DL_ISA_AVX512);
    if (unknown)
        return dl_failf(DL_ABI, "requires instruction-set bits 0x%llx, which this host does not know",
                        (unsigned long long)unknown);
    int avx2 = 0, avx512 = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
    if (isa & DL_ISA_AVX2 && !avx2) return dl_failf(DL_ABI, "requires AVX2 and FMA, which this processor lacks");
    if (isa & DL_ISA_AVX512 && !avx512) return dl_failf(DL_ABI, "requires AVX-512 (F, DQ, BW, VL), which this processor lacks");
    return DL_OK;
}

dl_status dl_identity_check(const dl_identity *id) {
    if (id->abi_major != DL_ABI_MAJOR)
        return dl_failf(DL_ABI, "built for plugin ABI %u, this host has %d: rebuild it", id->abi_major, DL_ABI_MAJOR);
    if (id->abi_needs > DL_ABI_MINOR)
        return dl_failf(DL_ABI, "needs plugin ABI %d.%u, this host has %d.%d: update dlrun", DL_ABI_MAJOR, id->abi_needs,
                        DL_ABI_MAJOR, DL_ABI_MINOR);
    if (strcmp(id->target, DL_TARGET) != 0) return dl_failf(DL_ABI, "built for %s, this host is %s", id->target, DL_TARGET);
    if (id->sanitizer != DL_SANITIZER_BUILT)
        return dl_failf(DL_ABI, "built with %s, this host with %s: build both alike", sanitizer_text(id->sanitizer),
                        sanitizer_text(DL_SANITIZER_BUILT));
    return check_isa(id->isa);
}
