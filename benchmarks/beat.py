"""How exactly a master beats, heard from outside (root).

``python -m benchmarks.beat [--seconds 60] [--rate 20]``: one real beacon process leads on a host of
its own; another host of the same bridge hears its datagrams, stamped by the kernel. Lateness is
from a grid of exact periods through the earliest arrivals; drift is how that grid's first half
lies against its second, on one clock: what adds up shows there.
"""

import argparse
import asyncio
import json
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from benchmarks.errors import BenchError
from services.cli.lab.namespaces import Lab, bridged
from services.cli.lab.tap import inside
from tests.support.beacon_process import BeaconDevice, beacon_devices, make_spec
from tests.support.redis_server import start_redis
from unisono.core.session import Member
from unisono.core.units import NS_PER_MS, NS_PER_S
from unisono.lan.choice import multicast_group
from unisono.lan.datagrams import arrival_ns, open_socket

# What the p99 of lateness may be on a machine that does nothing else.
LIMIT_P99_MS: Final = 1.0
UDP_PORT: Final = 7603
SETTLE_S: Final = 3.0
GROUP: Final = multicast_group("auto", "")


async def hear(seconds: float, rate_hz: float) -> list[int]:
    """Arrivals of the beat, ns, oldest first."""
    with (
        tempfile.TemporaryDirectory(prefix="uni-beat-", dir="/tmp") as directory,
        start_redis() as redis,
        bridged(["screen-1", "ear"]) as lab,
    ):
        member = Member("screen-1", lab.address("screen-1"), 7600, 7601)
        flags = {
            "SYNC_LAN_TRANSPORT": "udp",
            "SYNC_LAN_BEACON_HZ": str(rate_hz),
            "UNISONO_LAN_INTERFACE": "eth0",
            "UNISONO_LOG_LEVEL": "info",
        }
        async with beacon_devices(Path(directory), [member], redis.url_of, flags) as (master,):
            master.prefix = ("ip", "netns", "exec", lab.namespace("screen-1"))
            master.ask(make_spec([member], time.time_ns() // NS_PER_MS))
            await master.start()
            await master.until(lambda t: t.beacon_own_ns is not None)
            await asyncio.sleep(SETTLE_S)
            arrivals = await asyncio.to_thread(_record, lab, seconds)
            _tell(master)
            return arrivals


def _record(lab: Lab, seconds: float) -> list[int]:
    with inside(lab.namespace("ear")):
        ear = open_socket()
    with ear:
        ear.bind((GROUP, UDP_PORT))
        place = socket.inet_aton(GROUP) + socket.inet_aton(lab.address("ear"))
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, place)
        arrivals: list[int] = []
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if select.select([ear], [], [], left_s)[0]:
                _, ancillary, _, _ = ear.recvmsg(512, 128)
                arrivals.append(arrival_ns(ancillary))
    return arrivals


def _tell(master: BeaconDevice) -> None:
    lines = [line for line in master.log().splitlines() if " sent " in line]
    print("its own word:", lines[-1].partition(" beacon ")[2] if lines else "none yet")


def figures(arrivals_ns: Sequence[int], period_ns: int) -> dict[str, Any]:
    """Lateness against the grid through the earliest, drift, gaps. BenchError for too few."""
    if len(arrivals_ns) < 100:
        raise BenchError(f"only {len(arrivals_ns)} beacons came")
    first_ns = arrivals_ns[0]
    numbers = [round((at - first_ns) / period_ns) for at in arrivals_ns]
    off_ns = [at - first_ns - n * period_ns for at, n in zip(arrivals_ns, numbers, strict=True)]
    half = len(off_ns) // 2
    # The tenth percentile of each half: what the grid is, without the lateness on it.
    early, late = (statistics.quantiles(part, n=10)[0] for part in (off_ns[:half], off_ns[half:]))
    span_ns = arrivals_ns[-1] - first_ns
    lateness_ms = sorted((off - min(off_ns)) / NS_PER_MS for off in off_ns)
    gaps_ms = [(b - a) / NS_PER_MS for a, b in pairwise(arrivals_ns)]

    def share(of: float) -> float:
        return lateness_ms[min(len(lateness_ms) - 1, int(len(lateness_ms) * of))]

    return {
        "beacons": len(arrivals_ns),
        "rate_hz": (len(arrivals_ns) - 1) * NS_PER_S / span_ns,
        "late_p50_ms": share(0.5),
        "late_p99_ms": share(0.99),
        "late_max_ms": lateness_ms[-1],
        "shortest_gap_ms": min(gaps_ms),
        "longest_gap_ms": max(gaps_ms),
        "missed": numbers[-1] + 1 - len(numbers),
        "drift_ms_per_h": (late - early) / (span_ns / 2) * 3600 * NS_PER_S / NS_PER_MS,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when the beat is later than it may be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beat", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=20.0, help="beacons a second")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(argv)
    try:
        found = figures(asyncio.run(hear(asked.seconds, asked.rate)), round(NS_PER_S / asked.rate))
    except BenchError as error:
        print(f"beat: {error}", file=sys.stderr)
        return 2
    for name, value in found.items():
        print(f"{name:16} {value:.3f}" if isinstance(value, float) else f"{name:16} {value}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["late_p99_ms"] <= LIMIT_P99_MS else 1


if __name__ == "__main__":
    sys.exit(main())
