# Compiler flags: one set for everything; sanitized builds trade -O3 for -O1 and keep frame pointers.

OPTIMIZE := $(if $(SANITIZE),-O1 -fno-omit-frame-pointer,-O3)
SANITIZE_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
WARNINGS := -Wall -Wextra -Wpedantic -Werror
CFLAGS := -std=c11 -D_GNU_SOURCE $(OPTIMIZE) -g -fPIC -fvisibility=hidden $(WARNINGS) \
          -fno-math-errno -fno-trapping-math -ffp-contract=off $(SANITIZE_FLAGS) -Icore/include -I. -Icore
LDFLAGS := $(SANITIZE_FLAGS)

# Rules print one short line; V=1 prints the whole command.
say = $(if $(V),,@echo '  $@';)

# $(call objects,a.c b.c): their object files under $(BUILD)/obj.
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

$(BUILD)/obj/%.o: %.c $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(say)$(CC) $(CFLAGS) $(EXTRA_CFLAGS) -MMD -MP -c -o $@ $<

# Header dependencies of whatever was compiled before.
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
