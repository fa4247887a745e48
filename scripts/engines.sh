#!/usr/bin/env bash
# Godot 4, and C# as Unity runs it (compiler, CoreCLR, Mono), for the tests of the plugins.
# They are installed once into the user's cache; the system's packages stay as they are.
# usage: engines.sh [--check] [godot4] [csharp]     --check only reports what is missing
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLS=$(pwd -P)/../shared/tools
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/engines
STAMP=.vestibule-installed # in the prefix: hash of what it was made by; written last
TRIES=3
declare -A INSTALLER=([godot4]=install_godot4.sh [csharp]=install_csharp.sh)
declare -A WHAT=([godot4]="Godot 4 (158 MB to fetch, 532 MB on disk)" [csharp]="the C# compiler, CoreCLR and Mono's libraries (some 200 MB to fetch)")

say() { printf '[vestibule] %s\n' "$*" >&2; }

# The prefix stands in the hash: the installed wrappers carry it, so a moved cache is made anew.
made_by() { { echo "$CACHE/$1"; cat "$TOOLS/${INSTALLER[$1]}"; } | sha256sum | cut -d' ' -f1; }
is_stamped() { [ "$(cat "$CACHE/$1/$STAMP" 2>/dev/null)" = "$(made_by "$1")" ]; }

# Runs what was installed: a prefix that was cut off half-way, or whose libraries went away, does not pass.
works() {
    local prefix=$CACHE/$1 room status=1
    case "$1" in
        godot4) "$prefix/godot4" --headless --version ;;
        csharp)
            room=$(mktemp -d)
            # System.Linq is in a library of its own under Mono, and one of the packages brings it.
            echo 'using System.Linq; static class It { static int Main() => new[] { 1, -1 }.Sum(); }' >"$room/it.cs"
            "$prefix/csc" -version && "$prefix/csc" -out:"$room/it.exe" "$room/it.cs" &&
                "$prefix/coreclr" "$room/it.exe" && "$prefix/mono-ns21" "$room/it.exe" && status=0
            rm -rf "$room"
            return $status
            ;;
    esac
} >>"$log" 2>&1 </dev/null

install_one() {
    local prefix=$CACHE/$1 try began=$SECONDS
    if [ ! -e "$prefix/$STAMP" ] && [ -d "$prefix" ] && works "$1"; then
        # Installed by hand, with the same installer and to the same place: it works, so it stays.
        made_by "$1" >"$prefix/$STAMP"
        return
    fi
    scripts/system-deps.sh installers
    for ((try = 1; try <= TRIES; try++)); do
        say "installing ${WHAT[$1]} into $prefix; a minute or two"
        # `apt-get -qq` prints nothing for a while, so what it does stands in the log and is shown only if it fails.
        rm -rf "$prefix"
        if DEBIAN_FRONTEND=noninteractive bash "$TOOLS/${INSTALLER[$1]}" "$prefix" >"$log" 2>&1 </dev/null && works "$1"; then
            made_by "$1" >"$prefix/$STAMP"
            say "installed in $((SECONDS - began)) s"
            return
        fi
        tail -n 5 "$log" | sed 's/^/    /' >&2
        if [ "$try" -lt "$TRIES" ]; then
            say "that did not work (the lines above say why); once more in 5 s"
            sleep 5
        fi
    done
    rm -rf "$prefix"
    say "$1 could not be installed in $TRIES tries. It needs the network, npm's and Debian's packages, and root for"
    say "mono-runtime. To see all of it: bash $TOOLS/${INSTALLER[$1]} $prefix; then: make engines"
    exit 1
}

check=no
wanted=()
for word; do
    case "$word" in
        --check) check=yes ;;
        godot4 | csharp) wanted+=("$word") ;;
        *) say "engines.sh: $word is neither --check, godot4 nor csharp"; exit 2 ;;
    esac
done
[ ${#wanted[@]} -gt 0 ] || wanted=(godot4 csharp)

for one in "${wanted[@]}"; do
    [ -r "$TOOLS/${INSTALLER[$one]}" ] || { say "missing: $TOOLS/${INSTALLER[$one]}, which installs $one; it comes with the shared folder beside this checkout"; exit 1; }
done
# Mono itself is the system's: it may be gone although the prefix is there.
only=()
[ $check = no ] || only=(--check)
case " ${wanted[*]} " in *" csharp "*) scripts/system-deps.sh "${only[@]}" tests ;; esac

missing=()
for one in "${wanted[@]}"; do is_stamped "$one" || missing+=("$one"); done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ $check = yes ]; then
    say "not installed (or by another installer): ${missing[*]}. Run: make engines"
    exit 1
fi

mkdir -p "$CACHE"
if command -v flock >/dev/null; then
    # One installation at a time, of all checkouts of this user. Whoever waited finds the stamp.
    exec 9>"$CACHE/.lock"
    flock --nonblock 9 || { say "another installation is under way; waiting for it"; flock 9; }
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for one in "${missing[@]}"; do
    is_stamped "$one" || install_one "$one"
done
