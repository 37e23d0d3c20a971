/* elf_note.h - a plugin's identity, read from the file without running any of it. */
#ifndef DL_CORE_ELF_NOTE_H
#define DL_CORE_ELF_NOTE_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

/* Finds the identity note through the PT_NOTE segments of a 64-bit little-endian shared object, and makes sure that the rest of
 * the file is there too, so that dlopen may be given it. Every offset is checked against the file; DL_ABI (or DL_IO) with a
 * sentence otherwise. */
dl_status dl_identity_read(const char *path, dl_identity *out);

/* Does it fit this host: ABI, target, instruction set, sanitizer? DL_ABI with a sentence if not. */
dl_status dl_identity_check(const dl_identity *);
/* The same for a host of this ABI minor on a processor of these DL_ISA_* bits: of older and lesser ones than this. */
dl_status dl_identity_check_against(const dl_identity *, uint32_t abi_minor, uint64_t isa);
uint64_t dl_isa_present(void); /* this processor's DL_ISA_* bits */
#endif
