/* host.h - what the files of the dlrun program share. */
#ifndef DL_MAIN_HOST_H
#define DL_MAIN_HOST_H
#include <lua.h>

/* From now on the first Ctrl-C raises the error "interrupted" in L (or ends the running operation), the second ends the process
 * with status 130. */
void host_catch_interrupt(lua_State *L);

/* Lua: was there a Ctrl-C since the last time it was asked? Then it is forgotten, so that what follows runs undisturbed. */
int host_take_interrupt(lua_State *L);

/* For libedit's rl_getc_function: a byte of standard input, or -1 at its end and on Ctrl-C, where libedit's own reader would
 * try again and keep the line. */
int host_read_byte(void *file);

/* Lua: thread(code) runs a chunk in a new Lua state on a new thread, with the same package.path; returns a handle. join(handle)
 * waits: true and the string it returned, or false and the error. */
int host_thread(lua_State *L);
int host_join(lua_State *L);
#endif
