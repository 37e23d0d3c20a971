/* elf_file.h - an ELF file that is not trusted: reading it, and whether the dynamic loader may be given it. */
#ifndef DL_CORE_ELF_FILE_H
#define DL_CORE_ELF_FILE_H
#include "dlrun/base.h"

#include <elf.h>

typedef struct elf_file {
    int fd;
    uint64_t bytes;
} elf_file;

/* Reads bytes at offset; `what` names them in the refusal (DL_ABI) of a file that ends before. */
dl_status dl_elf_read(const elf_file *, uint64_t offset, void *to, uint64_t bytes, const char *what);

/* Is all that a dynamic loader maps and reads before any code runs inside the file? segments: its header->e_phnum program
 * headers. DL_ABI with a sentence if not. */
dl_status dl_elf_check_loadable(const elf_file *, const Elf64_Ehdr *header, const Elf64_Phdr *segments);
#endif
