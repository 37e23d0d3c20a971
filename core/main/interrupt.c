/* interrupt.c - Ctrl-C. Two ways lead out of a running script: the core refuses its next operation, and a hook stops Lua code
 * that calls none. (LuaJIT looks at hooks in interpreted code only: a compiled loop without operations goes on until the second
 * Ctrl-C.) */
#include "main/host.h"
#include "dlrun/dlrun.h"
#include <lauxlib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static lua_State *state; /* whose script a signal stops */
static volatile sig_atomic_t pending;

static void stop(lua_State *L, lua_Debug *where) {
    (void)where;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted");
}

static void on_signal(int number) {
    (void)number;
    if (pending) _exit(130);
    pending = 1;
    dl_interrupt();
    lua_sethook(state, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1); /* safe in a signal handler, as in lua.c */
}

void host_catch_interrupt(lua_State *L) {
    struct sigaction old, action;
    memset(&action, 0, sizeof action); /* no SA_RESTART: a script or prompt that waits for input stops waiting */
    state = L;
    /* A shell starts background jobs with the signal ignored: then it is not meant for us. */
    if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler == SIG_IGN) return;
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
}

int host_take_interrupt(lua_State *L) {
    const int was = pending != 0;
    if (was) {
        lua_sethook(state, NULL, 0, 0);
        dl_take_interrupt();
        pending = 0;
    }
    lua_pushboolean(L, was);
    return 1;
}

int host_read_byte(void *file) {
    (void)file;
    unsigned char byte;
    return read(STDIN_FILENO, &byte, 1) == 1 ? byte : -1;
}
