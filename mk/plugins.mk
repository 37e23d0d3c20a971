# Example plugins: every folder plugins/NAME with C files becomes $(BUILD)/plugins/NAME.so, and its NAME.lua lies beside it as a
# plugin's Lua part does. They see the SDK's headers and nothing of the core; libdlrun is not linked.

EXAMPLE_PLUGINS := $(sort $(patsubst plugins/%/,%,$(dir $(wildcard plugins/*/*.c))))
EXAMPLE_FILES := $(EXAMPLE_PLUGINS:%=$(BUILD)/plugins/%.so) \
                 $(foreach name,$(EXAMPLE_PLUGINS),$(if $(wildcard plugins/$(name)/$(name).lua),$(BUILD)/plugins/$(name).lua))
EXAMPLE_CFLAGS := $(filter-out -I. -Icore,$(CFLAGS))

.PHONY: plugins
plugins: $(EXAMPLE_FILES) ## the example plugins of plugins/

$(BUILD)/obj/plugins/%.o: plugins/%.c $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(say)$(CC) $(EXAMPLE_CFLAGS) -MMD -MP -c -o $@ $<

define example_rules
$(BUILD)/plugins/$(1).so: $(call objects,$(wildcard plugins/$(1)/*.c))
	@mkdir -p $$(@D)
	$$(say)$$(CC) $$(LDFLAGS) -shared -o $$@ $$^ -lm
$(BUILD)/plugins/$(1).lua: plugins/$(1)/$(1).lua
	@mkdir -p $$(@D)
	$$(say)cp $$< $$@
endef
$(foreach name,$(EXAMPLE_PLUGINS),$(eval $(call example_rules,$(name))))
