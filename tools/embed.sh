#!/bin/sh
# embed.sh FILE: prints a C file that defines FILE's text as text_<its name, other characters than letters and digits as _>.
# Files of this tree that the text includes (a line #include "backends/...") stand in its place.
name=text_$(basename "$1" | tr -c 'A-Za-z0-9\n' _)
echo "/* $1, by tools/embed.sh. */"
echo "extern const char $name[];"
echo "const char $name[] = {"
awk '/^#include "backends\// { gsub(/"/, "", $2); while ((getline line < $2) > 0) print line; next } { print }' "$1" |
    od -An -v -tu1 | sed 's/  *\([0-9][0-9]*\)/\1,/g'
echo "0};"
