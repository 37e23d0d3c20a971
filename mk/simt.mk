# backends/simt: compiled once, position independent and without exports, for every Tier A backend to link ($(SIMT_OBJ)). Kernel
# texts and the dialect in front of them are embedded as strings.

SIMT_OBJ := $(call objects,$(wildcard backends/simt/*.c)) $(call texts,$(wildcard backends/simt/*.cl) core/include/dlrun/simt.h)
