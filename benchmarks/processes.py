"""What the four processes of each device cost, read from the kernel.

``python -m benchmarks.processes --run-dir DIR``: CPU time and resident memory of the cloud-bridge,
beacon, corrector and exporter of every device of a running demo (children included), over a span
of time. Processes are found by the ``UNISONO_RUN_DIR`` of their environment, not by asking.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError

SERVICES = ("cloud-bridge", "beacon", "corrector", "exporter")
# What the design allows the four of one device together, at 20 beacons a second.
TARGET_CPU_PCT = 3.0
TARGET_RSS_MB = 160.0

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its parent, CPU time so far, and memory now.

    ``pss_mb`` shares each page out over the processes that map it; ``rss_mb`` counts it in full.
    """

    pid: int
    parent: int
    cpu_s: float
    rss_mb: float
    pss_mb: float


def service_of(command: Sequence[str]) -> str | None:
    """Which of the four a command line runs: ``unisono-beacon`` or ``-m services.beacon.main``.

    Only Python itself counts: what merely wraps it (``unshare``) has the same words behind it.
    """
    if not Path(command[0]).name.startswith(("python", "unisono-")):
        return None
    for word in command:
        for service in SERVICES:
            module = f"services.{service.replace('-', '_')}.main"
            if word == module or Path(word).name == f"unisono-{service}":
                return service
    return None


def read_process(pid: int) -> Process | None:
    """One process from /proc; None when it is gone, or not ours to read."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        rollup = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    # The name is in brackets and may hold anything; what follows the last bracket is numbers.
    fields = stat[stat.rindex(")") + 2 :].split()
    sizes_kb = {
        line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines() if " kB" in line
    }
    return Process(
        pid=pid,
        parent=int(fields[1]),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        rss_mb=sizes_kb.get("Rss", 0) * 1024 / 1e6,
        pss_mb=sizes_kb.get("Pss", 0) * 1024 / 1e6,
    )


def find_processes(run_dir: Path) -> dict[int, Key]:
    """Every process below ``run_dir``: pid -> (device, service), children with their service."""
    found: dict[int, Key] = {}
    orphans: dict[int, tuple[str, int]] = {}
    for directory in _PROC.iterdir():
        if not directory.name.isdecimal():
            continue
        pid = int(directory.name)
        device = _device_of(directory, run_dir)
        process = read_process(pid) if device else None
        if device is None or process is None:
            continue
        service = service_of(_words(directory / "cmdline"))
        if service:
            found[pid] = (device, service)
        else:
            orphans[pid] = (device, process.parent)
    for pid, (_, parent) in sorted(orphans.items()):
        if parent in found:
            found[pid] = found[parent]
    return found


def _device_of(directory: Path, run_dir: Path) -> str | None:
    for line in _words(directory / "environ"):
        name, _, value = line.partition("=")
        if name == "UNISONO_RUN_DIR" and Path(value).parent == run_dir:
            return Path(value).name
    return None


def _words(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return [""]


def measure(run_dir: Path, seconds: float) -> dict[str, Any]:
    """Cost of each service over ``seconds``, as a JSON document; BenchError when none runs.

    A process that ends or begins meanwhile counts with what was seen of it.
    """
    owners: dict[int, Key] = {}
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    rss_mb: dict[Key, float] = defaultdict(float)
    pss_mb: dict[Key, float] = defaultdict(float)
    start_s = time.monotonic()
    looks = max(2, round(seconds) + 1)
    for number in range(looks):
        time.sleep(max(0.0, start_s + seconds * number / (looks - 1) - time.monotonic()))
        owners |= find_processes(run_dir)
        now: dict[Key, list[Process]] = defaultdict(list)
        for pid, key in owners.items():
            process = read_process(pid)
            if process is not None:
                first.setdefault(pid, process.cpu_s)
                last[pid] = process.cpu_s
                now[key].append(process)
        for key, processes in now.items():
            rss_mb[key] = max(rss_mb[key], sum(process.rss_mb for process in processes))
            pss_mb[key] = max(pss_mb[key], sum(process.pss_mb for process in processes))
    span_s = time.monotonic() - start_s
    if not owners:
        raise BenchError(f"{run_dir}: no process of a device runs there: is a demo running?")
    cpu_pct: dict[Key, float] = defaultdict(float)
    for pid, key in owners.items():
        cpu_pct[key] += 100 * (last.get(pid, 0.0) - first.get(pid, 0.0)) / span_s
    rows = [
        {
            "device_id": device,
            "service": service,
            "cpu_pct": cpu_pct[(device, service)],
            "rss_mb_max": rss_mb[(device, service)],
            "pss_mb_max": pss_mb[(device, service)],
        }
        for device, service in sorted(cpu_pct)
    ]
    return {"schema": 1, "benchmark": "processes", "seconds": span_s, "rows": rows}


def text_of(figures: dict[str, Any]) -> str:
    """The figures for people: a line a service (mean over the devices), and a device's sum."""
    by_service: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in figures["rows"]:
        by_service[row["service"]].append(row)
    lines = [
        f"the four processes of a device, over {figures['seconds']:.0f} s",
        f"{'':14} {'CPU % of a core':>16} {'RSS MB':>8} {'PSS MB':>8}",
    ]
    sums = [0.0, 0.0, 0.0]
    for service, rows in sorted(by_service.items()):
        means = [
            statistics.fmean(row[name] for row in rows)
            for name in ("cpu_pct", "rss_mb_max", "pss_mb_max")
        ]
        sums = [total + mean for total, mean in zip(sums, means, strict=True)]
        lines.append(f"{service:14} {means[0]:16.2f} {means[1]:8.1f} {means[2]:8.1f}")
    lines.append(f"{'together':14} {sums[0]:16.2f} {sums[1]:8.1f} {sums[2]:8.1f}")
    lines.append(f"{'design target':14} {TARGET_CPU_PCT:16.2f} {TARGET_RSS_MB:8.1f}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 measured, 2 not measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="of a demo that is running")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args(argv)
    try:
        figures = measure(arguments.run_dir.absolute(), arguments.seconds)
    except BenchError as error:
        print(f"processes: {error}", file=sys.stderr)
        return 2
    print(text_of(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
