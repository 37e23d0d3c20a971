#!/bin/sh
# embed.sh FILE: prints a C file that defines FILE's text as text_<its name, other characters than letters and digits as _>.
# Files of this tree that the text includes (a line #include "backends/...") stand in its place, but not what those include.
set -e
name=text_$(basename "$1" | tr -c 'A-Za-z0-9\n' _)
whole=$(mktemp)
trap 'rm -f "$whole"' EXIT
awk '
    !/^#include/ { print; next }
    {
        file = $2
        gsub(/"/, "", file)
        while ((status = (getline line < file)) > 0) print line
        close(file)
        if (status < 0) {
            printf "%s:%d: there is no file %s to include\n", FILENAME, FNR, file > "/dev/stderr"
            exit 1
        }
    }' "$1" > "$whole"
echo "/* $1, by tools/embed.sh. */"
echo "extern const char $name[];"
echo "const char $name[] = {"
od -An -v -tu1 "$whole" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
echo "0};"
