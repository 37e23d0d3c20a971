#!/bin/sh
# Prints what the build needs to know of this machine, as make variables. Reads CC.
set -eu
library=$(ls /usr/lib/*/libluajit-5.1.a /usr/lib/libluajit-5.1.a /usr/local/lib/libluajit-5.1.a 2>/dev/null | head -n 1)
if [ -n "$library" ]; then
    libs="-Wl,--whole-archive $library -Wl,--no-whole-archive" # all of it: Lua's C modules use functions that the program does not
else
    libs=-lluajit-5.1
fi
for include in /usr/include/luajit-2.1 /usr/local/include/luajit-2.1; do
    [ -e "$include/lua.h" ] && break
done
echo "MACHINE := $(uname -m)"
echo "LUAJIT_CFLAGS := -I$include"
echo "LUAJIT_LIBS := $libs"
echo "HAVE_ONEDNN := $(echo '#include <dnnl.h>' | ${CC:-cc} -E - >/dev/null 2>&1 && echo 1 || true)"
echo "HAVE_OPENCL := $(echo '#include <CL/cl.h>' | ${CC:-cc} -E - >/dev/null 2>&1 && echo 1 || true)"
