# dlrun's build. `make help` lists the targets; mk/*.mk holds the rules, one subject a file.
# Variables: CC, SANITIZE=address|undefined|address,undefined|thread, BUILD=<folder>, PREFIX=, DESTDIR=.

SANITIZE ?=
comma := ,
BUILD ?= $(if $(SANITIZE),build-$(subst $(comma),-,$(SANITIZE)),build)
PREFIX ?= /usr/local
VERSION := 0.1.0

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

ifeq ($(origin CC),default)
CC := gcc
endif

# Targets that need no packages and no configuration.
BARE_GOALS := help clean format
ifneq ($(filter-out $(BARE_GOALS),$(or $(MAKECMDGOALS),all)),)
include $(BUILD)/config.mk
endif

include mk/deps.mk mk/flags.mk mk/text.mk mk/core.mk mk/cpu.mk mk/simt.mk mk/opencl.mk mk/host.mk mk/plugins.mk mk/tests.mk mk/bench.mk mk/conformance.mk mk/check.mk mk/install.mk

.PHONY: all mnist clean help
all: core cpu opencl host examples plugins ## everything a user runs
	@:

MNIST_ARGS ?=
mnist: all ## trains the MNIST network (EPOCHS=n, MNIST_ARGS="--face=torch7 …")
	$(BUILD)/bin/dlrun scripts/mnist.lua --save $(BUILD)/mnist.safetensors $(if $(EPOCHS),--epochs $(EPOCHS)) $(MNIST_ARGS)

clean: ## removes this configuration's build folder
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile mk/*.mk | expand -t 18
