"""Real beacon processes on loopback, each with its own run directory, and what they publish."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unisono.bus import Bus, topics
from unisono.bus.topics import LinkStats, Owner, Timing
from unisono.core.session import Desired, Member, SessionSpec
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import NS_PER_S

SECRET_HEX = "5a" * 32
PLAYLIST = Playlist((MediaItem("film.mp4", 30 * NS_PER_S),))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nothing uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_member(device_id: str) -> Member:
    """A device on loopback with ports of its own."""
    return Member(device_id, "127.0.0.1", free_port(), free_port(socket.SOCK_DGRAM))


def make_spec(members: Sequence[Member], start_at_ms: int, term: int = 1) -> SessionSpec:
    """A session led by the first member."""
    return SessionSpec(
        session_id="session-1",
        term=term,
        master_device_id=members[0].device_id,
        members=tuple(members),
        playlist=PLAYLIST,
        start_at_ms=start_at_ms,
        secret_hex=SECRET_HEX,
    )


@dataclass
class BeaconDevice:
    """One device: its beacon process, and the test in place of its other processes."""

    member: Member
    run_dir: Path
    redis_url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    timing: Timing | None = None
    link: LinkStats | None = None
    timings: list[Timing] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    prefix: tuple[str, ...] = ()  # what to start the process through
    desired: Desired = field(default_factory=lambda: Desired(0, None))

    async def start(self) -> None:
        """Start the process."""
        with (self.run_dir / "beacon.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*self.prefix, sys.executable, "-m", "services.beacon.main"),
                env=self._environment(),
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> str:
        """What the process has logged."""
        return (self.run_dir / "beacon.log").read_text()

    async def kill(self) -> None:
        """End the process as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End the process as a supervisor would; its exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)  # what it was started through may pass nothing on
        return await self.process.wait()

    def ask(self, spec: SessionSpec | None) -> None:
        """What the cloud asks of this device from now on."""
        self.desired = Desired(self.desired.revision + 1, spec)

    async def until(self, condition: Callable[[Timing], object], limit_s: float = 15.0) -> Timing:
        """The first timing from now on that meets the condition."""
        start = len(self.timings)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while True:
                    for timing in self.timings[start:]:
                        if condition(timing):
                            return timing
                    start = len(self.timings)
                    await asyncio.sleep(0.01)
        raise AssertionError(f"{self.member.device_id}: {self.timing}, {self.link}\n{self.log()}")

    def _environment(self) -> dict[str, str]:
        own = {
            "UNISONO_DEVICE_ID": self.member.device_id,
            "UNISONO_RUN_DIR": str(self.run_dir),
            "UNISONO_REDIS_URL": self.redis_url,
            "UNISONO_LAN_INTERFACE": self.member.address,
            "UNISONO_BEACON_PORT": str(self.member.beacon_port),
            "UNISONO_PROBE_PORT": str(self.member.probe_port),
            "UNISONO_LOG_LEVEL": "debug",
            "SYNC_LAN_ENABLED": "1",
            "SYNC_LAN_TRANSPORT": "tcp",
        }
        return {**os.environ, **own, **self.environment}


@contextlib.asynccontextmanager
async def beacon_devices(
    directory: Path,
    members: Sequence[Member],
    redis_url: Callable[[int], str],
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[list[BeaconDevice]]:
    """The devices, their processes not yet started; all that runs at the end is ended."""
    devices = []
    for number, member in enumerate(members):
        run_dir = directory / member.device_id
        run_dir.mkdir()
        url = redis_url(number)
        devices.append(BeaconDevice(member, run_dir, url, environment or {}))
    with contextlib.ExitStack() as stack:
        buses = [stack.enter_context(contextlib.closing(Bus(d.run_dir / "bus"))) for d in devices]
        tasks = [asyncio.create_task(_serve(d, b)) for d, b in zip(devices, buses, strict=True)]
        try:
            yield devices
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for device in devices:
                if device.process is not None and device.process.returncode is None:
                    await device.stop()


async def _serve(device: BeaconDevice, bus: Bus) -> None:
    """The cloud-bridge and the corrector of one device, as far as its beacon process sees."""
    publisher = bus.publisher(Owner.CLOUD_BRIDGE)
    subscriber = bus.subscriber((topics.TIMING, topics.LINK))

    async def speak() -> None:
        said = Desired(0, None)
        while True:
            if said != device.desired:
                said = device.desired
                publisher.publish(topics.DESIRED, said)
            elif said.revision:
                publisher.repeat()
            await asyncio.sleep(0.05)

    async def hear() -> None:
        async for _, message in subscriber:
            if isinstance(message, Timing):
                device.timing = message
                device.timings.append(message)
            else:
                device.link = message

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speak())
        tasks.create_task(hear())


def with_leader(spec: SessionSpec, device_id: str) -> SessionSpec:
    """The next term, led by ``device_id``."""
    return replace(spec, term=spec.term + 1, master_device_id=device_id)
