/* custom.h - custom nodes: which Lua-side ids have no node any more. */
#ifndef DL_CORE_CUSTOM_H
#define DL_CORE_CUSTOM_H
#include <stdint.h>
void dl_custom_note_released(int64_t id);
#endif
