# The CPU backend: backends/cpu/*.c once, backends/cpu/kernels/*.c and the generated pointwise loops once per instruction set.

CPU_SRC := $(wildcard backends/cpu/*.c)
CPU_KERNELS := $(wildcard backends/cpu/kernels/*.c)
CPU_PLUGIN := $(BUILD)/lib/dlrun/plugins/cpu.so
POINTWISE_LOOPS := $(BUILD)/gen/pointwise_loops.c
GENERATOR := $(BUILD)/tools/gen_pointwise

CPU_ISAS := baseline $(if $(filter x86_64,$(MACHINE)),avx2 avx512)
CPU_ISA_baseline :=
CPU_ISA_avx2 := -mavx2 -mfma -mf16c -mbmi2
CPU_ISA_avx512 := -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mf16c -mbmi2 -mprefer-vector-width=512

CPU_CFLAGS := -Ibackends/cpu -I$(BUILD)/gen
CPU_LIBS := -ldl -lpthread -lm

CPU_OBJ := $(call objects,$(CPU_SRC))
CPU_GEN := $(if $(wildcard tools/gen_pointwise.c),$(POINTWISE_LOOPS))
CPU_ISA_OBJ := $(foreach isa,$(CPU_ISAS),$(patsubst backends/cpu/kernels/%.c,$(BUILD)/obj/cpu-$(isa)/%.o,$(CPU_KERNELS)) \
                                         $(if $(CPU_GEN),$(BUILD)/obj/cpu-$(isa)/pointwise_loops.o))

.PHONY: cpu
cpu: $(if $(CPU_SRC),$(CPU_PLUGIN))

# What the files of this backend need beyond the above (libraries it links) is said beside them.
-include backends/cpu/module.mk

$(CPU_OBJ): EXTRA_CFLAGS = $(CPU_CFLAGS)

$(CPU_PLUGIN): $(CPU_OBJ) $(CPU_ISA_OBJ)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -shared -o $@ $^ $(CPU_LIBS)

define cpu_isa_rules
$(BUILD)/obj/cpu-$(1)/%.o: backends/cpu/kernels/%.c $(CPU_GEN) $(BUILD)/config.mk
	@mkdir -p $$(@D)
	$$(say)$$(CC) $$(CFLAGS) $$(CPU_CFLAGS) -DCPU_ISA_SUFFIX=$(1) $$(CPU_ISA_$(1)) -MMD -MP -c -o $$@ $$<
$(BUILD)/obj/cpu-$(1)/pointwise_loops.o: $(POINTWISE_LOOPS)
	@mkdir -p $$(@D)
	$$(say)$$(CC) $$(CFLAGS) $$(CPU_CFLAGS) -DCPU_ISA_SUFFIX=$(1) $$(CPU_ISA_$(1)) -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(CPU_ISAS),$(eval $(call cpu_isa_rules,$(isa))))

# The generator runs on the build machine. It links the pointwise compiler itself, and of the core only the leaves that needs.
GENERATOR_OBJ := $(call objects,tools/gen_pointwise.c $(wildcard core/pointwise/*.c))
GENERATOR_LEAVES := $(call objects,$(wildcard core/status.c core/mem.c core/dtype.c))

$(GENERATOR): $(GENERATOR_OBJ) $(GENERATOR_LEAVES)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -o $@ $^ -lpthread -lm

$(POINTWISE_LOOPS): $(GENERATOR)
	@mkdir -p $(@D)
	$(say)$(GENERATOR) > $@
