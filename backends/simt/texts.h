/* texts.h - what the build embeds: the dialect, and the text of every family as simt_<family>_cl. */
#ifndef SIMT_TEXTS_H
#define SIMT_TEXTS_H

extern const char simt_dialect[]; /* core/include/dlrun/simt.h */

#define SIMT_FAMILY(name) extern const char simt_##name##_cl[];
#include "backends/simt/families.def"
#undef SIMT_FAMILY

#endif
