"""A cloud-bridge that runs inside a test, and what it says on its device's bus."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from services.cloud_bridge.bridge import Bridge
from services.cloud_bridge.client import CloudClient, paths_of
from services.cloud_bridge.identity import Identity
from tests.support.fake_cloud import KEY
from unisono.bus import MemoryBus, topics
from unisono.bus.topics import CloudStats, DriftSample, Owner
from unisono.config import Flags, Settings
from unisono.core.mode import Mode
from unisono.core.outbox import Outbox
from unisono.core.playerstate import PlayerState
from unisono.core.session import Desired, Member, Role, SessionSpec
from unisono.core.timeline import MediaItem, Playlist
from unisono.core.units import OwnNs
from unisono.runtime import SystemClock
from unisono.state import LocalState, MemoryStore

FAST = Flags(heartbeat_s=0.2, status_s=0.2, commands_s=0.2)
BEAT_S = 0.05
SECRET = "lobby.enrolled-with-this"
ENROLLED = f"{SECRET}.{KEY}"
SPEC = SessionSpec(
    session_id="lobby-1",
    term=2,
    master_device_id="screen-1",
    members=(Member("screen-1", "127.0.0.1", 1, 2), Member("screen-2", "127.0.0.1", 3, 4)),
    playlist=Playlist((MediaItem("film.mp4", 60_000_000_000),)),
    start_at_ms=1_780_000_000_000,
    secret_hex="00ff",
)


@dataclass
class Linked:
    """A bridge that runs, what it last said on the bus, and its local state."""

    bridge: Bridge
    store: MemoryStore
    heard: list[Desired]
    stats: list[CloudStats]
    identity: Identity

    @property
    def state(self) -> LocalState:
        return LocalState(self.store)

    def connected(self) -> bool:
        return self.bridge.stats().connected

    def count(self, name: str) -> int:
        return self.bridge.stats().requests.get(name, 0)

    def obeyed(self, name: str) -> int:
        return self.bridge.stats().commands.get(name, 0)


@contextlib.asynccontextmanager
async def linked(
    url: str,
    bearer: str = f"screen-1.{ENROLLED}",
    store: MemoryStore | None = None,
    *,
    flags: Flags = FAST,
    outbox: Outbox | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Linked]:
    """A bridge over ``store``, until the block ends."""
    device_id, _, secret = bearer.partition(".")
    store = store or MemoryStore()
    own = Settings(
        device_id=device_id, lan_interface="127.0.0.1", beacon_port=7610, probe_port=7611
    )
    own = replace(own, **(settings or {}))  # type: ignore[arg-type]
    identity = Identity(device_id, secret)
    client = CloudClient(url, identity, paths=paths_of(own), total_s=0.4)
    bus = MemoryBus()
    bridge = Bridge(
        own,
        flags,
        identity=identity,
        client=client,
        state=LocalState(store),
        publisher=bus.publisher(Owner.CLOUD_BRIDGE),
        clock=SystemClock(),
        outbox=Outbox("queue-1") if outbox is None else outbox,
        boot_id="boot-1",
    )
    found = Linked(bridge, store, [], [], identity)

    async def listen() -> None:
        async for _, message in bus.subscriber((topics.DESIRED, topics.CLOUD)):
            (found.heard if isinstance(message, Desired) else found.stats).append(message)

    async def beat() -> None:
        while True:
            await bridge.beat()
            await asyncio.sleep(BEAT_S)

    tasks = [asyncio.create_task(part) for part in (listen(), bridge.run(), beat())]
    try:
        yield found
        failed = [task.exception() for task in tasks if task.done()]
        assert failed == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        bus.close()


def term_of(link: Linked) -> int:
    """The term that the device holds; 0 without a session."""
    desired = link.bridge.desired
    return desired.session.term if desired and desired.session else 0


def drift_of(
    session_id: str = "lobby-1",
    term: int = 2,
    *,
    mode: Mode = Mode.LAN,
    role: Role = Role.FOLLOWER,
    drift_ns: int | None = None,
    seeks: int = 0,
    fault: str = "",
) -> DriftSample:
    """One word of the corrector."""
    return DriftSample(
        session_id=session_id,
        term=term,
        role=role,
        at_own_ns=OwnNs(1),
        mode=mode,
        player_state=PlayerState.PLAYING,
        drift_ns=drift_ns,
        phase_ns=0,
        bound_ns=0,
        speed=1.0,
        seeks=seeks,
        fault=fault,
    )


def nobody_listens() -> str:
    """An address of loopback where connections are refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
