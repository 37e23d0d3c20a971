/* plugin.h - the plugin loader's inside. All functions may be called from any thread. */
#ifndef DL_CORE_PLUGIN_H
#define DL_CORE_PLUGIN_H
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"

/* Walks the search path and opens what it finds; lazy plugins wait. A refused file is no failure of this. */
dl_status dl_plugins_scan(void);

/* Opens waiting plugins of this name (NULL: all). The first refusal's status and message; DL_OK if there was nothing to do. */
dl_status dl_plugins_open_waiting(const char *name);

/* Appends the names of the plugins that wait, which are their backends', to a list of names with ", " between. */
void dl_plugins_list_waiting(char *list, size_t capacity);

/* Why a plugin of this name, or of a file of this name, was refused; "" if none was. */
void dl_plugin_refusal(const char *name, char *text, size_t capacity);

/* ---- the host's side of dl_plugin_init (core/host.c) ------------------------------------------------------------------- */

/* Calls init with the host's table. What it registers is staged and takes effect only if init and
 * every check succeed. `plugin` names it in messages and must live as long as the process. */
dl_status dl_host_run_init(dl_plugin_init_fn init, const char *plugin);
dl_status dl_host_run_init_with(dl_plugin_init_fn init, const dl_host *table, const char *plugin); /* another host's table */
const dl_host *dl_host_table(void);
#endif
