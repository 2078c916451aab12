#!/usr/bin/env bash
# Sees to it that the system has some parts: installs those missing where that needs no question
# (root on Debian, Ubuntu, Raspberry Pi OS), else says in one sentence what to type.
#   tools/need.sh [--optional] PART...   with --optional, a part that stays missing is no failure,
#                                        and is tried and said once for each setup, not each time
set -euo pipefail

optional=0
if [ "${1:-}" = --optional ]; then optional=1; shift; fi

there() {
    case $1 in
        font) ls /usr/share/fonts/truetype/*/*Mono*.ttf >/dev/null 2>&1 ;;
        libzmq-headers) [ -e /usr/include/zmq.h ] ;;
        python*-dev) [ -e "/usr/include/${1%-dev}/Python.h" ] ;;
        python*-venv) "${1%-venv}" -c 'import ensurepip' >/dev/null 2>&1 ;;
        *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] ;;
    esac
}

package() {
    case $1 in
        libzmq-headers) echo libzmq3-dev ;;
        font) echo fonts-dejavu-core ;;
        ip) echo iproute2 ;;
        chromedriver) echo chromium-driver ;;
        cc) echo build-essential ;;
        *) echo "$1" ;;
    esac
}

missing=()
packages=()
for part in "$@"; do
    there "$part" || { missing+=("$part"); packages+=("$(package "$part")"); }
done
[ ${#missing[@]} -gt 0 ] || exit 0

advice="missing: ${missing[*]}. Type: sudo apt-get install ${packages[*]}"
[[ " ${missing[*]} " != *" mpv "* ]] || advice+=" (or PLAYER=sim, which needs no mpv)"
command -v apt-get >/dev/null 2>&1 ||
    advice="missing: ${missing[*]}. Install them with this system's package manager"

said=.venv/.missing # what was said last, and of which setup
saying="$(cat .venv/.setup 2>/dev/null || true) $advice"
if [ $optional = 1 ] && [ "$(cat $said 2>/dev/null)" = "$saying" ]; then exit 0; fi
give_up() {
    printf '%s\n' "$1" >&2
    [ $optional = 1 ] || exit 1
    [ ! -d .venv ] || printf '%s\n' "$saying" >$said
    exit 0
}

if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then give_up "$advice"; fi

printf 'installing %s\n' "${packages[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    give_up "apt-get could not install ${packages[*]}"
fi
for part in "${missing[@]}"; do
    there "$part" || { printf 'installed %s, but there is still no %s\n' "$(package "$part")" "$part" >&2; exit 1; }
done
