/* texts.h - what the build embeds (tools/embed.sh): the dialect, and the text of every family as text_<family>_cl. */
#ifndef SIMT_TEXTS_H
#define SIMT_TEXTS_H

extern const char text_simt_h[]; /* core/include/dlrun/simt.h */

/* Texts of families that have more than one: less to compile for what a script needs. */
extern const char text_conv_forward_cl[], text_conv_data_cl[], text_conv_weight_cl[], text_conv_direct_cl[];

#define SIMT_FAMILY(name) extern const char text_##name##_cl[];
#include "backends/simt/families.def"
#undef SIMT_FAMILY

#endif
