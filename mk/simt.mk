# backends/simt: compiled once, position independent and without exports, for every Tier A backend to link ($(SIMT_OBJ)). Kernel
# texts and the dialect in front of them are embedded as strings.

SIMT_TEXTS := $(wildcard backends/simt/*.cl)
SIMT_GEN := $(patsubst backends/simt/%.cl,$(BUILD)/gen/simt/%_cl.c,$(SIMT_TEXTS)) $(BUILD)/gen/simt/dialect.c
SIMT_OBJ := $(call objects,$(wildcard backends/simt/*.c)) $(patsubst $(BUILD)/gen/%.c,$(BUILD)/obj/gen/%.o,$(SIMT_GEN))

.SECONDARY: $(SIMT_GEN)

$(BUILD)/gen/simt/%_cl.c: backends/simt/%.cl $(wildcard backends/simt/*.h) tools/embed_simt.sh
	@mkdir -p $(@D)
	$(say)tools/embed_simt.sh simt_$*_cl $< > $@

$(BUILD)/gen/simt/dialect.c: core/include/dlrun/simt.h tools/embed_simt.sh
	@mkdir -p $(@D)
	$(say)tools/embed_simt.sh simt_dialect $< > $@

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c
	@mkdir -p $(@D)
	$(say)$(CC) $(CFLAGS) -c -o $@ $<
