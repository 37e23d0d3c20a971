# System packages, and what of them this machine has. config.mk is included by the Makefile, so GNU make builds it (installing what
# is missing) before anything else and starts again with its contents: it is the stamp that keeps repeats instant.

.PHONY: deps
deps: ## installs the system packages that are missing
	@tools/deps.sh build

$(BUILD)/config.mk: tools/deps.sh tools/deps.txt tools/configure.sh
	@tools/deps.sh build
	@mkdir -p $(@D)
	@CC='$(CC)' tools/configure.sh > $@.tmp && mv $@.tmp $@
