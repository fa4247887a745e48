#!/usr/bin/env bash
# Makes .venv once: finds Python, creates the environment, installs the pinned packages and this project.
# Used by `make setup`; does nothing when nothing changed. PYTHON=... chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '[vestibule] %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# One set-up at a time: `make check` in two terminals must not write one environment together.
if command -v flock >/dev/null; then
    # The lock is on this script itself, so that no file is left behind.
    exec 9<scripts/setup.sh
    flock 9
fi

# What the environment was made from. Its scripts carry absolute paths, so a moved checkout is a reason to remake it.
# gateway/__init__.py holds the version that the installed metadata must show.
made_from() { { pwd -P; cat constraints.txt pyproject.toml gateway/__init__.py scripts/setup.sh; } | sha256sum | cut -d' ' -f1; }
stamp=.venv/.vestibule-set-up
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(made_from)" ] &&
    { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of .venv/bin/python)" ]; }; then
    exit 0
fi

# apt-get may be used as root, or through sudo when that asks no question.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}
apt_install() {
    command -v apt-get >/dev/null || return 1
    say "installing with apt-get: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null 2>&1 || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null 2>&1
}

find_python() {
    local candidate
    # 3.11 to 3.14 first: the pinned packages have built files for them.
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        case "$(version_of "$candidate")" in 3.11 | 3.12 | 3.13 | 3.14) echo "$candidate"; return ;; esac
    done
    for candidate in ${PYTHON:-python3}; do
        case "$(version_of "$candidate")" in 3.1[5-9] | 3.[2-9][0-9]) echo "$candidate"; return ;; esac
    done
}

python=$(find_python)
if [ -z "$python" ]; then
    apt_install python3 python3-venv || true
    python=$(find_python)
fi
[ -n "$python" ] || die "no Python 3.11 or newer found. Install it (Debian 12 and newer: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.11"
version=$(version_of "$python")

# Debian leaves ensurepip out of python3; without it a virtual environment has no pip.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    apt_install "python$version-venv" || true
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "Python $version cannot make virtual environments. Run: sudo apt-get install python$version-venv"
fi

# The environment of another Python, or of another place, or one that was cut off half-way, is made anew.
if [ -d .venv ] && { [ "$(version_of .venv/bin/python)" != "$version" ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1 ||
    ! grep -qsF "$(pwd -P)/.venv" .venv/bin/activate; }; then
    say "removing the old .venv (other Python, other place, or unfinished)"
    rm -rf .venv
fi
if [ ! -d .venv ]; then
    say "creating .venv with Python $version"
    "$python" -m venv .venv
fi
rm -f "$stamp"

count=$(grep -c '^[a-z].*==' constraints.txt)
began=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# pip's warnings are shown only when it failed: what is left of them here is noise (locations it need not look at).
pip_quiet() {
    .venv/bin/python -m pip --quiet --disable-pip-version-check --no-input "$@" >"$log" 2>&1 ||
        { grep -v '^WARNING: Location' "$log" >&2 || true; return 1; }
}
if [ "${HASHES:-yes}" = no ]; then
    say "installing $count packages, versions pinned, hashes NOT checked (HASHES=no)"
    grep -oE '^[a-z][^\\]*==[^\\]*' constraints.txt > .venv/versions.txt
    pip_quiet install -r .venv/versions.txt
else
    say "installing $count pinned packages, each checked against its hash (about half a minute)"
    if ! pip_quiet install --require-hashes -r constraints.txt; then
        say "the pinned packages could not be installed; the lines above say which and why."
        say "If it is a hash, the index gave another file than the one that was tested. Where that is meant"
        say "(a mirror that builds its own files), go on with the versions alone: make HASHES=no demo"
        exit 1
    fi
fi
# The pinned build backend is already there, so nothing is fetched unpinned for this step.
pip_quiet install --no-deps --no-build-isolation --editable .
made_from > "$stamp"
say "set up in $((SECONDS - began)) s"
