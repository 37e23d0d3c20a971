/* main.c - the dlrun program: reads its options, makes a Lua state and hands both to lua/dlrun/main.lua, which does the rest.
 * Here is only what must be C: getopt, the state, the place of our Lua files, and (interrupt.c) Ctrl-C. */
#include "main/host.h"
#include "dlrun/dlrun.h"
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <lauxlib.h>
#include <lualib.h>

typedef struct host_option {
    const char *name;
    int letter;
    const char *value, *help;
} host_option;

static const host_option options[] = {
#define HOST_OPTION(name, letter, value, help) {name, letter, value, help},
#include "main/options.def"
#undef HOST_OPTION
};
enum { n_options = sizeof options / sizeof options[0] };

static void print_help(void) {
    puts("Usage: dlrun [options] [script.lua [arguments]]\n"
         "\n"
         "Runs a Lua script with torch loaded. Without a script: reads commands from the terminal,\n"
         "or a script from standard input. Options before the script are dlrun's, after it the script's.\n");
    for (int k = 0; k < n_options; k++) {
        char left[48];
        const host_option *o = &options[k];
        const char *value = o->value ? o->value : "";
        if (o->letter)
            snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name, o->value ? "=" : "", value);
        else
            snprintf(left, sizeof left, "    --%s%s%s", o->name, o->value ? "=" : "", value);
        printf("  %-30s %s\n", left, o->help);
    }
    puts(
        "\nEnvironment: DLRUN_ISA, DLRUN_THREADS, DLRUN_PLUGIN_PATH, DLRUN_DATA, DLRUN_CACHE, DLRUN_TRACEBACK=full, NO_COLOR.");
}

/* A plugin that is asked for comes before those that the start of the engine finds. */
static int load_plugin(const char *path) {
    if (dl_plugin_load(path) == DL_OK) return 1;
    fprintf(stderr, "dlrun: %s\n", dl_last_error());
    return 0;
}

/* Pushes an array of {name, value} (value "" where the option has none) in the order given. Options end at the script's name.
 * Returns the index of the first argument behind them; WRONG or FAILED after a message; ANSWERED where nothing is left to do.
 */
enum { WRONG = -1, ANSWERED = -2, FAILED = -3 };
static int push_options(lua_State *L, int argc, char **argv) {
    struct option table[n_options + 1] = {0};
    char letters[2 * n_options + 2] = "+"; /* +: do not look for options behind the script */
    size_t used = 1;
    for (int k = 0; k < n_options; k++) {
        table[k] = (struct option){options[k].name, options[k].value ? required_argument : no_argument, NULL, 256 + k};
        if (!options[k].letter) continue;
        letters[used++] = (char)options[k].letter;
        if (options[k].value) letters[used++] = ':';
    }
    lua_newtable(L);
    for (int n = 1, c; (c = getopt_long(argc, argv, letters, table, NULL)) != -1; n++) {
        if (c == '?') return fputs("Try dlrun --help.\n", stderr), WRONG;
        int k = c - 256;
        for (int j = 0; c < 256 && j < n_options; j++)
            if (options[j].letter == c) k = j;
        if (strcmp(options[k].name, "help") == 0) return print_help(), ANSWERED;
        if (strcmp(options[k].name, "version") == 0) return printf("dlrun %s\n", dl_version()), ANSWERED;
        if (strcmp(options[k].name, "plugin") == 0 && !load_plugin(optarg)) return FAILED;
        lua_createtable(L, 2, 0);
        lua_pushstring(L, options[k].name);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, optarg ? optarg : "");
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, n);
    }
    return optind;
}

/* The folder of this program; "." where /proc is missing. */
static void program_folder(char folder[PATH_MAX]) {
    char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    snprintf(folder, PATH_MAX, "%s", n > 0 ? dirname(path) : ".");
}

/* Sets host.lua, our Lua files' folder, and host.cdef, the C declarations: those of the installed tree, of the source tree
 * around the build folder, or of the source tree this was built from, whichever is there. */
