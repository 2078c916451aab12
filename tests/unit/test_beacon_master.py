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
        self._noted = log

    async def write(self, *args: Any, **kwargs: Any) -> None:
        await super().write(*args, **kwargs)
        self._noted.append("kept")


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
        self._log.append("doors")
        return [MemoryLink(self._network, "10.0.0.1", 2)]


def make_job(tasks: asyncio.TaskGroup, log: list[str], state: LocalState) -> Job:
    """A session of one member, on a LAN in memory."""
    return Job(
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


async def test_numbers_and_origin_are_kept_before_the_first_beacon_leaves() -> None:
    log: list[str] = []
    state = LocalState(LoggingStore(log))
    async with asyncio.TaskGroup() as tasks:
        master = Master(make_job(tasks, log, state), view=None)
        await master.open()
        await until(lambda: log.count("sent") >= 3)
        await master.close()
    assert log[:4] == ["kept", "kept", "doors", "sent"]
    assert log.count("kept") == 2  # and nothing more for a long time
    assert await state.seq_ceiling("session-1", 1) > 0
    assert await state.timeline_origin("session-1") is not None


class SlowStore(MemoryStore):
    """A store that does not answer before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()

    async def read(self, *args: Any, **kwargs: Any) -> Any:
        await self.answers.wait()
        return await super().read(*args, **kwargs)


async def test_a_lan_that_changes_while_the_part_is_being_opened_does_not_open_it_twice() -> None:
    log: list[str] = []
    store = SlowStore()
    async with asyncio.TaskGroup() as tasks:
        job = make_job(tasks, log, LocalState(store))
        master = Master(job, view=None)
        opening = tasks.create_task(master.open())
        await asyncio.sleep(0)
        master.renew()
        store.answers.set()
        await opening
        await until(lambda: log.count("sent") >= 2)
        master.renew()
        await until(lambda: log.count("sent") >= 4)
        await master.close()
    assert log.count("doors") == 2, "opened once, and once more for the change"
