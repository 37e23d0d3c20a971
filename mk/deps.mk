# System packages, and what of them this machine has. config.mk is included by the Makefile, so GNU make builds it (installing what
# is missing) before anything else and starts again with its contents: it is the stamp that keeps repeats instant.

.PHONY: deps
deps: ## installs the system packages that are missing
	@tools/deps.sh build

.PHONY: deps-opencl
deps-opencl: ## installs what the OpenCL backend needs: headers, loader, PoCL, CLBlast
	@tools/deps.sh opencl
	@CC='$(CC)' tools/configure.sh > $(BUILD)/config.mk.tmp
	@cmp -s $(BUILD)/config.mk.tmp $(BUILD)/config.mk && rm $(BUILD)/config.mk.tmp || mv $(BUILD)/config.mk.tmp $(BUILD)/config.mk

$(BUILD)/config.mk: tools/deps.sh tools/deps.txt tools/configure.sh
	@tools/deps.sh build
	@mkdir -p $(@D)
	@CC='$(CC)' tools/configure.sh > $@.tmp && mv $@.tmp $@
