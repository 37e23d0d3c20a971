# libdlrun.so, and the C declarations that LuaJIT's ffi.cdef reads.

CORE_SRC := $(wildcard core/*.c core/ops/*.c core/pointwise/*.c core/generate/*.c)
CORE_OBJ := $(call objects,$(CORE_SRC)) $(call texts,core/include/dlrun/simt.h $(wildcard core/generate/*.simt))
LIBDLRUN := $(BUILD)/lib/libdlrun.so
CDEF := $(BUILD)/gen/cdef.h

.PHONY: core
core: $(if $(CORE_SRC),$(LIBDLRUN)) $(CDEF)

$(LIBDLRUN): $(CORE_OBJ)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -shared -Wl,-soname,libdlrun.so -o $@ $^ -ldl -lpthread -lm

$(CDEF): core/include/dlrun/dlrun.h $(wildcard core/include/dlrun/*) $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(say)$(CC) -E -P -DDL_CDEF -Icore/include -o $@ $<
