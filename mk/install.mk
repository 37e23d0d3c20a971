# `make install`: the same tree as build/, so that everything finds its neighbours relative to itself. dlrun.pc is for programs
# that embed the library, dlrun-plugin.pc for plugins (docs/plugin-authors.md).

.PHONY: install
PLUGINS = $(sort $(CPU_PLUGIN) $(if $(HAVE_OPENCL),$(OPENCL_PLUGIN)) $(wildcard $(BUILD)/lib/dlrun/plugins/*.so))

install: all ## installs under PREFIX (default /usr/local), below DESTDIR if given
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/dlrun/plugins lib/pkgconfig include/dlrun share/dlrun)
	install -s -m 755 $(DLRUN) $(DESTDIR)$(PREFIX)/bin/dlrun
	install -s -m 755 $(LIBDLRUN) $(DESTDIR)$(PREFIX)/lib/libdlrun.so
	install -s -m 755 $(PLUGINS) $(DESTDIR)$(PREFIX)/lib/dlrun/plugins/
	install -m 644 $(wildcard core/include/dlrun/*) $(DESTDIR)$(PREFIX)/include/dlrun/
	install -m 644 $(CDEF) $(DESTDIR)$(PREFIX)/share/dlrun/cdef.h
	install -m 644 core/cases.def $(DESTDIR)$(PREFIX)/share/dlrun/cases.def
	cd lua && find . -name '*.lua' -exec install -D -m 644 {} $(abspath $(DESTDIR)$(PREFIX))/share/dlrun/lua/{} \;
	for name in dlrun dlrun-plugin; do sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' tools/$$name.pc.in \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/$$name.pc || exit 1; done
