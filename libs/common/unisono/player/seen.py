"""What is known of an mpv right now, kept up to date by its events and our own commands.

The rules that turn mpv's words into the player's states live here; no I/O, no clock.
"""

from dataclasses import dataclass
from typing import Any

from unisono.core.playerstate import PlayerState
from unisono.core.units import NS_PER_MS, NS_PER_S, OwnNs

OBSERVED = ("pause", "speed", "idle-active")  # seldom change: they cost nothing while a film runs
LEARN_RATE = 0.3  # weight of the newest seek: three seeks replace most of a wrong first guess
SEEK_COST_MAX_NS = 5 * NS_PER_S  # beyond it something else was measured


@dataclass(slots=True)
class Seen:
    """State of one connected mpv. Positions are in the edit list, not phases.

    ``fresh`` means: paused by a load or a seek, not run since; mpv then starts exactly at the
    frame on screen, ``time-pos``, while ``audio-pts`` still lags behind it.
    """

    version: str = ""
    holds: str = ""  # fingerprint of our playlist
    length_ns: int | None = None
    repeats: int = 1
    has_picture: bool = True
    frame_ns: int = 0
    idle: bool = True
    paused: bool = False
    speed: float = 1.0
    loading: bool = False
    restarting: bool = False
    seek_asked: bool = False
    asked_own_ns: OwnNs = OwnNs(0)  # noqa: RUF009 - a number with a type's name
    fresh: bool = False
    cue_ns: int | None = None
    last_ns: int = 0
    edge: tuple[OwnNs, int] | None = None

    @property
    def state(self) -> PlayerState:
        """The player's state as last heard."""
        if self.loading:
            return PlayerState.SEEKING
        if self.idle or self.length_ns is None:
            return PlayerState.IDLE
        if self.restarting or self.seek_asked:
            return PlayerState.SEEKING
        return PlayerState.CUED if self.paused else PlayerState.PLAYING

    def forget_media(self) -> None:
        """Nothing of ours is loaded."""
        self.holds = ""
        self.length_ns, self.repeats, self.frame_ns = None, 1, 0
        self.fresh = self.seek_asked = self.restarting = False
        self.cue_ns, self.edge, self.last_ns = None, None, 0

    def take_event(self, event: dict[str, Any], at_ns: OwnNs) -> None:
        """One event of mpv, received at ``at_ns``."""
        match event.get("event"):
            case "seek":
                self.seek_asked, self.restarting, self.edge = False, True, None
            case "playback-restart":
                self.restarting = self.seek_asked
                self.fresh = self.paused
            case "end-file" if not self.loading:  # a loop is no end: somebody loaded or stopped
                self.forget_media()
            case "property-change":
                self.take_property(str(event.get("name")), event.get("data"), at_ns)
            case _:
                pass

    def take_property(self, name: str, value: Any, at_ns: OwnNs) -> None:
        """One property as read or as observed; None (not available now) changes nothing."""
        if value is None:
            return
        match name:
            case "pause":
                self.paused = bool(value)
                self.fresh = self.fresh and self.paused
            case "speed":
                self.speed = float(value)
            case "idle-active":
                self.idle = bool(value)
                if self.idle and not self.loading:
                    self.forget_media()
            case "time-pos":
                self.edge = (at_ns, round(float(value) * NS_PER_S))
            case _:
                pass


@dataclass(slots=True)
class SeekCost:
    """Learns how long a seek of a running film takes, from its command to a running picture."""

    cost_ns: int
    _pending: tuple[OwnNs, int] | None = None

    def asked(self, sent_ns: OwnNs, target_ns: int) -> None:
        """A seek to ``target_ns`` was sent while the film ran."""
        self._pending = (sent_ns, target_ns)

    def forget(self) -> None:
        """The film was paused, started or reloaded: this seek teaches nothing."""
        self._pending = None

    def running(self, at_ns: OwnNs, position_ns: int, speed: float) -> None:
        """First reading after the seek: what is missing from ``target + elapsed`` was its cost."""
        if self._pending is None:
            return
        sent_ns, target_ns = self._pending
        self._pending = None
        cost_ns = (at_ns - sent_ns) - round((position_ns - target_ns) / speed)
        if -50 * NS_PER_MS < cost_ns < SEEK_COST_MAX_NS:
            self.cost_ns += round(LEARN_RATE * (cost_ns - self.cost_ns))
