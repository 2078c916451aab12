"""Run one scenario row in the lab: real beacon processes on hosts with clocks of their own (root).

    python -m tests.netlab.run ROW [--settle S] [--judge S] [--followers N] [--seed N]

One JSON object on standard output. How wrong a follower's clock map is, is known exactly: the
hosts' clocks are the machine's own, moved by whole seconds.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.cli.lab.control import LabControl
from services.cli.lab.link import LinkRules
from services.cli.lab.profiles import find_profile
from services.cli.lab.switched import switched
from tests.netlab.judge import Figures, Followed, Seen, figures
from tests.netlab.scenarios import Event, Scenario, find
from tests.support.beacon_process import BeaconDevice, beacon_devices, make_spec
from tests.support.redis_server import start_redis
from unisono.core.session import Member
from unisono.core.units import NS_PER_MS, NS_PER_S

CONTROL = "control"  # the lab's first host, empty here
CLOCK_STEP_S = 1_013  # between the clocks of two hosts: far more than a run lasts
BEACON_PORT, PROBE_PORT = 7600, 7601
READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Site:
    """Devices on a lab's hosts, the first of them the master."""

    control: LabControl
    devices: list[BeaconDevice]

    @property
    def master(self) -> BeaconDevice:
        """Who leads."""
        return self.devices[0]

    @property
    def followers(self) -> list[BeaconDevice]:
        """The others."""
        return self.devices[1:]


@contextlib.asynccontextmanager
async def site(row: Scenario, followers: int, seed: int) -> AsyncIterator[Site]:
    """The row's network, with a session under way on it."""
    names = [f"screen-{number}" for number in range(1, followers + 2)]
    directory = Path(tempfile.mkdtemp(prefix="uni-lab-", dir="/tmp"))
    try:
        with (
            start_redis(len(names)) as redis,
            switched(
                [CONTROL, *names],
                profile=find_profile(row.network),
                seed=seed,
                directory=directory,
            ) as control,
        ):
            lab = control.lab
            members = [Member(n, lab.address(n), BEACON_PORT, PROBE_PORT) for n in names]
            flags = {"SYNC_LAN_TRANSPORT": "auto", "UNISONO_LAN_INTERFACE": "eth0"} | row.flags
            async with beacon_devices(directory, members, redis.url_of, flags) as devices:
                for number, device in enumerate(devices):
                    device.prefix = lab.wrap(names[number], (), clock_offset_s(number))
                    await device.start()
                spec = make_spec(members, time.time_ns() // NS_PER_MS)
                for device in devices:
                    device.ask(spec)
                if row.rate_kbits:
                    control.set_rules(names[0], leaving=LinkRules(rate_kbits=row.rate_kbits))
                yield Site(control, devices)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def clock_offset_s(number: int) -> int:
    """How far the clock of device ``number`` is ahead of the machine's."""
    return CLOCK_STEP_S * (number + 1)


async def run(
    row: Scenario, *, settle_s: float, judge_s: float, followers: int, seed: int
) -> Figures:
    """Settle, then judge for a while, with the row's event at its beginning."""
    async with site(row, followers, seed) as lab:
        for device in lab.followers:
            await device.until(
                lambda t: t.clock_map is not None and t.timeline is not None, READY_S
            )
        await asyncio.sleep(settle_s)
        lost = [d.link.lost if d.link is not None else 0 for d in lab.followers]
        for device in lab.devices:
            device.timings.clear()
        backs = await _happen(row, lab)
        await asyncio.sleep(judge_s)
        found = []
        for number, device in enumerate(lab.followers, start=1):
            link = device.link
            assert link is not None, f"nothing was heard of {device.member.device_id}"
            seen = _seen(device, true_ns=(0 - number) * CLOCK_STEP_S * NS_PER_S)
            missing = link.lost - lost[number - 1]
            found.append(Followed(seen, missing, link.path, backs[number - 1]))
    return figures(found)


def _seen(device: BeaconDevice, true_ns: int) -> list[Seen]:
    """Errors of the maps that the device played by."""
    return [
        Seen(
            t.clock_map.at_own_ns / NS_PER_S,
            (t.clock_map.offset_ns - true_ns) / NS_PER_MS,
            t.clock_map.bound_ns / NS_PER_MS,
        )
        for t in device.timings
        if t.clock_map is not None
    ]


async def _happen(row: Scenario, lab: Site) -> list[float | None]:
    """Let the row's event begin and end; when each follower hears beacons again after it."""
    control, network = lab.control, find_profile(row.network)
    master, follower = lab.master.member.device_id, lab.followers[0].member.device_id
    blocked = find_profile("multicast-blocked")
    both: dict[Event, tuple[Callable[[], object], Callable[[], object]]] = {
        Event.MULTICAST_DIES: (
            lambda: control.set_profile(blocked),
            lambda: control.set_profile(network),
        ),
        Event.PARTITION: (lambda: control.partition([master]), control.heal),
        Event.FOLLOWER_DOWN: (
            lambda: control.take_down(follower),
            lambda: control.bring_up(follower),
        ),
        Event.MASTER_DOWN: (lambda: control.take_down(master), lambda: control.bring_up(master)),
        Event.FOLLOWER_REPLUGGED: (
            lambda: control.unplug(follower),
            lambda: control.plug(follower),
        ),
        Event.MASTER_REPLUGGED: (lambda: control.unplug(master), lambda: control.plug(master)),
        Event.FOLLOWER_MOVES: (lambda: None, lambda: control.readdress(follower)),
        Event.MASTER_MOVES: (lambda: None, lambda: control.readdress(master)),
    }
    if row.event not in both:
        return [None] * len(lab.followers)
    begin, end = both[row.event]
    await asyncio.to_thread(begin)
    await asyncio.sleep(row.away_s)
    await asyncio.to_thread(end)
    ended_s = time.monotonic()
    waits = [_back(device, number, ended_s) for number, device in enumerate(lab.followers, 1)]
    return await asyncio.gather(*waits)


def _back(device: BeaconDevice, number: int, ended_s: float) -> Awaitable[float | None]:
    """Seconds until the newest beacon that counts is of after the event."""
    ended_own_ns = (ended_s + clock_offset_s(number)) * NS_PER_S

    async def wait() -> float | None:
        with contextlib.suppress(AssertionError):
            timing = await device.until(
                lambda t: t.beacon_own_ns is not None and t.beacon_own_ns > ended_own_ns, 15.0
            )
            assert timing.beacon_own_ns is not None
            return (timing.beacon_own_ns - ended_own_ns) / NS_PER_S
        return None

    return wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a row and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.netlab.run", description=__doc__)
    parser.add_argument("row")
    parser.add_argument("--settle", type=float, default=30.0)
    parser.add_argument("--judge", type=float, default=30.0)
    parser.add_argument("--followers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--away", type=float, help="how long the event lasts, if not as the row")
    asked = parser.parse_args(argv)
    row = find(asked.row)
    if asked.away is not None:
        row = replace(row, away_s=asked.away)
    found = asyncio.run(
        run(
            row,
            settle_s=asked.settle,
            judge_s=asked.judge,
            followers=asked.followers,
            seed=asked.seed,
        )
    )
    sys.stdout.write(json.dumps(found.plain()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
