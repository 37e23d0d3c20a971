# The conformance kit on the backends of this tree. CONFORMANCE=names: only those. OpenCL needs `make deps-opencl`.

CONFORMANCE ?= cpu plain opencl

.PHONY: conformance
conformance: all ## every op of every backend against the reference (CONFORMANCE="cpu plain": some)
	@BUILD=$(BUILD) tests/conformance/run $(CONFORMANCE)
