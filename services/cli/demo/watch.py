"""Listens to every device's bus, and reads what every process costs, while the show runs."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from services.cli.demo.plan import DevicePlan
from services.cli.demo.processes import Kept
from services.cli.demo.tally import DeviceTally
from services.cli.demo.usage import Usage, read_tree
from unisono.bus import Bus, BusSubscriber
from unisono.bus.topics import CLOUD, DRIFT, LINK

USAGE_PERIOD_S = 1.0


class Watch:
    """The tallies of all devices, kept up to date from their buses until closed."""

    def __init__(self, devices: Sequence[DevicePlan]) -> None:
        self.tallies = [DeviceTally(device.device_id) for device in devices]
        self._news = asyncio.Event()
        self._buses = ExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        for device, tally in zip(devices, self.tallies, strict=True):
            bus = Bus(device.run_dir / "bus")
            self._buses.callback(bus.close)
            subscriber = bus.subscriber((DRIFT, LINK, CLOUD))
            self._tasks.append(asyncio.create_task(self._listen(subscriber, tally)))

    def expect(self, session_id: str, start_s: float) -> None:
        """From now on that session counts, which starts at ``start_s`` (`time.monotonic`)."""
        for tally in self.tallies:
            tally.session_id, tally.start_s = session_id, start_s

    async def until(self, condition: Callable[[], object], limit_s: float) -> bool:
        """Wait until ``condition()`` holds, asked at each message; False after ``limit_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
                return True
        return False

    async def _listen(self, subscriber: BusSubscriber, tally: DeviceTally) -> None:
        async for topic, message in subscriber:
            if topic is DRIFT:
                tally.take_drift(message, time.monotonic())
            elif topic is LINK:
                tally.take_link(message)
            else:
                tally.take_cloud(message)
            self._news.set()

    async def close(self) -> None:
        """Stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._buses.close()


class Costs:
    """What each kept process costs from `begin` on, by (group, name)."""

    def __init__(self, kept: Sequence[Kept]) -> None:
        self._kept = kept
        self._began = False
        self.usage: dict[tuple[str, str], Usage] = {}

    def read(self) -> Mapping[tuple[str, str], Usage]:
        """Read all processes once; the first reading is the zero that later ones count from."""
        for kept in self._kept:
            reading = None if kept.pid is None else read_tree(kept.pid)
            if kept.pid is not None and reading is not None:
                usage = self.usage.setdefault((kept.spec.group, kept.spec.name), Usage())
                usage.add(kept.pid, reading, born=self._began)
        self._began = True
        return self.usage

    async def follow(self) -> None:
        """Read again and again, until cancelled."""
        while True:
            self.read()
            await asyncio.sleep(USAGE_PERIOD_S)
