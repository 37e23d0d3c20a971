# Benchmarks (docs/performance.md). BENCH=text: rows whose name contains it; THREADS=n; ROUNDS=n; FORMAT=markdown;
# CLOCK=cpu.
# BENCH_PYTHON: a Python that has torch; without one, bench-peer makes .venv and installs CPU PyTorch there with pip.

BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
BENCH_PYTHON ?= .venv/bin/python
BENCH_RUN = $(DLRUN) tests/bench/bench.lua --build $(BUILD) $(if $(BENCH),--only '$(BENCH)') \
            $(if $(THREADS),--threads $(THREADS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(FORMAT),--format $(FORMAT)) \
            $(if $(CLOCK),--clock $(CLOCK))

.PHONY: bench bench-peer
bench: all $(BENCH_PROGRAMS) ## measures every row (BENCH=word: some) against this machine's limits
	@$(BENCH_RUN)

bench-peer: all $(BENCH_PROGRAMS) $(BENCH_PYTHON) ## the same beside CPU PyTorch, in alternating rounds
	@$(BENCH_RUN) --peer $(BENCH_PYTHON)

.venv/bin/python:
	python3 -m venv .venv
	.venv/bin/pip install torch || { rm -rf .venv; exit 1; }

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIBDLRUN)
	@mkdir -p $(@D)
	$(say)$(CC) $(LDFLAGS) -o $@ $< -L$(BUILD)/lib -ldlrun -Wl,-rpath,'$$ORIGIN/../lib' -lpthread -lm
