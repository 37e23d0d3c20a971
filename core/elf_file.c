/* elf_file.c - may dlopen be given this file? A loader maps segments without asking whether the file is long enough: touching a
 * page behind its end is SIGBUS, a table outside the segments SIGSEGV. So a file that was cut off, or whose headers were
 * damaged, is found out here. (What is inside the tables, symbols and relocations, is not examined: a loader follows it
 * wherever it leads, and so a damaged one may crash it. A plugin is code, and trusted as such.) Formats: System V gABI,
 * chapters "Program Header" and "Dynamic Section". */
#include "elf_file.h"
#include "mem.h"
#include "status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { DYNAMIC_LIMIT = 1 << 20 }; /* no honest dynamic section is larger */

typedef struct image {
    const Elf64_Phdr *segments;
    uint32_t n;
} image;

static dl_status check_range(const elf_file *f, uint64_t offset, uint64_t bytes, const char *what) {
    if (offset <= f->bytes && bytes <= f->bytes - offset) return DL_OK;
    return dl_failf(DL_ABI, "truncated: its %s reaches to byte %llu, the file has %llu", what,
                    (unsigned long long)(offset + bytes), (unsigned long long)f->bytes);
}

dl_status dl_elf_read(const elf_file *f, uint64_t offset, void *to, uint64_t bytes, const char *what) {
    DL_TRY(check_range(f, offset, bytes, what));
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = pread(f->fd, (char *)to + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return dl_failf(DL_IO, "cannot be read: %s", n ? strerror(errno) : "it shrank meanwhile");
        done += (uint64_t)n;
    }
    return DL_OK;
}

/* ---- segments ------------------------------------------------------------------------------------------------------- */

/* Loadable segments must lie in the file, in order, and not wrap around: a loader reserves the room from the first to the last.
 */
static dl_status check_segments(const elf_file *f, const image *all) {
    uint64_t end = 0;
    for (uint32_t k = 0; k < all->n; k++) {
        const Elf64_Phdr *s = &all->segments[k];
        if (s->p_type != PT_LOAD) continue;
        DL_TRY(check_range(f, s->p_offset, s->p_filesz, "loadable segment"));
        if (s->p_filesz > s->p_memsz || s->p_memsz > UINT64_MAX - s->p_vaddr || s->p_vaddr < end)
            return dl_failf(DL_ABI, "malformed: the sizes and addresses of its loadable segments contradict each other");
        if (s->p_align & (s->p_align - 1))
            return dl_failf(DL_ABI, "malformed: a loadable segment is aligned to %llu, which is no power of 2",
                            (unsigned long long)s->p_align);
        end = s->p_vaddr + s->p_memsz;
    }
    return end ? DL_OK : dl_failf(DL_ABI, "malformed: it has no loadable segment");
}

/* The segment that brings these bytes of memory from the file, or NULL. */
static const Elf64_Phdr *loaded_by(const image *all, uint64_t address, uint64_t bytes) {
    for (uint32_t k = 0; k < all->n; k++) {
        const Elf64_Phdr *s = &all->segments[k];
        if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr <= s->p_filesz &&
            bytes <= s->p_filesz - (address - s->p_vaddr))
            return s;
    }
    return NULL;
}

/* Is the memory within a writable segment, to the end of its last page? That is what a loader makes read-only. */
static int is_writable(const image *all, uint64_t address, uint64_t bytes) {
    for (uint32_t k = 0; k < all->n; k++) {
        const Elf64_Phdr *s = &all->segments[k];
        if (s->p_type != PT_LOAD || !(s->p_flags & PF_W)) continue;
        if (address < s->p_vaddr || address - s->p_vaddr > s->p_memsz) continue;
        const uint64_t left = s->p_memsz - (address - s->p_vaddr);
        if (bytes <= left || bytes - left < s->p_align) return 1;
    }
    return 0;
}

/* Types are numbered up to PT_NUM, and from PT_LOOS to PT_HIPROC by systems and processors. */
static int is_type(uint32_t type) { return type < PT_NUM || (type >= PT_LOOS && type <= PT_HIPROC); }

/* The other segments are parts of loadable ones, which a loader reads or protects by their addresses. */
static dl_status check_parts(const image *all) {
    for (uint32_t k = 0; k < all->n; k++) {
        const Elf64_Phdr *s = &all->segments[k];
        const char *wrong = NULL;
        if (!is_type(s->p_type)) return dl_failf(DL_ABI, "malformed: a segment of the unknown type 0x%x", s->p_type);
        if (s->p_type == PT_NOTE && s->p_memsz && !loaded_by(all, s->p_vaddr, s->p_memsz)) wrong = "note segment";
        if (s->p_type == PT_GNU_PROPERTY && !loaded_by(all, s->p_vaddr, s->p_memsz)) wrong = "property segment";
        if (s->p_type == PT_TLS && s->p_filesz && !loaded_by(all, s->p_vaddr, s->p_filesz)) wrong = "thread-local segment";
        if (s->p_type == PT_GNU_RELRO && !is_writable(all, s->p_vaddr, s->p_memsz)) wrong = "read-only segment";
        if (wrong) return dl_failf(DL_ABI, "malformed: its %s lies outside its segments", wrong);
    }
    return DL_OK;
}

