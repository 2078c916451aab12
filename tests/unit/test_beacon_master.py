"""The master's part on a LAN in memory: what it keeps in local state, and when."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from services.beacon.counters import Counters
from services.beacon.master import Master
from services.beacon.memory import Memory
from services.beacon.parts import Job
from services.beacon.ways import Ways
from tests.support.beacon_process import make_spec
from tests.support.waiting import until
from unisono.config import load_flags
from unisono.core.session import Member
from unisono.lan.datagrams import DatagramLink
from unisono.lan.memory import MemoryLink, MemoryNetwork, MemoryPublisher
from unisono.lan.paths import BeaconPublisher, Endpoint
from unisono.runtime import SystemClock
from unisono.state import LocalState
from unisono.state.memory import MemoryStore


class LoggingStore(MemoryStore):
    """A store that notes each write."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self._log = log

    async def write(self, *args: Any, **kwargs: Any) -> None:
        await super().write(*args, **kwargs)
        self._log.append("kept")


class MemoryWays:
    """Ways on a LAN in memory, whose publisher notes each beacon."""

    def __init__(self, log: list[str]) -> None:
        self._network = MemoryNetwork()
        self._log = log

    def publishers(self, *_: object) -> Sequence[BeaconPublisher]:
        publisher = MemoryPublisher(self._network, lambda: Endpoint("10.0.0.1", 1))
        send = publisher.send

        def noted(frame: bytes) -> bool:
            self._log.append("sent")
            return send(frame)

        publisher.send = noted  # type: ignore[method-assign]
        return [publisher]

    def probe_listeners(self, *, held: bool) -> Sequence[DatagramLink]:
        return [MemoryLink(self._network, "10.0.0.1", 2)]


async def test_numbers_and_origin_are_kept_before_the_first_beacon_leaves() -> None:
    log: list[str] = []
    state = LocalState(LoggingStore(log))
    async with asyncio.TaskGroup() as tasks:
        job = Job(
            spec=make_spec([Member("dev-a", "10.0.0.1", 1, 2)], start_at_ms=1_000),
            device_id="dev-a",
            ways=cast(Ways, MemoryWays(log)),
            flags=load_flags({}),
            memory=Memory(state),
            counters=Counters(),
            clock=SystemClock(),
            spawn=tasks.create_task,
            on_change=lambda: None,
        )
        master = Master(job, view=None)
        await master.open()
        await until(lambda: log.count("sent") >= 3)
        await master.close()
    assert log[:3] == ["kept", "kept", "sent"]
    assert log.count("kept") == 2  # and nothing more for a long time
    assert await state.seq_ceiling("session-1", 1) > 0
    assert await state.timeline_origin("session-1") is not None
