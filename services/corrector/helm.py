"""The hand on the player: carries out what steering decides, one job at a time."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from unisono.core.playerstate import PlayerSample, PlayerState
from unisono.core.steering import Action, Cue, Observation, Play, SetSpeed, Stop
from unisono.core.timeline import Playlist
from unisono.core.units import NS_PER_US, ns_to_s
from unisono.player.protocol import (
    EventKind,
    MediaError,
    Player,
    PlayerError,
    fingerprint_of,
)
from unisono.runtime import Clock

log = logging.getLogger(__name__)

# A playlist that cannot be played is tried again: the file may arrive.
MEDIA_RETRY_S = 5.0
# On a quiet machine a reading is good to 0.15 ms. One that was held up is worth another try.
POOR_NS = 300 * NS_PER_US
REREADS = 2


class Helm:
    """Reads the player and acts on it; never raises for what a player may do.

    A cue and a timed start take time: they run as the one job, and `busy` says so; meanwhile
    nothing else is asked of the player. ``fault`` is a sentence while something is wrong.
    """

    def __init__(self, player: Player, clock: Clock) -> None:
        self.fault = ""
        self._player = player
        self._clock = clock
        self._must_cue = False  # what it shows is not what it was given
        self._job: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None and not self._job.done()

    @property
    def player_version(self) -> str:
        """Name and version of the player; "" while there is none."""
        return self._player.version

    async def watch(self) -> None:
        """Follow the player's events until it is closed."""
        async for event in self._player.events():
            level = logging.INFO if event.kind is EventKind.CONNECTED else logging.WARNING
            log.log(level, "player %s", ": ".join(filter(None, (event.kind, event.detail))))
            if event.kind in {EventKind.MEDIA_FAILED, EventKind.ENDED}:
                self._must_cue = True
            elif event.kind is not EventKind.CONNECTED:
                self._must_cue = False
                await self.drop_job()

    async def look(self, playlist: Playlist | None) -> Observation:
        """Read the player's clock; again, when a busy machine made the reading a poor one."""
        try:
            sample = await self._player.sample()
            for _ in range(REREADS):
                if sample.uncertainty_ns <= POOR_NS or sample.state is not PlayerState.PLAYING:
                    break
                another = await self._player.sample()
                sample = min(sample, another, key=lambda each: each.uncertainty_ns)
        except PlayerError:
            now_ns = self._clock.own_ns()
            sample = PlayerSample(now_ns, PlayerState.ABSENT, None, 1.0, 0)
        wanted = playlist is not None and self._player.holds == fingerprint_of(playlist)
        holds = wanted and not self._must_cue
        return Observation(sample, holds, self._player.traits())

    async def carry_out(self, actions: tuple[Action, ...], playlist: Playlist | None) -> None:
        """Do what was decided, in order; what takes time becomes the job."""
        for action in actions:
            try:
                match action:
                    case SetSpeed(speed):
                        await self._player.set_speed(speed)
                    case Stop():
                        await self.drop_job()
                        await self._player.stop()
                    case Cue(phase_ns) if playlist is not None:
                        await self._begin(self._cue(playlist, phase_ns))
                    case Play(at_own_ns):
                        await self._begin(self._play_at(at_own_ns))
            except PlayerError as error:
                log.warning("player refused %s: %s", action, error)
                return

    async def drop_job(self) -> None:
        """Give up the job under way, if any."""
        job, self._job = self._job, None
        if job is not None and not job.done():
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    async def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        await self.drop_job()
        self._job = asyncio.create_task(work)
        self._job.add_done_callback(_log_failure)

    async def _cue(self, playlist: Playlist, phase_ns: int) -> None:
        try:
            await self._player.pause()  # a picture that runs would be taken over as it is
            await self._player.load(playlist, phase_ns)
            self._must_cue = False
            self.fault = ""
        except MediaError as error:
            self._complain(str(error))
            await asyncio.sleep(MEDIA_RETRY_S)
        except PlayerError as error:
            log.warning("cue given up: %s", error)

    async def _play_at(self, at_own_ns: int) -> None:
        await asyncio.sleep(max(0.0, ns_to_s(at_own_ns - self._clock.own_ns())))
        try:
            await self._player.play()
        except PlayerError as error:
            log.warning("start given up: %s", error)

    def _complain(self, fault: str) -> None:
        if fault != self.fault:
            log.error("%s", fault)
        self.fault = fault


def _log_failure(job: asyncio.Task[None]) -> None:
    """A job ends by itself, is dropped, or has met a fault of our own: that one must be seen."""
    if not job.cancelled() and (error := job.exception()) is not None:
        log.error("a job of the player failed: %r", error)
