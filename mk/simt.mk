# backends/simt: compiled once, position independent and without exports, for every Tier A backend to link ($(SIMT_OBJ)). Kernel
# texts and the dialect in front of them are embedded as strings.

SIMT_TEXTS := $(wildcard backends/simt/*.cl)
SIMT_OBJ := $(call objects,$(wildcard backends/simt/*.c)) $(call texts,$(SIMT_TEXTS) core/include/dlrun/simt.h)

# Texts include some of them.
$(patsubst %,$(BUILD)/gen/text/%.c,$(SIMT_TEXTS)): $(wildcard backends/simt/*.h)

# The host part is tested on a backend of the test's own.
$(BUILD)/tests/test_simt_host: $(SIMT_OBJ)

# The kernels as CUDA C, by NVRTC where it is installed (tests/simt).
CHECK_SIMT := $(BUILD)/tests/check_simt

.PHONY: check-simt
check-simt: core cpu $(CHECK_SIMT) ## compiles every kernel of backends/simt and core/generate as CUDA C with NVRTC
	@DLRUN_PLUGIN_PATH=$(abspath $(BUILD)/lib/dlrun/plugins) $(CHECK_SIMT)

CHECK_SIMT_OBJ := $(call objects,$(wildcard tests/simt/*.c))
$(CHECK_SIMT_OBJ): EXTRA_CFLAGS = -Itests/core
$(CHECK_SIMT): $(CHECK_SIMT_OBJ) $(SIMT_OBJ) $(call objects,$(filter-out tests/core/test_%.c,$(wildcard tests/core/*.c))) $(CORE_OBJ)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -rdynamic -o $@ $^ -lcmocka -ldl -lpthread -lm
