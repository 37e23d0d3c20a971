# `make install`: the same tree as build/, so that everything finds its neighbours relative to itself. dlrun.pc is for programs
# that embed the library, dlrun-plugin.pc for plugins (docs/plugin-authors.md); it also says where the pages, the example plugins
# and the tables of ops lie, for who has no source tree.

.PHONY: install
PLUGINS = $(sort $(CPU_PLUGIN) $(if $(HAVE_OPENCL),$(OPENCL_PLUGIN)) $(wildcard $(BUILD)/lib/dlrun/plugins/*.so))
INSTALLED := $(abspath $(DESTDIR)$(PREFIX))

# Copies the files of folder $(1) of which find's tests $(2) are true into folder $(3) of share, as the tree they are.
install_tree = cd $(1) && find . -type f $(2) -exec install -D -m 644 {} $(INSTALLED)/share/$(3)/{} \;

install: all ## installs under PREFIX (default /usr/local), below DESTDIR if given
	install -d $(addprefix $(INSTALLED)/,bin lib/dlrun/plugins lib/pkgconfig include/dlrun share/dlrun)
	install -s -m 755 $(DLRUN) $(INSTALLED)/bin/dlrun
	install -s -m 755 $(LIBDLRUN) $(INSTALLED)/lib/libdlrun.so
	install -s -m 755 $(PLUGINS) $(INSTALLED)/lib/dlrun/plugins/
	install -m 644 $(wildcard core/include/dlrun/*) $(INSTALLED)/include/dlrun/
	install -m 644 $(CDEF) $(INSTALLED)/share/dlrun/cdef.h
	install -m 644 core/cases.def core/pointwise.def $(INSTALLED)/share/dlrun/
	$(call install_tree,lua,-name '*.lua',dlrun/lua)
	$(call install_tree,docs,-name '*.md',doc/dlrun)
	$(call install_tree,plugins,,dlrun/examples/plugins)
	$(call install_tree,scripts,-name '*.lua',dlrun/scripts)
	for name in dlrun dlrun-plugin; do sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' tools/$$name.pc.in \
	    > $(INSTALLED)/lib/pkgconfig/$$name.pc || exit 1; done
