# Tests: tests/core/test_*.c one cmocka program each, linked with the library's object files so that internal functions are in reach;
# tests/core/plugins/*.c one plugin each; tests/lua/**/*_spec.lua under dlrun's own busted.

TEST_PROGRAMS := $(patsubst tests/core/%.c,$(BUILD)/tests/%,$(wildcard tests/core/test_*.c))
TEST_PLUGINS := $(patsubst tests/core/plugins/%.c,$(BUILD)/tests/plugins/%.so,$(wildcard tests/core/plugins/*.c))
TEST_COMMON := $(call objects,$(filter-out tests/core/test_%.c,$(wildcard tests/core/*.c)))

.PHONY: tests test
tests: $(TEST_PROGRAMS) $(TEST_PLUGINS)

test: all tests ## runs every test; ends with "N passed, N failed, N skipped"
	@BUILD=$(BUILD) $(if $(SANITIZE),DLRUN_SANITIZE=$(SANITIZE)) tools/run_tests

$(BUILD)/tests/test_%: $(BUILD)/obj/tests/core/test_%.o $(TEST_COMMON) $(CORE_OBJ)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -rdynamic -o $@ $^ -lcmocka -ldl -lpthread -lm

$(BUILD)/tests/plugins/%.so: $(BUILD)/obj/tests/core/plugins/%.o
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -shared -o $@ $^ -lm
