# Tests: tests/core/test_*.c one cmocka program each, linked with the library's object files so that internal functions are in reach;
# tests/core/plugins/*.c one plugin each; tests/lua/**/*_spec.lua under dlrun's own busted.

TEST_PROGRAMS := $(patsubst tests/core/%.c,$(BUILD)/tests/%,$(wildcard tests/core/test_*.c))
TEST_PLUGINS := $(patsubst tests/core/plugins/%.c,$(BUILD)/tests/plugins/%.so,$(wildcard tests/core/plugins/*.c))
TEST_COMMON := $(call objects,$(filter-out tests/core/test_%.c,$(wildcard tests/core/*.c)))

# tests/abi: plugins of an earlier SDK, compiled with its headers and nothing else, and plugins of today's for hosts of the past.
ABI_PLUGINS := $(patsubst tests/abi/%.c,$(BUILD)/tests/abi/%.so,$(wildcard tests/abi/1.0/plugins/*.c tests/abi/new/*.c))
ABI_DECLARATIONS := $(BUILD)/gen/plugin_cdef.h

.PHONY: tests test abi-record
tests: $(TEST_PROGRAMS) $(TEST_PLUGINS) $(ABI_PLUGINS) $(ABI_DECLARATIONS)

test: all tests ## runs every test; ends with "N passed, N failed, N skipped"
	@BUILD=$(BUILD) $(if $(SANITIZE),DLRUN_SANITIZE=$(SANITIZE)) tools/run_tests

$(BUILD)/tests/test_%: $(BUILD)/obj/tests/core/test_%.o $(TEST_COMMON) $(CORE_OBJ)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -rdynamic -o $@ $^ -lcmocka -ldl -lpthread -lm

$(BUILD)/tests/plugins/%.so: $(BUILD)/obj/tests/core/plugins/%.o
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -shared -o $@ $^ -lm

$(BUILD)/obj/tests/abi/1.0/%.o: tests/abi/1.0/%.c $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(say)$(CC) $(filter-out -I%,$(CFLAGS)) -Itests/abi/1.0/include -MMD -MP -c -o $@ $<

$(BUILD)/tests/abi/%.so: $(BUILD)/obj/tests/abi/%.o
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -shared -o $@ $^

# plugin.h as LuaJIT reads it, for the record of its layout.
$(ABI_DECLARATIONS): $(wildcard core/include/dlrun/*) $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(say)$(CC) -E -P -DDL_CDEF -Icore/include -o $@ core/include/dlrun/plugin.h

abi-record: all $(ABI_DECLARATIONS) ## records what was appended to plugin.h in tests/abi/offsets.txt
	$(DLRUN) tests/abi/record.lua $(ABI_DECLARATIONS)
