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
[ -n "$required$optional" ] || exit 0

echo "Missing packages:"
printf '%s\n' "$required" "$optional" | sed '/^$/d' | expand -t 22 | sed 's/^/  /'

# Without a way to install them: fatal only if a required one is missing.
give_up() {
    [ -n "$required" ] || exit 0
    echo "$1"
    exit 1
}
command -v apt-get >/dev/null 2>&1 ||
    give_up "There is no apt-get here: install what these Debian packages hold, then run make again."
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null 2>&1 || give_up "Neither root nor sudo: as root run  apt-get install $(names "$required")"
fi

echo "Installing them with apt-get."
export DEBIAN_FRONTEND=noninteractive
install="$sudo apt-get install -y -qq --no-install-recommends"
$sudo apt-get update -qq || true
# shellcheck disable=SC2046
[ -z "$required" ] || $install $(names "$required")
for package in $(names "$optional"); do
    $install "$package" || echo "$package is not to be had here; going on without it."
done
[ -z "$(missing required)" ] || { echo "Still missing: $(names "$(missing required)")"; exit 1; }
