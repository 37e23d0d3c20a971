/* texts.h - what the build embeds (tools/embed.sh): the dialect, and the text of every family as text_<family>_cl. */
#ifndef SIMT_TEXTS_H
#define SIMT_TEXTS_H

extern const char text_simt_h[]; /* core/include/dlrun/simt.h */

#define SIMT_FAMILY(name) extern const char text_##name##_cl[];
#include "backends/simt/families.def"
#undef SIMT_FAMILY

#endif
