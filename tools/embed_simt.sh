#!/bin/sh
# tools/embed_simt.sh SYMBOL FILE: prints C that defines SYMBOL as FILE's text, NUL-terminated. Files of this tree that the text includes
# (a line #include "backends/...") stand in its place.
set -e
printf '/* %s, embedded by tools/embed_simt.sh */\nextern const char %s[];\nconst char %s[] = {\n' "$2" "$1" "$1"
awk '/^#include "backends\// { gsub(/"/, "", $2); while ((getline line < $2) > 0) print line; next } { print }' "$2" |
    od -An -v -tu1 | sed 's/  */,/g; s/^,//; s/$/,/'
echo '0};'
