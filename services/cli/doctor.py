"""`unisono doctor`: what this machine has for a device, and what it lacks."""

import argparse
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from unisono.config import Flags, Settings, load_flags, settings
from unisono.config.table import load
from unisono.lan.choice import choose_paths, multicast_group
from unisono.lan.interface import LOOPBACK, resolve_interface
from unisono.lan.paths import PGM, TCP, UDP
from unisono.runtime import UserError
from unisono.runtime.wallclock import US_PER_MS, WallClock, read_wall_clock

# Clocks within this bound of UTC start a session together well enough for cloud mode.
_GOOD_BOUND_MS = 100.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``needed`` parts that are not ``good`` fail the check-up."""

    part: str
    good: bool
    text: str
    needed: bool = True


def run(_arguments: argparse.Namespace) -> int:
    """Print the findings; 0 when nothing that is needed is missing."""
    findings = list(examine())
    for finding in findings:
        mark = "ok  " if finding.good else ("MISS" if finding.needed else "note")
        print(f"{mark}  {finding.part:<14} {finding.text}")
    return int(any(finding.needed and not finding.good for finding in findings))


def examine() -> Iterator[Finding]:
    """Look at every part."""
    yield Finding("python", True, platform.python_version())
    yield _program("mpv", "plays the films: apt-get install mpv")
    yield _program("ffmpeg", "makes test films: apt-get install ffmpeg", needed=False)
    yield _redis()
    yield _zmq()
    yield lan_finding(os.environ, has_pgm=_has_pgm())
    yield clock_finding(read_wall_clock())


def _program(name: str, absent: str, *, needed: bool = True) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, False, f"absent; {absent}", needed)
    try:
        done = subprocess.run(
            [path, "-version"], check=False, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, f"{path} does not run: {error}", needed)
    lines = done.stdout.splitlines() or [path]
    return Finding(name, done.returncode == 0, lines[0].partition(" Copyright")[0], needed)


def _redis() -> Finding:
    from services.cli.demo.embedded import server_binary  # noqa: PLC0415  (loaded when asked for)

    try:
        return Finding("redis", True, str(server_binary()))
    except UserError as error:
        return Finding("redis", False, str(error))


def _has_pgm() -> bool:
    from unisono.lan.pgm import has_pgm  # noqa: PLC0415  (loads ZeroMQ)

    return has_pgm()


def _zmq() -> Finding:
    version = f"pyzmq {metadata.version('pyzmq')}"
    if _has_pgm():
        return Finding("zmq", True, f"{version}, with PGM multicast")
    text = f"{version}, without PGM: beacons go over UDP and TCP; make setup PGM=1 builds it in"
    return Finding("zmq", False, text, needed=False)


def lan_finding(environment: Mapping[str, str], *, has_pgm: bool) -> Finding:
    """What a device of this environment would use of the LAN."""
    try:
        own, flags = load(Settings, settings.PREFIX, environment), load_flags(environment)
        address = resolve_interface(own.lan_interface)
        group = multicast_group(own.multicast_group, own.site)
    except UserError as error:
        return Finding("lan", False, str(error))
    if address == LOOPBACK and own.lan_interface == "auto":
        text = "no network but loopback: connect one, or set UNISONO_LAN_INTERFACE"
        return Finding("lan", False, text, needed=False)
    choice = choose_paths(flags.lan_transport, has_pgm=has_pgm)
    ways = {
        UDP: f"udp to {group}:{own.udp_port} and unicast from UDP {own.beacon_port}",
        TCP: f"tcp from {own.beacon_port}",
        PGM: f"pgm to {group}:{own.multicast_port}",
    }
    parts = [f"{address}: {', '.join(ways[path] for path in choice.paths)}"]
    parts.append(f"probes to UDP and TCP {own.probe_port}")
    parts.append(choice.missing or _without_pgm(flags, choice.paths, has_pgm=has_pgm))
    return Finding("lan", not choice.missing, "; ".join(filter(None, parts)), needed=False)


def _without_pgm(flags: Flags, paths: tuple[str, ...], *, has_pgm: bool) -> str:
    if PGM in paths:
        return ""
    has = "has" if has_pgm else "has not"
    return (
        f"no pgm: SYNC_LAN_TRANSPORT={flags.lan_transport} does without (this libzmq {has} got it)"
    )


def clock_finding(clock: WallClock | None) -> Finding:
    """What the kernel's word on its wall clock means."""
    if clock is None or not clock.healthy:
        told = "does not tell" if clock is None else "says that it is not synchronised with UTC"
        text = f"the kernel {told}: install chrony (LAN mode does without)"
        return Finding("clock", False, text, needed=False)
    bound_ms, likely_ms = clock.max_error_ms, clock.likely_error_us / US_PER_MS
    text = f"within {bound_ms:.1f} ms of UTC at most, {likely_ms:.1f} ms likely"
    return Finding("clock", bound_ms <= _GOOD_BOUND_MS, text, needed=False)
