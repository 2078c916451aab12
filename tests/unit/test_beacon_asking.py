"""A follower's questions on a LAN in memory: whom it asks when the master has moved."""

import asyncio
from typing import cast

from services.beacon.asking import Asker
from services.beacon.counters import Counters
from services.beacon.ways import Ways
from tests.support.waiting import until
from unisono.core.samples import ProbeSample
from unisono.lan.datagrams import DatagramLink
from unisono.lan.memory import MemoryLink, MemoryNetwork
from unisono.lan.paths import Endpoint
from unisono.lan.probes import ProbeResponder
from unisono.runtime import SystemClock
from unisono.wire import KeyRing

TOLD, NOW = Endpoint("10.0.0.1", 2), Endpoint("10.0.0.9", 2)


class MemoryWays:
    """Ways on a LAN in memory."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    def probe_askers(self) -> tuple[DatagramLink, DatagramLink]:
        return MemoryLink(self._network, "10.0.0.2"), MemoryLink(self._network, "10.0.0.2")


async def test_a_master_that_moved_is_asked_where_its_beacons_come_from_and_from_then_on() -> None:
    network, samples = MemoryNetwork(), list[ProbeSample]()
    keys = KeyRing(b"secret", "session", 1)
    asker = Asker(
        cast(Ways, MemoryWays(network)),
        keys,
        "dev-b",
        where={"dev-a": TOLD},
        counters=Counters(),
        clock=SystemClock(),
        on_sample=samples.append,
        clock_map=lambda: None,
    )
    asked: list[Endpoint] = []
    arrive_at = network.arrive_at
    network.arrive_at = lambda to, *rest: (asked.append(to), arrive_at(to, *rest))  # type: ignore

    def lead(at: Endpoint) -> ProbeResponder:
        link = MemoryLink(network, at.address, at.port)
        return ProbeResponder(link, keys, term=1, device_id="dev-a", on_refused=lambda *_: None)

    master = lead(TOLD)
    asker.open()
    asker.follow("dev-a", 1)
    asker.heard_from(TOLD.address)
    asking = asyncio.create_task(asker.run())
    await until(lambda: len(samples) >= 3)
    assert set(asked) & {TOLD, NOW} == {TOLD}
    master.close()
    master = lead(NOW)
    asker.heard_from(NOW.address)
    count = len(samples)
    await until(lambda: len(samples) >= count + 2)
    asked.clear()
    count = len(samples)
    await until(lambda: len(samples) >= count + 4)
    assert set(asked) & {TOLD, NOW} == {NOW}, "whoever answered is asked again"
    asking.cancel()
    asker.close()
    master.close()
