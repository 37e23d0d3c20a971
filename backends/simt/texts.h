/* texts.h - what the build embeds (tools/embed.sh): the dialect, core/include/dlrun/simt.h, and every <name>.cl of this folder
 * as text_<name>_cl. Families have one text, or more where a script needs only some of it: less to compile. */
#ifndef SIMT_TEXTS_H
#define SIMT_TEXTS_H

extern const char text_simt_h[];
extern const char text_arg_cl[];
extern const char text_conv_data_cl[];
extern const char text_conv_direct_cl[];
extern const char text_conv_forward_cl[];
extern const char text_conv_weight_cl[];
extern const char text_copy_cl[];
extern const char text_create_cl[];
extern const char text_gemm_cl[];
extern const char text_index_cl[];
extern const char text_loss_cl[];
extern const char text_mask_cl[];
extern const char text_norm_cl[];
extern const char text_optim_cl[];
extern const char text_pad_cl[];
extern const char text_pool_cl[];
extern const char text_random_cl[];
extern const char text_resample_cl[];
extern const char text_scan_cl[];
extern const char text_softmax_cl[];
extern const char text_sort_cl[];

#endif
