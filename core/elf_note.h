/* elf_note.h - a plugin's identity, read from the file without running any of it. */
#ifndef DL_CORE_ELF_NOTE_H
#define DL_CORE_ELF_NOTE_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

/* Finds the identity note through the PT_NOTE segments of a 64-bit little-endian shared object. Every offset is checked
 * against the file; DL_ABI (or DL_IO) with a sentence otherwise. */
dl_status dl_identity_read(const char *path, dl_identity *out);

/* Does it fit this host: ABI, target, instruction set, sanitizer? DL_ABI with a sentence if not. */
dl_status dl_identity_check(const dl_identity *);
#endif
