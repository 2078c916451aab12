#!/usr/bin/env bash
# Makes .venv with exactly the pinned packages. Says nothing when all is there already.
#   PGM=1   pyzmq is built against the system's libzmq, which knows PGM multicast
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

stamp=.venv/.setup
want=$(cat requirements.txt pyproject.toml tools/setup.sh <(pwd) | sha256sum | cut -d' ' -f1)
has_pgm() { .venv/bin/python -c 'import sys, zmq; sys.exit(not zmq.has("pgm"))' 2>/dev/null; }
done_already() { [ -x .venv/bin/unisono ] && [ "$(cat $stamp 2>/dev/null)" = "$want" ]; }

runs() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() { # prints the first Python that can make a venv, else the first that is new enough
    local name first=
    for name in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        runs "$name" || continue
        makes_venvs "$name" && { echo "$name"; return; }
        first=${first:-$name}
    done
    echo "$first"
}

make_venv() {
    local python
    python=$(find_python)
    [ -n "$python" ] || die "no Python 3.11 or newer was found: install one (Debian 12: apt-get install python3 python3-venv)"
    if ! makes_venvs "$python"; then
        tools/need.sh "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
        makes_venvs "$python" || die "$python cannot make a venv: install its venv module"
    fi
    say "making .venv with $("$python" -V 2>&1)"
    rm -rf .venv
    "$python" -m venv .venv
}

pinned() { # prints the lines of requirements.txt that pin package $1
    awk -v name="$1" '/^[^ #]/ {on = index($0, name "==") == 1} on' requirements.txt
}

build_pyzmq_with_pgm() {
    tools/need.sh libzmq-headers pkg-config cc
    # Headers of this very Python; one that was built from source brings its own.
    .venv/bin/python -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' ||
        tools/need.sh "$(.venv/bin/python -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')"
    say "building pyzmq against the system's libzmq"
    lines=$(mktemp)
    trap 'rm -f "$lines"' EXIT
    pinned pyzmq >"$lines"
    PYZMQ_NO_BUNDLE=ON .venv/bin/pip install -q --no-cache-dir --force-reinstall \
        --require-hashes --no-deps --no-binary pyzmq -r "$lines"
    has_pgm || die "pyzmq was built, but this libzmq has no PGM: install Debian's libzmq3-dev"
}

if ! done_already; then
    if [ ! -x .venv/bin/pip ] || ! runs .venv/bin/python; then make_venv; fi
    say "installing the pinned packages"
    .venv/bin/pip install -q --require-hashes -r requirements.txt
    .venv/bin/pip install -q --no-deps --no-build-isolation -e .
    echo "$want" >$stamp
fi
if [ "${PGM:-0}" != 0 ] && [ -n "${PGM:-}" ] && ! has_pgm; then build_pyzmq_with_pgm; fi
