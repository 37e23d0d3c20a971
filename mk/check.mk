# `make check`: what a release must pass beyond `make test`. Each part can be called alone.

C_FILES = $(shell find core backends tools tests examples plugins -name '*.[ch]' 2>/dev/null)
LUA_DIRS := $(wildcard lua scripts tests/lua tests/bench examples plugins)
SANITIZED := address,undefined

.PHONY: check check-deps check-sanitize check-lua check-format check-lint format
check: check-deps check-format check-lua check-lint check-sanitize ## sanitized test run, luacheck, clang-format, cppcheck

check-deps:
	@tools/deps.sh check

check-sanitize:
	@$(MAKE) SANITIZE=$(SANITIZED) BUILD=build-asan test

check-lua: check-deps
	luacheck -q $(LUA_DIRS)

check-format: check-deps
	clang-format --dry-run -Werror $(C_FILES)

check-lint: check-deps
	@mkdir -p $(BUILD)/cppcheck
	cppcheck -q -j2 --cppcheck-build-dir=$(BUILD)/cppcheck --error-exitcode=1 --std=c11 --inline-suppr \
	    --enable=warning,portability --suppressions-list=tools/cppcheck.txt -Icore/include -Icore -I. -Ibackends/cpu \
	    -D__x86_64__ -D__GNUC__=12 -DCPU_ISA_SUFFIX=baseline core backends tools examples plugins

format: ## formats the C sources in place
	clang-format -i $(C_FILES)
