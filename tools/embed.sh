#!/bin/sh
# embed.sh FILE: prints a C file that defines FILE's text as text_<its name, other characters than letters and digits as _>.
name=text_$(basename "$1" | tr -c 'A-Za-z0-9\n' _)
echo "/* $1, by tools/embed.sh. */"
echo "extern const char $name[];"
echo "const char $name[] = {"
od -An -v -tu1 "$1" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
echo "0};"
