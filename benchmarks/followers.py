"""What followers cost their master (root).

``python -m benchmarks.followers [3 50 …] [--seconds 30]``: one master and so many followers, each
with a network namespace of its own, real beacon processes and nothing else; the CPU time of the
master's, from 10 s after the start on. The hosts are joined by the lab's switch, a process that
copies multicast frames as a real switch does; on a bridge of the kernel's the sender's own time
would pay for each copy and for waking who receives it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from services.cli.lab.profiles import find_profile
from services.cli.lab.switched import switched
from tests.support.beacon_process import BeaconDevice, beacon_devices, make_spec
from tests.support.redis_server import start_redis
from unisono.core.session import Member
from unisono.core.units import NS_PER_MS

# What the master may cost with many followers, of what it costs with few.
LIMIT_RATIO: Final = 1.5
SETTLE_S: Final = 10.0
READY_S: Final = 120.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


async def measure(followers: int, seconds: float, transport: str) -> dict[str, Any]:
    """One site of that size; what its master costs, in % of one core."""
    names = [f"screen-{number}" for number in range(1, followers + 2)]
    with (
        tempfile.TemporaryDirectory(prefix="uni-many-", dir="/tmp") as directory,
        start_redis(len(names)) as redis,
        switched(
            ["control", *names],
            profile=find_profile("wired"),
            seed=1,
            directory=Path(directory),
        ) as control,
    ):
        lab = control.lab
        members = [Member(name, lab.address(name), 7600, 7601) for name in names]
        flags = {
            "SYNC_LAN_TRANSPORT": transport,
            "UNISONO_LAN_INTERFACE": "eth0",
            "UNISONO_LOG_LEVEL": "info",
        }
        async with beacon_devices(Path(directory), members, redis.url_of, flags) as devices:
            spec = make_spec(members, time.time_ns() // NS_PER_MS)
            for name, device in zip(names, devices, strict=True):
                device.prefix = ("ip", "netns", "exec", lab.namespace(name))
                device.ask(spec)
                await device.start()
            for device in devices[1:]:
                await device.until(lambda t: t.clock_map is not None, READY_S)
            await asyncio.sleep(SETTLE_S)
            before, probes = _times_s(devices[0]), _probes(devices)
            await asyncio.sleep(seconds)
            after = _times_s(devices[0])
            return {
                "user_pct": (after[0] - before[0]) / seconds * 100,
                "system_pct": (after[1] - before[1]) / seconds * 100,
                "probes_per_s": (_probes(devices) - probes) / seconds,
                "paths": sorted({d.link.path for d in devices[1:] if d.link is not None}),
                "bound_ms": max(_bound_ms(device) for device in devices[1:]),
            }


def _times_s(device: BeaconDevice) -> tuple[float, float]:
    """User and system time of a process so far."""
    if device.process is None:
        raise ValueError("it was never started")
    words = Path(f"/proc/{device.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) / _TICKS_PER_S, int(words[12]) / _TICKS_PER_S


def _probes(devices: Sequence[BeaconDevice]) -> int:
    return sum(device.link.probes_answered for device in devices if device.link is not None)


def _bound_ms(device: BeaconDevice) -> float:
    timing = device.timing
    if timing is None or timing.clock_map is None:
        return float("inf")
    return timing.clock_map.bound_ns / NS_PER_MS


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each size and print; 1 when the largest costs too much more than the smallest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.followers", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[3, 50])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--transport", default="auto", help="SYNC_LAN_TRANSPORT of all")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(argv)
    print(f"{'followers':>9} {'user %':>7} {'system %':>8} {'both %':>7} {'probes/s':>8}  paths")
    found: dict[int, dict[str, Any]] = {}
    for size in asked.sizes:
        row = found[size] = asyncio.run(measure(size, asked.seconds, asked.transport))
        both_pct = row["user_pct"] + row["system_pct"]
        print(
            f"{size:9} {row['user_pct']:7.2f} {row['system_pct']:8.2f} {both_pct:7.2f} "
            f"{row['probes_per_s']:8.1f}  {', '.join(row['paths'])} "
            f"(bound <= {row['bound_ms']:.2f} ms)",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    few, many = found[min(found)], found[max(found)]
    ratio = sum(many[k] for k in ("user_pct", "system_pct")) / max(
        1e-9, sum(few[k] for k in ("user_pct", "system_pct"))
    )
    print(f"{max(found)} followers cost {ratio:.2f} times what {min(found)} do")
    return 0 if ratio <= LIMIT_RATIO else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