static int push_paths(lua_State *L) {
    static const char *const places[][2] = {{"../share/dlrun/lua", "../share/dlrun/cdef.h"},
                                            {"../../lua", "../gen/cdef.h"},
                                            {DL_SOURCE_DIR "/lua", "../gen/cdef.h"}};
    char folder[PATH_MAX];
    program_folder(folder);
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
        const char *lua = places[k][0];
        if (*lua == '/')
            lua_pushstring(L, lua);
        else
            lua_pushfstring(L, "%s/%s", folder, lua);
        const char *probe = lua_pushfstring(L, "%s/dlrun/main.lua", lua_tostring(L, -1));
        char real[PATH_MAX];
        const int found = access(probe, R_OK) == 0 && realpath(lua_tostring(L, -2), real);
        lua_pop(L, 2);
        if (!found) continue;
        lua_pushstring(L, real);
        lua_setfield(L, -2, "lua");
        lua_pushfstring(L, "%s/%s", folder, places[k][1]);
        lua_setfield(L, -2, "cdef");
        return 1;
    }
    fprintf(stderr, "dlrun: its Lua files are neither in %s/../share/dlrun/lua nor in %s/../../lua\n", folder, folder);
    return 0;
}

static int host_isatty(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* A C function for LuaJIT's FFI: ISO C has it copied, not cast, into a pointer to data. */
static void push_pointer(lua_State *L, int (*function)(void *)) {
    void *address;
    memcpy(&address, &function, sizeof address);
    lua_pushlightuserdata(L, address);
}

static const luaL_Reg host_functions[] = {{"isatty", host_isatty},
                                          {"takeInterrupt", host_take_interrupt},
                                          {"thread", host_thread},
                                          {"join", host_join},
                                          {NULL, NULL}};

/* Runs lua/dlrun/main.lua with the host table and the arguments behind the options; its result is the exit status. */
static int run(lua_State *L, int argc, char **argv) {
    luaL_openlibs(L);
    lua_newtable(L);
    const int first = push_options(L, argc, argv);
    if (first < 0) return first == WRONG ? 2 : first == FAILED ? 1 : 0;
    lua_setfield(L, -2, "options");
    if (!push_paths(L)) return 1;
    luaL_register(L, NULL, host_functions);
    lua_pushstring(L, dl_version());
    lua_setfield(L, -2, "version");
    push_pointer(L, host_read_byte);
    lua_setfield(L, -2, "readByte");
    lua_createtable(L, argc - first, 1);
    for (int k = 0; k <= argc - first; k++) { /* arg[0] is the script or, without one, the program */
        lua_pushstring(L, first == argc ? argv[0] : argv[first + k]);
        if (lua_isnil(L, -1))
            lua_pop(L, 1);
        else
            lua_rawseti(L, -2, k);
    }
    lua_setfield(L, -2, "arguments");
    lua_pushboolean(L, first < argc);
    lua_setfield(L, -2, "hasScript");

    lua_getfield(L, -1, "lua");
    lua_pushfstring(L, "%s/dlrun/main.lua", lua_tostring(L, -1));
    int status = luaL_loadfile(L, lua_tostring(L, -1));
    if (status == 0) {
        lua_pushvalue(L, 1);
        host_catch_interrupt(L);
        status = lua_pcall(L, 1, 1, 0);
    }
    if (status != 0) {
        fprintf(stderr, "dlrun: %s\n", lua_tostring(L, -1) ? lua_tostring(L, -1) : "error without a message");
        return 1;
    }
    return (int)lua_tointeger(L, -1);
}

int main(int argc, char **argv) {
    argv[0] = (char[]){"dlrun"}; /* getopt's messages begin with it */
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("dlrun: out of memory\n", stderr);
        return 1;
    }
    const int status = run(L, argc, argv);
    lua_close(L);
    return status;
}
