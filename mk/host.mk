# The dlrun program (LuaJIT host) and the C examples.

HOST_SRC := $(wildcard core/main/*.c)
HOST_OBJ := $(call objects,$(HOST_SRC))
DLRUN := $(BUILD)/bin/dlrun
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))

.PHONY: host examples
host: $(if $(HOST_SRC),$(DLRUN))
examples: $(EXAMPLES)

# Lua's C modules take the lua_* functions from the program, hence the exports.
$(HOST_OBJ): EXTRA_CFLAGS = $(LUAJIT_CFLAGS) -DDL_SOURCE_DIR='"$(CURDIR)"'
$(DLRUN): $(HOST_OBJ) $(LIBDLRUN)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -rdynamic -o $@ $(HOST_OBJ) -L$(BUILD)/lib -ldlrun -Wl,-rpath,'$$ORIGIN/../lib' $(LUAJIT_LIBS) -lpthread -lm -ldl

$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(LIBDLRUN)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -o $@ $< -L$(BUILD)/lib -ldlrun -Wl,-rpath,'$$ORIGIN/../lib' -lm
