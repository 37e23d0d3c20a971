#!/bin/sh
# tools/embed.sh SYMBOL FILE: prints C that defines SYMBOL as FILE's text, NUL-terminated.
set -e
printf '/* %s, embedded by tools/embed.sh */\nextern const char %s[];\nconst char %s[] = {\n' "$2" "$1" "$1"
od -An -v -tu1 "$2" | sed 's/  */,/g; s/^,//; s/$/,/'
echo '0};'
