"""A `Player` without a process: the model behind the real interface, in this very process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from unisono.clock import own_ns
from unisono.core.playerstate import PlayerSample, PlayerState, PlayerTraits
from unisono.core.timeline import Playlist
from unisono.core.units import NS_PER_S, OwnNs
from unisono.player.media import Sources
from unisono.player.model import SIM_TRAITS, Failings, PlayerModel
from unisono.player.protocol import (
    EventKind,
    PlayerError,
    PlayerEvent,
    PlayerGone,
    fingerprint_of,
)

UNCERTAINTY_NS = 1_000  # a simulated reading takes no time; 0 would pretend to be perfect


class SimulatedPlayer:
    """Implements `unisono.player.protocol.Player`; `break_off` and `recover` play its accidents.

    ``now_ns`` is the own clock, ``sleep_s`` the way to wait for it: a simulation brings both.
    ``check_files`` is off where films exist in name only.
    """

    def __init__(
        self,
        *,
        now_ns: Callable[[], OwnNs] = own_ns,
        traits: PlayerTraits = SIM_TRAITS,
        failings: Failings | None = None,
        media_dir: Path | str = "",
        check_files: bool = True,
    ) -> None:
        self.model = PlayerModel(traits, failings)
        self._now_ns = now_ns
        self._sources = Sources(Path(media_dir))
        self._check_files = check_files
        self._fingerprint = ""
        self._opened = False
        self._lost: PlayerEvent | None = None
        self._events: asyncio.Queue[PlayerEvent | None] = asyncio.Queue()

    async def open(self) -> None:
        """It is connected at once."""
        while not self._events.empty():  # left over from before the last `close`
            self._events.get_nowait()
        self._opened = True
        if self._lost is None:
            self._events.put_nowait(PlayerEvent(EventKind.CONNECTED))

    async def close(self) -> None:
        """Disconnect; the model runs on."""
        self._opened = False
        self._events.put_nowait(None)

    async def events(self) -> AsyncIterator[PlayerEvent]:
        """Events since `open`."""
        while (event := await self._events.get()) is not None:
            yield event

    def break_off(self, kind: EventKind = EventKind.DISCONNECTED) -> None:
        """The player dies (forgetting all) or, with ``HUNG``, stops answering."""
        self._lost = PlayerEvent(kind, "simulated accident")
        self._events.put_nowait(self._lost)
        if kind is EventKind.DISCONNECTED:
            self.model.stop(self._now_ns())
            self._fingerprint = ""

    def recover(self) -> None:
        """The player answers again."""
        self._lost = None
        self._events.put_nowait(PlayerEvent(EventKind.CONNECTED))

    async def load(self, playlist: Playlist, phase_ns: int = 0) -> None:
        """Cued when it returns, after the simulated cost of a load."""
        self._require_up()
        if self._check_files:
            self._sources.require(playlist)
        phase_ns %= playlist.length_ns
        if self._fingerprint == fingerprint_of(playlist):
            if self.model.paused:
                self.model.seek(phase_ns, self._now_ns())
                await self._settled()
            return
        self.model.set_paused(True, self._now_ns())
        self.model.set_speed(1.0, self._now_ns())
        self.model.load(playlist.length_ns, phase_ns, self._now_ns())
        self._fingerprint = fingerprint_of(playlist)
        await self._settled()

    @property
    def holds(self) -> str:
        """Fingerprint of what is loaded; "" while not connected."""
        return self._fingerprint if self._opened and self._lost is None else ""

    @property
    def version(self) -> str:
        """The name of the simulation; "" while not connected."""
        return "unisono-sim-player" if self._opened and self._lost is None else ""

    async def play(self) -> None:
        """Unpause now."""
        self._require_up()
        self.model.set_paused(False, self._now_ns())

    async def pause(self) -> None:
        """Pause now."""
        self._require_up()
        self.model.set_paused(True, self._now_ns())

    async def stop(self) -> None:
        """Unload."""
        self._require_up()
        self.model.stop(self._now_ns())
        self._fingerprint = ""

    async def set_speed(self, speed: float) -> None:
        """Effective after the traits' delay."""
        self._require_up()
        self.model.set_speed(speed, self._now_ns())

    async def seek(self, phase_ns: int) -> None:
        """Accepted at once, done after the traits' cost."""
        self._require_up()
        if self.model.span_ns is None:
            raise PlayerError("nothing is loaded: load a playlist before seeking")
        self.model.seek(phase_ns % self.model.span_ns, self._now_ns())

    async def sample(self) -> PlayerSample:
        """Read the model's clock."""
        self._require_up()
        now_ns = self._now_ns()
        state = self.model.state(now_ns)
        position_ns = self.model.read_ns(now_ns)
        span_ns = self.model.span_ns
        phase_ns = None if position_ns is None or span_ns is None else position_ns % span_ns
        return PlayerSample(now_ns, state, phase_ns, self.model.speed, UNCERTAINTY_NS)

    def traits(self) -> PlayerTraits:
        """The model's own."""
        return self.model.traits

    async def _settled(self) -> None:
        while self.model.state(now_ns := self._now_ns()) is PlayerState.SEEKING:
            ready_at_ns = self.model.ready_at_ns(now_ns)
            await asyncio.sleep(0 if ready_at_ns is None else (ready_at_ns - now_ns) / NS_PER_S)

    def _require_up(self) -> None:
        if not self._opened or self._lost is not None:
            raise PlayerGone("no player is connected")
