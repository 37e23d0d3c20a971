/* capture.h - where the door tells a capture in progress what ran. */
#ifndef DL_CORE_CAPTURE_H
#define DL_CORE_CAPTURE_H
#include "core/plan.h"

dl_status dl_capture_note(const dl_op *, const dl_frame *, dl_cached_plan *); /* DL_OK at once where nothing is captured */
int dl_capturing(void);                                                       /* is this thread's step being captured? */
/* Calls between the two are not part of the step. */
dl_capture *dl_capture_pause(void);
void dl_capture_resume(dl_capture *);
void dl_capture_refuse(const char *why); /* the host read data: what follows may depend on it (static text) */
#endif
