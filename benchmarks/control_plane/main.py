"""``python -m benchmarks.control_plane``: the table of what calls cost, and whether limits hold."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.control_plane.fleet import CADENCE
from benchmarks.control_plane.processes import Bench, running
from benchmarks.errors import BenchError

# What the product promises of one worker.
LEAST_CALLS_PER_S = 1000
LATENCY_LIMIT_MS = 50.0
# Flat: a call of the largest fleet costs at most so much more than one of the smallest.
FLAT_RATIO = 1.25
MOST_ROUND_TRIPS = 2.05  # two for each call; the rest are those of starting up

LINES = 32
SITE = 10
# The server takes 100 calls of one device in a window of ten seconds, and no more.
WINDOW_S = 10
CALLS_PER_DEVICE = 90
# A heartbeat is one call of six: so often a device sends one when its fleet makes this many calls.
SLOWEST_CALLS_PER_S = 300


@dataclass(frozen=True, slots=True)
class Load:
    """One row: so many devices at sites of that size; which calls (default: as devices do)."""

    devices: int
    site: int
    calls: str = CADENCE

    @property
    def name(self) -> str:
        """What the row is called."""
        what = {"H": ", heartbeats", "S": ", statuses", "C": ", polls"}.get(self.calls, "")
        where = "one site" if self.site == self.devices else f"sites of {self.site}"
        return f"{self.devices:,} devices, {where}{what}"


FLEETS = (Load(100, SITE), Load(1_000, SITE), Load(10_000, SITE))
SITES = (Load(10, 10), Load(100, 100), Load(1_000, 1_000))
KINDS = (Load(1_000, SITE, "H"), Load(1_000, SITE, "S"), Load(1_000, SITE, "C"))


@dataclass(frozen=True, slots=True)
class Figures:
    """What one load gave; per call if not said otherwise. Latency at half of ``calls_per_s``."""

    name: str
    calls_per_s: float
    commands: float
    round_trips: float
    server_cpu_ms: float
    redis_cpu_ms: float
    redis_bytes_per_device: float
    refused: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


def measure(bench: Bench, load: Load, seconds: float) -> Figures:
    """Set the fleet up and saturate one worker with its calls."""
    sites = {f"site-{n}": load.site for n in range(load.devices // load.site)}
    interval_s = max(5.0, 6.0 * load.devices / SLOWEST_CALLS_PER_S)
    memory = bench.fleet(sites, interval_s)
    _next_window()
    calls = CALLS_PER_DEVICE * load.devices
    before = bench.used()
    full = bench.do("saturate", seconds=seconds, calls=calls, lines=LINES, cadence=load.calls)
    used = bench.used().since(before)
    count = full["calls"]
    return Figures(
        name=load.name,
        calls_per_s=count / full["seconds"],
        commands=used.commands / count,
        round_trips=used.round_trips / count,
        server_cpu_ms=1e3 * used.server_cpu_s / count,
        redis_cpu_ms=1e3 * used.redis_cpu_s / count,
        redis_bytes_per_device=memory / load.devices,
        refused=_refused(full),
    )


def with_latency(bench: Bench, found: Figures, seconds: float, seed: int) -> Figures:
    """The same fleet, asked half as much as it can do, at random instants."""
    _next_window()
    asked = bench.do(
        "arrive", seconds=seconds, rate_hz=found.calls_per_s / 2, lines=2 * LINES, seed=seed
    )
    latency = asked["latency_ms"]
    return replace(
        found,
        p50_ms=latency["50"],
        p95_ms=latency["95"],
        p99_ms=latency["99"],
        refused=found.refused + _refused(asked),
    )


def _next_window() -> None:
    time.sleep(WINDOW_S - time.time() % WINDOW_S + 0.1)


def _refused(found: dict[str, Any]) -> int:
    return sum(count for status, count in found["statuses"].items() if status != "200")


def show(rows: Sequence[Figures]) -> None:
    """Print the table."""
    print(
        f"{'load':34} {'calls/s':>8} {'p50':>6} {'p95':>6} {'p99 ms':>7} {'commands':>8} "
        f"{'trips':>6} {'CPU ms':>7} {'Redis ms':>8} {'bytes/dev':>9} {'refused':>7}"
    )
    for row in rows:
        latency = " ".join(
            f"{'-' if value is None else format(value, '.1f'):>{width}}"
            for value, width in ((row.p50_ms, 6), (row.p95_ms, 6), (row.p99_ms, 7))
        )
        print(
            f"{row.name:34} {row.calls_per_s:8.0f} {latency} {row.commands:8.1f} "
            f"{row.round_trips:6.2f} {row.server_cpu_ms:7.3f} {row.redis_cpu_ms:8.3f} "
            f"{row.redis_bytes_per_device:9.0f} {row.refused:7}"
        )


def faults(rows: Sequence[Figures]) -> list[str]:
    """Which promises do not hold, a sentence each."""
    found = []
    for row in rows:
        if row.refused:
            found.append(f"{row.name}: {row.refused} calls were not answered 200")
        if row.round_trips > MOST_ROUND_TRIPS:
            found.append(f"{row.name}: {row.round_trips:.2f} round trips a call")
    timed = [row for row in rows if row.p99_ms is not None]
    for row in timed:
        if row.calls_per_s < LEAST_CALLS_PER_S:
            found.append(f"{row.name}: {row.calls_per_s:.0f} calls/s, not {LEAST_CALLS_PER_S}")
        if row.p99_ms is not None and row.p99_ms > LATENCY_LIMIT_MS:
            found.append(f"{row.name}: p99 {row.p99_ms:.1f} ms, not {LATENCY_LIMIT_MS:g}")
    if len(timed) > 1:
        ratio = cost_ratio(timed)
        print(
            f"a call costs {ratio:.2f} times as much with {timed[-1].name} as with {timed[0].name}"
        )
        if ratio > FLAT_RATIO:
            found.append(f"the cost of a call grows {ratio:.2f}-fold, not {FLAT_RATIO}")
    return found


def cost_ratio(rows: Sequence[Figures]) -> float:
    """CPU time of a call in the last row over that in the first, server and Redis together."""
    first, last = rows[0], rows[-1]
    return (last.server_cpu_ms + last.redis_cpu_ms) / (first.server_cpu_ms + first.redis_cpu_ms)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, judge; 1 when a limit does not hold, 2 when it cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control_plane")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 devices, 4 s each")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--seed", type=int, default=1, help="of the random instants")
    arguments = parser.parse_args(argv)
    seconds = 4.0 if arguments.quick else arguments.seconds
    fleets = FLEETS[:2] if arguments.quick else FLEETS
    rows: list[Figures] = []
    try:
        with running() as bench:
            for load in fleets:
                found = measure(bench, load, seconds)
                rows.append(with_latency(bench, found, seconds, arguments.seed))
            more = () if arguments.quick else (*SITES, *KINDS)
            rows += [measure(bench, load, seconds) for load in more]
    except BenchError as error:
        print(f"control_plane: {error}", file=sys.stderr)
        return 2
    show(rows)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")
    broken = faults(rows)
    for fault in broken:
        print(f"not met: {fault}")
    return 1 if broken else 0
