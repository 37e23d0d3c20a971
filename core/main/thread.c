/* thread.c - a Lua chunk on a thread of its own, in a Lua state of its own: states share nothing but the engine. */
#include "main/host.h"
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Text that belongs to the job is malloc'ed. */
typedef struct job {
    pthread_t thread;
    int running;             /* not joined yet */
    char *lua, *cdef, *code; /* the host's paths, as main.c found them, and the chunk */
    char *result;            /* what the chunk returned, or its error; NULL when memory ran out */
    int failed;
} job;

static const char type_name[] = "dlrun.thread";

static void prepare_state(lua_State *L, const job *j) {
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;", j->lua, j->lua);
    lua_getfield(L, -2, "path");
    lua_concat(L, 2);
    lua_setfield(L, -2, "path");
    lua_getfield(L, -1, "loaded");
    lua_newtable(L);
    lua_pushstring(L, j->lua);
    lua_setfield(L, -2, "lua");
    lua_pushstring(L, j->cdef);
    lua_setfield(L, -2, "cdef");
    lua_setfield(L, -2, "dlrun.host");
    lua_settop(L, 0);
}

static void keep_result(job *j, const char *text) { j->result = strdup(text ? text : ""); }

static int run_chunk(lua_State *L) {
    job *j = lua_touserdata(L, 1);
    prepare_state(L, j);
    if (luaL_loadbuffer(L, j->code, strlen(j->code), "=(thread)") != 0) return lua_error(L);
    lua_call(L, 0, 1);
    keep_result(j, lua_tostring(L, -1));
    return 0;
}

/* All under protection, since memory may run out while the libraries are opened. */
static void *run_job(void *context) {
    job *j = context;
    lua_State *L = luaL_newstate();
    j->failed = 1;
    if (!L) return NULL;
    j->failed = lua_cpcall(L, run_chunk, j) != 0;
    if (j->failed) keep_result(j, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error that is no text");
    lua_close(L);
    return NULL;
}

static void wait_for(job *j) {
    if (j->running) pthread_join(j->thread, NULL);
    j->running = 0;
}

static int collect(lua_State *L) {
    job *j = luaL_checkudata(L, 1, type_name);
    wait_for(j);
    free(j->lua);
    free(j->cdef);
    free(j->code);
    free(j->result);
    return 0;
}

static char *host_text(lua_State *L, const char *field) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "dlrun.host");
    lua_getfield(L, -1, field);
    char *copy = strdup(luaL_checkstring(L, -1));
    lua_pop(L, 3);
    return copy;
}

int host_thread(lua_State *L) {
    const char *code = luaL_checkstring(L, 1);
    job *j = lua_newuserdata(L, sizeof *j);
    *j = (job){0};
    if (luaL_newmetatable(L, type_name)) {
        lua_pushcfunction(L, collect);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    j->lua = host_text(L, "lua");
    j->cdef = host_text(L, "cdef");
    j->code = strdup(code);
    if (!j->lua || !j->cdef || !j->code) return luaL_error(L, "out of memory starting a thread");
    if (pthread_create(&j->thread, NULL, run_job, j) != 0) return luaL_error(L, "no thread can be started");
    j->running = 1;
    return 1;
}

int host_join(lua_State *L) {
    job *j = luaL_checkudata(L, 1, type_name);
    wait_for(j);
    lua_pushboolean(L, !j->failed);
    lua_pushstring(L, j->result ? j->result : "out of memory");
    return 2;
}
