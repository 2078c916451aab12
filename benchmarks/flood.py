"""What a flood of forged or repeated messages does to a show (root).

``python -m benchmarks.flood [--rate 20000] [--seconds 30]``: one demo left in peace, then one for
each target, flooded from the first frame to the last by a host of the same LAN. What is sent is
as hard to refuse as an outsider can make it: beacons of this very session, heard on the LAN, as
they are or with another signature; probes and requests for beacons with this session's tag, term
and key id, whose signature alone is wrong; the same over TCP. Drift and beacons are the demo
report's.
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
from unisono.wire.keys import session_tag
from unisono.wire.probe import party_tag

GROUP: Final = multicast_group("auto", SITE)
TARGETS: Final = (
    *("forged beacons", "repeated beacons"),
    *("forged probes", "forged LISTENs", "probes over TCP"),
)
# How much worse than in peace the p99 of |drift| may be.
LIMIT_MS: Final = 2.0
BURST_S: Final = 0.002
HEAR_S: Final = 30.0
CONNECTIONS: Final = 8
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
    if target == "probes over TCP":
        _flood_stream((master, settings.probe_port), _small(beacon, 1), rate, sent)
    aims: dict[str, tuple[tuple[str, int], Callable[[], bytes]]] = {
        "forged beacons": ((GROUP, settings.udp_port), lambda: beacon[:-16] + os.urandom(16)),
        "repeated beacons": ((GROUP, settings.udp_port), lambda: beacon),
        "forged probes": ((master, settings.probe_port), _small(beacon, 1)),
        "forged LISTENs": ((master, settings.beacon_port), _small(beacon, 3)),
    }
    aim, make = aims[target]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own_address))
        out.bind((own_address, 0))
        for due in _pace(rate, sent):
            for _ in range(due):
                with contextlib.suppress(OSError):
                    out.sendto(make(), aim)


def _pace(rate: int, sent: Any) -> Iterator[int]:
    """How many are due now, again and again."""
    start_s, done = time.monotonic(), 0
    while True:
        due = round((time.monotonic() - start_s) * rate)
        yield due - done
        sent.value = done = due
        time.sleep(BURST_S)


def _flood_stream(aim: tuple[str, int], make: Callable[[], bytes], rate: int, sent: Any) -> None:
    """The same over connections, made anew whenever one is closed."""
    streams: list[socket.socket] = []
    for due in _pace(rate, sent):
        with contextlib.suppress(OSError):
            while len(streams) < CONNECTIONS:
                streams.append(socket.create_connection(aim, 1.0))
                streams[-1].setblocking(False)
        for number in range(min(due, len(streams) * 64)):
            stream = streams[number % len(streams)]
            with contextlib.suppress(BlockingIOError):
                try:
                    stream.send(make())
                except (ConnectionError, BrokenPipeError):
                    streams.remove(stream)
                    stream.close()
                    break


def _small(beacon: bytes, kind: int) -> Callable[[], bytes]:
    """Messages of 80 bytes with all that a beacon gives away, and a signature by chance."""
    id_bytes = beacon[4] & 0x1F if beacon[4] & 0xE0 == 0xA0 else beacon[5]
    begin = 5 if beacon[4] & 0xE0 == 0xA0 else 6
    session_id = beacon[begin : begin + id_bytes].decode()
    head = b"UP" + bytes((1, kind)) + beacon[-23:-19] + session_tag(session_id)
    head += (1).to_bytes(8, "big") + party_tag("screen-2")
    return lambda: head + os.urandom(48)


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
        yield target, figures(demo(seconds, target, rate))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a flood moves a picture by more than the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=20_000, help="messages a second")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(argv)
    print(
        f"{'':18} {'|drift|':>8} {'p99':>8} {'max ms':>8} {'received':>8} {'lost':>5} "
        f"{'sent/s':>8} {'refused':>9}  all in lan"
    )
    found = {}
    try:
        for name, row in rows(asked.seconds, asked.rate):
            found[name] = row
            print(
                f"{name:18} {row['mean_abs_ms']:8.3f} {row['p99_ms']:8.3f} {row['max_ms']:8.3f} "
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