/* ---- the dynamic section and the tables that it names ------------------------------------------------------------------ */

static const struct table {
    int64_t address, size; /* tags; size 0: the format does not say, so `least` must do */
    uint64_t least;
    const char *name;
    int required;
} tables[] = {
    {DT_STRTAB, DT_STRSZ, 1, "string table", 1},
    {DT_SYMTAB, 0, sizeof(Elf64_Sym), "symbol table", 1},
    {DT_GNU_HASH, 0, 4 * sizeof(Elf64_Word), "hash table", 0},
    {DT_HASH, 0, 2 * sizeof(Elf64_Word), "hash table", 0},
    {DT_RELA, DT_RELASZ, 0, "relocation table", 0},
    {DT_RELR, DT_RELRSZ, 0, "packed relocation table", 0},
    {DT_JMPREL, DT_PLTRELSZ, 0, "relocation table of calls", 0},
    {DT_VERSYM, 0, sizeof(Elf64_Half), "table of versions", 0},
    {DT_VERNEED, 0, sizeof(Elf64_Verneed), "table of needed versions", 0},
    {DT_VERDEF, 0, sizeof(Elf64_Verdef), "table of defined versions", 0},
    {DT_INIT, 0, 1, "initialiser", 0},
    {DT_FINI, 0, 1, "finaliser", 0},
    {DT_INIT_ARRAY, DT_INIT_ARRAYSZ, 0, "list of initialisers", 0},
    {DT_FINI_ARRAY, DT_FINI_ARRAYSZ, 0, "list of finalisers", 0},
};

static const Elf64_Dyn *find(const Elf64_Dyn *dynamic, int64_t tag) {
    for (; dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == tag) return dynamic;
    return NULL;
}

static dl_status check_tables(const image *all, const Elf64_Dyn *dynamic) {
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
        const struct table *t = &tables[k];
        const Elf64_Dyn *at = find(dynamic, t->address), *size = t->size ? find(dynamic, t->size) : NULL;
        if (!at && (t->required || (size && size->d_un.d_val))) return dl_failf(DL_ABI, "malformed: it has no %s", t->name);
        if (!at) continue;
        const uint64_t bytes = size && size->d_un.d_val > t->least ? size->d_un.d_val : t->least;
        if (!loaded_by(all, at->d_un.d_ptr, bytes))
            return dl_failf(DL_ABI, "malformed: its %s lies outside its segments", t->name);
    }
    return DL_OK;
}

static dl_status check_dynamic(const elf_file *f, const image *all, const Elf64_Phdr *segment) {
    const uint64_t n = segment->p_filesz / sizeof(Elf64_Dyn), bytes = n * sizeof(Elf64_Dyn);
    if (n == 0 || bytes > DYNAMIC_LIMIT)
        return dl_failf(DL_ABI, "malformed: a dynamic section of %llu bytes", (unsigned long long)segment->p_filesz);
    const Elf64_Phdr *home = loaded_by(all, segment->p_vaddr, bytes); /* loaders go by the address */
    if (!home) return dl_failf(DL_ABI, "malformed: its dynamic section lies outside its segments");
    Elf64_Dyn *dynamic = dl_mem(NULL, bytes);
    if (!dynamic) return dl_failf(DL_NOMEM, "out of memory reading its dynamic section");
    dl_status status = dl_elf_read(f, home->p_offset + (segment->p_vaddr - home->p_vaddr), dynamic, bytes, "dynamic section");
    uint64_t k = 0;
    while (status == DL_OK && k < n && dynamic[k].d_tag != DT_NULL) k++;
    if (status == DL_OK && k == n) status = dl_failf(DL_ABI, "malformed: its dynamic section has no end");
    if (status == DL_OK) status = check_tables(all, dynamic);
    dl_mem(dynamic, 0);
    return status;
}

dl_status dl_elf_check_loadable(const elf_file *f, const Elf64_Ehdr *header, const Elf64_Phdr *segments) {
    const image all = {segments, header->e_phnum};
    const Elf64_Phdr *dynamic = NULL;
    DL_TRY(check_segments(f, &all));
    DL_TRY(check_parts(&all));
    /* No loader reads section headers, but linkers put them last: where they are cut off, so may be more. Stripped of them, a
     * file states offset 0. */
    if (header->e_shoff)
        DL_TRY(check_range(f, header->e_shoff, (uint64_t)header->e_shnum * header->e_shentsize, "table of sections"));
    for (uint32_t k = 0; k < all.n; k++)
        if (segments[k].p_type == PT_DYNAMIC) dynamic = &segments[k];
    return dynamic ? check_dynamic(f, &all, dynamic) : dl_failf(DL_ABI, "malformed: it has no dynamic section");
}
