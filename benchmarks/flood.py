"""What a flood of forged messages does to a show (root).

``python -m benchmarks.flood [--rate 20000] [--seconds 30]``: one demo left in peace, then one for
each target, flooded from the first frame to the last by a host of the same LAN. What is sent is
as hard to refuse as can be: real beacons of this very session, heard on the LAN, their number
raised and their signature wrong. Drift and beacons are the demo's report's.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.errors import BenchError
from services.cli.demo.plan import SITE
from services.cli.lab.namespaces import INTERFACE
from unisono.config import Settings
from unisono.lan.choice import multicast_group

GROUP: Final = multicast_group("auto", SITE)
TARGETS: Final = ("beacons", "probes", "leases")
# How much worse than in peace the p99 of |drift| may be.
LIMIT_MS: Final = 2.0
BURST_S: Final = 0.002
HEAR_S: Final = 30.0
_MREQ: Final = struct.Struct("4s4s")


def demo(seconds: float, flood: str | None, rate: int) -> dict[str, Any]:
    """One demo; its report, and how many messages were really sent."""
    with tempfile.TemporaryDirectory(prefix="uni-flood-", dir="/tmp") as directory:
        report = Path(directory) / "report.json"
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "services.cli.main", "demo", "--isolate"),
                *("--player", "sim", "--seconds", str(seconds), "--report", str(report)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with contextlib.ExitStack() as ending:
            sent = multiprocessing.Value("q", 0)
            if flood is not None:
                flooder = multiprocessing.Process(
                    target=_flood, args=(child.pid, flood, rate, sent), daemon=True
                )
                flooder.start()
                ending.callback(flooder.terminate)
            _, complaint = child.communicate()
        if not report.exists():
            raise BenchError(f"the demo made no report: {complaint.strip().splitlines()[-1:]}")
        told: dict[str, Any] = json.loads(report.read_text())
        return told | {"flooded": sent.value}


def _flood(demo_pid: int, target: str, rate: int, sent: Any) -> None:
    """Hear one beacon on the demo's LAN, then send forgeries until terminated."""
    own_address = _address_on(f"uni{demo_pid}")
    beacon, master = _hear(own_address)
    settings = Settings()
    aim = {
        "beacons": (GROUP, settings.udp_port),
        "probes": (master, settings.probe_port),
        "leases": (master, settings.beacon_port),
    }[target]
    forged = _forged(beacon) if target == "beacons" else os.urandom
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own_address))
        out.bind((own_address, 0))
        start_s, done = time.monotonic(), 0
        while True:
            due = round((time.monotonic() - start_s) * rate)
            for _ in range(due - done):
                with contextlib.suppress(OSError):
                    out.sendto(forged(80), aim)
            done = due
            sent.value = done
            time.sleep(BURST_S)


def _forged(beacon: bytes) -> Callable[[int], bytes]:
    """The beacon with another signature each time: the key id, and all else, is right."""
    return lambda _: beacon[:-16] + os.urandom(16)


def _hear(own_address: str) -> tuple[bytes, str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind((GROUP, Settings().udp_port))
        request = _MREQ.pack(socket.inet_aton(GROUP), socket.inet_aton(own_address))
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        ear.settimeout(HEAR_S)
        data, (sender, _) = ear.recvfrom(512)
    return data, sender


def _address_on(interface: str) -> str:
    """The address of the demo's cable to this machine, once it is there."""
    deadline_s = time.monotonic() + HEAR_S
    while time.monotonic() < deadline_s:
        said = subprocess.run(
            ["ip", "-4", "-o", "addr", "show", "dev", interface],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        if (found := re.search(r"inet ([\d.]+)/", said)) is not None:
            return found[1]
        time.sleep(0.1)
    raise BenchError(f"no {interface}: is {INTERFACE} of the demo's hosts on a lab?")


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """What the followers, and the master, came to."""
    drifts = [device["drift_ms"] for device in report["devices"]]
    followers = [d for d in report["devices"] if d["role"] == "follower"]
    refused = [sum(d["beacons"]["refused"].values()) for d in report["devices"]]
    return {
        "mean_abs_ms": max(d["mean_abs"] for d in drifts),
        "p99_ms": max(d["p99"] for d in drifts),
        "max_ms": max(d["max"] for d in drifts),
        "received": min(d["beacons"]["received"] for d in followers),
        "lost": max(d["beacons"]["lost"] for d in followers),
        "refused": max(refused),
        "flooded": report["flooded"],
        "lan": all(d["mode"] == "lan" for d in report["devices"]),
    }


def rows(seconds: float, rate: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """In peace, then target by target."""
    yield "in peace", figures(demo(seconds, None, rate))
    for target in TARGETS:
        yield f"forged {target}", figures(demo(seconds, target, rate))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a flood moves a picture by more than the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=20_000, help="messages a second")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(argv)
    print(
        f"{'':15} {'|drift|':>8} {'p99':>8} {'max ms':>8} {'received':>8} {'lost':>5} "
        f"{'sent/s':>8} {'refused':>9}  all in lan"
    )
    found = {}
    try:
        for name, row in rows(asked.seconds, asked.rate):
            found[name] = row
            print(
                f"{name:15} {row['mean_abs_ms']:8.3f} {row['p99_ms']:8.3f} {row['max_ms']:8.3f} "
                f"{row['received']:8} {row['lost']:5} {row['flooded'] / asked.seconds:8.0f} "
                f"{row['refused']:9}  {'yes' if row['lan'] else 'NO'}",
                flush=True,
            )
    except BenchError as error:
        print(f"flood: {error}", file=sys.stderr)
        return 2
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    peace = found["in peace"]
    worst_ms = max(row["p99_ms"] - peace["p99_ms"] for row in found.values())
    kept = all(row["lan"] for row in found.values())
    return 0 if kept and worst_ms <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
