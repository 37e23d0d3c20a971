/* elf_note.c - reads and judges a plugin's identity note before the file is given to dlopen, which would run its
 * constructors. The file is not trusted: it is read with pread (never mapped, since it may shrink) and every offset is
 * checked. Formats: System V gABI, chapters "ELF header" and "Note section". */
#include "elf_note.h"
#include "elf_file.h"
#include "mem.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTES_LIMIT = 1 << 20 }; /* no honest note segment is larger */

/* Of a short file that never was a shared object, too, what it is not is said, rather than how long one would be. */
static dl_status check_magic(const elf_file *f) {
    char magic[SELFMAG] = {0};
    const size_t n = f->bytes < SELFMAG ? (size_t)f->bytes : SELFMAG;
    DL_TRY(dl_elf_read(f, 0, magic, n, "ELF header"));
    if (n && memcmp(magic, ELFMAG, n) == 0) return DL_OK;
    return dl_failf(DL_ABI, "not a shared object: no ELF header");
}

static dl_status check_header(const Elf64_Ehdr *h) {
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
    dl_status status = dl_elf_read(f, segment->p_offset, notes, segment->p_filesz, "note segment");
    if (status == DL_OK) status = scan_notes(notes, segment->p_filesz, segment->p_align == 8 ? 8 : 4, out, found);
    dl_mem(notes, 0);
    return status;
}

static dl_status scan_segments(const elf_file *f, const Elf64_Phdr *segments, uint32_t n, dl_identity *out) {
    int found = 0;
    for (uint32_t k = 0; k < n; k++)
        if (segments[k].p_type == PT_NOTE) DL_TRY(scan_segment(f, &segments[k], out, &found));
    return found ? DL_OK : dl_failf(DL_ABI, "not a dlrun plugin: it has no identity note (DL_PLUGIN_IDENTITY)");
}

static dl_status scan_file(const elf_file *f, dl_identity *out) {
    Elf64_Ehdr header;
    DL_TRY(check_magic(f));
    DL_TRY(dl_elf_read(f, 0, &header, sizeof header, "ELF header"));
    DL_TRY(check_header(&header));
    const uint64_t bytes = header.e_phnum * sizeof(Elf64_Phdr);
    Elf64_Phdr *segments = dl_mem(NULL, bytes);
    if (!segments) return dl_failf(DL_NOMEM, "out of memory reading its program headers");
    dl_status status = dl_elf_read(f, header.e_phoff, segments, bytes, "table of program headers");
    if (status == DL_OK) status = scan_segments(f, segments, header.e_phnum, out);
    if (status == DL_OK) status = dl_elf_check_loadable(f, &header, segments);
    dl_mem(segments, 0);
    return status;
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

uint64_t dl_isa_present(void) {
    uint64_t isa = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) isa |= DL_ISA_AVX2;
    if (isa && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        isa |= DL_ISA_AVX512;
#endif
    return isa;
}

static dl_status check_isa(uint64_t isa, uint64_t present) {
    uint64_t unknown = isa & ~(uint64_t)(DL_ISA_AVX2 | DL_ISA_AVX512), missing = isa & ~present;
    if (unknown)
        return dl_failf(DL_ABI, "requires instruction-set bits 0x%llx, which this host does not know",
                        (unsigned long long)unknown);
    if (missing & DL_ISA_AVX2) return dl_failf(DL_ABI, "requires AVX2 and FMA, which this processor lacks");
    if (missing) return dl_failf(DL_ABI, "requires AVX-512 (F, DQ, BW, VL), which this processor lacks");
    return DL_OK;
}

dl_status dl_identity_check_against(const dl_identity *id, uint32_t abi_minor, uint64_t isa) {
    if (id->abi_major != DL_ABI_MAJOR)
        return dl_failf(DL_ABI, "built for plugin ABI %u, this host has %d: rebuild it", id->abi_major, DL_ABI_MAJOR);
    if (id->abi_needs > abi_minor)
        return dl_failf(DL_ABI, "needs plugin ABI %d.%u, this host has %d.%u: update dlrun", DL_ABI_MAJOR, id->abi_needs,
                        DL_ABI_MAJOR, abi_minor);
    if (strcmp(id->target, DL_TARGET) != 0) return dl_failf(DL_ABI, "built for %s, this host is %s", id->target, DL_TARGET);
    if (id->sanitizer != DL_SANITIZER_BUILT)
        return dl_failf(DL_ABI, "built with %s, this host with %s: build both alike", sanitizer_text(id->sanitizer),
                        sanitizer_text(DL_SANITIZER_BUILT));
    return check_isa(id->isa, isa);
}

dl_status dl_identity_check(const dl_identity *id) { return dl_identity_check_against(id, DL_ABI_MINOR, dl_isa_present()); }
