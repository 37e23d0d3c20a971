# backends/simt: compiled once, position independent and without exports, for every Tier A backend to link ($(SIMT_OBJ)). Kernel
# texts and the dialect in front of them are embedded as strings.

SIMT_TEXTS := $(wildcard backends/simt/*.cl)
SIMT_OBJ := $(call objects,$(wildcard backends/simt/*.c)) $(call texts,$(SIMT_TEXTS) core/include/dlrun/simt.h)

# Texts include it.
$(patsubst %,$(BUILD)/gen/text/%.c,$(SIMT_TEXTS)): backends/simt/loop.h
