#!/usr/bin/env bash
# What the tests need from the system: real servers, a C compiler and Mono, from Debian's packages.
# Installs what is missing when it may (root, or sudo that asks no question); else names it and exits 1.
# usage: system-deps.sh [--check] [GROUP]     --check only reports; GROUP: tests (default), installers
set -euo pipefail
PATH=$PATH:/usr/sbin:/usr/local/sbin

# group, command or file, the package that brings it, what needs it
NEEDS=(
    "tests      mosquitto           mosquitto   the MQTT tests, which run a real broker"
    "tests      mosquitto_passwd    mosquitto   the MQTT tests' password file"
    "tests      gcc                 gcc         the crash tests, which build a small library that makes fsync fail"
    "tests      /usr/include/stdio.h libc6-dev  the crash tests (headers of the C library)"
    "tests      mono                mono-runtime the tests of the Unity plugin, which run it under Mono"
    "tests      /usr/lib/mono/4.5/System.Core.dll libmono-system-core4.0-cil the tests of the Unity plugin (Mono's libraries)"
    "installers npm                 npm         scripts/engines.sh, to get the C# compiler"
    "installers apt-get             apt         scripts/engines.sh, to get Godot and Mono's libraries"
    "installers dpkg-deb            dpkg        scripts/engines.sh, to unpack them"
    "installers flock               util-linux  scripts/engines.sh, so that two installations do not meet"
)

say() { printf '[vestibule] %s\n' "$*" >&2; }
present() { case "$1" in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null ;; esac; }
check=no
group=tests
for word; do
    case "$word" in
        --check) check=yes ;;
        tests | installers) group=$word ;;
        *) say "system-deps.sh: $word is neither --check, tests nor installers"; exit 2 ;;
    esac
done
missing_packages() {
    local line of what package
    for line in "${NEEDS[@]}"; do
        read -r of what package _ <<<"$line"
        [ "$of" != "$group" ] || present "$what" || echo "$package"
    done | sort -u | paste -sd' ' -
}

packages=$(missing_packages)
[ -n "$packages" ] || exit 0

root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)
if [ "$check" = no ] && command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
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
    read -r of what package why <<<"$line"
    [ "$of" != "$group" ] || present "$what" || say "missing: $what (package $package), for $why"
done
say "run: sudo apt-get install $packages"
exit 1
