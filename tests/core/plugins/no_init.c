/* no_init.c - has an identity but no init function. */
#include "dlrun/plugin.h"

DL_PLUGIN_IDENTITY("no_init", "0.1", 0);
