# The OpenCL backend, built where OpenCL's headers are (tools/configure.sh); its loader and drivers are looked for at run time.

OPENCL_SRC := $(wildcard backends/opencl/*.c)
OPENCL_OBJ := $(call objects,$(OPENCL_SRC))
OPENCL_PLUGIN := $(BUILD)/lib/dlrun/plugins/opencl.so

.PHONY: opencl
opencl: $(if $(HAVE_OPENCL),$(OPENCL_PLUGIN))

$(OPENCL_PLUGIN): $(OPENCL_OBJ) $(SIMT_OBJ)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -shared -o $@ $^ -ldl -lpthread -lm
