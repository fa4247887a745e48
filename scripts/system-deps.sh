#!/usr/bin/env bash
# What the tests need from the system: real servers and a C compiler, from Debian's packages.
# Installs what is missing when it may (root, or sudo that asks no question); else names it and exits 1.
# usage: system-deps.sh [--check]     --check only reports
set -euo pipefail
PATH=$PATH:/usr/sbin:/usr/local/sbin

# command or file, the package that brings it, what needs it
NEEDS=(
    "mosquitto           mosquitto   the MQTT tests, which run a real broker"
    "mosquitto_passwd    mosquitto   the MQTT tests' password file"
    "gcc                 gcc         the crash tests, which build a small library that makes fsync fail"
    "/usr/include/stdio.h libc6-dev  the crash tests (headers of the C library)"
)

say() { printf '[vestibule] %s\n' "$*" >&2; }
present() { case "$1" in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null ;; esac; }
missing_packages() {
    local line what package
    for line in "${NEEDS[@]}"; do
        read -r what package _ <<<"$line"
        present "$what" || echo "$package"
    done | sort -u | paste -sd' ' -
}

packages=$(missing_packages)
[ -n "$packages" ] || exit 0

root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)
if [ "${1:-}" != --check ] && command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
    say "installing with apt-get: $packages"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    apt_get() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends "$@" >>"$log" 2>&1; }
    # shellcheck disable=SC2086  # the list of packages is meant to be split
    if ! { apt_get update && apt_get install $packages; }; then
        tail -n 5 "$log" >&2
    fi
    packages=$(missing_packages)
    [ -n "$packages" ] || exit 0
fi

for line in "${NEEDS[@]}"; do
    read -r what package why <<<"$line"
    present "$what" || say "missing: $what (package $package), for $why"
done
say "run: sudo apt-get install $packages"
exit 1
