#!/bin/sh
# Usage: tools/deps.sh GROUP. Prints which packages of deps.txt's group are missing and installs them where apt-get is; elsewhere prints
# the list and fails. Nothing missing: silent.
set -eu
group=$1
table=$(dirname "$0")/deps.txt

# Prints "package<TAB>purpose" for each package of the group with this need that is not there.
missing() {
    grep -v '^#' "$table" | while IFS='|' read -r in_group need package check purpose; do
        [ "$(echo $in_group)" = "$group" ] && [ "$(echo $need)" = "$1" ] || continue
        # ls fails when any of its patterns has no match; one match is enough.
        case $check in
        *" ls "*) sh -c "$check" 2>/dev/null | grep -q . && continue ;;
        *) sh -c "$check" >/dev/null 2>&1 && continue ;;
        esac
        printf '%s\t%s\n' "$(echo $package)" "$(echo $purpose)"
    done
}

names() { printf '%s\n' "$1" | cut -f1 | tr '\n' ' '; }

required=$(missing required)
optional=$(missing optional)
have_apt() { command -v apt-get >/dev/null 2>&1; }

# An optional package is offered by some releases only; one that is not is no reason to ask again.
if have_apt && [ -n "$optional" ]; then
    optional=$(printf '%s\n' "$optional" | while IFS= read -r line; do
        apt-cache show "${line%%	*}" >/dev/null 2>&1 && printf '%s\n' "$line" || true
    done)
fi
[ -n "$required$optional" ] || exit 0

echo "Missing packages:"
printf '%s\n' "$required" "$optional" | sed '/^$/d' | expand -t 22 | sed 's/^/  /'

if ! have_apt; then
    [ -n "$required" ] || exit 0
    echo "There is no apt-get here: install what these Debian packages hold, then run make again."
    exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
if [ -n "$sudo" ] && ! command -v sudo >/dev/null 2>&1; then
    [ -n "$required" ] || exit 0
    echo "Neither root nor sudo: as root run  apt-get install $(names "$required")"
    exit 1
fi
echo "Installing them with apt-get."
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq || true
# shellcheck disable=SC2046
[ -z "$required" ] || $sudo apt-get install -y -qq --no-install-recommends $(names "$required")
for package in $(names "$optional"); do
    $sudo apt-get install -y -qq --no-install-recommends "$package" || echo "$package is not to be had here; going on without it."
done
[ -z "$(missing required)" ] || { echo "Still missing: $(names "$(missing required)")"; exit 1; }
