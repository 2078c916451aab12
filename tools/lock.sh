#!/usr/bin/env bash
# Pins requirements.txt anew from pyproject.toml: every package, every hash, for Python 3.11 to
# 3.13 and any processor; no index address is written down.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
.venv/bin/python -m venv "$tool"
"$tool/bin/pip" install -q uv
{
    echo "# Written by make lock from pyproject.toml: do not edit."
    "$tool/bin/uv" pip compile -q --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra dev "$@" pyproject.toml
} >"$tool/requirements.txt"
cp "$tool/requirements.txt" requirements.txt
